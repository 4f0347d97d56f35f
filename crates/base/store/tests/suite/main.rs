//! The store from outside, on all its back ends.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]
#![allow(clippy::doc_markdown, reason = "PostgreSQL is a name, not code")]

mod behaviour;
mod crash;
mod full;
mod model;
mod support;
mod tls;
