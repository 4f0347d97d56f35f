//! The agent as a static program, ready to be PID 1 of the ephemeral system.

use std::path::{Path, PathBuf};

use crate::command::{run, tool};

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Why the agent could not be built.
#[derive(Debug, thiserror::Error)]
#[error("cannot build the agent: {0:#}")]
pub struct AgentError(anyhow::Error);

/// Builds the agent of the workspace at `workspace_root` and returns its path.
///
/// It has a target folder of its own, because its flags would rebuild everything else.
///
/// # Errors
/// [`AgentError`] with the compiler's last words.
pub fn agent_binary(workspace_root: &Path) -> Result<PathBuf, AgentError> {
    let folder = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| workspace_root.join("target"), PathBuf::from)
        .join("agent");
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    run(tool(&cargo)
        .args(["build", "--quiet", "-p", "bessemer-agent", "--profile", "agent", "--target", TARGET])
        .arg("--target-dir")
        .arg(&folder)
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        // The compiler's output must depend on the sources alone, not on the builds' fixed clock.
        .env_remove("SOURCE_DATE_EPOCH")
        .current_dir(workspace_root))
    .map_err(AgentError)?;
    Ok(folder.join(TARGET).join("agent/bessemer-agent"))
}
