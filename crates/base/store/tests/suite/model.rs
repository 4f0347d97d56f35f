//! One suite for all back ends: against a plain model, and against many writers at once.

use std::collections::{BTreeMap, BTreeSet};

use crate::support::{Note, Place, SCOPE, postgres::Server, runtime, within};
use proptest::{collection::vec, prelude::*, test_runner::TestRunner};
use store::{Audit, Batch, CommitError, Store, Touched, WatchEnd};

/// What the property does, one after another.
#[derive(Debug, Clone)]
enum Event {
    Commit(Vec<Do>),
    Keep(u8),
    Reopen,
}

/// One step of a batch; versions are relative to what is there, so that both luck and conflict are common.
#[derive(Debug, Clone)]
enum Do {
    Create { id: u8 },
    Update { id: u8, off: Off },
    Delete { id: u8, off: Off },
    Expect { id: u8, off: Off },
    Claim { name: u8, owner: u8 },
    Unclaim { name: u8, owner: u8 },
}

#[derive(Debug, Clone, Copy)]
enum Off {
    Right,
    Older,
    Newer,
    Absent,
}

fn event() -> impl Strategy<Value = Event> {
    let off = || prop_oneof![8 => Just(Off::Right), 1 => Just(Off::Older), 1 => Just(Off::Newer), 1 => Just(Off::Absent)];
    let step = prop_oneof![
        3 => (0u8..4).prop_map(|id| Do::Create { id }),
        3 => (0u8..4, off()).prop_map(|(id, off)| Do::Update { id, off }),
        2 => (0u8..4, off()).prop_map(|(id, off)| Do::Delete { id, off }),
        1 => (0u8..4, off()).prop_map(|(id, off)| Do::Expect { id, off }),
        2 => (0u8..3, 0u8..2).prop_map(|(name, owner)| Do::Claim { name, owner }),
        1 => (0u8..3, 0u8..2).prop_map(|(name, owner)| Do::Unclaim { name, owner }),
    ];
    prop_oneof![
        12 => vec(step, 0..4).prop_map(Event::Commit),
        1 => (0u8..20).prop_map(Event::Keep),
        1 => Just(Event::Reopen),
    ]
}

/// What is left of the log, and what a watch can still be given.
#[derive(Debug)]
struct Log {
    /// All that was ever written.
    history: Vec<Audit>,
    /// First revision that is still there.
    first: u64,
    keep: u64,
    /// Changes after this one are in memory, whatever the log has.
    opened: u64,
}

impl Log {
    fn trim(&mut self, last: u64) {
        let keep = self.keep.max(1);
        if last + 1 - self.first > keep + (keep / 8).min(256) {
            self.first = last + 1 - keep;
        }
    }
}

/// The store as one would explain it to somebody.
#[derive(Debug, Clone, Default, PartialEq)]
struct Model {
    revision: u64,
    documents: BTreeMap<String, (u64, u64, Note)>,
    /// Last versions of what was deleted.
    deleted: BTreeMap<String, u64>,
    claims: BTreeMap<String, String>,
}

#[derive(Debug, PartialEq)]
enum Refused {
    Conflict(String),
    Taken(String),
}

impl Model {
    fn version(&self, id: &str) -> u64 {
        self.documents.get(id).map_or(0, |(version, ..)| *version)
    }

    fn wanted(&self, id: &str, off: Off) -> u64 {
        match off {
            Off::Right => self.version(id),
            Off::Older => self.version(id).saturating_sub(1),
            Off::Newer => self.version(id) + 1,
            Off::Absent => 0,
        }
    }

    /// Takes the batch itself and writes down what the store is to be asked.
    fn commit(&mut self, steps: &[Do], mut batch: Batch) -> (Batch, Result<(), Refused>) {
        let before = self.clone();
        self.revision += 1;
        let mut verdict = Ok(());
        for step in steps {
            let refused;
            (batch, refused) = self.step(step, batch);
            verdict = verdict.and(refused);
        }
        if verdict.is_err() {
            *self = before;
        }
        (batch, verdict)
    }

    fn step(&mut self, step: &Do, batch: Batch) -> (Batch, Result<(), Refused>) {
        let conflict = |kind: &str, id: &str| Err(Refused::Conflict(format!("{SCOPE}/{kind}/{id}")));
        match step {
            Do::Create { id } => {
                let (id, note) = (format!("d{id}"), Note::new(format!("made at {}", self.revision)));
                let batch = batch.create(SCOPE, &id, &note);
                if self.documents.contains_key(&id) {
                    return (batch, conflict("note", &id));
                }
                let version = self.deleted.remove(&id).unwrap_or(0) + 1;
                self.documents.insert(id, (version, self.revision, note));
                (batch, Ok(()))
            }
            Do::Update { id, off } => {
                let (id, note) = (format!("d{id}"), Note::new(format!("changed at {}", self.revision)));
                let wanted = self.wanted(&id, *off);
                let batch = batch.update(SCOPE, &id, wanted, &note);
                if wanted == 0 || wanted != self.version(&id) {
                    return (batch, conflict("note", &id));
                }
                self.documents.insert(id, (wanted + 1, self.revision, note));
                (batch, Ok(()))
            }
            Do::Delete { id, off } => {
                let id = format!("d{id}");
                let wanted = self.wanted(&id, *off);
                let batch = batch.delete::<Note>(SCOPE, &id, wanted);
                if wanted == 0 || wanted != self.version(&id) {
                    return (batch, conflict("note", &id));
                }
                self.documents.remove(&id);
                self.deleted.insert(id, wanted);
                (batch, Ok(()))
            }
            Do::Expect { id, off } => {
                let id = format!("d{id}");
                let wanted = self.wanted(&id, *off);
                let batch = batch.expect::<Note>(SCOPE, &id, wanted);
                (batch, if wanted == self.version(&id) { Ok(()) } else { conflict("note", &id) })
            }
            Do::Claim { name, owner } => {
                let (name, owner) = (format!("10.0.0.{name}"), format!("machine {owner}"));
                let batch = batch.claim(SCOPE, "ip", &name, &owner);
                let holder = self.claims.entry(name).or_insert_with(|| owner.clone());
                (batch, if *holder == owner { Ok(()) } else { Err(Refused::Taken(holder.clone())) })
            }
            Do::Unclaim { name, owner } => {
                let (name, owner) = (format!("10.0.0.{name}"), format!("machine {owner}"));
                let batch = batch.unclaim(SCOPE, "ip", &name, &owner);
                if self.claims.get(&name).is_some_and(|holder| *holder != owner) {
                    return (batch, conflict("ip", &name));
                }
                self.claims.remove(&name);
                (batch, Ok(()))
            }
        }
    }

    fn of(store: &Store, deleted: &BTreeMap<String, u64>) -> Self {
        let documents = store
            .list::<Note>(SCOPE)
            .into_iter()
            .map(|stored| (stored.id.clone(), (stored.version, stored.revision, stored.value.clone())))
            .collect();
        let claims = store.claims(SCOPE, "ip").into_iter().collect();
        Self { revision: store.revision(), documents, deleted: deleted.clone(), claims }
    }
}

/// What a watcher must be given for the step from one state to the next: `(revision, id, version)`.
fn difference(before: &Model, after: &Model) -> BTreeSet<(u64, String, Option<u64>)> {
    let ids: BTreeSet<&String> = before.documents.keys().chain(after.documents.keys()).collect();
    ids.into_iter()
        .filter(|id| before.documents.get(*id) != after.documents.get(*id))
        .map(|id| (after.revision, id.clone(), after.documents.get(id).map(|(version, ..)| *version)))
        .collect()
}

/// Runs the events on the store and on the model, and compares everything that can be seen.
async fn follows_the_model(place: &Place, events: &[Event]) -> Result<(), TestCaseError> {
    let mut store = place.open().await;
    let mut model = Model { revision: 1, ..Model::default() };
    let mut changes = BTreeSet::new();
    let creation = store.audit(1).await.unwrap();
    let mut log = Log { history: creation, first: 1, keep: 100_000, opened: 1 };
    for (number, event) in events.iter().enumerate() {
        match event {
            Event::Reopen if place.lasts() => {
                store.close().await;
                store = place.open().await;
                (log.opened, log.keep) = (model.revision, 100_000);
            }
            Event::Reopen => {}
            Event::Keep(batches) => {
                store.keep_log(u64::from(*batches)).await.unwrap();
                log.keep = u64::from(*batches);
                log.trim(model.revision);
            }
            Event::Commit(steps) => {
                let before = model.clone();
                let (batch, verdict) =
                    model.commit(steps, Batch::new("user:test", format!("event.{number}")));
                let answer = store.commit(batch).await.map_err(|error| match error {
                    CommitError::Conflict { what } => Refused::Conflict(what),
                    CommitError::Taken { holder, .. } => Refused::Taken(holder),
                    CommitError::Backend(reason) => panic!("{reason}"),
                });
                if answer.is_ok() {
                    log.history.extend(store.audit(1).await.unwrap());
                    log.trim(model.revision);
                }
                prop_assert_eq!(answer, verdict.map(|()| model.revision));
                changes.extend(difference(&before, &model));
            }
        }
        prop_assert_eq!(&Model::of(&store, &model.deleted), &model);
        for id in 0..4 {
            let stored = store.get::<Note>(SCOPE, &format!("d{id}"));
            prop_assert_eq!(stored.map_or(0, |stored| stored.version), model.version(&format!("d{id}")));
        }
        for name in 0..3 {
            let name = format!("10.0.0.{name}");
            prop_assert_eq!(store.holder(SCOPE, "ip", &name), model.claims.get(&name).cloned());
        }
    }

    let mut audit = store.audit(u32::MAX).await.unwrap();
    audit.reverse();
    prop_assert_eq!(
        log.history.iter().map(|entry| entry.revision).collect::<Vec<_>>(),
        (1..=model.revision).collect::<Vec<_>>()
    );
    prop_assert_eq!(&audit, &log.history[usize::try_from(log.first).unwrap() - 1..]);
    prop_assert!(
        log.history
            .iter()
            .skip(1)
            .all(|entry| entry.principal == "user:test" && entry.action.starts_with("event."))
    );

    for from in [1, model.revision / 2 + 1, model.revision] {
        replay(&store, &log, from).await?;
    }
    // Not equal: a document that comes and goes within one batch is told, though no state shows it.
    let all: BTreeSet<_> = told(&log.history).into_iter().collect();
    prop_assert!(changes.is_subset(&all), "{:?} not in {:?}", changes, all);
    store.close().await;
    Ok(())
}

/// Watches from `from` and requires just what was written since, in its order, or to be told that this is gone.
async fn replay(store: &Store, log: &Log, from: u64) -> Result<(), TestCaseError> {
    let mut watch = store.watch(from);
    if from + 1 < log.first && from < log.opened {
        let compacted = Err(WatchEnd::Compacted { place: from, first: log.first });
        prop_assert_eq!(&within(watch.next()).await, &compacted);
        prop_assert_eq!(&within(watch.next()).await, &compacted);
        return Ok(());
    }
    for (revision, id, version) in told(&log.history).into_iter().filter(|(revision, ..)| *revision > from) {
        let change = within(watch.next()).await.unwrap();
        prop_assert_eq!((change.revision, &*change.id, change.version), (revision, &*id, version));
    }
    Ok(())
}

/// All changes of documents in the audit, in order.
fn told(audit: &[Audit]) -> Vec<(u64, String, Option<u64>)> {
    let all = audit.iter().flat_map(|entry| entry.touched.iter().map(|touched| (entry.revision, touched)));
    all.filter_map(|(revision, touched)| match touched {
        Touched::Document { id, version, .. } => Some((revision, id.to_string(), *version)),
        Touched::Claim { .. } => None,
    })
    .collect()
}

/// Many writers and watchers on stores that share their data: nothing lost, nothing twice, the same order for all.
async fn many_writers(stores: &[Store]) {
    const WRITERS: usize = 6;
    const ROUNDS: u64 = 40;
    let first = stores[0].revision();
    let setup = ["left", "right"]
        .iter()
        .fold(Batch::new("user:test", "setup"), |batch, id| batch.create(SCOPE, id, &Note::count(0)));
    let ready = stores[0].commit(setup).await.unwrap();
    let watches: Vec<_> = stores.iter().flat_map(|store| [store.watch(first), store.watch(first)]).collect();
    for store in stores {
        within(store.at_least(ready)).await;
    }

    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| tokio::spawn(increment(stores[writer % stores.len()].clone(), writer, ROUNDS)))
        .collect();
    let mut last = 0;
    for writer in writers {
        last = last.max(within(writer).await.unwrap());
    }

    let mut audit = stores[0].audit(u32::MAX).await.unwrap();
    audit.reverse();
    let expected = told(&audit);
    assert_eq!(audit.last().unwrap().revision, last);
    for mut watch in watches {
        for told in &expected {
            let change = within(watch.next()).await.unwrap();
            assert_eq!(&(change.revision, change.id.to_string(), change.version), told);
        }
    }
    for store in stores {
        within(store.at_least(last)).await;
        let count = store.get::<Note>(SCOPE, "left").unwrap().value.count;
        assert_eq!(count, WRITERS as u64 * ROUNDS);
        assert!(store.claims(SCOPE, "turn").is_empty());
    }
}

/// Counts both notes up together, so often, under a claim of its own; answers the last revision.
async fn increment(store: Store, writer: usize, rounds: u64) -> u64 {
    let owner = format!("writer {writer}");
    let mut last = 0;
    for _ in 0..rounds {
        last = loop {
            let notes = store.list::<Note>(SCOPE);
            let [left, right] = notes.as_slice() else { panic!("{notes:?}") };
            // One batch changed both, so one list must show both.
            assert_eq!((left.version, &left.value), (right.version, &right.value));
            let next = Note::count(left.value.count + 1);
            let batch = Batch::new(owner.clone(), "count")
                .claim(SCOPE, "turn", "any", &owner)
                .update(SCOPE, "left", left.version, &next)
                .update(SCOPE, "right", right.version, &next)
                .unclaim(SCOPE, "turn", "any", &owner);
            match store.commit(batch).await {
                Ok(revision) => {
                    assert!(store.revision() >= revision);
                    assert!(store.get::<Note>(SCOPE, "left").unwrap().value.count >= next.count);
                    break revision;
                }
                Err(CommitError::Conflict { .. }) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        };
    }
    last
}

fn model_holds(cases: u32, place: impl Fn(&tokio::runtime::Runtime) -> Place) {
    let runtime = runtime();
    let mut runner =
        TestRunner::new(ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() });
    let outcome = runner.run(&vec(event(), 1..40), |events| {
        let place = place(&runtime);
        runtime.block_on(follows_the_model(&place, &events))
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn memory_follows_the_model() {
    model_holds(128, |_| Place::Memory);
}

#[test]
fn sqlite_follows_the_model() {
    model_holds(48, |_| Place::file());
}

#[test]
fn postgres_follows_the_model() {
    let runtime = runtime();
    let Some(server) = runtime.block_on(Server::start()) else { return };
    model_holds(24, |runtime| runtime.block_on(server.place()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_with_many_writers() {
    let place = Place::file();
    let store = place.open().await;
    many_writers(std::slice::from_ref(&store)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_with_many_writers_in_several_processes() {
    let Some(server) = Server::start().await else { return };
    let place = server.place().await;
    // Opened at once, on purpose: each finds no tables.
    let (one, two, three) = tokio::join!(place.open(), place.open(), place.open());
    many_writers(&[one, two, three]).await;
}

/// A process that slept while the log was trimmed reads everything anew, and its watchers are told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_log_is_trimmed_under_another_process() {
    let Some(server) = Server::start().await else { return };
    let place = server.place().await;
    let (one, two) = tokio::join!(place.open(), place.open());
    let mut watch = two.watch(1);
    one.keep_log(1).await.unwrap();
    // Written in groups, so the other finds holes.
    let commits = (0..50).map(|number| {
        let (one, id) = (one.clone(), format!("n{number}"));
        tokio::spawn(async move {
            one.commit(Batch::new("t", "t").create(SCOPE, &id, &Note::count(number))).await
        })
    });
    let mut last = 0;
    for commit in commits.collect::<Vec<_>>() {
        last = last.max(within(commit).await.unwrap().unwrap());
    }
    within(two.at_least(last)).await;
    assert_eq!(two.list::<Note>(SCOPE).len(), 50);
    assert_eq!(two.audit(u32::MAX).await.unwrap().len(), 1);
    let (mut seen, mut compacted) = (0, 0);
    while seen + compacted < 50 {
        match within(watch.next()).await {
            Ok(_) => seen += 1,
            Err(WatchEnd::Compacted { first, .. }) => {
                compacted = usize::try_from(first - 1).unwrap() - seen;
                watch = two.watch(last);
                break;
            }
            Err(WatchEnd::Closed) => panic!("not closed"),
        }
    }
    assert!(compacted > 0, "nothing was missed: the test shows nothing");
    let update = Batch::new("t", "t").delete::<Note>(SCOPE, "n0", 1);
    one.commit(update).await.unwrap();
    assert_eq!(within(watch.next()).await.unwrap().version, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_is_found_again() {
    const CUT: &str =
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'bessemer'";
    let Some(server) = Server::start().await else { return };
    let place = server.place().await;
    let (one, two) = tokio::join!(place.open(), place.open());
    let mut watch = two.watch(1);
    for count in 0..3 {
        let id = format!("n{count}");
        let batch = || Batch::new("user:test", "cut").create(SCOPE, &id, &Note::count(count));
        server.execute(CUT).await.unwrap();
        // The cut may reach us within the commit, which then fails; it is nothing but a conflict if it had gone through.
        let tried = within(async {
            loop {
                match one.commit(batch()).await {
                    Err(CommitError::Backend(_)) => tokio::task::yield_now().await,
                    other => break other,
                }
            }
        });
        assert!(matches!(tried.await, Ok(_) | Err(CommitError::Conflict { .. })));
        let change = within(watch.next()).await.unwrap();
        assert_eq!((&*change.id, change.version), (&*id, Some(1)));
    }
}
