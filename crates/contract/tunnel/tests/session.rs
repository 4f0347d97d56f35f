//! Both ends over real sockets: pairing, commands, reports, streams, and what goes wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod plane;

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use axum::{Extension, Router, body::Body, body::to_bytes, routing::get, routing::post};
use http::Request;
use jiff::{SignedDuration, Timestamp};
use plane::Plane;
use rustls::pki_types::pem::PemObject as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, duplex},
    net::{TcpListener, TcpStream},
};
use tunnel::{
    Actor, AskError, Carrier, Commands, Connect, DialError, Dialler, Enrolment, GatewayKey, Grant, Link,
    LinkState, PEER_ALPN, Peers, Running, Stream, Targets, Tcp, Verifier, hello::RefusalCode,
};

/// Longer than anything here takes.
const LIMIT: Duration = Duration::from_secs(20);

fn actor() -> Actor {
    Actor { name: "user:ada".into(), tenant: plane::TENANT.into(), person: None }
}

/// A site's answers: who asks, an answer that does not come, and one target that repeats what it reads.
fn site(enrolment: &Enrolment) -> Commands {
    let router = Router::new()
        .route("/whoami", get(|Extension(grant): Extension<Grant>| async move { grant.sub }))
        .route("/slow", get(|| async { std::future::pending::<()>().await }))
        .route("/echo", post(|body: axum::body::Bytes| async move { body }));
    let verifier = Verifier::new(enrolment.identity.clone(), &enrolment.grants).unwrap();
    Commands::new(Arc::new(verifier), router, Arc::new(Echo))
}

struct Echo;

#[async_trait]
impl Targets for Echo {
    async fn open(&self, _: &Grant, target: &str) -> io::Result<Stream> {
        if target != "echo" {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("{target} is not allowed")));
        }
        let (ours, theirs) = duplex(4096);
        tokio::spawn(async move {
            let (mut read, mut write) = tokio::io::split(ours);
            let _ = tokio::io::copy(&mut read, &mut write).await;
        });
        Ok(Box::new(theirs))
    }
}

struct Gateway {
    key: GatewayKey,
    enrolment: Enrolment,
    carriers: Vec<Arc<dyn Carrier>>,
}

impl Gateway {
    async fn paired(plane: &Plane, carriers: Vec<Arc<dyn Carrier>>) -> Self {
        let key = GatewayKey::generate().unwrap();
        let enrolment = tunnel::pair(&carriers, &plane.code("one"), &key, "test").await.unwrap();
        Self { key, enrolment, carriers }
    }

    fn start(&self, epoch: u64) -> Running {
        self.start_as(epoch, self.enrolment.clone(), |_| {})
    }

    fn start_as(
        &self,
        epoch: u64,
        enrolment: Enrolment,
        keep: impl Fn(&Enrolment) + Send + 'static,
    ) -> Running {
        let commands = site(&enrolment);
        let (carriers, key) = (self.carriers.clone(), self.key.clone());
        Dialler::new(carriers, "test".into(), epoch, key, enrolment).start(commands, keep)
    }
}

async fn ask(link: &Link, path: &str) -> Result<String, AskError> {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let answer = link.ask(&actor(), request, LIMIT).await?;
    Ok(String::from_utf8(to_bytes(answer.into_body(), 1 << 20).await.unwrap().to_vec()).unwrap())
}

#[tokio::test]
async fn a_paired_gateway_is_asked_and_reports() {
    let plane = Plane::start().await;
    let gateway = Gateway::paired(&plane, vec![plane.tcp()]).await;
    assert_eq!(gateway.enrolment.identity, plane::identity("one"));
    let running = gateway.start(1);
    let link = plane.links.wait(&plane::identity("one").gateway, LIMIT).await.unwrap();
    assert_eq!(ask(&link, "/whoami").await.unwrap(), "user:ada");

    let report = Request::post("/events?x=1").body(Body::from("it happened")).unwrap();
    assert_eq!(running.reports.send(report, LIMIT).await.unwrap().status(), 204);
    let reported = plane.reported.lock().unwrap().clone();
    assert_eq!(reported, [(plane::identity("one"), "it happened".to_owned())]);
}

#[tokio::test]
async fn large_bodies_pass_whole_in_both_directions() {
    let plane = Plane::start().await;
    let gateway = Gateway::paired(&plane, vec![plane.tcp()]).await;
    let _running = gateway.start(1);
    let link = plane.links.wait(&plane::identity("one").gateway, LIMIT).await.unwrap();
    let body: Vec<u8> = (0..20_000_000_u32).map(|number| (number % 251) as u8).collect();
    // axum takes 2 MB unless told otherwise: pieces.
    for piece in body.chunks(1 << 20).take(8) {
        let request = Request::post("/echo").body(Body::from(piece.to_vec())).unwrap();
        let answer = link.ask(&actor(), request, LIMIT).await.unwrap();
        assert_eq!(to_bytes(answer.into_body(), usize::MAX).await.unwrap(), piece);
    }
    let mut stream = link.connect(&actor(), "echo", LIMIT).await.unwrap();
    let (mut from, mut to) = tokio::io::split(&mut stream);
    let mut back = vec![0; body.len()];
    tokio::try_join!(to.write_all(&body), from.read_exact(&mut back)).unwrap();
    assert!(back == body);
}

#[tokio::test]
async fn targets_are_denied_unless_they_are_known() {
    let plane = Plane::start().await;
    let gateway = Gateway::paired(&plane, vec![plane.tcp()]).await;
    let _running = gateway.start(1);
    let link = plane.links.wait(&plane::identity("one").gateway, LIMIT).await.unwrap();
    let refused = link.connect(&actor(), "10.0.0.1:22", LIMIT).await.map(drop).unwrap_err();
    assert_eq!(refused.to_string(), "the gateway refused: 10.0.0.1:22 is not allowed");
    let stranger = Actor { tenant: "another".into(), ..actor() };
    let request = Request::get("/whoami").body(Body::empty()).unwrap();
    let refused = link.ask(&stranger, request, LIMIT).await.unwrap_err();
    assert_eq!(refused.to_string(), "the gateway refused: the grant is for another tenant");
}

#[tokio::test]
async fn another_replica_asks_through_the_one_that_has_the_gateway() {
    let (plane, name) = (Plane::start().await, plane::identity("one"));
    let other = plane.replica().await;
    let gateway = Gateway::paired(&plane, vec![plane.tcp()]).await;
    let _running = gateway.start(1);
    plane.links.wait(&name.gateway, LIMIT).await.unwrap();
    assert!(other.links.get(&name.gateway).is_none());

    let peers = Peers::new(other.authority.clone());
    let at = plane.address.to_string();
    let link = peers.link(&other.links, &at, name.clone()).await.unwrap();
    assert_eq!(ask(&link, "/whoami").await.unwrap(), "user:ada");
    let mut stream = link.connect(&actor(), "echo", LIMIT).await.unwrap();
    stream.write_all(b"there and back").await.unwrap();
    let mut back = [0; 14];
    stream.read_exact(&mut back).await.unwrap();
    assert_eq!(&back, b"there and back");
    let refused = link.connect(&actor(), "10.0.0.1:22", LIMIT).await.map(drop).unwrap_err();
    assert_eq!(refused.to_string(), "the gateway refused: 10.0.0.1:22 is not allowed");

    let gone = peers.link(&other.links, &at, plane::identity("two")).await.unwrap();
    assert!(matches!(ask(&gone, "/whoami").await.unwrap_err(), AskError::Away));
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    let error = peers.link(&other.links, &closed, name.clone()).await.unwrap_err().to_string();
    assert!(error.contains("does not answer"), "{error}");
    // Another plane's replica is none of this one's.
    let stranger = Plane::start().await;
    let strange = Peers::new(stranger.authority.clone());
    assert!(strange.link(&stranger.links, &at, name).await.is_err());
}

#[tokio::test]
async fn a_gateway_is_no_replica() {
    let plane = Plane::start().await;
    let gateway = Gateway::paired(&plane, vec![plane.tcp()]).await;
    let enrolment = &gateway.enrolment;
    let pem = |text: &str| rustls::pki_types::CertificateDer::from_pem_slice(text.as_bytes()).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(pem(&enrolment.authority)).unwrap();
    let key =
        rustls::pki_types::PrivateKeyDer::from_pem_slice(gateway.key.pem().expose().as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![pem(&enrolment.certificate)], key)
        .unwrap();
    config.alpn_protocols = vec![PEER_ALPN.to_vec()];
    let stream = TcpStream::connect(plane.address).await.unwrap();
    let name = "plane.bessemer.internal".try_into().unwrap();
    let mut stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    let mut read = Vec::new();
    // Closed without a word.
    let _ = stream.read_to_end(&mut read).await;
    assert_eq!(read, b"");
}

#[tokio::test]
async fn an_answer_that_does_not_come_holds_up_nothing_else() {
    let plane = Plane::start().await;
    let gateway = Gateway::paired(&plane, vec![plane.tcp()]).await;
    let _running = gateway.start(1);
    let link = plane.links.wait(&plane::identity("one").gateway, LIMIT).await.unwrap();
    let slow = Request::get("/slow").body(Body::empty()).unwrap();
    let (actor, limit) = (actor(), Duration::from_millis(300));
    let (late, quick) = tokio::join!(link.ask(&actor, slow, limit), ask(&link, "/whoami"));
    assert_eq!(quick.unwrap(), "user:ada");
    let error = late.unwrap_err();
    assert!(matches!(error, AskError::Late(_) | AskError::Refused(_)), "{error}");
}

#[tokio::test]
async fn a_code_is_good_for_one_gateway() {
    let plane = Plane::start().await;
    let carriers = [plane.tcp()];
    let key = GatewayKey::generate().unwrap();
    let code = plane.code("one");
    let first = tunnel::pair(&carriers, &code, &key, "test").await.unwrap();
    // The answer may have been lost: the same gateway may ask again.
    let again = tunnel::pair(&carriers, &code, &key, "test").await.unwrap();
    assert_eq!(first.identity, again.identity);
    let other = GatewayKey::generate().unwrap();
    assert_eq!(refusal(tunnel::pair(&carriers, &code, &other, "test").await), RefusalCode::CodeUsed);
    let unknown = tunnel::PairingCode::random(code.authority);
    assert_eq!(refusal(tunnel::pair(&carriers, &unknown, &other, "test").await), RefusalCode::CodeUnknown);
    let old = plane.code("old");
    assert_eq!(refusal(tunnel::pair(&carriers, &old, &other, "test").await), RefusalCode::CodeExpired);
}

fn refusal(done: Result<Enrolment, DialError>) -> RefusalCode {
    match done {
        Err(DialError::Refused(refusal)) => refusal.code,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn another_plane_is_not_told_the_code_nor_believed() {
    let (plane, other) = (Plane::start().await, Plane::start().await);
    let key = GatewayKey::generate().unwrap();
    let error = tunnel::pair(&[other.tcp()], &plane.code("one"), &key, "test").await.unwrap_err();
    assert!(error.to_string().contains("another plane"), "{error}");

    let gateway = Gateway::paired(&plane, vec![plane.tcp()]).await;
    let error = tunnel::renew(&[other.tcp()], &gateway.enrolment, &gateway.key, "test").await.unwrap_err();
    assert!(error.to_string().contains("another plane"), "{error}");
    // And a certificate of another plane's authority opens nothing here.
    let theirs = Gateway::paired(&other, vec![other.tcp()]).await;
    let mixed = Enrolment { authority: gateway.enrolment.authority.clone(), ..theirs.enrolment };
    let error = tunnel::renew(&[plane.tcp()], &mixed, &theirs.key, "test").await.unwrap_err();
    assert!(!matches!(error, DialError::Refused(_)), "{error}");
}

#[tokio::test]
async fn a_link_that_was_cut_comes_back() {
    let plane = Plane::start().await;
    let gateway = Gateway::paired(&plane, vec![plane.tcp()]).await;
    let mut running = gateway.start(1);
    let name = plane::identity("one").gateway;
    let link = plane.links.wait(&name, LIMIT).await.unwrap();
    plane.links.close(&name);
    let lost = ask(&link, "/whoami").await.unwrap_err();
    assert!(matches!(lost, AskError::Lost(_)), "{lost}");
    let down = |state: &LinkState| matches!(state, LinkState::Down { .. });
    tokio::time::timeout(LIMIT, running.state.wait_for(down)).await.unwrap().unwrap();
    let link = plane.links.wait(&name, LIMIT).await.unwrap();
    assert_eq!(ask(&link, "/whoami").await.unwrap(), "user:ada");
}

#[tokio::test]
async fn a_newer_start_of_a_gateway_fences_the_older() {
    let plane = Plane::start().await;
    let gateway = Gateway::paired(&plane, vec![plane.tcp()]).await;
    let name = plane::identity("one").gateway;
    let mut old = gateway.start(1);
    plane.links.wait(&name, LIMIT).await.unwrap();
    let _new = gateway.start(2);
    let ended = tokio::time::timeout(LIMIT, old.ended()).await.unwrap();
    assert!(matches!(&ended, DialError::Refused(refusal) if refusal.code == RefusalCode::Fenced), "{ended}");
    let link = plane.links.wait(&name, LIMIT).await.unwrap();
    assert_eq!(ask(&link, "/whoami").await.unwrap(), "user:ada");
}

#[tokio::test]
async fn an_ended_certificate_is_renewed_and_one_of_a_revoked_gateway_is_not() {
    let plane = Plane::start().await;
    let gateway = Gateway::paired(&plane, vec![plane.tcp()]).await;
    let ended = Timestamp::now() - SignedDuration::from_hours(48);
    let certificate = plane.certify(&gateway.key, "one", ended);
    let enrolment = Enrolment { certificate, ..gateway.enrolment.clone() };
    let kept = Arc::new(Mutex::new(None));
    let keep = kept.clone();
    let running = gateway.start_as(1, enrolment.clone(), move |new| {
        *keep.lock().unwrap() = Some(new.clone());
    });
    let link = plane.links.wait(&plane::identity("one").gateway, LIMIT).await.unwrap();
    assert_eq!(ask(&link, "/whoami").await.unwrap(), "user:ada");
    let kept = kept.lock().unwrap().clone().unwrap();
    assert_ne!(kept.certificate, enrolment.certificate);
    drop(running);

    plane.revoke("one");
    let carriers = [plane.tcp()];
    assert_eq!(
        refusal(tunnel::renew(&carriers, &enrolment, &gateway.key, "test").await),
        RefusalCode::Revoked
    );
    let long_ago = Timestamp::now() - SignedDuration::from_hours(40 * 24);
    let certificate = plane.certify(&gateway.key, "one", long_ago);
    let error = tunnel::renew(&carriers, &Enrolment { certificate, ..enrolment }, &gateway.key, "test").await;
    assert!(error.is_err());
}

#[tokio::test]
async fn through_a_proxy_and_within_a_process() {
    let plane = Plane::start().await;
    let proxy = plane::proxy("user:pass").await;
    let target = Tcp { host: "127.0.0.1".into(), port: plane.address.port() };
    let wrong = Connect { proxy: proxy.clone(), credentials: None, plane: target.clone() };
    let right = Connect { proxy, credentials: Some("user:pass".into()), plane: target };
    let key = GatewayKey::generate().unwrap();
    let error = tunnel::pair(&[Arc::new(wrong)], &plane.code("one"), &key, "test").await.unwrap_err();
    assert!(error.to_string().contains("the proxy answers 407"), "{error}");
    // The first carrier of these goes nowhere: the next is taken.
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let nowhere = Tcp { host: "127.0.0.1".into(), port: closed.port() };
    for carriers in [vec![Arc::new(nowhere) as Arc<dyn Carrier>, Arc::new(right)], vec![plane.memory()]] {
        let gateway = Gateway::paired_again(&plane, &key, carriers).await;
        let running = gateway.start(1);
        let name = plane::identity("one").gateway;
        let link = plane.links.wait(&name, LIMIT).await.unwrap();
        assert_eq!(ask(&link, "/whoami").await.unwrap(), "user:ada");
        drop(running);
        let mut changes = plane.links.changes();
        while plane.links.get(&name).is_some() {
            tokio::time::timeout(LIMIT, changes.changed()).await.unwrap().unwrap();
        }
    }
}

impl Gateway {
    async fn paired_again(plane: &Plane, key: &GatewayKey, carriers: Vec<Arc<dyn Carrier>>) -> Self {
        let enrolment = tunnel::pair(&carriers, &plane.code("one"), key, "test").await.unwrap();
        Self { key: key.clone(), enrolment, carriers }
    }
}

#[tokio::test]
async fn what_is_no_hello_harms_nobody() {
    let plane = Plane::start().await;
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 4], &[0xff; 64]] {
        let mut stream = TcpStream::connect(plane.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut rest = Vec::new();
        let _ = tokio::time::timeout(LIMIT, stream.read_to_end(&mut rest)).await.unwrap();
    }
    let gateway = Gateway::paired(&plane, vec![plane.tcp()]).await;
    assert_eq!(gateway.enrolment.identity, plane::identity("one"));
}
