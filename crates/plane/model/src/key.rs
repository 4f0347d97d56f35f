//! API keys of users.

use jiff::Timestamp;
use secrets::{Secret, random_token};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use store::Document;

use crate::Meta;

const BYTES: usize = 32;

/// An API key's record; the key itself is known by its hash only, which is a [claim](crate::claim::API_KEY).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKey {
    /// Name.
    pub meta: Meta,
    /// The user whose rights it has.
    pub user: String,
    /// SHA-256 of the key, hex.
    pub hash: String,
    /// Its end.
    pub expiry: Timestamp,
    /// Whether it is taken.
    pub active: bool,
}

impl Document for ApiKey {
    const KIND: &'static str = "api-key";
}

impl ApiKey {
    /// Whether it is taken now.
    pub fn is_good(&self, now: Timestamp) -> bool {
        self.active && now < self.expiry
    }
}

/// The text of an API key. Random enough that a plain hash keeps it.
#[derive(Debug, Clone)]
pub struct KeyText(pub Secret);

impl KeyText {
    /// A new one.
    pub fn random() -> Self {
        Self(Secret::new(random_token(BYTES)))
    }

    /// What is kept of it.
    pub fn hash(&self) -> String {
        sha256(self.0.expose())
    }
}

/// SHA-256 of a random secret, hex.
pub(crate) fn sha256(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::ToSpan as _;

    #[test]
    fn is_good_until_its_end_and_while_it_is_active() {
        let now = Timestamp::UNIX_EPOCH;
        let meta = Meta::new("k", now);
        let mut key = ApiKey {
            meta,
            user: "u".into(),
            hash: KeyText::random().hash(),
            expiry: now + 1.hour(),
            active: true,
        };
        assert!(key.is_good(now) && !key.is_good(now + 1.hour()));
        key.active = false;
        assert!(!key.is_good(now));
    }
}
