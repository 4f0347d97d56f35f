//! Killed in the middle of writing, again and again: what was acknowledged is there, and nothing by halves.

use std::{
    ffi::OsString,
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::support::{Note, SCOPE, runtime, within};
use store::{Batch, Store};

/// Set for the child: where its store is.
const CHILD: &str = "STORE_CRASH_CHILD";
const WRITERS: u64 = 4;

#[test]
fn acknowledged_is_durable_and_whole() {
    if let Some(path) = std::env::var_os(CHILD) {
        runtime().block_on(write_for_ever(Path::new(&path)));
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let mut acknowledged = Vec::new();
    for round in 1..=6 {
        acknowledged.extend(kill_after(&path, 40 * round, &[]));
        runtime().block_on(all_there(&path, &acknowledged));
    }
}

/// As above, but all that was not synced is lost with the process, as when the power fails.
#[test]
fn acknowledged_survives_a_loss_of_power() {
    let folder = tempfile::tempdir().unwrap();
    let Some(shim) = Shim::build(folder.path()) else { return };
    let mut acknowledged = Vec::new();
    for round in 0..5 {
        let (live, kept) = shim.disks(round);
        acknowledged.extend(kill_after(&live.join("store.db"), 500, &shim.environment(&live, &kept)));
        runtime().block_on(all_there(&kept.join("store.db"), &acknowledged));
    }

    // And the test can tell: on a disk that lies about its syncs, the same is lost.
    let (live, kept) = shim.disks(5);
    let mut environment = shim.environment(&live, &kept);
    environment.push(("POWER_LOSS_LIE", "1".into()));
    let promised = kill_after(&live.join("store.db"), 100, &environment);
    let store = runtime().block_on(Store::open_sqlite(&kept.join("store.db"))).unwrap();
    assert!(promised.iter().all(|(revision, _)| *revision > store.revision()));
}

/// The library of `power_loss.c` and the folders it works on.
struct Shim {
    library: PathBuf,
    folder: PathBuf,
}

impl Shim {
    fn build(folder: &Path) -> Option<Self> {
        let folder = folder.canonicalize().unwrap();
        let (source, library) = (folder.join("power_loss.c"), folder.join("power_loss.so"));
        fs::write(&source, include_str!("power_loss.c")).unwrap();
        let Ok(built) =
            Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).output()
        else {
            println!("skipped: no C compiler `cc` (Debian: apt-get install gcc libc6-dev)");
            return None;
        };
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        Some(Self { library, folder })
    }

    /// The disk that the next child writes, which is what the last one left, and an exact copy that follows its syncs.
    fn disks(&self, round: u32) -> (PathBuf, PathBuf) {
        let disk = |round: u32| self.folder.join(format!("disk{round}"));
        let (live, kept) = (disk(round), disk(round + 1));
        fs::create_dir_all(&live).unwrap();
        fs::create_dir_all(&kept).unwrap();
        for file in fs::read_dir(&live).unwrap().flatten() {
            fs::copy(file.path(), kept.join(file.file_name())).unwrap();
        }
        (live, kept)
    }

    fn environment(&self, live: &Path, kept: &Path) -> Vec<(&'static str, OsString)> {
        vec![
            ("LD_PRELOAD", self.library.clone().into()),
            ("POWER_LOSS_FROM", live.into()),
            ("POWER_LOSS_TO", kept.into()),
        ]
    }
}

/// Runs the child until it has acknowledged so many batches, kills it, and answers all that it did.
fn kill_after(path: &Path, lines: usize, environment: &[(&str, OsString)]) -> Vec<(u64, String)> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::acknowledged_is_durable_and_whole", "--nocapture"])
        .env(CHILD, path)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let parse = |line: String| {
        let (revision, id) = line.strip_prefix("acknowledged ")?.split_once(' ')?;
        Some((revision.parse().ok()?, id.to_owned()))
    };
    let mut acknowledged: Vec<_> = output.by_ref().filter_map(parse).take(lines).collect();
    child.kill().unwrap();
    acknowledged.extend(output.filter_map(parse));
    child.wait().unwrap();
    assert!(acknowledged.len() >= lines, "the child ended by itself");
    acknowledged
}

/// The child: several writers, each batch a pair of notes and a claim, told to the parent once acknowledged.
async fn write_for_ever(path: &Path) -> ! {
    let store = Store::open_sqlite(path).await.unwrap();
    let start = store.revision();
    let writers: Vec<_> =
        (0..WRITERS).map(|writer| tokio::spawn(write(store.clone(), start, writer))).collect();
    for writer in writers {
        // Killed long before; this is for a parent that is gone.
        within(writer).await.unwrap();
    }
    unreachable!("writers do not end")
}

async fn write(store: Store, start: u64, writer: u64) {
    for number in 0u64.. {
        let id = format!("{start}-{writer}-{number}");
        let note = Note { text: "x".repeat(2000), count: number };
        let batch = Batch::new("child", "pair")
            .create(SCOPE, &format!("{id}-left"), &note)
            .claim(SCOPE, "pair", &id, "child")
            .create(SCOPE, &format!("{id}-right"), &note);
        let revision = store.commit(batch).await.unwrap();
        // One write: lines of several writers do not mix, and none is held back when we are killed.
        std::io::stdout().lock().write_all(format!("acknowledged {revision} {id}\n").as_bytes()).unwrap();
    }
}

async fn all_there(path: &Path, acknowledged: &[(u64, String)]) {
    let store = within(Store::open_sqlite(path)).await.unwrap();
    let notes = store.list::<Note>(SCOPE);
    let claims = store.claims(SCOPE, "pair");
    assert_eq!(notes.len(), 2 * claims.len());
    for (id, _) in &claims {
        let half = |side| store.get::<Note>(SCOPE, &format!("{id}-{side}")).unwrap();
        assert_eq!(
            (half("left").revision, &half("left").value),
            (half("right").revision, &half("right").value)
        );
    }
    for (revision, id) in acknowledged {
        assert_eq!(store.get::<Note>(SCOPE, &format!("{id}-left")).unwrap().revision, *revision);
    }
    let audit = store.audit(u32::MAX).await.unwrap();
    assert_eq!(audit.len() as u64, store.revision());
    assert_eq!(claims.len() as u64, store.revision() - 1);
    store.close().await;
}
