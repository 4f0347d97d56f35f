//! Passwords, kept as Argon2id hashes (RFC 9106) in PHC's text form.

use argon2::{
    Argon2,
    password_hash::{PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString},
};
use serde::{Deserialize, Serialize};

use crate::{Secret, random_token};

/// More are refused: hashing them costs.
const LONGEST: usize = 200;

/// A password's hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Password(Secret);

/// Why a password was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Too short or too long.
    #[error("a password has {shortest} to {LONGEST} characters, this one {length}")]
    Length {
        /// Fewest characters that are taken.
        shortest: usize,
        /// Its characters.
        length: usize,
    },
    /// The library failed.
    #[error("the password could not be hashed")]
    Failed,
}

impl Password {
    /// Hashes a password of so many characters at least; takes some hundredths of a second and 19 MiB.
    ///
    /// # Errors
    /// [`PasswordError`]
    pub fn hash(password: &Secret, shortest: usize) -> Result<Self, PasswordError> {
        let length = password.expose().chars().count();
        if !(shortest..=LONGEST).contains(&length) {
            return Err(PasswordError::Length { shortest, length });
        }
        let salt = SaltString::encode_b64(random_token(16).as_bytes()).map_err(|_| PasswordError::Failed)?;
        let hash = Argon2::default().hash_password(password.expose().as_bytes(), &salt);
        Ok(Self(Secret::new(hash.map_err(|_| PasswordError::Failed)?.to_string())))
    }

    /// Whether it is this password; as costly as hashing.
    pub fn is(&self, password: &Secret) -> bool {
        let Ok(hash) = PasswordHash::new(self.0.expose()) else { return false };
        password.expose().len() <= LONGEST * 4
            && Argon2::default().verify_password(password.expose().as_bytes(), &hash).is_ok()
    }

    /// Takes as long as [`Password::is`], where there is no password to compare with: nobody learns by the time which
    /// names have an account.
    pub fn is_not(password: &Secret) {
        let _ = Self::hash(&Secret::from("x"), 1);
        drop(password.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_itself_and_nothing_else() {
        let password = Secret::from("correct horse battery");
        let hash = Password::hash(&password, 12).unwrap();
        assert!(hash.is(&password));
        assert!(!hash.is(&Secret::from("correct horse batterx")));
        assert!(!format!("{hash:?}").contains("argon2"));
        assert_ne!(Password::hash(&password, 12).unwrap(), hash, "no salt");
    }

    #[test]
    fn too_short_and_too_long_ones_are_refused() {
        assert_eq!(
            Password::hash(&Secret::from("hunter2"), 12),
            Err(PasswordError::Length { shortest: 12, length: 7 })
        );
        assert_eq!(
            Password::hash(&Secret::new("x".repeat(201)), 1),
            Err(PasswordError::Length { shortest: 1, length: 201 })
        );
    }
}
