//! Running a program that speaks to a BMC: no shell, no standard input, what it writes bounded, a deadline.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _, process::Stdio, time::Duration};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    process::Command,
};

use crate::{PowerError, types::Program};

/// How long one run may take.
const LIMIT: Duration = Duration::from_secs(10);
/// Bytes of what it writes that are read.
const OUTPUT: u64 = 64 * 1024;

/// What came of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// How it ended.
    pub ended: Ended,
    /// What it wrote on standard output.
    pub text: String,
    /// What it wrote on standard error.
    pub complaint: String,
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// With exit code 0.
    Well,
    /// With another, or by a signal.
    Badly,
}

/// Whether a program is found in the search path.
pub fn is_installed(program: Program) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program.name).is_file())
}

/// Runs a program to its end. Secrets go into `environment`, which only it sees; its arguments everybody does.
/// Whoever gives up on this future ends the program, and all that it started.
pub async fn run(
    program: Program,
    address: &str,
    arguments: &[String],
    environment: &[(&str, &[u8])],
) -> Result<Output, PowerError> {
    let unreachable = |why: String| PowerError::Unreachable { address: address.to_owned(), why };
    let mut command = Command::new(program.name);
    command.args(arguments).env("LC_ALL", "C").stdin(Stdio::null());
    command.envs(environment.iter().map(|(name, value)| (name, OsStr::from_bytes(value))));
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => PowerError::Missing { program },
        _ => unreachable(format!("{} could not be started: {error}", program.name)),
    })?;
    // Ended before the child is waited for, so its number is still its own.
    let group = Group(child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)));
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let work = async {
        let (text, complaint) = tokio::join!(read(stdout), read(stderr));
        (text, complaint, child.wait().await)
    };
    let Ok((text, complaint, status)) = tokio::time::timeout(LIMIT, work).await else {
        return Err(PowerError::Late { address: address.to_owned(), limit: LIMIT });
    };
    group.has_ended();
    let status = status.map_err(|error| unreachable(error.to_string()))?;
    let ended = if status.success() { Ended::Well } else { Ended::Badly };
    Ok(Output { ended, text, complaint })
}

async fn read(pipe: Option<impl AsyncRead + Unpin>) -> String {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        // What was read until an error is what there is.
        let _ = pipe.take(OUTPUT).read_to_end(&mut bytes).await;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A running program with what it started; killed when it is dropped.
struct Group(Option<Pid>);

impl Group {
    fn has_ended(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // Gone already, or ours to kill.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}
