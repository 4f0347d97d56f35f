//! Processes that an engine left behind that could not end them: found by pid files, and ended.
//!
//! Children die with their engine (`PR_SET_PDEATHSIG`), so there should be none; this is for the moment in which
//! one is still dying, and for kernels that think otherwise. A pid alone names nobody: the kernel gives it to
//! another process later. So a pid file also has the process's start time and program, as `/proc` shows them.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fs, io};

use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use crate::EngineError;
use crate::files;

/// An orphan that has not ended that long after SIGTERM is killed.
const TERM_LIMIT: Duration = Duration::from_secs(5);
/// Nothing but the kernel holds a killed process back for longer.
const KILL_LIMIT: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Names a process beyond doubt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PidFile {
    pid: u32,
    /// Clock ticks after the kernel's start: field 22 of `/proc/PID/stat`, proc(5).
    started: u64,
    program: PathBuf,
}

impl PidFile {
    /// Names a running child.
    pub(crate) fn of(pid: u32, program: &Path) -> io::Result<Self> {
        Ok(Self { pid, started: start_time(pid)?, program: fs::canonicalize(program)? })
    }

    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        fs::write(path, serde_json::to_vec(self)?)
    }

    /// Removes a pid file; one that stays behind names a dead process, which harms nobody.
    pub(crate) fn remove(path: &Path) {
        fs::remove_file(path).or_else(files::absent_is_fine).ok();
    }

    /// Whether that very process runs, or is still dying: then it has lost its program, but not yet its ports.
    pub(crate) fn is_alive(&self) -> bool {
        let is_same_program = || match fs::read_link(format!("/proc/{}/exe", self.pid)) {
            // A program whose file was replaced is shown as "… (deleted)".
            Ok(program) => {
                program.to_string_lossy().trim_end_matches(" (deleted)") == self.program.to_string_lossy()
            }
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        };
        start_time(self.pid).is_ok_and(|started| started == self.started) && is_same_program()
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) {
            kill_process(pid, signal).ok();
        }
    }

    /// Whether it is gone by `limit` from now.
    async fn gone_within(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        while self.is_alive() {
            if Instant::now() >= deadline {
                return false;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        true
    }
}

/// Ends every process that a pid file in `folder` names.
pub(crate) async fn end(folder: &Path) -> Result<(), EngineError> {
    for entry in fs::read_dir(folder).map_err(files::io("list", folder))?.flatten() {
        let path = entry.path();
        if path.extension().is_none_or(|extension| extension != "pid") {
            continue;
        }
        let text = fs::read(&path).unwrap_or_default();
        // A half-written file is of a child that died with its engine.
        if let Ok(orphan) = serde_json::from_slice::<PidFile>(&text)
            && orphan.is_alive()
        {
            tracing::warn!(pid = orphan.pid, program = %orphan.program.display(), "ending an orphan");
            orphan.signal(Signal::TERM);
            if !orphan.gone_within(TERM_LIMIT).await {
                orphan.signal(Signal::KILL);
                if !orphan.gone_within(KILL_LIMIT).await {
                    return Err(EngineError::Orphan { pid: orphan.pid, program: orphan.program });
                }
            }
        }
        PidFile::remove(&path);
    }
    Ok(())
}

fn start_time(pid: u32) -> io::Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    parse_start_time(&stat).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The start time; `None` for a process that has ended and waits to be reaped. One whose first thread has ended, but
/// not the others, which is told as a zombie too, has not: they hold its ports.
fn parse_start_time(stat: &str) -> Option<u64> {
    // The name in brackets may hold spaces and brackets itself.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    // Fields 3, 20 and 22 of proc(5).
    let (state, threads, started) = (fields.first()?, fields.get(17)?, fields.get(19)?);
    if *state == "Z" && threads.parse::<u32>().ok()? <= 1 {
        return None;
    }
    started.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn child(script: &str) -> std::process::Child {
        std::process::Command::new("/bin/bash").args(["-c", script]).spawn().unwrap()
    }

    #[test]
    fn reads_names_with_brackets_and_knows_zombies() {
        let rest = "1 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 1 2 3";
        assert_eq!(parse_start_time(&format!("4 (a) b) (c) S {rest}")), Some(98765));
        assert_eq!(parse_start_time(&format!("4 (sh) Z {rest}")), None);
        let dying = rest.replace(" 20 0 1 0 ", " 20 0 7 0 ");
        assert_eq!(parse_start_time(&format!("4 (sh) Z {dying}")), Some(98765), "its other threads run");
        assert_eq!(parse_start_time("nonsense"), None);
    }

    #[tokio::test]
    async fn ends_what_is_named_even_against_its_will_and_nobody_else() {
        let folder = tempfile::tempdir().unwrap();
        let mut stubborn = child("trap '' TERM; echo; while :; do read -t 1 < <(:); done");
        let mut stranger = child("read -t 60 < <(sleep 60)");
        let named = PidFile::of(stubborn.id(), Path::new("/bin/bash")).unwrap();
        named.write(&folder.path().join("a.pid")).unwrap();
        let other = PidFile { started: 1, ..PidFile::of(stranger.id(), Path::new("/bin/bash")).unwrap() };
        other.write(&folder.path().join("b.pid")).unwrap();
        fs::write(folder.path().join("c.pid"), "{").unwrap();
        end(folder.path()).await.unwrap();
        assert!(!stubborn.wait().unwrap().success());
        assert!(stranger.try_wait().unwrap().is_none());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        stranger.kill().unwrap();
        stranger.wait().unwrap();
    }
}
