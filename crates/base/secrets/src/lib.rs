//! Secrets: redacting types, random tokens, constant-time checks, hashes of passwords.
//!
//! A [`Secret`] never shows itself: `Debug` and `Display` print `***`, and only [`Secret::expose`] and
//! serialisation give the value away. Serialisation does so on purpose, because documents are stored with it;
//! so whatever answers a request must be built without secrets, not serialised from the stored document.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)
)]

mod key;
mod password;
mod random;
mod secret;

pub use key::{ApiKey, ApiKeyError};
pub use password::{Password, PasswordError};
pub use random::{random_id, random_token};
pub use secret::{Secret, constant_time_eq};
