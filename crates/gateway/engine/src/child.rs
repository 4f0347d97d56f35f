//! One child process: started in a thread of its own, which then keeps its log and waits for its end.
//!
//! The thread matters: Linux sends the parent-death signal when the *thread* that started a process ends, and
//! threads of a runtime come and go.

use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::{fs, io, thread};

use rustix::process::{Pid, Signal, getpid, kill_process};
use tokio::sync::oneshot;

use crate::log::Log;
use crate::orphans::PidFile;
use crate::sys::{self, Cover};

/// What to start. Its environment may hold keys, so it does not show itself.
#[derive(Clone)]
pub(crate) struct Launch {
    /// Name in messages.
    pub name: String,
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Set in its environment.
    pub environment: Vec<(String, String)>,
    /// Its working folder.
    pub folder: PathBuf,
    /// Takes what it writes.
    pub log: PathBuf,
    /// Says for the next engine that it runs.
    pub pid_file: PathBuf,
    /// What it sees as `/etc/resolv.conf`; `None` for the host's.
    pub resolver: Option<PathBuf>,
}

/// A running child.
#[derive(Debug)]
pub(crate) struct Child {
    pid: Pid,
}

impl Child {
    /// Starts a process; `ended` is called once, when it has ended and is no more to be signalled.
    pub(crate) async fn start(
        launch: Launch,
        ended: impl FnOnce(String) + Send + 'static,
    ) -> io::Result<Self> {
        let (started, start) = oneshot::channel();
        let name = launch.name.clone();
        thread::Builder::new().name(name).spawn(move || live(&launch, started, ended))?;
        let pid = start.await.map_err(io::Error::other)??;
        Ok(Self { pid })
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Sends a signal. A child that has just ended needs none.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid, signal).ok();
    }
}

fn live(launch: &Launch, started: oneshot::Sender<io::Result<Pid>>, ended: impl FnOnce(String)) {
    let (mut log, reader, mut process) = match begin(launch) {
        Ok(begun) => begun,
        Err(error) => {
            // The receiver waits for exactly this.
            started.send(Err(error)).ok();
            return;
        }
    };
    started.send(Ok(Pid::from_child(&process))).ok();
    log.follow(reader);
    let exit = process.wait();
    PidFile::remove(&launch.pid_file);
    ended(exit.map_or_else(|error| error.to_string(), describe));
}

fn begin(launch: &Launch) -> io::Result<(Log, io::PipeReader, std::process::Child)> {
    let log = Log::open(&launch.log)?;
    let (reader, writer) = io::pipe()?;
    let mut command = Command::new(&launch.program);
    command
        .args(&launch.arguments)
        .env_clear()
        .envs(launch.environment.iter().map(|(name, value)| (name, value)))
        .current_dir(&launch.folder)
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        // Ctrl-C at the engine's terminal is the engine's to handle.
        .process_group(0);
    sys::bind(&mut command, Some(getpid()), launch.resolver.as_deref().map(cover).transpose()?);
    let process = command.spawn()?;
    // The command holds the pipe's writing ends: without this the log would never end.
    drop(command);
    // One that has ended already needs none, and any other is bound to this engine without it.
    if let Err(error) =
        PidFile::of(process.id(), &launch.program).and_then(|file| file.write(&launch.pid_file))
    {
        tracing::debug!(process = launch.name, %error, "no pid file");
    }
    Ok((log, reader, process))
}

fn cover(resolver: &Path) -> io::Result<Cover> {
    // A mount follows no link.
    let place = fs::canonicalize("/etc/resolv.conf")?;
    Ok(Cover {
        file: CString::new(resolver.as_os_str().as_bytes())?,
        place: CString::new(place.as_os_str().as_bytes())?,
    })
}

fn describe(exit: ExitStatus) -> String {
    match (exit.code(), exit.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => exit.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch(folder: &Path, script: &str) -> Launch {
        Launch {
            name: "sh".into(),
            program: "/bin/sh".into(),
            arguments: vec!["-c".into(), script.into()],
            environment: vec![("WORD".into(), "hello".into())],
            folder: folder.into(),
            log: folder.join("sh.log"),
            pid_file: folder.join("sh.pid"),
            resolver: None,
        }
    }

    async fn run(launch: Launch) -> String {
        let (ended, end) = oneshot::channel();
        Child::start(launch, |exit| ended.send(exit).unwrap()).await.unwrap();
        end.await.unwrap()
    }

    #[tokio::test]
    async fn keeps_what_a_child_writes_and_how_it_ended() {
        let folder = tempfile::tempdir().unwrap();
        let exit = run(launch(folder.path(), "echo $WORD; pwd; echo trouble >&2; exit 7")).await;
        assert_eq!(exit, "exit code 7");
        let here = fs::canonicalize(folder.path()).unwrap();
        let log = fs::read_to_string(folder.path().join("sh.log")).unwrap();
        assert_eq!(log, format!("hello\n{}\ntrouble\n", here.display()));
        assert!(!folder.path().join("sh.pid").exists());
        assert_eq!(run(launch(folder.path(), "kill -9 $$")).await, "signal 9");
    }

    #[tokio::test]
    async fn says_when_a_program_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let missing = Launch { program: "/nowhere/etcd".into(), ..launch(folder.path(), "") };
        let error = Child::start(missing, |_| ()).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn a_child_has_its_own_resolver() {
        if !rustix::process::geteuid().is_root() || !Path::new("/etc/resolv.conf").exists() {
            println!("left out: needs root and /etc/resolv.conf");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let resolver = folder.path().join("resolv.conf");
        fs::write(&resolver, "nameserver 192.0.2.53\n").unwrap();
        let covered = Launch { resolver: Some(resolver), ..launch(folder.path(), "cat /etc/resolv.conf") };
        assert_eq!(run(covered).await, "exit code 0");
        let log = fs::read_to_string(folder.path().join("sh.log")).unwrap();
        assert_eq!(log, "nameserver 192.0.2.53\n");
        assert!(!fs::read_to_string("/etc/resolv.conf").unwrap().contains("192.0.2.53"));
    }
}
