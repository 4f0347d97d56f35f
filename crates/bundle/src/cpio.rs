//! Initramfs archives in the "newc" format that the Linux kernel unpacks.
//!
//! Format: `Documentation/driver-api/early-userspace/buffer-format.rst` of the kernel. Owner is root and times
//! are zero, so equal contents give equal bytes.

use std::io::{self, Write};

/// Writes one archive; members appear in the order of the calls, parents before children.
#[derive(Debug)]
pub struct Archive<W> {
    out: W,
    inode: u32,
}

/// What a member is, with its permission bits.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Directory,
    File,
    CharDevice { major: u32, minor: u32 },
}

impl Kind {
    fn type_bits(self) -> u32 {
        match self {
            Self::Directory => 0o040_000,
            Self::File => 0o100_000,
            Self::CharDevice { .. } => 0o020_000,
        }
    }
}

impl<W: Write> Archive<W> {
    /// An archive that is written to `out`.
    pub fn new(out: W) -> Self {
        Self { out, inode: 0 }
    }

    /// Adds a directory; `path` is relative to the root, without a leading slash.
    pub fn directory(&mut self, path: &str, permissions: u32) -> io::Result<()> {
        self.member(path, Kind::Directory, permissions, &[])
    }

    /// Adds a regular file. The format has no room for 4 GiB and more: such data is refused.
    pub fn file(&mut self, path: &str, permissions: u32, data: &[u8]) -> io::Result<()> {
        self.member(path, Kind::File, permissions, data)
    }

    /// Adds a character device.
    pub fn char_device(&mut self, path: &str, permissions: u32, major: u32, minor: u32) -> io::Result<()> {
        self.member(path, Kind::CharDevice { major, minor }, permissions, &[])
    }

    /// Ends the archive and gives the writer back.
    pub fn finish(mut self) -> io::Result<W> {
        self.inode = 0;
        self.header("TRAILER!!!", 0, 0, (0, 0))?;
        Ok(self.out)
    }

    fn member(&mut self, path: &str, kind: Kind, permissions: u32, data: &[u8]) -> io::Result<()> {
        let size =
            u32::try_from(data.len()).map_err(|_| refuse(path, "is too large for an initramfs archive"))?;
        if path.is_empty() || path.starts_with('/') || path.contains('\0') || path == "TRAILER!!!" {
            return Err(refuse(path, "is not a path that an initramfs archive can hold"));
        }
        let device = match kind {
            Kind::CharDevice { major, minor } => (major, minor),
            _ => (0, 0),
        };
        self.inode = self.inode.saturating_add(1);
        self.header(path, kind.type_bits() | (permissions & 0o7777), size, device)?;
        self.out.write_all(data)?;
        self.pad(data.len())
    }

    fn header(&mut self, path: &str, mode: u32, size: u32, (major, minor): (u32, u32)) -> io::Result<()> {
        let (inode, links, name) = (self.inode, 1, path.len() + 1);
        let zero = 0; // owner, group, time, the archive's own device, and the checksum that "newc" does not use
        let header = format!(
            "070701{inode:08X}{mode:08X}{zero:08X}{zero:08X}{links:08X}{zero:08X}{size:08X}\
             {zero:08X}{zero:08X}{major:08X}{minor:08X}{name:08X}{zero:08X}"
        );
        self.out.write_all(header.as_bytes())?;
        self.out.write_all(path.as_bytes())?;
        self.out.write_all(&[0])?;
        self.pad(header.len() + name)
    }

    fn pad(&mut self, written: usize) -> io::Result<()> {
        let zeros = written.next_multiple_of(4) - written;
        self.out.write_all([0; 3].get(..zeros).unwrap_or_default())
    }
}

fn refuse(path: &str, why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("{path:?} {why}"))
}
