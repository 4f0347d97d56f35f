//! A program that a lab runs in the site, started again whenever it ends.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::init::{Keeper, Role, Work};
use crate::machine::Process;
use crate::{Program, ProgramStatus, RackError};

/// Pause before a program that has ended is started again: always the same, so that a test may kill one as often
/// as it likes.
const PAUSE: Duration = Duration::from_millis(500);

/// A program and whoever keeps it running.
pub(crate) struct Supervised {
    helper: PathBuf,
    role: Role,
    state: Mutex<ProgramStatus>,
    kill: Notify,
    /// How long it stays away after the kill that is under way.
    away: Mutex<Duration>,
}

impl Supervised {
    /// Starts a program in `netns`; the caller passes the process on to [`Supervised::supervise`]. What it prints
    /// is added to `NAME.log` in `dir`.
    pub(crate) async fn start(
        program: &Program,
        helper: &Path,
        netns: PathBuf,
        dir: &Path,
    ) -> Result<(Arc<Self>, Process), RackError> {
        let supervised = Self {
            helper: helper.to_owned(),
            role: Role::Keeper(Keeper { netns, work: Work::Program(program.command.clone()) }),
            state: Mutex::new(ProgramStatus {
                name: program.name.clone(),
                keeper_pid: None,
                starts: 0,
                log: dir.join(format!("{}.log", program.name)),
            }),
            kill: Notify::new(),
            away: Mutex::new(PAUSE),
        };
        let process = supervised.start_once().await?;
        Ok((Arc::new(supervised), process))
    }

    pub(crate) fn status(&self) -> ProgramStatus {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Kills it without warning; [`Supervised::supervise`] starts it again when it was `away` that long.
    pub(crate) fn kill(&self, away: Duration) {
        *self.away.lock().unwrap_or_else(PoisonError::into_inner) = away.max(PAUSE);
        self.kill.notify_waiters();
    }

    /// Keeps it running until the future is dropped, which kills it.
    pub(crate) async fn supervise(&self, first: Process) {
        let mut process = Ok(first);
        loop {
            let name = self.status().name;
            match process {
                Ok(process) => self.live(process).await,
                Err(error) => tracing::error!(%error, name, "a program does not start"),
            }
            tracing::warn!(name, "a program has ended and starts again");
            let away = {
                let mut away = self.away.lock().unwrap_or_else(PoisonError::into_inner);
                std::mem::replace(&mut *away, PAUSE)
            };
            tokio::time::sleep(away).await;
            process = self.start_once().await;
        }
    }

    async fn start_once(&self) -> Result<Process, RackError> {
        let process = Process::start(&self.helper, &self.role, &self.status().log).await?;
        self.note(Some(process.pid()));
        Ok(process)
    }

    async fn live(&self, mut process: Process) {
        tokio::select! {
            _ = process.ended() => {}
            () = self.kill.notified() => process.cut().await,
        }
        self.note(None);
    }

    fn note(&self, keeper: Option<u32>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.keeper_pid = keeper;
        state.starts += u32::from(keeper.is_some());
    }
}
