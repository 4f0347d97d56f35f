//! kubectl in a cluster, through the plane.

use std::{ffi::OsString, io::Write as _};

use tokio::process::Command;

use super::{client, cluster::own_kubeconfig};
use crate::{CliError, Global, Session};

/// Runs kubectl with a kubeconfig of the caller's own, which is gone afterwards.
pub async fn run(
    session: &mut Session<'_>,
    global: &Global,
    cluster: &str,
    arguments: &[OsString],
) -> Result<(), CliError> {
    let client = client(session, global)?;
    let text = own_kubeconfig(&client, cluster).await?;
    // Readable by its owner only.
    let mut file = tempfile::NamedTempFile::new().map_err(CliError::file(std::env::temp_dir()))?;
    file.write_all(text.expose().as_bytes()).map_err(CliError::file(file.path()))?;
    let program = std::env::var_os("KUBECTL").unwrap_or_else(|| "kubectl".into());
    let kubectl = Command::new(program).env("KUBECONFIG", file.path()).args(arguments).spawn();
    let mut kubectl = kubectl.map_err(CliError::NoKubectl)?;
    let status = loop {
        tokio::select! {
            status = kubectl.wait() => break status.map_err(CliError::NoKubectl)?,
            // Ctrl-C is for kubectl, which gets it too.
            () = session.interrupt.wait() => {}
        }
    };
    if status.success() {
        return Ok(());
    }
    Err(CliError::Kubectl(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)))
}
