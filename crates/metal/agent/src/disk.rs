//! A disk as bytes: read, write, make zero. Plain files work as well, which is how it is tested.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::FallocateFlags;

/// One MiB.
pub const MIB: u64 = 1 << 20;
/// Zeros that are written at once where a device can't make them itself.
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// An open disk.
#[derive(Debug)]
pub struct Disk {
    file: File,
    path: PathBuf,
    size: u64,
}

impl Disk {
    /// Opens a disk for reading and writing and asks for its size.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).write(true).open(path)?;
        let size = file.seek(SeekFrom::End(0))?;
        Ok(Self { file, path: path.to_owned(), size })
    }

    /// Opens a disk by the kernel name that the region uses, such as `vda`, in the folder `dev`.
    pub fn named(dev: &Path, name: &str) -> io::Result<Self> {
        let plain = !name.is_empty() && !name.contains('/') && !name.starts_with('.');
        if plain { Self::open(&dev.join(name)) } else { Err(io::ErrorKind::InvalidInput.into()) }
    }

    /// Size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Its device node.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The open device.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Fills `buffer` from `offset`.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    /// `len` bytes from `offset`.
    pub fn read_vec(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut buffer = vec![0; len];
        self.read_at(&mut buffer, offset)?;
        Ok(buffer)
    }

    /// Writes all of `bytes` at `offset`.
    pub fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    /// Makes a range read as zeros, whatever was there before.
    ///
    /// Deallocating comes first: the kernel does it on block devices only where zeros are guaranteed, and it
    /// keeps thin disks thin. Then the device's own write of zeros; then plain writes, which also serve ranges
    /// that are not whole sectors.
    pub fn zero(&self, offset: u64, len: u64) -> io::Result<()> {
        if len == 0 {
            return Ok(());
        }
        let ways = [
            FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
            FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE,
        ];
        if ways.iter().any(|way| rustix::fs::fallocate(&self.file, *way, offset, len).is_ok()) {
            return Ok(());
        }
        let mut done = 0;
        while done < len {
            let take = usize::try_from(len - done).unwrap_or(usize::MAX).min(ZEROS.len());
            self.write_at(ZEROS.get(..take).unwrap_or(&ZEROS), offset + done)?;
            done += take as u64;
        }
        Ok(())
    }

    /// Waits until everything written is on the medium.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }
}

/// Whether a block is all zeros.
pub fn is_zero(block: &[u8]) -> bool {
    block.chunks(ZEROS.len()).all(|chunk| Some(chunk) == ZEROS.get(..chunk.len()))
}
