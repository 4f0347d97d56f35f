//! What a process writes, in a file of bounded size.

use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};

/// A log file is renamed to `….1`, replacing the one before, when it has this many bytes.
pub const LOG_LIMIT: u64 = 8 << 20;

/// A log file that begins anew when it is full.
#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
    file: File,
    size: u64,
}

impl Log {
    /// Opens a log to add to it.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = File::options().create(true).append(true).open(path)?;
        let size = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), file, size })
    }

    /// Adds everything that comes, until nobody writes any more. What cannot be written is dropped: a full disk
    /// must not stop a process by its pipe.
    pub(crate) fn follow(&mut self, mut from: impl Read) {
        let mut buffer = vec![0; 16 << 10];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            let result = self.add(buffer.get(..count).unwrap_or_default());
            if let Err(error) = result {
                tracing::warn!(log = %self.path.display(), %error, "cannot write a log");
            }
        }
    }

    fn add(&mut self, text: &[u8]) -> io::Result<()> {
        if self.size >= LOG_LIMIT {
            fs::rename(&self.path, self.path.with_extension("log.1"))?;
            *self = Self::open(&self.path)?;
        }
        self.file.write_all(text)?;
        self.size += text.len() as u64;
        Ok(())
    }
}

/// The last lines of a log, at most `bytes` of it.
pub(crate) fn tail(path: &Path, bytes: usize) -> String {
    let text = fs::read(path).unwrap_or_default();
    let start = text.len().saturating_sub(bytes);
    String::from_utf8_lossy(text.get(start..).unwrap_or_default()).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stays_bounded_and_keeps_the_newest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("etcd.log");
        let mut log = Log::open(&path).unwrap();
        for round in 0..40u8 {
            log.follow(io::repeat(b'a' + round % 26).take(1 << 20));
        }
        log.follow(&b"the last line\n"[..]);
        let size = |path: &Path| fs::metadata(path).unwrap().len();
        assert!(size(&path) <= LOG_LIMIT + (16 << 10));
        assert!(size(&folder.path().join("etcd.log.1")) <= LOG_LIMIT + (16 << 10));
        assert!(tail(&path, 100).ends_with("the last line"));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
