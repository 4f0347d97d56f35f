//! What the model does not say: reading typed documents, waiting, closing, opening.

use std::{sync::Arc, time::Duration};

use crate::support::{Note, Place, SCOPE, within};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::{Batch, CommitError, Document, Store, WatchEnd};

/// A person, as three builds of different age know them.
mod person {
    use super::{Deserialize, Document, Serialize, Value, json};

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    pub struct First {
        pub name: String,
    }

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    pub struct Third {
        pub given: String,
        pub age: u32,
    }

    impl Document for First {
        const KIND: &'static str = "person";
    }

    impl Document for Third {
        const KIND: &'static str = "person";
        const SCHEMA: u32 = 3;

        fn upcast(from: u32, mut value: Value) -> Result<Value, String> {
            match from {
                1 => Ok(json!({"given": value["name"].take()})),
                2 => {
                    value["age"] = json!(0);
                    Ok(value)
                }
                other => Err(format!("no upcaster from schema {other}")),
            }
        }
    }
}

#[tokio::test]
async fn older_schemas_are_lifted_step_by_step() {
    let place = Place::file();
    let store = place.open().await;
    let first = person::First { name: "Henry".to_owned() };
    store.commit(Batch::new("t", "t").create(SCOPE, "p", &first)).await.unwrap();
    store.close().await;

    let store = place.open().await;
    let lifted = store.get::<person::Third>(SCOPE, "p").unwrap();
    assert_eq!(lifted.value, person::Third { given: "Henry".to_owned(), age: 0 });
    let update = Batch::new("t", "t").update(SCOPE, "p", lifted.version, &lifted.value);
    store.commit(update).await.unwrap();
    assert_eq!(store.get::<person::Third>(SCOPE, "p").unwrap().value, lifted.value);
    // A build that does not know the newer schema reads nothing rather than something wrong.
    assert!(store.get::<person::First>(SCOPE, "p").is_none());
    assert_eq!(store.list::<person::Third>(SCOPE).len(), 1);
}

#[tokio::test]
async fn a_document_is_decoded_once() {
    let store = Store::in_memory().await;
    store.commit(Batch::new("t", "t").create(SCOPE, "n", &Note::new("x"))).await.unwrap();
    let (one, two) = (store.get::<Note>(SCOPE, "n").unwrap(), store.list::<Note>(SCOPE));
    assert!(Arc::ptr_eq(&one, &two[0]));
}

#[tokio::test]
async fn a_watch_ends_with_the_store_and_not_before() {
    let store = Store::in_memory().await;
    let mut watch = store.watch(0);
    assert!(tokio::time::timeout(Duration::from_millis(5), watch.next()).await.is_err());
    store.commit(Batch::new("t", "t").create(SCOPE, "n", &Note::new("x"))).await.unwrap();
    drop(store);
    assert_eq!(&*within(watch.next()).await.unwrap().id, "n");
    assert_eq!(within(watch.next()).await, Err(WatchEnd::Closed));
}

#[tokio::test]
async fn a_watch_from_before_the_log_says_so() {
    let place = Place::file();
    let store = place.open().await;
    for id in ["a", "b", "c"] {
        store.commit(Batch::new("t", "t").create(SCOPE, id, &Note::new("x"))).await.unwrap();
    }
    store.keep_log(1).await.unwrap();
    store.close().await;
    let store = place.open().await;
    let mut watch = store.watch(2);
    let error = within(watch.next()).await.unwrap_err();
    assert_eq!(error, WatchEnd::Compacted { place: 2, first: 4 });
    assert!(
        error.to_string().starts_with("revision 2 is compacted: the log begins at 4; list again"),
        "{error}"
    );
    watch = store.watch(store.revision());
    store.commit(Batch::new("t", "t").create(SCOPE, "d", &Note::new("x"))).await.unwrap();
    assert_eq!(&*within(watch.next()).await.unwrap().id, "d");
}

#[tokio::test]
async fn commits_are_counted_and_timed() {
    let store = Store::in_memory().await;
    let mut registry = prometheus_client::registry::Registry::default();
    store.register(&mut registry);
    let create = || store.commit(Batch::new("t", "t").create(SCOPE, "n", &Note::new("x")));
    create().await.unwrap();
    create().await.unwrap_err();
    let mut text = String::new();
    prometheus_client::encoding::prometheus_text::encode(&mut text, &registry).unwrap();
    for line in [
        "# TYPE store_commit_duration_seconds histogram",
        "store_commit_duration_seconds_count{result=\"written\"} 1",
        "store_commit_duration_seconds_count{result=\"conflict\"} 1",
        "# TYPE store_revision gauge",
        "store_revision 2",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in {text}");
    }
}

#[tokio::test]
async fn a_closed_store_says_so() {
    let store = Store::in_memory().await;
    store.close().await;
    store.close().await;
    let error = store.commit(Batch::new("t", "t")).await.unwrap_err();
    assert_eq!(error.to_string(), "the store could not write: it is closed");
    within(store.at_least(u64::MAX)).await;
}

#[tokio::test]
async fn at_least_waits_for_its_revision() {
    let store = Store::in_memory().await;
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { store.at_least(3).await }
    });
    for id in ["a", "b"] {
        assert!(!waiting.is_finished());
        store.commit(Batch::new("t", "t").create(SCOPE, id, &Note::new("x"))).await.unwrap();
    }
    within(waiting).await.unwrap();
}

#[tokio::test]
async fn one_bad_batch_does_not_harm_its_neighbours() {
    let store = Store::in_memory().await;
    let commits = (0..100).map(|number| {
        let id = if number % 3 == 0 { "nul\0".to_owned() } else { format!("n{}", number % 50) };
        let store = store.clone();
        tokio::spawn(
            async move { store.commit(Batch::new("t", "t").create(SCOPE, &id, &Note::new("x"))).await },
        )
    });
    let mut revisions = Vec::new();
    for commit in commits.collect::<Vec<_>>() {
        match within(commit).await.unwrap() {
            Ok(revision) => revisions.push(revision),
            Err(CommitError::Backend(reason)) => assert!(reason.contains("NUL"), "{reason}"),
            Err(CommitError::Conflict { .. }) => {}
            Err(other) => panic!("{other}"),
        }
    }
    revisions.sort_unstable();
    let written = store.list::<Note>(SCOPE).len();
    assert_eq!(revisions, (2..2 + written as u64).collect::<Vec<_>>());
}

#[tokio::test]
async fn opening_what_cannot_be_opened_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("no/store.db");
    let error = Store::open_sqlite(&missing).await.unwrap_err().to_string();
    assert!(error.contains("no/store.db") && error.contains("is its folder there"), "{error}");

    let other = folder.path().join("other.db");
    std::fs::write(&other, vec![7; 4096]).unwrap();
    let error = Store::open_sqlite(&other).await.unwrap_err().to_string();
    assert!(error.contains("no SQLite database"), "{error}");

    let url = "postgres://u:hunter2@127.0.0.1:1/x?sslmode=require";
    let error = Store::open_postgres(url, None).await.unwrap_err().to_string();
    assert!(error.contains("by TLS; sslmode=disable") && !error.contains("hunter2"), "{error}");
    let error = Store::open_postgres(url, Some(&other)).await.unwrap_err().to_string();
    assert!(error.contains("other.db") && error.contains("give a PEM file"), "{error}");
    let error =
        Store::open_postgres("postgres://u:hunter2@localhost/x?what=1", None).await.unwrap_err().to_string();
    assert!(error.contains("URL cannot be read") && !error.contains("hunter2"), "{error}");
}

#[tokio::test]
async fn the_file_is_private_and_nobody_elses() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::file();
    let store = place.open().await;
    let Place::File { path, .. } = &place else { panic!("a file") };
    store.commit(Batch::new("t", "t").create(SCOPE, "n", &Note::new("x"))).await.unwrap();
    for name in ["store.db", "store.db-wal"] {
        let mode = std::fs::metadata(path.with_file_name(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let error = within(Store::open_sqlite(path)).await.unwrap_err().to_string();
    assert!(error.contains("another process has it open"), "{error}");
}
