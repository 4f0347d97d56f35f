//! A MAAS that is played: it keeps state, and fails as it is told.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    extract::{Path, RawQuery, State},
    http::{Method, StatusCode},
    response::{IntoResponse, Response},
    routing::any,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

const READY: i64 = 4;
const DEPLOYED: i64 = 6;
const BROKEN: i64 = 8;
const DEPLOYING: i64 = 9;
const ALLOCATED: i64 = 10;
const FAILED_DEPLOYMENT: i64 = 11;
const ERASING: i64 = 14;
const FAILED_ERASING: i64 = 15;

/// How long MAAS is at work on a machine.
const WORK: Duration = Duration::from_millis(300);

#[derive(Debug, Clone, Default)]
pub struct Machine {
    pub id: String,
    pub status: i64,
    pub agent_name: String,
    pub cpu: u64,
    pub user_data: String,
    pub series: String,
    pub fails_to_deploy: bool,
    pub fails_to_wipe: u32,
    /// With which disks it went back, the last time.
    pub erase: String,
    pub deployments: u32,
    due: Option<(Instant, i64)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The connection breaks before anything is done.
    Before,
    /// It breaks after it was done.
    After,
    /// 503.
    Busy,
}

#[derive(Debug, Default)]
pub struct Inner {
    pub machines: BTreeMap<String, Machine>,
    pub names: BTreeMap<i64, (String, Vec<String>)>,
    pub images: Vec<String>,
    pub domains: Vec<String>,
    /// Faults of the next calls that change something.
    pub faults: Vec<Fault>,
    pub calls: Vec<String>,
    /// Whether allocations are not answered for now.
    pub holds_allocations: bool,
    next: i64,
}

/// It; cheap to clone.
#[derive(Debug, Clone)]
pub struct Maas {
    inner: Arc<Mutex<Inner>>,
    url: String,
}

impl Maas {
    /// With machines `node-0`, `node-1` and so on, the first the smallest.
    pub async fn start(machines: usize) -> Self {
        let machine = |number: usize| Machine {
            id: format!("aaaaa{number}"),
            status: READY,
            cpu: 2 + 2 * number as u64,
            ..Machine::default()
        };
        let inner = Inner {
            machines: (0..machines).map(|number| (format!("aaaaa{number}"), machine(number))).collect(),
            images: vec!["debian/bookworm".to_owned(), "custom/k8s".to_owned()],
            domains: vec!["lab.example".to_owned()],
            ..Inner::default()
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/MAAS", listener.local_addr().unwrap());
        let maas = Self { inner: Arc::new(Mutex::new(inner)), url };
        let router = Router::new().route("/MAAS/api/2.0/{*path}", any(answer)).with_state(maas.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        maas
    }

    pub fn state(&self) -> MutexGuard<'_, Inner> {
        let mut inner = self.inner.lock().unwrap();
        for machine in inner.machines.values_mut() {
            if let Some((due, status)) = machine.due
                && due <= Instant::now()
            {
                machine.due = None;
                machine.status = status;
                if status == READY {
                    machine.agent_name.clear();
                }
            }
        }
        inner
    }

    pub fn client(&self) -> maas_client::Client {
        let options = maas_client::Options {
            timeout: Duration::from_secs(5),
            retry_for: Duration::from_millis(100),
            ca: None,
        };
        maas_client::Client::new(&self.url, "a:b:c".parse().unwrap(), &options).unwrap()
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Machines that somebody has, by mark.
    pub fn held(&self) -> Vec<Machine> {
        let all = self.state().machines.values().cloned().collect::<Vec<_>>();
        all.into_iter()
            .filter(|machine| matches!(machine.status, DEPLOYED | DEPLOYING | ALLOCATED | FAILED_DEPLOYMENT))
            .collect()
    }

    pub fn all_ready(&self) -> bool {
        self.state().machines.values().all(|machine| machine.status == READY)
    }

    pub fn is_broken(&self, id: &str) -> bool {
        self.state().machines[id].status == BROKEN
    }
}

type Form = Vec<(String, String)>;

fn form(text: &str) -> Form {
    form_urlencoded::parse(text.as_bytes()).into_owned().collect()
}

fn get(form: &Form, key: &str) -> Option<String> {
    form.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone())
}

async fn answer(
    State(maas): State<Maas>,
    method: Method,
    Path(path): Path<String>,
    RawQuery(query): RawQuery,
    body: String,
) -> Response {
    let (query, body) = (form(&query.unwrap_or_default()), form(&body));
    let op = get(&query, "op").unwrap_or_default();
    let changes = method != Method::GET;
    if changes {
        maas.state().calls.push(format!("{method} {path} {op}"));
    }
    while op == "allocate" && maas.state().holds_allocations {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut inner = maas.state();
    let fault = if changes { inner.faults.pop() } else { None };
    let broken = || {
        // Nothing is answered: the body breaks off.
        let error = futures_util::stream::once(async { Err::<String, _>(std::io::Error::other("broken")) });
        axum::body::Body::from_stream(error).into_response()
    };
    match fault {
        Some(Fault::Before) => return broken(),
        Some(Fault::Busy) => return (StatusCode::SERVICE_UNAVAILABLE, "busy").into_response(),
        _ => {}
    }
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let answer = match (&method, parts.as_slice()) {
        (&Method::GET, ["machines"]) => list(&inner, &query),
        (&Method::POST, ["machines"]) => allocate(&mut inner, &body),
        (&Method::GET | &Method::PUT, ["machines", id]) => one(&inner, id),
        (&Method::POST, ["machines", id]) => operate(&mut inner, id, &op, &body),
        (&Method::GET, ["boot-resources"]) => {
            let all: Vec<Value> = inner
                .images
                .iter()
                .map(|name| json!({ "id": 1, "name": name, "type": "Uploaded" }))
                .collect();
            Json(all).into_response()
        }
        (_, ["dnsresources", ..]) => names(&mut inner, &method, parts.get(1).copied(), &query, &body),
        _ => (StatusCode::NOT_FOUND, "no such path").into_response(),
    };
    if fault == Some(Fault::After) { broken() } else { answer }
}

fn show(machine: &Machine) -> Value {
    let name = match machine.status {
        READY => "Ready",
        DEPLOYED => "Deployed",
        BROKEN => "Broken",
        DEPLOYING => "Deploying",
        ALLOCATED => "Allocated",
        FAILED_DEPLOYMENT => "Failed deployment",
        ERASING => "Disk erasing",
        _ => "Failed disk erasing",
    };
    let number = machine.id.trim_start_matches('a');
    let hostname = format!("node-{number}");
    // Control planes play on loopback: the very API server of the test answers for them.
    let addresses =
        if matches!(machine.status, DEPLOYING | DEPLOYED) { vec!["127.0.0.1"] } else { Vec::new() };
    json!({
        "system_id": machine.id, "hostname": hostname, "fqdn": format!("{hostname}.lab.example"),
        "status": machine.status, "status_name": name, "power_state": "on", "cpu_count": machine.cpu, "memory": 4096,
        "status_message": if machine.status == FAILED_DEPLOYMENT { "the disk is on fire" } else { "" },
        "zone": { "id": 1, "name": "default" }, "pool": { "id": 0, "name": "default" }, "ip_addresses": addresses,
        "tag_names": [], "physicalblockdevice_set": [{ "id": 1, "size": 40_000_000_000u64 }], "owner": null,
    })
}

fn list(inner: &Inner, query: &Form) -> Response {
    let (agent, status) = (get(query, "agent_name"), get(query, "status"));
    let all: Vec<Value> = inner
        .machines
        .values()
        .filter(|machine| agent.as_ref().is_none_or(|agent| machine.agent_name == *agent))
        .filter(|machine| status.as_ref().is_none_or(|status| status == "ready" && machine.status == READY))
        .map(show)
        .collect();
    Json(all).into_response()
}

fn one(inner: &Inner, id: &str) -> Response {
    match inner.machines.get(id) {
        Some(machine) => Json(show(machine)).into_response(),
        None => (StatusCode::NOT_FOUND, "No Machine matches the given query.").into_response(),
    }
}

fn allocate(inner: &mut Inner, body: &Form) -> Response {
    let cpu: u64 = get(body, "cpu_count").map_or(0, |text| text.parse().unwrap());
    let id = get(body, "system_id");
    let found = inner.machines.values_mut().find(|machine| {
        machine.status == READY && machine.cpu >= cpu && id.as_ref().is_none_or(|id| machine.id == *id)
    });
    let Some(machine) = found else {
        return (StatusCode::CONFLICT, "No available machine matches constraints").into_response();
    };
    machine.status = ALLOCATED;
    machine.agent_name = get(body, "agent_name").unwrap_or_default();
    Json(show(machine)).into_response()
}

fn operate(inner: &mut Inner, id: &str, op: &str, body: &Form) -> Response {
    let Some(machine) = inner.machines.get_mut(id) else {
        return (StatusCode::NOT_FOUND, "No Machine matches the given query.").into_response();
    };
    let after = |status| Some((Instant::now() + WORK, status));
    match (op, machine.status) {
        ("deploy", ALLOCATED) => {
            machine.user_data = get(body, "user_data").unwrap_or_default();
            machine.series = get(body, "distro_series").unwrap_or_default();
            machine.deployments += 1;
            machine.status = DEPLOYING;
            machine.due = after(if machine.fails_to_deploy { FAILED_DEPLOYMENT } else { DEPLOYED });
        }
        ("release", ALLOCATED | DEPLOYING | DEPLOYED | FAILED_DEPLOYMENT | FAILED_ERASING) => {
            machine.erase = format!("{:?} {:?}", get(body, "erase"), get(body, "quick_erase"));
            machine.agent_name.clear();
            machine.status = ERASING;
            let fails = machine.fails_to_wipe > 0;
            machine.fails_to_wipe = machine.fails_to_wipe.saturating_sub(1);
            machine.due = after(if fails { FAILED_ERASING } else { READY });
        }
        ("mark_broken", _) => machine.status = BROKEN,
        (op, status) => {
            return (StatusCode::CONFLICT, format!("Can't {op} a machine that is in state {status}"))
                .into_response();
        }
    }
    Json(show(machine)).into_response()
}

fn names(inner: &mut Inner, method: &Method, id: Option<&str>, query: &Form, body: &Form) -> Response {
    let addresses =
        get(body, "ip_addresses").map(|text| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    let shown = |id: &i64, (fqdn, addresses): &(String, Vec<String>)| {
        let addresses: Vec<Value> = addresses.iter().map(|ip| json!({ "ip": ip })).collect();
        json!({ "id": id, "fqdn": fqdn, "address_ttl": 10, "ip_addresses": addresses })
    };
    let id: Option<i64> = id.map(|text| text.parse().unwrap());
    match (method, id) {
        (&Method::GET, None) => {
            let fqdn = get(query, "fqdn").unwrap_or_default();
            if !inner.domains.iter().any(|domain| fqdn.ends_with(domain.as_str())) {
                return (StatusCode::NOT_FOUND, "No Domain matches the given query.").into_response();
            }
            let all: Vec<Value> = inner
                .names
                .iter()
                .filter(|(_, name)| name.0 == fqdn)
                .map(|(id, name)| shown(id, name))
                .collect();
            Json(all).into_response()
        }
        (&Method::POST, None) => {
            inner.next += 1;
            let (id, name) = (inner.next, (get(body, "fqdn").unwrap(), addresses.unwrap_or_default()));
            inner.names.insert(id, name.clone());
            Json(shown(&id, &name)).into_response()
        }
        (&Method::PUT, Some(id)) => {
            let name = inner.names.get_mut(&id).unwrap();
            name.1 = addresses.unwrap_or_default();
            assert!(!name.1.is_empty(), "a name was emptied");
            Json(shown(&id, &name.clone())).into_response()
        }
        (&Method::DELETE, Some(id)) => {
            inner.names.remove(&id);
            StatusCode::NO_CONTENT.into_response()
        }
        _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
    }
}
