//! A fleet and a whole region, each in its own network, joined by one cable.
//!
//! Wants root and `ip`; says so and passes where they are missing. Each test starts itself again in a network
//! namespace that goes with it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod faults;
mod life;
mod site;
