//! Keeps the processes running: does what [`crate::plan`] says, and tells it what came of that.

use std::path::PathBuf;
use std::pin::Pin;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rustix::process::Signal;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::child::{Child, Launch};
use crate::files::{self, Readers};
use crate::health::{ASK_EVERY, Check};
use crate::layout::Layout;
use crate::plan::{Action, Ask, Goal, Health, Seen, State, plan};
use crate::processes::{Renewal, STAGE_API, Spec};
use crate::status::{Exit, Phase, ProcessStatus, Status};
use crate::{EngineError, log};

/// How long after a failed installation it is tried again.
const INSTALL_AGAIN: Duration = Duration::from_secs(2);
/// How much of a failed process's log is told.
const TAIL: usize = 600;

/// What has to be done once the API is ready, before anything works on it. May be done twice.
pub(crate) type Install =
    Box<dyn Fn() -> Pin<Box<dyn Future<Output = Result<(), EngineError>> + Send>> + Send>;

/// The processes of an engine.
pub(crate) struct Supervisor {
    layout: Layout,
    resolver: Option<PathBuf>,
    environment: Vec<(String, String)>,
    authority: Option<PathBuf>,
    processes: Vec<Process>,
    install: Install,
    installation: Installation,
    status: Status,
    written: Option<Status>,
    events: (mpsc::UnboundedSender<Event>, mpsc::UnboundedReceiver<Event>),
}

/// How the installation stands.
enum Installation {
    /// To be begun then.
    Due(Instant),
    Running,
    Done,
}

struct Process {
    spec: Spec,
    state: State,
    /// Counts starts: what a process before the last start still tells is not about this one.
    life: u32,
    child: Option<Child>,
    watcher: Option<JoinHandle<()>>,
}

/// What happened.
pub(crate) enum Event {
    /// A process has ended.
    Ended { index: usize, life: u32, how: String },
    /// A health check was answered.
    Heard { index: usize, life: u32, health: Health },
    /// An installation has ended.
    Installed(Result<(), EngineError>),
    /// Certificates were renewed.
    Renewed,
}

/// What a supervisor is made from.
pub(crate) struct Charge {
    /// When the engine started.
    pub since: Timestamp,
    /// The data folder.
    pub layout: Layout,
    /// What the processes see as `/etc/resolv.conf`.
    pub resolver: Option<PathBuf>,
    /// The certificate of the authority that signed the servers', a PEM file.
    pub authority: Option<PathBuf>,
    /// The processes.
    pub specs: Vec<Spec>,
    /// The installation.
    pub install: Install,
    /// URL of the API.
    pub server: String,
    /// Digest of the bundle.
    pub bundle: Option<String>,
}

impl Supervisor {
    pub(crate) fn new(charge: Charge) -> Self {
        let now = Instant::now();
        let shown = |spec: &Spec| ProcessStatus {
            name: spec.name.to_owned(),
            pid: None,
            started: None,
            ready: None,
            restarts: 0,
            last_exit: None,
            log: charge.layout.log(spec.name),
        };
        let status = Status {
            phase: Phase::Starting,
            pid: std::process::id(),
            since: charge.since,
            ready: None,
            server: charge.server,
            bundle: charge.bundle,
            trouble: None,
            processes: charge.specs.iter().map(shown).collect(),
        };
        let process = |spec| Process {
            spec,
            state: State::Down { failures: 0, since: now },
            life: 0,
            child: None,
            watcher: None,
        };
        // Programs find names of machines and the trust of the host by these; nothing else of the engine's
        // environment is theirs.
        let environment = ["PATH", "HOME", "SSL_CERT_FILE", "SSL_CERT_DIR", "RUST_LOG"]
            .into_iter()
            .filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?)))
            .collect();
        Self {
            layout: charge.layout,
            resolver: charge.resolver,
            environment,
            authority: charge.authority,
            processes: charge.specs.into_iter().map(process).collect(),
            install: charge.install,
            installation: Installation::Due(now),
            status,
            written: None,
            events: mpsc::unbounded_channel(),
        }
    }

    /// Where events from outside are told.
    pub(crate) fn teller(&self) -> mpsc::UnboundedSender<Event> {
        self.events.0.clone()
    }

    /// Runs the processes until told to stop, then ends them.
    pub(crate) async fn run(mut self, mut stop: watch::Receiver<bool>) -> Result<(), EngineError> {
        loop {
            let stopping = *stop.borrow();
            let again = self.install_if_due();
            let open = if matches!(self.installation, Installation::Done) { u8::MAX } else { STAGE_API };
            let goal = if stopping { Goal::Stop } else { Goal::Run { open } };
            let seen: Vec<Seen> =
                self.processes.iter().map(|p| Seen { stage: p.spec.stage, state: p.state }).collect();
            let next = plan(&seen, goal, Instant::now());
            for action in &next.actions {
                self.act(*action).await;
            }
            self.tell(goal)?;
            if stopping && self.all_down() {
                return Ok(());
            }
            if !next.actions.is_empty() {
                continue;
            }
            let wake = [next.look_again, again].into_iter().flatten().min();
            tokio::select! {
                event = self.events.1.recv() => self.take(event),
                () = sleep_until(wake) => {}
                // A sender that is gone can say no more; it ended without asking for a stop.
                Ok(()) = stop.changed(), if !stopping => {}
            }
        }
    }

    async fn act(&mut self, action: Action) {
        let now = Instant::now();
        match action {
            Action::Start(index) => self.start(index).await,
            Action::Terminate(index) => self.ask(index, Ask::Term, now),
            Action::Kill(index) => self.ask(index, Ask::Kill, now),
        }
    }

    async fn start(&mut self, index: usize) {
        let Some(process) = self.processes.get_mut(index) else { return };
        let name = process.spec.name;
        process.life += 1;
        let life = process.life;
        let launch = Launch {
            name: name.to_owned(),
            program: process.spec.program.clone(),
            arguments: process.spec.arguments.clone(),
            environment: [&self.environment[..], &process.spec.environment].concat(),
            folder: self.layout.run(),
            log: self.layout.log(name),
            pid_file: self.layout.pid_file(name),
            resolver: self.resolver.clone(),
        };
        let teller = self.events.0.clone();
        let ended = move |how| {
            // The supervisor is gone only after all processes have ended.
            teller.send(Event::Ended { index, life, how }).ok();
        };
        let check =
            Check::new(&process.spec.health, self.authority.as_deref()).map_err(std::io::Error::other);
        process.state = process.state.started(Instant::now());
        let started = match check {
            Ok(check) => Child::start(launch, ended).await.map(|child| (child, check)),
            Err(error) => Err(error),
        };
        match started {
            Ok((child, check)) => {
                tracing::info!(process = name, pid = child.pid(), "started");
                if let Some(shown) = self.status.processes.get_mut(index) {
                    shown.restarts += u32::from(shown.started.is_some());
                    (shown.pid, shown.started) = (Some(child.pid()), Some(Timestamp::now()));
                }
                process.child = Some(child);
                process.watcher = Some(tokio::spawn(watch_health(check, self.events.0.clone(), index, life)));
            }
            Err(error) => {
                let how = format!("cannot start {}: {error}", process.spec.program.display());
                self.take(Some(Event::Ended { index, life, how }));
            }
        }
    }

    fn ask(&mut self, index: usize, how: Ask, now: Instant) {
        let Some(process) = self.processes.get_mut(index) else { return };
        process.state = process.state.asked(how, now);
        if let Some(child) = &process.child {
            child.signal(match how {
                Ask::Term => Signal::TERM,
                Ask::Kill => Signal::KILL,
            });
        }
    }

    fn take(&mut self, event: Option<Event>) {
        let now = Instant::now();
        match event {
            Some(Event::Ended { index, life, how }) => self.ended(index, life, how, now),
            Some(Event::Heard { index, life, health }) => {
                if let Some(process) = self.processes.get_mut(index).filter(|process| process.life == life) {
                    process.state = process.state.heard(health, now);
                }
            }
            Some(Event::Installed(Ok(()))) => {
                tracing::info!("Cluster API is installed");
                (self.installation, self.status.trouble) = (Installation::Done, None);
            }
            Some(Event::Installed(Err(error))) => {
                tracing::warn!(%error, "cannot install Cluster API, trying again");
                self.status.trouble = Some(error.to_string());
                self.installation = Installation::Due(now + INSTALL_AGAIN);
            }
            Some(Event::Renewed) => self.renewed(now),
            None => {}
        }
    }

    fn ended(&mut self, index: usize, life: u32, how: String, now: Instant) {
        let Some(process) = self.processes.get_mut(index).filter(|process| process.life == life) else {
            return;
        };
        let name = process.spec.name;
        if matches!(process.state, State::Ending { .. }) {
            tracing::info!(process = name, how, "ended");
        } else {
            let said = log::tail(&self.layout.log(name), TAIL);
            tracing::warn!(process = name, how, said, "ended by itself");
        }
        process.state = process.state.ended(now);
        process.child = None;
        if let Some(watcher) = process.watcher.take() {
            watcher.abort();
        }
        if let Some(shown) = self.status.processes.get_mut(index) {
            shown.pid = None;
            shown.last_exit = Some(Exit { at: Timestamp::now(), how });
        }
    }

    fn renewed(&mut self, now: Instant) {
        for index in 0..self.processes.len() {
            let restarts = self.processes.get(index).is_some_and(|process| {
                process.spec.renewal == Renewal::Restart && matches!(process.state, State::Up { .. })
            });
            if restarts {
                self.ask(index, Ask::Term, now);
            }
        }
    }

    /// Begins the installation once it can be; else says when to look again.
    fn install_if_due(&mut self) -> Option<Instant> {
        let Installation::Due(due) = self.installation else { return None };
        let below = |process: &&Process| process.spec.stage <= STAGE_API;
        if !self.processes.iter().filter(below).all(|process| process.state.is_ready()) {
            return None;
        }
        if due > Instant::now() {
            return Some(due);
        }
        self.installation = Installation::Running;
        let (work, teller) = ((self.install)(), self.events.0.clone());
        tokio::spawn(async move { teller.send(Event::Installed(work.await)).ok() });
        None
    }

    fn all_down(&self) -> bool {
        self.processes.iter().all(|process| process.state.is_down())
    }

    /// Writes the status, if it has changed.
    fn tell(&mut self, goal: Goal) -> Result<(), EngineError> {
        let now = Timestamp::now();
        for (shown, process) in self.status.processes.iter_mut().zip(&self.processes) {
            shown.ready = process.state.is_ready().then(|| shown.ready.unwrap_or(now));
        }
        let all_ready = matches!(self.installation, Installation::Done)
            && self.processes.iter().all(|process| process.state.is_ready());
        self.status.phase = match goal {
            Goal::Stop if self.all_down() => Phase::Stopped,
            Goal::Stop => Phase::Stopping,
            Goal::Run { .. } if all_ready => Phase::Ready,
            Goal::Run { .. } => Phase::Starting,
        };
        if all_ready && self.status.ready.is_none() {
            self.status.ready = Some(now);
            let took = now.duration_since(self.status.since);
            tracing::info!(seconds = took.as_secs_f64(), server = self.status.server, "the engine is ready");
        }
        if self.written.as_ref() != Some(&self.status) {
            let text = serde_json::to_vec_pretty(&self.status).unwrap_or_default();
            files::write(&self.layout.status(), &text, Readers::Owner)?;
            self.written = Some(self.status.clone());
        }
        Ok(())
    }
}

async fn watch_health(check: Check, teller: mpsc::UnboundedSender<Event>, index: usize, life: u32) {
    let mut last = Health::Bad;
    loop {
        let health = check.ask().await;
        if health == Health::Good || last == Health::Good {
            teller.send(Event::Heard { index, life, health }).ok();
        }
        last = health;
        let (soon, later) = ASK_EVERY;
        tokio::time::sleep(if health == Health::Good { later } else { soon }).await;
    }
}

async fn sleep_until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}
