//! Lines on the console, which is all the log that an ephemeral system has.

use std::fmt::Display;
use std::io::Write as _;

/// Prints one line with the time since the kernel started. A console that is gone is no reason to stop.
pub fn say(line: impl Display) {
    let up = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "[{:>5}.{:03}] agent: {line}", up.tv_sec, up.tv_nsec / 1_000_000);
    let _ = out.flush();
}
