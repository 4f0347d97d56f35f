//! What a group of batches comes to, decided without touching a database.
//!
//! A back end reads what the batches look at ([`interests`]), lets [`decide`] judge them in order, and writes the
//! result in one transaction. Batches that fail leave nothing behind; the others are as if they had come alone.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use jiff::Timestamp;

use crate::{
    Audit, CommitError, Touched,
    batch::{Batch, Key, Step},
};

/// What is in the database, as far as the batches at hand look at it.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub(crate) documents: HashMap<Key, Row>,
    pub(crate) claims: HashMap<Key, Arc<str>>,
}

/// A document's version, and whether it is there or only remembered as deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) version: u64,
    pub(crate) presence: Presence,
}

/// Whether a document is there. A deleted one keeps its version, so that one created again under the same id never
/// has a version that somebody read from the old one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    Alive,
    Deleted,
}

/// One batch that holds.
#[derive(Debug)]
pub(crate) struct Decided {
    pub(crate) audit: Audit,
    pub(crate) documents: BTreeMap<Key, Written>,
    pub(crate) claims: BTreeMap<Key, Option<Arc<str>>>,
}

/// A document's new row; no body: deleted.
#[derive(Debug, Clone)]
pub(crate) struct Written {
    pub(crate) version: u64,
    pub(crate) schema: u32,
    pub(crate) revision: u64,
    pub(crate) body: Option<Arc<str>>,
}

/// The keys of documents and of claims that the batches look at; with repetitions.
pub(crate) fn interests<'a>(batches: impl IntoIterator<Item = &'a Batch>) -> (Vec<&'a Key>, Vec<&'a Key>) {
    let (mut documents, mut claims) = (Vec::new(), Vec::new());
    for step in batches.into_iter().flat_map(|batch| &batch.steps) {
        match step {
            Step::Create { key, .. }
            | Step::Update { key, .. }
            | Step::Delete { key, .. }
            | Step::Expect { key, .. } => {
                documents.push(key);
            }
            Step::Claim { key, .. } | Step::Unclaim { key, .. } => claims.push(key),
        }
    }
    (documents, claims)
}

/// Judges batches in order; those that hold get the revisions after `revision`, one each.
pub(crate) fn decide<'a>(
    batches: impl IntoIterator<Item = &'a Batch>,
    mut known: Known,
    mut revision: u64,
    now: Timestamp,
) -> Vec<Result<Decided, CommitError>> {
    let mut judged = Vec::new();
    for batch in batches {
        let decided = judge(batch, &known, revision + 1, now);
        if let Ok(decided) = &decided {
            revision += 1;
            known.learn(decided);
        }
        judged.push(decided);
    }
    judged
}

fn judge(batch: &Batch, known: &Known, revision: u64, now: Timestamp) -> Result<Decided, CommitError> {
    if let Some(reason) = &batch.invalid {
        return Err(CommitError::Backend(reason.clone()));
    }
    let audit = Audit {
        revision,
        at: now,
        principal: batch.principal.clone(),
        action: batch.action.clone(),
        touched: Vec::new(),
    };
    let mut plan = Decided { audit, documents: BTreeMap::new(), claims: BTreeMap::new() };
    for step in &batch.steps {
        plan.take(step, known)?;
    }
    plan.audit.touched = plan.touched();
    Ok(plan)
}

impl Decided {
    fn take(&mut self, step: &Step, known: &Known) -> Result<(), CommitError> {
        match step {
            Step::Create { key, schema, body } => match self.row(key, known) {
                Some(Row { presence: Presence::Alive, .. }) => Err(conflict(key)),
                row => {
                    self.write(key, row.map_or(0, |row| row.version) + 1, *schema, Some(body));
                    Ok(())
                }
            },
            Step::Update { key, version, schema, body } => {
                self.still_at(key, *version, known)?;
                self.write(key, version + 1, *schema, Some(body));
                Ok(())
            }
            Step::Delete { key, version } => {
                self.still_at(key, *version, known)?;
                self.write(key, *version, 0, None);
                Ok(())
            }
            Step::Expect { key, version: 0 } => match self.row(key, known) {
                Some(Row { presence: Presence::Alive, .. }) => Err(conflict(key)),
                _ => Ok(()),
            },
            Step::Expect { key, version } => self.still_at(key, *version, known),
            Step::Claim { key, owner } => match self.holder(key, known) {
                Some(holder) if holder != owner => Err(CommitError::Taken {
                    namespace: key.kind.to_string(),
                    name: key.id.to_string(),
                    holder: holder.to_string(),
                }),
                Some(_) => Ok(()),
                None => {
                    self.claims.insert(key.clone(), Some(Arc::clone(owner)));
                    Ok(())
                }
            },
            Step::Unclaim { key, owner } => match self.holder(key, known) {
                Some(holder) if holder != owner => Err(conflict(key)),
                Some(_) => {
                    self.claims.insert(key.clone(), None);
                    Ok(())
                }
                None => Ok(()),
            },
        }
    }

    fn write(&mut self, key: &Key, version: u64, schema: u32, body: Option<&Arc<str>>) {
        let written = Written { version, schema, revision: self.audit.revision, body: body.cloned() };
        self.documents.insert(key.clone(), written);
    }

    fn still_at(&self, key: &Key, version: u64, known: &Known) -> Result<(), CommitError> {
        match self.row(key, known) {
            Some(row) if row == (Row { version, presence: Presence::Alive }) => Ok(()),
            _ => Err(conflict(key)),
        }
    }

    fn row(&self, key: &Key, known: &Known) -> Option<Row> {
        self.documents.get(key).map(Written::row).or_else(|| known.documents.get(key).copied())
    }

    fn holder<'a>(&'a self, key: &Key, known: &'a Known) -> Option<&'a Arc<str>> {
        match self.claims.get(key) {
            Some(own) => own.as_ref(),
            None => known.claims.get(key),
        }
    }

    fn touched(&self) -> Vec<Touched> {
        let documents = self.documents.iter().map(|(key, written)| Touched::Document {
            scope: Arc::clone(&key.scope),
            kind: Arc::clone(&key.kind),
            id: Arc::clone(&key.id),
            version: written.body.as_ref().map(|_| written.version),
        });
        let claims = self.claims.iter().map(|(key, owner)| Touched::Claim {
            scope: Arc::clone(&key.scope),
            namespace: Arc::clone(&key.kind),
            name: Arc::clone(&key.id),
            owner: owner.clone(),
        });
        documents.chain(claims).collect()
    }
}

impl Written {
    fn row(&self) -> Row {
        let presence = if self.body.is_some() { Presence::Alive } else { Presence::Deleted };
        Row { version: self.version, presence }
    }
}

impl Known {
    fn learn(&mut self, decided: &Decided) {
        self.documents.extend(decided.documents.iter().map(|(key, written)| (key.clone(), written.row())));
        for (key, owner) in &decided.claims {
            match owner {
                Some(owner) => drop(self.claims.insert(key.clone(), Arc::clone(owner))),
                None => drop(self.claims.remove(key)),
            }
        }
    }
}

fn conflict(key: &Key) -> CommitError {
    CommitError::Conflict { what: key.to_string() }
}
