//! What cloud-init and the agent fetch and signal.
//!
//! Two services over the same machines: [`agent`] speaks `agent-protocol` with the ephemeral system, and
//! [`cloud_init`] is MAAS's metadata service as cloud-init's MAAS data source reads it. Both only record what they
//! saw; the region's reconciler moves the state.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)
)]

pub mod agent;
pub mod cloud_init;
mod node_auth;
mod task;

pub use agent::Agents;
pub use cloud_init::CloudInit;
pub use task::SystemFile;
