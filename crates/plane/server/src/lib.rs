//! A plane: `/v1`, the tunnel's edge, and what reconciles, on one port.
//!
//! The port tells gateways from HTTPS clients by the protocol name in their TLS greeting. Without a certificate of its
//! own choosing, a plane shows one of its own authority, and writes that authority to `ca.crt` in its data folder.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)
)]

mod config;
mod port;
mod serve;

pub use config::{Admin, Config, ConfigError, Mode, Tls};
pub use serve::{PlaneError, SystemGateway, restored, run};
