//! Disk files and the loop devices over them.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::thread::{CapabilitySet, capability_is_in_bounding_set};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::RackError;
use crate::error::Doing as _;
use crate::tool;

/// The root partition of an installed disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Root {
    /// Number in the partition table.
    pub number: u32,
    /// Where it begins, in bytes.
    pub offset: u64,
    /// Its length in bytes.
    pub size: u64,
}

const SECTOR: u64 = 512;
const LOCK: &str = "/run/bsm-loops.lock";
const DETACH_LIMIT: Duration = Duration::from_secs(10);
const DETACH_PAUSE: Duration = Duration::from_millis(20);

/// Makes a sparse file of `size` bytes, unless there is one.
pub(crate) fn create(path: &Path, size: u64) -> Result<(), RackError> {
    let doing = || format!("making the disk {}", path.display());
    if path.exists() {
        return Ok(());
    }
    fs::File::create(path).and_then(|file| file.set_len(size)).doing(doing)
}

/// Finds the root partition of a disk: the one of type "root (x86-64)", else the largest Linux file system.
pub(crate) fn find_root(disk: &Path) -> Result<Root, RackError> {
    let nothing = |why: String| RackError::Firmware(format!("{} does not start: {why}", disk.display()));
    let file = fs::File::open(disk).doing(|| format!("opening {}", disk.display()))?;
    let table = gpt::GptConfig::new()
        .open_from_device(file)
        .map_err(|error| nothing(format!("no GUID partition table ({error})")))?;
    let candidate = |wanted: &gpt::partition_types::Type| {
        table
            .partitions()
            .iter()
            .filter(|(_, part)| part.is_used() && part.part_type_guid == *wanted)
            .map(|(number, part)| Root {
                number: *number,
                offset: part.first_lba * SECTOR,
                size: (part.last_lba + 1).saturating_sub(part.first_lba) * SECTOR,
            })
            .max_by_key(|root| root.size)
    };
    candidate(&gpt::partition_types::LINUX_ROOT_X64)
        .or_else(|| candidate(&gpt::partition_types::LINUX_FS))
        .ok_or_else(|| nothing("no partition holds a Linux file system".into()))
}

/// What the superblock of an ext4 file system says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ext4 {
    /// `s_volume_name`.
    pub label: String,
    /// `s_uuid`.
    pub uuid: Uuid,
    /// Length of the file system in bytes.
    pub size: u64,
}

impl Ext4 {
    /// Reads the superblock on a device.
    pub(crate) fn read(device: &Path) -> Result<Self, RackError> {
        const SUPERBLOCK: u64 = 1024;
        let doing = || format!("reading the file system of {}", device.display());
        let mut block = [0; 0x154];
        fs::File::open(device).and_then(|file| file.read_exact_at(&mut block, SUPERBLOCK)).doing(doing)?;
        Self::parse(&block).ok_or_else(|| std::io::Error::other("it is not ext4")).doing(doing)
    }

    /// Fields by their offsets in `struct ext4_super_block` (the kernel's `Documentation/filesystems/ext4`).
    fn parse(block: &[u8]) -> Option<Self> {
        let number = |at: usize| block.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
        if block.get(0x38..0x3a)? != [0x53, 0xef] {
            return None;
        }
        let blocks = u64::from(number(0x4)?) | u64::from(number(0x150)?) << 32;
        Some(Self {
            label: String::from_utf8_lossy(block.get(0x78..0x88)?).trim_end_matches('\0').to_owned(),
            uuid: Uuid::from_slice(block.get(0x68..0x78)?).ok()?,
            size: blocks.checked_mul(1024u64.checked_shl(number(0x18)?)?)?,
        })
    }
}

/// Grows the file system on `device` to its partition's `size` where this host's kernel would refuse the machine
/// that: growing while mounted wants `CAP_SYS_RESOURCE`, which a lab inside a container or virtual machine may lack.
pub(crate) fn grow_where_machines_cannot(device: &Path, size: u64) -> Result<(), RackError> {
    const WORTH_IT: u64 = 64 << 20;
    let capable = capability_is_in_bounding_set(CapabilitySet::SYS_RESOURCE).unwrap_or(true);
    if capable || size < Ext4::read(device)?.size.saturating_add(WORTH_IT) {
        return Ok(());
    }
    let name = device.display().to_string();
    // 1: errors were corrected, such as a journal to replay after a power cut.
    tool::run_accepting(&["e2fsck", "-f", "-p", &name], &[0, 1])?;
    tool::run_words(&["resize2fs", &name])?;
    Ok(())
}

/// Puts a loop device over a whole disk file.
pub(crate) fn attach(disk: &Path) -> Result<PathBuf, RackError> {
    losetup(disk, &[])
}

/// Puts a loop device over a partition of a disk file.
pub(crate) fn attach_root(disk: &Path, root: &Root) -> Result<PathBuf, RackError> {
    let (offset, size) = (root.offset.to_string(), root.size.to_string());
    losetup(disk, &["--offset", &offset, "--sizelimit", &size])
}

fn losetup(disk: &Path, more: &[&str]) -> Result<PathBuf, RackError> {
    let name = disk.display().to_string();
    let words = [&["losetup", "--find", "--show"], more, &[&name]].concat();
    let _lock = lock()?;
    tool::run_words(&words).map(PathBuf::from)
}

/// Detaches every loop device over a file below `dir` and waits until they are gone: a device that anybody has
/// open goes when that one closes it.
pub(crate) fn detach_below(dir: &Path) -> Result<(), RackError> {
    let until = Instant::now() + DETACH_LIMIT;
    loop {
        let devices = detach_once(dir)?;
        if devices.is_empty() {
            return Ok(());
        }
        if Instant::now() > until {
            return Err(RackError::Tool {
                command: "losetup --detach".into(),
                output: format!("still in use: {}", devices.join(", ")),
            });
        }
        std::thread::sleep(DETACH_PAUSE);
    }
}

fn detach_once(dir: &Path) -> Result<Vec<String>, RackError> {
    let _lock = lock()?;
    let list = tool::run("losetup --list --noheadings --raw --output NAME,BACK-FILE")?;
    let devices: Vec<String> = list
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter(|(_, file)| Path::new(file).starts_with(dir))
        .map(|(device, _)| device.to_owned())
        .collect();
    for device in &devices {
        // Gone already when its last user had asked for that.
        if let Err(error) = tool::run(&format!("losetup --detach {device}")) {
            tracing::debug!(%error, "loop device was gone");
        }
    }
    Ok(devices)
}

/// Keeps labs from detaching, by its name, a device that another has just been given.
fn lock() -> Result<fs::File, RackError> {
    let doing = || format!("locking {LOCK}");
    let file = fs::File::options().create(true).append(true).open(LOCK).doing(doing)?;
    flock(&file, FlockOperation::LockExclusive).doing(doing)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_superblock_is_read() {
        let mut block = [0; 0x154];
        assert_eq!(Ext4::parse(&block), None);
        block[0x38..0x3a].copy_from_slice(&[0x53, 0xef]);
        block[0x4] = 3;
        block[0x18] = 2;
        block[0x78..0x7c].copy_from_slice(b"root");
        let found = Ext4::parse(&block).unwrap();
        assert_eq!((found.label.as_str(), found.size), ("root", 3 * 4096));
    }

    #[test]
    fn the_root_partition_is_found_by_its_type() {
        let dir = tempfile::tempdir().unwrap();
        let disk = dir.path().join("disk.img");
        create(&disk, 64 << 20).unwrap();
        assert!(find_root(&disk).unwrap_err().to_string().contains("partition table"));
        let mut table = gpt::GptConfig::new().writable(true).create(&disk).unwrap();
        table.add_partition("data", 32 << 20, gpt::partition_types::LINUX_FS, 0, None).unwrap();
        table.add_partition("root", 16 << 20, gpt::partition_types::LINUX_ROOT_X64, 0, None).unwrap();
        table.write().unwrap();
        let root = find_root(&disk).unwrap();
        assert_eq!((root.number, root.size), (2, 16 << 20));
        assert!(root.offset > 32 << 20);
    }
}
