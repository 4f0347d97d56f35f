//! HTTP pieces that every server here shares: health, metrics, and serving until told to stop.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)
)]

mod metrics;

use std::{net::SocketAddr, time::Duration};

use axum::{
    Router,
    http::{HeaderMap, header},
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::watch,
};

pub use metrics::{Metrics, Route, upkeep};

/// The URL that a request was sent to, without a path: as its `Host` says where that is an address with a port, as
/// machines without names write it; else `otherwise`.
pub fn sent_to(headers: &HeaderMap, otherwise: &str) -> String {
    headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok()?.parse::<SocketAddr>().ok())
        .map_or_else(|| otherwise.to_owned(), |host| format!("http://{host}"))
}

/// Binds a TCP port, or says which one could not be had and what to do.
pub async fn bind(address: SocketAddr, what: &str) -> Result<TcpListener, BindError> {
    TcpListener::bind(address).await.map_err(|source| BindError { what: what.to_owned(), address, source })
}

/// A port that could not be had.
#[derive(Debug, thiserror::Error)]
#[error("{what} cannot listen on {address}: {source}; stop the other program or configure another port")]
pub struct BindError {
    /// Which service.
    pub what: String,
    /// Where.
    pub address: SocketAddr,
    /// Why.
    pub source: std::io::Error,
}

/// A client that has not finished its TLS handshake, or a request's headers, by then is dropped.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Answers the requests of one connection, HTTP/1.1 or HTTP/2, until it ends.
pub async fn converse(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, router: Router) {
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1().timer(TokioTimer::new()).header_read_timeout(PATIENCE);
    let service = TowerToHyperService::new(router);
    let ended = http.serve_connection_with_upgrades(TokioIo::new(stream), service).await;
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
}

/// Serves until `stop` becomes true; open requests are finished.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    mut stop: watch::Receiver<bool>,
) -> std::io::Result<()> {
    axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>())
        .with_graceful_shutdown(async move {
            let _ = stop.wait_for(|stop| *stop).await;
        })
        .await
}
