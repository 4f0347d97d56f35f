//! The one port: gateways come to the tunnel's edge, everybody else to HTTPS.

use std::{
    fs, io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::Router;
use http_base::{PATIENCE, converse};
use jiff::Timestamp;
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use tokio::{net::TcpStream, sync::Semaphore, task::JoinSet, time::timeout};
use tokio_rustls::LazyConfigAcceptor;
use tunnel::{ALPN, Authority, Edge, PEER_ALPN};

use crate::{Tls, serve::PlaneError};

/// Connections at a time; more wait to be accepted.
const CONNECTIONS: usize = 4096;
/// A certificate of the plane's own is made anew so often.
const RENEW_EVERY: Duration = Duration::from_hours(30 * 24);

/// What answers on the port.
pub struct Port {
    pub edge: Edge,
    pub router: Router,
    pub web: Web,
}

/// The certificate for HTTPS.
pub enum Web {
    /// It was given.
    Given(Arc<ServerConfig>),
    /// The plane makes its own.
    Own { authority: Arc<Authority>, names: Vec<String> },
}

impl Web {
    /// The certificate of these files.
    pub fn given(tls: &Tls) -> Result<Self, PlaneError> {
        let file = |path: &std::path::Path| {
            let path = path.to_owned();
            move |source| PlaneError::File { path, source }
        };
        let unfit = |path: &std::path::Path, why: &dyn std::fmt::Display| {
            PlaneError::Tls(format!("{}: {why}", path.display()))
        };
        let pem = fs::read(&tls.certificate).map_err(file(&tls.certificate))?;
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        let chain = chain.map_err(|error| unfit(&tls.certificate, &error))?;
        let key = fs::read(&tls.key).map_err(file(&tls.key))?;
        let key = PrivateKeyDer::from_pem_slice(&key).map_err(|error| unfit(&tls.key, &error))?;
        config(chain, key).map(Self::Given).map_err(|error| unfit(&tls.certificate, &error))
    }

    fn config(&self) -> Result<Arc<ServerConfig>, PlaneError> {
        match self {
            Self::Given(config) => Ok(config.clone()),
            Self::Own { authority, names } => {
                let (chain, key) = authority
                    .web(names, Timestamp::now())
                    .map_err(|error| PlaneError::Tls(error.to_string()))?;
                config(chain, key).map_err(|error| PlaneError::Tls(error.to_string()))
            }
        }
    }
}

fn config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

impl Port {
    /// Answers until the future is dropped, which also ends its connections.
    pub async fn serve(self, listener: tokio::net::TcpListener) -> Result<(), PlaneError> {
        let (mut web, mut made) = (self.web.config()?, Instant::now());
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        let mut connections = JoinSet::new();
        loop {
            while connections.try_join_next().is_some() {}
            if made.elapsed() > RENEW_EVERY {
                (web, made) = (self.web.config()?, Instant::now());
            }
            let Ok(place) = places.clone().acquire_owned().await else { return Ok(()) };
            let (stream, peer) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of descriptors, mostly: what is open goes on, and some of it ends.
                    tracing::error!(%error, "cannot accept connections");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    continue;
                }
            };
            let (edge, router, web) = (self.edge.clone(), self.router.clone(), web.clone());
            connections.spawn(async move {
                let _place = place;
                if let Err(error) = connection(stream, peer, edge, router, web).await {
                    tracing::debug!(%error, %peer, "a connection ended");
                }
            });
        }
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    edge: Edge,
    router: Router,
    web: Arc<ServerConfig>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, "the TLS handshake took too long");
    let greeting = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream);
    let greeting = timeout(PATIENCE, greeting).await.map_err(late)??;
    let tunnel = |name: &[u8]| name == ALPN || name == PEER_ALPN;
    let is_gateway = greeting.client_hello().alpn().is_some_and(|mut names| names.any(tunnel));
    if is_gateway {
        let stream = timeout(PATIENCE, greeting.into_stream(edge.tls())).await.map_err(late)??;
        edge.serve(stream, peer.to_string()).await.map_err(io::Error::other)
    } else {
        let stream = timeout(PATIENCE, greeting.into_stream(web)).await.map_err(late)??;
        converse(stream, router).await;
        Ok(())
    }
}
