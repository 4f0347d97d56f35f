//! A keyed work queue.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    hash::Hash,
    ops::Deref,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

/// Keys that want attention, each at a time of its own. Cheap to clone; all clones are one queue.
///
/// A key is in the queue at most once, at the earliest of the times it was added for, and it is never given out
/// while it is being worked on: what is added meanwhile comes back after the [`Work`] is dropped.
pub struct Queue<K: Eq + Hash + Clone> {
    inner: Arc<Inner<K>>,
}

struct Inner<K> {
    state: Mutex<State<K>>,
    changed: Notify,
}

/// When, and a running number that keeps keys of the same instant in order.
type Turn = (Instant, u64);

struct State<K> {
    order: BTreeMap<Turn, K>,
    waiting: HashMap<K, Turn>,
    /// Keys being worked on, with the time they were added for meanwhile.
    active: HashMap<K, Option<Instant>>,
    count: u64,
}

/// A key to work on; dropping it tells the queue that the work is over.
pub struct Work<K: Eq + Hash + Clone> {
    key: K,
    inner: Arc<Inner<K>>,
}

impl<K: Eq + Hash + Clone> Queue<K> {
    /// An empty queue.
    pub fn new() -> Self {
        let state =
            State { order: BTreeMap::new(), waiting: HashMap::new(), active: HashMap::new(), count: 0 };
        Self { inner: Arc::new(Inner { state: Mutex::new(state), changed: Notify::new() }) }
    }

    /// Adds a key for now.
    pub fn add(&self, key: K) {
        self.add_at(key, Instant::now());
    }

    /// Adds a key for `at`; an earlier time it is waiting for already stays.
    pub fn add_at(&self, key: K, at: Instant) {
        self.inner.lock().add(key, at);
        self.inner.changed.notify_waiters();
    }

    /// The next key that is due. Cancel-safe; any number of workers may wait.
    pub async fn next(&self) -> Work<K> {
        loop {
            // Listening before looking: what is added in between wakes us.
            let mut changed = pin!(self.inner.changed.notified());
            changed.as_mut().enable();
            let due = match self.inner.lock().take(Instant::now()) {
                Ok(key) => return Work { key, inner: Arc::clone(&self.inner) },
                Err(due) => due,
            };
            match due {
                None => changed.await,
                Some(due) => tokio::select! {
                    () = changed => {}
                    () = sleep_until(due) => {}
                },
            }
        }
    }

    /// How many keys wait, due or not; those being worked on are not counted.
    pub fn len(&self) -> usize {
        self.inner.lock().waiting.len()
    }

    /// Whether no key waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<K> Inner<K> {
    fn lock(&self) -> MutexGuard<'_, State<K>> {
        // No code of others runs under the lock, so a poisoned state is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash + Clone> State<K> {
    fn add(&mut self, key: K, at: Instant) {
        if let Some(again) = self.active.get_mut(&key) {
            *again = Some(again.map_or(at, |earlier| earlier.min(at)));
            return;
        }
        match self.waiting.get(&key) {
            Some(turn) if turn.0 <= at => return,
            Some(turn) => drop(self.order.remove(turn)),
            None => {}
        }
        self.count += 1;
        let turn = (at, self.count);
        self.waiting.insert(key.clone(), turn);
        self.order.insert(turn, key);
    }

    /// Takes the first key if it is due, else says when the first will be.
    fn take(&mut self, now: Instant) -> Result<K, Option<Instant>> {
        let Some(first) = self.order.first_entry() else { return Err(None) };
        if first.key().0 > now {
            return Err(Some(first.key().0));
        }
        let key = first.remove();
        self.waiting.remove(&key);
        self.active.insert(key.clone(), None);
        Ok(key)
    }

    fn finish(&mut self, key: &K) {
        if let Some((key, Some(at))) = self.active.remove_entry(key) {
            self.add(key, at);
        }
    }
}

impl<K: Eq + Hash + Clone> Default for Queue<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Eq + Hash + Clone> Clone for Queue<K> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<K: Eq + Hash + Clone> fmt::Debug for Queue<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.inner.lock();
        write!(f, "Queue({} waiting, {} active)", state.waiting.len(), state.active.len())
    }
}

impl<K: Eq + Hash + Clone> Work<K> {
    /// The key.
    pub fn key(&self) -> &K {
        &self.key
    }
}

impl<K: Eq + Hash + Clone> Deref for Work<K> {
    type Target = K;

    fn deref(&self) -> &K {
        &self.key
    }
}

impl<K: Eq + Hash + Clone> Drop for Work<K> {
    fn drop(&mut self) {
        self.inner.lock().finish(&self.key);
        self.inner.changed.notify_waiters();
    }
}

impl<K: Eq + Hash + Clone + fmt::Debug> fmt::Debug for Work<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Work").field(&self.key).finish()
    }
}

#[cfg(test)]
mod tests;
