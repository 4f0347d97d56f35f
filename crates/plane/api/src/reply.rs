//! What is answered.

use axum::{body::Body, response::Response};
use http::{HeaderValue, StatusCode, header};
use plane_client::v1::ErrorBody;
use secrets::{Secret, random_token};
use serde::Serialize;
use serde_json::Value;

/// What a handler answers.
pub type Answer = Result<Reply, ApiError>;

/// A success; its status stands in the table of routes.
#[derive(Debug)]
pub enum Reply {
    /// JSON.
    Json(Value),
    /// The id of something new, and the revision of its batch, which is its audit's id.
    Made(String, u64),
    /// JSON, and a cookie with a session.
    SignedIn(Value, Secret),
    /// Nothing, and no such cookie any more.
    SignedOut,
    /// Server-sent events, for as long as both sides go on.
    Live(Body),
    /// A file of this name.
    File(String, Secret),
    /// Nothing.
    Empty,
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// HTTP status.
    pub status: StatusCode,
    /// Stable.
    pub code: &'static str,
    /// What happened, to what, and what to do.
    pub message: String,
}

impl Reply {
    /// JSON of a value.
    pub fn of(value: &impl Serialize) -> Answer {
        serde_json::to_value(value).map(Self::Json).map_err(|error| ApiError {
            status: StatusCode::SERVICE_UNAVAILABLE,
            code: "Unwritable",
            message: error.to_string(),
        })
    }

    /// As HTTP, with the status of its route.
    pub fn respond(self, status: u16) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
        let body = match self {
            Self::Empty => return response,
            Self::SignedOut => {
                set_cookie(&mut response, "Authorization=; Max-Age=0");
                return response;
            }
            Self::Live(body) => {
                let kind = HeaderValue::from_static("text/event-stream");
                response.headers_mut().insert(header::CONTENT_TYPE, kind);
                *response.body_mut() = body;
                return response;
            }
            Self::Json(value) => value,
            Self::File(name, text) => {
                // Nothing else is taken for a file by generated clients.
                let kind = HeaderValue::from_static("application/octet-stream");
                response.headers_mut().insert(header::CONTENT_TYPE, kind);
                if let Ok(named) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
                    response.headers_mut().insert(header::CONTENT_DISPOSITION, named);
                }
                *response.body_mut() = Body::from(text.expose().to_owned());
                return response;
            }
            Self::Made(uid, revision) => {
                response.headers_mut().insert("audituid", HeaderValue::from(revision));
                serde_json::json!({ "uid": uid })
            }
            Self::SignedIn(value, session) => {
                set_cookie(&mut response, &format!("Authorization={}", session.expose()));
                value
            }
        };
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        *response.body_mut() = Body::from(body.to_string());
        response
    }
}

fn set_cookie(response: &mut Response, cookie: &str) {
    let cookie = HeaderValue::from_str(&format!("{cookie}; Path=/; Secure; HttpOnly; SameSite=Strict"));
    if let Ok(mut cookie) = cookie {
        cookie.set_sensitive(true);
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
}

impl ApiError {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    /// 400.
    pub fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "InvalidRequest", message)
    }

    /// 401.
    pub fn unauthorized() -> Self {
        let message = "sign in: header ApiKey, or Authorization with a session that has not ended";
        Self::new(StatusCode::UNAUTHORIZED, "Unauthorized", message)
    }

    /// 403.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "OperationForbidden", message)
    }

    /// 404, also for what somebody else has.
    pub fn not_found(what: &str, uid: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "ResourceNotFound", format!("there is no {what} {uid} here"))
    }

    /// 409.
    pub fn conflict(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, message)
    }

    /// 429: others are served first.
    pub fn busy(message: impl Into<String>) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", message)
    }

    /// 503: the same later may do.
    pub fn unavailable(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, message)
    }

    /// 400 with a code of its own: what was asked for was tried, and does not work.
    pub fn unfit(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// As HTTP.
    pub fn respond(self) -> Response {
        let reference = random_token(8);
        tracing::info!(
            status = self.status.as_u16(),
            code = self.code,
            message = self.message,
            reference,
            "refused"
        );
        let body =
            ErrorBody { code: self.code.to_owned(), message: self.message, details: Value::Null, reference };
        let mut response = Response::new(Body::from(serde_json::to_vec(&body).unwrap_or_default()));
        *response.status_mut() = self.status;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }
}
