//! DHCP for IPv4 (RFC 2131, 2132) for machines: a pure core and a thin shell.
//!
//! The core reads a [`Message`], looks at the [`Config`], the known hosts ([`Directory`]) and the [`Leases`],
//! and names one [`Decision`]; [`reply`] turns it into the answer. Nothing in it does IO or reads a clock. The
//! shell, [`Service`], makes a lease durable through a [`Journal`] before the machine hears of it.
//!
//! Machines are told apart by MAC address only. Firmware, iPXE, the ephemeral system and the installed one
//! send different client identifiers and must all get the same address.
//!
//! | the client | gets |
//! |---|---|
//! | a MAC with a fixed address on this subnet | that address |
//! | any other MAC | an address of the subnet's dynamic range, its old one if it can |
//! | iPXE (user class, or option 175) | `{boot_url}/ipxe.cfg` |
//! | BIOS (option 93 = 0, or none) | `undionly.kpxe` by TFTP |
//! | x64 UEFI (7, 9) | `ipxe.efi` by TFTP |
//! | x64 UEFI HTTP boot (16) | `{boot_url}/ipxe.efi` and option 60 `HTTPClient` |
//! | other architectures | an address, no boot file |
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)
)]

mod boot;
mod config;
mod decide;
mod lease;
mod mac;
mod message;
mod options;
mod reply;
mod service;
pub mod snippet;
mod socket;

pub use config::{Config, Directory, Host, Range, Subnet};
pub use decide::{DECLINE_HOLD, Decision, Ignored, OFFER_HOLD, Refusal, decide};
pub use lease::{Lease, LeaseState, Leases, NoAddress};
pub use mac::{Mac, MacError};
pub use message::{Message, MessageType, Op, ParseError};
pub use options::{Options, code};
pub use reply::{destination, reply};
pub use service::{Events, Journal, Service};
pub use socket::{BindError, CLIENT_PORT, SERVER_PORT, bind};
