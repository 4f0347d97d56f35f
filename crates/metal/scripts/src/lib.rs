//! Scripts that machines run in the ephemeral system, as MAAS has them; pure.
//!
//! A [`Script`] is what an administrator keeps in the region, with what its [`metadata`] comment says of it.
//! [`run::expand`] makes of it what one machine is to run: a script that wants a disk runs once for each.
//! [`outcome::judge`] reads what came of it. [`built_in`] has those that the agent carries itself. (MAAS: commissioning,
//! testing and release scripts, <https://canonical.com/maas/docs/reference-commissioning-scripts>.)

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)
)]

mod built_in;
pub mod kind;
pub mod metadata;
pub mod outcome;
pub mod run;
mod script;

pub use built_in::{INVENTORY, built_in};
pub use kind::{Hardware, Kind, Parallel};
pub use outcome::Outcome;
pub use run::{Run, Target};
pub use script::{LARGEST, Revision, Script};
