//! The Cluster API provider for MAAS: controllers and webhooks.
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)
)]

pub mod cluster;
pub mod conditions;
pub mod fit;
pub mod image;
pub mod machine;
mod trouble;

pub use trouble::{Fate, Trouble};
