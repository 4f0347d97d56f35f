//! The engine's own certificate authority.
//!
//! Only keys last for ever. Every certificate but the authority's own is issued anew at each start and each [`RENEW_EVERY`] while the engine runs,
//! long before it ends, for the key it had: so a certificate and its key always match, whichever of the two files a
//! process reads first, and all of them read them again by themselves.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp, ToSpan as _, civil::Date, tz::TimeZone};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, date_time_ymd,
};

use crate::EngineError;
use crate::files::{self, Readers};

/// How often certificates are issued anew while the engine runs.
pub const RENEW_EVERY: Duration = Duration::from_hours(30 * 24);
/// How long a certificate is good.
const LEAF_DAYS: i64 = 365;
/// How long the authority's own certificate is good.
const AUTHORITY_DAYS: i64 = 10 * 365;
/// After how long it is issued anew. Until then it is the same, so that what holds it need not be written again.
const AUTHORITY_KEPT: SignedDuration = SignedDuration::from_hours(365 * 24);

/// Whom a certificate is for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum For<'a> {
    /// A client of the API: its user name and group.
    Client {
        /// Common name: the user.
        user: &'a str,
        /// Organisation: the group.
        group: Option<&'a str>,
    },
    /// A server at these addresses and names.
    Server {
        /// Addresses.
        addresses: &'a [IpAddr],
        /// Names.
        names: &'a [&'a str],
    },
}

/// The files of one certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Files {
    /// PEM certificate.
    pub certificate: PathBuf,
    /// PEM key.
    pub key: PathBuf,
}

/// The authority and its folder.
pub(crate) struct Authority {
    folder: PathBuf,
    pem: String,
    issuer: Issuer<'static, KeyPair>,
    today: Date,
}

impl Authority {
    /// Opens the authority in a folder, making its key first if there is none.
    pub(crate) fn open(folder: &Path, now: Timestamp) -> Result<Self, EngineError> {
        files::private_folder(folder)?;
        let today = now.to_zoned(TimeZone::UTC).date();
        let (path, key_path) = (folder.join("ca.crt"), folder.join("ca.key"));
        let (kept, had_key) = (kept(&path, now)?, key_path.exists());
        let key = key(&key_path)?;
        let params = authority(today)?;
        let pem = if let Some(pem) = kept.filter(|_| had_key) {
            pem
        } else {
            let pem = params.self_signed(&key)?.pem();
            files::write(&path, pem.as_bytes(), Readers::All)?;
            pem
        };
        Ok(Self { folder: folder.to_owned(), pem, issuer: Issuer::new(params, key), today })
    }

    /// Its certificate, PEM.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// The file of its certificate.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.join("ca.crt")
    }

    /// Issues `NAME.crt` and `NAME.key` in the authority's folder.
    pub(crate) fn issue(&self, name: &str, whom: For<'_>) -> Result<Files, EngineError> {
        self.issue_in(&self.folder, name, whom)
    }

    /// Issues `NAME.crt` and `NAME.key` in another folder.
    pub(crate) fn issue_in(&self, folder: &Path, name: &str, whom: For<'_>) -> Result<Files, EngineError> {
        files::private_folder(folder)?;
        let files = Files {
            certificate: folder.join(format!("{name}.crt")),
            key: folder.join(format!("{name}.key")),
        };
        let key = key(&files.key)?;
        let certificate = leaf(whom, self.today)?.signed_by(&key, &self.issuer)?;
        files::write(&files.certificate, certificate.pem().as_bytes(), Readers::All)?;
        Ok(files)
    }
}

/// The authority's certificate, if it was issued not too long ago.
fn kept(path: &Path, now: Timestamp) -> Result<Option<String>, EngineError> {
    let issued = std::fs::metadata(path).and_then(|file| file.modified()).ok();
    let age =
        issued.and_then(|issued| Timestamp::try_from(issued).ok()).map(|issued| now.duration_since(issued));
    if age.is_none_or(|age| age.is_negative() || age > AUTHORITY_KEPT) {
        return Ok(None);
    }
    Ok(files::read_if_there(path)?.map(|pem| String::from_utf8_lossy(&pem).into_owned()))
}

/// The key in a file, made and written first if there is none.
pub(crate) fn key(path: &Path) -> Result<KeyPair, EngineError> {
    if let Some(pem) = files::read_if_there(path)? {
        return Ok(KeyPair::from_pem(&String::from_utf8_lossy(&pem))?);
    }
    let key = KeyPair::generate()?;
    files::write(path, key.serialize_pem().as_bytes(), Readers::Owner)?;
    Ok(key)
}

fn authority(today: Date) -> Result<CertificateParams, EngineError> {
    let mut params = valid(today, AUTHORITY_DAYS)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.distinguished_name.push(DnType::CommonName, "Bessemer engine");
    params.key_usages =
        vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    Ok(params)
}

fn leaf(whom: For<'_>, today: Date) -> Result<CertificateParams, EngineError> {
    let mut params = valid(today, LEAF_DAYS)?;
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    match whom {
        For::Client { user, group } => {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
            params.distinguished_name.push(DnType::CommonName, user);
            if let Some(group) = group {
                params.distinguished_name.push(DnType::OrganizationName, group);
            }
        }
        For::Server { addresses, names } => {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
            params.distinguished_name.push(DnType::CommonName, names.first().copied().unwrap_or("engine"));
            params.subject_alt_names.extend(addresses.iter().map(|address| SanType::IpAddress(*address)));
            for name in names {
                params.subject_alt_names.push(SanType::DnsName((*name).try_into()?));
            }
        }
    }
    Ok(params)
}

/// Good from yesterday, for clocks that go wrong by hours.
fn valid(today: Date, days: i64) -> Result<CertificateParams, EngineError> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    let midnight = |date: Date| {
        date_time_ymd(date.year().into(), date.month().unsigned_abs(), date.day().unsigned_abs())
    };
    params.not_before = midnight(today.saturating_sub(1.day()));
    params.not_after = midnight(today.saturating_add(days.days()));
    Ok(params)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn renewing_keeps_keys_and_hides_them() {
        let above = tempfile::tempdir().unwrap();
        let folder = above.path().join("pki");
        let whom = For::Client { user: "admin", group: Some("system:masters") };
        let start = Timestamp::now();
        let issue = |days: i64| {
            let now = start + SignedDuration::from_hours(24 * days);
            let authority = Authority::open(&folder, now).unwrap();
            let files = authority.issue("admin", whom).unwrap();
            let read = |path: &Path| fs::read(path).unwrap();
            (read(&files.certificate), authority.pem().to_owned(), read(&files.key), files.key)
        };
        let (first, authority, key, _) = issue(1);
        let (second, same_authority, same_key, path) = issue(300);
        assert_ne!(first, second);
        assert_eq!((&authority, &key), (&same_authority, &same_key));
        assert_ne!(issue(400).1, authority);
        for file in [path, folder.join("ca.key")] {
            assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o077, 0);
    }
}
