//! HTTPS in front of the router.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::Bmc;

/// A client that has not finished its TLS handshake by then is dropped.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// Answers on `listener` until the future is dropped, which also ends its connections.
///
/// # Errors
/// When the listener itself fails; a failing connection ends alone.
pub async fn serve(listener: TcpListener, tls: Arc<ServerConfig>, bmc: Bmc) -> io::Result<()> {
    serve_router(listener, tls, bmc.router()).await
}

/// The same for a router of the caller's own, such as one in front of many BMCs.
///
/// # Errors
/// As [`serve`].
pub async fn serve_router(listener: TcpListener, tls: Arc<ServerConfig>, router: Router) -> io::Result<()> {
    let acceptor = TlsAcceptor::from(tls);
    let mut connections = JoinSet::new();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted?.0,
            Some(_) = connections.join_next() => continue,
        };
        let (acceptor, service) = (acceptor.clone(), TowerToHyperService::new(router.clone()));
        connections.spawn(async move {
            match tokio::time::timeout(HANDSHAKE_LIMIT, acceptor.accept(stream)).await {
                Ok(Ok(tls)) => {
                    let served = auto::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(tls), service)
                        .await;
                    if let Err(error) = served {
                        tracing::debug!(%error, "BMC connection ended");
                    }
                }
                Ok(Err(error)) => tracing::debug!(%error, "BMC TLS handshake failed"),
                Err(_) => tracing::debug!("BMC TLS handshake took too long"),
            }
        });
    }
}
