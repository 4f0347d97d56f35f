//! Content-addressed image store and uploads.
//!
//! A directory of files named by their SHA-256 (`sha256/<aa>/<hex>`), and beside it what is still on its way
//! (`uploads/<id>`). A name under `sha256` is only ever made by renaming a file whose hash was right and whose
//! bytes are on the disk: readers see a whole image or none. Nothing is kept in memory but running hashes.
//!
//! One process uses a directory at a time.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)
)]

mod digest;
mod import;
mod upload;

use std::{
    collections::{HashMap, HashSet},
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

pub use digest::{BadDigest, Digest};
pub use import::PutError;
pub use upload::{Upload, UploadError};

/// A directory of images; cheap to clone.
#[derive(Debug, Clone)]
pub struct Images {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    uploads: Mutex<HashMap<String, upload::Slot>>,
}

/// Files on their way in by [`Images::put_file`] begin with this; a crash leaves them, the next start removes them.
const IMPORT_PREFIX: &str = ".import-";

impl Images {
    /// Opens (or makes) the store in `dir`, and removes what a crashed import left.
    pub fn open(dir: impl Into<PathBuf>) -> io::Result<Self> {
        let dir = dir.into();
        fs::create_dir_all(dir.join("sha256"))?;
        fs::create_dir_all(dir.join("uploads"))?;
        for entry in fs::read_dir(dir.join("uploads"))? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(IMPORT_PREFIX) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(Self { inner: Arc::new(Inner { dir, uploads: Mutex::default() }) })
    }

    /// The file with this content; `None` if it is not here (or `sha256` is no digest).
    pub fn path(&self, sha256: &str) -> Option<PathBuf> {
        let path = self.place(&sha256.parse().ok()?);
        path.is_file().then_some(path)
    }

    /// Length in bytes of the file with this content.
    pub fn size(&self, sha256: &str) -> Option<u64> {
        let path = self.place(&sha256.parse().ok()?);
        fs::metadata(path).ok().filter(fs::Metadata::is_file).map(|m| m.len())
    }

    /// Takes a copy (a hard link where possible) of a local file whose content must be `sha256`.
    ///
    /// Immediate if that content is here already. The file must not be written to afterwards.
    pub async fn put_file(&self, path: &Path, sha256: &str) -> Result<(), PutError> {
        let (images, path, sha256) = (self.clone(), path.to_owned(), sha256.parse()?);
        tokio::task::spawn_blocking(move || import::put(&images, &path, &sha256))
            .await
            .unwrap_or_else(|stopped| Err(PutError::Store(io::Error::other(stopped))))
    }

    /// The upload called `id` of `size` bytes in all, new or continued.
    ///
    /// # Errors
    /// [`UploadError::Id`] unless `id` is made of 1 to 64 letters, digits, `-` and `_`.
    pub fn upload(&self, id: &str, size: u64) -> Result<Upload, UploadError> {
        Upload::new(self, id, size)
    }

    /// Removes every content that is not in `keep` (lower-case hex), and answers how many.
    ///
    /// Name what uploads under way will become too: their documents exist before their bytes.
    pub fn sweep(&self, keep: &HashSet<String>) -> io::Result<usize> {
        let mut removed = 0;
        for shelf in fs::read_dir(self.inner.dir.join("sha256"))? {
            for entry in fs::read_dir(shelf?.path())? {
                let entry = entry?;
                if !keep.contains(entry.file_name().to_string_lossy().as_ref()) {
                    fs::remove_file(entry.path())?;
                    removed += 1;
                }
            }
        }
        Ok(removed)
    }

    fn place(&self, sha256: &Digest) -> PathBuf {
        self.inner.dir.join("sha256").join(sha256.shelf()).join(sha256.as_str())
    }

    fn pending(&self, name: &str) -> PathBuf {
        self.inner.dir.join("uploads").join(name)
    }

    fn slot(&self, id: &str) -> upload::Slot {
        let mut slots = self.inner.uploads.lock().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|_, slot| upload::in_use(slot));
        Arc::clone(slots.entry(id.to_owned()).or_default())
    }

    /// Makes the file at `from`, whose content was checked, visible under its digest, durably.
    fn publish(&self, from: &Path, sha256: &Digest) -> io::Result<()> {
        let to = self.place(sha256);
        let folder = to.parent().unwrap_or(&self.inner.dir);
        fs::create_dir_all(folder)?;
        fs::File::open(from)?.sync_all()?;
        fs::rename(from, &to)?;
        fs::File::open(folder)?.sync_all()?;
        fs::File::open(self.inner.dir.join("sha256"))?.sync_all()
    }
}
