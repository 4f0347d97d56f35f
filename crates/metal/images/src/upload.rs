//! Uploads in pieces.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::{BadDigest, Digest, Images, digest::hash_file};

/// What is known of an upload: hash and length of what has arrived. Only a cache of the partial file, which a
/// restart loses and the next piece recomputes.
#[derive(Debug, Clone)]
pub(crate) struct Running {
    hash: Sha256,
    length: u64,
}

pub(crate) type Slot = Arc<Mutex<Option<Running>>>;

/// Whether an upload has a handle or a running hash.
pub(crate) fn in_use(slot: &Slot) -> bool {
    Arc::strong_count(slot) > 1 || slot.lock().is_ok_and(|running| running.is_some())
}

/// An upload in pieces, which survives restarts; pieces of one upload are written one after the other.
#[derive(Debug, Clone)]
pub struct Upload {
    images: Images,
    partial: PathBuf,
    size: u64,
    slot: Slot,
}

/// Why a piece was not taken or an upload not finished.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// The upload's name could be a path.
    #[error("{0:?} cannot name an upload: use 1 to 64 letters, digits, '-' and '_'")]
    Id(String),
    /// The expected digest is none.
    #[error(transparent)]
    Digest(#[from] BadDigest),
    /// A piece is not the next one.
    #[error("the upload has {have} bytes, so the next piece must start there and not at {offset}")]
    Offset {
        /// Bytes that have arrived.
        have: u64,
        /// Where the piece starts.
        offset: u64,
    },
    /// More than was announced.
    #[error("too much data: {size} bytes were announced, {have} have arrived and {more} more came")]
    TooMuch {
        /// Announced.
        size: u64,
        /// Arrived before.
        have: u64,
        /// In this piece.
        more: u64,
    },
    /// Finished too early.
    #[error("{have} of {size} bytes have arrived: send the rest before finishing")]
    Incomplete {
        /// Announced.
        size: u64,
        /// Arrived.
        have: u64,
    },
    /// Everything arrived, and it is something else; the upload starts over.
    #[error("the data has the SHA-256 {found}, but {expected} was announced: upload it again from the start")]
    Mismatch {
        /// As announced.
        expected: Digest,
        /// As found.
        found: Digest,
    },
    /// No space.
    #[error("the disk of the image store is full: free space, then send the piece again")]
    DiskFull,
    /// Anything else.
    #[error("the image store cannot write: {0}")]
    Store(io::Error),
}

impl From<io::Error> for UploadError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull,
            _ => Self::Store(error),
        }
    }
}

impl Upload {
    pub(crate) fn new(images: &Images, id: &str, size: u64) -> Result<Self, UploadError> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if id.is_empty() || id.len() > 64 || !id.bytes().all(plain) {
            return Err(UploadError::Id(id.chars().take(80).collect()));
        }
        Ok(Self { images: images.clone(), partial: images.pending(id), size, slot: images.slot(id) })
    }

    /// Bytes that have arrived.
    pub async fn received(&self) -> Result<u64, UploadError> {
        self.blocking(|upload, running| Ok(upload.current(running)?.length)).await
    }

    /// Adds the piece that starts at `offset`, whole or not at all, and answers how many bytes are there now.
    pub async fn append(&self, offset: u64, piece: Bytes) -> Result<u64, UploadError> {
        self.blocking(move |upload, running| upload.write(running, offset, &piece)).await
    }

    /// Checks length and hash and makes the content visible; with a wrong hash the upload starts over.
    pub async fn finish(&self, sha256: &str) -> Result<(), UploadError> {
        let sha256: Digest = sha256.parse()?;
        self.blocking(move |upload, running| upload.close(running, &sha256)).await
    }

    /// Forgets what has arrived.
    pub async fn discard(&self) -> Result<(), UploadError> {
        self.blocking(|upload, running| {
            *running = None;
            upload.remove()
        })
        .await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self, &mut Option<Running>) -> Result<T, UploadError> + Send + 'static,
    ) -> Result<T, UploadError> {
        let upload = self.clone();
        tokio::task::spawn_blocking(move || {
            let mut running = upload.slot.lock().unwrap_or_else(PoisonError::into_inner);
            work(&upload, &mut running)
        })
        .await
        .unwrap_or_else(|stopped| Err(UploadError::Store(io::Error::other(stopped))))
    }

    /// The running hash, recomputed where it does not belong to the file as it is.
    fn current<'a>(&self, running: &'a mut Option<Running>) -> Result<&'a mut Running, UploadError> {
        let length = match fs::metadata(&self.partial) {
            Ok(found) => found.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error.into()),
        };
        let fresh = match running.take().filter(|known| known.length == length) {
            Some(known) => known,
            None if length == 0 => Running { hash: Sha256::new(), length: 0 },
            None => {
                let (hash, length) = hash_file(&self.partial)?;
                Running { hash, length }
            }
        };
        Ok(running.insert(fresh))
    }

    fn write(&self, running: &mut Option<Running>, offset: u64, piece: &[u8]) -> Result<u64, UploadError> {
        let known = self.current(running)?;
        let (have, more) = (known.length, piece.len() as u64);
        if offset != have {
            return Err(UploadError::Offset { have, offset });
        }
        if more > self.size.saturating_sub(have) {
            return Err(UploadError::TooMuch { size: self.size, have, more });
        }
        let mut file = OpenOptions::new().create(true).append(true).open(&self.partial)?;
        if let Err(error) = file.write_all(piece) {
            // Half a piece must not stay: the sender will send all of it again.
            if file.set_len(have).is_err() {
                *running = None;
                self.remove()?;
            }
            return Err(error.into());
        }
        known.hash.update(piece);
        known.length += more;
        Ok(known.length)
    }

    fn close(&self, running: &mut Option<Running>, sha256: &Digest) -> Result<(), UploadError> {
        let known = self.current(running)?;
        if known.length != self.size {
            // A repeated finish, after a crash between the rename and the caller's own records.
            if known.length == 0 && self.images.size(sha256.as_str()) == Some(self.size) {
                return Ok(());
            }
            return Err(UploadError::Incomplete { size: self.size, have: known.length });
        }
        if self.size == 0 {
            OpenOptions::new().create(true).append(true).open(&self.partial)?;
        }
        let found = Digest::of(known.hash.clone());
        if found == *sha256 {
            self.images.publish(&self.partial, sha256)?;
            *running = None;
            return Ok(());
        }
        *running = None;
        self.remove()?;
        Err(UploadError::Mismatch { expected: sha256.clone(), found })
    }

    fn remove(&self) -> Result<(), UploadError> {
        match fs::remove_file(&self.partial) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }
}
