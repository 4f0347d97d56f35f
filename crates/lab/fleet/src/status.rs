//! What a fleet tells about itself.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use bmc::PowerState;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::durations::Durations;
use crate::life::Phase;
use crate::vendor::Vendor;

/// What a fleet says once it is up: one line of JSON on standard output.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ready {
    /// Where the admin API listens.
    pub admin: SocketAddr,
    /// `[[bmc]]` tables for a region's configuration: every machine's.
    pub bmcs: PathBuf,
    /// Certificate of the BMCs' authority, PEM.
    pub ca: PathBuf,
    /// The interface that the region is to serve.
    pub interface: String,
}

/// A machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MachineStatus {
    /// Its name.
    pub name: String,
    /// Who built it.
    pub vendor: Vendor,
    /// MAC address of the port that boots.
    pub mac: String,
    /// SMBIOS UUID.
    pub uuid: Uuid,
    /// Serial number.
    pub serial: String,
    /// URL of its BMC.
    pub bmc: String,
    /// Whether it is on, in truth.
    pub power: PowerState,
    /// Where it is in its life.
    pub phase: Phase,
    /// For how long.
    pub seconds: f64,
    /// Its address.
    pub address: Option<Ipv4Addr>,
    /// Whether a system is on its disk.
    pub installed: bool,
}

/// What a fleet has done until now.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Counts {
    /// How many machines there are.
    pub machines: u32,
    /// How many of them are on.
    pub on: u64,
    /// How many are in each phase.
    pub phases: BTreeMap<Phase, u64>,
    /// How long phases took that are over.
    pub times: BTreeMap<Phase, PhaseTimes>,
    /// DHCP packets sent.
    pub dhcp_sent: u64,
    /// DHCP packets received.
    pub dhcp_received: u64,
    /// HTTP requests of machines.
    pub requests: u64,
    /// Those that no answer came to.
    pub unanswered: u64,
    /// Bytes of the answers' bodies.
    pub bytes: u64,
    /// Requests of BMCs.
    pub bmc_requests: u64,
}

/// How long a phase took, in seconds.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct PhaseTimes {
    /// How often it is over.
    pub count: u64,
    /// Mean.
    pub mean: f64,
    /// What half of them did not exceed.
    pub p50: f64,
    /// What 95 in a hundred did not exceed.
    pub p95: f64,
    /// The longest.
    pub longest: f64,
}

impl PhaseTimes {
    pub(crate) fn of(times: &Durations) -> Self {
        Self {
            count: times.count(),
            mean: times.mean().as_secs_f64(),
            p50: times.percentile(50).as_secs_f64(),
            p95: times.percentile(95).as_secs_f64(),
            longest: times.longest().as_secs_f64(),
        }
    }
}
