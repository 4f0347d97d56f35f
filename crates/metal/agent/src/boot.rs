//! Being PID 1: file systems, drivers, and never leaving without a restart.
//!
//! The agent waits for the few programs that it starts itself, and what those leave behind ends with their PID
//! namespaces; signals to PID 1 without a handler are ignored by the kernel, which is what is wanted.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use rustix::mount::MountFlags;
use rustix::system::RebootCommand;

use crate::log::say;
use crate::modules::Modules;
use crate::tree::Tree;
use crate::work::End;

/// How long the last words stay on the console before the machine restarts.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// A file system that PID 1 mounts unless it is there.
const FILE_SYSTEMS: [(&str, &str, Option<&std::ffi::CStr>); 5] = [
    ("/proc", "proc", None),
    ("/sys", "sysfs", None),
    ("/dev", "devtmpfs", Some(c"mode=0755")),
    ("/run", "tmpfs", Some(c"mode=0755")),
    ("/tmp", "tmpfs", Some(c"mode=1777")),
];

/// Makes the machine usable: mounts, then modules by `/etc/modules` and for the hardware that is there.
pub fn prepare() -> Option<Modules> {
    for (path, kind, data) in FILE_SYSTEMS {
        if let Err(error) = mount(path, kind, data) {
            say(format_args!("can't mount {kind} on {path}: {error}"));
        }
    }
    let mut modules = Modules::of_running_kernel()?;
    serve_modprobe();
    for name in fs::read_to_string("/etc/modules").unwrap_or_default().lines().map(str::trim) {
        if !name.is_empty() && !name.starts_with('#') {
            modules.load(name);
        }
    }
    modules.load_for_hardware(&Tree::new("/"));
    Some(modules)
}

fn mount(path: &str, kind: &str, data: Option<&std::ffi::CStr>) -> std::io::Result<()> {
    if is_mounted(path) {
        return Ok(());
    }
    fs::create_dir_all(path)?;
    Ok(rustix::mount::mount(kind, path, kind, MountFlags::empty(), data)?)
}

fn is_mounted(path: &str) -> bool {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    table.lines().any(|line| line.split(' ').nth(4) == Some(path))
}

/// Lets the kernel ask this program for modules it finds missing, such as a file system or a checksum.
fn serve_modprobe() {
    let (program, link) = (Path::new("/init"), Path::new("/sbin/modprobe"));
    if program.exists() && !link.exists() {
        let made = fs::create_dir_all("/sbin").and_then(|()| symlink(program, link));
        if let Err(error) = made {
            say(format_args!("the kernel can't ask for modules: {error}"));
        }
    }
}

/// Says why this boot failed and restarts the machine, so that the region sees it again; ends the program when it
/// is not PID 1.
pub fn fatal(reason: impl std::fmt::Display) -> ! {
    say(format_args!("fatal: {reason}"));
    if std::process::id() != 1 {
        std::process::exit(1);
    }
    say(format_args!("the machine restarts in {LAST_WORDS:?}, so that this can be read"));
    std::thread::sleep(LAST_WORDS);
    leave(End::Restart)
}

/// Makes a panic end like any other fatal error.
pub fn catch_panics() {
    std::panic::set_hook(Box::new(|panic| fatal(panic)));
}

/// Restarts or switches off. Every task has synced what it wrote. In a PID namespace the kernel ends PID 1 with a
/// signal that tells its parent which of the two it was.
pub fn leave(end: End) -> ! {
    let commands: &[RebootCommand] = match end {
        End::Restart => &[RebootCommand::Restart],
        End::Kexec => &[RebootCommand::Kexec, RebootCommand::Restart],
        End::PowerOff => &[RebootCommand::PowerOff, RebootCommand::Halt],
    };
    say(format_args!("leaving: {end:?}"));
    for command in commands {
        if let Err(error) = rustix::system::reboot(*command) {
            say(format_args!("{command:?} failed: {error}"));
        }
    }
    // Ending PID 1 makes the kernel panic, and the boot script's panic= restart the machine.
    std::process::exit(1)
}
