//! Taking a local file in.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use crate::{BadDigest, Digest, IMPORT_PREFIX, Images, digest::hash_file};

/// Why a local file was not taken in.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// The expected digest is none.
    #[error(transparent)]
    Digest(#[from] BadDigest),
    /// The file could not be read.
    #[error("cannot read the image {}: {error}", path.display())]
    Source {
        /// Which.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The content is another than was said.
    #[error("{} has the SHA-256 {found}, but {expected} was announced: fetch or build the image again", path.display())]
    Mismatch {
        /// Which.
        path: PathBuf,
        /// As announced.
        expected: Digest,
        /// As found.
        found: Digest,
    },
    /// The store could not keep it.
    #[error(
        "the image store cannot keep the image: {0}; free space or correct the directory, then import again"
    )]
    Store(io::Error),
}

static COUNTER: AtomicU64 = AtomicU64::new(0);

/// The copy is made first and hashed then, so that what was hashed is what is kept.
pub(crate) fn put(images: &Images, path: &Path, sha256: &Digest) -> Result<(), PutError> {
    if images.path(sha256.as_str()).is_some() {
        return Ok(());
    }
    let source = |error| PutError::Source { path: path.to_owned(), error };
    // A hard link to a symbolic link would be one more symbolic link.
    let real = path.canonicalize().map_err(source)?;
    fs::File::open(&real).map_err(source)?;
    let pending = images.pending(&format!("{IMPORT_PREFIX}{}", COUNTER.fetch_add(1, Ordering::Relaxed)));
    let done = copy(&real, &pending).and_then(|()| hash_file(&pending)).map_err(PutError::Store).and_then(
        |(hash, _)| match Digest::of(hash) {
            found if found == *sha256 => images.publish(&pending, sha256).map_err(PutError::Store),
            found => Err(PutError::Mismatch { path: path.to_owned(), expected: sha256.clone(), found }),
        },
    );
    // Renaming one hard link over another of the same file leaves both: remove what is left in any case.
    let _ = fs::remove_file(&pending);
    done
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    // Another file system, or one without links: `fs::copy` shares blocks where it can.
    fs::hard_link(from, to).or_else(|_| fs::copy(from, to).map(|_| ()))
}
