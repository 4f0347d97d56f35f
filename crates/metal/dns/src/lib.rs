//! Authoritative DNS and NTP for machines: pure cores and thin shells.
//!
//! [`Zones`] are built as a whole from what the region knows and swapped in at once ([`Server::set`]); a change
//! is visible to the next query. [`answer`] is the pure core. Names outside the zones are refused, or relayed to
//! forwarders for the networks that may use them. There are no zone transfers, no dynamic updates, no DNSSEC.
//!
//! [`ntp`] tells machines this server's time.
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)
)]

mod answer;
mod forward;
pub mod ntp;
mod server;
mod zones;

pub use answer::{Answer, Asker, MAX_UDP, Transport, answer};
pub use server::{BindError, PORT, Server, Sockets, bind};
pub use zones::{Builder, Data, ZoneError, Zones};
