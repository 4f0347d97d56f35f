//! Who a gateway is, and what it keeps of a pairing.

use jiff::{SignedDuration, Timestamp};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use rustls::pki_types::CertificateDer;
use secrets::Secret;
use serde::{Deserialize, Serialize};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::{Fingerprint, TlsError, tls};

/// How long after its end a certificate may still be renewed, where its gateway is not revoked.
pub const RENEW_WITHIN: SignedDuration = SignedDuration::from_hours(30 * 24);

/// A gateway, as its certificate says.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// The plane's id of the gateway (of its overlord record): 24 hex digits.
    pub gateway: String,
    /// The tenant whose gateway it is.
    pub tenant: String,
}

/// What pairing and renewing give a gateway, and all that it needs to dial; kept in a file that its owner can read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolment {
    /// Who it is.
    pub identity: Identity,
    /// Its certificate, PEM, good for 24 hours.
    pub certificate: String,
    /// The plane's authority, PEM.
    pub authority: String,
    /// The key that checks the plane's grants: 32 bytes, base64.
    pub grants: String,
}

impl Enrolment {
    /// When the certificate should be renewed: after a third of its life.
    ///
    /// # Errors
    /// [`TlsError`] where the certificate cannot be read.
    pub fn renew_at(&self) -> Result<Timestamp, TlsError> {
        let ends = Certified::of_pem(&self.certificate)?.until;
        Ok(ends - crate::CERTIFICATE_LIFE * 2 / 3)
    }
}

/// A gateway's own key; it never leaves the gateway.
#[derive(Debug, Clone)]
pub struct GatewayKey {
    pem: Secret,
}

impl GatewayKey {
    /// A new one.
    ///
    /// # Errors
    /// [`TlsError`] where there is no randomness.
    pub fn generate() -> Result<Self, TlsError> {
        Ok(Self { pem: Secret::new(KeyPair::generate()?.serialize_pem()) })
    }

    /// The key of a PEM file.
    ///
    /// # Errors
    /// [`TlsError`] where it is none.
    pub fn from_pem(pem: Secret) -> Result<Self, TlsError> {
        KeyPair::from_pem(pem.expose())?;
        Ok(Self { pem })
    }

    /// As PEM, for the one file that keeps it.
    pub fn pem(&self) -> &Secret {
        &self.pem
    }

    /// A request for a certificate of this key, PEM. The plane decides what the certificate says.
    pub(crate) fn request(&self) -> Result<String, TlsError> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name = DistinguishedName::new();
        Ok(params.serialize_request(&KeyPair::from_pem(self.pem.expose())?)?.pem()?)
    }
}

/// What a client certificate says, its chain having been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Certified {
    pub(crate) identity: Identity,
    pub(crate) until: Timestamp,
    pub(crate) key: Fingerprint,
}

impl Certified {
    pub(crate) fn of(certificate: &CertificateDer<'_>) -> Result<Self, TlsError> {
        let unreadable = || TlsError::Certificate("it does not say whose it is".to_owned());
        let (_, parsed) = X509Certificate::from_der(certificate)
            .map_err(|error| TlsError::Certificate(error.to_string()))?;
        let subject = parsed.subject();
        let common = subject.iter_common_name().next().and_then(|name| name.as_str().ok());
        let organization = subject.iter_organization().next().and_then(|name| name.as_str().ok());
        let (Some(gateway), Some(tenant)) = (common, organization) else { return Err(unreadable()) };
        let until = Timestamp::from_second(parsed.validity().not_after.timestamp())
            .map_err(|error| TlsError::Certificate(error.to_string()))?;
        let key = Fingerprint::of(&parsed.public_key().subject_public_key.data);
        Ok(Self { identity: Identity { gateway: gateway.to_owned(), tenant: tenant.to_owned() }, until, key })
    }

    pub(crate) fn of_pem(pem: &str) -> Result<Self, TlsError> {
        Self::of(&tls::certificate(pem)?)
    }
}
