//! What the distribution specification promises.

use std::fs;

use registry::Registry;
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};

use crate::layout::{INDEX, Layout, MANIFEST, digest};
use crate::served::Served;

struct Peer {
    served: Served,
    client: Client,
}

impl Peer {
    async fn of(layout: &Layout) -> Self {
        Self { served: Served::plain(layout.path()).await, client: Client::new() }
    }

    async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Response {
        let url = format!("http://{}{path}", self.served.address);
        let request = self.client.request(method, url);
        headers
            .iter()
            .fold(request, |request, (name, value)| request.header(*name, *value))
            .send()
            .await
            .unwrap()
    }

    async fn get(&self, path: &str) -> Response {
        self.ask(Method::GET, path, &[]).await
    }

    async fn refusal(&self, path: &str) -> (u16, String) {
        let response = self.get(path).await;
        let status = response.status().as_u16();
        let body: Value = response.json().await.unwrap();
        (status, body["errors"][0]["code"].as_str().unwrap().to_owned())
    }
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
}

async fn layer_of(peer: &Peer, path: &str) -> String {
    let manifest: Value = peer.get(path).await.json().await.unwrap();
    manifest["layers"][0]["digest"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_image_is_pulled_by_tag_and_by_digest() {
    let layout = Layout::sample();
    let peer = Peer::of(&layout).await;
    let version = peer.get("/v2/").await;
    assert_eq!(
        (version.status().as_u16(), header(&version, "docker-distribution-api-version")),
        (200, "registry/2.0")
    );

    for path in
        ["/v2/pause/manifests/3.10.2?ns=registry.k8s.io", "/v2/registry.k8s.io/pause/manifests/3.10.2"]
    {
        let manifest = peer.get(path).await;
        assert_eq!(
            (manifest.status().as_u16(), header(&manifest, "content-type")),
            (200, MANIFEST),
            "{path}"
        );
        let said = header(&manifest, "docker-content-digest").to_owned();
        let bytes = manifest.bytes().await.unwrap();
        assert_eq!(said, digest(&bytes));
        let again = peer.ask(Method::HEAD, &format!("/v2/pause/manifests/{said}"), &[]).await;
        assert_eq!(
            (again.status().as_u16(), header(&again, "content-length")),
            (200, &*bytes.len().to_string())
        );
        let known = peer.ask(Method::GET, path, &[("if-none-match", &format!("\"{said}\""))]).await;
        assert_eq!(known.status().as_u16(), 304);
    }
    let index = peer.get("/v2/coredns/coredns/manifests/v1.14.2").await;
    assert_eq!(header(&index, "content-type"), INDEX);
    let index: Value = index.json().await.unwrap();
    let child = index["manifests"][0]["digest"].as_str().unwrap();
    let layer = layer_of(&peer, &format!("/v2/coredns/coredns/manifests/{child}")).await;

    let blob = peer.get(&format!("/v2/coredns/coredns/blobs/{layer}")).await;
    assert_eq!((blob.status().as_u16(), header(&blob, "content-type")), (200, "application/octet-stream"));
    assert_eq!(
        (header(&blob, "docker-content-digest"), header(&blob, "etag")),
        (&*layer, &*format!("\"{layer}\""))
    );
    assert_eq!(digest(&blob.bytes().await.unwrap()), layer);
}

#[tokio::test]
async fn ranges_of_a_blob() {
    let layout = Layout::sample();
    let peer = Peer::of(&layout).await;
    let layer = layer_of(&peer, "/v2/pause/manifests/3.10.2").await;
    let whole = fs::read(layout.blob_path(&layer)).unwrap();
    let path = format!("/v2/pause/blobs/{layer}");
    let head = peer.ask(Method::HEAD, &path, &[]).await;
    assert_eq!(
        (header(&head, "accept-ranges"), header(&head, "content-length")),
        ("bytes", &*whole.len().to_string())
    );
    for (range, expected) in [
        ("bytes=512-516", whole.get(512..517)),
        ("bytes=512-", whole.get(512..)),
        ("bytes=-100", whole.get(whole.len() - 100..)),
    ] {
        let part = peer.ask(Method::GET, &path, &[("range", range)]).await;
        assert_eq!(part.status().as_u16(), 206, "{range}");
        assert!(header(&part, "content-range").ends_with(&format!("/{}", whole.len())));
        assert_eq!(Some(&*part.bytes().await.unwrap()), expected, "{range}");
    }
    let beyond = format!("bytes={}-", whole.len());
    assert_eq!(peer.ask(Method::GET, &path, &[("range", &beyond)]).await.status().as_u16(), 416);
}

#[tokio::test]
async fn lists_come_in_parts() {
    let mut layout = Layout::sample();
    let newer = layout.image(b"newer pause");
    layout.name("registry.k8s.io/pause:3.11", newer);
    let peer = Peer::of(&layout).await;
    let catalog: Value = peer.get("/v2/_catalog").await.json().await.unwrap();
    assert_eq!(catalog["repositories"], json!(["registry.k8s.io/coredns/coredns", "registry.k8s.io/pause"]));
    let tags: Value = peer.get("/v2/pause/tags/list?ns=registry.k8s.io").await.json().await.unwrap();
    assert_eq!(tags, json!({"name": "pause", "tags": ["3.10.2", "3.11"]}));

    let first = peer.get("/v2/registry.k8s.io/pause/tags/list?n=1").await;
    let link = header(&first, "link").to_owned();
    assert_eq!(link, "</v2/registry.k8s.io/pause/tags/list?n=1&last=3.10.2>; rel=\"next\"");
    let next = link.trim_start_matches('<').split('>').next().unwrap();
    let second = peer.get(next).await;
    assert_eq!(header(&second, "link"), "");
    assert_eq!(second.json::<Value>().await.unwrap()["tags"], json!(["3.11"]));
}

#[tokio::test]
async fn what_is_not_here_is_said_in_the_specifications_words() {
    let layout = Layout::sample();
    let peer = Peer::of(&layout).await;
    let other = digest(b"other");
    let foreign = layer_of(&peer, "/v2/pause/manifests/3.10.2").await;
    for (path, status, code) in [
        ("/v2/pause/manifests/3.9".to_owned(), 404, "MANIFEST_UNKNOWN"),
        (format!("/v2/pause/manifests/{other}"), 404, "MANIFEST_UNKNOWN"),
        ("/v2/pause/manifests/3.10.2?ns=docker.io".into(), 404, "NAME_UNKNOWN"),
        ("/v2/nginx/tags/list".into(), 404, "NAME_UNKNOWN"),
        (format!("/v2/pause/blobs/{other}"), 404, "BLOB_UNKNOWN"),
        (format!("/v2/coredns/coredns/blobs/{foreign}"), 404, "BLOB_UNKNOWN"),
        ("/v2/pause/blobs/sha256:12".into(), 400, "DIGEST_INVALID"),
        ("/v2/Pause/tags/list".into(), 400, "NAME_INVALID"),
        ("/v2/pause/tags/list?n=many".into(), 400, "UNSUPPORTED"),
        ("/v1/pause".into(), 404, "UNSUPPORTED"),
    ] {
        assert_eq!(peer.refusal(&path).await, (status, code.to_owned()), "{path}");
    }
    for (method, path) in [
        (Method::POST, "/v2/pause/blobs/uploads/"),
        (Method::PUT, "/v2/pause/manifests/3.10.2"),
        (Method::PATCH, "/v2/pause/blobs/uploads/1"),
        (Method::DELETE, "/v2/pause/manifests/3.10.2"),
    ] {
        let response = peer.ask(method, path, &[]).await;
        assert_eq!((response.status().as_u16(), header(&response, "allow")), (405, "GET, HEAD"), "{path}");
        let body: Value = response.json().await.unwrap();
        assert_eq!(body["errors"][0]["code"], "UNSUPPORTED");
    }
}

#[tokio::test]
async fn a_damaged_blob_is_refused_by_name_also_when_it_is_damaged_later() {
    let layout = Layout::sample();
    let peer = Peer::of(&layout).await;
    let layer = layer_of(&peer, "/v2/pause/manifests/3.10.2").await;
    let (path, file) = (format!("/v2/pause/blobs/{layer}"), layout.blob_path(&layer));
    assert_eq!(peer.get(&path).await.status().as_u16(), 200);

    let whole = fs::read(&file).unwrap();
    let mut damaged = whole.clone();
    damaged[512] ^= 1;
    fs::write(&file, damaged).unwrap();
    for headers in [vec![], vec![("range", "bytes=0-9")]] {
        for method in [Method::GET, Method::HEAD] {
            assert_eq!(peer.ask(method, &path, &headers).await.status().as_u16(), 500);
        }
    }
    let body: Value = peer.get(&path).await.json().await.unwrap();
    assert_eq!(body["errors"][0]["code"], "DIGEST_INVALID");
    assert!(body["errors"][0]["message"].as_str().unwrap().contains(&layer), "{body}");

    fs::write(&file, whole).unwrap();
    assert_eq!(peer.get(&path).await.status().as_u16(), 200, "a mended blob is served again");
}

#[test]
fn a_layout_with_holes_is_not_opened() {
    let error = |layout: &Layout| Registry::open(layout.path()).unwrap_err().to_string();
    assert!(error(&Layout::new()).contains("index.json"));

    let mut damaged = Layout::new();
    let pause = damaged.image(b"pause");
    damaged.name("registry.k8s.io/pause:1", pause.clone());
    let digest = pause["digest"].as_str().unwrap();
    let mut bytes = fs::read(damaged.blob_path(digest)).unwrap();
    bytes.push(b' ');
    fs::write(damaged.blob_path(digest), bytes).unwrap();
    let said = error(&damaged);
    assert!(said.contains(digest.trim_start_matches("sha256:")) && said.contains("digest"), "{said}");

    let mut short = Layout::new();
    let pause = short.image(b"pause");
    short.name("registry.k8s.io/pause:1", pause.clone());
    let manifest: Value =
        serde_json::from_slice(&fs::read(short.blob_path(pause["digest"].as_str().unwrap())).unwrap())
            .unwrap();
    let layer = manifest["layers"][0]["digest"].as_str().unwrap();
    fs::write(short.blob_path(layer), "x").unwrap();
    assert!(error(&short).contains("1 bytes instead of"), "{}", error(&short));
    fs::remove_file(short.blob_path(layer)).unwrap();
    assert!(error(&short).contains(layer.trim_start_matches("sha256:")));

    let mut twice = Layout::new();
    for content in [b"one", b"two"] {
        let image = twice.image(content);
        twice.name("registry.k8s.io/pause:1", image);
    }
    assert!(error(&twice).contains("twice"));

    let mut nameless = Layout::new();
    let image = nameless.image(b"one");
    nameless.name("Not a name", image);
    assert!(error(&nameless).contains("Not a name"));
}
