//! Errors as clients of the API read them.

use axum::http::StatusCode;
use serde::Serialize;

/// Error codes of the distribution specification that a read-only registry needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Code {
    /// No such blob in the repository.
    BlobUnknown,
    /// The digest is not one, or the bytes do not have it.
    DigestInvalid,
    /// No such manifest in the repository.
    ManifestUnknown,
    /// The repository's name is not one.
    NameInvalid,
    /// No such repository.
    NameUnknown,
    /// What a read-only registry does not do.
    Unsupported,
}

/// A request that is not granted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// The HTTP status.
    pub status: StatusCode,
    /// The code that clients look at.
    pub code: Code,
    /// The sentence that people read.
    pub message: String,
}

impl Refusal {
    pub(crate) fn not_found(code: Code, message: impl Into<String>) -> Self {
        Self { status: StatusCode::NOT_FOUND, code, message: message.into() }
    }

    pub(crate) fn bad(code: Code, message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code, message: message.into() }
    }

    /// The body: `{"errors": [{"code": …, "message": …}]}`.
    pub fn body(&self) -> String {
        let error = serde_json::json!({ "code": self.code, "message": self.message });
        serde_json::json!({ "errors": [error] }).to_string()
    }
}
