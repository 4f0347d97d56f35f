//! The larger system: a squashfs image in memory, under a layer that can be written, in which other people's programs
//! run.
//!
//! Every program is the first of a PID namespace of its own: when it ends, or is ended, all that it started ends with
//! it.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use agent_protocol::System;
use rustix::mount::MountFlags;

use crate::client::Region;
use crate::fetch::{FetchError, Remote, Taken, fetch};
use crate::log::say;
use crate::work::{Interrupted, Progress};
use crate::{loops, sys};

/// Where image, layers and mount point lie, in memory.
const FOLDER: &str = "/run/bessemer/system";
/// How often a program is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// Bytes that a program may print: its output lies in memory.
const PRINTED: u64 = 64 << 20;
/// Bytes that are told of what a program printed.
const TOLD: u64 = 256 << 10;

/// Why there is no larger system.
#[derive(Debug, thiserror::Error)]
pub enum SystemError {
    /// It could not be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The bytes are not those that were announced.
    #[error("the system from {url} has SHA-256 {got}, expected {want}; build it again on the region")]
    WrongHash {
        /// Where it was fetched.
        url: String,
        /// Computed.
        got: String,
        /// Announced.
        want: String,
    },
    /// It could not be made usable.
    #[error("can't {what}: {source}; has the machine enough memory, and the boot system the module?")]
    Mount {
        /// The step.
        what: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The region wants something else.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

/// The larger system, mounted for as long as the agent runs.
#[derive(Debug)]
pub struct Ground {
    sha256: String,
    root: PathBuf,
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// How.
    pub how: How,
    /// What it printed, its beginning and end where it is long.
    pub output: String,
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// By itself; signals as 128 and their number.
    Exit(i32),
    /// It took too long.
    TimedOut,
    /// It printed more than there is room for.
    TooLoud,
    /// Nobody wants it any more.
    Stopped,
}

impl Ground {
    /// Fetches a system and makes it usable.
    ///
    /// # Errors
    /// [`SystemError`].
    pub fn lay(system: &System, region: &Region, progress: &mut dyn Progress) -> Result<Self, SystemError> {
        let folder = Path::new(FOLDER);
        let failed = |what: &str| {
            let what = what.to_owned();
            move |source: io::Error| SystemError::Mount { what, source }
        };
        let part = |name: &str| {
            let path = folder.join(name);
            fs::create_dir_all(&path).map(|()| path)
        };
        let [lower, upper, work, root] = ["lower", "upper", "work", "root"].map(part);
        let (lower, upper) = (lower.map_err(failed("make folders"))?, upper.map_err(failed("make folders"))?);
        let (work, root) = (work.map_err(failed("make folders"))?, root.map_err(failed("make folders"))?);
        let image = fetched(system, region, &folder.join("image.squashfs"), progress)?;
        let (_device, path) =
            loops::attach(&image, 0, system.size).map_err(failed("attach a loop device"))?;
        rustix::mount::mount(&path, &lower, "squashfs", MountFlags::RDONLY, None)
            .map_err(|error| failed("mount the squashfs image")(error.into()))?;
        let layers =
            format!("lowerdir={},upperdir={},workdir={}", lower.display(), upper.display(), work.display());
        let layers = std::ffi::CString::new(layers).unwrap_or_default();
        rustix::mount::mount("overlay", &root, "overlay", MountFlags::empty(), layers.as_c_str())
            .map_err(|error| failed("mount the overlay")(error.into()))?;
        for name in ["dev", "sys", "proc"] {
            rustix::mount::mount_bind_recursive(Path::new("/").join(name), root.join(name))
                .map_err(|error| failed(&format!("bind /{name}"))(error.into()))?;
        }
        for name in ["run", "tmp"] {
            rustix::mount::mount("tmpfs", root.join(name), "tmpfs", MountFlags::empty(), None)
                .map_err(|error| failed(&format!("mount /{name}"))(error.into()))?;
        }
        let ground = Self { sha256: system.sha256.clone(), root };
        ground.name_server(region).map_err(failed("write resolv.conf"))?;
        say("the larger system is there");
        Ok(ground)
    }

    /// Whether this is that system.
    pub fn is(&self, system: &System) -> bool {
        self.sha256.eq_ignore_ascii_case(&system.sha256)
    }

    /// Runs a program to its end, or for as long as it may: no limit where `limit` is zero. `environment` names files of
    /// its own folder, which is `/run/NAME` in there.
    ///
    /// # Errors
    /// What the kernel says, where it cannot even be started.
    pub fn run(
        &self,
        program: &Path,
        arguments: &[String],
        environment: &[(&str, String)],
        limit: Duration,
        stop: &AtomicBool,
    ) -> io::Result<Ended> {
        let mut printed = tempfile(&self.root.join("tmp"))?;
        let mut command = self.command(program);
        command.args(arguments).envs(environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(printed.try_clone()?).stderr(printed.try_clone()?);
        let mut child = command.spawn()?;
        let began = Instant::now();
        let how = loop {
            if let Some(status) = child.try_wait()? {
                break How::Exit(code(status));
            }
            let why = if stop.load(Ordering::Relaxed) {
                How::Stopped
            } else if !limit.is_zero() && began.elapsed() > limit {
                How::TimedOut
            } else if printed.metadata()?.len() > PRINTED {
                How::TooLoud
            } else {
                std::thread::sleep(LOOK);
                continue;
            };
            end(&mut child);
            break why;
        };
        Ok(Ended { how, output: told(&mut printed)? })
    }

    /// Starts a program that goes on by itself.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn start(&self, program: &Path, arguments: &[&str]) -> io::Result<Child> {
        self.command(program).args(arguments).stdin(Stdio::null()).spawn()
    }

    /// Writes a file; folders above it belong to root alone.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn write(&self, path: &str, content: &str, mode: u32) -> io::Result<()> {
        let place = self.root.join(path.trim_start_matches('/'));
        if let Some((folder, _)) = path.rsplit_once('/') {
            self.folder(folder)?;
        }
        let mut file = File::create(&place)?;
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.write_all(content.as_bytes())
    }

    /// Makes a folder, and those above it, of root alone.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn folder(&self, path: &str) -> io::Result<()> {
        let place = self.root.join(path.trim_start_matches('/'));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(place)
    }

    /// Reads what a program left in a file, a little of it; nothing where there is none.
    pub fn read(&self, path: &str) -> String {
        let mut text = Vec::new();
        let file = File::open(self.root.join(path.trim_start_matches('/')));
        let _ = file.and_then(|file| file.take(TOLD).read_to_end(&mut text));
        String::from_utf8_lossy(&text).into_owned()
    }

    /// The region answers names.
    fn name_server(&self, region: &Region) -> io::Result<()> {
        // The image's own may be a link to what a resolver would write.
        let path = self.root.join("etc/resolv.conf");
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::write(path, region.host().map_or_else(String::new, |host| format!("nameserver {host}\n")))
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("/usr/bin/unshare");
        command.args(["--pid", "--fork", "--kill-child=KILL", "--mount-proc", "--"]).arg(program);
        command
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", "/root")
            .env("LANG", "C.UTF-8");
        sys::enter_root(&mut command, &self.root);
        command
    }
}

/// Ends a program and all that it started.
pub fn end(child: &mut Child) {
    if let Err(error) = child.kill().and_then(|()| child.wait().map(drop)) {
        say(format_args!("can't end process {}: {error}", child.id()));
    }
}

fn code(status: ExitStatus) -> i32 {
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1)
}

/// The beginning and the end of what was printed.
fn told(printed: &mut File) -> io::Result<String> {
    let size = printed.metadata()?.len();
    let mut text = Vec::new();
    printed.seek(SeekFrom::Start(0))?;
    if size <= TOLD {
        printed.read_to_end(&mut text)?;
    } else {
        (&*printed).take(TOLD / 2).read_to_end(&mut text)?;
        text.extend_from_slice(format!("\n… {} bytes left out …\n", size - TOLD).as_bytes());
        printed.seek(SeekFrom::End(-i64::try_from(TOLD / 2).unwrap_or(0)))?;
        printed.read_to_end(&mut text)?;
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// A file without a name.
fn tempfile(folder: &Path) -> io::Result<File> {
    let flags = rustix::fs::OFlags::TMPFILE
        | rustix::fs::OFlags::RDWR
        | rustix::fs::OFlags::APPEND
        | rustix::fs::OFlags::CLOEXEC;
    Ok(rustix::fs::open(folder, flags, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR)?.into())
}

/// The image, as a file in memory.
fn fetched(
    system: &System,
    region: &Region,
    path: &Path,
    progress: &mut dyn Progress,
) -> Result<File, SystemError> {
    let failed = |source| SystemError::Mount { what: "keep the system in memory".to_owned(), source };
    let mut file =
        File::options().read(true).write(true).create(true).truncate(true).open(path).map_err(failed)?;
    let mut at = 0;
    let mut stopped: Option<SystemError> = None;
    let got = fetch(&Remote { url: &system.url, size: system.size }, region, &mut |piece| {
        at += piece.len() as u64;
        let kept = file.write_all(&piece).map_err(failed);
        match kept.and_then(|()| Ok(progress.tell("fetching the larger system", at, system.size)?)) {
            Ok(()) => Taken::More,
            Err(error) => {
                stopped = Some(error);
                Taken::Enough
            }
        }
    })?;
    if let Some(error) = stopped {
        return Err(error);
    }
    if !got.eq_ignore_ascii_case(&system.sha256) {
        return Err(SystemError::WrongHash { url: system.url.clone(), got, want: system.sha256.clone() });
    }
    Ok(file)
}
