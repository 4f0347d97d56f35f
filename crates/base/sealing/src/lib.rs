//! Sealing: a text that only the holder of one key can read.
//!
//! HPKE (RFC 9180) in its base mode: X25519, HKDF-SHA256, AES-256-GCM. Who seals needs the public half only. What a
//! secret is sealed *for* is bound into it, so that it opens for nothing else.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)
)]

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustls::crypto::{
    aws_lc_rs::hpke::DH_KEM_X25519_HKDF_SHA256_AES_256 as SUITE,
    hpke::{EncapsulatedSecret, Hpke, HpkePrivateKey, HpkePublicKey},
};
use secrets::Secret;
use serde::{Deserialize, Serialize};

/// Bytes of a key, either half, and of what HPKE puts before the sealed text.
const KEY: usize = 32;

/// A key that opens what was sealed to its public half.
#[derive(Debug, Clone)]
pub struct SealingKey {
    public: SealingPublic,
    private: Secret,
}

/// The half of a key that seals. As text: base64 of 32 bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SealingPublic([u8; KEY]);

/// A sealed text, base64.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sealed(String);

/// Why something could not be sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Not a key.
    #[error("this is no sealing key")]
    Key,
    /// Sealed to another key, for another purpose, or changed since.
    #[error("it was sealed to another key, for something else, or changed since")]
    Foreign,
    /// The cryptographic library failed.
    #[error("sealing failed")]
    Failed,
}

impl SealingKey {
    /// A new one.
    ///
    /// # Errors
    /// [`SealError::Failed`] where there is no randomness.
    pub fn generate() -> Result<Self, SealError> {
        let (public, private) = SUITE.generate_key_pair().map_err(|_| SealError::Failed)?;
        let public = SealingPublic(public.0.try_into().map_err(|_| SealError::Failed)?);
        Ok(Self { public, private: Secret::new(STANDARD.encode(private.secret_bytes())) })
    }

    /// The half that seals.
    pub fn public(&self) -> &SealingPublic {
        &self.public
    }

    /// Both halves as text, for the one file that keeps it.
    pub fn expose(&self) -> Secret {
        Secret::new(format!("{}.{}", String::from(self.public.clone()), self.private.expose()))
    }

    /// Opens what was sealed `purpose`.
    ///
    /// # Errors
    /// [`SealError::Foreign`].
    pub fn open(&self, sealed: &Sealed, purpose: &str) -> Result<Secret, SealError> {
        let bytes = STANDARD.decode(&sealed.0).map_err(|_| SealError::Foreign)?;
        let (encapsulated, text) = bytes.split_at_checked(KEY).ok_or(SealError::Foreign)?;
        let private = STANDARD.decode(self.private.expose()).map_err(|_| SealError::Key)?;
        let opened = SUITE
            .open(
                &EncapsulatedSecret(encapsulated.to_vec()),
                purpose.as_bytes(),
                &[],
                text,
                &HpkePrivateKey::from(private),
            )
            .map_err(|_| SealError::Foreign)?;
        String::from_utf8(opened).map(Secret::new).map_err(|_| SealError::Foreign)
    }
}

impl FromStr for SealingKey {
    type Err = SealError;

    fn from_str(text: &str) -> Result<Self, SealError> {
        let (public, private) = text.trim().split_once('.').ok_or(SealError::Key)?;
        let bytes = STANDARD.decode(private).map_err(|_| SealError::Key)?;
        if bytes.len() != KEY {
            return Err(SealError::Key);
        }
        Ok(Self { public: public.to_owned().try_into()?, private: Secret::from(private) })
    }
}

impl SealingPublic {
    /// Seals a text for a purpose.
    ///
    /// # Errors
    /// [`SealError::Key`] where this is no point of the curve.
    pub fn seal(&self, text: &Secret, purpose: &str) -> Result<Sealed, SealError> {
        let key = HpkePublicKey(self.0.to_vec());
        let (encapsulated, sealed) = SUITE
            .seal(purpose.as_bytes(), &[], text.expose().as_bytes(), &key)
            .map_err(|_| SealError::Key)?;
        Ok(Sealed(STANDARD.encode([encapsulated.0, sealed].concat())))
    }
}

impl TryFrom<String> for SealingPublic {
    type Error = SealError;

    fn try_from(text: String) -> Result<Self, SealError> {
        let bytes = STANDARD.decode(text.trim()).map_err(|_| SealError::Key)?;
        bytes.try_into().map(Self).map_err(|_| SealError::Key)
    }
}

impl From<SealingPublic> for String {
    fn from(key: SealingPublic) -> Self {
        STANDARD.encode(key.0)
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sealed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn opens_for_its_key_and_purpose_only(text in ".{0,60}", at: prop::sample::Index) {
            let (mine, other) = (SealingKey::generate().unwrap(), SealingKey::generate().unwrap());
            let secret = Secret::from(text.as_str());
            let sealed = mine.public().seal(&secret, "maas").unwrap();
            prop_assert_eq!(mine.open(&sealed, "maas").unwrap(), secret.clone());
            let kept: SealingKey = mine.expose().expose().parse().unwrap();
            prop_assert_eq!(kept.open(&sealed, "maas").unwrap(), secret.clone());
            prop_assert_eq!(other.open(&sealed, "maas").unwrap_err(), SealError::Foreign);
            prop_assert_eq!(mine.open(&sealed, "ssh").unwrap_err(), SealError::Foreign);
            let mut bytes = STANDARD.decode(&sealed.0).unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= 1;
            prop_assert_eq!(mine.open(&Sealed(STANDARD.encode(bytes)), "maas").unwrap_err(), SealError::Foreign);
            prop_assert_ne!(mine.public().seal(&secret, "maas").unwrap(), sealed, "the same text shows");
        }

        #[test]
        fn other_texts_are_no_keys(text in ".{0,100}") {
            prop_assert!(text.parse::<SealingKey>().is_err());
            prop_assert!(SealingPublic::try_from(text).is_err());
        }
    }

    #[test]
    fn keys_and_sealed_texts_do_not_show_themselves() {
        let key = SealingKey::generate().unwrap();
        let sealed = key.public().seal(&Secret::from("x"), "p").unwrap();
        let shown = format!("{key:?} {sealed:?}");
        assert!(!shown.contains(key.private.expose()) && !shown.contains(&sealed.0), "{shown}");
    }
}
