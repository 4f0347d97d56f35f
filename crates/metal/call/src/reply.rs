//! What a handler answers, with MAAS's codes and content types.

use std::collections::BTreeMap;

use axum::{body::Body, response::Response};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use model::ops::OpError;
use oauth::OAuthError;
use serde_json::Value;
use store::CommitError;

/// What a handler answers.
pub type Answer = Result<Reply, ApiError>;

const JSON: &str = "application/json; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

/// An answer that is not a refusal.
#[derive(Debug, Clone)]
pub enum Reply {
    /// 200 with JSON.
    Json(Value),
    /// 200 with JSON that is already text.
    RawJson(Bytes),
    /// 200 with a JSON list of machines, written as the client takes it.
    Machines(render::Machines),
    /// 200 with JSON of exactly `application/json` (settings, `describe/`).
    PlainJson(Value),
    /// 201 with JSON.
    Created(Value),
    /// 201 without a body.
    CreatedEmpty,
    /// 200 with text.
    Text(String),
    /// 200 with bytes of this content type.
    Bytes(&'static str, Bytes),
    /// 200 with the text `OK`.
    Ok,
    /// 204.
    NoContent,
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// 400: what is wrong with which parameters, as a JSON object.
    #[error("{}", fields_text(.0))]
    Fields(BTreeMap<String, Vec<String>>),
    /// 400 with text.
    #[error("{0}")]
    Bad(String),
    /// 401 with text.
    #[error("{0}")]
    Unauthorized(String),
    /// 403 with text.
    #[error("{0}")]
    Forbidden(String),
    /// 404: no object of this class, such as `Machine`.
    #[error("No {0} matches the given query.")]
    NotFound(String),
    /// 404 with these words.
    #[error("{0}")]
    Missing(String),
    /// 405.
    #[error("")]
    MethodNotAllowed,
    /// 409 with text.
    #[error("{0}")]
    Conflict(String),
    /// 410 with text.
    #[error("{0}")]
    Gone(String),
    /// 413 with text.
    #[error("{0}")]
    TooLarge(String),
    /// 501: MAAS has it, this does not.
    #[error("{0}")]
    NotImplemented(String),
    /// 503 with text; the client may try again.
    #[error("{0}")]
    Unavailable(String),
}

impl ApiError {
    /// One message about one parameter.
    pub fn field(name: &str, message: impl Into<String>) -> Self {
        Self::Fields(BTreeMap::from([(name.to_owned(), vec![message.into()])]))
    }

    /// The status code.
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Fields(_) | Self::Bad(_) => StatusCode::BAD_REQUEST,
            Self::Unauthorized(_) => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::NotFound(_) | Self::Missing(_) => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::Gone(_) => StatusCode::GONE,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NotImplemented(_) => StatusCode::NOT_IMPLEMENTED,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// Collects what is wrong with the parameters of one call.
#[derive(Debug, Clone, Default)]
pub struct Faults(BTreeMap<String, Vec<String>>);

impl Faults {
    /// Adds a message about a parameter.
    pub fn add(&mut self, field: &str, message: impl Into<String>) {
        self.0.entry(field.to_owned()).or_default().push(message.into());
    }

    /// Fails if anything was added.
    ///
    /// # Errors
    /// [`ApiError::Fields`] with all of it.
    pub fn check(self) -> Result<(), ApiError> {
        if self.0.is_empty() { Ok(()) } else { Err(ApiError::Fields(self.0)) }
    }
}

impl From<CommitError> for ApiError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Conflict { .. } | CommitError::Taken { .. } => Self::Conflict(error.to_string()),
            CommitError::Backend(_) => Self::Unavailable(error.to_string()),
        }
    }
}

impl From<OpError> for ApiError {
    fn from(error: OpError) -> Self {
        match error {
            OpError::NotFound => Self::NotFound("Machine".to_owned()),
            OpError::Illegal(_) | OpError::State(_) => Self::Conflict(error.to_string()),
            OpError::Forbidden(words) => Self::Forbidden(words),
            OpError::Invalid { field, message } => Self::field(&field, message),
            OpError::Exhausted(words) => Self::Unavailable(words),
            OpError::Store(error) => error.into(),
        }
    }
}

impl From<OAuthError> for ApiError {
    fn from(error: OAuthError) -> Self {
        match error {
            OAuthError::Timestamp(_) => Self::Bad(error.to_string()),
            OAuthError::Busy => Self::Unavailable(error.to_string()),
            _ => Self::Unauthorized(error.to_string()),
        }
    }
}

/// The HTTP response of an answer.
pub fn respond(answer: Answer) -> Response {
    match answer {
        Ok(reply) => reply.into_response(),
        Err(error) => error.into_response(),
    }
}

impl Reply {
    fn into_response(self) -> Response {
        match self {
            Self::Json(value) => with(StatusCode::OK, JSON, value.to_string()),
            Self::RawJson(bytes) => with(StatusCode::OK, JSON, bytes),
            Self::Machines(list) => {
                with(StatusCode::OK, JSON, Body::from_stream(futures_util::stream::iter(list)))
            }
            Self::PlainJson(value) => with(StatusCode::OK, "application/json", value.to_string()),
            Self::Created(value) => with(StatusCode::CREATED, JSON, value.to_string()),
            Self::CreatedEmpty => with(StatusCode::CREATED, "text/html; charset=utf-8", Body::empty()),
            Self::Text(text) => with(StatusCode::OK, "text/plain", text),
            Self::Bytes(kind, bytes) => with(StatusCode::OK, kind, bytes),
            Self::Ok => with(StatusCode::OK, "text/plain", "OK"),
            Self::NoContent => with(StatusCode::NO_CONTENT, "text/plain", Body::empty()),
        }
    }
}

impl ApiError {
    fn into_response(self) -> Response {
        let status = self.status();
        if let Self::Fields(fields) = &self {
            return with(status, JSON, Value::from_iter(fields.clone()).to_string());
        }
        let kind = match &self {
            Self::MethodNotAllowed => "text/html; charset=utf-8",
            Self::Unauthorized(words) if words.starts_with("Authorization Error") => {
                "text/html; charset=utf-8"
            }
            Self::NotFound(_) | Self::Gone(_) => "text/plain",
            Self::Unauthorized(words) if words == "Forbidden" => "text/plain",
            _ => TEXT,
        };
        let mut response = with(status, kind, self.to_string());
        if let Self::Unavailable(_) = self {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("10"));
        }
        response
    }
}

fn with(status: StatusCode, kind: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn fields_text(fields: &BTreeMap<String, Vec<String>>) -> String {
    let parts: Vec<_> =
        fields.iter().map(|(name, messages)| format!("{name}: {}", messages.join(" "))).collect();
    parts.join("; ")
}
