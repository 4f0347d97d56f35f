//! Machine states and their legal moves, as MAAS has them; pure.
//!
//! [`Status`] names the states as clients do, [`Moves`] is MAAS's table of moves between them, and
//! [`plan`](plan::plan) names the one next step of a machine that is under way. Nothing here does anything: the
//! region's reconciler takes a step, records what came of it in the machine's [`Flow`], and asks again. (MAAS:
//! machine life cycle, <https://canonical.com/maas/docs/machine-life-cycle>.)

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)
)]

pub mod flow;
mod moves;
pub mod plan;

pub use flow::{Flow, Signal};
pub use machine_status::Status;
pub use moves::{IllegalMove, Moves, after_test};
pub use plan::{Observed, Power, Step, plan};
