//! HTTP around the decisions.

use std::io;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LINK};
use axum::http::{self, HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use http_base::{PATIENCE, converse};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;
use tower_http::services::ServeFile;

use crate::{Answer, Ask, Blob, Code, Listing, Refusal, Registry, Request};

/// Connections at a time; more wait to be accepted.
const CONNECTIONS: usize = 512;

const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");

/// Answers on `listener` until the future is dropped, which also ends its connections. Plain HTTP without `tls`.
///
/// # Errors
/// When the listener itself fails; a failing connection ends alone.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    registry: Registry,
) -> io::Result<()> {
    let acceptor = tls.map(TlsAcceptor::from);
    let router = registry.router();
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let place = Arc::clone(&places).acquire_owned().await.map_err(io::Error::other)?;
        let (stream, _) = listener.accept().await?;
        let (acceptor, router) = (acceptor.clone(), router.clone());
        connections.spawn(async move {
            let _place = place;
            match acceptor {
                None => converse(stream, router).await,
                Some(acceptor) => match tokio::time::timeout(PATIENCE, acceptor.accept(stream)).await {
                    Ok(Ok(stream)) => converse(stream, router).await,
                    Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
                    Err(_) => tracing::debug!("TLS handshake took too long"),
                },
            }
        });
    }
}

pub(crate) fn router(registry: Registry) -> Router {
    Router::new().fallback(handle).with_state(registry)
}

async fn handle(State(registry): State<Registry>, request: http::Request<Body>) -> Response {
    let mut response = match answer(&registry, request).await {
        Ok(response) => response,
        Err(refusal) => refused(&refusal),
    };
    response.headers_mut().insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
    response
}

async fn answer(registry: &Registry, request: http::Request<Body>) -> Result<Response, Refusal> {
    let query = request.uri().query().unwrap_or_default();
    let ask = Ask { method: request.method(), path: request.uri().path(), query };
    match registry.contents.answer(&Request::parse(ask)?)? {
        Answer::Version => Ok(json(&serde_json::json!({}))),
        Answer::Catalog(list) => {
            let body = json(&serde_json::json!({ "repositories": list.entries }));
            Ok(linked(body, "/v2/_catalog", &list))
        }
        Answer::Tags { name, tags } => {
            let body = json(&serde_json::json!({ "name": name, "tags": tags.entries }));
            Ok(linked(body, &format!("/v2/{name}/tags/list"), &tags))
        }
        Answer::Manifest(manifest) => {
            let about = about(&manifest.digest);
            if is_known(request.headers(), &manifest.digest) {
                return Ok((StatusCode::NOT_MODIFIED, about).into_response());
            }
            let kind = [(CONTENT_TYPE, manifest.media_type.clone())];
            Ok((about, kind, manifest.bytes.clone()).into_response())
        }
        Answer::Blob(blob) => file(registry, blob, request).await,
    }
}

/// A blob, or the range of it that is wanted. Not one byte leaves before all of them are verified.
async fn file(registry: &Registry, blob: &Blob, request: http::Request<Body>) -> Result<Response, Refusal> {
    registry.blobs.verify(blob).await.map_err(|unfit| {
        tracing::error!(blob = blob.digest, "{unfit}");
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Refusal { status, code: Code::DigestInvalid, message: unfit.to_string() }
    })?;
    let about = about(&blob.digest);
    if is_known(request.headers(), &blob.digest) {
        return Ok((StatusCode::NOT_MODIFIED, about).into_response());
    }
    // Never an error: what goes wrong with the file is a response.
    let Ok(found) = ServeFile::new(&blob.path).oneshot(request).await;
    let mut response = found.map(Body::new);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.extend(about);
    Ok(response)
}

/// The headers that name content. Content never changes, so its digest is its entity tag too.
fn about(digest: &str) -> [(HeaderName, HeaderValue); 2] {
    let value = |text: &str| HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""));
    [(CONTENT_DIGEST, value(digest)), (ETAG, value(&format!("\"{digest}\"")))]
}

fn is_known(headers: &HeaderMap, digest: &str) -> bool {
    let tags = headers.get_all(IF_NONE_MATCH).into_iter().filter_map(|value| value.to_str().ok());
    tags.flat_map(|value| value.split(',')).any(|tag| tag.trim().trim_matches('"') == digest)
}

fn json(value: &serde_json::Value) -> Response {
    ([(CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

/// With the link to the next part, where there is one.
fn linked(mut response: Response, path: &str, list: &Listing) -> Response {
    if let (true, Some(last)) = (list.more, list.entries.last()) {
        let next = format!("<{path}?n={}&last={last}>; rel=\"next\"", list.entries.len());
        if let Ok(next) = HeaderValue::from_str(&next) {
            response.headers_mut().insert(LINK, next);
        }
    }
    response
}

fn refused(refusal: &Refusal) -> Response {
    let body = refusal.body();
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (CONTENT_LENGTH, HeaderValue::from(body.len())),
    ];
    let mut response = (refusal.status, headers, body).into_response();
    if refusal.status == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}
