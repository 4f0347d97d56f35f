//! The region a lab runs, started again when it dies.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::init::{Keeper, Role, Work};
use crate::machine::Process;
use crate::{RackError, RegionStatus};

/// First pause before a dead region is started again; doubles up to [`LONGEST`].
const SHORTEST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(15);
/// A region that lived as long starts with the shortest pause again.
const HEALTHY: Duration = Duration::from_secs(30);

/// A supervised region.
pub(crate) struct Region {
    helper: PathBuf,
    role: Role,
    state: Mutex<RegionStatus>,
    kill: Notify,
}

impl Region {
    pub(crate) fn new(helper: &Path, netns: PathBuf, words: Vec<String>, log: PathBuf) -> Arc<Self> {
        Arc::new(Self {
            helper: helper.to_owned(),
            role: Role::Keeper(Keeper { netns, work: Work::Program(words) }),
            state: Mutex::new(RegionStatus { keeper_pid: None, starts: 0, log }),
            kill: Notify::new(),
        })
    }

    pub(crate) fn status(&self) -> RegionStatus {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Kills it without warning; [`Region::supervise`] starts it again.
    pub(crate) fn kill(&self) {
        self.kill.notify_waiters();
    }

    /// Keeps it running until the future is dropped, which kills it.
    pub(crate) async fn supervise(&self) {
        let mut pause = SHORTEST;
        loop {
            let since = Instant::now();
            if let Err(error) = self.live_once().await {
                tracing::error!(%error, "the region does not start");
            }
            pause = if since.elapsed() > HEALTHY { SHORTEST } else { (pause * 2).min(LONGEST) };
            tracing::warn!(?pause, "the region has ended and starts again");
            tokio::time::sleep(pause).await;
        }
    }

    async fn live_once(&self) -> Result<(), RackError> {
        let log = self.status().log;
        let mut process = Process::start(&self.helper, &self.role, &log).await?;
        self.note(Some(process.pid()));
        tokio::select! {
            _ = process.ended() => {}
            () = self.kill.notified() => { process.cut().await; }
        }
        self.note(None);
        Ok(())
    }

    fn note(&self, keeper: Option<u32>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.keeper_pid = keeper;
        state.starts += u32::from(keeper.is_some());
    }
}
