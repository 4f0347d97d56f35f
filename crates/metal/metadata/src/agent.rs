//! The agent's side of the region: hello, task, report.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use agent_protocol::{Assignment, Hello, Progress, Report, Task};
use axum::{
    Json, Router,
    extract::{ConnectInfo, DefaultBodyLimit, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use ipnet::Ipv4Net;
use jiff::Timestamp;
use lifecycle::{Signal, Status};
use model::{
    BootAttempt, BootResource, ChangeError, Level, Machine, Machines, SCOPE, ScriptResult, ScriptSet, Subnet,
};
use store::{Batch, CommitError, Stored};

use crate::task;

/// How long a question for a task is held open.
const HOLD: Duration = Duration::from_secs(20);
/// Largest inventory.
const BODY_LIMIT: usize = 4 << 20;

/// The agent's service.
#[derive(Debug, Clone)]
pub struct Agents {
    /// The machines.
    pub machines: Machines,
    /// The boot service's URL, where a request does not tell.
    pub base: String,
}

/// Why an agent is refused.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("not a current boot attempt of this machine; restart it")]
    Foreign,
    #[error("say hello first")]
    Unknown,
    #[error("the task is no longer current; ask for it again")]
    Stale,
    #[error("this machine's UUID and MAC addresses belong to two machines: {0} and {1}")]
    Ambiguous(String, String),
    #[error("this UUID is that of machine {0}, which is in use and has no interface {1}: release it first")]
    InUse(String, String),
    #[error("{0} {1} belongs to another machine")]
    Taken(&'static str, String),
    #[error(transparent)]
    Store(#[from] CommitError),
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::Foreign => StatusCode::UNAUTHORIZED,
            Self::Unknown | Self::Stale | Self::Ambiguous(..) | Self::InUse(..) | Self::Taken(..) => {
                StatusCode::CONFLICT
            }
            Self::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        (status, format!("{self}\n")).into_response()
    }
}

impl From<ChangeError<Self>> for Refusal {
    fn from(error: ChangeError<Self>) -> Self {
        match error {
            ChangeError::NotFound => Self::Unknown,
            ChangeError::Refused(refusal) => refusal,
            ChangeError::Store(CommitError::Taken { namespace, name, .. }) => {
                let what = if namespace == "uuid" { "UUID" } else { "MAC address" };
                Self::Taken(what, name)
            }
            ChangeError::Store(error) => Self::Store(error),
        }
    }
}

impl Agents {
    /// The routes.
    pub fn router(self) -> Router {
        Router::new()
            .route("/agent/v1/hello", post(hello))
            .route("/agent/v1/task", get(next_task))
            .route("/agent/v1/report", post(report))
            .layer(DefaultBodyLimit::max(BODY_LIMIT))
            .with_state(Arc::new(self))
    }

    fn attempt(&self, headers: &HeaderMap, from: IpAddr) -> Result<Arc<Stored<BootAttempt>>, Refusal> {
        headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "))
            .and_then(|token| self.machines.attempt(token, from))
            .ok_or(Refusal::Foreign)
    }

    /// The machine that says hello: known by its MAC address or UUID, or made.
    async fn greet(&self, mac: &str, hello: &Hello, from: IpAddr) -> Result<Arc<Stored<Machine>>, Refusal> {
        let now = Timestamp::now();
        let vlan = self.vlan_of(from);
        loop {
            let id = match self.known(mac, hello)? {
                Some(id) => id,
                None => match self.enlist(mac, now).await {
                    Ok(id) => id,
                    Err(CommitError::Taken { .. } | CommitError::Conflict { .. }) => continue,
                    Err(error) => return Err(error.into()),
                },
            };
            let store = self.machines.store().clone();
            return Ok(self
                .machines
                .change::<Refusal>("agent", "machine.hello", &id, |machine, mut batch| {
                    let uuid = uuid_of(hello);
                    if let Some(old) = machine.hardware_uuid.take().filter(|old| uuid.as_ref() != Some(old)) {
                        batch = batch.unclaim(SCOPE, "uuid", &old, &id);
                    }
                    if let Some(uuid) = &uuid {
                        batch = batch.claim(SCOPE, "uuid", uuid, &id);
                    }
                    machine.hardware_uuid = uuid;
                    model::absorb(machine, &hello.inventory, mac, vlan, || self.machines.next_number());
                    if matches!(machine.status, Status::New | Status::Commissioning) {
                        model::ops::link_boot_nic(&store, machine);
                        model::lay_out(&self.machines, machine);
                    }
                    for nic in &machine.nics {
                        batch = batch.claim(SCOPE, "mac", &nic.mac, &id);
                    }
                    if machine.status == Status::New {
                        machine.enter(Status::Commissioning, now);
                    }
                    "on".clone_into(&mut machine.power_state);
                    machine.note(Signal::Hello, now);
                    machine.note(Signal::Progress, now);
                    Ok(batch)
                })
                .await?);
        }
    }

    fn known(&self, mac: &str, hello: &Hello) -> Result<Option<String>, Refusal> {
        let by_mac = self.machines.by_mac(mac).map(|m| m.id.clone());
        let by_uuid = uuid_of(hello).and_then(|uuid| self.machines.by_uuid(&uuid));
        match (by_mac, by_uuid) {
            (Some(a), Some(b)) if a != b.id => Err(Refusal::Ambiguous(a, b.id.clone())),
            // A UUID is no secret: it alone gives nobody what an owner entrusted to the machine.
            (None, Some(b)) if b.value.owner.is_some() => Err(Refusal::InUse(b.id.clone(), mac.to_owned())),
            (a, b) => Ok(a.or_else(|| b.map(|b| b.id.clone()))),
        }
    }

    async fn enlist(&self, mac: &str, now: Timestamp) -> Result<String, CommitError> {
        let store = self.machines.store();
        let id = model::pick_id(store);
        let hostname = format!("node-{id}");
        let mut machine = Machine::new(hostname.clone(), now);
        machine.enter(Status::New, now);
        let batch = Batch::new("agent", "machine.enlist")
            .claim(SCOPE, "mac", mac, &id)
            .claim(SCOPE, "hostname", &hostname, &id)
            .create(SCOPE, &id, &machine);
        store.commit(batch).await?;
        self.machines.event(Level::Info, &id, "New", &format!("enlisted by {mac}"), None).await;
        Ok(id)
    }

    fn vlan_of(&self, from: IpAddr) -> Option<u64> {
        let IpAddr::V4(from) = from else { return None };
        let subnets = self.machines.store().list::<Subnet>(SCOPE);
        subnets.iter().find(|s| contains(s.value.cidr, from)).map(|s| s.value.vlan)
    }

    fn assignment(&self, id: &str, machine: &Machine, base: &str, token: &str) -> Result<Assignment, String> {
        let images = self.machines.store().list::<BootResource>(SCOPE);
        task::of(id, machine, &images, base, token)
    }

    /// The task of a machine; where it can't be given, the machine fails and is switched off.
    async fn assign(&self, id: &str, base: &str, token: &str) -> Result<Assignment, Refusal> {
        let machine = self.machines.get(id).ok_or(Refusal::Unknown)?;
        match self.assignment(id, &machine.value, base, token) {
            Ok(assignment) => Ok(assignment),
            Err(why) => {
                self.machines
                    .change::<Refusal>("region", "machine.fail", id, |machine, batch| {
                        machine.flow.failure.get_or_insert_with(|| why.clone());
                        Ok(batch)
                    })
                    .await?;
                Ok(Assignment { id: "failed".to_owned(), task: Task::Wait { retry_ms: 1000 } })
            }
        }
    }

    async fn take(&self, id: &str, report: Report) -> Result<(), Refusal> {
        let now = Timestamp::now();
        let machine = self.machines.get(id).ok_or(Refusal::Unknown)?;
        let current = |machine: &Machine| report.task == task::id(machine);
        if !current(&machine.value) {
            // What a task ends with (power off, restart) may be reported when its state has already gone.
            return if matches!(report.progress, Progress::Working { .. }) {
                Err(Refusal::Stale)
            } else {
                Ok(())
            };
        }
        if let Progress::Failed { error } = &report.progress {
            self.machines.event(Level::Error, id, "Agent failed", &sentence(error), None).await;
        }
        self.machines
            .change("agent", "machine.report", id, |machine, batch| {
                if !current(machine) {
                    return Err(Refusal::Stale);
                }
                match &report.progress {
                    Progress::Working { step, done, total } => {
                        machine.note(Signal::Progress, now);
                        machine.timeline.note(match total {
                            0 => sentence(step),
                            total => format!("{}: {} %", sentence(step), done.saturating_mul(100) / total),
                        });
                    }
                    Progress::Done { detail, results } => {
                        // Said again where the answer was lost.
                        if machine.flow.done.is_none() {
                            keep_results(machine, results, now);
                        }
                        machine.timeline.note(sentence(detail));
                        if let Some(bad) = results.iter().find(|r| !r.passed) {
                            machine.flow.failure = Some(format!("{} failed: {}", bad.name, bad.output));
                        } else {
                            machine.netboot = machine.netboot && machine.status != Status::Deploying;
                            machine.note(Signal::Done, now);
                        }
                    }
                    Progress::Failed { error } => machine.flow.failure = Some(sentence(error)),
                }
                Ok(batch)
            })
            .await?;
        Ok(())
    }
}

fn keep_results(machine: &mut Machine, results: &[agent_protocol::TaskResult], now: Timestamp) {
    if results.is_empty() {
        return;
    }
    let first = machine.results.iter().map(|set| set.number).max().unwrap_or(0) + 1;
    let started = machine.flow.since;
    machine.results.push(ScriptSet {
        number: first,
        kind: if machine.status == Status::Commissioning { 2 } else { 1 },
        started,
        ended: Some(now),
        results: results
            .iter()
            .zip(first..)
            .map(|(result, number)| ScriptResult {
                number,
                name: result.name.clone(),
                status: if result.passed { 2 } else { 3 },
                exit_status: Some(i32::from(!result.passed)),
                started,
                ended: Some(now),
                output: result.output.chars().take(64 << 10).collect(),
            })
            .collect(),
    });
    let surplus = machine.results.len().saturating_sub(10);
    machine.results.drain(..surplus);
}

/// The SMBIOS UUID of a hello, lower case; what is no UUID is none.
fn uuid_of(hello: &Hello) -> Option<String> {
    let uuid = hello.uuid.as_ref()?.to_lowercase();
    let fine = uuid.len() == 36 && uuid.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    fine.then_some(uuid)
}

/// The beginning of what an agent says, for people.
fn sentence(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(2000).collect()
}

fn contains(net: Ipv4Net, ip: Ipv4Addr) -> bool {
    net.contains(&ip)
}

async fn hello(
    State(agents): State<Arc<Agents>>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    Json(hello): Json<Hello>,
) -> Result<Json<Assignment>, Refusal> {
    let attempt = agents.attempt(&headers, from.ip())?;
    let machine = agents.greet(&attempt.id, &hello, from.ip()).await?;
    tracing::info!(system_id = machine.id, mac = attempt.id, "hello");
    let base = http_base::sent_to(&headers, &agents.base);
    Ok(Json(agents.assign(&machine.id, &base, &attempt.value.token).await?))
}

async fn next_task(
    State(agents): State<Arc<Agents>>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> Result<Json<Assignment>, Refusal> {
    let deadline = tokio::time::Instant::now() + HOLD;
    let base = http_base::sent_to(&headers, &agents.base);
    let mut changes = agents.machines.store().watch(0);
    loop {
        let attempt = agents.attempt(&headers, from.ip())?;
        let id = agents.machines.by_mac(&attempt.id).ok_or(Refusal::Unknown)?.id.clone();
        let assignment = agents.assign(&id, &base, &attempt.value.token).await?;
        if !matches!(assignment.task, Task::Wait { .. }) {
            return Ok(Json(assignment));
        }
        loop {
            match tokio::time::timeout_at(deadline, changes.next()).await {
                Ok(Ok(change)) if *change.id == *id => break,
                Ok(Ok(_)) => {}
                Ok(Err(_)) | Err(_) => return Ok(Json(assignment)),
            }
        }
    }
}

async fn report(
    State(agents): State<Arc<Agents>>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    Json(report): Json<Report>,
) -> Result<StatusCode, Refusal> {
    let attempt = agents.attempt(&headers, from.ip())?;
    let id = agents.machines.by_mac(&attempt.id).ok_or(Refusal::Unknown)?.id.clone();
    agents.take(&id, report).await?;
    Ok(StatusCode::NO_CONTENT)
}
