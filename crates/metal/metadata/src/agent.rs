//! The agent's side of the region: hello, task, report.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use agent_protocol::{Assignment, Hello, Progress, Report, ScriptState, Task};
use axum::{
    Json, Router,
    extract::{ConnectInfo, DefaultBodyLimit, State},
    http::{HeaderMap, StatusCode, Uri, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use ipnet::Ipv4Net;
use jiff::Timestamp;
use lifecycle::{Signal, Status};
use model::{
    BootAttempt, BootResource, ChangeError, Device, Hardware, Level, Machine, Machines, SCOPE, ScriptOutput,
    Stage, Subnet,
};
use render::netplan::Surroundings;
use scripts::{INVENTORY, Outcome, outcome};
use store::{Batch, CommitError, Store, Stored};

use crate::task::{self, Means, SystemFile};

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
    /// The larger ephemeral system, if there is one.
    pub system: Option<SystemFile>,
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
            let (store, scripts) = (self.machines.store().clone(), self.machines.scripts());
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
                    let was = machine.clone();
                    model::absorb(machine, &hello.inventory, mac, vlan, || self.machines.next_number());
                    batch = model::addresses::release_lost(&store, &id, &was, machine, batch);
                    if matches!(machine.status, Status::New | Status::Commissioning) {
                        model::ops::link_boot_nic(&store, machine);
                        model::lay_out(&self.machines, machine);
                    }
                    for nic in &machine.nics {
                        batch = batch.claim(SCOPE, "mac", &nic.mac, &id);
                    }
                    batch = keep_hardware(&store, &id, &hello.inventory, batch);
                    if machine.status == Status::New {
                        machine.enter(Status::Commissioning, now);
                    }
                    if machine.status == Status::Commissioning {
                        batch = inventoried(&store, &scripts, &id, machine, hello, batch);
                    }
                    // A machine that was restarted is not in its rescue system any more.
                    if machine.status == Status::RescueMode {
                        machine.flow.done = None;
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
        if Device::by_mac(self.machines.store(), mac).is_some() {
            return Err(Refusal::Taken("MAC address", mac.to_owned()));
        }
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
        let store = self.machines.store();
        // The machine reaches the region, and its name server, at the address that it asks.
        let resolver = base.parse::<Uri>().ok().and_then(|base| base.host()?.parse().ok());
        task::of(
            id,
            machine,
            &Means {
                images: &store.list::<BootResource>(SCOPE),
                scripts: &self.machines.scripts(),
                system: self.system.as_ref(),
                keys: &self.machines.rescuers(machine),
                around: &Surroundings::of(store, machine, resolver),
                base,
                token,
            },
        )
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
        let store = self.machines.store().clone();
        self.machines
            .change("agent", "machine.report", id, |machine, batch| {
                if !current(machine) {
                    return Err(Refusal::Stale);
                }
                Ok(note(&store, id, machine, &report.progress, now, batch))
            })
            .await?;
        Ok(())
    }
}

/// Adds to the batch what an inventory says of the machine's buses, where that is new.
fn keep_hardware(store: &Store, id: &str, inventory: &serde_json::Value, batch: Batch) -> Batch {
    let seen = store.get::<Hardware>(SCOPE, id);
    let none = Hardware::default();
    let before = seen.as_ref().map_or(&none, |seen| &seen.value);
    let hardware = Hardware::of(inventory, before);
    match &seen {
        _ if hardware == *before => batch,
        Some(seen) => batch.update(SCOPE, id, seen.version, &hardware),
        None => batch.create(SCOPE, id, &hardware),
    }
}

/// Plans what is to run on what the inventory shows, and keeps the inventory as the result of its script.
fn inventoried(
    store: &Store,
    scripts: &[(String, scripts::Script)],
    id: &str,
    machine: &mut Machine,
    hello: &Hello,
    batch: Batch,
) -> Batch {
    let planned = model::ops::plan_all(store, scripts, id, machine, batch.clone());
    let batch = planned.unwrap_or_else(|bad| {
        machine.flow.failure = Some(bad.to_string());
        batch
    });
    let own = machine.to_run(Stage::Commissioning).find(|result| result.name == INVENTORY);
    let Some(number) = own.map(|result| result.number) else { return batch };
    machine.note_result(number, Outcome::Passed, Some(0), Timestamp::now());
    let inventory = format!("{:#}", hello.inventory);
    ScriptOutput::new(&inventory, "").keep(store, id, number, batch)
}

/// Records what an agent says of its present task.
fn note(
    store: &Store,
    id: &str,
    machine: &mut Machine,
    progress: &Progress,
    now: Timestamp,
    batch: Batch,
) -> Batch {
    match progress {
        Progress::Working { step, done, total } => {
            machine.note(Signal::Progress, now);
            machine.timeline.note(match total {
                0 => sentence(step),
                total => format!("{}: {} %", sentence(step), done.saturating_mul(100) / total),
            });
            batch
        }
        Progress::Script { result, now: state } => {
            machine.note(Signal::Progress, now);
            script(store, id, machine, *result, state, now, batch)
        }
        Progress::Done { detail, results } => {
            // Said again where the answer was lost.
            let batch = if machine.flow.done.is_none() && !results.is_empty() {
                let outcome = |passed| if passed { Outcome::Passed } else { Outcome::Failed };
                let told = results.iter().map(|result| (result.name.clone(), outcome(result.passed)));
                let numbers = machine.keep_results(Stage::Release, told, now);
                numbers.iter().zip(results).fold(batch, |batch, (number, result)| {
                    ScriptOutput::new(&result.output, "").keep(store, id, *number, batch)
                })
            } else {
                batch
            };
            machine.timeline.note(sentence(detail));
            if let Some(why) = failure(store, id, machine, results) {
                machine.flow.failure = Some(why);
            } else {
                machine.netboot = machine.netboot && machine.status != Status::Deploying;
                machine.note(Signal::Done, now);
            }
            batch
        }
        Progress::Failed { error } => {
            machine.flow.failure = Some(sentence(error));
            batch
        }
    }
}

/// Records how a script stands.
fn script(
    store: &Store,
    id: &str,
    machine: &mut Machine,
    result: u64,
    state: &ScriptState,
    now: Timestamp,
    batch: Batch,
) -> Batch {
    let (outcome, exit_status, said) = match state {
        ScriptState::Running => (Outcome::Running, None, None),
        ScriptState::Ended { exit_status, output, result } => {
            let outcome = outcome::judge(*exit_status, result);
            (outcome, Some(*exit_status), Some(ScriptOutput::new(output, result)))
        }
        ScriptState::TimedOut { output } => (Outcome::TimedOut, None, Some(ScriptOutput::new(output, ""))),
    };
    let changed = machine.note_result(result, outcome, exit_status, now);
    let name = machine.result_mut(result).map(|result| result.name.clone()).unwrap_or_default();
    match (changed, said) {
        (true, Some(said)) => {
            machine.timeline.note(format!("{name}: {}", outcome.label()));
            said.keep(store, id, result, batch)
        }
        (true, None) => {
            machine.timeline.note(name);
            batch
        }
        (false, _) => batch,
    }
}

/// Why a finished task is no success.
fn failure(
    store: &Store,
    id: &str,
    machine: &Machine,
    results: &[agent_protocol::TaskResult],
) -> Option<String> {
    if let Some(bad) = results.iter().find(|result| !result.passed) {
        return Some(format!("{} failed: {}", bad.name, sentence(&bad.output)));
    }
    let stage = match machine.status {
        Status::Commissioning => Stage::Commissioning,
        Status::Testing => Stage::Testing,
        _ => return None,
    };
    let bad = machine.bad_result(stage)?;
    let output = store.get::<ScriptOutput>(SCOPE, &ScriptOutput::id(id, bad.number));
    let output = output.map(|output| output.value.output.clone()).unwrap_or_default();
    let last = output.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    Some(match last {
        "" => format!("{}: {}", bad.name, bad.outcome.label()),
        last => format!("{} {}: {}", bad.name, bad.outcome.label().to_lowercase(), sentence(last)),
    })
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
