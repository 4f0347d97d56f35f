//! A gateway towards its plane: pairing, the link, and what it answers.
//!
//! The gateway keeps four things in its folder: its key, what pairing gave it, the key that secrets for the site are
//! sealed to, and how often it started. No MAAS key is among them: the plane sends those along, sealed, and only this
//! gateway opens them.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)
)]

mod clusters;
mod commands;
mod doctor;
mod home;
mod maas;
mod plane;
mod probe;
mod run;
mod status;

pub use clusters::{Clusters, Engine};
pub use commands::router;
pub use doctor::{Finding, Verdict, doctor};
pub use home::{Home, HomeError};
pub use plane::{Plane, PlaneAddress, PlaneAddressError};
pub use run::{PairError, RunError, pair, run};
pub use status::{Status, status};

/// This program, as planes see it.
pub const SOFTWARE: &str = concat!("bessemer ", env!("CARGO_PKG_VERSION"));
