//! A node that is not managed.

use std::{collections::BTreeMap, net::Ipv4Addr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use store::{Document, Store};

use crate::{Lease, Nic, SCOPE};

/// A node that is known by its MAC addresses and gets a name, and is otherwise left alone; id: its six-character
/// system id. MAC addresses, name and addresses are claimed as machines' are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Device {
    /// Name without domain, unique among machines and devices.
    pub hostname: String,
    /// For people.
    pub description: String,
    /// The domain's number.
    pub domain: u64,
    /// The zone's name.
    pub zone: String,
    /// Who has it: whoever made it.
    pub owner: Option<String>,
    /// System id of the machine that it is a part of.
    pub parent: Option<String>,
    /// Names of its tags.
    pub tags: Vec<String>,
    /// Free key-value pairs of the owner.
    pub owner_data: BTreeMap<String, String>,
    /// Free key-value pairs that workloads set.
    pub workload_annotations: BTreeMap<String, String>,
    /// NICs.
    pub nics: Vec<Nic>,
    /// When it was made.
    pub created: Timestamp,
    /// When the document last changed.
    pub updated: Timestamp,
}

impl Document for Device {
    const KIND: &'static str = "device";
}

impl Device {
    /// The device with this MAC address (lower case with colons), and its id.
    pub fn by_mac(store: &Store, mac: &str) -> Option<std::sync::Arc<store::Stored<Self>>> {
        store.get(SCOPE, &store.holder(SCOPE, "mac", mac)?)
    }

    /// Addresses that it has now: those of its links, else what DHCP gave it.
    pub fn addresses(&self, store: &Store) -> Vec<Ipv4Addr> {
        let own: Vec<Ipv4Addr> =
            self.nics.iter().flat_map(|nic| &nic.links).filter_map(|link| link.ip).collect();
        if !own.is_empty() {
            return own;
        }
        let now = Timestamp::now();
        let mine = |lease: &Lease| self.nics.iter().any(|nic| nic.mac == lease.mac);
        let leases = store.list::<Lease>(SCOPE);
        let held = leases.iter().map(|lease| &lease.value);
        held.filter(|lease| lease.state == "bound" && lease.expires > now && mine(lease))
            .map(|lease| lease.ip)
            .collect()
    }

    /// The highest number of its NICs and their links.
    pub(crate) fn highest_number(&self) -> u64 {
        let links = self.nics.iter().flat_map(|nic| &nic.links).map(|link| link.number);
        links.chain(self.nics.iter().map(|nic| nic.number)).max().unwrap_or(0)
    }
}
