//! The seal of a cache entry: size and SHA-256 of each of its files.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

const SEAL: &str = ".seal.json";

#[derive(Debug, Serialize, Deserialize)]
struct Seal {
    version: u32,
    /// Regular files by their path in the entry; links are not sealed.
    files: BTreeMap<String, FileSeal>,
}

/// What is known about one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileSeal {
    /// SHA-256 in lower-case hex.
    pub(crate) sha256: String,
    /// Bytes.
    pub(crate) size: u64,
}

impl FileSeal {
    /// Reads a file from beginning to end.
    pub(crate) fn of(path: &Path) -> anyhow::Result<Self> {
        let mut file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
        let mut digest = Sha256::new();
        let size = std::io::copy(&mut file, &mut digest)
            .with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Self { sha256: hex::encode(digest.finalize()), size })
    }
}

/// Seals a finished folder and brings all of it to the disk.
pub(super) fn seal(folder: &Path) -> anyhow::Result<()> {
    let mut files = BTreeMap::new();
    walk(folder, folder, &mut files)?;
    ensure!(!files.is_empty(), "the build left nothing behind");
    let path = folder.join(SEAL);
    fs::write(&path, serde_json::to_vec_pretty(&Seal { version: 1, files })?)?;
    File::open(&path)?.sync_all()?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
    File::open(folder)?.sync_all()?;
    Ok(())
}

/// Says what is wrong with an entry, if anything is; digests are looked at only if `thorough`.
pub(super) fn check(folder: &Path, thorough: bool) -> anyhow::Result<()> {
    let text = fs::read(folder.join(SEAL)).context("its seal is missing")?;
    let seal: Seal = serde_json::from_slice(&text).context("its seal is not readable")?;
    ensure!(seal.version == 1, "its seal has version {}, which is not known here", seal.version);
    for (name, sealed) in &seal.files {
        let path = folder.join(name);
        let size = fs::symlink_metadata(&path).with_context(|| format!("{name} is missing"))?.len();
        ensure!(size == sealed.size, "{name} has {size} bytes instead of {}", sealed.size);
        ensure!(
            !thorough || FileSeal::of(&path)? == *sealed,
            "{name} does not have the digest it was sealed with"
        );
    }
    Ok(())
}

fn walk(root: &Path, folder: &Path, files: &mut BTreeMap<String, FileSeal>) -> anyhow::Result<()> {
    for found in fs::read_dir(folder)? {
        let (path, kind) = found.and_then(|found| Ok((found.path(), found.file_type()?)))?;
        if kind.is_dir() {
            walk(root, &path, files)?;
            File::open(&path)?.sync_all()?;
        } else if kind.is_file() {
            let name = path.strip_prefix(root)?.to_str().context("a file's name is not UTF-8")?;
            files.insert(name.to_owned(), FileSeal::of(&path)?);
            File::open(&path)?.sync_all()?;
        }
    }
    Ok(())
}
