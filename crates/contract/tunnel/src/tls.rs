//! TLS 1.3 between gateway and edge.

use std::sync::Arc;

use jiff::Timestamp;
use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig,
    SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject as _},
    server::{
        WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    version::TLS13,
};

use crate::{
    Authority, AuthorityError, Enrolment, Fingerprint, GatewayKey, RENEW_WITHIN, identity::Certified,
};

/// The tunnel's protocol name in TLS, by which the plane's one port tells gateways from HTTPS clients.
pub const ALPN: &[u8] = b"bessemer-tunnel";
/// The protocol name by which replicas of a plane know each other's connections.
pub const PEER_ALPN: &[u8] = b"bessemer-replica";
/// The name that the edge's certificate carries, wherever the plane is.
pub(crate) const SERVER_NAME: &str = "plane.bessemer.internal";

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A key or certificate could not be made or read.
    #[error("a key or certificate cannot be used: {0}")]
    Key(#[from] rcgen::Error),
    /// The authority refuses.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// A certificate that says too little.
    #[error("the certificate cannot be used: {0}")]
    Certificate(String),
    /// The TLS library refuses.
    #[error("TLS cannot be set up: {0}")]
    Rustls(#[from] Error),
}

fn crypto() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn roots(certificate: CertificateDer<'static>) -> Result<Arc<RootCertStore>, Error> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate)?;
    Ok(Arc::new(roots))
}

/// The edge's end.
pub(crate) fn server(authority: &Authority, now: Timestamp) -> Result<Arc<ServerConfig>, TlsError> {
    let verifier =
        WebPkiClientVerifier::builder_with_provider(roots(authority.certificate().clone())?, crypto())
            .allow_unauthenticated()
            .build()
            .map_err(|error| TlsError::Certificate(error.to_string()))?;
    let (chain, key) = authority.edge(now)?;
    let mut config = ServerConfig::builder_with_provider(crypto())
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(Arc::new(Lenient(verifier)))
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![ALPN.to_vec(), PEER_ALPN.to_vec()];
    // A resumed session would skip the check of the certificate.
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// A gateway's end before it is paired: it trusts the authority with this fingerprint.
pub(crate) fn pairing(authority: Fingerprint) -> Result<Arc<ClientConfig>, TlsError> {
    let pinned = Pinned { authority, crypto: crypto() };
    let config = ClientConfig::builder_with_provider(crypto())
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(pinned))
        .with_no_client_auth();
    Ok(named(config))
}

/// A gateway's end.
pub(crate) fn client(enrolment: &Enrolment, key: &GatewayKey) -> Result<Arc<ClientConfig>, TlsError> {
    let private = PrivateKeyDer::from_pem_slice(key.pem().expose().as_bytes())
        .map_err(|error| TlsError::Certificate(error.to_string()))?;
    let config = ClientConfig::builder_with_provider(crypto())
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(roots(certificate(&enrolment.authority)?)?)
        .with_client_auth_cert(vec![certificate(&enrolment.certificate)?], private)?;
    Ok(named(config))
}

/// The end of a replica that asks another one.
pub(crate) fn peer(authority: &Authority, now: Timestamp) -> Result<Arc<ClientConfig>, TlsError> {
    let (chain, key) = authority.replica(now)?;
    let mut config = ClientConfig::builder_with_provider(crypto())
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(roots(authority.certificate().clone())?)
        .with_client_auth_cert(chain, key)?;
    config.alpn_protocols = vec![PEER_ALPN.to_vec()];
    Ok(Arc::new(config))
}

/// The certificate of a PEM text.
pub(crate) fn certificate(pem: &str) -> Result<CertificateDer<'static>, TlsError> {
    CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|error| TlsError::Certificate(error.to_string()))
}

fn named(mut config: ClientConfig) -> Arc<ClientConfig> {
    config.alpn_protocols = vec![ALPN.to_vec()];
    Arc::new(config)
}

/// Lets a certificate in that ended not too long ago, so that its gateway can renew it. What else it may do is the
/// session's to say.
#[derive(Debug)]
struct Lenient(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for Lenient {
    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let until = Certified::of(end_entity).map_err(|error| Error::General(error.to_string()))?.until;
        let ended = until.as_second().unsigned_abs();
        let renewable = ended.saturating_add(RENEW_WITHIN.as_secs().unsigned_abs());
        let then = if (ended..=renewable).contains(&now.as_secs()) { ended } else { now.as_secs() };
        let then = UnixTime::since_unix_epoch(std::time::Duration::from_secs(then));
        self.0.verify_client_cert(end_entity, intermediates, then)
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn offer_client_auth(&self) -> bool {
        self.0.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.0.client_auth_mandatory()
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// Trusts the one authority with a known fingerprint, which the server shows behind its own certificate.
#[derive(Debug)]
struct Pinned {
    authority: Fingerprint,
    crypto: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let known = |certificate: &&CertificateDer<'_>| Fingerprint::of(certificate) == self.authority;
        let authority = intermediates
            .iter()
            .find(known)
            .ok_or(Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer))?;
        let roots = roots(authority.clone().into_owned())?;
        WebPkiServerVerifier::builder_with_provider(roots, self.crypto.clone())
            .build()
            .map_err(|error| Error::General(error.to_string()))?
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("the tunnel speaks TLS 1.3 only".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.crypto.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.crypto.signature_verification_algorithms.supported_schemes()
    }
}
