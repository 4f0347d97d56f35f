//! Boot configurations, and the HTTP service that firmware reads.
//!
//! Firmware (iPXE) fetches `/ipxe.cfg`, which chains to `/ipxe.cfg-<mac>`: the [`script`] of that machine by its
//! state. A script that loads the ephemeral system carries the token of a new [`BootAttempt`], bound to the
//! address that asked; kernel, initrd and images are served under that token only.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)
)]

pub mod script;
mod service;

pub use service::{Boot, mac_of};
