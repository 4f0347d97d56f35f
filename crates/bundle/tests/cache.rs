//! What the cache promises: an entry is there whole, or it is built.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

use bundle::{Cache, CacheError, Key, Verify};
use proptest::prelude::*;

struct Fixture {
    folder: tempfile::TempDir,
    builds: Cell<u32>,
}

impl Fixture {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), builds: Cell::new(0) }
    }

    fn entry(&self, verify: Verify) -> PathBuf {
        let cache = Cache::at(self.folder.path().join("cache")).verifying(verify);
        let place = cache.entry(&key(), |folder| {
            assert_eq!(fs::read_dir(folder)?.count(), 0, "a build begins with an empty folder");
            self.builds.set(self.builds.get() + 1);
            fill(folder)
        });
        let place = place.unwrap();
        assert_eq!(fs::read(place.join("data")).unwrap(), [7; 4096]);
        assert_eq!(fs::read(place.join("below/more")).unwrap(), b"more");
        place
    }
}

fn key() -> Key {
    Key::new("thing", 1).with("input", "a")
}

fn fill(folder: &Path) -> anyhow::Result<()> {
    fs::create_dir(folder.join("below"))?;
    fs::write(folder.join("data"), [7; 4096])?;
    fs::write(folder.join("below/more"), "more")?;
    Ok(())
}

#[test]
fn a_whole_entry_is_built_once() {
    let fixture = Fixture::new();
    let place = fixture.entry(Verify::OncePerBoot);
    assert_eq!(place, fixture.entry(Verify::OncePerBoot));
    assert_eq!(place, fixture.entry(Verify::Full));
    assert_eq!(fixture.builds.get(), 1);
}

#[test]
fn a_broken_entry_is_noticed_and_built_again() {
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 5] = [
        ("truncated file", |place| {
            fs::File::options().write(true).open(place.join("data")).unwrap().set_len(100).unwrap();
        }),
        ("missing file", |place| fs::remove_file(place.join("below/more")).unwrap()),
        ("missing seal", |place| fs::remove_file(place.join(".seal.json")).unwrap()),
        ("half a seal", |place| fs::write(place.join(".seal.json"), "{\"version\": 1, ").unwrap()),
        ("empty folder", |place| {
            fs::remove_dir_all(place).unwrap();
            fs::create_dir(place).unwrap();
        }),
    ];
    for (name, damage) in damages {
        let fixture = Fixture::new();
        damage(&fixture.entry(Verify::OncePerBoot));
        fixture.entry(Verify::OncePerBoot);
        assert_eq!(fixture.builds.get(), 2, "{name}");
    }
}

#[test]
fn full_verification_notices_changed_bytes() {
    let fixture = Fixture::new();
    let place = fixture.entry(Verify::Full);
    fs::write(place.join("data"), [8; 4096]).unwrap();
    fixture.entry(Verify::Full);
    assert_eq!(fixture.builds.get(), 2);
}

#[test]
fn after_a_boot_of_the_host_digests_are_looked_at_once() {
    let fixture = Fixture::new();
    let place = fixture.entry(Verify::OncePerBoot);
    fs::write(place.join("data"), [8; 4096]).unwrap();
    // What the lock file says after another boot: the id of an earlier one.
    let lock = fixture.folder.path().join(format!("cache/.{}.lock", key().folder()));
    fs::write(lock, "an earlier boot").unwrap();
    fixture.entry(Verify::OncePerBoot);
    assert_eq!(fixture.builds.get(), 2);
}

#[test]
fn what_a_killed_builder_left_is_removed() {
    let fixture = Fixture::new();
    let left = fixture.folder.path().join(format!("cache/.{}.building-x7", key().folder()));
    fs::create_dir_all(left.join("deep")).unwrap();
    fs::write(left.join("deep/half"), "ha").unwrap();
    fixture.entry(Verify::OncePerBoot);
    assert!(!left.exists());
}

#[test]
fn a_failed_build_leaves_nothing_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let error = Cache::at(folder.path())
        .entry(&key(), |building| {
            fill(building)?;
            anyhow::bail!("the mirror is away")
        })
        .unwrap_err();
    assert!(matches!(error, CacheError::Build { .. }));
    assert!(error.to_string().ends_with("the mirror is away"), "{error}");
    let names: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|found| found.unwrap().file_name()).collect();
    assert_eq!(names, [format!(".{}.lock", key().folder()).as_str()]);
}

#[test]
fn several_builders_of_one_entry_build_it_once() {
    let folder = tempfile::tempdir().unwrap();
    let (start, builds) = (Barrier::new(4), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                start.wait();
                let place = Cache::at(folder.path()).entry(&key(), |building| {
                    builds.fetch_add(1, Ordering::SeqCst);
                    fill(building)
                });
                assert!(place.unwrap().join("data").exists());
            });
        }
    });
    assert_eq!(builds.load(Ordering::SeqCst), 1);
}

proptest! {
    /// Inputs that differ in any way, even only in where one ends and the next begins, have different keys.
    #[test]
    fn keys_differ_when_inputs_do(
        one in prop::collection::vec(("[ab]{0,2}", "[ab]{0,2}"), 0..3),
        other in prop::collection::vec(("[ab]{0,2}", "[ab]{0,2}"), 0..3),
    ) {
        let key = |inputs: &[(String, String)]| {
            inputs.iter().fold(Key::new("thing", 1), |key, (label, value)| key.with(label, value)).folder()
        };
        prop_assert_eq!(one == other, key(&one) == key(&other));
    }
}
