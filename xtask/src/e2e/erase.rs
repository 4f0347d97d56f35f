//! Proof of a quick erase: marks on the disk before, zeros in the promised ranges after.

use std::{fs::File, os::unix::fs::FileExt, path::Path};

use anyhow::{Context, Result, ensure};

use super::ask;

const MIB: u64 = 1 << 20;
/// Where in a promised range its mark is: clear of partition tables and superblocks, so that the system lives on
/// until it is released.
const DEEP: u64 = MIB / 2;
/// A file that gets a mark too.
const FILE: &str = "/home/debian/marked";

/// Marks that were written, and where.
pub struct Marks {
    mark: String,
    /// First and one past the last byte of what a quick erase promises to be zero.
    ranges: Vec<(u64, u64)>,
}

/// Writes a mark that nobody has seen before into each range that a quick erase promises, and into a file; makes
/// sure, on the disk itself, that they are there. What the machine has in those places is destroyed.
pub fn mark(ssh: &str, disk: &Path) -> Result<Marks> {
    let mark = format!("bessemer-mark-{}", secrets::random_token(16));
    let ranges = promised(disk)?;
    ensure!(ranges.len() > 2, "{} has no partitions", disk.display());
    let writes = ranges.iter().map(|(from, _)| {
        format!(
            "echo {mark} | sudo dd of=/dev/vda bs=1 seek={} oflag=seek_bytes conv=notrunc,fsync status=none",
            from + DEEP
        )
    });
    let first = format!("echo {mark} > {FILE} && sync");
    let script: Vec<String> = std::iter::once(first).chain(writes).collect();
    ask(ssh, &script.join(" && "))?;
    let marks = Marks { mark, ranges };
    for range in &marks.ranges {
        let bytes = read(disk, *range)?;
        ensure!(marks.is_in(&bytes), "the mark in bytes {range:?} has not reached {}", disk.display());
    }
    Ok(marks)
}

impl Marks {
    /// Fails unless every promised range is zero; says what was looked at.
    pub fn check_gone(&self, disk: &Path) -> Result<String> {
        let mut total = 0;
        for range in &self.ranges {
            let bytes = read(disk, *range)?;
            ensure!(!self.is_in(&bytes), "bytes {range:?} of {} still hold the mark", disk.display());
            ensure!(
                bytes.iter().all(|byte| *byte == 0),
                "bytes {range:?} of {} are not all zero",
                disk.display()
            );
            total += bytes.len();
        }
        Ok(format!("erased: {} ranges, {} MiB, all zero", self.ranges.len(), total >> 20))
    }

    fn is_in(&self, bytes: &[u8]) -> bool {
        bytes.windows(self.mark.len()).any(|window| window == self.mark.as_bytes())
    }
}

/// The first and last MiB of the disk and of each partition.
fn promised(disk: &Path) -> Result<Vec<(u64, u64)>> {
    let size = disk.metadata().with_context(|| format!("no disk {}", disk.display()))?.len();
    let file = disk.display().to_string();
    let table = crate::shell::output(
        "partx",
        &["--raw", "--noheadings", "--bytes", "--output", "START,SIZE", &file],
    )?;
    let mut spans = vec![(0, size)];
    for line in table.lines() {
        let mut numbers = line.split_whitespace().map(str::parse::<u64>);
        if let (Some(Ok(sector)), Some(Ok(bytes))) = (numbers.next(), numbers.next()) {
            spans.push((sector * 512, sector * 512 + bytes));
        }
    }
    Ok(spans
        .into_iter()
        .flat_map(|(from, to)| [(from, to.min(from + MIB)), (from.max(to.saturating_sub(MIB)), to)])
        .collect())
}

fn read(disk: &Path, (from, to): (u64, u64)) -> Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(to - from)?];
    let file = File::open(disk)?;
    file.read_exact_at(&mut bytes, from).with_context(|| format!("cannot read {}", disk.display()))?;
    Ok(bytes)
}
