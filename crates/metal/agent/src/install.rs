//! Installing: image, partition table, file system, files, and how the installed system starts.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use agent_protocol::{AfterInstall, Install};

use crate::client::Region;
use crate::disk::Disk;
use crate::image::{self, ImageError};
use crate::log::say;
use crate::root::{Root, RootError};
use crate::work::{Interrupted, Progress};
use crate::{kexec, sys, table};

/// How long the kernel may take to show the disk's new partitions.
const PARTITION_LIMIT: Duration = Duration::from_secs(2);

/// A finished installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// One line for people.
    pub detail: String,
    /// Whether the installed kernel is loaded and waits for `reboot(RB_KEXEC)`.
    pub kexec: bool,
}

/// Why an installation failed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The disk can't be opened.
    #[error("can't open the disk {disk}: {source}; is it in the machine's inventory?")]
    NoDisk {
        /// Device node.
        disk: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The image.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The partition table.
    #[error("can't fit the partition table of {disk}: {source}; test or replace the disk")]
    Table {
        /// Device node.
        disk: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// There is nowhere to write the files to.
    #[error(
        "the image on {disk} has no Linux partition for the {files} files of this task; use a disk image with a GPT or MBR"
    )]
    NoRoot {
        /// Device node.
        disk: String,
        /// How many files there are.
        files: usize,
    },
    /// The installed root file system.
    #[error(transparent)]
    Root(#[from] RootError),
    /// The region wants something else.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

/// Installs `task` on a disk in the folder `dev`.
///
/// # Errors
/// [`InstallError`]; the disk then holds no system that boots, or one that lacks its files.
pub fn install(
    task: &Install,
    dev: &Path,
    region: &Region,
    progress: &mut dyn Progress,
) -> Result<Installed, InstallError> {
    let disk = Disk::named(dev, &task.disk)
        .map_err(|source| InstallError::NoDisk { disk: task.disk.clone(), source })?;
    let began = Instant::now();
    let raw = image::write(task, &disk, region, progress)?;
    say(format_args!("wrote {raw} bytes to {} in {:.1?}", task.disk, began.elapsed()));
    let fitted = table_of(&disk, raw)?;
    let mut detail = format!("installed {raw} bytes on {}", task.disk);
    let partitions = table::read(&disk).map_err(|source| table_error(&disk, source))?;
    let Some(partition) = table::root(&partitions) else {
        if task.files.is_empty() {
            return Ok(Installed { detail, kexec: false });
        }
        let disk = disk.path().display().to_string();
        return Err(InstallError::NoRoot { disk, files: task.files.len() });
    };
    progress.tell("writing files", task.size, task.size)?;
    let root = Root::mount(&disk, &partition, partition_node(&disk, &partition).as_deref())?;
    if let Some(number) = fitted.grown {
        match root.grow(partition.len) {
            Ok(()) => detail = format!("{detail}, partition {number} grown to {} bytes", partition.len),
            // The installed system's cloud-init grows it again.
            Err(error) => say(format_args!("the root file system keeps its size: {error}")),
        }
    }
    say(format_args!("{detail}; writing {} files", task.files.len()));
    for file in &task.files {
        root.write(file)?;
    }
    let kexec = task.then == AfterInstall::Kexec && load(&root);
    root.unmount()?;
    disk.sync().map_err(|source| table_error(&disk, source))?;
    Ok(Installed { detail, kexec })
}

fn table_of(disk: &Disk, raw: u64) -> Result<table::Fitted, InstallError> {
    let fitted = table::fit(disk, raw).and_then(|fitted| disk.sync().map(|()| fitted));
    fitted.map_err(|source| table_error(disk, source))
}

/// The kernel's own node of a partition. A kernel that refuses to read the table has none, or one of an
/// earlier table; one that reads it shows the node soon.
fn partition_node(disk: &Disk, partition: &table::Partition) -> Option<PathBuf> {
    if let Err(error) = sys::reread_partitions(disk.file()) {
        say(format_args!("the kernel does not read the table of {}: {error}", disk.path().display()));
        return None;
    }
    let name = disk.path().file_name()?.to_str()?;
    let infix = if name.ends_with(|c: char| c.is_ascii_digit()) { "p" } else { "" };
    let node = disk.path().with_file_name(format!("{name}{infix}{}", partition.number));
    let limit = Instant::now() + PARTITION_LIMIT;
    loop {
        if Disk::open(&node).is_ok_and(|shown| shown.size() == partition.len) {
            return Some(node);
        }
        if Instant::now() >= limit {
            return None;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn load(root: &Root) -> bool {
    match kexec::load(root.path()) {
        Ok(what) => {
            say(format_args!("loaded {what} for kexec"));
            true
        }
        Err(why) => {
            say(format_args!("restarting through the firmware: {why}"));
            false
        }
    }
}

fn table_error(disk: &Disk, source: io::Error) -> InstallError {
    InstallError::Table { disk: disk.path().display().to_string(), source }
}
