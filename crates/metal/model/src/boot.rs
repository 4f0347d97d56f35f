//! Boot attempts: what binds a machine that fetches something to a boot that we started or saw start.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use store::Document;

/// The latest boot over the network of one interface; id: its MAC address, lower case with colons.
///
/// Made when firmware fetches its boot configuration. The token goes to the machine on the kernel command line;
/// the claim `boot_token` leads from it to this document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BootAttempt {
    /// What the machine shows with every request: 32 random bytes, hex.
    pub token: String,
    /// Address it asked from: only that one may use the token.
    pub address: std::net::IpAddr,
    /// The machine, once it is known.
    pub system_id: Option<String>,
    /// What it was told to boot.
    pub purpose: Purpose,
    /// When.
    pub started: Timestamp,
}

impl Document for BootAttempt {
    const KIND: &'static str = "boot_attempt";
}

/// What a machine is told to boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Nobody knows it yet: the ephemeral system says hello.
    Enlist,
    /// The ephemeral system asks for its task.
    Ephemeral,
    /// Its own disk.
    Local,
    /// Nothing to do: the ephemeral system switches it off.
    PowerOff,
}
