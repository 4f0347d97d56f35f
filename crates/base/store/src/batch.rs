//! What a caller asks to be written.

use std::{fmt, sync::Arc};

use crate::Document;

/// A set of writes that happen together or not at all, in the order they were added.
#[derive(Debug, Clone)]
pub struct Batch {
    pub(crate) principal: String,
    pub(crate) action: String,
    pub(crate) steps: Vec<Step>,
    /// Why this batch can never be written; told by the commit.
    pub(crate) invalid: Option<String>,
}

/// One step of a batch.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Create { key: Key, schema: u32, body: Arc<str> },
    Update { key: Key, version: u64, schema: u32, body: Arc<str> },
    Delete { key: Key, version: u64 },
    Expect { key: Key, version: u64 },
    Claim { key: Key, owner: Arc<str> },
    Unclaim { key: Key, owner: Arc<str> },
}

/// Where a document or a claim is: `(scope, kind, id)`, for claims `(scope, namespace, name)`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) scope: Arc<str>,
    pub(crate) kind: Arc<str>,
    pub(crate) id: Arc<str>,
}

impl Key {
    pub(crate) fn new(scope: &str, kind: &str, id: &str) -> Self {
        Self { scope: scope.into(), kind: kind.into(), id: id.into() }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.scope, self.kind, self.id)
    }
}

/// Why a batch was not written.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// A document or claim was not as expected; read again and decide again.
    #[error("{what} changed meanwhile")]
    Conflict {
        /// Which, as `scope/kind/id`.
        what: String,
    },
    /// A claim is held by another.
    #[error("{namespace} {name} is already taken by {holder}")]
    Taken {
        /// Claim namespace.
        namespace: String,
        /// Claimed name.
        name: String,
        /// Who has it.
        holder: String,
    },
    /// The back end failed; nothing of the batch was acknowledged.
    #[error("the store could not write: {0}")]
    Backend(String),
}

impl Batch {
    /// A batch by `principal` (such as `user:admin` or `region:power`) for the reason `action` (such as `machine.deploy`).
    pub fn new(principal: impl Into<String>, action: impl Into<String>) -> Self {
        let (principal, action) = (principal.into(), action.into());
        let mut batch = Self { principal, action, steps: Vec::new(), invalid: None };
        let (principal, action) = (batch.principal.clone(), batch.action.clone());
        batch.check("principal", &principal);
        batch.check("action", &action);
        batch
    }

    /// Creates a document; conflict if it exists.
    #[must_use]
    pub fn create<T: Document>(mut self, scope: &str, id: &str, value: &T) -> Self {
        let key = self.key(scope, T::KIND, id);
        let body = self.body(&key, value);
        self.push(Step::Create { key, schema: T::SCHEMA, body })
    }

    /// Replaces a document that is still at `version`.
    #[must_use]
    pub fn update<T: Document>(mut self, scope: &str, id: &str, version: u64, value: &T) -> Self {
        let key = self.key(scope, T::KIND, id);
        let body = self.body(&key, value);
        self.push(Step::Update { key, version, schema: T::SCHEMA, body })
    }

    /// Deletes a document that is still at `version`.
    #[must_use]
    pub fn delete<T: Document>(mut self, scope: &str, id: &str, version: u64) -> Self {
        let key = self.key(scope, T::KIND, id);
        self.push(Step::Delete { key, version })
    }

    /// Claims a unique name (`namespace` such as `ip` or `hostname`) for `owner`; conflict if another owner has it,
    /// nothing if the same owner has it already.
    #[must_use]
    pub fn claim(mut self, scope: &str, namespace: &str, name: &str, owner: &str) -> Self {
        let key = self.key(scope, namespace, name);
        self.check("owner", owner);
        self.push(Step::Claim { key, owner: owner.into() })
    }

    /// Gives a claim back; conflict if another owner has it, nothing if nobody has.
    #[must_use]
    pub fn unclaim(mut self, scope: &str, namespace: &str, name: &str, owner: &str) -> Self {
        let key = self.key(scope, namespace, name);
        self.check("owner", owner);
        self.push(Step::Unclaim { key, owner: owner.into() })
    }

    /// Requires that a document is still at `version` (0: absent) without writing it.
    #[must_use]
    pub fn expect<T: Document>(mut self, scope: &str, id: &str, version: u64) -> Self {
        let key = self.key(scope, T::KIND, id);
        self.push(Step::Expect { key, version })
    }

    fn push(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    fn key(&mut self, scope: &str, kind: &str, id: &str) -> Key {
        for (what, text) in [("scope", scope), ("kind or namespace", kind), ("id or name", id)] {
            self.check(what, text);
        }
        Key::new(scope, kind, id)
    }

    fn body(&mut self, key: &Key, value: &impl serde::Serialize) -> Arc<str> {
        match serde_json::to_string(value) {
            Ok(body) => body.into(),
            Err(error) => {
                self.invalid.get_or_insert_with(|| format!("{key} cannot be written as JSON: {error}"));
                Arc::default()
            }
        }
    }

    /// PostgreSQL has no NUL in texts; so that both back ends keep the same, no text of ours may have one.
    fn check(&mut self, what: &str, text: &str) {
        if text.contains('\0') {
            self.invalid.get_or_insert_with(|| format!("the {what} {text:?} has a NUL character; remove it"));
        }
    }
}
