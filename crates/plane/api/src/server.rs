//! From an HTTP request to a handler and back.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Request, State as Shared},
    response::Response,
    routing::any,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use plane_model::{ApiKey, KeyText, PLANE, Project, User, claim, of_tenant};
use secrets::Secret;

use crate::{
    State,
    call::{CONFLICT, Call, Caller},
    kubernetes,
    reply::{ApiError, Reply},
    resources,
    route::{self, Access, Route},
    session::Session,
    token::Token,
};
use plane_model::Role;

/// So often a call is decided where what it is about changes all the time.
const TRIES: u32 = 8;
/// Bytes of a body at most.
const BODY_LIMIT: usize = 4 << 20;

/// Serves the API below `/v1`, and clusters' own below `/kubernetes`.
pub fn router(state: State) -> Router {
    let clusters = kubernetes::router(state.clone());
    let server = Arc::new(Server { state, table: resources::table() });
    Router::new().fallback(any(serve)).with_state(server).merge(clusters)
}

#[derive(Debug)]
struct Server {
    state: State,
    table: Vec<Route>,
}

/// Whose credentials a request has.
struct Holder {
    tenant: String,
    user: String,
    session: Option<Session>,
}

async fn serve(Shared(server): Shared<Arc<Server>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let segments: Vec<String> = path
        .split('/')
        .filter(|segment| !segment.is_empty())
        .map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned())
        .collect();
    let routes = route::find(&server.table, &segments);
    let Some((first, _)) = routes.first() else {
        return ApiError::not_found("route", &path).respond();
    };
    let label = http_base::Route(first.path);
    let chosen = routes.iter().find(|(route, _)| route.method == request.method());
    let mut response = match chosen {
        Some((route, captured)) => match server.answer(route, captured, request).await {
            Ok(reply) => reply.respond(route.status),
            Err(error) => error.respond(),
        },
        None => not_allowed(&routes),
    };
    response.extensions_mut().insert(label);
    // What one caller sees is not for another one's cache.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn not_allowed(routes: &[(&Route, Vec<String>)]) -> Response {
    let methods: Vec<&str> = routes.iter().map(|(route, _)| route.method.as_str()).collect();
    let methods = methods.join(", ");
    let mut response = ApiError {
        status: StatusCode::METHOD_NOT_ALLOWED,
        code: "MethodNotAllowed",
        message: format!("this takes {methods}"),
    }
    .respond();
    if let Ok(methods) = HeaderValue::from_str(&methods) {
        response.headers_mut().insert(header::ALLOW, methods);
    }
    response
}

impl Server {
    async fn answer(&self, route: &Route, captured: &[String], request: Request) -> Result<Reply, ApiError> {
        let (parts, body) = request.into_parts();
        if self.state.fleet.is_replica() {
            // What a client wrote at one replica it reads at all.
            self.catch_up().await?;
        }
        let caller = self.caller(&parts.headers, &parts.method)?;
        let caller = allow(route.access, caller)?;
        let query = form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes());
        let call = Call {
            state: self.state.clone(),
            caller,
            host: host(&parts),
            content_type: text(&parts.headers, "content-type").unwrap_or_default().to_owned(),
            path: captured.to_vec(),
            query: query.into_owned().collect(),
            body: read(body).await?,
        };
        // A gateway's report may come between a handler's look and its commit. Then nothing was written, and what the
        // client wants is decided anew.
        for _ in 1..TRIES {
            match (route.handler)(call.clone()).await {
                Err(error) if error.code == CONFLICT => self.catch_up().await?,
                done => return done,
            }
        }
        (route.handler)(call).await
    }

    async fn catch_up(&self) -> Result<(), ApiError> {
        self.state.store.catch_up().await.map_err(|error| {
            tracing::error!(%error, "the store could not be read");
            ApiError::unavailable("StoreUnavailable", "the plane cannot read its database: try again")
        })
    }

    /// Who calls, where the call says so; one that says so wrongly is refused.
    fn caller(&self, headers: &HeaderMap, method: &Method) -> Result<Option<Caller>, ApiError> {
        let Some(Holder { tenant, user, session }) = self.holder(headers, method)? else { return Ok(None) };
        let store = &self.state.store;
        let found = store.get::<User>(&tenant, &user).ok_or_else(ApiError::unauthorized)?;
        let project = text(headers, "projectuid").filter(|uid| !uid.is_empty()).map(str::to_owned);
        let caller = Caller { tenant, user, rights: found.value.rights.clone(), project, session };
        if let Some(project) = &caller.project {
            // One that is not there, or not the caller's to see: nobody learns which.
            let there =
                store.get::<Project>(&caller.tenant, project).is_some() && caller.rights.sees(project);
            if !there {
                return Err(ApiError::not_found("project", project));
            }
        }
        Ok(Some(caller))
    }

    fn holder(&self, headers: &HeaderMap, method: &Method) -> Result<Option<Holder>, ApiError> {
        let now = Timestamp::now();
        if let Some(key) = text(headers, "apikey").filter(|key| !key.is_empty()) {
            return self.by_key(key, now).map(Some).ok_or_else(ApiError::unauthorized);
        }
        // A cookie comes by itself, also from another site's page: it may look, and change nothing without the header
        // that such a page cannot send.
        let cookie =
            || cookie(headers).filter(|_| method == Method::GET || headers.contains_key("x-requested-with"));
        let Some(token) = text(headers, "authorization").or_else(cookie) else { return Ok(None) };
        let session =
            Session::read(token, &self.state.session_key, now).ok_or_else(ApiError::unauthorized)?;
        let (tenant, user) = (session.tenant.clone(), session.sub.clone());
        Ok(Some(Holder { tenant, user, session: Some(session) }))
    }

    fn by_key(&self, key: &str, now: Timestamp) -> Option<Holder> {
        let owner = self.state.store.holder(PLANE, claim::API_KEY, &KeyText(Secret::from(key)).hash())?;
        let (tenant, uid) = of_tenant(&owner)?;
        let record = self.state.store.get::<ApiKey>(tenant, uid)?;
        let user = record.value.user.clone();
        record.value.is_good(now).then(|| Holder { tenant: tenant.to_owned(), user, session: None })
    }
}

/// Lets a caller through to a route, or not.
fn allow(access: Access, caller: Option<Caller>) -> Result<Option<Caller>, ApiError> {
    let (resource, verb, in_project) = match access {
        Access::Anyone => return Ok(caller),
        Access::SignedIn => return caller.map(Some).ok_or_else(ApiError::unauthorized),
        Access::InProject(resource, verb) => (resource, verb, true),
        Access::InTenant(resource, verb) => (resource, verb, false),
    };
    let caller = caller.ok_or_else(ApiError::unauthorized)?;
    let project = caller.project.as_deref().filter(|_| in_project);
    let allowed = match caller.rights.role(project) {
        Some(Role::Admin) => true,
        Some(Role::Viewer) => verb.only_looks(),
        None => false,
    };
    if allowed {
        return Ok(Some(caller));
    }
    let whereabouts = project.map_or_else(|| "the tenant".to_owned(), |uid| format!("project {uid}"));
    Err(ApiError::forbidden(format!("you lack {}.{} in {whereabouts}", resource.name(), verb.name())))
}

async fn read(body: Body) -> Result<Bytes, ApiError> {
    let read = Limited::new(body, BODY_LIMIT).collect().await;
    read.map(http_body_util::Collected::to_bytes).map_err(|error| {
        if error.is::<http_body_util::LengthLimitError>() {
            ApiError {
                status: StatusCode::PAYLOAD_TOO_LARGE,
                code: "TooLarge",
                message: format!("a body has {BODY_LIMIT} bytes at most"),
            }
        } else {
            ApiError::bad(format!("the body was cut off: {error}"))
        }
    })
}

pub(crate) fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// By which name the caller found the plane.
fn host(parts: &http::request::Parts) -> String {
    let authority = parts.uri.authority().map(http::uri::Authority::as_str);
    authority.or_else(|| text(&parts.headers, "host")).unwrap_or_default().to_owned()
}

/// The session in a cookie, as `setCookie` makes it.
fn cookie(headers: &HeaderMap) -> Option<&str> {
    let all = text(headers, "cookie")?;
    all.split(';').find_map(|one| one.trim().strip_prefix("Authorization="))
}
