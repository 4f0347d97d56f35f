//! What a lab tells about itself.

use std::net::SocketAddr;
use std::path::PathBuf;

use bmc::PowerState;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Kind;

/// A running lab.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Status {
    /// Its name.
    pub name: String,
    /// Its process.
    pub pid: u32,
    /// Network namespace of the site (`ip netns exec NAME …`).
    pub netns: String,
    /// Certificate of the BMCs' authority, PEM.
    pub ca: PathBuf,
    /// The machines.
    pub machines: Vec<MachineStatus>,
    /// Ports on loopback that lead into site and cloud.
    pub forwards: Vec<Forward>,
    /// The programs that it runs.
    pub programs: Vec<ProgramStatus>,
}

/// A machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MachineStatus {
    /// Its name.
    pub name: String,
    /// What it is made of.
    pub kind: Kind,
    /// MAC address of its interface.
    pub mac: String,
    /// SMBIOS UUID.
    pub uuid: Uuid,
    /// Whether it is on.
    pub power: PowerState,
    /// What its serial console said.
    pub console_log: PathBuf,
    /// Its disk.
    pub disk: PathBuf,
    /// URL of its BMC, inside the site.
    pub bmc: String,
    /// Its SSH, on loopback.
    pub ssh: SocketAddr,
}

/// A loopback port that leads into site or cloud.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Forward {
    /// Its name in the lab's options.
    pub name: String,
    /// On this host.
    pub listen: SocketAddr,
    /// There: a machine's name or the place's own address, and the port.
    pub target: String,
}

/// A program that a lab runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProgramStatus {
    /// Its name.
    pub name: String,
    /// Process that holds it; `None` while it waits to be started again.
    pub keeper_pid: Option<u32>,
    /// How often it was started.
    pub starts: u32,
    /// What it printed.
    pub log: PathBuf,
}

/// The network cable of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cable {
    /// In the site's bridge.
    #[default]
    Plugged,
    /// Nothing that the machine sends arrives.
    Pulled,
}

/// A finger on a machine's power button.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PowerAction {
    /// Switch on.
    On,
    /// Cut the power.
    Off,
    /// Cut the power and switch on again.
    Cycle,
}
