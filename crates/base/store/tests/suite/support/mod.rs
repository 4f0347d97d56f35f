//! Back ends to run the same tests on.

pub mod postgres;

use std::{future::Future, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};
use store::{Document, Store};

pub const SCOPE: &str = "site";

/// The document of the tests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    pub text: String,
    pub count: u64,
}

impl Document for Note {
    const KIND: &'static str = "note";
}

impl Note {
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), count: 0 }
    }

    pub fn count(count: u64) -> Self {
        Self { text: String::new(), count }
    }
}

/// Where a store under test keeps its data; opened as often as wanted.
pub enum Place {
    Memory,
    File { path: PathBuf, _folder: tempfile::TempDir },
    Schema { url: String },
}

impl Place {
    pub fn file() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::File { path: folder.path().join("store.db"), _folder: folder }
    }

    pub async fn open(&self) -> Store {
        match self {
            Self::Memory => Store::in_memory().await,
            Self::File { path, .. } => Store::open_sqlite(path).await.unwrap(),
            Self::Schema { url } => Store::open_postgres(url, None).await.unwrap(),
        }
    }

    pub fn lasts(&self) -> bool {
        !matches!(self, Self::Memory)
    }
}

/// Waits, but not for ever.
pub async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_mins(1), future).await.expect("nothing happened for 60 s")
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}
