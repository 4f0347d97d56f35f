//! Initial RAM disks: cpio archives in the `newc` form, plain, gzip or zstd, several in a row
//! (the kernel's `Documentation/driver-api/early-userspace/buffer-format.rst`).

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode};

const HEADER: usize = 110;
const END: &str = "TRAILER!!!";

/// Unpacks everything in `bytes` below `root`.
///
/// # Errors
/// `InvalidData` when it is not such an archive; else what writing said.
pub(crate) fn unpack(bytes: &[u8], root: &Path) -> io::Result<()> {
    let mut rest = bytes;
    loop {
        rest = match rest {
            [] => return Ok(()),
            [0, tail @ ..] => tail,
            [b'0', b'7', b'0', b'7', ..] => archive(rest, root)?,
            [0x1f, 0x8b, ..] => {
                let mut reader = flate2::bufread::GzDecoder::new(rest);
                let mut plain = Vec::new();
                reader.read_to_end(&mut plain)?;
                unpack(&plain, root)?;
                reader.into_inner()
            }
            [0x28, 0xb5, 0x2f, 0xfd, ..] => {
                let mut reader = zstd::stream::read::Decoder::with_buffer(rest)?.single_frame();
                let mut plain = Vec::new();
                reader.read_to_end(&mut plain)?;
                unpack(&plain, root)?;
                reader.finish()
            }
            _ => return Err(invalid("neither cpio nor gzip nor zstd")),
        };
    }
}

struct Entry<'a> {
    inode: u32,
    mode: u32,
    links: u32,
    major: u32,
    minor: u32,
    name: &'a str,
    data: &'a [u8],
}

fn archive<'a>(bytes: &'a [u8], root: &Path) -> io::Result<&'a [u8]> {
    let mut rest = bytes;
    // Hard links: the data comes with the last of them.
    let mut linked: HashMap<u32, PathBuf> = HashMap::new();
    loop {
        let (entry, tail) = entry(rest).ok_or_else(|| invalid("cut short or damaged"))?;
        rest = tail;
        if entry.name == END {
            return Ok(rest);
        }
        if let Some(path) = inside(root, entry.name) {
            write(&entry, &path, &mut linked)?;
        }
    }
}

fn entry(bytes: &[u8]) -> Option<(Entry<'_>, &[u8])> {
    let header = std::str::from_utf8(bytes.get(..HEADER)?).ok()?;
    let field = |index: usize| u32::from_str_radix(header.get(6 + index * 8..14 + index * 8)?, 16).ok();
    let (size, name_size) = (usize::try_from(field(6)?).ok()?, usize::try_from(field(11)?).ok()?);
    let name_end = HEADER.checked_add(name_size)?;
    let name = bytes.get(HEADER..name_end.checked_sub(1)?)?;
    let start = name_end.next_multiple_of(4);
    let end = start.checked_add(size)?;
    let entry = Entry {
        inode: field(0)?,
        mode: field(1)?,
        links: field(4)?,
        major: field(9)?,
        minor: field(10)?,
        name: std::str::from_utf8(name).ok()?,
        data: bytes.get(start..end)?,
    };
    // The last padding may be missing at the very end.
    Some((entry, bytes.get(end.next_multiple_of(4)..).unwrap_or_default()))
}

fn write(entry: &Entry<'_>, path: &Path, linked: &mut HashMap<u32, PathBuf>) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let bits = entry.mode & 0o7777;
    let kind = FileType::from_raw_mode(entry.mode);
    if kind != FileType::Directory && entry.links < 2 {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    match kind {
        FileType::Directory => {
            fs::create_dir_all(path)?;
            fs::set_permissions(path, fs::Permissions::from_mode(bits))
        }
        FileType::Symlink => symlink(std::str::from_utf8(entry.data).map_err(io::Error::other)?, path),
        FileType::RegularFile => {
            if entry.links > 1 {
                if let Some(first) = linked.get(&entry.inode) {
                    fs::hard_link(first, path)?;
                } else {
                    linked.insert(entry.inode, path.to_owned());
                }
            }
            if entry.data.is_empty() && path.exists() {
                return Ok(());
            }
            let mut file =
                fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
            io::Write::write_all(&mut file, entry.data)?;
            file.set_permissions(fs::Permissions::from_mode(bits))
        }
        special => {
            let device = rustix::fs::makedev(entry.major, entry.minor);
            Ok(rustix::fs::mknodat(CWD, path, special, Mode::from_raw_mode(bits), device)?)
        }
    }
}

/// `name` below `root`; `None` for the root itself and for names that would leave it.
fn inside(root: &Path, name: &str) -> Option<PathBuf> {
    let mut path = root.to_owned();
    for part in Path::new(name).components() {
        match part {
            Component::Normal(part) => path.push(part),
            Component::CurDir | Component::RootDir => {}
            Component::ParentDir | Component::Prefix(_) => return None,
        }
    }
    (path != root).then_some(path)
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not an initial RAM disk: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn member(name: &str, mode: u32, data: &[u8]) -> Vec<u8> {
        let mut out = format!(
            "070701{:08x}{mode:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}",
            1,
            0,
            0,
            1,
            0,
            data.len(),
            0,
            0,
            0,
            0,
            name.len() + 1,
            0
        )
        .into_bytes();
        out.extend(name.as_bytes());
        out.push(0);
        out.resize(out.len().next_multiple_of(4), 0);
        out.extend(data);
        out.resize(out.len().next_multiple_of(4), 0);
        out
    }

    #[test]
    fn segments_of_each_kind_in_a_row() {
        let plain = [member("early", 0o100_644, b"first"), member(END, 0, b""), vec![0; 512]].concat();
        let later = [
            member("bin", 0o040_755, b""),
            member("bin/sh", 0o100_755, b"#!"),
            member("init", 0o120_777, b"bin/sh"),
            member("../evil", 0o100_644, b"no"),
            member(END, 0, b""),
        ]
        .concat();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&later).unwrap();
        let zstd = zstd::stream::encode_all(&*member("late", 0o100_600, b"z"), 1);
        let packed = zstd::stream::encode_all(&*later, 1).unwrap();
        for image in [
            [plain.clone(), gzip.finish().unwrap()].concat(),
            [plain.clone(), packed.clone()].concat(),
            [packed, plain].concat(),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let root = dir.path().join("root");
            fs::create_dir(&root).unwrap();
            unpack(&image, &root).unwrap();
            assert_eq!(fs::read(root.join("early")).unwrap(), b"first");
            assert_eq!(fs::read(root.join("init")).unwrap(), b"#!");
            assert_eq!(fs::metadata(root.join("bin/sh")).unwrap().permissions().mode() & 0o777, 0o755);
            assert!(!dir.path().join("evil").exists());
        }
        let dir = tempfile::tempdir().unwrap();
        assert!(unpack(&zstd.unwrap(), dir.path()).is_err(), "no trailer");
        assert!(unpack(b"<html>", dir.path()).is_err());
    }
}
