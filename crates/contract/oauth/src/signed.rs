//! Reading and checking.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac};
use percent_encoding::percent_decode_str;
use secrets::constant_time_eq;
use sha1::Sha1;

use crate::{
    nonces::{Nonces, WINDOW},
    sign::escape,
};

/// Seconds that a timestamp may be ahead; MAAS has no such limit, but a nonce must be kept that long.
const AHEAD: i64 = 86_400;

/// OAuth parameters of a request, without `realm`.
#[derive(Clone, PartialEq, Eq)]
pub struct Signed(BTreeMap<String, String>);

impl std::fmt::Debug for Signed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signed").field("token", &self.token()).finish_non_exhaustive()
    }
}

/// What a PLAINTEXT signature shows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Plaintext<'s> {
    /// Consumer key.
    pub consumer: &'s str,
    /// Token.
    pub token: &'s str,
    /// The token's secret, unchecked.
    pub secret: &'s str,
}

impl std::fmt::Debug for Plaintext<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plaintext").field("token", &self.token).finish_non_exhaustive()
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
    pub method: &'r str,
    /// Host with port, as the client typed it.
    pub host: &'r str,
    /// Path as sent.
    pub path: &'r str,
    /// Names and values of the query, and of the form of a POST, without files.
    pub sent: &'r [(&'r str, &'r str)],
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
    pub fn from_pairs<'p>(pairs: impl IntoIterator<Item = (&'p str, &'p str)>) -> Option<Self> {
        let own: BTreeMap<_, _> = pairs
            .into_iter()
            .filter(|(name, _)| name.starts_with("oauth_"))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        own.contains_key("oauth_token").then_some(Self(own))
    }

    /// The consumer key.
    ///
    /// # Errors
    /// [`OAuthError::Incomplete`].
    pub fn consumer(&self) -> Result<&str, OAuthError> {
        self.get("oauth_consumer_key")
    }

    /// The token, by which the key is found.
    ///
    /// # Errors
    /// [`OAuthError::Incomplete`].
    pub fn token(&self) -> Result<&str, OAuthError> {
        self.get("oauth_token")
    }

    /// Whether everything that [`Signed::verify`] needs was sent.
    ///
    /// # Errors
    /// [`OAuthError::Incomplete`].
    pub fn check_whole(&self) -> Result<(), OAuthError> {
        ["consumer_key", "token", "signature_method", "signature", "timestamp", "nonce"]
            .iter()
            .try_for_each(|name| self.get(&format!("oauth_{name}")).map(drop))
    }

    /// What is shown where the signature is PLAINTEXT, or says nothing of its method; `None` if it is another.
    pub fn plaintext(&self) -> Option<Plaintext<'_>> {
        let method = self.get("oauth_signature_method").unwrap_or("PLAINTEXT");
        let (_, secret) = self.get("oauth_signature").ok()?.split_once('&')?;
        method.eq_ignore_ascii_case("PLAINTEXT").then_some(Plaintext {
            consumer: self.consumer().ok()?,
            token: self.token().ok()?,
            secret,
        })
    }

    fn get(&self, name: &str) -> Result<&str, OAuthError> {
        self.0.get(name).map(String::as_str).ok_or(OAuthError::Incomplete)
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
            "PLAINTEXT" => constant_time_eq(signature, &format!("&{secret}")),
            // A proxy may have ended TLS before us, so the client's scheme is not known for sure.
            "HMAC-SHA1" => ["http", "https"]
                .iter()
                .any(|scheme| constant_time_eq(signature, &self.hmac(secret, scheme, subject))),
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
        let sent = subject.sent.iter().copied().filter(|(name, _)| !name.starts_with("oauth_"));
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

fn unquote(text: &str) -> &str {
    text.strip_prefix('"').map_or(text, |inner| inner.strip_suffix('"').unwrap_or(inner))
}

fn unescape(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SENT: [(&str, &str); 3] = [("distro_series", "noble"), ("op", "deploy"), ("user_data", "aGk=")];
    const SUBJECT: Subject<'_> = Subject {
        method: "POST",
        host: "127.0.0.1:5999",
        path: "/MAAS/api/2.0/machines/abc123/",
        sent: &SENT,
    };

    fn vector() -> Signed {
        let header = "OAuth oauth_version=\"1.0\", oauth_signature_method=\"HMAC-SHA1\", oauth_consumer_key=\"k\", oauth_token=\"t\", oauth_nonce=\"cf03724f-90c2-4ff2-a652-866955179bf4\", oauth_timestamp=\"1795336599\", oauth_signature=\"6pPGC3XIfhhXoja0X4CUWS4KW%2Bk%3D\"";
        Signed::from_header(header).unwrap()
    }

    #[test]
    fn the_signature_of_maas_client_go_is_accepted_once() {
        let (signed, nonces) = (vector(), Nonces::default());
        assert_eq!(signed.check_whole(), Ok(()));
        assert_eq!(signed.verify("s", &SUBJECT, &nonces, 1_795_336_600), Ok(()));
        assert!(matches!(signed.verify("s", &SUBJECT, &nonces, 1_795_336_601), Err(OAuthError::Replayed(_))));
        assert_eq!(signed.plaintext(), None);
    }

    #[test]
    fn another_secret_body_or_time_is_refused() {
        let (signed, nonces) = (vector(), Nonces::default());
        assert_eq!(signed.verify("x", &SUBJECT, &nonces, 1_795_336_600), Err(OAuthError::Signature));
        let other = Subject { sent: &[], ..SUBJECT };
        assert_eq!(signed.verify("s", &other, &nonces, 1_795_336_600), Err(OAuthError::Signature));
        assert!(matches!(
            signed.verify("s", &SUBJECT, &nonces, 1_795_336_599 + WINDOW + 1),
            Err(OAuthError::Expired { .. })
        ));
    }

    #[test]
    fn plaintext_is_read_leniently() {
        let nonces = Nonces::default();
        let subject = Subject { method: "GET", host: "h", path: "/", sent: &[] };
        for (n, header) in [
            "OAuth realm=\"\",oauth_signature_method=PLAINTEXT,oauth_consumer_key=k,oauth_token=t,oauth_signature=%26s,oauth_timestamp=1000",
            "oauth oauth_signature_method=\"PLAINTEXT\", oauth_consumer_key=\"k\", oauth_token=\"t\", oauth_signature=\"&s\", oauth_timestamp=\"1000\"",
        ]
        .iter()
        .enumerate()
        {
            let signed = Signed::from_header(&format!("{header}, oauth_nonce=n{n}")).unwrap();
            assert_eq!(signed.plaintext(), Some(Plaintext { consumer: "k", token: "t", secret: "s" }));
            assert_eq!(signed.verify("s", &subject, &nonces, 1000), Ok(()));
            let wrong = signed.verify("t", &subject, &nonces, 1000).unwrap_err().to_string();
            assert_eq!(wrong, "Authorization Error: 'Invalid signature.'");
        }
    }

    proptest! {
        #[test]
        fn no_header_panics(header in "([oO][aA]uth )?\\PC{0,200}", path in "\\PC{0,30}", host in "\\PC{0,30}") {
            if let Some(signed) = Signed::from_header(&header) {
                let subject = Subject { method: "GET", host: &host, path: &path, sent: &[] };
                prop_assert!(signed.verify("secret", &subject, &Nonces::default(), 0).is_err());
                signed.hmac("secret", "http", &subject);
                signed.plaintext();
            }
        }
    }
}
