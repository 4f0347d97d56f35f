//! The tunnel on loopback: one stream through it, and small requests, beside the same requests without it.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use axum::{Router, body::Body, routing::get};
use http::Request;
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use secrets::Secret;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};
use tokio_rustls::TlsAcceptor;
use tunnel::{
    Actor, Authority, Carrier, Commands, Dialler, Edge, Fingerprint, Gatekeeper, GatewayKey, Grant, Identity,
    Link, Links, PairingCode, Signer, Stream, Targets, Tcp, Verifier, hello::Refusal,
};

use super::Figure;
use crate::up;

/// How much goes through the stream.
const GIB: u32 = 2;
const BYTES: u64 = (GIB as u64) << 30;
/// In pieces of so much.
const PIECE: usize = 64 << 10;
/// Small requests in a second, and for how many seconds.
const RATE: u32 = 500;
const SECONDS: u32 = 10;
const LIMIT: Duration = Duration::from_secs(20);
const TENANT: &str = "5f0000000000000000000001";

/// Gbit/s of one stream, and what the tunnel adds to a request.
pub fn figures() -> Result<Vec<Figure>> {
    up::runtime()?.block_on(measure())
}

async fn measure() -> Result<Vec<Figure>> {
    let mut tasks = JoinSet::new();
    let site = Router::new().route("/small", get(|| async { "ok" }));
    let (link, _running) = connect(&mut tasks, site.clone()).await?;
    let actor = Actor { name: "user:bench".into(), tenant: TENANT.into(), person: None };

    let mut stream = link.connect(&actor, "sink", LIMIT).await?;
    let (piece, began) = (vec![7; PIECE], Instant::now());
    let mut left = BYTES;
    while left > 0 {
        stream.write_all(&piece).await?;
        left = left.saturating_sub(PIECE as u64);
    }
    stream.shutdown().await?;
    let mut told = [0; 8];
    stream.read_exact(&mut told).await.context("the sink did not say how much it got")?;
    anyhow::ensure!(u64::from_be_bytes(told) == BYTES, "the sink got {} bytes", u64::from_be_bytes(told));
    let gigabits = f64::from(GIB) * 1.073_741_824 * 8.0 / began.elapsed().as_secs_f64();

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tasks.spawn(async move {
        let _ = axum::serve(listener, site).await;
    });
    let http = reqwest::Client::builder().no_proxy().build()?;
    let straight = latencies(async || {
        let body = http.get(format!("http://{address}/small")).send().await?.bytes().await?;
        anyhow::ensure!(body == "ok");
        Ok(())
    })
    .await?;
    let through = latencies(async || {
        let response = link.ask(&actor, Request::get("/small").body(Body::empty())?, LIMIT).await?;
        anyhow::ensure!(response.into_body().collect().await?.to_bytes() == "ok");
        Ok(())
    })
    .await?;
    let p99 = |all: &[f64]| all.get(all.len() * 99 / 100).copied().unwrap_or_default();
    let added = p99(&through) - p99(&straight);
    Ok(vec![
        Figure::new("tunnel.stream", gigabits, "Gbit/s").at_least(1.0),
        Figure::new("tunnel.request.p99", p99(&through), "ms").against("plain HTTP", p99(&straight)),
        Figure::new("tunnel.request.p99-added", added, "ms").at_most(3.0),
    ])
}

/// Milliseconds of each request, sorted; asked for at a steady rate, whatever the answers take.
async fn latencies(ask: impl AsyncFn() -> Result<()>) -> Result<Vec<f64>> {
    let mut ticks = interval(Duration::from_secs(1) / RATE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut all = Vec::new();
    for _ in 0..RATE * SECONDS {
        // A request that is late because the one before was counts from when it should have been sent.
        let due = ticks.tick().await;
        ask().await?;
        all.push(due.elapsed().as_secs_f64() * 1000.0);
    }
    all.sort_by(f64::total_cmp);
    Ok(all)
}

/// A plane's edge and a gateway, connected over loopback.
async fn connect(tasks: &mut JoinSet<()>, site: Router) -> Result<(Link, tunnel::Running)> {
    let authority = Arc::new(Authority::generate(Timestamp::now())?);
    let links = Links::new(Signer::generate().map_err(anyhow::Error::msg)?);
    let edge =
        Edge::new(authority.clone(), Arc::new(Anybody), links.clone(), Router::new(), "bench".to_owned())?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, peer)) = listener.accept().await {
            let edge = edge.clone();
            connections.spawn(async move {
                let _ = stream.set_nodelay(true);
                if let Ok(stream) = TlsAcceptor::from(edge.tls()).accept(stream).await {
                    let _ = edge.serve(stream, peer.to_string()).await;
                }
            });
        }
    });
    let carriers: Vec<Arc<dyn Carrier>> = vec![Arc::new(Tcp { host: "127.0.0.1".into(), port })];
    let key = GatewayKey::generate()?;
    let enrolment =
        tunnel::pair(&carriers, &PairingCode::random(authority.fingerprint()), &key, "bench").await?;
    let verifier = Verifier::new(enrolment.identity.clone(), &enrolment.grants)?;
    let commands = Commands::new(Arc::new(verifier), site, Arc::new(Sink));
    let gateway = enrolment.identity.gateway.clone();
    let running = Dialler::new(carriers, "bench".to_owned(), 1, key, enrolment).start(commands, |_| {});
    Ok((links.wait(&gateway, LIMIT).await?, running))
}

/// Lets everybody in.
struct Anybody;

#[async_trait]
impl Gatekeeper for Anybody {
    async fn pair(&self, _: &Secret, _: Fingerprint) -> Result<Identity, Refusal> {
        Ok(Identity { gateway: "bench".to_owned(), tenant: TENANT.to_owned() })
    }

    async fn admit(&self, _: &Identity, _: Fingerprint, _: Option<u64>) -> Result<(), Refusal> {
        Ok(())
    }

    fn incarnation(&self) -> u64 {
        1
    }
}

/// Reads to the end, and says how much that was.
struct Sink;

#[async_trait]
impl Targets for Sink {
    async fn open(&self, _: &Grant, _: &str) -> io::Result<Stream> {
        let (mut ours, theirs) = tokio::io::duplex(PIECE * 4);
        tokio::spawn(async move {
            let (mut buffer, mut count) = (vec![0; PIECE], 0u64);
            while let Ok(read @ 1..) = ours.read(&mut buffer).await {
                count += read as u64;
            }
            let _ = ours.write_all(&count.to_be_bytes()).await;
        });
        Ok(Box::new(theirs))
    }
}
