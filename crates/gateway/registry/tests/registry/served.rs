//! A registry on a loopback port, plain or with TLS.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use registry::Registry;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub struct Served {
    pub address: SocketAddr,
    /// The certificate to trust, in PEM; empty for plain HTTP.
    pub ca: String,
    task: JoinHandle<()>,
}

impl Served {
    pub async fn plain(layout: &Path) -> Self {
        Self::start(layout, None, String::new()).await
    }

    pub async fn tls(layout: &Path) -> Self {
        let pair =
            rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        let key = rustls::pki_types::PrivatePkcs8KeyDer::from(pair.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![pair.cert.der().clone()], key.into())
            .unwrap();
        Self::start(layout, Some(Arc::new(config)), pair.cert.pem()).await
    }

    async fn start(layout: &Path, tls: Option<Arc<rustls::ServerConfig>>, ca: String) -> Self {
        let registry = Registry::open(layout).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move { registry::serve(listener, tls, registry).await.unwrap() });
        Self { address, ca, task }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}
