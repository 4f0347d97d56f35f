//! Clusters' own APIs, through their gateways: `/kubernetes/{uid}/…`.
//!
//! A kubeconfig that the plane gives out names this path and carries a token: one person, one cluster, some hours. Each
//! request looks anew at what the person may do, and goes through the tunnel with a grant of its own; at the site it
//! becomes a request of that person, and the cluster's own rules decide.

use axum::{
    Router,
    body::Body,
    extract::{Path, Request, State as Shared},
    response::Response,
    routing::any,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use gateway_protocol::kubernetes::{ADMINS, VIEWERS};
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use hyper::client::conn::http1;
use jiff::{SignedDuration, Timestamp};
use plane_model::{Cluster, Role, User};
use secrets::Secret;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tunnel::{Actor, AskError, Person, join_upgrades};

use crate::{
    State,
    call::{Call, Caller},
    reply::ApiError,
    server::text,
    token::Token,
};

/// How long a kubeconfig is good; as long as a session can be refreshed.
const LIFE: SignedDuration = SignedDuration::from_hours(8);
/// What tells such tokens from sessions, which have none.
const AUDIENCE: &str = "kubernetes";

/// One person's way into one cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Pass {
    aud: String,
    /// The user.
    sub: String,
    tenant: String,
    cluster: String,
    /// Its end, seconds since 1970.
    exp: i64,
}

impl Token for Pass {
    const AUDIENCE: Option<&'static str> = Some(AUDIENCE);

    fn end(&self) -> i64 {
        self.exp
    }
}

/// The caller's kubeconfig for a cluster.
pub fn kubeconfig(call: &Call, caller: &Caller, name: &str, uid: &str) -> Result<Secret, ApiError> {
    let pass = Pass {
        aud: AUDIENCE.to_owned(),
        sub: caller.user.clone(),
        tenant: caller.tenant.clone(),
        cluster: uid.to_owned(),
        exp: (Timestamp::now() + LIFE).as_second(),
    };
    let unmade = || ApiError::unavailable("Unwritable", "no token could be made");
    let token = pass.token(&call.state.session_key).ok_or_else(unmade)?;
    let mut server = json!({ "server": format!("https://{}/kubernetes/{uid}", call.host) });
    if let (Some(pem), Some(fields)) = (&call.state.authority, server.as_object_mut()) {
        fields.insert("certificate-authority-data".to_owned(), json!(STANDARD.encode(pem)));
    }
    let user = call.state.store.get::<User>(&caller.tenant, &caller.user);
    let user = user.map_or_else(|| caller.user.clone(), |user| user.value.meta.name.clone());
    // JSON is YAML, and this is what every client of Kubernetes reads.
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "contexts": [{ "name": name, "context": { "cluster": name, "user": user } }],
        "clusters": [{ "name": name, "cluster": server }],
        "users": [{ "name": user, "user": { "token": token.expose() } }],
    });
    serde_json::to_string_pretty(&config).map(Secret::new).map_err(|_| unmade())
}

/// Serves clusters' APIs.
pub fn router(state: State) -> Router {
    Router::new()
        .route("/kubernetes/{uid}", any(proxy))
        .route("/kubernetes/{uid}/", any(proxy))
        .route("/kubernetes/{uid}/{*path}", any(proxy))
        .with_state(state)
}

async fn proxy(
    Shared(state): Shared<State>,
    Path(captured): Path<Vec<(String, String)>>,
    request: Request,
) -> Response {
    let uid = captured.first().map(|(_, uid)| uid.clone()).unwrap_or_default();
    match pass_on(&state, &uid, request).await {
        Ok(response) => response,
        Err(refusal) => refusal.respond(),
    }
}

/// Why a request does not reach its cluster.
#[derive(Debug, PartialEq, Eq)]
struct Refusal {
    status: StatusCode,
    message: String,
}

impl Refusal {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    /// As text: of an error before it knows the API, kubectl shows no other body.
    fn respond(self) -> Response {
        tracing::info!(
            code = self.status.as_u16(),
            message = self.message,
            "a request to a cluster was refused"
        );
        let mut response = Response::new(Body::from(self.message));
        *response.status_mut() = self.status;
        let text = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, text);
        response
    }
}

async fn pass_on(state: &State, uid: &str, mut request: Request) -> Result<Response, Refusal> {
    let (actor, overlord) = whose(state, uid, request.headers(), Timestamp::now())?;
    let place =
        state.proxied.clone().try_acquire_owned().map_err(|_| {
            Refusal::new(StatusCode::TOO_MANY_REQUESTS, "the plane carries too many requests")
        })?;
    let gone = |message: String| Refusal::new(StatusCode::BAD_GATEWAY, message);
    let stream = state.fleet.kubernetes(&actor, &overlord, uid).await.map_err(|error| match error {
        AskError::Refused(why) => {
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, format!("at the site: {why}"))
        }
        other => Refusal::new(StatusCode::SERVICE_UNAVAILABLE, other.to_string()),
    })?;
    let (mut sender, connection) =
        http1::handshake(stream.into_inner()).await.map_err(|error| gone(error.to_string()))?;
    tokio::spawn(async move {
        let _place = place;
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "a stream to a cluster ended");
        }
    });
    let upgrade = hyper::upgrade::on(&mut request);
    let sent = sender.send_request(at_the_cluster(request, uid)).await;
    let mut response = sent.map_err(|error| gone(error.to_string()))?;
    join_upgrades(upgrade, &mut response);
    Ok(response.map(Body::new))
}

/// Who asks, as clusters know people, and by which gateway the cluster is reached.
fn whose(state: &State, uid: &str, headers: &HeaderMap, now: Timestamp) -> Result<(Actor, String), Refusal> {
    let unknown = || {
        Refusal::new(
            StatusCode::UNAUTHORIZED,
            "the kubeconfig has ended, or is for another cluster: get it again from the plane",
        )
    };
    // No cookie: another site's page could send one.
    let token = text(headers, "authorization").and_then(|value| value.strip_prefix("Bearer "));
    let pass = token.and_then(|token| Pass::read(token, &state.session_key, now)).ok_or_else(unknown)?;
    let user = state.store.get::<User>(&pass.tenant, &pass.sub).ok_or_else(unknown)?;
    if pass.cluster != uid {
        return Err(unknown());
    }
    let gone = || Refusal::new(StatusCode::NOT_FOUND, format!("there is no cluster {uid} here"));
    let cluster = state.store.get::<Cluster>(&pass.tenant, uid).ok_or_else(gone)?;
    let group = match user.value.rights.role(cluster.value.owner.project()) {
        Some(Role::Admin) => ADMINS,
        Some(Role::Viewer) => VIEWERS,
        None => return Err(gone()),
    };
    let name = user.value.meta.name.clone();
    let person = Person { name, groups: vec![group.to_owned()] };
    let actor = Actor { name: format!("user:{}", pass.sub), tenant: pass.tenant, person: Some(person) };
    Ok((actor, cluster.value.overlord.clone()))
}

/// The request as the API server gets it: its own path, none of what was for the plane.
fn at_the_cluster(request: Request, uid: &str) -> Request {
    let (mut parts, body) = request.into_parts();
    let all = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let own = all.strip_prefix("/kubernetes/").and_then(|rest| rest.strip_prefix(uid)).unwrap_or_default();
    let own = if own.starts_with('/') { own.to_owned() } else { format!("/{own}") };
    parts.uri = own.parse().unwrap_or_else(|_| Uri::from_static("/"));
    parts.version = http::Version::HTTP_11;
    parts.headers.remove(header::AUTHORIZATION);
    parts.headers.remove(header::COOKIE);
    parts.headers.insert(header::HOST, HeaderValue::from_static("kubernetes"));
    Request::from_parts(parts, body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Session;
    use jiff::ToSpan as _;

    fn pass() -> Pass {
        let exp = (Timestamp::UNIX_EPOCH + LIFE).as_second();
        Pass { aud: AUDIENCE.into(), sub: "u".into(), tenant: "t".into(), cluster: "c".into(), exp }
    }

    #[test]
    fn a_pass_is_no_session_and_a_session_no_pass() {
        let (key, now) = (Secret::from("k"), Timestamp::UNIX_EPOCH);
        let token = pass().token(&key).unwrap();
        assert_eq!(Pass::read(token.expose(), &key, now), Some(pass()));
        assert_eq!(Pass::read(token.expose(), &key, now + 9.hours()), None);
        assert_eq!(Pass::read(token.expose(), &Secret::from("o"), now), None);
        assert_eq!(Session::read(token.expose(), &key, now), None);
        let session = Session::begin("t", "u", now).token(&key).unwrap();
        assert_eq!(Pass::read(session.expose(), &key, now), None);
    }

    #[test]
    fn the_cluster_sees_its_own_paths_and_no_credentials_of_the_plane() {
        for (sent, wanted) in [
            ("/kubernetes/c/api/v1/pods?watch=true", "/api/v1/pods?watch=true"),
            ("/kubernetes/c", "/"),
            ("/kubernetes/c/", "/"),
            ("/kubernetes/c?timeout=1", "/?timeout=1"),
        ] {
            let request = Request::get(sent).header("authorization", "Bearer x").header("cookie", "y");
            let passed = at_the_cluster(request.body(Body::empty()).unwrap(), "c");
            assert_eq!(passed.uri().to_string(), wanted);
            assert_eq!(passed.headers().len(), 1);
        }
    }
}
