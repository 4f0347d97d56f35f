//! OAuth 1.0, zero-legged: PLAINTEXT and HMAC-SHA1, as MAAS's clients sign.
//!
//! An API key is `consumer:token:secret`; the consumer's secret is empty. Everybody signs PLAINTEXT except
//! maas-client-go, which signs HMAC-SHA1 over method, URL and parameters (RFC 5849, 3.4). Headers are read
//! leniently: values quoted or not, the signature percent-encoded or not. A refusal never shows a secret
//! (MAAS's does). Nonces are kept in memory only, so reading never writes to the store.

use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    sync::{Mutex, PoisonError},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac};
use http::Method;
use model::{ApiToken, SCOPE};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use store::Store;

use crate::params::Params;

/// Seconds that a timestamp may be old.
pub const WINDOW: i64 = 300;
/// Seconds that a timestamp may be ahead; MAAS has no such limit, but a nonce must be kept that long.
const AHEAD: i64 = 86_400;
/// Nonces kept at most: 3,500 calls a second over [`WINDOW`].
const MOST_NONCES: usize = 1 << 20;

/// What percent-encoding leaves as it is (RFC 3986, unreserved).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// OAuth parameters of a request, without `realm`.
#[derive(Clone, PartialEq, Eq)]
pub struct Signed(BTreeMap<String, String>);

impl std::fmt::Debug for Signed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signed").field("token", &self.get("oauth_token")).finish_non_exhaustive()
    }
}

/// Why a caller is not who it says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OAuthError {
    /// Something is missing.
    #[error("Forbidden")]
    Incomplete,
    /// The consumer or its token is unknown.
    #[error("Authorization Error: Invalid API key.")]
    Key,
    /// The token is unknown.
    #[error("Authorization Error: 'Invalid access token: {0}'")]
    Token(String),
    /// The signature is wrong.
    #[error("Authorization Error: 'Invalid signature.'")]
    Signature,
    /// The method is not one of ours.
    #[error("Authorization Error: 'Signature method {0} not supported, try one of PLAINTEXT, HMAC-SHA1.'")]
    Method(String),
    /// The timestamp is not a number.
    #[error("Bad Request: 'Invalid timestamp: {0}'")]
    Timestamp(String),
    /// The timestamp is too far away.
    #[error(
        "Authorization Error: 'Expired timestamp: given {given} and now {now} has a greater difference than threshold {WINDOW}'"
    )]
    Expired {
        /// As sent.
        given: i64,
        /// Ours.
        now: i64,
    },
    /// The nonce was seen before.
    #[error("Authorization Error: 'Nonce already used: {0}'")]
    Replayed(String),
    /// Too many calls to remember.
    #[error("too many calls in {WINDOW} s; try again")]
    Busy,
}

/// What a signature is made over.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'r> {
    /// Method.
    pub method: &'r Method,
    /// Host with port, as the client typed it.
    pub host: &'r str,
    /// Path as sent.
    pub path: &'r str,
    /// Query.
    pub query: &'r Params,
    /// Body of a POST.
    pub form: &'r Params,
}

impl Signed {
    /// OAuth parameters of an `Authorization` header; `None` if it is of another kind.
    pub fn from_header(header: &str) -> Option<Self> {
        let (scheme, rest) = header.trim_start().split_once(char::is_whitespace)?;
        scheme.eq_ignore_ascii_case("oauth").then(|| {
            Self(
                rest.split(',')
                    .filter_map(|pair| pair.split_once('='))
                    .map(|(name, value)| (name.trim().to_ascii_lowercase(), unescape(unquote(value.trim()))))
                    .filter(|(name, _)| name.starts_with("oauth_"))
                    .collect(),
            )
        })
    }

    /// OAuth parameters among others; `None` if there are none.
    pub fn from_params(params: &Params) -> Option<Self> {
        let own: BTreeMap<_, _> = params
            .iter()
            .filter(|param| param.name.starts_with("oauth_"))
            .filter_map(|param| Some((param.name.clone(), param.text.clone()?)))
            .collect();
        own.contains_key("oauth_token").then_some(Self(own))
    }

    fn get(&self, name: &str) -> Result<&str, OAuthError> {
        self.0.get(name).map(String::as_str).ok_or(OAuthError::Incomplete)
    }

    /// The key that the parameters name, before any proof.
    ///
    /// # Errors
    /// [`OAuthError`] if something is missing or unknown.
    pub fn key(&self, store: &Store) -> Result<std::sync::Arc<store::Stored<ApiToken>>, OAuthError> {
        let (consumer, token) = (self.get("oauth_consumer_key")?, self.get("oauth_token")?);
        for needed in ["oauth_signature_method", "oauth_signature", "oauth_timestamp", "oauth_nonce"] {
            self.get(needed)?;
        }
        let key = store.get::<ApiToken>(SCOPE, token).ok_or_else(|| OAuthError::Token(token.to_owned()))?;
        if same(&key.value.consumer, consumer) { Ok(key) } else { Err(OAuthError::Key) }
    }

    /// Proves that the caller knows `secret`, now and not before.
    ///
    /// # Errors
    /// [`OAuthError`] with the reason.
    pub fn verify(
        &self,
        secret: &str,
        subject: &Subject<'_>,
        nonces: &Nonces,
        now: i64,
    ) -> Result<(), OAuthError> {
        let (given, nonce) = (self.get("oauth_timestamp")?, self.get("oauth_nonce")?);
        let given: i64 = given.trim().parse().map_err(|_| OAuthError::Timestamp(given.to_owned()))?;
        if given < now.saturating_sub(WINDOW) || given > now.saturating_add(AHEAD) {
            return Err(OAuthError::Expired { given, now });
        }
        let signature = self.get("oauth_signature")?;
        let right = match self.get("oauth_signature_method")? {
            "PLAINTEXT" => same(signature, &format!("&{secret}")),
            // A proxy may have ended TLS before us, so the client's scheme is not known for sure.
            "HMAC-SHA1" => {
                ["http", "https"].iter().any(|scheme| same(signature, &self.hmac(secret, scheme, subject)))
            }
            other => return Err(OAuthError::Method(other.to_owned())),
        };
        if !right {
            return Err(OAuthError::Signature);
        }
        nonces.note((self.get("oauth_consumer_key")?, self.get("oauth_token")?, nonce), given, now)
    }

    fn hmac(&self, secret: &str, scheme: &str, subject: &Subject<'_>) -> String {
        let default_port = if scheme == "https" { ":443" } else { ":80" };
        let host = subject.host.to_ascii_lowercase();
        let host = host.strip_suffix(default_port).unwrap_or(&host);
        let own = self
            .0
            .iter()
            .filter(|(name, _)| *name != "oauth_signature")
            .map(|(n, v)| (n.as_str(), v.as_str()));
        let sent = [subject.query, subject.form]
            .into_iter()
            .flatten()
            .filter(|param| !param.file && !param.name.starts_with("oauth_"))
            .filter_map(|param| Some((param.name.as_str(), param.text.as_deref()?)));
        let mut pairs: Vec<_> = own.chain(sent).map(|(name, value)| (escape(name), escape(value))).collect();
        pairs.sort();
        let pairs: Vec<_> = pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        let url = format!("{scheme}://{host}{}", subject.path);
        let base = format!("{}&{}&{}", subject.method, escape(&url), escape(&pairs.join("&")));
        let key = format!("&{}", escape(secret));
        Hmac::<Sha1>::new_from_slice(key.as_bytes()).map_or_else(
            |_| String::new(), // HMAC takes keys of any length
            |mut mac| {
                mac.update(base.as_bytes());
                STANDARD.encode(mac.finalize().into_bytes())
            },
        )
    }
}

/// Nonces of accepted calls, each kept until its timestamp is too old to be accepted again.
#[derive(Debug, Default)]
pub struct Nonces(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    until: HashMap<[u8; 16], i64>,
    swept: i64,
}

impl Nonces {
    fn note(&self, of: (&str, &str, &str), given: i64, now: i64) -> Result<(), OAuthError> {
        let digest = Sha256::digest(format!("{}\0{}\0{}", of.0, of.1, of.2));
        let mut mark = [0; 16];
        mark.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if now >= seen.swept.saturating_add(WINDOW / 5) || seen.until.len() >= MOST_NONCES {
            seen.until.retain(|_, until| *until >= now);
            seen.swept = now;
        }
        let full = seen.until.len() >= MOST_NONCES;
        match seen.until.entry(mark) {
            Entry::Occupied(_) => Err(OAuthError::Replayed(of.2.to_owned())),
            Entry::Vacant(_) if full => Err(OAuthError::Busy),
            Entry::Vacant(free) => {
                free.insert(given.max(now).saturating_add(WINDOW));
                Ok(())
            }
        }
    }
}

fn same(a: &str, b: &str) -> bool {
    secrets::constant_time_eq(a, b)
}

fn unquote(text: &str) -> &str {
    text.strip_prefix('"').map_or(text, |inner| inner.strip_suffix('"').unwrap_or(inner))
}

fn unescape(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn escape(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn vector() -> (Signed, Params, Params) {
        let header = "OAuth oauth_version=\"1.0\", oauth_signature_method=\"HMAC-SHA1\", oauth_consumer_key=\"k\", oauth_token=\"t\", oauth_nonce=\"cf03724f-90c2-4ff2-a652-866955179bf4\", oauth_timestamp=\"1795336599\", oauth_signature=\"6pPGC3XIfhhXoja0X4CUWS4KW%2Bk%3D\"";
        (
            Signed::from_header(header).unwrap(),
            Params::default(),
            Params::urlencoded(b"distro_series=noble&op=deploy&user_data=aGk%3D"),
        )
    }

    const PATH: &str = "/MAAS/api/2.0/machines/abc123/";

    #[test]
    fn the_signature_of_maas_client_go_is_accepted_once() {
        let (signed, query, form) = vector();
        let (nonces, post) = (Nonces::default(), Method::POST);
        let subject =
            Subject { method: &post, host: "127.0.0.1:5999", path: PATH, query: &query, form: &form };
        assert_eq!(signed.verify("s", &subject, &nonces, 1_795_336_600), Ok(()));
        assert!(matches!(signed.verify("s", &subject, &nonces, 1_795_336_601), Err(OAuthError::Replayed(_))));
    }

    #[test]
    fn another_secret_body_or_time_is_refused() {
        let (signed, query, form) = vector();
        let (nonces, post) = (Nonces::default(), Method::POST);
        let subject =
            Subject { method: &post, host: "127.0.0.1:5999", path: PATH, query: &query, form: &form };
        assert_eq!(signed.verify("x", &subject, &nonces, 1_795_336_600), Err(OAuthError::Signature));
        let other = Subject { form: &query, ..subject };
        assert_eq!(signed.verify("s", &other, &nonces, 1_795_336_600), Err(OAuthError::Signature));
        assert!(matches!(
            signed.verify("s", &subject, &nonces, 1_795_336_599 + WINDOW + 1),
            Err(OAuthError::Expired { .. })
        ));
    }

    #[test]
    fn plaintext_is_read_leniently() {
        let nonces = Nonces::default();
        let (get, none) = (Method::GET, Params::default());
        let subject = Subject { method: &get, host: "h", path: "/", query: &none, form: &none };
        for (n, header) in [
            "OAuth realm=\"\",oauth_signature_method=PLAINTEXT,oauth_consumer_key=k,oauth_token=t,oauth_signature=%26s,oauth_timestamp=1000",
            "oauth oauth_signature_method=\"PLAINTEXT\", oauth_consumer_key=\"k\", oauth_token=\"t\", oauth_signature=\"&s\", oauth_timestamp=\"1000\"",
        ]
        .iter()
        .enumerate()
        {
            let signed = Signed::from_header(&format!("{header}, oauth_nonce=n{n}")).unwrap();
            assert_eq!(signed.verify("s", &subject, &nonces, 1000), Ok(()));
            let wrong = signed.verify("t", &subject, &nonces, 1000).unwrap_err().to_string();
            assert_eq!(wrong, "Authorization Error: 'Invalid signature.'");
        }
    }

    #[test]
    fn a_nonce_is_forgotten_only_when_its_timestamp_is() {
        let nonces = Nonces::default();
        let note = |given, now| nonces.note(("k", "t", "n"), given, now);
        assert_eq!(note(2000, 1000), Ok(()));
        assert!(note(2000, 2000 + WINDOW).is_err());
        assert_eq!(note(2000 + 2 * WINDOW, 2000 + 2 * WINDOW), Ok(()));
    }

    proptest! {
        #[test]
        fn no_header_panics(header in "([oO][aA]uth )?\\PC{0,200}", path in "\\PC{0,30}", host in "\\PC{0,30}") {
            if let Some(signed) = Signed::from_header(&header) {
                let none = Params::default();
                let (nonces, get) = (Nonces::default(), Method::GET);
                let subject = Subject { method: &get, host: &host, path: &path, query: &none, form: &none };
                prop_assert!(signed.verify("secret", &subject, &nonces, 0).is_err());
                signed.hmac("secret", "http", &subject);
            }
        }
    }
}
