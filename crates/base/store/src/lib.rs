//! Versioned documents: compare-and-swap, atomic batches with audit, claims, gap-free watch; SQLite and PostgreSQL.
//!
//! A document is JSON under `(scope, kind, id)` with a version of its own and a schema version. All writes go
//! through a [`Batch`], which is atomic and carries who did what. Reads come from an in-memory view.
//!
//! Every batch gets a store-wide revision. Revisions are assigned under the commit lock and count up by one, so the
//! log of batches is at once the audit and what a [`Watch`] replays. A new store starts at revision 1, so a revision
//! that was read is never the 0 that means "from now on".
//!
//! To follow a kind without missing anything: take [`Store::revision`], then [`Store::list`], then
//! [`Store::watch`] from that revision; what changed in between comes again, and nothing is left out. The log keeps
//! the last [100,000](Store::keep_log) batches: a watch that fell further behind says so, and its owner lists again.

#![allow(clippy::doc_markdown, reason = "SQLite and PostgreSQL are names, not code")]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)
)]

mod batch;
mod decide;
mod document;
mod log;
mod metrics;
mod postgres;
mod request;
mod shared;
mod sqlite;
mod store;
mod view;
mod watch;

pub use batch::{Batch, CommitError};
pub use document::{Document, Stored};
pub use log::{Audit, Touched};
pub use store::Store;
pub use watch::{Change, Watch, WatchEnd};
