//! System calls that have no safe wrapper.
#![allow(unsafe_code)]

use std::io;

use rustix::thread::UnshareFlags;

/// Leaves the network namespace of this thread for a new one.
pub(crate) fn leave_network() -> io::Result<()> {
    // SAFETY: a new network namespace breaks nothing that threads share; `FILES`, which would, is not passed.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }.map_err(io::Error::from)
}
