//! Clusters' API servers, for people whom the plane names.
//!
//! A stream of the tunnel carries HTTP/1.1 of one person, as its grant says; no other credentials pass. Each request
//! goes to the API server as this site's administrator who impersonates that person, so the cluster's own rules decide
//! and its own audit names the person. The server is reached by the addresses of the control plane's machines: the
//! gateway needs no DNS of the site.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::{MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use axum::body::Body;
use gateway_protocol::{Problem, ProblemCode, Report, kubernetes};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use secrets::Secret;
use tokio::{io::DuplexStream, net::TcpStream, time::timeout};
use tunnel::{Grant, Person, Stream, Targets, join_upgrades};

use super::{Clusters, engine, observe, reconcile};

/// The way into a cluster is looked for anew after this: its control plane may have moved, its certificates been renewed.
const FRESH: Duration = Duration::from_mins(1);
/// How long an API server may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(3);
/// Bytes of a request at most; Kubernetes takes 3 MiB.
const REQUEST: usize = 4 << 20;
/// Bytes on the way within this process.
const PIPE: usize = 256 << 10;

/// The way into a cluster, with an administrator's credentials.
#[derive(Clone)]
pub(super) struct Way {
    pub(super) client: Client,
    pub(super) kubeconfig: Secret,
    made: Instant,
}

#[async_trait]
impl Targets for Clusters {
    async fn open(&self, grant: &Grant, target: &str) -> io::Result<Stream> {
        let denied = |why: String| io::Error::new(io::ErrorKind::PermissionDenied, why);
        let uid = kubernetes::cluster(target)
            .ok_or_else(|| denied(format!("{target} is no target of this gateway")))?;
        let person = grant.person.clone().ok_or_else(|| denied("the grant names no person".to_owned()))?;
        let way = self.way(uid).await.map_err(|problem| match problem.code {
            ProblemCode::NotFound => io::Error::new(io::ErrorKind::NotFound, problem.message),
            _ => io::Error::other(problem.message),
        })?;
        let (ours, theirs) = tokio::io::duplex(PIPE);
        let (clusters, uid) = (self.clone(), uid.to_owned());
        tokio::spawn(async move {
            if let Err(error) = serve(theirs, &clusters, &uid, &way.client, &person).await {
                tracing::debug!(%error, cluster = uid, "a person's connection ended");
            }
        });
        Ok(Box::new(ours))
    }
}

impl Clusters {
    /// The way into a cluster.
    pub(super) async fn way(&self, uid: &str) -> Result<Way, Problem> {
        if let Some(way) = self.known_ways().get(uid).filter(|way| way.is_fresh()).cloned() {
            return Ok(way);
        }
        let way = self.find_way(uid).await?;
        let mut known = self.known_ways();
        known.retain(|_, way| way.is_fresh());
        known.insert(uid.to_owned(), way.clone());
        Ok(way)
    }

    /// Has the way into a cluster looked for anew: where it led, nobody answers.
    pub(super) fn forget_way(&self, uid: &str) {
        self.known_ways().remove(uid);
    }

    fn known_ways(&self) -> MutexGuard<'_, HashMap<String, Way>> {
        self.ways.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// By an address of its control plane, since the gateway may not know the site's names.
    async fn find_way(&self, uid: &str) -> Result<Way, Problem> {
        let unusable = |error: &dyn std::fmt::Display| Problem {
            code: ProblemCode::Engine,
            message: format!("the cluster's kubeconfig cannot be used: {error}"),
        };
        let (kept, text) = self.found(uid).await?;
        let mut file = Kubeconfig::from_yaml(text.expose()).map_err(|error| unusable(&error))?;
        let seen = reconcile::look(&self.client().await?, &kept.order, None).await;
        let report = observe::report(&kept.order, &seen.map_err(|error| engine(&error))?);
        for cluster in file.clusters.iter_mut().filter_map(|named| named.cluster.as_mut()) {
            let url: Uri =
                cluster.server.as_deref().unwrap_or_default().parse().map_err(|error| unusable(&error))?;
            if let Some(address) = reached(&report, url.port_u16().unwrap_or(443)).await {
                cluster.tls_server_name = url.host().map(str::to_owned);
                cluster.server = Some(format!("https://{address}"));
            }
        }
        let kubeconfig = serde_json::to_string(&file).map(Secret::new).map_err(|error| unusable(&error))?;
        let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await;
        let mut config = config.map_err(|error| unusable(&error))?;
        config.connect_timeout = Some(CONNECT);
        // What people watch, follow or run may be quiet for as long as it likes.
        (config.read_timeout, config.write_timeout) = (None, None);
        let client = Client::try_from(config).map_err(|error| unusable(&error))?;
        Ok(Way { client, kubeconfig, made: Instant::now() })
    }
}

impl Way {
    fn is_fresh(&self) -> bool {
        self.made.elapsed() < FRESH
    }
}

/// The first address of the control plane's machines that accepts a connection, of ready ones first.
async fn reached(report: &Report, port: u16) -> Option<SocketAddr> {
    let mut machines: Vec<_> = report.machines.iter().filter(|machine| machine.control_plane).collect();
    machines.sort_by_key(|machine| !machine.ready);
    let addresses = machines.into_iter().flat_map(|machine| &machine.addresses);
    for address in addresses.filter_map(|address| address.parse::<IpAddr>().ok()) {
        let address = SocketAddr::new(address, port);
        if let Ok(Ok(_)) = timeout(CONNECT, TcpStream::connect(address)).await {
            return Some(address);
        }
    }
    None
}

/// Answers one person's connection until it ends.
async fn serve(
    stream: DuplexStream,
    clusters: &Clusters,
    uid: &str,
    client: &Client,
    person: &Person,
) -> hyper::Result<()> {
    let answer = service_fn(|request: Request<Incoming>| async move {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let answered = forward(client, person, request).await;
        let response = answered.unwrap_or_else(|refusal| {
            if refusal.status == StatusCode::BAD_GATEWAY {
                clusters.forget_way(uid);
            }
            refusal.respond()
        });
        let status = response.status().as_u16();
        tracing::info!(cluster = uid, person = person.name, %method, path, status, "a person asks a cluster");
        Ok::<_, std::convert::Infallible>(response)
    });
    let http = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), answer);
    http.with_upgrades().await
}

/// Why a request did not reach the API server.
struct Refusal {
    status: StatusCode,
    message: String,
}

impl Refusal {
    /// As text: of an error before it knows the API, kubectl shows no other body.
    fn respond(self) -> Response<Body> {
        let mut response = Response::new(Body::from(self.message));
        *response.status_mut() = self.status;
        let text = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, text);
        response
    }
}

async fn forward(
    client: &Client,
    person: &Person,
    mut request: Request<Incoming>,
) -> Result<Response<Body>, Refusal> {
    let refused = |status, message: String| Refusal { status, message };
    let upgrade = hyper::upgrade::on(&mut request);
    let (mut parts, body) = request.into_parts();
    impersonate(&mut parts.headers, person).map_err(|error| {
        refused(StatusCode::BAD_REQUEST, format!("the person has no usable name: {error}"))
    })?;
    let read = Limited::new(body, REQUEST).collect().await;
    let body = read.map_err(|error| refused(StatusCode::PAYLOAD_TOO_LARGE, error.to_string()))?.to_bytes();
    let sent = client.send(Request::from_parts(parts, body.into())).await;
    let mut response = sent.map_err(|error| {
        refused(StatusCode::BAD_GATEWAY, format!("the cluster's API server does not answer: {error}"))
    })?;
    join_upgrades(upgrade, &mut response);
    Ok(response.map(Body::new))
}

/// Puts the person in the place of all credentials that a request has.
fn impersonate(headers: &mut HeaderMap, person: &Person) -> Result<(), http::header::InvalidHeaderValue> {
    const USER: HeaderName = HeaderName::from_static("impersonate-user");
    const GROUP: HeaderName = HeaderName::from_static("impersonate-group");
    let own: Vec<HeaderName> = headers
        .keys()
        .filter(|name| {
            *name == header::AUTHORIZATION
                || *name == header::COOKIE
                || *name == header::HOST
                || name.as_str().starts_with("impersonate-")
                || name.as_str().starts_with("x-remote-")
        })
        .cloned()
        .collect();
    for name in own {
        headers.remove(name);
    }
    headers.insert(USER, HeaderValue::from_str(&person.name)?);
    for group in &person.groups {
        headers.append(GROUP, HeaderValue::from_str(group)?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_brings_credentials_of_their_own() {
        let mut headers = HeaderMap::new();
        for name in [
            "authorization",
            "cookie",
            "impersonate-user",
            "impersonate-group",
            "impersonate-uid",
            "impersonate-extra-x",
            "x-remote-user",
        ] {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static("system:masters"));
        }
        headers.insert("accept", HeaderValue::from_static("application/json"));
        let person = Person { name: "ada@example.com".into(), groups: vec!["a".into(), "b".into()] };
        impersonate(&mut headers, &person).unwrap();
        assert_eq!(headers.get("impersonate-user").unwrap(), "ada@example.com");
        let groups: Vec<_> = headers.get_all("impersonate-group").iter().collect();
        assert_eq!(groups, ["a", "b"]);
        assert_eq!(headers.len(), 4, "{headers:?}");
        let nameless = Person { name: "a\nb".into(), groups: vec![] };
        assert!(impersonate(&mut headers, &nameless).is_err());
    }
}
