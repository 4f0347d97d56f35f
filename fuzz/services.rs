//! Services of a region over a store in memory, asked as machines ask them.

use std::{future::Future, net::SocketAddr};

use axum::{Router, body::Body, extract::ConnectInfo, http::Request};
use model::{BootAttempt, Credentials, Machine, Machines, SCOPE};
use store::{Batch, Store};
use tower::ServiceExt;

const MAC: &str = "52:54:00:00:00:01";
const ADDRESS: &str = "10.0.0.9:1024";

struct Region {
    runtime: tokio::runtime::Runtime,
    boot: Router,
    cloud_init: Router,
    agents: Router,
    /// Of the images, which are none.
    _dir: tempfile::TempDir,
}

thread_local! {
    static REGION: Region = Region::new();
}

/// Waits for something of this thread's.
pub fn wait<T>(what: impl Future<Output = T>) -> T {
    REGION.with(|region| region.runtime.block_on(what))
}

/// A path of the boot service.
pub fn boot_path(bytes: &[u8]) {
    let Ok(path) = std::str::from_utf8(bytes) else { return };
    REGION.with(|region| region.ask(&region.boot, Request::get(path), b""));
}

/// A request to the metadata service: its method, a path behind `/MAAS/metadata/`, a line end, its body.
pub fn metadata(bytes: &[u8]) {
    let Some((line, body)) = super::split_line(bytes) else { return };
    let Some((method, path)) = line.split_once(' ') else { return };
    let signed = "OAuth oauth_consumer_key=c, oauth_token=t, oauth_signature=%26s";
    let request = Request::builder().method(method).uri(format!("/MAAS/metadata/{path}"));
    let request = request.header("authorization", signed);
    REGION.with(|region| region.ask(&region.cloud_init, request, body));
}

/// What an agent reports.
pub fn report(bytes: &[u8]) {
    let request = Request::post("/agent/v1/report")
        .header("authorization", "Bearer token")
        .header("content-type", "application/json");
    REGION.with(|region| region.ask(&region.agents, request, bytes));
}

impl Region {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let dir = tempfile::tempdir().expect("a folder");
        let machines = runtime.block_on(machines());
        let base = "http://10.0.0.1:5248".to_owned();
        let boot = boot::Boot {
            machines: machines.clone(),
            images: images::Images::open(dir.path()).expect("a folder for images"),
            ephemeral: dir.path().to_owned(),
            base: base.clone(),
        };
        Self {
            runtime,
            boot: boot.router(),
            cloud_init: metadata::CloudInit { machines: machines.clone() }.router(),
            agents: metadata::Agents { machines, base, system: None }.router(),
            _dir: dir,
        }
    }

    /// Asks; an answer that blames the region is a finding.
    fn ask(&self, service: &Router, request: axum::http::request::Builder, body: &[u8]) {
        let Ok(mut request) = request.body(Body::from(body.to_vec())) else { return };
        let from: SocketAddr = ADDRESS.parse().expect("an address");
        request.extensions_mut().insert(ConnectInfo(from));
        let answer = self.runtime.block_on(service.clone().oneshot(request)).expect("routers do not fail");
        assert!(!answer.status().is_server_error(), "{}", answer.status());
    }
}

/// One machine that is being deployed.
async fn machines() -> Machines {
    let store = Store::in_memory().await;
    let now = Default::default();
    let mut machine = Machine::new("m".to_owned(), now);
    machine.status = lifecycle::Status::Deploying;
    let [consumer, token] = ["c", "t"].map(str::to_owned);
    machine.credentials = Some(Credentials { consumer, token, secret: "s".into() });
    let attempt = BootAttempt {
        token: "token".to_owned(),
        address: ADDRESS.parse::<SocketAddr>().expect("an address").ip(),
        system_id: Some("abc123".to_owned()),
        purpose: model::Purpose::Ephemeral,
        started: now,
    };
    let batch = Batch::new("fuzz", "fill")
        .create(SCOPE, "abc123", &machine)
        .claim(SCOPE, "machine_token", "t", "abc123")
        .create(SCOPE, MAC, &attempt)
        .claim(SCOPE, "boot_token", "token", MAC);
    store.commit(batch).await.expect("a store that is empty takes it");
    Machines::new(store)
}
