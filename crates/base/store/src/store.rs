//! The handle.

use std::{path::Path, sync::Arc, time::Instant};

use tokio::sync::{mpsc, oneshot};

use crate::{
    Audit, Batch, CommitError, Document, Stored, Watch,
    log::Range,
    metrics::Commits,
    postgres,
    request::{Request, ask},
    shared::Shared,
    sqlite,
};

/// A handle on the store; cheap to clone. The store closes when the last handle goes, or by [`Store::close`].
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) shared: Arc<Shared>,
    requests: mpsc::Sender<Request>,
    pub(crate) commits: Commits,
}

impl Store {
    fn new((shared, requests): (Arc<Shared>, mpsc::Sender<Request>)) -> Self {
        Self { shared, requests, commits: Commits::default() }
    }

    /// Opens (or makes) the SQLite file at `path`, readable by its owner only. One process may have it open at a time.
    ///
    /// # Errors
    /// [`CommitError::Backend`], saying what could not be opened and why.
    pub async fn open_sqlite(path: &Path) -> Result<Self, CommitError> {
        Ok(Self::new(sqlite::start(Some(path.to_owned())).await?))
    }

    /// Connects to PostgreSQL; `url` as libpq has it, URL or key-value form.
    ///
    /// A server on another machine is spoken to by TLS, and its certificate is checked against the CAs of a PEM file
    /// or the system's; `sslmode=disable` in the URL asks for plain text, `sslmode=require` for TLS in any case.
    ///
    /// Several processes may have the same database open; each sees the batches of all, in order.
    ///
    /// # Errors
    /// [`CommitError::Backend`], saying what could not be opened and why.
    pub async fn open_postgres(url: &str, ca: Option<&Path>) -> Result<Self, CommitError> {
        Ok(Self::new(postgres::start(url, ca).await?))
    }

    /// A store that lives in memory, for tests.
    ///
    /// # Panics
    /// Where the process is out of memory or threads.
    #[allow(
        clippy::expect_used,
        reason = "no file is involved: only a lack of memory or threads can fail it"
    )]
    pub async fn in_memory() -> Self {
        Self::new(sqlite::start(None).await.expect("SQLite opens a database in memory"))
    }

    /// Writes a batch; on return it is durable and visible to reads of this store. Answers its revision.
    ///
    /// A caller that stops waiting does not stop the batch.
    ///
    /// # Errors
    /// [`CommitError`]; then nothing of the batch is visible. If PostgreSQL is lost during the commit itself,
    /// the batch may still turn out written: read again before deciding again, as after a conflict.
    pub async fn commit(&self, batch: Batch) -> Result<u64, CommitError> {
        let began = Instant::now();
        let written = ask(&self.requests, |reply| Request::Commit { batch, reply }).await;
        if let Ok(revision) = written {
            self.at_least(revision).await;
        }
        self.commits.took(began.elapsed(), &written);
        written
    }

    /// A document from the in-memory view; `None` where absent (or undecodable, which is logged).
    pub fn get<T: Document>(&self, scope: &str, id: &str) -> Option<Arc<Stored<T>>> {
        let entry = self.shared.view().documents.get(scope, T::KIND, id).cloned()?;
        entry.read(scope, id)
    }

    /// All documents of a kind in a scope, by id order.
    pub fn list<T: Document>(&self, scope: &str) -> Vec<Arc<Stored<T>>> {
        let entries: Vec<_> = {
            let view = self.shared.view();
            let Some(all) = view.documents.all(scope, T::KIND) else { return Vec::new() };
            all.iter().map(|(id, entry)| (Arc::clone(id), Arc::clone(entry))).collect()
        };
        // Decoded outside the lock: a first list must not hold up the writers.
        entries.iter().filter_map(|(id, entry)| entry.read(scope, id)).collect()
    }

    /// Who holds a claim.
    pub fn holder(&self, scope: &str, namespace: &str, name: &str) -> Option<String> {
        self.shared.view().claims.get(scope, namespace, name).map(ToString::to_string)
    }

    /// All claims of a namespace, as (name, owner), by name order.
    pub fn claims(&self, scope: &str, namespace: &str) -> Vec<(String, String)> {
        let view = self.shared.view();
        let all = view.claims.all(scope, namespace).into_iter().flatten();
        all.map(|(name, owner)| (name.to_string(), owner.to_string())).collect()
    }

    /// Revision up to which the view is current; at least 1.
    pub fn revision(&self) -> u64 {
        self.shared.view().revision
    }

    /// Waits until the view has reached `revision`, or the store is closed.
    pub async fn at_least(&self, revision: u64) {
        let reached = |progress: &crate::shared::Progress| progress.closed || progress.revision >= revision;
        // The sender lives as long as `self`, so this ends by the condition only.
        let _ = self.shared.progress().wait_for(reached).await;
    }

    /// Waits until the view has all that was written, by whomever, when this was called. With one process on a database
    /// it always has.
    ///
    /// # Errors
    /// [`CommitError::Backend`] where the database cannot be read.
    pub async fn catch_up(&self) -> Result<(), CommitError> {
        ask(&self.requests, |reply| Request::CatchUp { reply }).await
    }

    /// Changes after `from` (0: from now on), gap-free.
    pub fn watch(&self, from: u64) -> Watch {
        let place = if from == 0 { self.revision() } else { from };
        Watch::new(place, &self.shared, &self.requests)
    }

    /// Keeps the last `batches` of the log (at least one, and a few more until they go together) instead of the last
    /// 100,000; what is more goes at once. Who watches from before that gets [`WatchEnd::Compacted`](crate::WatchEnd).
    ///
    /// # Errors
    /// [`CommitError::Backend`] where it cannot be written.
    pub async fn keep_log(&self, batches: u64) -> Result<(), CommitError> {
        ask(&self.requests, |reply| Request::Keep { batches, reply }).await
    }

    /// The last `count` batches, newest first; no more than the log keeps.
    ///
    /// # Errors
    /// [`CommitError::Backend`] where the log cannot be read.
    pub async fn audit(&self, count: u32) -> Result<Vec<Audit>, CommitError> {
        ask(&self.requests, |reply| Request::Log { range: Range::Last(count), reply }).await
    }

    /// Finishes what was asked for and closes the database; watches end, and later commits fail.
    pub async fn close(&self) {
        let (reply, closed) = oneshot::channel();
        if self.requests.send(Request::Close { reply }).await.is_ok() {
            // An error here is the owner having ended, which is what we wait for.
            let _ = closed.await;
        }
    }
}
