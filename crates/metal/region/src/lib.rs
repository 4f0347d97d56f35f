//! The region: boot services, reconcilers that move machines, and their composition.
//!
//! [`run`] opens the store, starts every service on the configured network, and reconciles until it is told to
//! stop. It keeps nothing that is not in the store, so it may be killed and started again at any moment.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)
)]

mod bmcs;
pub mod config;
mod figures;
mod import;
mod leases;
mod names;
mod reconciler;
mod serve;

pub use config::Config;
pub use serve::{RegionError, run};
