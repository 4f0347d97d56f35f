//! From an HTTP request to a handler and back.

use std::{sync::Arc, time::Instant};

use axum::{
    Router,
    body::Body,
    extract::{Request, State as Shared},
    response::Response,
    routing::{any, post},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts};
use jiff::Timestamp;
use model::{ApiToken, SCOPE, User};
use oauth::{OAuthError, Signed, Subject};
use percent_encoding::percent_decode_str;
use store::{Store, Stored};

use api_call::{
    Answer, ApiError, Call, Caller, Params, Reply, State,
    params::ParamsError,
    reply::respond,
    route::{self, Access, Op, Resource},
};

use crate::resources::{self, describe};

/// Bytes of a form or JSON body at most.
const FORM_LIMIT: usize = 1 << 20;
/// Bytes of a multipart or binary body at most, from callers whose key is known.
const FILE_LIMIT: usize = 64 << 20;

const API: &str = "/MAAS/api/2.0/";

/// Serves the API below `/MAAS/api/`.
pub fn router(state: Arc<State>) -> Router {
    let table = resources::all();
    let hash = describe::hash(&table);
    let server = Arc::new(Server { state, table, hash });
    Router::new()
        .route("/MAAS/api/", any(serve))
        .route("/MAAS/api/{*rest}", any(serve))
        .route("/MAAS/accounts/authenticate/", post(authenticate))
        .with_state(server)
}

#[derive(Debug)]
struct Server {
    state: Arc<State>,
    table: Vec<Resource>,
    hash: String,
}

async fn serve(Shared(server): Shared<Arc<Server>>, request: Request) -> Response {
    let (method, path, began) = (request.method().clone(), request.uri().path().to_owned(), Instant::now());
    let mut response = respond(server.answer(request).await);
    if response.status() == StatusCode::METHOD_NOT_ALLOWED
        && let Ok(allowed) = HeaderValue::from_str(&server.allowed(&path))
    {
        response.headers_mut().insert(header::ALLOW, allowed);
    }
    if let Some(target) = server.target(&path) {
        response.extensions_mut().insert(http_base::Route(target.resource.path));
    }
    if let Ok(hash) = HeaderValue::from_str(&server.hash) {
        response.headers_mut().insert("x-maas-api-hash", hash);
    }
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("Authorization,Cookie"));
    tracing::debug!(%method, path, status = response.status().as_u16(), elapsed = ?began.elapsed(), "call");
    response
}

/// An API key for a name and a password, outside of the API as MAAS has it.
async fn authenticate(Shared(server): Shared<Arc<Server>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let read = server.read(&parts, body, false).await;
    respond(match read {
        Ok((form, body)) => {
            let call = Call {
                state: Arc::clone(&server.state),
                caller: None,
                path: Vec::new(),
                query: Params::default(),
                form,
                body,
                base: base(&parts.headers),
                op: "authenticate",
            };
            administration::authenticate(call).await
        }
        Err(error) => Err(error),
    })
}

/// What a request asks for, found from its path and query alone.
struct Target<'t> {
    resource: &'t Resource,
    captures: Vec<String>,
    op: Option<String>,
}

impl Server {
    async fn answer(&self, request: Request) -> Answer {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path();
        match path.trim_end_matches('/') {
            "/MAAS/api/version" => return Ok(Reply::Text("2.0".to_owned())),
            old if old.starts_with("/MAAS/api/1.0") => {
                return Err(ApiError::Gone(
                    "The 1.0 API is no longer available. Please use API version 2.0.".to_owned(),
                ));
            }
            _ => {}
        }
        let unknown = || ApiError::Missing(format!("Unknown API endpoint: {path}."));
        let target = self.target(path).ok_or_else(unknown)?;
        let query = Params::urlencoded(parts.uri.query().unwrap_or_default().as_bytes());
        let (caller, form, body) = self.admit(&parts, &query, body).await?;
        let named = [target.op.as_deref(), query.get("op"), form.get("op")];
        let op = named.into_iter().flatten().find(|op| !op.is_empty());
        let op = choose(target.resource, &parts.method, op, caller.as_ref())?;
        let own = |name: &str| name == "op" || name.starts_with("oauth_");
        let call = Call {
            state: Arc::clone(&self.state),
            caller,
            path: target.captures,
            query: query.without(own),
            form: form.without(own),
            body,
            base: base(&parts.headers),
            op: op.name,
        };
        (op.handler)(call).await
    }

    fn target(&self, path: &str) -> Option<Target<'_>> {
        let mut segments: Vec<String> = path
            .strip_prefix(API)?
            .split('/')
            .filter(|segment| !segment.is_empty())
            .map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned())
            .collect();
        // `cidr:10.0.0.0/24` is one specifier, though it has a slash.
        if let Some(at) =
            segments.iter().position(|segment| segment.starts_with("cidr:") && !segment.contains('/'))
            && at + 1 < segments.len()
        {
            let prefix = segments.remove(at + 1);
            if let Some(segment) = segments.get_mut(at) {
                segment.push('/');
                segment.push_str(&prefix);
            }
        }
        let op = segments.last().and_then(|last| last.strip_prefix("op-")).map(str::to_owned);
        if op.is_some() {
            segments.pop();
        }
        route::join_cidr(&mut segments);
        let (resource, captures) = route::find(&self.table, &segments)?;
        Some(Target { resource, captures, op })
    }

    /// Who calls, with the body read and parsed.
    async fn admit(
        &self,
        parts: &Parts,
        query: &Params,
        body: Body,
    ) -> Result<(Option<Caller>, Params, Bytes), ApiError> {
        let header = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let signed = header.and_then(Signed::from_header).or_else(|| Signed::from_pairs(query.texts()));
        // A key that nobody has is refused before a large body is taken in.
        let known = signed.as_ref().map(|signed| key(signed, self.state.store())).transpose()?;
        let (form, raw) = self.read(parts, body, known.is_some()).await?;
        let Some(signed) = signed.or_else(|| Signed::from_pairs(form.texts())) else {
            return if header.is_some() {
                Err(ApiError::Unauthorized("Forbidden".to_owned()))
            } else {
                Ok((None, form, raw))
            };
        };
        let key = match known {
            Some(key) => key,
            None => key(&signed, self.state.store())?,
        };
        let form_sent = (parts.method == Method::POST).then(|| form.texts());
        let sent: Vec<_> = query.texts().chain(form_sent.into_iter().flatten()).collect();
        let subject = Subject {
            method: parts.method.as_str(),
            host: host(&parts.headers),
            path: parts.uri.path(),
            sent: &sent,
        };
        signed.verify(
            key.value.secret.expose(),
            &subject,
            &self.state.nonces,
            Timestamp::now().as_second(),
        )?;
        let user = self
            .state
            .store()
            .get::<User>(SCOPE, &key.value.user)
            .ok_or_else(|| ApiError::from(OAuthError::Key))?;
        Ok((Some(Caller { user: user.id.clone(), admin: user.value.admin }), form, raw))
    }

    async fn read(&self, parts: &Parts, body: Body, known: bool) -> Result<(Params, Bytes), ApiError> {
        let kind =
            parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let limit = match essence.as_str() {
            "multipart/form-data" | "application/octet-stream" if known => FILE_LIMIT,
            _ => FORM_LIMIT,
        };
        let bytes = axum::body::to_bytes(body, limit)
            .await
            .map_err(|_| ApiError::TooLarge(format!("the body is cut or larger than {limit} bytes")))?;
        if bytes.is_empty() {
            return Ok((Params::default(), bytes));
        }
        let broken = |error: ParamsError| ApiError::Bad(error.to_string());
        match essence.as_str() {
            "multipart/form-data" => {
                Ok((Params::multipart(kind, bytes).await.map_err(broken)?, Bytes::new()))
            }
            "application/json" => Ok((Params::json(&bytes).map_err(broken)?, Bytes::new())),
            "application/x-www-form-urlencoded" => Ok((Params::urlencoded(&bytes), Bytes::new())),
            _ => Ok((Params::default(), bytes)),
        }
    }

    fn allowed(&self, path: &str) -> String {
        let Some(target) = self.target(path) else { return String::new() };
        ["GET", "POST", "PUT", "DELETE"]
            .into_iter()
            .filter(|method| target.resource.ops.iter().any(|op| op.method.as_str() == *method))
            .collect::<Vec<_>>()
            .join(", ")
    }
}

/// The operation, if the caller may have it; refusals in MAAS's words.
fn choose<'t>(
    resource: &'t Resource,
    method: &Method,
    op: Option<&str>,
    caller: Option<&Caller>,
) -> Result<&'t Op, ApiError> {
    if !resource.ops.iter().any(|known| known.method == *method) {
        return Err(ApiError::MethodNotAllowed);
    }
    let found = resource.ops.iter().find(|known| known.method == *method && known.op == op);
    let unrecognised =
        || ApiError::Bad(format!("Unrecognised signature: method={method} op={}", op.unwrap_or("None")));
    match (found, caller) {
        (Some(found), _) if found.access == Access::Anonymous => Ok(found),
        // Where anonymous callers have operations at all, they are told of no others.
        (_, None) if resource.ops.iter().any(|known| known.access == Access::Anonymous) => {
            Err(unrecognised())
        }
        (_, None) => Err(ApiError::Unauthorized("Forbidden".to_owned())),
        (None, Some(_)) => Err(unrecognised()),
        (Some(found), Some(caller)) if found.access == Access::Admin && !caller.admin => {
            Err(ApiError::Forbidden("This method is reserved for admin users.".to_owned()))
        }
        (Some(found), Some(_)) => Ok(found),
    }
}

/// The key that a call is signed with, before any proof.
fn key(signed: &Signed, store: &Store) -> Result<Arc<Stored<ApiToken>>, OAuthError> {
    signed.check_whole()?;
    let (consumer, token) = (signed.consumer()?, signed.token()?);
    let key = store.get::<ApiToken>(SCOPE, token).ok_or_else(|| OAuthError::Token(token.to_owned()))?;
    if secrets::constant_time_eq(&key.value.consumer, consumer) { Ok(key) } else { Err(OAuthError::Key) }
}

fn host(headers: &HeaderMap) -> &str {
    headers.get(header::HOST).and_then(|value| value.to_str().ok()).unwrap_or("localhost")
}

fn base(headers: &HeaderMap) -> String {
    let scheme = match headers.get("x-forwarded-proto").and_then(|value| value.to_str().ok()) {
        Some("https") => "https",
        _ => "http",
    };
    format!("{scheme}://{}", host(headers))
}
