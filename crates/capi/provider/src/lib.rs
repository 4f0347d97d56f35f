//! The Cluster API provider for MAAS: controllers and webhooks.
//!
//! Two pure cores say what to do next: [`machine::plan`] with a machine, [`cluster::plan`] with an API server's name.
//! The controllers read the objects and what MAAS says anew before every step, never from a cache: only metadata are
//! watched. [`run`] is the whole as a process, [`manifests`] what a management cluster needs for it.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)
)]

pub mod cluster;
pub mod conditions;
pub mod fit;
pub mod image;
mod install;
pub mod machine;
mod run;
mod shell;
mod trouble;
mod webhook;

pub use install::{Reach, cluster_role, manifests, webhook_configurations};
pub use run::{Options, RunError, Webhooks, connect, run};
pub use shell::CREDENTIALS;
pub use trouble::{Fate, Trouble};
pub use webhook::{TlsError, router as webhook_router};
