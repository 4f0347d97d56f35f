//! Tokens that the plane alone can make: JSON Web Tokens (RFC 7519), each kind good for one use.

use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use secrets::Secret;
use serde::{Serialize, de::DeserializeOwned};

/// What a kind of tokens says.
pub trait Token: Serialize + DeserializeOwned {
    /// What tells this kind from others, as claim `aud`; a kind without one is read only where there is none.
    const AUDIENCE: Option<&'static str>;

    /// Its end, seconds since 1970.
    fn end(&self) -> i64;

    /// As text.
    fn token(&self, key: &Secret) -> Option<Secret> {
        let key = EncodingKey::from_secret(key.expose().as_bytes());
        encode(&Header::new(Algorithm::HS256), self, &key).ok().map(Secret::new)
    }

    /// What a text says, where it is a token of this kind, of this plane, that has not ended.
    fn read(token: &str, key: &Secret, now: Timestamp) -> Option<Self> {
        let mut rules = Validation::new(Algorithm::HS256);
        // The end is compared with the time that is given here.
        rules.validate_exp = false;
        if let Some(audience) = Self::AUDIENCE {
            rules.set_audience(&[audience]);
        }
        let key = DecodingKey::from_secret(key.expose().as_bytes());
        let said = decode::<Self>(token, &key, &rules).ok()?.claims;
        (now.as_second() < said.end()).then_some(said)
    }
}
