//! What machines embed, rendered once for many machines.

use std::{collections::HashMap, net::Ipv4Addr};

use ipnet::Ipv4Net;
use jiff::Timestamp;
use model::{Domain, Gateway, Lease, Nic, Pool, SCOPE, Zone};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use store::Store;

use crate::network::{self, Networks};

/// A JSON text; `None` would be `null`.
type Text = Option<Box<RawValue>>;

/// Zones, pools, domains, VLANs and subnets as texts, by number (zones by name).
#[derive(Debug)]
pub struct Embedded {
    zones: HashMap<String, Text>,
    pools: HashMap<u64, Text>,
    domains: HashMap<u64, (String, Text)>,
    vlans: HashMap<u64, (u16, Text)>,
    subnets: HashMap<u64, Net>,
    /// Addresses that DHCP gave and that still count, by MAC address.
    leases: HashMap<String, Vec<Ipv4Addr>>,
}

#[derive(Debug)]
struct Net {
    cidr: Ipv4Net,
    gateway: Option<Gateway>,
    text: Text,
}

impl Embedded {
    /// What `store` has.
    pub fn of(store: &Store) -> Self {
        let networks = Networks::of(store);
        let records = network::records(store);
        let records = |domain: &Domain| records.get(&domain.number).copied().unwrap_or(0);
        let zones = store.list::<Zone>(SCOPE);
        let pools = store.list::<Pool>(SCOPE);
        let domains = store.list::<Domain>(SCOPE);
        Self {
            zones: zones
                .iter()
                .map(|zone| (zone.id.clone(), text(network::zone(&zone.id, &zone.value))))
                .collect(),
            pools: pools.iter().map(|pool| (pool.value.number, text(network::pool(&pool.value)))).collect(),
            domains: domains
                .iter()
                .map(|stored| &stored.value)
                .map(|domain| {
                    let shown = text(network::domain_with(domain, records(domain)));
                    (domain.number, (domain.name.clone(), shown))
                })
                .collect(),
            vlans: networks
                .vlans()
                .map(|vlan| (vlan.number, (vlan.mtu, text(networks.vlan(vlan.number)))))
                .collect(),
            subnets: networks
                .subnets()
                .map(|subnet| {
                    let gateway = subnet.gateway.map(|ip| Gateway { ip, managed: subnet.managed });
                    let text = text(networks.subnet(subnet.number));
                    (subnet.number, Net { cidr: subnet.cidr, gateway, text })
                })
                .collect(),
            leases: leases(store),
        }
    }

    pub(crate) fn zone(&self, name: &str) -> Option<&RawValue> {
        self.zones.get(name)?.as_deref()
    }

    pub(crate) fn pool(&self, number: u64) -> Option<&RawValue> {
        self.pools.get(&number)?.as_deref()
    }

    /// Name and text; `maas` where the domain is gone.
    pub(crate) fn domain(&self, number: u64) -> (&str, Option<&RawValue>) {
        self.domains.get(&number).map_or((network::NO_DOMAIN, None), |(name, text)| (name, text.as_deref()))
    }

    /// MTU and text.
    pub(crate) fn vlan(&self, number: u64) -> Option<(u16, &RawValue)> {
        let (mtu, text) = self.vlans.get(&number)?;
        Some((*mtu, text.as_deref()?))
    }

    pub(crate) fn subnet(&self, number: u64) -> Option<&RawValue> {
        self.subnets.get(&number)?.text.as_deref()
    }

    pub(crate) fn gateway(&self, number: u64) -> Option<Gateway> {
        self.subnets.get(&number)?.gateway
    }

    /// Addresses that an interface has by DHCP and not by a link, with their subnets.
    pub(crate) fn discovered<'e>(
        &'e self,
        nic: &'e Nic,
    ) -> impl Iterator<Item = (Ipv4Addr, u64)> + Clone + use<'e> {
        let leased = self.leases.get(&nic.mac).into_iter().flatten().copied();
        let seen =
            leased.filter(|ip| nic.is_physical() && !nic.links.iter().any(|link| link.ip == Some(*ip)));
        seen.filter_map(|ip| {
            let subnet = self.subnets.iter().find(|(_, net)| net.cidr.contains(&ip))?;
            Some((ip, *subnet.0))
        })
    }
}

fn leases(store: &Store) -> HashMap<String, Vec<Ipv4Addr>> {
    let (mut leases, now): (HashMap<String, Vec<Ipv4Addr>>, _) = (HashMap::new(), Timestamp::now());
    for lease in store.list::<Lease>(SCOPE) {
        let lease = &lease.value;
        if lease.state == "bound" && lease.expires > now {
            leases.entry(lease.mac.clone()).or_default().push(lease.ip);
        }
    }
    leases
}

/// A value as text. What is rendered here has texts for keys and no numbers but finite ones, so this does not fail.
fn text(value: impl Serialize) -> Text {
    to_raw_value(&value).ok()
}
