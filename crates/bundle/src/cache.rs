//! A content-addressed cache of directories: built once, sealed, and never changed afterwards.
//!
//! An entry is named by its [`Key`], a digest over everything that goes into it. It is built in a folder beside
//! its place, sealed with the size and SHA-256 of every file, synced, and renamed into place; so an entry either
//! is there whole or is not there. A lock file per entry lets one builder work while others wait for its result.

mod seal;

pub(crate) use seal::FileSeal;

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

/// Names an entry by everything that goes into it.
#[derive(Debug, Clone)]
pub struct Key {
    name: String,
    digest: Sha256,
}

impl Key {
    /// A key for what a person would call `name` (letters, digits, dashes), made by version `recipe` of its code.
    pub fn new(name: &str, recipe: u32) -> Self {
        let key = Self { name: name.to_owned(), digest: Sha256::new() };
        key.with("name", name).with("recipe", recipe.to_string())
    }

    /// Adds one input. The order of the calls matters.
    #[must_use]
    pub fn with(self, label: &str, value: impl AsRef<[u8]>) -> Self {
        let Self { name, mut digest } = self;
        for part in [label.as_bytes(), value.as_ref()] {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        Self { name, digest }
    }

    /// The folder's name in the cache: the name and 16 hex digits of the digest.
    pub fn folder(&self) -> String {
        let mut hex = hex::encode(self.digest.clone().finalize());
        hex.truncate(16);
        format!("{}-{hex}", self.name)
    }

    /// 16 bytes that follow from the inputs, for identifiers inside what is built; `purpose` tells them apart.
    pub fn bytes(&self, purpose: &str) -> [u8; 16] {
        let digest = self.clone().with("purpose", purpose).digest.finalize();
        let mut bytes = [0; 16];
        bytes.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        bytes
    }
}

/// How closely a found entry is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verify {
    /// Sizes every time, digests once per boot of the host.
    OncePerBoot,
    /// Digests every time.
    Full,
}

/// Where entries live.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
    verify: Verify,
}

/// Why the cache has no such entry.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The cache's own files cannot be read or written.
    #[error(
        "cannot {doing} {path} in the cache: {source}; check space and permissions, or set BESSEMER_CACHE"
    )]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The entry could not be built; nothing of it was kept.
    #[error("cannot build {entry}: {cause:#}")]
    Build {
        /// The folder's name.
        entry: String,
        /// What went wrong.
        cause: anyhow::Error,
    },
}

impl Cache {
    /// The user's cache: `$BESSEMER_CACHE`, else `$XDG_CACHE_HOME/bessemer`, else `~/.cache/bessemer`.
    pub fn user() -> Self {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let root = set("BESSEMER_CACHE")
            .or_else(|| Some(set("XDG_CACHE_HOME")?.join("bessemer")))
            .or_else(|| Some(set("HOME")?.join(".cache/bessemer")))
            .unwrap_or_else(|| PathBuf::from("/var/cache/bessemer"));
        Self::at(root)
    }

    /// A cache in this folder, which is made when it is first needed.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), verify: Verify::OncePerBoot }
    }

    /// The same cache, looking at found entries this closely.
    #[must_use]
    pub fn verifying(self, verify: Verify) -> Self {
        Self { verify, ..self }
    }

    /// The folder of `key`, built with `build` if it is not there whole.
    ///
    /// `build` is given an empty folder to fill; whatever it leaves there is the entry. A broken entry is removed
    /// and built anew. Waits while another process or thread builds the same entry.
    pub fn entry(
        &self,
        key: &Key,
        build: impl FnOnce(&Path) -> anyhow::Result<()>,
    ) -> Result<PathBuf, CacheError> {
        let (name, place) = (key.folder(), self.root.join(key.folder()));
        fs::create_dir_all(&self.root).map_err(io("create", &self.root))?;
        let mut lock = Lock::take(&self.root.join(format!(".{name}.lock")))?;
        if place.exists() {
            let thorough = self.verify == Verify::Full || !lock.verified_since_boot();
            match seal::check(&place, thorough) {
                Ok(()) => {
                    if thorough {
                        lock.mark_verified()?;
                    }
                    return Ok(place);
                }
                Err(broken) => {
                    tracing::warn!(entry = name, %broken, "cache entry is broken, building it again");
                    fs::remove_dir_all(&place).map_err(io("remove", &place))?;
                }
            }
        }
        let prefix = format!(".{name}.building-");
        self.sweep(&prefix)?;
        let folder = tempfile::Builder::new()
            .prefix(&prefix)
            .tempdir_in(&self.root)
            .map_err(io("create", &self.root))?;
        build(folder.path())
            .and_then(|()| seal::seal(folder.path()))
            .map_err(|cause| CacheError::Build { entry: name, cause })?;
        fs::rename(folder.path(), &place).map_err(io("rename into place", &place))?;
        // Renamed away: there is nothing left for the guard to remove.
        let _ = folder.keep();
        File::open(&self.root).and_then(|root| root.sync_all()).map_err(io("sync", &self.root))?;
        lock.mark_verified()?;
        Ok(place)
    }

    /// Removes what a builder left that was killed. The caller holds the entry's lock.
    fn sweep(&self, prefix: &str) -> Result<(), CacheError> {
        for found in fs::read_dir(&self.root).map_err(io("list", &self.root))?.flatten() {
            if found.file_name().to_string_lossy().starts_with(prefix) {
                fs::remove_dir_all(found.path()).map_err(io("remove", &found.path()))?;
            }
        }
        Ok(())
    }
}

/// The lock of one entry; its text is the boot in which the entry's digests were last checked.
struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    fn take(path: &Path) -> Result<Self, CacheError> {
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(io("open", path))?;
        if file.try_lock().is_err() {
            tracing::info!(lock = %path.display(), "waiting for another builder of the same cache entry");
            file.lock().map_err(io("lock", path))?;
        }
        Ok(Self { file, path: path.to_owned() })
    }

    fn verified_since_boot(&mut self) -> bool {
        let mut text = String::new();
        let read = self.file.seek(SeekFrom::Start(0)).and_then(|_| self.file.read_to_string(&mut text));
        read.is_ok() && boot_id().is_some_and(|boot| boot == text)
    }

    fn mark_verified(&mut self) -> Result<(), CacheError> {
        let text = boot_id().unwrap_or_default();
        self.file
            .set_len(0)
            .and_then(|()| self.file.seek(SeekFrom::Start(0)))
            .and_then(|_| self.file.write_all(text.as_bytes()))
            .map_err(io("write", &self.path))
    }
}

fn boot_id() -> Option<String> {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").ok().filter(|id| !id.is_empty())
}

fn io(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> CacheError {
    let path = path.to_owned();
    move |source| CacheError::Io { doing, path, source }
}
