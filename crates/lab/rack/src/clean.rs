//! Removing what a lab that was killed left behind.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use crate::RackError;
use crate::error::Doing as _;
use crate::{disk, init, lab, netns, tool};

/// How long killed processes may take to go.
const LIMIT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);

/// What a lab notes about itself before it makes anything.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Note {
    /// The lab's name: its namespaces and groups are found by it.
    pub name: String,
    /// Its machines.
    pub machines: Vec<String>,
}

/// Removes what a killed lab left of the host in use: processes, namespaces, loop devices, control groups. What
/// it keeps in `dir` (disks, logs, plates) stays. May be called again at any time.
///
/// # Errors
/// [`RackError::AlreadyRunning`] while the lab is alive; else what could not be removed.
pub fn clean(dir: &Path) -> Result<(), RackError> {
    if !dir.exists() {
        return Ok(());
    }
    let _lock = lab::lock(dir)?;
    clean_locked(dir)
}

pub(crate) fn read_note(dir: &Path) -> Result<Option<Note>, RackError> {
    let file = dir.join("lab.json");
    match fs::read(&file) {
        Ok(text) => serde_json::from_slice(&text)
            .map(Some)
            .map_err(std::io::Error::from)
            .doing(|| format!("reading {}", file.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).doing(|| format!("reading {}", file.display())),
    }
}

/// The same, by a caller that holds the folder's lock.
pub(crate) fn clean_locked(dir: &Path) -> Result<(), RackError> {
    let Some(note) = read_note(dir)? else { return Ok(()) };
    for namespace in netns::all(&note.name) {
        end_processes(&namespace)?;
        netns::remove(&namespace)?;
    }
    disk::detach_below(&dir.join("machines"))?;
    for machine in &note.machines {
        init::remove_cgroups(&format!("bsm-{}/{machine}", note.name))?;
    }
    init::remove_cgroups(&format!("bsm-{}", note.name))?;
    for name in ["lab.sock", "lab.json"] {
        match fs::remove_file(dir.join(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).doing(|| format!("removing {name}"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Kills every process in a namespace of ours and waits until they are gone.
fn end_processes(namespace: &str) -> Result<(), RackError> {
    let until = Instant::now() + LIMIT;
    loop {
        let pids: Vec<Pid> = tool::run(&format!("ip netns pids {namespace}"))?
            .lines()
            .filter_map(|line| line.trim().parse().ok().and_then(Pid::from_raw))
            .collect();
        if pids.is_empty() {
            return Ok(());
        }
        for pid in pids {
            // It may have gone in the meantime.
            kill_process(pid, Signal::KILL).ok();
        }
        if Instant::now() > until {
            return Err(RackError::Tool {
                command: format!("ip netns pids {namespace}"),
                output: "processes that were killed are still there".into(),
            });
        }
        std::thread::sleep(PAUSE);
    }
}
