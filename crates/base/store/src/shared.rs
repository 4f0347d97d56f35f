//! What the database's owner publishes and everybody reads: the view and the recent batches.

use std::{
    collections::VecDeque,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
};

use tokio::sync::watch;

use crate::{
    batch::Key,
    decide::{Decided, Written},
    view::{Entry, View},
    watch::Change,
};

/// How many batches stay in memory for watchers.
const RECENT: usize = 8192;

#[derive(Debug)]
pub(crate) struct Shared {
    view: RwLock<View>,
    recent: RwLock<Recent>,
    progress: watch::Sender<Progress>,
}

/// How far the view is, and whether it still moves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Progress {
    pub(crate) revision: u64,
    pub(crate) closed: bool,
}

/// The last batches: `batches[i]` is that of revision `floor + 1 + i`.
#[derive(Debug)]
struct Recent {
    floor: u64,
    batches: VecDeque<Arc<[Change]>>,
}

/// New batches, and what they came to.
#[derive(Debug, Default)]
pub(crate) struct News {
    pub(crate) documents: Vec<(Key, Written)>,
    pub(crate) claims: Vec<(Key, Option<Arc<str>>)>,
    /// The changes of each batch, from the one after the view's revision on.
    pub(crate) batches: Vec<Arc<[Change]>>,
}

impl Shared {
    pub(crate) fn new(view: View) -> Self {
        let revision = view.revision;
        Self {
            view: RwLock::new(view),
            recent: RwLock::new(Recent { floor: revision, batches: VecDeque::new() }),
            progress: watch::Sender::new(Progress { revision, closed: false }),
        }
    }

    pub(crate) fn view(&self) -> RwLockReadGuard<'_, View> {
        self.view.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Makes batches visible: first in the view, then to watchers, so that who hears of a change can read it.
    pub(crate) fn publish(&self, news: News) {
        let revision = {
            let mut view = self.view.write().unwrap_or_else(PoisonError::into_inner);
            for (key, written) in news.documents {
                view.documents.set(key, Entry::of(written));
            }
            for (key, owner) in news.claims {
                view.claims.set(key, owner);
            }
            view.revision += news.batches.len() as u64;
            view.revision
        };
        self.recent.write().unwrap_or_else(PoisonError::into_inner).extend(news.batches);
        self.progress.send_modify(|progress| progress.revision = revision);
    }

    /// Takes a view that was read anew because the log no longer has all that came after the old one. Watchers that
    /// are behind it hear of that from the log.
    pub(crate) fn replace(&self, view: View) {
        let revision = view.revision;
        *self.view.write().unwrap_or_else(PoisonError::into_inner) = view;
        *self.recent.write().unwrap_or_else(PoisonError::into_inner) =
            Recent { floor: revision, batches: VecDeque::new() };
        self.progress.send_modify(|progress| progress.revision = revision);
    }

    /// Tells watchers and waiters that nothing comes any more.
    pub(crate) fn close(&self) {
        self.progress.send_modify(|progress| progress.closed = true);
    }

    /// Changes of at most `limit` batches after `place`, and the place after them; `None` if `place` is too long ago.
    pub(crate) fn recent(&self, place: u64, limit: u32) -> Option<(u64, Vec<Change>)> {
        let recent = self.recent.read().unwrap_or_else(PoisonError::into_inner);
        let skip = usize::try_from(place.checked_sub(recent.floor)?).ok()?;
        let batches = recent.batches.iter().skip(skip).take(limit as usize);
        let place = place + batches.len() as u64;
        Some((place, batches.flat_map(|batch| batch.iter().cloned()).collect()))
    }
}

impl News {
    /// Adds a batch and answers its revision.
    pub(crate) fn add(&mut self, decided: Decided) -> u64 {
        self.documents.extend(decided.documents);
        self.claims.extend(decided.claims);
        self.batches.push(decided.audit.changes().collect());
        decided.audit.revision
    }
}

impl Recent {
    fn extend(&mut self, batches: Vec<Arc<[Change]>>) {
        self.batches.extend(batches);
        let surplus = self.batches.len().saturating_sub(RECENT);
        self.batches.drain(..surplus);
        self.floor += surplus as u64;
    }
}
