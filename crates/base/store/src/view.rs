//! The in-memory view that all reads come from.

use std::{
    any::Any,
    collections::{BTreeMap, HashMap},
    sync::{Arc, OnceLock},
};

use crate::{Document, Stored, batch::Key, decide::Written, document::decode};

/// Values by scope, then kind (or claim namespace), then id (or name) in order.
#[derive(Debug)]
pub(crate) struct Tree<V>(HashMap<Arc<str>, HashMap<Arc<str>, Branch<V>>>);

/// The values of one scope and kind.
type Branch<V> = BTreeMap<Arc<str>, V>;

impl<V> Tree<V> {
    pub(crate) fn get(&self, scope: &str, kind: &str, id: &str) -> Option<&V> {
        self.all(scope, kind)?.get(id)
    }

    pub(crate) fn all(&self, scope: &str, kind: &str) -> Option<&Branch<V>> {
        self.0.get(scope)?.get(kind)
    }

    /// Sets or, with `None`, removes a value; emptied branches stay, they are few.
    pub(crate) fn set(&mut self, key: Key, value: Option<V>) {
        let branch = self.0.entry(key.scope).or_default().entry(key.kind).or_default();
        match value {
            Some(value) => drop(branch.insert(key.id, value)),
            None => drop(branch.remove(&key.id)),
        }
    }
}

impl<V> Default for Tree<V> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

/// All documents and claims at one revision.
#[derive(Debug, Default)]
pub(crate) struct View {
    pub(crate) revision: u64,
    pub(crate) documents: Tree<Arc<Entry>>,
    pub(crate) claims: Tree<Arc<str>>,
}

/// A document in the view: its text, and its decoded form once somebody asked for it.
#[derive(Debug)]
pub(crate) struct Entry {
    version: u64,
    revision: u64,
    schema: u32,
    body: Arc<str>,
    /// `Arc<Stored<T>>` of the type that read it first, or nothing where that could not.
    decoded: OnceLock<Option<Arc<dyn Any + Send + Sync>>>,
}

impl Entry {
    /// The entry of a written document; `None` for a deleted one.
    pub(crate) fn of(written: Written) -> Option<Arc<Self>> {
        let Written { version, schema, revision, body } = written;
        Some(Arc::new(Self { version, revision, schema, body: body?, decoded: OnceLock::new() }))
    }

    /// The document as `T`, decoded once; `None`, and a line in the log, where it is no `T`.
    pub(crate) fn read<T: Document>(&self, scope: &str, id: &str) -> Option<Arc<Stored<T>>> {
        let first =
            self.decoded.get_or_init(|| Some(self.decode::<T>(scope, id)? as Arc<dyn Any + Send + Sync>));
        match Arc::clone(first.as_ref()?).downcast() {
            Ok(stored) => Some(stored),
            // Another type reads the same kind: rare enough to decode each time.
            Err(_) => self.decode(scope, id),
        }
    }

    fn decode<T: Document>(&self, scope: &str, id: &str) -> Option<Arc<Stored<T>>> {
        match decode(self.schema, &self.body) {
            Ok(value) => {
                let (version, revision) = (self.version, self.revision);
                Some(Arc::new(Stored { id: id.to_owned(), version, revision, value }))
            }
            Err(reason) => {
                tracing::error!(
                    scope,
                    kind = T::KIND,
                    id,
                    version = self.version,
                    reason,
                    "a stored document is unreadable"
                );
                None
            }
        }
    }
}
