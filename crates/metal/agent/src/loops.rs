//! Loop devices: a stretch of a file or disk as a block device of its own.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode};

use crate::sys;

/// Major number of loop devices.
const MAJOR: u32 = 7;
/// Attempts to get a loop device before somebody else takes it.
const ATTEMPTS: u32 = 20;

/// A loop device that shows `len` bytes of `backing` from `start`; it goes away with its last user.
///
/// # Errors
/// What the kernel says.
pub fn attach(backing: &File, start: u64, len: u64) -> io::Result<(File, PathBuf)> {
    let control = Path::new("/dev/loop-control");
    make_node(control, FileType::CharacterDevice, 10, 237)?;
    let control = OpenOptions::new().read(true).write(true).open(control)?;
    let mut attempts = 0;
    loop {
        let number = sys::free_loop(&control)?;
        let path = PathBuf::from(format!("/dev/loop{number}"));
        make_node(&path, FileType::BlockDevice, MAJOR, number)?;
        let device = OpenOptions::new().read(true).write(true).open(&path)?;
        attempts += 1;
        match sys::attach_loop(&device, backing, start, len) {
            Ok(()) => return Ok((device, path)),
            // Another process took it in between.
            Err(e) if e.kind() == io::ErrorKind::ResourceBusy && attempts < ATTEMPTS => {}
            Err(e) => return Err(e),
        }
    }
}

fn make_node(path: &Path, kind: FileType, major: u32, minor: u32) -> io::Result<()> {
    let device = rustix::fs::makedev(major, minor);
    match rustix::fs::mknodat(rustix::fs::CWD, path, kind, Mode::RUSR | Mode::WUSR, device) {
        Err(rustix::io::Errno::EXIST) | Ok(()) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
