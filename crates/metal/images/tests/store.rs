//! What a user of the store must never see: half an image, or one under a wrong name.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::{collections::HashSet, fs, path::Path};

use bytes::Bytes;
use images::{Images, PutError, UploadError};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

fn sha(data: &[u8]) -> String {
    hex::encode(Sha256::digest(data))
}

fn visible(dir: &Path) -> usize {
    fs::read_dir(dir.join("sha256"))
        .unwrap()
        .map(|shelf| fs::read_dir(shelf.unwrap().path()).unwrap().count())
        .sum()
}

fn pending(dir: &Path) -> usize {
    fs::read_dir(dir.join("uploads")).unwrap().count()
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// However an upload is cut into pieces, and wherever the process restarts, the content is whole or not there.
    #[test]
    fn pieces_and_restarts(
        data in prop::collection::vec(any::<u8>(), 0..4000),
        cuts in prop::collection::vec((1usize..700, any::<bool>()), 0..20),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let (name, size) = (sha(&data), data.len() as u64);
        run(async {
            let mut images = Images::open(dir.path()).unwrap();
            let mut cuts = cuts.into_iter();
            loop {
                let upload = images.upload("u", size).unwrap();
                let at = upload.received().await.unwrap();
                assert_eq!(images.path(&name), None, "visible before it is finished");
                let rest = &data[usize::try_from(at).unwrap()..];
                if rest.is_empty() {
                    upload.finish(&name).await.unwrap();
                    break;
                }
                assert!(matches!(upload.finish(&name).await, Err(UploadError::Incomplete { .. })));
                let (length, restart) = cuts.next().unwrap_or((rest.len(), false));
                let piece = Bytes::copy_from_slice(&rest[..length.min(rest.len())]);
                upload.append(at, piece).await.unwrap();
                if restart {
                    images = Images::open(dir.path()).unwrap();
                }
            }
            assert_eq!(fs::read(images.path(&name).unwrap()).unwrap(), data);
            assert_eq!(images.size(&name), Some(size));
            assert_eq!(pending(dir.path()), 0);
        });
    }
}

#[tokio::test]
async fn a_wrong_hash_leaves_nothing_and_starts_over() {
    let dir = tempfile::tempdir().unwrap();
    let images = Images::open(dir.path()).unwrap();
    let upload = images.upload("7", 5).unwrap();
    upload.append(0, Bytes::from_static(b"wrong")).await.unwrap();
    let refused = upload.finish(&sha(b"right")).await.unwrap_err();
    assert!(matches!(refused, UploadError::Mismatch { .. }), "{refused}");
    assert_eq!((visible(dir.path()), pending(dir.path())), (0, 0));
    assert_eq!(upload.append(0, Bytes::from_static(b"right")).await.unwrap(), 5);
    upload.finish(&sha(b"right")).await.unwrap();
    upload.finish(&sha(b"right")).await.expect("a repeated finish is fine");
    assert_eq!(visible(dir.path()), 1);
}

#[tokio::test]
async fn too_much_and_out_of_order_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let images = Images::open(dir.path()).unwrap();
    let upload = images.upload("7", 5).unwrap();
    let refused = upload.append(0, Bytes::from_static(b"sixsix")).await.unwrap_err();
    assert!(matches!(refused, UploadError::TooMuch { size: 5, have: 0, more: 6 }), "{refused}");
    upload.append(0, Bytes::from_static(b"abc")).await.unwrap();
    let refused = upload.append(0, Bytes::from_static(b"de")).await.unwrap_err();
    assert!(matches!(refused, UploadError::Offset { have: 3, offset: 0 }), "{refused}");
    // A second handle, as another request has it, sees the same upload.
    let other = images.upload("7", 5).unwrap();
    other.append(3, Bytes::from_static(b"de")).await.unwrap();
    upload.finish(&sha(b"abcde")).await.unwrap();
    assert!(other.append(5, Bytes::from_static(b"f")).await.is_err(), "finished content cannot grow");
    assert_eq!(images.size(&sha(b"abcde")), Some(5));
}

#[tokio::test]
async fn a_full_disk_is_said_and_nothing_is_visible() {
    let dir = tempfile::tempdir().unwrap();
    let images = Images::open(dir.path()).unwrap();
    std::os::unix::fs::symlink("/dev/full", dir.path().join("uploads/7")).unwrap();
    let upload = images.upload("7", 5).unwrap();
    let refused = upload.append(0, Bytes::from_static(b"abcde")).await.unwrap_err();
    assert!(matches!(refused, UploadError::DiskFull), "{refused}");
    assert_eq!((visible(dir.path()), pending(dir.path())), (0, 0));
    upload.append(0, Bytes::from_static(b"abcde")).await.unwrap();
    upload.finish(&sha(b"abcde")).await.unwrap();
}

#[tokio::test]
async fn local_files_are_taken_in_once() {
    let (dir, from) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let images = Images::open(dir.path()).unwrap();
    let (file, link) = (from.path().join("disk.img"), from.path().join("link"));
    fs::write(&file, b"content").unwrap();
    std::os::unix::fs::symlink(&file, &link).unwrap();

    let refused = images.put_file(&file, &sha(b"other")).await.unwrap_err();
    assert!(matches!(refused, PutError::Mismatch { .. }), "{refused}");
    assert!(matches!(images.put_file(&file, "../x").await, Err(PutError::Digest(_))));
    assert_eq!((visible(dir.path()), pending(dir.path())), (0, 0));

    images.put_file(&link, &sha(b"content")).await.unwrap();
    images.put_file(&file, &sha(b"content").to_uppercase()).await.unwrap();
    fs::remove_file(&file).unwrap();
    images.put_file(&file, &sha(b"content")).await.expect("here already, so the source is not needed");
    assert_eq!(fs::read(images.path(&sha(b"content")).unwrap()).unwrap(), b"content");
    assert_eq!((visible(dir.path()), pending(dir.path())), (1, 0));
    assert!(matches!(images.put_file(&file, &sha(b"none")).await, Err(PutError::Source { .. })));
}

#[tokio::test]
async fn sweeping_keeps_what_is_named_and_uploads_under_way() {
    let dir = tempfile::tempdir().unwrap();
    let images = Images::open(dir.path()).unwrap();
    for data in [&b"a"[..], b"b"] {
        let upload = images.upload("u", 1).unwrap();
        upload.append(0, Bytes::from_static(data)).await.unwrap();
        upload.finish(&sha(data)).await.unwrap();
    }
    images.upload("v", 9).unwrap().append(0, Bytes::from_static(b"c")).await.unwrap();
    assert_eq!(images.sweep(&HashSet::from([sha(b"a")])).unwrap(), 1);
    assert!(images.path(&sha(b"a")).is_some() && images.path(&sha(b"b")).is_none());
    assert_eq!(images.upload("v", 9).unwrap().received().await.unwrap(), 1);
    images.upload("v", 9).unwrap().discard().await.unwrap();
    assert_eq!(pending(dir.path()), 0);
}

#[test]
fn a_crashed_import_is_removed_at_start_and_names_are_not_paths() {
    let dir = tempfile::tempdir().unwrap();
    let images = Images::open(dir.path()).unwrap();
    fs::write(dir.path().join("uploads/.import-0"), b"half").unwrap();
    fs::write(dir.path().join("uploads/7"), b"half").unwrap();
    for id in ["", "..", "a/b", ".import-0"] {
        assert!(matches!(images.upload(id, 1), Err(UploadError::Id(_))), "{id}");
    }
    assert_eq!(images.path("../../etc/passwd"), None);
    Images::open(dir.path()).unwrap();
    assert_eq!(pending(dir.path()), 1, "the upload stays, the import goes");
}
