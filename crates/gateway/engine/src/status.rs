//! What a running engine tells about itself, in `DATA/status.json`.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::EngineError;
use crate::files;
use crate::layout::Layout;
use crate::orphans::PidFile;

/// An engine and its processes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// What it is doing.
    pub phase: Phase,
    /// The engine's own process.
    pub pid: u32,
    /// When it started.
    pub since: Timestamp,
    /// When everything was ready for the first time since then.
    pub ready: Option<Timestamp>,
    /// URL of the Kubernetes API.
    pub server: String,
    /// SHA-256 of the manifest of the bundle that runs, hex; none for a foreign Kubernetes.
    pub bundle: Option<String>,
    /// Why it is not ready yet, where that is not one process's affair.
    pub trouble: Option<String>,
    /// Its processes in the order of their start.
    pub processes: Vec<ProcessStatus>,
}

/// What an engine is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Something is not ready, for the first time or again.
    Starting,
    /// Everything is ready.
    Ready,
    /// It was asked to end.
    Stopping,
    /// It does not run; the rest is as it was last.
    Stopped,
}

/// One process of an engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessStatus {
    /// Its name.
    pub name: String,
    /// Its process id while it runs.
    pub pid: Option<u32>,
    /// When it last started.
    pub started: Option<Timestamp>,
    /// Since when its health check answers.
    pub ready: Option<Timestamp>,
    /// How often it was started again.
    pub restarts: u32,
    /// How it last ended.
    pub last_exit: Option<Exit>,
    /// Its log.
    pub log: PathBuf,
}

/// An end of a process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// When.
    pub at: Timestamp,
    /// With which exit code or signal, or why it could not start.
    pub how: String,
}

/// What the engine on this data folder says of itself, `None` if there was never one.
///
/// # Errors
/// [`EngineError::File`] where that cannot be read.
pub fn status(data: &Path) -> Result<Option<Status>, EngineError> {
    let layout = Layout::new(data);
    let Some(text) = files::read_if_there(&layout.status())? else { return Ok(None) };
    let mut status: Status = serde_json::from_slice(&text)
        .map_err(std::io::Error::other)
        .map_err(files::io("understand", &layout.status()))?;
    let runs = files::read_if_there(&layout.lock())?
        .and_then(|text| serde_json::from_slice::<PidFile>(&text).ok())
        .is_some_and(|engine| engine.is_alive());
    if !runs {
        status.phase = Phase::Stopped;
        for process in &mut status.processes {
            (process.pid, process.ready) = (None, None);
        }
    }
    Ok(Some(status))
}
