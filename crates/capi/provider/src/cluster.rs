//! One name for one `MaasCluster`: what to do next, decided without doing it.
//!
//! The API server's name is a record of MAAS's DNS. Its addresses are those of the control planes that answer; see
//! [`addresses`], which never empties a record that has any. The record goes with the cluster, after its machines.

mod change;
mod plan;
mod record;

pub use change::Change;
pub use plan::{Plan, Step, fqdn, is_left_alone, is_paused, name, plan, port, status};
pub use record::{ControlPlane, addresses, control_planes};

use capi_types::{MaasCluster, MaasMachine, core::Cluster};

use crate::Trouble;

/// What is known when a decision is made.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The object as it is stored now.
    pub object: MaasCluster,
    /// The Cluster that owns it.
    pub owner: Option<Cluster>,
    /// Every machine of the cluster, also those that are being deleted.
    pub machines: Vec<MaasMachine>,
    /// What MAAS says of the cluster's name.
    pub dns: Look,
    /// Addresses whose API server answered `/readyz` just now.
    pub answering: Vec<String>,
}

/// What MAAS says of the cluster's name.
#[derive(Debug, Clone)]
pub enum Look {
    /// There is no name to ask for, or it is not MAAS's.
    NotAsked,
    /// It could not be asked, or did not answer well.
    Failed(Trouble),
    /// Its records of that name.
    Told(Vec<Record>),
}

/// A record of MAAS's DNS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// MAAS's number.
    pub id: i64,
    /// Its addresses.
    pub addresses: Vec<String>,
}
