//! The archive writer, read back by `cpio`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use bundle::cpio::Archive;
use proptest::prelude::*;

/// Runs `cpio` in a folder with an archive as input; `None` if the host has no `cpio`.
fn cpio(arguments: &[&str], archive: &[u8], folder: &std::path::Path) -> Option<String> {
    let spawned = Command::new("cpio")
        .args(arguments)
        .current_dir(folder)
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut child) = spawned else {
        println!("skipped: no cpio on this host");
        return None;
    };
    child.stdin.take().unwrap().write_all(archive).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "cpio does not like the archive");
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn cpio_lists_every_kind_with_its_permissions() {
    let mut archive = Archive::new(Vec::new());
    archive.directory("tmp", 0o1777).unwrap();
    archive.file("init", 0o755, b"#!").unwrap();
    archive.char_device("console", 0o600, 5, 1).unwrap();
    let bytes = archive.finish().unwrap();
    let Some(listing) = cpio(&["-tv", "--quiet"], &bytes, std::path::Path::new("/")) else { return };
    let lines: Vec<Vec<&str>> = listing.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!((lines[0][0], *lines[0].last().unwrap()), ("drwxrwxrwt", "tmp"));
    assert_eq!((lines[1][0], lines[1][4], *lines[1].last().unwrap()), ("-rwxr-xr-x", "2", "init"));
    assert_eq!((lines[2][0], lines[2][4], lines[2][5]), ("crw-------", "5,", "1"));
}

#[test]
fn paths_that_would_mislead_the_kernel_are_refused() {
    for path in ["", "/init", "a\0b", "TRAILER!!!"] {
        assert!(Archive::new(Vec::new()).file(path, 0o644, b"").is_err(), "{path:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// What is written is what cpio unpacks, whatever the lengths of names and contents.
    #[test]
    fn cpio_unpacks_what_was_written(
        files in prop::collection::btree_map("[a-z]{1,9}", prop::collection::vec(any::<u8>(), 0..40), 0..6),
    ) {
        let mut archive = Archive::new(Vec::new());
        for (name, data) in &files {
            archive.file(name, 0o644, data).unwrap();
        }
        let bytes = archive.finish().unwrap();
        prop_assert_eq!(bytes.len() % 4, 0);
        let folder = tempfile::tempdir().unwrap();
        if cpio(&["-i", "--quiet"], &bytes, folder.path()).is_some() {
            let unpacked: BTreeMap<_, _> = fs::read_dir(folder.path()).unwrap().map(|found| {
                let path = found.unwrap().path();
                (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap())
            }).collect();
            prop_assert_eq!(files, unpacked);
        }
    }
}
