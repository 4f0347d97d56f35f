//! Pairing codes: what a person carries from the plane to a new gateway.

use std::{fmt, str::FromStr};

use secrets::{Secret, random_token};
use sha2::{Digest as _, Sha256};

/// First word of every code, so that a wrong paste is noticed.
const PREFIX: &str = "bessemer1";
const SECRET_BYTES: usize = 16;

/// A secret that is good for one pairing, and which authority the plane must show: with it a gateway needs no CA file,
/// and no other plane can take the code. As text `bessemer1.SECRET.FINGERPRINT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairingCode {
    /// Known to the plane and to who may pair.
    pub secret: Secret,
    /// Of the plane's authority.
    pub authority: Fingerprint,
}

/// SHA-256 of a DER certificate or public key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 32]);

/// Why a text is no pairing code. The text is not repeated: it may hold a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is no pairing code, which has three parts with dots between them and begins with {PREFIX}; copy it whole"
)]
pub struct CodeError;

impl PairingCode {
    /// A new one for the plane with this authority.
    pub fn random(authority: Fingerprint) -> Self {
        Self { secret: Secret::new(random_token(SECRET_BYTES)), authority }
    }

    /// The code as text, for the one who asked for it.
    pub fn expose(&self) -> String {
        format!("{PREFIX}.{}.{}", self.secret.expose(), self.authority)
    }
}

impl FromStr for PairingCode {
    type Err = CodeError;

    fn from_str(text: &str) -> Result<Self, CodeError> {
        let mut parts = text.trim().split('.');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(PREFIX), Some(secret), Some(authority), None)
                if secret.len() == SECRET_BYTES * 2
                    && secret.bytes().all(|byte| byte.is_ascii_hexdigit()) =>
            {
                Ok(Self { secret: Secret::from(secret), authority: authority.parse()? })
            }
            _ => Err(CodeError),
        }
    }
}

impl Fingerprint {
    /// Of these DER bytes.
    pub fn of(der: &[u8]) -> Self {
        Self(Sha256::digest(der).into())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Fingerprint {
    type Err = CodeError;

    fn from_str(text: &str) -> Result<Self, CodeError> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| CodeError)?;
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn written_and_read_again_it_is_the_same(authority: [u8; 32]) {
            let code = PairingCode::random(Fingerprint(authority));
            prop_assert_eq!(&format!(" {}\n", code.expose()).parse::<PairingCode>().unwrap(), &code);
            let shown = format!("{code:?}");
            prop_assert!(!shown.contains(code.secret.expose()));
        }

        #[test]
        fn a_part_of_it_is_refused(authority: [u8; 32], cut in 0usize..106) {
            let code = PairingCode::random(Fingerprint(authority)).expose();
            let part: String = code.chars().take(cut.min(code.len() - 1)).collect();
            prop_assert_eq!(part.parse::<PairingCode>(), Err(CodeError));
        }

        #[test]
        fn any_other_text_is_refused(text in ".{0,200}") {
            prop_assert_eq!(text.parse::<PairingCode>(), Err(CodeError));
        }
    }
}
