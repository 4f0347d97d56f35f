//! The installed root file system, mounted to be completed.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use agent_protocol::FileToWrite;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::mount::{MountFlags, UnmountFlags};

use crate::disk::Disk;
use crate::log::say;
use crate::loops;
use crate::sys;
use crate::table::Partition;

/// Folder of mount points, one for each process.
const MOUNT_POINTS: &str = "/run/bessemer";

/// Why the installed system could not be completed.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// Mounting.
    #[error(
        "can't mount the root partition {number} of {disk}: {what}: {source}; is it ext4, and does the boot system have its module?"
    )]
    Mount {
        /// Device node.
        disk: String,
        /// Partition number.
        number: u32,
        /// Which step failed.
        what: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// A file.
    #[error("can't write {path} into the installed system: {source}")]
    File {
        /// Path inside it.
        path: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// Unmounting, which is when the last errors of a disk show.
    #[error("can't unmount the installed system: {0}")]
    Unmount(io::Error),
}

/// A mounted root file system; unmounted when dropped.
#[derive(Debug)]
pub struct Root {
    path: PathBuf,
    dir: Option<File>,
    /// Keeps the loop device alive until the mount is gone.
    _device: Option<File>,
}

impl Root {
    /// Mounts a partition by the kernel's `node`, or through a loop device where the kernel has none.
    ///
    /// # Errors
    /// [`RootError::Mount`].
    pub fn mount(disk: &Disk, partition: &Partition, node: Option<&Path>) -> Result<Self, RootError> {
        let failed = |what: &str| {
            let (disk, what) = (disk.path().display().to_string(), what.to_owned());
            move |source| RootError::Mount { disk, number: partition.number, what, source }
        };
        let (device, path) = match node {
            Some(node) => (None, node.to_owned()),
            None => loops::attach(disk.file(), partition.start, partition.len)
                .map(|(device, path)| (Some(device), path))
                .map_err(failed("loop device"))?,
        };
        let point = Path::new(MOUNT_POINTS).join(format!("root-{}", std::process::id()));
        fs::create_dir_all(&point).map_err(failed("mount point"))?;
        rustix::mount::mount(&path, &point, "ext4", MountFlags::NOATIME, None)
            .map_err(|e| failed(&format!("mount {}", path.display()))(e.into()))?;
        let mut root = Self { path: point, dir: None, _device: device };
        root.dir = Some(File::open(&root.path).map_err(failed("open"))?);
        say(format_args!("mounted partition {} by {}", partition.number, path.display()));
        Ok(root)
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Grows the file system to its partition's new length, online. Linux asks for `CAP_SYS_RESOURCE`.
    pub fn grow(&self, partition: u64) -> io::Result<()> {
        let block = rustix::fs::statvfs(&self.path)?.f_bsize;
        let dir = self.dir.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        sys::grow_ext4(dir, partition.checked_div(block).unwrap_or(0))
    }

    /// Writes one file and the folders above it.
    ///
    /// # Errors
    /// [`RootError::File`].
    pub fn write(&self, file: &FileToWrite) -> Result<(), RootError> {
        write_file(&self.path, file).map_err(|source| RootError::File { path: file.path.clone(), source })
    }

    /// Unmounts; everything is then written to the disk.
    ///
    /// # Errors
    /// [`RootError::Unmount`].
    pub fn unmount(mut self) -> Result<(), RootError> {
        self.leave().map_err(RootError::Unmount)
    }

    fn leave(&mut self) -> io::Result<()> {
        let Some(dir) = self.dir.take() else { return Ok(()) };
        rustix::fs::syncfs(&dir)?;
        drop(dir);
        rustix::mount::unmount(&self.path, UnmountFlags::empty())?;
        fs::remove_dir(&self.path)
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        if let Err(error) = self.leave() {
            say(format_args!("can't unmount {}: {error}", self.path.display()));
        }
    }
}

/// Writes `file` under `root`. Symbolic links inside lead nowhere outside, absolute ones included.
fn write_file(root: &Path, file: &FileToWrite) -> io::Result<()> {
    let path = Path::new(&file.path);
    let plain = path.components().all(|c| matches!(c, Component::RootDir | Component::Normal(_)));
    let (Some(folder), Some(name), true) = (path.parent(), path.file_name(), plain && path.is_absolute())
    else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path is not absolute and plain"));
    };
    let root: OwnedFd = File::open(root)?.into();
    let within = |path: &Path, flags: OFlags, mode: u32| {
        rustix::fs::openat2(
            &root,
            path,
            flags | OFlags::CLOEXEC,
            Mode::from_raw_mode(mode),
            ResolveFlags::IN_ROOT,
        )
    };
    let open_folder = |path: &Path| within(path, OFlags::PATH | OFlags::DIRECTORY, 0);
    let mut parent = open_folder(Path::new("/"))?;
    let mut so_far = PathBuf::from("/");
    for part in folder.components().filter(|c| matches!(c, Component::Normal(_))) {
        so_far.push(part);
        parent = match open_folder(&so_far) {
            Err(rustix::io::Errno::NOENT) => {
                rustix::fs::mkdirat(&parent, part.as_os_str(), Mode::from_raw_mode(0o755))?;
                open_folder(&so_far)?
            }
            other => other?,
        };
    }
    so_far.push(name);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC;
    let mut out = File::from(within(&so_far, flags, file.mode & 0o7777)?);
    out.write_all(file.content.as_bytes())?;
    rustix::fs::fchmod(&out, Mode::from_raw_mode(file.mode & 0o7777))?;
    out.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    fn file(path: &str, mode: u32) -> FileToWrite {
        FileToWrite { path: path.into(), content: "x".into(), mode }
    }

    #[test]
    fn files_get_their_folders_and_modes() {
        let root = tempfile::tempdir().unwrap();
        write_file(root.path(), &file("/etc/cloud/cloud.cfg.d/90-x.cfg", 0o600)).unwrap();
        write_file(root.path(), &file("/etc/cloud/cloud.cfg.d/90-x.cfg", 0o640)).unwrap();
        let path = root.path().join("etc/cloud/cloud.cfg.d/90-x.cfg");
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o7777, 0o640);
    }

    #[test]
    fn links_in_the_image_do_not_lead_out() {
        let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        symlink(outside.path(), root.path().join("etc")).unwrap();
        let _ = write_file(root.path(), &file("/etc/passwd", 0o644));
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
        let error = write_file(root.path(), &file("/a/../../b", 0o644)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
