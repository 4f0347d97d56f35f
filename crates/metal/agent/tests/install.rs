//! Installing from HTTP onto a file that plays the disk.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use std::fs;
use std::io::Write as _;

use agent_protocol::ImageFormat;
use bessemer_agent::client::Region;
use bessemer_agent::disk::Disk;
use bessemer_agent::image::{self, ImageError};
use bessemer_agent::work::{Interrupted, Progress};
use support::{Server, answer, hasty, installation, noise, ranged};

const MIB: usize = 1 << 20;

struct Quiet;

impl Progress for Quiet {
    fn tell(&mut self, _: &str, _: u64, _: u64) -> Result<(), Interrupted> {
        Ok(())
    }
}

/// A disk full of an earlier life.
fn dirty_disk(len: usize) -> (tempfile::TempDir, Disk) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vda");
    fs::write(&path, vec![0xa5; len]).unwrap();
    let disk = Disk::open(&path).unwrap();
    (folder, disk)
}

/// An image with data, long and short runs of zeros, and an odd end.
fn image() -> Vec<u8> {
    let mut image = noise(3 * MIB);
    image.resize(9 * MIB + 123_456, 0);
    image.extend(noise(100_000));
    image.extend(vec![0; 70_000]);
    image.extend(noise(777));
    image.extend(vec![0; 2 * MIB + 5]);
    image
}

fn zst(bytes: &[u8]) -> Vec<u8> {
    // Two frames: images may be concatenated.
    let (a, b) = bytes.split_at(bytes.len() / 2);
    [zstd::encode_all(a, 1).unwrap(), zstd::encode_all(b, 1).unwrap()].concat()
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_dirty_disk_equals_the_image_afterwards_in_every_format() {
    let raw = image();
    let forms =
        [(ImageFormat::Raw, raw.clone()), (ImageFormat::RawGz, gz(&raw)), (ImageFormat::RawZst, zst(&raw))];
    for (format, packed) in forms {
        let (_folder, disk) = dirty_disk(16 * MIB);
        let bytes = packed.clone();
        let server = Server::start(move |request| ranged(request, &bytes));
        let region = Region::new(&server.url, "secret", hasty());
        let task = installation(&server.url, &packed, raw.len() as u64, format);
        let written = image::write(&task, &disk, &region, &mut Quiet).unwrap();
        assert_eq!(written, raw.len() as u64);
        let found = fs::read(disk.path()).unwrap();
        assert!(found[..raw.len()] == raw, "{format:?}: the disk differs from the image");
        assert!(found[raw.len()..].iter().all(|b| *b == 0xa5), "{format:?}: written past the image");
        assert_eq!(server.seen()[0].headers["authorization"], "Bearer secret");
    }
}

#[test]
fn a_cut_connection_goes_on_where_it_stopped() {
    let raw = image();
    let packed = zst(&raw);
    let (_folder, disk) = dirty_disk(16 * MIB);
    let (bytes, mut round) = (packed.clone(), 0);
    let server = Server::start(move |request| {
        round += 1;
        match round {
            // Cut in the middle, a restarting region, cut again, a server that forgot ranges.
            1 => support::Answer { cut: Some(1_000_000), ..ranged(request, &bytes) },
            2 => answer("503 Service Unavailable", ""),
            3 => support::Answer { cut: Some(1), ..ranged(request, &bytes) },
            4 => support::Answer { cut: Some(0), ..ranged(request, &bytes) },
            5 => support::Answer { cut: Some(2_000_000), ..answer("200 OK", bytes.clone()) },
            _ => ranged(request, &bytes),
        }
    });
    let region = Region::new(&server.url, "t", hasty());
    let task = installation(&server.url, &packed, raw.len() as u64, ImageFormat::RawZst);
    image::write(&task, &disk, &region, &mut Quiet).unwrap();
    assert!(fs::read(disk.path()).unwrap()[..raw.len()] == raw);
    let ranges: Vec<Option<String>> =
        server.seen().iter().map(|request| request.headers.get("range").cloned()).collect();
    assert_eq!(ranges[0], None);
    assert_eq!(ranges[1].as_deref(), Some("bytes=1000000-"));
    assert_eq!(ranges[3].as_deref(), Some("bytes=1000001-"));
    assert_eq!(ranges[5].as_deref(), Some("bytes=2000000-"));
}

#[test]
fn wrong_bytes_leave_a_disk_that_does_not_boot() {
    let packed = noise(3 * MIB);
    let (_folder, disk) = dirty_disk(8 * MIB);
    let bytes = packed.clone();
    let server = Server::start(move |request| ranged(request, &bytes));
    let region = Region::new(&server.url, "t", hasty());
    let mut task = installation(&server.url, &packed, 0, ImageFormat::Raw);
    task.sha256 = "00".repeat(32);
    let error = image::write(&task, &disk, &region, &mut Quiet).unwrap_err();
    assert!(matches!(error, ImageError::WrongHash { .. }), "{error}");
    assert!(fs::read(disk.path()).unwrap()[..MIB].iter().all(|b| *b == 0));
}

#[test]
fn too_large_an_image_is_refused_before_the_disk_is_touched() {
    let (_folder, disk) = dirty_disk(MIB);
    let server = Server::start(|_| answer("200 OK", ""));
    let region = Region::new(&server.url, "t", hasty());
    let task = installation(&server.url, &[1], 2 * MIB as u64, ImageFormat::Raw);
    let error = image::write(&task, &disk, &region, &mut Quiet).unwrap_err();
    assert!(matches!(error, ImageError::TooLarge { .. }), "{error}");
    assert!(fs::read(disk.path()).unwrap().iter().all(|b| *b == 0xa5));
    assert!(server.seen().is_empty());
}

#[test]
fn an_image_that_turns_out_too_large_is_an_error() {
    let (_folder, disk) = dirty_disk(MIB);
    let packed = zst(&noise(2 * MIB));
    let bytes = packed.clone();
    let server = Server::start(move |request| ranged(request, &bytes));
    let region = Region::new(&server.url, "t", hasty());
    let task = installation(&server.url, &packed, 0, ImageFormat::RawZst);
    let error = image::write(&task, &disk, &region, &mut Quiet).unwrap_err();
    assert!(matches!(error, ImageError::TooLarge { .. }), "{error}");
}

#[test]
fn damage_a_wrong_length_and_a_missing_image_are_told_apart() {
    let (_folder, disk) = dirty_disk(4 * MIB);
    let raw = noise(MIB);
    let packed = zst(&raw);
    let bytes = packed.clone();
    let server = Server::start(move |request| match request.line.as_str() {
        "GET /image" => ranged(request, &bytes),
        "GET /damaged" => answer("200 OK", vec![7; 1000]),
        _ => answer("404 Not Found", "no such image"),
    });
    let region = Region::new(&server.url, "t", hasty());
    let mut task = installation(&server.url, &packed, 1, ImageFormat::RawZst);
    let error = image::write(&task, &disk, &region, &mut Quiet).unwrap_err();
    assert!(matches!(error, ImageError::WrongLength { got: 1_048_576, want: 1, .. }), "{error}");
    task.url = format!("{}/damaged", server.url);
    task.size = 1000;
    let error = image::write(&task, &disk, &region, &mut Quiet).unwrap_err();
    assert!(matches!(error, ImageError::Unpack(_)), "{error}");
    task.url = format!("{}/absent", server.url);
    let error = image::write(&task, &disk, &region, &mut Quiet).unwrap_err();
    assert!(error.to_string().contains("404"), "{error}");
}

#[test]
fn an_interruption_stops_the_download() {
    struct Stop;
    impl Progress for Stop {
        fn tell(&mut self, _: &str, _: u64, _: u64) -> Result<(), Interrupted> {
            Err(Interrupted::Stale)
        }
    }
    let (_folder, disk) = dirty_disk(32 * MIB);
    let packed = noise(30 * MIB);
    let bytes = packed.clone();
    let server = Server::start(move |request| ranged(request, &bytes));
    let region = Region::new(&server.url, "t", hasty());
    let task = installation(&server.url, &packed, 0, ImageFormat::Raw);
    let error = image::write(&task, &disk, &region, &mut Stop).unwrap_err();
    assert!(matches!(error, ImageError::Interrupted(Interrupted::Stale)), "{error}");
}
