//! Reconciling: work queue, outcomes, back-off, deadlines, timelines.
//!
//! A reconciler takes a key from a [`Queue`], decides one step, takes it, and answers an [`Outcome`] that is stored
//! and shown. What has happened so far is a [`Timeline`]. Nothing here reads a clock except the queue.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)
)]

mod backoff;
mod outcome;
mod queue;
mod timeline;

pub use backoff::Backoff;
pub use outcome::Outcome;
pub use queue::{Queue, Work};
pub use timeline::{Entry, PhaseOutcome, Timeline};
