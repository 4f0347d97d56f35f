//! Destroying what is on a disk, as `agent-protocol` promises it.

use std::io;

use agent_protocol::EraseMode;

use crate::disk::{Disk, MIB};
use crate::table;
use crate::work::{Interrupted, Progress};

/// Bytes made zero between two progress reports.
const CHUNK: u64 = 64 * MIB;

/// Why a disk was not erased.
#[derive(Debug, thiserror::Error)]
pub enum EraseError {
    /// The disk.
    #[error(
        "can't erase bytes {from} to {to} of {disk}: {source}; what was there may still be readable, replace or destroy the disk"
    )]
    Disk {
        /// Device node.
        disk: String,
        /// First byte.
        from: u64,
        /// One past the last byte.
        to: u64,
        /// What the kernel said.
        source: io::Error,
    },
    /// The region wants something else.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

/// A range of bytes: first, and one past the last.
type Range = (u64, u64);

/// Erases a disk and answers, for people, what became zero.
///
/// # Errors
/// [`EraseError`] at the first range that could not be made zero.
pub fn erase(disk: &Disk, mode: EraseMode, progress: &mut dyn Progress) -> Result<String, EraseError> {
    let step = format!("erasing {}", disk.path().display());
    let (ranges, note) = match mode {
        EraseMode::Quick => (quick_ranges(disk), ""),
        EraseMode::Full => (vec![(0, disk.size())], ""),
        EraseMode::Secure => {
            (vec![(0, disk.size())], " (no secure erase of its own: every block was overwritten instead)")
        }
    };
    let total = ranges.iter().map(|(from, to)| to - from).sum();
    let mut done = 0;
    for &(from, to) in &ranges {
        let mut at = from;
        while at < to {
            progress.tell(&step, done, total)?;
            let len = CHUNK.min(to - at);
            disk.zero(at, len).map_err(|source| failed(disk, at, at + len, source))?;
            (at, done) = (at + len, done + len);
        }
    }
    disk.sync().map_err(|source| failed(disk, 0, disk.size(), source))?;
    let list: Vec<String> = ranges.iter().map(|(from, to)| format!("{from}-{to}")).collect();
    Ok(format!("zeros in bytes {}{note}", list.join(", ")))
}

/// The first and last MiB of the disk and of each partition that its table names, in order, without overlaps.
/// A table that can't be read names none.
fn quick_ranges(disk: &Disk) -> Vec<Range> {
    let partitions = table::read(disk).unwrap_or_default();
    let spans = partitions.iter().map(|p| (p.start, p.start + p.len)).chain([(0, disk.size())]);
    let mut ranges: Vec<Range> = spans
        .flat_map(|(from, to)| [(from, to.min(from + MIB)), (from.max(to.saturating_sub(MIB)), to)])
        .collect();
    ranges.sort_unstable();
    let mut merged: Vec<Range> = Vec::new();
    for (from, to) in ranges {
        match merged.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            _ => merged.push((from, to)),
        }
    }
    merged
}

fn failed(disk: &Disk, from: u64, to: u64, source: io::Error) -> EraseError {
    EraseError::Disk { disk: disk.path().display().to_string(), from, to, source }
}
