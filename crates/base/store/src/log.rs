//! The log of batches: audit for people, replay for watchers.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{batch::Key, watch::Change};

/// How many batches a log keeps, unless [`Store::keep_log`](crate::Store::keep_log) says otherwise; some 30 MB.
pub(crate) const KEPT: u64 = 100_000;

/// How many more may pile up before they go together.
const SLACK: u64 = 256;

/// One batch as it was written: who, when, why, and what it touched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    /// Revision of the batch.
    pub revision: u64,
    /// When it was written, by the clock of the writer.
    pub at: Timestamp,
    /// Who wrote it.
    pub principal: String,
    /// What for.
    pub action: String,
    /// What it changed; bodies are not kept.
    pub touched: Vec<Touched>,
}

/// Something a batch changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Touched {
    /// A document.
    Document {
        /// Scope.
        scope: Arc<str>,
        /// Kind.
        kind: Arc<str>,
        /// Id.
        id: Arc<str>,
        /// Version after the batch; `None`: deleted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<u64>,
    },
    /// A claim.
    Claim {
        /// Scope.
        scope: Arc<str>,
        /// Namespace.
        namespace: Arc<str>,
        /// Name.
        name: Arc<str>,
        /// Owner after the batch; `None`: given back.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        owner: Option<Arc<str>>,
    },
}

/// Which part of the log is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Range {
    /// At most `limit` batches after a revision, oldest first.
    After { revision: u64, limit: u32 },
    /// The last so many, newest first.
    Last(u32),
}

/// The revision up to which a log from `first` to `last` is forgotten, where `keep` batches stay; `None`: not yet.
pub(crate) fn surplus(first: u64, last: u64, keep: u64) -> Option<u64> {
    // The last one always stays: it tells the revision.
    let keep = keep.max(1);
    (last + 1 - first > keep + SLACK.min(keep / 8)).then(|| last - keep)
}

impl Audit {
    /// What a new store begins with; see the crate's page on why it is not empty.
    pub(crate) fn creation(now: Timestamp) -> Self {
        Self {
            revision: 1,
            at: now,
            principal: "store".to_owned(),
            action: "store.create".to_owned(),
            touched: Vec::new(),
        }
    }

    pub(crate) fn changes(&self) -> impl Iterator<Item = Change> {
        self.touched.iter().filter_map(|touched| match touched {
            Touched::Document { scope, kind, id, version } => Some(Change {
                revision: self.revision,
                scope: Arc::clone(scope),
                kind: Arc::clone(kind),
                id: Arc::clone(id),
                version: *version,
            }),
            Touched::Claim { .. } => None,
        })
    }

    pub(crate) fn document_keys(&self) -> impl Iterator<Item = Key> {
        self.changes().map(|change| Key { scope: change.scope, kind: change.kind, id: change.id })
    }

    /// The claims that changed, each with its owner afterwards.
    pub(crate) fn claims(&self) -> impl Iterator<Item = (Key, Option<Arc<str>>)> {
        self.touched.iter().filter_map(|touched| match touched {
            Touched::Claim { scope, namespace, name, owner } => {
                let key = Key { scope: Arc::clone(scope), kind: Arc::clone(namespace), id: Arc::clone(name) };
                Some((key, owner.clone()))
            }
            Touched::Document { .. } => None,
        })
    }
}
