//! The agent of the ephemeral system: hello, tasks, reports.

use std::time::Duration;

use agent_protocol::{
    AfterInstall, Assignment, Hello, Install, Progress, Report, Script, ScriptState, Task, TaskResult,
};
use bytes::Bytes;
use secrets::Secret;

use super::system::Source;
use super::{Access, Call, Reply, State, Turn, Verb};
use crate::vendor::Kexec;

/// What an agent that keeps no order says before hello: a question for its task, and a report.
pub(super) const EARLY: u32 = 2;
/// Longest pause that the region may ask for.
const LONGEST_WAIT: Duration = Duration::from_mins(1);
/// Pause before a task whose report was refused is asked for again.
const STALE_PAUSE: Duration = Duration::from_secs(1);

/// How the agent reaches the region.
#[derive(Debug)]
pub(super) struct Agent {
    pub url: String,
    pub token: Secret,
}

/// What follows a report that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Next,
    Restart,
    Kexec,
    Off,
}

/// An image being read.
#[derive(Debug)]
pub(super) struct Reading {
    task: String,
    install: Install,
    /// Parts of it that are read, of how many, and bytes of each.
    part: u64,
    parts: u64,
    bytes: u64,
    next: Next,
}

/// What a reader does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Read,
    Pause,
    Tell,
}

impl Reading {
    /// Whether the next thing is a request.
    pub fn asks(&self) -> bool {
        self.next != Next::Pause
    }

    /// After a pause.
    pub fn go_on(&mut self) {
        self.next = Next::Read;
    }

    /// The present part: parts lie evenly over the whole image, the last at its end.
    fn range(&self) -> (u64, u64) {
        let length = self.bytes.min(self.install.size);
        let room = self.install.size - length;
        let last = self.parts.saturating_sub(1).max(1);
        let from = u64::try_from(u128::from(room) * u128::from(self.part) / u128::from(last)).unwrap_or(room);
        (from.min(room), (from.min(room) + length).saturating_sub(1))
    }
}

impl Turn<'_> {
    /// The request of a state in which the agent asks.
    pub(super) fn agent_call(&self) -> Option<Call> {
        let agent = self.life.agent.as_ref()?;
        let (name, verb) = match &self.life.state {
            State::Early(0) | State::Task => ("task", Verb::Get),
            State::Early(_) => ("report", post(&done("nobody-asked", "switching off", Vec::new()))),
            State::Hello => ("hello", post(&self.hello())),
            State::Report(reports, _) => ("report", post(reports.last()?)),
            State::Reading(reading) if reading.next == Next::Tell => ("report", post(&working(reading))),
            State::Reading(reading) => {
                let (from, to) = reading.range();
                let access = Access::Bearer(agent.token.clone());
                let verb = Verb::Range(from, to);
                return Some(Call {
                    from: self.life.address?,
                    verb,
                    url: reading.install.url.clone(),
                    access,
                });
            }
            _ => return None,
        };
        let url = format!("{}/agent/v1/{name}", agent.url);
        Some(Call { from: self.life.address?, verb, url, access: Access::Bearer(agent.token.clone()) })
    }

    fn hello(&self) -> Hello {
        let board = self.setting.board;
        Hello {
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            boot_mac: board.boot_mac(),
            uuid: Some(board.uuid().to_string()),
            inventory: board.inventory(),
        }
    }

    pub(super) fn assigned(&mut self, reply: &Reply) {
        if self.once_more() {
            return;
        }
        match serde_json::from_slice::<Assignment>(&reply.body) {
            Ok(assignment) if reply.is_success() => self.take(assignment),
            // 401: the boot attempt is over. Anything else will not change by asking again.
            _ => self.restart(),
        }
    }

    /// Whether what was just said is to be said again first.
    fn once_more(&mut self) -> bool {
        let again = self.life.again > 0 && !matches!(self.life.state, State::Task);
        if again {
            self.life.again -= 1;
            self.call();
        }
        again
    }

    fn take(&mut self, assignment: Assignment) {
        let done = |detail: &str| vec![done(&assignment.id, detail, Vec::new())];
        match &assignment.task {
            Task::Wait { retry_ms } => {
                self.enter(State::Pause(Duration::from_millis(*retry_ms).min(LONGEST_WAIT)));
            }
            Task::PowerOff => self.enter(State::Report(done("switching off"), End::Off)),
            Task::Restart => self.enter(State::Report(done("restarting"), End::Restart)),
            Task::Run { .. } | Task::Rescue { .. } | Task::Erase { .. } => {
                self.enter(State::Work(Box::new(assignment)));
            }
            Task::Install(_) => self.install(assignment),
        }
    }

    pub(super) fn worked(&mut self) {
        let State::Work(assignment) = &self.life.state else { return };
        let passed = |name: String| TaskResult { name, passed: true, output: "ok".to_owned() };
        let disks = self.setting.board.model().disks.iter().map(|disk| disk.name);
        let reports = match &assignment.task {
            Task::Erase { .. } => {
                let erased = disks.map(|disk| passed(format!("erase-{disk}"))).collect();
                self.life.disk = None;
                vec![done(&assignment.id, "erased", erased)]
            }
            Task::Run { scripts, .. } => {
                let ended = |script: &Script| {
                    let now =
                        ScriptState::Ended { exit_status: 0, output: "ok".to_owned(), result: String::new() };
                    let progress = Progress::Script { result: script.result, now };
                    Report { task: assignment.id.clone(), progress }
                };
                let said = format!("{} scripts have run", scripts.len());
                let last = done(&assignment.id, &said, Vec::new());
                std::iter::once(last).chain(scripts.iter().rev().map(ended)).collect()
            }
            _ => vec![done(&assignment.id, "root can come in by SSH", Vec::new())],
        };
        self.enter(State::Report(reports, End::Next));
    }

    fn install(&mut self, assignment: Assignment) {
        let Task::Install(install) = assignment.task else { return };
        let room = self.setting.board.disk_size(&install.disk);
        if room < install.raw_size.max(1) {
            let error = format!("disk {} has {room} bytes, the image {}", install.disk, install.raw_size);
            let report = Report { task: assignment.id, progress: Progress::Failed { error } };
            return self.enter(State::Report(vec![report], End::Next));
        }
        let (parts, bytes) = self.setting.image.parts();
        let (task, install) = (assignment.id, *install);
        self.life.disk = None; // What was there is being overwritten.
        self.enter(State::Reading(Box::new(Reading {
            task,
            install,
            part: 0,
            parts,
            bytes,
            next: Next::Read,
        })));
    }

    pub(super) fn read(&mut self, reply: &Reply) {
        let State::Reading(reading) = &mut self.life.state else { return };
        match (reading.next, reply.status) {
            (_, Some(401 | 403)) => return self.restart(),
            (Next::Tell, Some(409)) => return self.enter(State::Pause(STALE_PAUSE)),
            (Next::Tell, _) => reading.next = Next::Pause,
            (_, Some(200..300)) => {
                reading.part += 1;
                // A word at every quarter.
                let quarter = (reading.parts / 4).max(1);
                reading.next = if reading.part.is_multiple_of(quarter) { Next::Tell } else { Next::Pause };
            }
            (_, status) => {
                let error = format!("{}: answered {}", reading.install.url, status.unwrap_or(0));
                let report = Report { task: reading.task.clone(), progress: Progress::Failed { error } };
                return self.enter(State::Report(vec![report], End::Next));
            }
        }
        self.life.tries = 0;
        if reading.part < reading.parts {
            return self.begin();
        }
        let source = reading.install.files.iter().find_map(|file| Source::read(&file.content));
        let kexec = (reading.install.then, self.setting.board.model().kexec);
        let end = if kexec == (AfterInstall::Kexec, Kexec::Works) { End::Kexec } else { End::Restart };
        let report = done(&reading.task, &format!("installed on {}", reading.install.disk), Vec::new());
        self.life.disk = Some(Box::new(source.unwrap_or_default()));
        self.enter(State::Report(vec![report], end));
    }

    pub(super) fn reported(&mut self, reply: &Reply) {
        if self.once_more() {
            return;
        }
        let State::Report(reports, end) = &mut self.life.state else { return };
        let end = *end;
        if reply.is_success() && reports.len() > 1 {
            let mut left = std::mem::take(reports);
            left.pop();
            return self.enter(State::Report(left, end));
        }
        match (reply.status, end) {
            (Some(401), _) | (Some(200..300), End::Restart) => self.restart(),
            (Some(200..300), End::Off) => self.off(),
            (Some(200..300), End::Kexec) => self.enter(State::SystemStart),
            (Some(200..300), End::Next) => self.enter(State::Task),
            _ => self.enter(State::Pause(STALE_PAUSE)),
        }
    }
}

fn done(task: &str, detail: &str, results: Vec<TaskResult>) -> Report {
    Report { task: task.to_owned(), progress: Progress::Done { detail: detail.to_owned(), results } }
}

fn working(reading: &Reading) -> Report {
    let total = reading.install.size;
    let done = u64::try_from(u128::from(total) * u128::from(reading.part) / u128::from(reading.parts.max(1)));
    let step = "writing the image".to_owned();
    Report {
        task: reading.task.clone(),
        progress: Progress::Working { step, done: done.unwrap_or(total), total },
    }
}

fn post(body: &impl serde::Serialize) -> Verb {
    // What is sent are types of ours without maps that JSON cannot have.
    Verb::Post(serde_json::to_vec(body).map(Bytes::from).unwrap_or_default())
}
