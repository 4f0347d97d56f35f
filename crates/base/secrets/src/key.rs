//! MAAS API keys: `consumer:token:secret`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::Secret;

/// An API key in MAAS's form. `Display` shows the consumer only; serialisation and [`ApiKey::expose`] write all of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ApiKey {
    /// OAuth consumer key.
    pub consumer: String,
    /// OAuth token key, by which the owner is found.
    pub token: String,
    /// OAuth token secret.
    pub secret: Secret,
}

impl ApiKey {
    /// The whole key, `consumer:token:secret`.
    pub fn expose(&self) -> String {
        format!("{}:{}:{}", self.consumer, self.token, self.secret.expose())
    }
}

/// Why a text is not an API key. The text is not repeated: it may hold a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApiKeyError {
    /// How many parts were found.
    pub parts: usize,
}

impl fmt::Display for ApiKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "an API key has three non-empty parts, consumer:token:secret, and this one has {}; copy it whole",
            self.parts
        )
    }
}

impl std::error::Error for ApiKeyError {}

impl FromStr for ApiKey {
    type Err = ApiKeyError;

    fn from_str(text: &str) -> Result<Self, ApiKeyError> {
        let parts: Vec<&str> = text.trim().split(':').filter(|part| !part.is_empty()).collect();
        match (parts.as_slice(), text.matches(':').count()) {
            ([consumer, token, secret], 2) => Ok(Self {
                consumer: (*consumer).to_owned(),
                token: (*token).to_owned(),
                secret: Secret::from(*secret),
            }),
            _ => Err(ApiKeyError { parts: parts.len() }),
        }
    }
}

impl TryFrom<String> for ApiKey {
    type Error = ApiKeyError;

    fn try_from(text: String) -> Result<Self, ApiKeyError> {
        text.parse()
    }
}

impl From<ApiKey> for String {
    fn from(key: ApiKey) -> Self {
        key.expose()
    }
}

impl fmt::Display for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:***:***", self.consumer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn written_and_read_again_it_is_the_same(consumer in "[A-Za-z0-9]{1,18}", token in "[A-Za-z0-9]{1,18}", secret in "[A-Z]{8,32}") {
            let key = ApiKey { consumer, token, secret: Secret::from(secret.clone()) };
            prop_assert_eq!(key.expose().parse::<ApiKey>().unwrap(), key.clone());
            let json = serde_json::to_string(&key).unwrap();
            prop_assert_eq!(serde_json::from_str::<ApiKey>(&json).unwrap(), key.clone());
            let shown = format!("{key} {key:?}");
            prop_assert!(!shown.contains(&secret));
        }
    }

    #[test]
    fn other_texts_are_refused_without_repeating_them() {
        for text in ["", "a:b", "a::c", "a:b:c:d", ":a:b:c", "a:b:c:"] {
            assert!(text.parse::<ApiKey>().is_err(), "{text}");
        }
        assert!(!"hunter2".parse::<ApiKey>().unwrap_err().to_string().contains("hunter2"));
    }
}
