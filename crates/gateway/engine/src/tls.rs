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

impl Renewed {
    fn current(&self) -> Arc<CertifiedKey> {
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
        last.0.clone()
    }
}

impl ResolvesServerCert for Renewed {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConnection};

    use super::*;

    const ADDRESS: &str = "192.0.2.7";

    fn server(data: &Path) -> Arc<ServerConfig> {
        server_tls(data, "registry", ADDRESS.parse().unwrap()).unwrap()
    }

    /// Whether a client that trusts the authority on `data` takes what the server shows under a name or address.
    fn trusts(data: &Path, server: Arc<ServerConfig>, name: &'static str) -> bool {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(Layout::new(data).authority()).unwrap()).unwrap();
        let client = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut client = ClientConnection::new(client.into(), ServerName::try_from(name).unwrap()).unwrap();
        let mut server = ServerConnection::new(server).unwrap();
        while client.is_handshaking() {
            let mut wire = Vec::new();
            client.write_tls(&mut wire).unwrap();
            server.read_tls(&mut wire.as_slice()).unwrap();
            server.process_new_packets().unwrap();
            wire.clear();
            server.write_tls(&mut wire).unwrap();
            client.read_tls(&mut wire.as_slice()).unwrap();
            if client.process_new_packets().is_err() {
                return false;
            }
        }
        true
    }

    #[test]
    fn is_trusted_where_it_serves_and_nowhere_else() {
        let folder = tempfile::tempdir().unwrap();
        let (first, again) = (server(folder.path()), server(folder.path()));
        for name in [ADDRESS, "127.0.0.1", "localhost"] {
            assert!(trusts(folder.path(), first.clone(), name), "{name}");
            assert!(trusts(folder.path(), again.clone(), name), "{name}, after another start");
        }
        assert!(!trusts(folder.path(), first, "192.0.2.8"));
    }

    #[test]
    fn is_issued_anew_when_it_is_time() {
        let folder = tempfile::tempdir().unwrap();
        let issuer = Issuer {
            layout: Layout::create(folder.path()).unwrap(),
            name: "registry".into(),
            address: ADDRESS.parse().unwrap(),
            crypto: Arc::new(aws_lc_rs::default_provider()),
        };
        let first = issuer.issue().unwrap();
        let renewed = Renewed { last: Mutex::new((first.clone(), Instant::now())), issuer };
        assert_eq!(renewed.current().cert, first.cert);
        renewed.last.lock().unwrap().1 = Instant::now().checked_sub(RENEW_EVERY).unwrap();
        let second = renewed.current();
        assert_ne!(second.cert, first.cert);
        assert_eq!(renewed.current().cert, second.cert);
    }
}
