//! Partition tables: which partitions a disk has, and fitting an image's table to a larger disk.
//!
//! GPT as in the UEFI specification, 5.3; MBR with logical partitions. Entries keep their numbers: images with
//! partitions 1, 14 and 15 are common, and boot loaders and fstabs go by them.

use std::io;

use crate::disk::{Disk, MIB};

/// Bytes of a sector; images are made for disks with 512-byte logical sectors.
pub const SECTOR: u64 = 512;
/// Linux root for x86-64, as the Discoverable Partitions Specification names it
/// (4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709), in the mixed byte order of GPT.
const LINUX_ROOT_X86_64: [u8; 16] =
    [0xe3, 0xbc, 0x68, 0x4f, 0xcd, 0xe8, 0xb1, 0x4d, 0x96, 0xe7, 0xfb, 0xca, 0xf9, 0x84, 0xb7, 0x09];
/// Linux file system (0FC63DAF-8483-4772-8E79-3D69D8477DE4), in the mixed byte order of GPT.
const LINUX_FILESYSTEM: [u8; 16] =
    [0xaf, 0x3d, 0xc6, 0x0f, 0x83, 0x84, 0x72, 0x47, 0x8e, 0x79, 0x3d, 0x69, 0xd8, 0x47, 0x7d, 0xe4];
/// Logical partitions that are followed before a chain counts as broken.
const MAX_LOGICAL: u32 = 64;

/// What a partition is for, as far as the agent cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// Anything else.
    Other,
    /// A Linux file system.
    Linux,
    /// The root file system of Linux on x86-64.
    Root,
}

/// One partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partition {
    /// Number as in the kernel's name, from 1.
    pub number: u32,
    /// First byte.
    pub start: u64,
    /// Length in bytes.
    pub len: u64,
    /// What it is for.
    pub purpose: Purpose,
}

/// What [`fit`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fitted {
    /// Number of the partition that became larger.
    pub grown: Option<u32>,
}

/// Partitions of a disk; empty when it has no table. A broken primary GPT falls back to the backup.
pub fn read(disk: &Disk) -> io::Result<Vec<Partition>> {
    if disk.size() < 4 * SECTOR {
        return Ok(Vec::new());
    }
    let gpt = match Gpt::read(disk, 1)? {
        Some(gpt) => Some(gpt),
        None => Gpt::read(disk, disk.size() / SECTOR - 1)?,
    };
    let mut partitions = match gpt {
        Some(gpt) => gpt.partitions(),
        None => mbr(disk)?,
    };
    partitions.retain(|p| p.len > 0 && p.start.saturating_add(p.len) <= disk.size());
    Ok(partitions)
}

/// The partition that holds the root file system: marked as root, else the largest with Linux on it.
pub fn root(partitions: &[Partition]) -> Option<Partition> {
    let linux = partitions.iter().filter(|p| p.purpose != Purpose::Other);
    linux.max_by_key(|p| (p.purpose, p.len)).copied()
}

/// Fits the table of a freshly written image to the disk: the backup GPT moves to the disk's real end, and the
/// root partition, when it is the last one, grows to it. `image` is the image's length; without a GPT in it, a
/// stale backup GPT at the disk's end is destroyed.
pub fn fit(disk: &Disk, image: u64) -> io::Result<Fitted> {
    // A table needs 67 sectors, a fitted one a whole MiB more.
    if disk.size() < 2 * MIB {
        return Ok(Fitted::default());
    }
    let last = disk.size() / SECTOR - 1;
    let Some(mut gpt) = Gpt::read(disk, 1)? else {
        let start = image.max(disk.size().saturating_sub(MIB));
        disk.zero(start, disk.size() - start)?;
        return Ok(Fitted::default());
    };
    let stale = gpt.header_u64(32);
    let table_sectors = (gpt.entries.len() as u64).div_ceil(SECTOR);
    let backup_entries = last - table_sectors;
    gpt.set_header_u64(32, last);
    gpt.set_header_u64(48, backup_entries - 1);
    let grown = gpt.grow_root(backup_entries - 1);
    if stale != last && stale < last && stale > gpt.header_u64(40) {
        disk.zero(stale * SECTOR, SECTOR)?;
    }
    // The backup first: a crash leaves either the image's own table or a whole new one.
    disk.write_at(&gpt.entries, backup_entries * SECTOR)?;
    disk.write_at(&gpt.sealed(last, 1, backup_entries), last * SECTOR)?;
    disk.write_at(&gpt.entries, gpt.header_u64(72) * SECTOR)?;
    disk.write_at(&gpt.sealed(1, last, gpt.header_u64(72)), SECTOR)?;
    protect(disk, last)?;
    Ok(Fitted { grown })
}

/// A valid GPT: one header sector and its entries.
struct Gpt {
    header: Vec<u8>,
    entries: Vec<u8>,
    entry_size: usize,
}

impl Gpt {
    /// The table whose header is at `lba`; `None` when there is none, or a checksum is wrong.
    fn read(disk: &Disk, lba: u64) -> io::Result<Option<Self>> {
        let header = disk.read_vec(lba * SECTOR, 512)?;
        let size = u32_at(&header, 12) as usize;
        let (count, entry_size) = (u32_at(&header, 80) as usize, u32_at(&header, 84) as usize);
        let mut unsealed = header.clone();
        put(&mut unsealed, 16, &[0; 4]);
        let sane = header.starts_with(b"EFI PART")
            && unsealed.get(..size).is_some_and(|bytes| size >= 92 && crc32(bytes) == u32_at(&header, 16))
            && (1..=1024).contains(&count)
            && (128..=1024).contains(&entry_size);
        let start = u64_at(&header, 72);
        let end = start.checked_mul(SECTOR).and_then(|at| at.checked_add((count * entry_size) as u64));
        if !sane || end.is_none_or(|end| end > disk.size()) {
            return Ok(None);
        }
        let entries = disk.read_vec(start * SECTOR, count * entry_size)?;
        let whole = crc32(&entries) == u32_at(&header, 88);
        Ok(whole.then_some(Self { header, entries, entry_size }))
    }

    fn partitions(&self) -> Vec<Partition> {
        let used =
            self.entries.chunks(self.entry_size).zip(1..).filter(|(entry, _)| !entry.starts_with(&[0; 16]));
        used.map(|(entry, number)| {
            let (first, last) = (u64_at(entry, 32), u64_at(entry, 40));
            let purpose = match entry.get(..16) {
                Some(kind) if kind == LINUX_ROOT_X86_64 => Purpose::Root,
                Some(kind) if kind == LINUX_FILESYSTEM => Purpose::Linux,
                _ => Purpose::Other,
            };
            let sectors = last.saturating_add(1).saturating_sub(first);
            Partition {
                number,
                start: first.saturating_mul(SECTOR),
                len: sectors.saturating_mul(SECTOR),
                purpose,
            }
        })
        .collect()
    }

    /// Lets the root partition end at `last_usable`, rounded down to a whole MiB, if nothing follows it.
    fn grow_root(&mut self, last_usable: u64) -> Option<u32> {
        let partitions = self.partitions();
        let root = root(&partitions)?;
        let new_last = ((last_usable + 1) / (MIB / SECTOR) * (MIB / SECTOR)).checked_sub(1)?;
        let behind = partitions.iter().any(|p| p.start > root.start);
        if behind || (new_last + 1).saturating_mul(SECTOR) <= root.start.saturating_add(root.len) {
            return None;
        }
        let at = (root.number as usize - 1) * self.entry_size + 40;
        put(&mut self.entries, at, &new_last.to_le_bytes());
        Some(root.number)
    }

    fn header_u64(&self, at: usize) -> u64 {
        u64_at(&self.header, at)
    }

    fn set_header_u64(&mut self, at: usize, value: u64) {
        put(&mut self.header, at, &value.to_le_bytes());
    }

    /// The header for one of the two places, with its checksums.
    fn sealed(&self, own: u64, other: u64, entries_at: u64) -> Vec<u8> {
        let mut header = self.header.clone();
        let size = u32_at(&header, 12) as usize;
        put(&mut header, 24, &own.to_le_bytes());
        put(&mut header, 32, &other.to_le_bytes());
        put(&mut header, 72, &entries_at.to_le_bytes());
        put(&mut header, 88, &crc32(&self.entries).to_le_bytes());
        put(&mut header, 16, &[0; 4]);
        let sum = crc32(header.get(..size).unwrap_or_default());
        put(&mut header, 16, &sum.to_le_bytes());
        header
    }
}

/// Makes the protective MBR's 0xEE record cover the disk.
fn protect(disk: &Disk, last: u64) -> io::Result<()> {
    let mut sector = disk.read_vec(0, 512)?;
    for record in (446..510).step_by(16) {
        if sector.get(record + 4) == Some(&0xee) {
            let sectors = u32::try_from(last).unwrap_or(u32::MAX);
            put(&mut sector, record + 12, &sectors.to_le_bytes());
            return disk.write_at(&sector, 0);
        }
    }
    Ok(())
}

/// Partitions of an MBR: primaries as 1 to 4, logical ones from 5.
fn mbr(disk: &Disk) -> io::Result<Vec<Partition>> {
    let sector = disk.read_vec(0, 512)?;
    if sector.get(510..) != Some(&[0x55, 0xaa][..]) {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for (number, at) in (1..=4).zip((446..510).step_by(16)) {
        let record = Record::at(&sector, at);
        found.extend(record.partition(number, 0));
        if record.is_extended() {
            found.extend(logical(disk, u64::from(record.first))?);
        }
    }
    Ok(found)
}

fn logical(disk: &Disk, base: u64) -> io::Result<Vec<Partition>> {
    let (mut found, mut at) = (Vec::new(), base);
    for number in 5..5 + MAX_LOGICAL {
        if at.saturating_add(1).saturating_mul(SECTOR) > disk.size() {
            break;
        }
        let sector = disk.read_vec(at * SECTOR, 512)?;
        if sector.get(510..) != Some(&[0x55, 0xaa][..]) {
            break;
        }
        found.extend(Record::at(&sector, 446).partition(number, at));
        let next = Record::at(&sector, 462);
        if !next.is_extended() || next.first == 0 {
            break;
        }
        at = base + u64::from(next.first);
    }
    Ok(found)
}

/// One record of an MBR.
struct Record {
    kind: u8,
    first: u32,
    sectors: u32,
}

impl Record {
    fn at(sector: &[u8], at: usize) -> Self {
        let kind = sector.get(at + 4).copied().unwrap_or(0);
        Self { kind, first: u32_at(sector, at + 8), sectors: u32_at(sector, at + 12) }
    }

    fn is_extended(&self) -> bool {
        matches!(self.kind, 0x05 | 0x0f | 0x85)
    }

    fn partition(&self, number: u32, base: u64) -> Option<Partition> {
        let purpose = if self.kind == 0x83 { Purpose::Linux } else { Purpose::Other };
        let start = (base + u64::from(self.first)) * SECTOR;
        (self.kind != 0).then(|| Partition { number, start, len: u64::from(self.sectors) * SECTOR, purpose })
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes)
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + value.len()) {
        place.copy_from_slice(value);
    }
}

/// CRC-32 as GPT uses it (IEEE 802.3, reflected).
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}
