//! System calls between fork and exec.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rustix::mount::{MountPropagationFlags, mount_bind, mount_change};
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use rustix::thread::UnshareFlags;

/// A file that the child finds in place of another, in a mount namespace of its own.
#[derive(Debug, Clone)]
pub(crate) struct Cover {
    /// What it sees.
    pub file: CString,
    /// Where it sees it: an existing file.
    pub place: CString,
}

/// Makes the child die with the thread that starts it, and see `cover` where it should.
pub(crate) fn bind(command: &mut Command, parent: Option<Pid>, cover: Option<Cover>) {
    let prepare = move || -> io::Result<()> {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have died before the line above.
        if getppid() != parent {
            return Err(io::ErrorKind::NotFound.into());
        }
        let Some(Cover { file, place }) = &cover else { return Ok(()) };
        // SAFETY: only a mount namespace is asked for; no descriptor is shared with another thread by it.
        unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }?;
        // Mounts of the host still come and go here, so that none is kept busy; ours does not leave.
        mount_change(c"/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?;
        mount_bind(file.as_c_str(), place.as_c_str())?;
        Ok(())
    };
    // SAFETY: the closure makes system calls with C strings that exist already; it neither allocates nor takes a
    // lock, as code between fork and exec must not.
    unsafe { command.pre_exec(prepare) };
}
