//! The certificate authority of a lab's BMCs.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};

const CERTIFICATE: &str = "ca.pem";
const KEY: &str = "ca.key";

/// An authority whose certificates the region is told to trust.
pub struct Ca {
    pem: String,
    path: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

/// Why there is no authority or no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// A file of the authority could not be read or written.
    #[error("the lab's certificate authority at {path}: {source}; remove the folder to start with a new one")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Making or reading a certificate or key failed.
    #[error("the lab's certificate authority cannot make or read a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The TLS library does not take what was made.
    #[error("the BMC's certificate is not accepted by the TLS library: {0}")]
    Tls(#[from] rustls::Error),
}

impl Ca {
    /// Loads the authority kept in `dir` (`ca.pem`, `ca.key`), making it first if there is none.
    pub fn load_or_create(dir: &Path) -> Result<Self, CaError> {
        if dir.join(CERTIFICATE).exists() && dir.join(KEY).exists() {
            Self::load(dir)
        } else {
            Self::create(dir)
        }
    }

    /// Makes a new authority and keeps it in `dir`.
    pub fn create(dir: &Path) -> Result<Self, CaError> {
        let key = KeyPair::generate()?;
        let certificate = params()?.self_signed(&key)?;
        write(dir, KEY, &key.serialize_pem(), 0o600)?;
        write(dir, CERTIFICATE, &certificate.pem(), 0o644)?;
        Self::load(dir)
    }

    /// Loads the authority kept in `dir`.
    pub fn load(dir: &Path) -> Result<Self, CaError> {
        let key = KeyPair::from_pem(&read(dir, KEY)?)?;
        // The issuer is rebuilt from what every authority of ours is made of: only the key and the name count.
        Ok(Self {
            pem: read(dir, CERTIFICATE)?,
            path: dir.join(CERTIFICATE),
            issuer: Issuer::new(params()?, key),
        })
    }

    /// The authority's certificate, PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The file that holds [`Ca::pem`].
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A TLS server configuration with a fresh certificate for `address`.
    pub fn server_config(&self, address: IpAddr) -> Result<Arc<ServerConfig>, CaError> {
        let key = KeyPair::generate()?;
        let mut leaf = CertificateParams::new(Vec::new())?;
        leaf.subject_alt_names.push(SanType::IpAddress(address));
        leaf.distinguished_name.push(DnType::CommonName, format!("BMC {address}"));
        leaf.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        leaf.use_authority_key_identifier_extension = true;
        let certificate: CertificateDer<'static> = leaf.signed_by(&key, &self.issuer)?.into();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate], PrivatePkcs8KeyDer::from(key.serialize_der()).into())?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

fn params() -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.distinguished_name.push(DnType::CommonName, "Bessemer lab BMCs");
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn read(dir: &Path, name: &str) -> Result<String, CaError> {
    let path = dir.join(name);
    std::fs::read_to_string(&path).map_err(|source| CaError::File { path, source })
}

fn write(dir: &Path, name: &str, text: &str, mode: u32) -> Result<(), CaError> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let path = dir.join(name);
    let attempt = std::fs::create_dir_all(dir)
        .and_then(|()| {
            std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&path)
        })
        .and_then(|mut file| file.write_all(text.as_bytes()));
    attempt.map_err(|source| CaError::File { path, source })
}
