//! Programs of the host: `ip` and `losetup`.

use std::process::{Command, Stdio};

use crate::RackError;
use crate::error::Doing as _;

/// Runs a command line, split at blanks, and returns what it printed.
pub(crate) fn run(line: &str) -> Result<String, RackError> {
    let words: Vec<&str> = line.split_whitespace().collect();
    run_words(&words)
}

/// Runs a command whose words may hold blanks.
pub(crate) fn run_words(words: &[&str]) -> Result<String, RackError> {
    run_accepting(words, &[0])
}

/// The same for a program that says more than success by its exit code.
pub(crate) fn run_accepting(words: &[&str], accepted: &[i32]) -> Result<String, RackError> {
    let Some((program, arguments)) = words.split_first() else { return Ok(String::new()) };
    let command = words.join(" ");
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .doing(|| format!("starting `{command}` (is {program} installed?)"))?;
    if output.status.code().is_some_and(|code| accepted.contains(&code)) {
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    } else {
        Err(RackError::Tool { command, output: String::from_utf8_lossy(&output.stderr).trim().to_owned() })
    }
}

/// Runs `work` where it may block.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RackError> + Send + 'static,
) -> Result<T, RackError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) => {
            Err(RackError::System { doing: "running a task".into(), source: std::io::Error::other(error) })
        }
    }
}
