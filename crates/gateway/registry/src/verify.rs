//! Blobs whose bytes are known to have their digest.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};
use tokio::sync::Mutex;

use crate::contents::{Blob, Contents};

/// What each blob's file looked like when it was last verified. A lock each, so that one client hashes while
/// others that want the same blob wait for the result.
#[derive(Debug)]
pub(crate) struct Blobs(BTreeMap<String, Mutex<Option<Stamp>>>);

/// A file that has the same stamp is taken to have the same bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

/// Why a blob is not served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unfit {
    #[error("the blob {digest} cannot be read: {source}; build the bundle again")]
    Io { digest: String, source: io::Error },
    #[error("the blob {digest} is damaged: its bytes have the digest sha256:{found}; build the bundle again")]
    Damaged { digest: String, found: String },
}

impl Blobs {
    pub(crate) fn of(contents: &Contents) -> Self {
        Self(contents.blobs.keys().map(|digest| (digest.clone(), Mutex::default())).collect())
    }

    /// Reads a blob to its end, unless that was done before and the file has not changed since.
    pub(crate) async fn verify(&self, blob: &Blob) -> Result<(), Unfit> {
        let io = |source| Unfit::Io { digest: blob.digest.clone(), source };
        let Some(known) = self.0.get(&blob.digest) else { return Err(io(io::ErrorKind::NotFound.into())) };
        let mut known = known.lock().await;
        let now = Stamp::of(&tokio::fs::metadata(&blob.path).await.map_err(io)?);
        if *known == Some(now) {
            return Ok(());
        }
        let path = blob.path.clone();
        let hashed = tokio::task::spawn_blocking(move || hash(&path)).await;
        let (found, stamp) = hashed.map_err(io::Error::other).flatten().map_err(io)?;
        if blob.digest != format!("sha256:{found}") {
            return Err(Unfit::Damaged { digest: blob.digest.clone(), found });
        }
        *known = Some(stamp);
        Ok(())
    }
}

impl Stamp {
    fn of(file: &Metadata) -> Self {
        Self {
            device: file.dev(),
            inode: file.ino(),
            size: file.size(),
            changed: (file.ctime(), file.ctime_nsec()),
        }
    }
}

fn hash(path: &Path) -> io::Result<(String, Stamp)> {
    let mut file = File::open(path)?;
    let stamp = Stamp::of(&file.metadata()?);
    let mut digest = Sha256::new();
    io::copy(&mut file, &mut digest)?;
    Ok((hex::encode(digest.finalize()), stamp))
}
