//! TLS of servers beside the engine, with certificates of its authority.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use jiff::Timestamp;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::EngineError;
use crate::files;
use crate::layout::Layout;
use crate::pki::{Authority, For, RENEW_EVERY};

/// TLS for a server `name` beside the engine on `data`, at `address`, 127.0.0.1 and `localhost`.
///
/// Its certificate is of the engine's authority ([`crate::EngineConfig::authority`]), which is made if there is none,
/// so not while [`crate::run`] may be making it. It is issued now, and again by the first client that comes
/// [`RENEW_EVERY`] later.
///
/// # Errors
/// [`EngineError`] where key files cannot be written or used.
pub fn server_tls(data: &Path, name: &str, address: IpAddr) -> Result<Arc<ServerConfig>, EngineError> {
    let issuer = Issuer {
        layout: Layout::create(data)?,
        name: name.to_owned(),
        address,
        crypto: Arc::new(aws_lc_rs::default_provider()),
    };
    let crypto = issuer.crypto.clone();
    let renewed = Renewed { last: Mutex::new((issuer.issue()?, Instant::now())), issuer };
    let config = ServerConfig::builder_with_provider(crypto)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(renewed));
    Ok(Arc::new(config))
}

/// Issues certificates for one server.
#[derive(Debug)]
struct Issuer {
    layout: Layout,
    name: String,
    address: IpAddr,
    crypto: Arc<CryptoProvider>,
}

impl Issuer {
    fn issue(&self) -> Result<Arc<CertifiedKey>, EngineError> {
        let addresses = [self.address, Ipv4Addr::LOCALHOST.into()];
        let whom = For::Server { addresses: &addresses, names: &["localhost"] };
        let files = Authority::open(&self.layout.pki(), Timestamp::now())?.issue(&self.name, whom)?;
        let certificate =
            CertificateDer::from_pem_file(&files.certificate).map_err(pem(&files.certificate))?;
        let key = PrivateKeyDer::from_pem_file(&files.key).map_err(pem(&files.key))?;
        Ok(Arc::new(CertifiedKey::from_der(vec![certificate], key, &self.crypto)?))
    }
}

fn pem(path: &Path) -> impl FnOnce(pem::Error) -> EngineError {
    let failed = files::io("read", path);
    move |error| failed(io::Error::other(error))
}

/// Shows the certificate that was issued last, and has a new one issued when it is time.
#[derive(Debug)]
struct Renewed {
    issuer: Issuer,
    last: Mutex<(Arc<CertifiedKey>, Instant)>,
}

impl ResolvesServerCert for Renewed {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.1.elapsed() >= RENEW_EVERY {
            match self.issuer.issue() {
                Ok(certified) => *last = (certified, Instant::now()),
                // The one there is stays good for eleven months.
                Err(error) => {
                    tracing::error!(server = self.issuer.name, %error, "cannot renew its certificate");
                }
            }
        }
        Some(last.0.clone())
    }
}
