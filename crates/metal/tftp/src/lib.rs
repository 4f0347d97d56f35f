//! TFTP, read-only (RFC 1350, 2347-2349, 7440): a pure core and a thin shell.
//!
//! [`Transfer`] is one file on its way to one client: packets and the time go in, packets come out. [`Service`]
//! gives each transfer a socket of its own and asks [`Files`] for the content.
//!
//! Limits that are ours: blocks of at most 1468 bytes, which fit an Ethernet frame; windows of at most 64
//! blocks. Every file is sent as it is: mode `netascii` is treated as `octet`. Writing is refused.
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)
)]

mod packet;
mod service;
mod transfer;

pub use packet::{ErrorCode, MAX_BLOCK_SIZE, MAX_WINDOW, Packet, ParseError, Request, Tunables};
pub use service::{BindError, Files, Outcome, PORT, Service, bind};
pub use transfer::{Ended, TRIES, Transfer};
