//! The agent's loop: ask for a task, do it, report, ask again.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use agent_protocol::{
    Assignment, EraseMode, Hello, Install, Progress as State, Report, Script, ScriptState, System, Task,
    TaskResult,
};

use crate::client::{ClientError, Heard, Region};
use crate::disk::Disk;
use crate::erase;
use crate::install::{self, InstallError};
use crate::log::say;
use crate::scripts::{self, Stage};
use crate::system::{self, Ground, How, SystemError};

/// Time between two progress reports.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);
/// Longest pause that the region may ask for.
const LONGEST_WAIT: Duration = Duration::from_mins(1);
/// Pause before a task that was refused twice in a row is asked for again.
const STALE_PAUSE: Duration = Duration::from_secs(1);

/// How long making host keys may take: a machine that has just started may be short of randomness.
const KEYS_LIMIT: Duration = Duration::from_mins(2);

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
    let mut work = Work { region, bench, ground: None, rescue: None };
    let end = match work.serve(hello) {
        Err(ClientError::Unauthorized) => {
            say(ClientError::Unauthorized);
            Ok(End::Restart)
        }
        other => other,
    };
    work.end_rescue();
    end
}

/// What is kept from task to task.
struct Work<'a> {
    region: &'a Region,
    bench: &'a Bench,
    /// The larger system, once a task wanted it.
    ground: Option<Ground>,
    /// The SSH server of the rescue system.
    rescue: Option<Child>,
}

/// What follows a task.
enum Step {
    End(End),
    Next,
    /// The report was stale.
    Refused,
}

impl Work<'_> {
    fn serve(&mut self, hello: &Hello) -> Result<End, ClientError> {
        let mut assignment = self.region.hello(hello)?;
        let mut refused: Option<String> = None;
        loop {
            if refused.as_ref() == Some(&assignment.id) {
                std::thread::sleep(STALE_PAUSE);
            }
            refused = match self.perform(&assignment)? {
                Step::End(end) => return Ok(end),
                Step::Next => None,
                Step::Refused => Some(assignment.id),
            };
            assignment = self.region.task()?;
        }
    }

    fn perform(&mut self, assignment: &Assignment) -> Result<Step, ClientError> {
        let (region, bench) = (self.region, self.bench);
        let mut reporter = Reporter::new(region, &assignment.id);
        let (state, end) = match &assignment.task {
            Task::Wait { retry_ms } => {
                std::thread::sleep(Duration::from_millis(*retry_ms).min(LONGEST_WAIT));
                return Ok(Step::Next);
            }
            Task::Restart => (done("restarting"), Some(End::Restart)),
            Task::PowerOff => (done("switching off"), Some(End::PowerOff)),
            Task::Run { scripts, system } => match self.scripts(scripts, system.as_ref(), &mut reporter) {
                Ok(state) => (state, None),
                Err(Interrupted::Region(error)) => return Err(error),
                Err(Interrupted::Stale) => return Ok(Step::Refused),
            },
            Task::Rescue { keys, hostname, system } => {
                match self.rescue(keys, hostname, system, &mut reporter) {
                    Ok(state) => (state, None),
                    Err(Interrupted::Region(error)) => return Err(error),
                    Err(Interrupted::Stale) => return Ok(Step::Refused),
                }
            }
            Task::Erase { mode, disks } => {
                say(format_args!("erasing ({mode:?})"));
                match erase(bench, *mode, disks, &mut reporter) {
                    Ok(state) => (state, None),
                    Err(Interrupted::Region(error)) => return Err(error),
                    Err(Interrupted::Stale) => return Ok(Step::Refused),
                }
            }
            Task::Install(task) => {
                say(format_args!("installing {} on {}", task.url, task.disk));
                match install(bench, task, region, &mut reporter) {
                    Ok(result) => result,
                    Err(Interrupted::Region(error)) => return Err(error),
                    Err(Interrupted::Stale) => return Ok(Step::Refused),
                }
            }
        };
        match &state {
            State::Failed { error } => say(error),
            State::Done { detail, .. } => say(detail),
            State::Working { .. } | State::Script { .. } => {}
        }
        match (region.report(&Report { task: assignment.id.clone(), progress: state })?, end) {
            (Heard::Stale, _) => Ok(Step::Refused),
            (Heard::Taken, Some(end)) => Ok(Step::End(end)),
            (Heard::Taken, None) => Ok(Step::Next),
        }
    }

    /// Runs scripts; those that are texts in the larger system.
    fn scripts(
        &mut self,
        scripts: &[Script],
        system: Option<&System>,
        reporter: &mut Reporter<'_>,
    ) -> Result<State, Interrupted> {
        if let Some(system) = system
            && let Some(state) = self.lay(system, reporter)?
        {
            return Ok(state);
        }
        scripts::run(scripts, self.ground.as_ref(), self.bench, reporter)?;
        Ok(done(&format!("{} scripts have run", scripts.len())))
    }

    /// Lets people in by SSH, until [`Self::end_rescue`].
    fn rescue(
        &mut self,
        keys: &[String],
        hostname: &str,
        system: &System,
        reporter: &mut Reporter<'_>,
    ) -> Result<State, Interrupted> {
        if let Some(state) = self.lay(system, reporter)? {
            return Ok(state);
        }
        self.end_rescue();
        let started = self.ground.as_ref().ok_or(io::ErrorKind::NotFound.into()).and_then(|ground| {
            ground.write("/root/.ssh/authorized_keys", &(keys.join("\n") + "\n"), 0o600)?;
            ground.write("/etc/hostname", &format!("{hostname}\n"), 0o644)?;
            ground.folder("/run/sshd")?;
            rustix::system::sethostname(hostname.as_bytes())?;
            let made = ground.run(
                Path::new("/usr/bin/ssh-keygen"),
                &["-A".to_owned()],
                &[],
                KEYS_LIMIT,
                &AtomicBool::new(false),
            )?;
            if made.how != How::Exit(0) {
                return Err(io::Error::other(format!("ssh-keygen: {}", made.output)));
            }
            ground.start(Path::new("/usr/sbin/sshd"), &["-D", "-e"])
        });
        match started {
            Ok(sshd) => {
                self.rescue = Some(sshd);
                Ok(done("root can come in by SSH"))
            }
            Err(error) => Ok(State::Failed { error: format!("can't start the SSH server: {error}") }),
        }
    }

    /// Makes the larger system usable, unless it is; answers what to report where that fails.
    fn lay(&mut self, system: &System, reporter: &mut Reporter<'_>) -> Result<Option<State>, Interrupted> {
        if self.ground.as_ref().is_some_and(|ground| ground.is(system)) {
            return Ok(None);
        }
        match Ground::lay(system, self.region, reporter) {
            Ok(ground) => {
                self.ground = Some(ground);
                Ok(None)
            }
            Err(SystemError::Interrupted(why)) => Err(why),
            Err(error) => Ok(Some(State::Failed { error: error.to_string() })),
        }
    }

    fn end_rescue(&mut self) {
        if let Some(mut sshd) = self.rescue.take() {
            system::end(&mut sshd);
            rustix::fs::sync();
        }
    }
}

fn done(detail: &str) -> State {
    State::Done { detail: detail.to_owned(), results: Vec::new() }
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

impl Stage for Reporter<'_> {
    fn script(&mut self, result: u64, now: ScriptState) -> Result<(), Interrupted> {
        let progress = State::Script { result, now };
        match self.region.report(&Report { task: self.task.to_owned(), progress })? {
            Heard::Taken => Ok(()),
            Heard::Stale => Err(Interrupted::Stale),
        }
    }

    fn still(&mut self, what: &str) -> Result<(), Interrupted> {
        self.tell(what, 0, 0)
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
