//! The disk is full: nothing acknowledged is lost, reads go on, and so does everything once there is room.

use std::{fs, io::Write, path::Path, process::Command};

use crate::support::{Note, SCOPE, within};
use store::{Batch, CommitError, Store};

/// A small disk of our own; gone when dropped.
struct Disk(tempfile::TempDir);

impl Disk {
    /// `None`, with a printed line, where we may not mount.
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=2m", "store-test"])
            .arg(folder.path())
            .output();
        if mounted.as_ref().is_ok_and(|output| output.status.success()) {
            return Some(Self(folder));
        }
        println!("skipped: no right to mount (run as root): {mounted:?}");
        None
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

fn fill(path: &Path) {
    let mut file = fs::File::create(path).unwrap();
    while file.write_all(&[7; 4096]).is_ok() {}
}

fn note(number: u64) -> Batch {
    let note = Note { text: "x".repeat(2000), count: number };
    Batch::new("t", "t").create(SCOPE, &format!("n{number}"), &note).claim(
        SCOPE,
        "number",
        &number.to_string(),
        "t",
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_named_and_survived() {
    let Some(disk) = Disk::mount() else { return };
    let path = disk.path().join("store.db");
    let store = Store::open_sqlite(&path).await.unwrap();
    store.commit(note(0)).await.unwrap();

    // Others fill the disk; the store has what it has already taken for itself.
    let filler = disk.path().join("filler");
    fill(&filler);
    let mut written = 0;
    let refused = loop {
        match within(store.commit(note(written + 1))).await {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
        assert!(written < 10_000, "the disk is not full");
    };
    assert_eq!(
        refused.to_string(),
        "the store could not write: the disk that the database is on is full; free some space there"
    );

    // Several at once fail each by itself, and nothing of them shows.
    let revision = store.revision();
    let many = (1..20).map(|more| {
        let store = store.clone();
        tokio::spawn(async move { store.commit(note(written + more)).await })
    });
    for refused in many.collect::<Vec<_>>() {
        assert!(matches!(within(refused).await.unwrap(), Err(CommitError::Backend(_))));
    }
    assert_eq!(store.revision(), revision);
    assert_eq!(store.list::<Note>(SCOPE).len() as u64, written + 1);
    assert_eq!(store.audit(1).await.unwrap()[0].revision, revision);

    fs::remove_file(&filler).unwrap();
    store.commit(note(written + 1)).await.unwrap();
    assert_eq!(store.revision(), revision + 1);
    store.close().await;

    let store = Store::open_sqlite(&path).await.unwrap();
    assert_eq!(store.list::<Note>(SCOPE).len() as u64, written + 2);
    assert_eq!(store.claims(SCOPE, "number").len() as u64, written + 2);
    store.close().await;
}
