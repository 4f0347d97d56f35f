//! One call of the MAAS API: what was sent, by whom, and what is answered.
//!
//! What is behind an operation is a function from a [`Call`] to an [`Answer`]. A [`route::Resource`] is a row of the
//! table of routes: a path with its operations. What every handler needs is here: parameters in each form that MAAS's
//! clients send ([`params`]), refusals in MAAS's words with its codes ([`reply`]), changes that are decided again
//! where somebody else was faster ([`edit`]).

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)
)]

mod call;
pub mod edit;
pub mod machine;
pub mod params;
pub mod reply;
pub mod route;

pub use call::{Call, Caller, ConsoleLines, PowerControl, Settings, State, bytes, is_true, mac, words};
pub use params::Params;
pub use reply::{Answer, ApiError, Faults, Reply};
