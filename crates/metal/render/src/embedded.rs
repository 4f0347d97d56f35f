//! What machines embed, rendered once for many machines.

use std::collections::HashMap;

use model::{Domain, Pool, SCOPE, Zone};
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
    subnets: HashMap<u64, (Option<String>, Text)>,
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
                    let gateway = subnet.gateway.map(|ip| ip.to_string());
                    (subnet.number, (gateway, text(networks.subnet(subnet.number))))
                })
                .collect(),
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
        self.subnets.get(&number)?.1.as_deref()
    }

    pub(crate) fn gateway(&self, number: u64) -> Option<&str> {
        self.subnets.get(&number)?.0.as_deref()
    }
}

/// A value as text. What is rendered here has texts for keys and no numbers but finite ones, so this does not fail.
fn text(value: impl Serialize) -> Text {
    to_raw_value(&value).ok()
}
