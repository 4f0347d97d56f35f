//! A keeper process and its pipe.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{ChildStdin, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::oneshot;

use crate::RackError;
use crate::error::Doing as _;
use crate::init::{self, ASK_TO_STOP, Ended, Role};

/// A keeper that has not ended that long after its pipe closed is killed itself.
const CUT_LIMIT: Duration = Duration::from_secs(10);

/// A running keeper. Dropping it closes the pipe, so that it kills what it keeps.
pub(crate) struct Process {
    pid: u32,
    pipe: Option<ChildStdin>,
    exit: oneshot::Receiver<Ended>,
}

impl Process {
    /// Starts a keeper whose output is added to `log`.
    pub(crate) async fn start(helper: &Path, role: &Role, log: &Path) -> Result<Self, RackError> {
        let doing = || format!("starting a keeper ({})", helper.display());
        let output = File::options().create(true).append(true).open(log);
        let output = output.doing(|| format!("opening {}", log.display()))?;
        let errors = output.try_clone().doing(doing)?;
        let mut command = init::command(helper, role).map_err(std::io::Error::from).doing(doing)?;
        // A group of its own: Ctrl-C at the lab's terminal is the lab's to handle.
        command.stdin(Stdio::piped()).stdout(output).stderr(errors).process_group(0);
        let (started, start) = oneshot::channel();
        let (ended, exit) = oneshot::channel();
        std::thread::spawn(move || {
            let mut child = match command.spawn() {
                Ok(child) => child,
                Err(error) => {
                    started.send(Err(error)).ok();
                    return;
                }
            };
            started.send(Ok((child.id(), child.stdin.take()))).ok();
            let code = child.wait().ok().as_ref().and_then(ExitStatus::code);
            ended.send(Ended::from_code(code)).ok();
        });
        let (pid, pipe) = match start.await {
            Ok(spawned) => spawned.doing(doing)?,
            Err(gone) => return Err(std::io::Error::other(gone)).doing(doing),
        };
        Ok(Self { pid, pipe, exit })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits until what it keeps has ended. Cancel-safe.
    pub(crate) async fn ended(&mut self) -> Ended {
        (&mut self.exit).await.unwrap_or(Ended::Crash)
    }

    /// Asks what it keeps to switch itself off.
    pub(crate) fn ask_to_stop(&mut self) {
        if let Some(pipe) = &mut self.pipe {
            // A keeper that has just ended needs no asking.
            pipe.write_all(&[ASK_TO_STOP]).ok();
        }
    }

    /// Cuts the power and waits until nothing is left.
    pub(crate) async fn cut(mut self) {
        self.pipe = None;
        if tokio::time::timeout(CUT_LIMIT, self.ended()).await.is_err() {
            tracing::error!(pid = self.pid, "a keeper does not end: killing it");
            if let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) {
                kill_process(pid, Signal::KILL).ok();
            }
            self.ended().await;
        }
    }
}
