//! An image from HTTP onto a disk, in one pass: fetch, hash, unpack, write.
//!
//! Fetching and hashing run in one thread, unpacking and writing in another. Afterwards the disk equals the image byte for byte: runs of zeros are
//! made zero on the disk as well (see [`Disk::zero`]), so nothing of an earlier life shines through.

use std::cell::Cell;
use std::io::{self, Read};
use std::sync::mpsc::{Receiver, sync_channel};

use agent_protocol::{ImageFormat, Install};

use crate::client::Region;
use crate::disk::{Disk, MIB, is_zero};
use crate::fetch::{FetchError, Remote, Taken, fetch};
use crate::log::say;
use crate::work::{Interrupted, Progress};

/// Pieces between the two threads.
const PIECES: usize = 32;
/// Bytes unpacked at once.
const CHUNK: usize = 1 << 20;
/// Zeros are looked for in blocks of this size.
const BLOCK: usize = 64 * 1024;

/// Why an image did not get onto a disk.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// Known before anything was written, or found while writing.
    #[error("the image needs {image} bytes and {disk} has {size}; choose a larger disk or a smaller image")]
    TooLarge {
        /// Unpacked length.
        image: u64,
        /// Device node.
        disk: String,
        /// Its size.
        size: u64,
    },
    /// The server's answer can't become the image.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The bytes are not those that were announced.
    #[error(
        "the image from {url} has SHA-256 {got}, expected {want}; the disk was made unbootable, import the image again"
    )]
    WrongHash {
        /// Where it was fetched.
        url: String,
        /// Computed.
        got: String,
        /// Announced.
        want: String,
    },
    /// The unpacked length is not the announced one.
    #[error(
        "the image from {url} unpacks to {got} bytes, expected {want}; the disk was made unbootable, import the image again"
    )]
    WrongLength {
        /// Where it was fetched.
        url: String,
        /// Unpacked.
        got: u64,
        /// Announced.
        want: u64,
    },
    /// Damaged or of another format.
    #[error("unpacking the image failed: {0}; check its format and import it again")]
    Unpack(io::Error),
    /// The disk.
    #[error("writing {disk} failed: {source}; test or replace the disk")]
    Disk {
        /// Device node.
        disk: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The region wants something else.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

/// Writes the image of `task` to `disk` and answers its unpacked length.
///
/// # Errors
/// [`ImageError`]. Once writing has begun, a failure leaves a disk whose first MiB is zeros: half an image must
/// not boot.
pub fn write(
    task: &Install,
    disk: &Disk,
    region: &Region,
    progress: &mut dyn Progress,
) -> Result<u64, ImageError> {
    if task.raw_size > disk.size() {
        return Err(too_large(task.raw_size, disk));
    }
    let written = stream(task, disk, region, progress);
    if written.is_err() {
        let cleared = disk.zero(0, MIB.min(disk.size())).and_then(|()| disk.sync());
        if let Err(error) = cleared {
            say(format_args!("can't clear the start of {}: {error}", disk.path().display()));
        }
    }
    written
}

fn stream(
    task: &Install,
    disk: &Disk,
    region: &Region,
    progress: &mut dyn Progress,
) -> Result<u64, ImageError> {
    let (sender, receiver) = sync_channel(PIECES);
    let (raw, fetched) = std::thread::scope(|scope| {
        let fetcher = scope.spawn(move || {
            let remote = Remote { url: &task.url, size: task.size };
            fetch(&remote, region, &mut |piece| match sender.send(piece) {
                Ok(()) => Taken::More,
                Err(_) => Taken::Enough,
            })
        });
        let taken = Cell::new(0);
        let mut pieces = Pieces { receiver, current: Vec::new(), at: 0, taken: &taken };
        let raw = unpack(task, disk, &mut pieces, &mut || {
            progress.tell("writing the image", taken.get(), task.size)
        });
        if raw.is_ok() {
            pieces.drain();
        }
        drop(pieces);
        (raw, fetcher.join())
    });
    let fetched = match fetched {
        Ok(fetched) => fetched.map_err(ImageError::from),
        Err(_) => {
            Err(FetchError { url: task.url.clone(), what: "the download thread died".to_owned() }.into())
        }
    };
    // A download that failed is the cause of an unpacking that did; a reader gone early is not.
    let (raw, hash) = match (raw, fetched) {
        (Ok(raw), Ok(hash)) => (raw, hash),
        (Ok(_) | Err(ImageError::Unpack(_)), Err(cause)) | (Err(cause), _) => return Err(cause),
    };
    if !hash.eq_ignore_ascii_case(&task.sha256) {
        return Err(ImageError::WrongHash { url: task.url.clone(), got: hash, want: task.sha256.clone() });
    }
    if task.raw_size != 0 && raw != task.raw_size {
        return Err(ImageError::WrongLength { url: task.url.clone(), got: raw, want: task.raw_size });
    }
    progress.tell("flushing the disk", task.size, task.size)?;
    disk.sync().map_err(|source| disk_error(disk, source))?;
    Ok(raw)
}

/// The fetched pieces as one stream.
struct Pieces<'a> {
    receiver: Receiver<Vec<u8>>,
    current: Vec<u8>,
    at: usize,
    /// Bytes read so far, for progress.
    taken: &'a Cell<u64>,
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.current.len() {
            let Ok(next) = self.receiver.recv() else { return Ok(0) };
            (self.current, self.at) = (next, 0);
        }
        let rest = self.current.get(self.at..).unwrap_or_default();
        let len = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..len), rest.get(..len)) {
            to.copy_from_slice(from);
        }
        self.at += len;
        self.taken.set(self.taken.get() + len as u64);
        Ok(len)
    }
}

impl Pieces<'_> {
    /// Takes what is left, so that all bytes are hashed.
    fn drain(&mut self) {
        while self.receiver.recv().is_ok() {}
    }
}

/// Unpacks and writes everything; answers the unpacked length. `tell` is called for each chunk.
fn unpack(
    task: &Install,
    disk: &Disk,
    pieces: &mut Pieces<'_>,
    tell: &mut dyn FnMut() -> Result<(), Interrupted>,
) -> Result<u64, ImageError> {
    let mut source: Box<dyn Read + '_> = match task.format {
        ImageFormat::Raw => Box::new(pieces),
        ImageFormat::RawGz => Box::new(flate2::read::MultiGzDecoder::new(pieces)),
        ImageFormat::RawZst => Box::new(zstd::Decoder::new(pieces).map_err(ImageError::Unpack)?),
    };
    let mut writer = Writer { disk, at: 0, zeros: 0 };
    let mut chunk = vec![0; CHUNK];
    loop {
        let len = fill(&mut *source, &mut chunk).map_err(ImageError::Unpack)?;
        let Some(bytes) = chunk.get(..len).filter(|bytes| !bytes.is_empty()) else { break };
        writer.chunk(bytes)?;
        tell()?;
    }
    writer.finish()
}

/// Reads until the buffer is full or the source ends.
fn fill(source: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    while let Some(rest) = buffer.get_mut(len..).filter(|rest| !rest.is_empty()) {
        match source.read(rest) {
            Ok(0) => break,
            Ok(more) => len += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(len)
}

/// Writes in order; zeros are gathered until something else comes.
struct Writer<'a> {
    disk: &'a Disk,
    at: u64,
    zeros: u64,
}

impl Writer<'_> {
    fn chunk(&mut self, bytes: &[u8]) -> Result<(), ImageError> {
        let end = self.at + bytes.len() as u64;
        if end > self.disk.size() {
            return Err(too_large(end, self.disk));
        }
        // Neighbouring blocks of data are written at once.
        let mut rest = bytes;
        while !rest.is_empty() {
            let zeros = rest.chunks(BLOCK).take_while(|block| is_zero(block)).map(<[u8]>::len).sum();
            let (_, after) = rest.split_at(zeros);
            let data = after.chunks(BLOCK).take_while(|block| !is_zero(block)).map(<[u8]>::len).sum();
            let (data, after) = after.split_at(data);
            self.zeros += zeros as u64;
            self.at += zeros as u64;
            if !data.is_empty() {
                self.flush_zeros()?;
                self.disk.write_at(data, self.at).map_err(|e| disk_error(self.disk, e))?;
                self.at += data.len() as u64;
            }
            rest = after;
        }
        Ok(())
    }

    fn flush_zeros(&mut self) -> Result<(), ImageError> {
        let len = std::mem::take(&mut self.zeros);
        self.disk.zero(self.at - len, len).map_err(|e| disk_error(self.disk, e))
    }

    fn finish(mut self) -> Result<u64, ImageError> {
        self.flush_zeros()?;
        Ok(self.at)
    }
}

fn too_large(image: u64, disk: &Disk) -> ImageError {
    ImageError::TooLarge { image, disk: disk.path().display().to_string(), size: disk.size() }
}

fn disk_error(disk: &Disk, source: io::Error) -> ImageError {
    ImageError::Disk { disk: disk.path().display().to_string(), source }
}
