//! What machines embed: zones, pools, domains, VLANs and subnets, rendered once for many machines.

use std::collections::HashMap;

use model::{DnsResource, Domain, Fabric, Pool, SCOPE, Space, Subnet, Vlan, Zone};
use serde_json::{Value, json};
use store::{Document, Store};

use super::network::{CONTROLLER, UNDEFINED};

/// Rendered objects by number (zones by name).
#[derive(Debug, Default)]
pub struct Embedded {
    zones: HashMap<String, Value>,
    pools: HashMap<u64, Value>,
    domains: HashMap<u64, (String, Value)>,
    vlans: HashMap<u64, Value>,
    subnets: HashMap<u64, (Option<String>, Value)>,
}

/// Changes whenever something that machines embed does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fingerprint([(usize, u64); 8]);

impl Fingerprint {
    /// The present one.
    pub fn of(store: &Store) -> Self {
        Self([
            mark::<Zone>(store),
            mark::<Pool>(store),
            mark::<Domain>(store),
            mark::<DnsResource>(store),
            mark::<Fabric>(store),
            mark::<Space>(store),
            mark::<Vlan>(store),
            mark::<Subnet>(store),
        ])
    }
}

/// How many there are and when one was last written: every create, update and delete changes one of the two.
fn mark<T: Document>(store: &Store) -> (usize, u64) {
    let all = store.list::<T>(SCOPE);
    (all.len(), all.iter().map(|one| one.revision).max().unwrap_or(0))
}

impl Embedded {
    /// Renders what `store` has.
    pub fn of(store: &Store) -> Self {
        let fabrics = named(store, |fabric: &Fabric| (fabric.number, fabric.name.clone()));
        let spaces = named(store, |space: &Space| (space.number, space.name.clone()));
        let vlans: HashMap<u64, Value> = store
            .list::<Vlan>(SCOPE)
            .iter()
            .map(|stored| (stored.value.number, vlan(&stored.value, &fabrics, &spaces)))
            .collect();
        let names = store.list::<DnsResource>(SCOPE);
        let records = |domain: u64| {
            let inside = names.iter().map(|name| &name.value).filter(|name| name.domain == domain);
            inside.map(|name| name.addresses.len() + name.records.len()).sum()
        };
        Self {
            zones: store.list::<Zone>(SCOPE).iter().map(|z| (z.id.clone(), zone(&z.id, &z.value))).collect(),
            pools: store.list::<Pool>(SCOPE).iter().map(|p| (p.value.number, pool(&p.value))).collect(),
            domains: store
                .list::<Domain>(SCOPE)
                .iter()
                .map(|d| (d.value.number, (d.value.name.clone(), domain(&d.value, records(d.value.number)))))
                .collect(),
            subnets: store
                .list::<Subnet>(SCOPE)
                .iter()
                .map(|s| {
                    let gateway = s.value.gateway.map(|ip| ip.to_string());
                    (s.value.number, (gateway, subnet(&s.value, vlans.get(&s.value.vlan))))
                })
                .collect(),
            vlans,
        }
    }

    /// A zone by name.
    pub fn zone(&self, name: &str) -> Value {
        self.zones.get(name).cloned().unwrap_or_default()
    }

    /// A pool by number.
    pub fn pool(&self, number: u64) -> Value {
        self.pools.get(&number).cloned().unwrap_or_default()
    }

    /// A domain by number, with its name; `maas` where it is gone.
    pub fn domain(&self, number: u64) -> (String, Value) {
        self.domains.get(&number).cloned().unwrap_or_else(|| ("maas".to_owned(), Value::Null))
    }

    /// A VLAN by number.
    pub fn vlan(&self, number: Option<u64>) -> Value {
        number.and_then(|number| self.vlans.get(&number)).cloned().unwrap_or_default()
    }

    /// A subnet by number.
    pub fn subnet(&self, number: u64) -> Option<&Value> {
        self.subnets.get(&number).map(|(_, value)| value)
    }

    /// A subnet's gateway.
    pub fn gateway(&self, number: u64) -> Option<&str> {
        self.subnets.get(&number)?.0.as_deref()
    }
}

/// A zone by name.
pub fn zone(name: &str, zone: &Zone) -> Value {
    json!({
        "id": zone.number, "name": name, "description": zone.description,
        "resource_uri": format!("/MAAS/api/2.0/zones/{name}/"),
    })
}

/// A pool.
pub fn pool(pool: &Pool) -> Value {
    json!({
        "id": pool.number, "name": pool.name, "description": pool.description,
        "resource_uri": format!("/MAAS/api/2.0/resourcepool/{}/", pool.number),
    })
}

/// A domain with the number of records that users made in it.
pub fn domain(domain: &Domain, records: usize) -> Value {
    json!({
        "id": domain.number, "name": domain.name, "authoritative": domain.authoritative, "ttl": domain.ttl,
        "is_default": domain.number == 0, "resource_record_count": records,
        "resource_uri": format!("/MAAS/api/2.0/domains/{}/", domain.number),
    })
}

fn named<T: Document>(store: &Store, of: impl Fn(&T) -> (u64, String)) -> HashMap<u64, String> {
    store.list::<T>(SCOPE).iter().map(|stored| of(&stored.value)).collect()
}

fn vlan(vlan: &Vlan, fabrics: &HashMap<u64, String>, spaces: &HashMap<u64, String>) -> Value {
    let space = vlan.space.and_then(|number| spaces.get(&number)).map_or(UNDEFINED, String::as_str);
    json!({
        "id": vlan.number, "name": vlan.name, "vid": vlan.vid, "mtu": vlan.mtu, "dhcp_on": vlan.dhcp_on,
        "fabric": fabrics.get(&vlan.fabric), "fabric_id": vlan.fabric, "space": space,
        "external_dhcp": null, "primary_rack": vlan.dhcp_on.then_some(CONTROLLER), "secondary_rack": null,
        "relay_vlan": null, "resource_uri": format!("/MAAS/api/2.0/vlans/{}/", vlan.number),
    })
}

fn subnet(subnet: &Subnet, vlan: Option<&Value>) -> Value {
    let space = vlan.and_then(|vlan| vlan.get("space")).cloned().unwrap_or_else(|| json!(UNDEFINED));
    json!({
        "id": subnet.number, "name": subnet.name, "description": subnet.description,
        "cidr": subnet.cidr, "vlan": vlan, "space": space, "gateway_ip": subnet.gateway,
        "dns_servers": subnet.dns_servers, "rdns_mode": 2, "active_discovery": false,
        "allow_dns": subnet.allow_dns, "allow_proxy": true, "managed": subnet.managed,
        "disabled_boot_architectures": [],
        "resource_uri": format!("/MAAS/api/2.0/subnets/{}/", subnet.number),
    })
}
