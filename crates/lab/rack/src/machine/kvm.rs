//! Whether KVM boots anything here.

use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;

use super::qemu::PROGRAM;

/// A kernel that says nothing for that long under KVM does not run there.
const LIMIT: Duration = Duration::from_secs(5);

/// Why QEMU machines are emulated.
#[derive(Debug, thiserror::Error)]
pub enum NoKvm {
    /// No module, or no permission to see it.
    #[error("there is no /dev/kvm")]
    NoDevice,
    /// Nothing to try it with.
    #[error("there is no kernel to try KVM with")]
    NoKernel,
    /// `/dev/kvm` may open and still be useless.
    #[error("a kernel does not start under KVM, though there is /dev/kvm")]
    Silent,
    /// QEMU itself does not start.
    #[error("{PROGRAM} does not start: {0}")]
    Qemu(#[from] io::Error),
}

/// Boots `kernel` under KVM until it speaks: nothing less tells whether it works.
///
/// # Errors
/// Why it does not.
pub async fn probe_kvm(kernel: Option<&Path>) -> Result<(), NoKvm> {
    if !Path::new("/dev/kvm").exists() {
        return Err(NoKvm::NoDevice);
    }
    let kernel = kernel.filter(|kernel| kernel.exists()).ok_or(NoKvm::NoKernel)?;
    match tokio::time::timeout(LIMIT, speaks(kernel)).await {
        Ok(Ok(true)) => Ok(()),
        Ok(Err(error)) => Err(error.into()),
        Ok(Ok(false)) | Err(_) => Err(NoKvm::Silent),
    }
}

async fn speaks(kernel: &Path) -> io::Result<bool> {
    let flags = "-accel kvm -m 256 -display none -serial stdio -no-reboot -nodefaults";
    let mut child = tokio::process::Command::new(PROGRAM)
        .args(flags.split(' '))
        .args(["-append", "console=ttyS0 panic=-1", "-kernel"])
        .arg(kernel)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut seen = Vec::new();
    if let Some(output) = &mut child.stdout {
        while output.read_buf(&mut seen).await? > 0 {
            if String::from_utf8_lossy(&seen).contains("Linux version") {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
