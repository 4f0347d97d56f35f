//! The web console, below `/console/`: files that `cargo xtask console` built from the folder `console`.
//!
//! The console is one page; which view of it is shown is in the path, so a path that is no file is that page. It talks
//! to `/v1` as any client does, and may load nothing from elsewhere. Where the files were not built, a page says so.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)
)]

use axum::{
    Router,
    body::Body,
    extract::Request,
    response::{IntoResponse as _, Redirect, Response},
    routing::get,
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use rust_embed::{EmbeddedFile, RustEmbed};

const PLACE: &str = "/console/";
const PAGE: &str = "index.html";
/// Files below it have a digest in their names.
const NAMED_BY_DIGEST: &str = "assets/";
/// What a browser lets the page do: load and ask what is here, and nothing else; be in nobody's frame.
const POLICY: &str = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const UNBUILT: &str = "<!doctype html><title>Bessemer</title><p>This program was built without its console. \
    <code>cargo xtask console</code> builds the console; then build the program again.";

/// The console's files, each beside its compressed form.
#[derive(RustEmbed)]
#[folder = "../../../console/dist/"]
#[allow_missing = true]
struct Files;

/// Serves the console.
pub fn router() -> Router {
    Router::new()
        .route("/", get(|| async { Redirect::temporary(PLACE) }))
        .route("/console", get(|| async { Redirect::temporary(PLACE) }))
        .route(PLACE, get(serve))
        .route("/console/{*path}", get(serve))
}

/// Whether the console was built when this was compiled.
pub fn is_built() -> bool {
    Files::get(PAGE).is_some()
}

async fn serve(request: Request) -> Response {
    let wanted = request.uri().path().strip_prefix(PLACE).unwrap_or_default();
    let name = if wanted.is_empty() { PAGE } else { wanted };
    let mut response = match (Files::get(name), Files::get(PAGE)) {
        (Some(file), _) => show(name, &file, request.headers()),
        // An old page asks for a file that is gone: a page in its place would be taken for a script.
        (None, _) if name.starts_with(NAMED_BY_DIGEST) => StatusCode::NOT_FOUND.into_response(),
        (None, Some(page)) => show(PAGE, &page, request.headers()),
        (None, None) => unbuilt(),
    };
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

fn show(name: &str, file: &EmbeddedFile, asked: &HeaderMap) -> Response {
    let text = |name| asked.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).unwrap_or_default();
    let digest = format!("\"{}\"", hex::encode(file.metadata.sha256_hash()));
    let mut response = Response::new(Body::empty());
    if text(header::IF_NONE_MATCH) == digest {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        let takes = text(header::ACCEPT_ENCODING).split(',').any(|one| one.trim().starts_with("gzip"));
        let packed = Files::get(&format!("{name}.gz")).filter(|_| takes);
        if packed.is_some() {
            response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let data = packed.map_or_else(|| file.data.clone(), |packed| packed.data);
        *response.body_mut() = Body::from(data.into_owned());
        if let Ok(kind) = HeaderValue::from_str(file.metadata.mimetype()) {
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
        }
    }
    let keep = if name.starts_with(NAMED_BY_DIGEST) { "max-age=31536000, immutable" } else { "no-cache" };
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(keep));
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if let Ok(digest) = HeaderValue::from_str(&digest) {
        response.headers_mut().insert(header::ETAG, digest);
    }
    response
}

fn unbuilt() -> Response {
    let kind = [(header::CONTENT_TYPE, "text/html; charset=utf-8")];
    (StatusCode::NOT_FOUND, kind, UNBUILT).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    async fn get(path: &str, headers: &[(&str, &str)]) -> (http::response::Parts, Vec<u8>) {
        let mut request = Request::get(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = router().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        (parts, body.collect().await.unwrap().to_bytes().to_vec())
    }

    #[tokio::test]
    async fn views_are_the_page_and_lost_scripts_are_not() {
        let (page, text) = get("/console/", &[]).await;
        let (view, same) = get("/console/clusters/0123", &[]).await;
        assert_eq!(page.status, view.status);
        assert_eq!(text, same);
        assert!(page.headers["content-security-policy"].to_str().unwrap().starts_with("default-src 'self';"));
        assert!(page.headers["content-type"].to_str().unwrap().starts_with("text/html"));
        assert_eq!(get("/console/assets/old-1234.js", &[]).await.0.status, StatusCode::NOT_FOUND);
        assert_eq!(get("/", &[]).await.0.headers["location"], "/console/");
        if !is_built() {
            eprintln!("left out: the console is not built");
            assert!(String::from_utf8(text).unwrap().contains("cargo xtask console"));
            return;
        }
        assert_eq!(page.status, StatusCode::OK);
        let tag = page.headers["etag"].to_str().unwrap();
        assert_eq!(get("/console/", &[("if-none-match", tag)]).await.0.status, StatusCode::NOT_MODIFIED);
    }

    #[tokio::test]
    async fn what_is_named_by_its_digest_is_kept_and_sent_compressed() {
        let Some(script) = Files::iter().find(|name| name.starts_with("assets/") && name.ends_with(".js"))
        else {
            eprintln!("left out: the console is not built");
            return;
        };
        let path = format!("/console/{script}");
        let (plain, long) = get(&path, &[]).await;
        let (packed, short) = get(&path, &[("accept-encoding", "br, gzip")]).await;
        assert_eq!(plain.headers.get("content-encoding"), None);
        assert_eq!(packed.headers["content-encoding"], "gzip");
        assert_eq!(packed.headers["content-type"], plain.headers["content-type"]);
        assert!(short.len() < long.len() / 2);
        assert!(packed.headers["cache-control"].to_str().unwrap().ends_with("immutable"));
    }
}
