//! Keepers: one child, started in a network namespace, killed when the lab closes the pipe.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rustix::process::{
    Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal, set_parent_process_death_signal,
};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

use super::{Ended, Keeper, Role, Work, cgroup, root};
use crate::RackError;
use crate::disk;
use crate::error::Doing as _;
use crate::firmware::{self, Board, Found};

/// Byte on the pipe that asks the child's system to switch off.
pub(crate) const ASK_TO_STOP: u8 = b's';

/// Keeps a child until it ends.
pub(super) fn keep(keeper: &Keeper) -> Ended {
    let leash = Leash::watch();
    match start(keeper, &leash) {
        Ok(ended) => ended,
        Err(error) => {
            println!("lab: {error}");
            Ended::Crash
        }
    }
}

/// Becomes a program; returns only when that fails.
pub(super) fn become_program(words: &[String]) -> Ended {
    if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        println!("lab: {error}");
        return Ended::Crash;
    }
    if let Some((program, arguments)) = words.split_first() {
        let error = Command::new(program).args(arguments).env_remove(super::VARIABLE).exec();
        println!("lab: starting {program}: {error}");
    }
    Ended::Crash
}

fn start(keeper: &Keeper, leash: &Leash) -> Result<Ended, RackError> {
    let netns = File::open(&keeper.netns).doing(|| format!("opening {}", keeper.netns.display()))?;
    move_into_link_name_space(netns.as_fd(), Some(LinkNameSpaceType::Network))
        .doing(|| format!("entering {}", keeper.netns.display()))?;
    match &keeper.work {
        Work::Program(words) => {
            let child = ourselves(&Role::Program(words.clone()))?
                .stdin(Stdio::null())
                .spawn()
                .doing(|| "starting a program".into())?;
            let status = wait(child, leash)?;
            Ok(if status.success() { Ended::PowerOff } else { Ended::Crash })
        }
        Work::Machine { board, cgroup, root } => start_machine(board, cgroup, root, leash),
    }
}

fn start_machine(board: &Board, group: &str, root: &Path, leash: &Leash) -> Result<Ended, RackError> {
    let found = firmware::post(board);
    let disk = disk::attach(&board.disk)?;
    let (source, cmdline) = match found {
        Found::PowerOff => return Ok(Ended::PowerOff),
        Found::Network { initrds, cmdline } => (root::Source::Initrds(initrds), cmdline),
        Found::Disk(part) => {
            let device = disk::attach_root(&board.disk, &part)?;
            disk::grow_where_machines_cannot(&device, part.size)?;
            (root::Source::Disk(device), "BOOT_IMAGE=/boot/vmlinuz root=LABEL=root ro console=ttyS0".into())
        }
    };
    let (console, kernel_log) = (Console::open()?, Console::open()?);
    let home = cgroup::enter(group)?;
    crate::sys::unshare(
        UnshareFlags::NEWPID | UnshareFlags::NEWUTS | UnshareFlags::NEWIPC | UnshareFlags::NEWCGROUP,
    )
    .doing(|| "making the machine's namespaces".into())?;
    let machine = root::Machine {
        root: root.to_owned(),
        source,
        cmdline,
        uuid: board.uuid,
        disk,
        console: console.path.clone(),
        kernel_log: kernel_log.path.clone(),
        hierarchies: home.hierarchies(),
    };
    let spawned = ourselves(&Role::Machine(machine))?
        .stdin(console.end()?)
        .stdout(console.end()?)
        .stderr(console.end()?)
        .spawn();
    home.go_back()?;
    let status = wait(spawned.doing(|| "starting the machine's first process".into())?, leash)?;
    kernel_log.drain();
    console.drain();
    Ok(match status.signal().and_then(Signal::from_named_raw) {
        Some(Signal::HUP) => Ended::Restart,
        Some(Signal::INT) => Ended::PowerOff,
        _ => {
            println!("lab: the machine's first process ended ({status}): off");
            Ended::Crash
        }
    })
}

fn ourselves(role: &Role) -> Result<Command, RackError> {
    super::command(Path::new("/proc/self/exe"), role)
        .map_err(io::Error::from)
        .doing(|| "starting ourselves".into())
}

fn wait(mut child: Child, leash: &Leash) -> Result<ExitStatus, RackError> {
    leash.hold(&child).doing(|| "watching a child".into())?;
    let status = child.wait().doing(|| "waiting for a child".into())?;
    leash.end_if_cut();
    Ok(status)
}

/// The lab's hold on this process: the pipe that is its standard input.
struct Leash(Arc<Mutex<Held>>);

#[derive(Default)]
struct Held {
    cut: bool,
    child: Option<OwnedFd>,
}

impl Leash {
    fn watch() -> Self {
        let held = Arc::new(Mutex::new(Held::default()));
        let watched = Self(Arc::clone(&held));
        std::thread::spawn(move || {
            let mut byte = [0];
            loop {
                match io::stdin().lock().read(&mut byte) {
                    Ok(1) if byte == [ASK_TO_STOP] => watched.ask(),
                    Ok(1) => {}
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Ok(_) | Err(_) => break,
                }
            }
            watched.cut();
        });
        Self(held)
    }

    fn hold(&self, child: &Child) -> io::Result<()> {
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidData)?;
        let descriptor = pidfd_open(pid, PidfdFlags::empty())?;
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if held.cut {
            pidfd_send_signal(&descriptor, Signal::KILL)?;
        }
        held.child = Some(descriptor);
        Ok(())
    }

    fn ask(&self) {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(child) = &held.child {
            // One that has just ended needs no asking.
            pidfd_send_signal(child, crate::sys::POWER_OFF_SIGNAL).ok();
        }
    }

    fn cut(&self) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.cut = true;
        match &held.child {
            Some(child) => {
                pidfd_send_signal(child, Signal::KILL).ok();
            }
            // Nothing kept yet: the machine is in its firmware, which is this process.
            None => std::process::exit(i32::from(Ended::Cut.code())),
        }
    }

    fn end_if_cut(&self) {
        if self.0.lock().unwrap_or_else(PoisonError::into_inner).cut {
            std::process::exit(i32::from(Ended::Cut.code()));
        }
    }
}

/// A serial line of a machine: a pseudo-terminal whose output is copied to the keeper's own.
struct Console {
    path: PathBuf,
    /// Kept open: the copy would end while nobody has the terminal open.
    end: File,
    copy: JoinHandle<()>,
}

impl Console {
    fn open() -> Result<Self, RackError> {
        let doing = || "making the machine's console".to_owned();
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).doing(doing)?;
        grantpt(&master).doing(doing)?;
        unlockpt(&master).doing(doing)?;
        let name = ptsname(&master, Vec::new()).doing(doing)?;
        let path = PathBuf::from(name.to_string_lossy().into_owned());
        let end =
            File::options().read(true).write(true).custom_flags(libc::O_NOCTTY).open(&path).doing(doing)?;
        let copy = std::thread::spawn(move || {
            let mut master = File::from(master);
            // Ends with an error when the last user has closed the terminal.
            io::copy(&mut master, &mut io::stdout()).ok();
        });
        Ok(Self { path, end, copy })
    }

    fn end(&self) -> Result<Stdio, RackError> {
        self.end.try_clone().map(Stdio::from).doing(|| "opening the machine's console".into())
    }

    /// Copies what is left once everything in the machine has ended.
    fn drain(self) {
        drop(self.end);
        self.copy.join().ok();
    }
}
