//! Quick built-in tests: they catch a machine that must not be deployed, not one that will fail next year.

use std::path::Path;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use sha2::{Digest as _, Sha256};

use crate::disk::{Disk, MIB};

/// Memory that is tested.
const MEMORY: usize = 64 << 20;
/// SHA-256 of a million times `a` (NIST's test vector, FIPS 180-2 appendix B.3).
const MILLION_A: &str = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";

/// What a test found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Whether all is well.
    pub passed: bool,
    /// For people.
    pub output: String,
}

/// Runs the test that a script of this name means, on what its arguments name; disks lie in the folder `dev`. `None`:
/// there is none.
pub fn run(name: &str, arguments: &[String], dev: &Path) -> Option<Found> {
    match (name, arguments) {
        ("bessemer-cpu", _) => Some(cpu()),
        ("bessemer-memory", _) => Some(memory()),
        ("bessemer-disk", [name, ..]) => Some(disk(dev, name)),
        _ => None,
    }
}

/// Each CPU computes a hash whose value is known.
fn cpu() -> Found {
    let allowed = sched_getaffinity(None).unwrap_or_default();
    let cpus: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu)).collect();
    let wrong: Vec<String> = cpus.iter().filter(|cpu| !hashes_well(**cpu)).map(usize::to_string).collect();
    let output = if wrong.is_empty() {
        format!("{} CPUs compute a known SHA-256", cpus.len())
    } else {
        format!("wrong SHA-256 on CPU {}: replace the processor or its memory", wrong.join(", "))
    };
    Found { passed: wrong.is_empty(), output }
}

fn hashes_well(cpu: usize) -> bool {
    std::thread::spawn(move || {
        let mut only = CpuSet::new();
        only.set(cpu);
        // A CPU that went offline meanwhile is no fault: the hash is then made on another one.
        let _ = sched_setaffinity(None, &only);
        hex::encode(Sha256::digest(vec![b'a'; 1_000_000])) == MILLION_A
    })
    .join()
    .unwrap_or(false)
}

/// Two complementary patterns that depend on the address.
fn memory() -> Found {
    let mut words = vec![0_u64; MEMORY / size_of::<u64>()];
    let mut bad = 0_usize;
    for flip in [0, u64::MAX] {
        let pattern = |at: usize| (at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ flip;
        for (at, word) in words.iter_mut().enumerate() {
            *word = pattern(at);
        }
        std::hint::black_box(&mut words);
        bad += words.iter().enumerate().filter(|(at, word)| **word != pattern(*at)).count();
    }
    let output = if bad == 0 {
        format!("{} MiB hold two patterns", MEMORY >> 20)
    } else {
        format!("{bad} words of {} MiB came back wrong: replace the memory", MEMORY >> 20)
    };
    Found { passed: bad == 0, output }
}

/// The first and the last MiB are readable.
fn disk(dev: &Path, name: &str) -> Found {
    let ends = Disk::named(dev, name).and_then(|disk| {
        let len = MIB.min(disk.size());
        disk.read_vec(0, len as usize)?;
        disk.read_vec(disk.size() - len, len as usize)?;
        Ok(disk.size())
    });
    let output = match &ends {
        Ok(size) => format!("first and last MiB of {size} bytes are readable"),
        Err(error) => format!("can't read: {error}; replace the disk or its cable"),
    };
    Found { passed: ends.is_ok(), output }
}
