//! Machine states and their legal moves, as MAAS has them; pure.
//!
//! [`Status`] names the states by MAAS's numbers and labels, [`Status::may_become`] is its table of moves, and
//! [`plan`](plan::plan) names the one next step of a machine that is under way. Nothing here does anything: the
//! region's reconciler takes a step, records what came of it in the machine's [`Flow`](flow::Flow), and asks
//! again. (MAAS: machine life cycle, <https://canonical.com/maas/docs/machine-life-cycle>.)

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)
)]

pub mod flow;
pub mod plan;
mod status;

pub use flow::{Flow, Signal};
pub use plan::{Observed, Power, Step, plan};
pub use status::{IllegalMove, Status};
