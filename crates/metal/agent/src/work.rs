//! The agent's loop: ask for a task, do it, report, ask again.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use agent_protocol::{Assignment, EraseMode, Hello, Install, Progress as State, Report, Task, TaskResult};

use crate::client::{ClientError, Heard, Region};
use crate::disk::Disk;
use crate::erase;
use crate::install::{self, InstallError};
use crate::log::say;
use crate::selftest;

/// Time between two progress reports.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);
/// Longest pause that the region may ask for.
const LONGEST_WAIT: Duration = Duration::from_mins(1);
/// Pause before a task that was refused twice in a row is asked for again.
const STALE_PAUSE: Duration = Duration::from_secs(1);

/// How the machine goes on when the work is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Restart through the firmware.
    Restart,
    /// Start the kernel that is loaded.
    Kexec,
    /// Switch off.
    PowerOff,
}

/// The region no longer wants the task that is being done.
#[derive(Debug, thiserror::Error)]
pub enum Interrupted {
    /// The report was refused as stale.
    #[error("the region gave this task up")]
    Stale,
    /// The boot attempt is over.
    #[error(transparent)]
    Region(#[from] ClientError),
}

/// Hears how far a long task is.
pub trait Progress {
    /// `done` of `total` bytes; called often.
    ///
    /// # Errors
    /// [`Interrupted`] when the task is to be left.
    fn tell(&mut self, step: &str, done: u64, total: u64) -> Result<(), Interrupted>;
}

/// Where the work is done.
#[derive(Debug, Clone)]
pub struct Bench {
    /// Folder of the device nodes, `/dev`.
    pub dev: PathBuf,
    /// Kernel names of the disks in the inventory.
    pub disks: Vec<String>,
}

/// Says hello and does what the region asks for until the machine is to restart or to switch off.
///
/// # Errors
/// [`ClientError`] when the region can't be worked with; the machine should then boot again.
pub fn run(region: &Region, hello: &Hello, bench: &Bench) -> Result<End, ClientError> {
    match serve(region, hello, bench) {
        Err(ClientError::Unauthorized) => {
            say(ClientError::Unauthorized);
            Ok(End::Restart)
        }
        other => other,
    }
}

fn serve(region: &Region, hello: &Hello, bench: &Bench) -> Result<End, ClientError> {
    let mut assignment = region.hello(hello)?;
    let mut refused: Option<String> = None;
    loop {
        if refused.as_ref() == Some(&assignment.id) {
            std::thread::sleep(STALE_PAUSE);
        }
        refused = match perform(region, &assignment, bench)? {
            Step::End(end) => return Ok(end),
            Step::Next => None,
            Step::Refused => Some(assignment.id),
        };
        assignment = region.task()?;
    }
}

/// What follows a task.
enum Step {
    End(End),
    Next,
    /// The report was stale.
    Refused,
}

fn perform(region: &Region, assignment: &Assignment, bench: &Bench) -> Result<Step, ClientError> {
    let (state, end) = match &assignment.task {
        Task::Wait { retry_ms } => {
            std::thread::sleep(Duration::from_millis(*retry_ms).min(LONGEST_WAIT));
            return Ok(Step::Next);
        }
        Task::Restart => (done("restarting"), Some(End::Restart)),
        Task::PowerOff => (done("switching off"), Some(End::PowerOff)),
        Task::Test => {
            say("testing");
            (test(bench), None)
        }
        Task::Erase { mode, disks } => {
            say(format_args!("erasing ({mode:?})"));
            match erase(bench, *mode, disks, &mut Reporter::new(region, &assignment.id)) {
                Ok(state) => (state, None),
                Err(Interrupted::Region(error)) => return Err(error),
                Err(Interrupted::Stale) => return Ok(Step::Refused),
            }
        }
        Task::Install(task) => {
            say(format_args!("installing {} on {}", task.url, task.disk));
            match install(bench, task, region, &mut Reporter::new(region, &assignment.id)) {
                Ok(result) => result,
                Err(Interrupted::Region(error)) => return Err(error),
                Err(Interrupted::Stale) => return Ok(Step::Refused),
            }
        }
    };
    match &state {
        State::Failed { error } => say(error),
        State::Done { detail, .. } => say(detail),
        State::Working { .. } => {}
    }
    match (region.report(&Report { task: assignment.id.clone(), progress: state })?, end) {
        (Heard::Stale, _) => Ok(Step::Refused),
        (Heard::Taken, Some(end)) => Ok(Step::End(end)),
        (Heard::Taken, None) => Ok(Step::Next),
    }
}

fn done(detail: &str) -> State {
    State::Done { detail: detail.to_owned(), results: Vec::new() }
}

fn test(bench: &Bench) -> State {
    let results = selftest::run(&bench.dev, &bench.disks);
    let failed = results.iter().filter(|result| !result.passed).count();
    State::Done { detail: format!("{} tests, {failed} failed", results.len()), results }
}

fn install(
    bench: &Bench,
    task: &Install,
    region: &Region,
    progress: &mut dyn Progress,
) -> Result<(State, Option<End>), Interrupted> {
    match install::install(task, &bench.dev, region, progress) {
        Ok(installed) if installed.kexec => Ok((done(&installed.detail), Some(End::Kexec))),
        Ok(installed) => Ok((done(&installed.detail), Some(End::Restart))),
        Err(
            InstallError::Interrupted(why) | InstallError::Image(crate::image::ImageError::Interrupted(why)),
        ) => Err(why),
        Err(error) => Ok((State::Failed { error: error.to_string() }, None)),
    }
}

/// Erases every disk asked for, also after one failed, so that the report is complete.
fn erase(
    bench: &Bench,
    mode: EraseMode,
    disks: &[String],
    progress: &mut dyn Progress,
) -> Result<State, Interrupted> {
    let disks = if disks.is_empty() { &bench.disks } else { disks };
    let mut results = Vec::new();
    for name in disks {
        let erased = match Disk::named(&bench.dev, name) {
            Ok(disk) => erase::erase(&disk, mode, progress),
            Err(source) => Err(erase::EraseError::Disk { disk: name.clone(), from: 0, to: 0, source }),
        };
        let result = match erased {
            Err(erase::EraseError::Interrupted(why)) => return Err(why),
            other => other,
        };
        results.push(TaskResult {
            name: format!("erase-{name}"),
            passed: result.is_ok(),
            output: result.unwrap_or_else(|error| error.to_string()),
        });
    }
    let failed: Vec<&str> = results.iter().filter(|r| !r.passed).map(|r| r.output.as_str()).collect();
    if failed.is_empty() {
        Ok(State::Done { detail: format!("erased {}", disks.join(", ")), results })
    } else {
        Ok(State::Failed { error: failed.join("; ") })
    }
}

/// Sends progress to the region, at most once a second.
struct Reporter<'a> {
    region: &'a Region,
    task: &'a str,
    last: Option<Instant>,
}

impl<'a> Reporter<'a> {
    fn new(region: &'a Region, task: &'a str) -> Self {
        Self { region, task, last: None }
    }
}

impl Progress for Reporter<'_> {
    fn tell(&mut self, step: &str, done: u64, total: u64) -> Result<(), Interrupted> {
        if self.last.is_some_and(|last| last.elapsed() < PROGRESS_INTERVAL) {
            return Ok(());
        }
        let progress = State::Working { step: step.to_owned(), done, total };
        let heard = self.region.progress(&Report { task: self.task.to_owned(), progress })?;
        self.last = Some(Instant::now());
        match heard {
            Heard::Taken => Ok(()),
            Heard::Stale => Err(Interrupted::Stale),
        }
    }
}
