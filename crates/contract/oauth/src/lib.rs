//! OAuth 1.0, zero-legged, as MAAS's clients sign and regions check: PLAINTEXT and HMAC-SHA1.
//!
//! A key has a consumer, a token and the token's secret; the consumer's secret is empty. Everybody signs PLAINTEXT
//! ([`authorization`]) except maas-client-go, which signs HMAC-SHA1 over method, URL and parameters (RFC 5849, 3.4).
//! [`Signed`] reads leniently: values quoted or not, the signature percent-encoded or not. [`Signed::verify`] proves
//! an API call, with time and nonce; machines show their credentials to the metadata service by
//! [`Signed::plaintext`] alone, because their clocks may be wrong. A refusal never shows a secret (MAAS's does).

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)
)]

mod nonces;
mod sign;
mod signed;

pub use nonces::{Nonces, WINDOW};
pub use sign::authorization;
pub use signed::{OAuthError, Plaintext, Signed, Subject};
