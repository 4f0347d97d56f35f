//! The plane's own certificate authority.
//!
//! It names the plane's edge towards gateways, and gateways towards the edge. Where nobody gave the plane an HTTPS
//! certificate, it names the plane towards browsers and API clients too, whom somebody told to trust it.

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData as _,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject as _};
use secrets::Secret;

use crate::{Fingerprint, Identity, tls::SERVER_NAME};

/// How long a gateway's certificate is good. It is renewed after a third of that.
pub const CERTIFICATE_LIFE: SignedDuration = SignedDuration::from_hours(24);
/// How long the authority's own certificate and the edge's are good.
const LONG: SignedDuration = SignedDuration::from_hours(10 * 365 * 24);
/// Certificates are good from so long ago, for clocks that are behind.
const BEHIND: SignedDuration = SignedDuration::from_hours(72);

/// How long a certificate for HTTPS is good: no longer than browsers take them.
const WEB_LIFE: SignedDuration = SignedDuration::from_hours(390 * 24);

/// A certificate with those above it, and its key.
pub type Certificate = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// What issues certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    pem: String,
    key: Secret,
}

/// Why a certificate could not be issued.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// What the authority was opened from is broken.
    #[error("the plane's authority cannot be read: {0}")]
    Unreadable(String),
    /// A request that is not one, or not signed by the key in it.
    #[error("the certificate request is refused: {0}")]
    Request(rcgen::Error),
    /// A certificate could not be made.
    #[error("a certificate cannot be made: {0}")]
    Issue(#[from] rcgen::Error),
}

impl Authority {
    /// A new authority.
    ///
    /// # Errors
    /// [`AuthorityError::Issue`] where there is no randomness.
    pub fn generate(now: Timestamp) -> Result<Self, AuthorityError> {
        let key = KeyPair::generate()?;
        let pem = params(now)?.self_signed(&key)?.pem();
        Self::open(&pem, &Secret::new(key.serialize_pem()))
    }

    /// The authority of a certificate and its key, both PEM.
    ///
    /// # Errors
    /// [`AuthorityError::Unreadable`].
    pub fn open(pem: &str, key: &Secret) -> Result<Self, AuthorityError> {
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes())
            .map_err(|error| AuthorityError::Unreadable(error.to_string()))?;
        let pair =
            KeyPair::from_pem(key.expose()).map_err(|error| AuthorityError::Unreadable(error.to_string()))?;
        // What it issues needs its name and key only; its own certificate stays as it was written.
        let issuer = Issuer::new(params(Timestamp::now())?, pair);
        Ok(Self { issuer, certificate, pem: pem.to_owned(), key: key.clone() })
    }

    /// Its certificate, PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Its key, PEM, for the one place that keeps it.
    pub fn key(&self) -> &Secret {
        &self.key
    }

    /// What a pairing code carries of it.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.certificate)
    }

    /// The authority's certificate.
    pub(crate) fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// A certificate for the edge, with the authority's behind it, and its key.
    pub(crate) fn edge(&self, now: Timestamp) -> Result<Certificate, AuthorityError> {
        self.server(&[SERVER_NAME.to_owned()], LONG, now)
    }

    /// A certificate for the plane's HTTPS under these names and addresses, and its key.
    ///
    /// # Errors
    /// [`AuthorityError`], where a name is none.
    pub fn web(&self, names: &[String], now: Timestamp) -> Result<Certificate, AuthorityError> {
        self.server(names, WEB_LIFE, now)
    }

    fn server(
        &self,
        names: &[String],
        life: SignedDuration,
        now: Timestamp,
    ) -> Result<Certificate, AuthorityError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(names.to_vec())?;
        params.distinguished_name = named(names.first().map_or("", String::as_str), None);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        valid(&mut params, now, life);
        let certificate = params.signed_by(&key, &self.issuer)?;
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        Ok((vec![certificate.der().clone(), self.certificate.clone()], key.into()))
    }

    /// A certificate by which a replica of the plane shows another one what it is, and its key.
    pub(crate) fn replica(&self, now: Timestamp) -> Result<Certificate, AuthorityError> {
        let (key, who) = (KeyPair::generate()?, crate::peers::replica());
        let certificate = client(&who, now)?.signed_by(&key, &self.issuer)?;
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        Ok((vec![certificate.der().clone()], key.into()))
    }

    /// A certificate for a gateway, PEM: for the key of its request and for nothing else that stands in there.
    ///
    /// # Errors
    /// [`AuthorityError`].
    pub fn certify(&self, who: &Identity, request: &str, now: Timestamp) -> Result<String, AuthorityError> {
        let request = CertificateSigningRequestParams::from_pem(request).map_err(AuthorityError::Request)?;
        Ok(client(who, now)?.signed_by(&request.public_key, &self.issuer)?.pem())
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("fingerprint", &self.fingerprint()).finish_non_exhaustive()
    }
}

/// Which key a certificate request is for.
///
/// # Errors
/// [`AuthorityError::Request`].
pub(crate) fn requested_key(request: &str) -> Result<Fingerprint, AuthorityError> {
    let request = CertificateSigningRequestParams::from_pem(request).map_err(AuthorityError::Request)?;
    Ok(Fingerprint::of(request.public_key.der_bytes()))
}

fn params(now: Timestamp) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.distinguished_name = named("Bessemer gateways", None);
    params.key_usages =
        vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    valid(&mut params, now, LONG);
    Ok(params)
}

/// What a certificate says that shows who dials.
fn client(who: &Identity, now: Timestamp) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = named(&who.gateway, Some(&who.tenant));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    valid(&mut params, now, CERTIFICATE_LIFE);
    Ok(params)
}

fn named(common: &str, organization: Option<&str>) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    if let Some(organization) = organization {
        name.push(DnType::OrganizationName, organization);
    }
    name
}

fn valid(params: &mut CertificateParams, now: Timestamp, life: SignedDuration) {
    params.not_before = std::time::SystemTime::from(now - BEHIND).into();
    params.not_after = std::time::SystemTime::from(now + life).into();
}
