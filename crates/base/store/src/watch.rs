//! Watching: changes in revision order, without gaps.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::sync::{mpsc, watch};

use crate::{
    Audit,
    log::Range,
    request::{Request, ask},
    shared::{Progress, Shared},
};

/// How many batches a watcher takes at once.
const STRIDE: u32 = 256;

/// How long a watcher waits before it reads the log again after the back end failed.
const LOG_RETRY: Duration = Duration::from_millis(250);

/// A change as the watch gives it, in revision order and without gaps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Store-wide revision of its batch.
    pub revision: u64,
    /// Scope.
    pub scope: Arc<str>,
    /// Kind.
    pub kind: Arc<str>,
    /// Id.
    pub id: Arc<str>,
    /// Version after the change; `None`: deleted.
    pub version: Option<u64>,
}

/// Why a watch gives no more changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WatchEnd {
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
    /// The log no longer has what comes after this watch's place.
    #[error(
        "revision {place} is compacted: the log begins at {first}; list again, and watch from the revision of that list"
    )]
    Compacted {
        /// The watch's place.
        place: u64,
        /// The first revision that the log has.
        first: u64,
    },
}

/// Receives changes; see [`Store::watch`](crate::Store::watch).
///
/// A watcher keeps its place and takes from the recent batches in memory or, where it fell behind those, from the
/// stored log. So a slow one costs neither memory nor time of the writers.
#[derive(Debug)]
pub struct Watch {
    /// All changes up to this revision were given out or are in `taken`.
    place: u64,
    taken: VecDeque<Change>,
    progress: watch::Receiver<Progress>,
    shared: Arc<Shared>,
    requests: mpsc::WeakSender<Request>,
}

impl Watch {
    pub(crate) fn new(place: u64, shared: &Arc<Shared>, requests: &mpsc::Sender<Request>) -> Self {
        Self {
            place,
            taken: VecDeque::new(),
            progress: shared.progress(),
            shared: Arc::clone(shared),
            requests: requests.downgrade(),
        }
    }

    /// The next change. Cancel-safe.
    ///
    /// # Errors
    /// [`WatchEnd`]; after that, each call fails in the same way.
    pub async fn next(&mut self) -> Result<Change, WatchEnd> {
        loop {
            if let Some(change) = self.taken.pop_front() {
                return Ok(change);
            }
            let progress = *self.progress.borrow_and_update();
            if progress.revision > self.place {
                self.take_more().await?;
            } else if progress.closed {
                return Err(WatchEnd::Closed);
            } else {
                self.progress.changed().await.map_err(|_| WatchEnd::Closed)?;
            }
        }
    }

    async fn take_more(&mut self) -> Result<(), WatchEnd> {
        if let Some((place, changes)) = self.shared.recent(self.place, STRIDE) {
            self.taken.extend(changes);
            self.place = place;
            return Ok(());
        }
        let range = Range::After { revision: self.place, limit: STRIDE };
        let requests = self.requests.upgrade().ok_or(WatchEnd::Closed)?;
        match ask(&requests, |reply| Request::Log { range, reply }).await {
            Ok(log) => {
                if let Some(first) =
                    log.first().map(|first| first.revision).filter(|first| *first > self.place + 1)
                {
                    return Err(WatchEnd::Compacted { place: self.place, first });
                }
                self.taken.extend(log.iter().flat_map(Audit::changes));
                self.place = log.last().map_or(self.place, |last| last.revision);
            }
            Err(error) => {
                tracing::warn!(%error, revision = self.place, "a watcher could not read the log; it tries again");
                drop(requests);
                tokio::time::sleep(LOG_RETRY).await;
            }
        }
        Ok(())
    }
}
