//! System calls that have no safe wrapper.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use rustix::process::Signal;
use rustix::thread::UnshareFlags;

/// What systemd as PID 1 takes for "start poweroff.target": SIGRTMIN+4.
// SAFETY: 38 lies in the kernel's real-time range (32 to 64) and above the two that the C library keeps.
pub(crate) const POWER_OFF_SIGNAL: Signal = unsafe { Signal::from_raw_unchecked(38) };

/// Leaves the namespaces named by `flags` for new ones.
pub(crate) fn unshare(flags: UnshareFlags) -> io::Result<()> {
    // SAFETY: the flags used here make namespaces; `FILES`, the one that breaks descriptors shared between
    // threads, is never passed.
    unsafe { rustix::thread::unshare_unsafe(flags - UnshareFlags::FILES) }.map_err(io::Error::from)
}

/// Lets a socket send and receive on one interface only, even while that has no address.
pub(crate) fn bind_to_device(socket: impl AsFd, device: &str) -> io::Result<()> {
    let length = libc::socklen_t::try_from(device.len()).map_err(io::Error::other)?;
    // SAFETY: the pointer and the length describe `device`, which outlives the call; the kernel copies it.
    let code = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_BINDTODEVICE,
            device.as_ptr().cast(),
            length,
        )
    };
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
