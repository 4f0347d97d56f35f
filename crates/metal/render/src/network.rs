//! Networks and groups as clients see them.

use std::{collections::HashMap, sync::Arc};

use jiff::Timestamp;
use model::{
    DnsResource, Domain, Fabric, IpRange, Lease, Pool, ReservedIp, SCOPE, Space, StaticRoute, Subnet, User,
    Vlan, Zone,
};
use serde_json::{Value, json};
use store::{Store, Stored};

/// System id under which the region shows itself as rack and region controller.
pub const CONTROLLER: &str = "bessem";

/// Name of the space of what is in none.
pub const UNDEFINED: &str = "undefined";

/// Name of the domain of machines whose own is gone.
pub(crate) const NO_DOMAIN: &str = "maas";

/// Every network document, read once for many objects.
#[derive(Debug)]
pub struct Networks {
    /// Names by number.
    fabrics: HashMap<u64, String>,
    /// Names by number.
    spaces: HashMap<u64, String>,
    vlans: Vec<Arc<Stored<Vlan>>>,
    subnets: Vec<Arc<Stored<Subnet>>>,
}

impl Networks {
    /// As they are now.
    pub fn of(store: &Store) -> Self {
        let (mut vlans, mut subnets) = (store.list::<Vlan>(SCOPE), store.list::<Subnet>(SCOPE));
        vlans.sort_by_key(|vlan| vlan.value.number);
        subnets.sort_by_key(|subnet| subnet.value.number);
        let fabrics = store.list::<Fabric>(SCOPE);
        let spaces = store.list::<Space>(SCOPE);
        Self {
            fabrics: fabrics.iter().map(|fabric| (fabric.value.number, fabric.value.name.clone())).collect(),
            spaces: spaces.iter().map(|space| (space.value.number, space.value.name.clone())).collect(),
            vlans,
            subnets,
        }
    }

    /// A VLAN; `null` if there is none of this number.
    pub fn vlan(&self, number: u64) -> Value {
        self.find(number).map_or(Value::Null, |vlan| self.show_vlan(vlan))
    }

    /// A subnet; `null` if there is none of this number.
    pub fn subnet(&self, number: u64) -> Value {
        let at = self.subnets.binary_search_by_key(&number, |subnet| subnet.value.number);
        at.ok()
            .and_then(|at| self.subnets.get(at))
            .map_or(Value::Null, |subnet| self.show_subnet(&subnet.value))
    }

    pub(crate) fn vlans(&self) -> impl Iterator<Item = &Vlan> {
        self.vlans.iter().map(|vlan| &vlan.value)
    }

    pub(crate) fn subnets(&self) -> impl Iterator<Item = &Subnet> {
        self.subnets.iter().map(|subnet| &subnet.value)
    }

    fn find(&self, number: u64) -> Option<&Vlan> {
        let at = self.vlans.binary_search_by_key(&number, |vlan| vlan.value.number).ok()?;
        self.vlans.get(at).map(|vlan| &vlan.value)
    }

    fn show_vlan(&self, vlan: &Vlan) -> Value {
        json!({
            "dhcp_on": vlan.dhcp_on,
            "external_dhcp": null,
            "fabric": self.fabrics.get(&vlan.fabric),
            "fabric_id": vlan.fabric,
            "id": vlan.number,
            "mtu": vlan.mtu,
            "name": vlan.name,
            "primary_rack": vlan.dhcp_on.then_some(CONTROLLER),
            "relay_vlan": null,
            "resource_uri": format!("/MAAS/api/2.0/vlans/{}/", vlan.number),
            "secondary_rack": null,
            "space": self.space_of(Some(vlan)),
            "vid": vlan.vid,
        })
    }

    fn show_subnet(&self, subnet: &Subnet) -> Value {
        let vlan = self.find(subnet.vlan);
        json!({
            "active_discovery": false,
            "allow_dns": subnet.allow_dns,
            "allow_proxy": subnet.allow_proxy,
            "cidr": subnet.cidr,
            "description": subnet.description,
            "disabled_boot_architectures": [],
            "dns_servers": subnet.dns_servers,
            "gateway_ip": subnet.gateway,
            "id": subnet.number,
            "managed": subnet.managed,
            "name": subnet.name,
            "rdns_mode": subnet.rdns_mode,
            "resource_uri": format!("/MAAS/api/2.0/subnets/{}/", subnet.number),
            "space": self.space_of(vlan),
            "vlan": vlan.map(|vlan| self.show_vlan(vlan)),
        })
    }

    fn space_of(&self, vlan: Option<&Vlan>) -> &str {
        let number = vlan.and_then(|vlan| vlan.space);
        number.and_then(|number| self.spaces.get(&number)).map_or(UNDEFINED, String::as_str)
    }

    /// VLANs that `wanted` says, by number.
    pub fn vlans_where(&self, wanted: impl Fn(&Vlan) -> bool) -> Vec<Value> {
        let chosen = self.vlans.iter().filter(|vlan| wanted(&vlan.value));
        chosen.map(|vlan| self.show_vlan(&vlan.value)).collect()
    }

    /// Subnets that `wanted` says, by number.
    pub fn subnets_where(&self, wanted: impl Fn(&Subnet) -> bool) -> Vec<Value> {
        let chosen = self.subnets.iter().filter(|subnet| wanted(&subnet.value));
        chosen.map(|subnet| self.show_subnet(&subnet.value)).collect()
    }

    /// A fabric with its VLANs.
    pub fn fabric(&self, fabric: &Fabric) -> Value {
        json!({
            "class_type": fabric.class_type,
            "id": fabric.number,
            "name": fabric.name,
            "resource_uri": format!("/MAAS/api/2.0/fabrics/{}/", fabric.number),
            "vlans": self.vlans_where(|vlan| vlan.fabric == fabric.number),
        })
    }

    /// A space with its VLANs and subnets.
    pub fn space(&self, space: &Space) -> Value {
        json!({
            "description": space.description,
            "id": space.number,
            "name": space.name,
            "resource_uri": format!("/MAAS/api/2.0/spaces/{}/", space.number),
            "subnets": self.subnets_in(Some(space.number)),
            "vlans": self.vlans_where(|vlan| vlan.space == Some(space.number)),
        })
    }

    /// The object that collects what is in no space; `None` if nothing is.
    pub fn undefined_space(&self) -> Option<Value> {
        let vlans = self.vlans_where(|vlan| vlan.space.is_none());
        (!vlans.is_empty()).then(|| {
            json!({
                "description": "Everything that is in no space.",
                "id": -1,
                "name": UNDEFINED,
                "resource_uri": "/MAAS/api/2.0/spaces/undefined/",
                "subnets": self.subnets_in(None),
                "vlans": vlans,
            })
        })
    }

    /// An address range.
    pub fn range(&self, range: &IpRange, store: &Store) -> Value {
        json!({
            "comment": range.comment,
            "end_ip": range.end,
            "id": range.number,
            "resource_uri": format!("/MAAS/api/2.0/ipranges/{}/", range.number),
            "start_ip": range.start,
            "subnet": self.subnet(range.subnet),
            "type": range.kind,
            "user": range.user.as_deref().map_or(Value::Null, |name| user(store, name)),
        })
    }

    /// An address that is kept for a MAC address.
    pub fn reserved_ip(&self, reserved: &ReservedIp) -> Value {
        json!({
            "comment": reserved.comment,
            "id": reserved.number,
            "ip": reserved.ip,
            "mac_address": reserved.mac,
            "resource_uri": format!("/MAAS/api/2.0/reservedips/{}/", reserved.number),
            "subnet": self.subnet(reserved.subnet),
        })
    }

    /// A static route.
    pub fn static_route(&self, route: &StaticRoute) -> Value {
        json!({
            "destination": self.subnet(route.destination),
            "gateway_ip": route.gateway,
            "id": route.number,
            "metric": route.metric,
            "resource_uri": format!("/MAAS/api/2.0/static-routes/{}/", route.number),
            "source": self.subnet(route.source),
        })
    }

    /// A host that DHCP saw and that no machine has; `id` is the discovery's.
    /// `observer` is the region's name.
    pub fn discovery(&self, lease: &Lease, id: &str, observer: &str) -> Value {
        let subnet = self.subnets.iter().find(|subnet| subnet.value.cidr.contains(&lease.ip));
        let vlan = subnet.and_then(|subnet| self.find(subnet.value.vlan));
        json!({
            "discovery_id": id,
            "fabric_name": vlan.and_then(|vlan| self.fabrics.get(&vlan.fabric)),
            "hostname": lease.hostname,
            "ip": lease.ip,
            "last_seen": lease.since,
            "mac_address": lease.mac,
            "mac_organization": null,
            "observer": {
                "hostname": observer,
                "interface_id": null,
                "interface_name": null,
                "system_id": CONTROLLER,
            },
            "resource_uri": format!("/MAAS/api/2.0/discovery/{id}/"),
            "vid": vlan.map(|vlan| vlan.vid).filter(|vid| *vid != 0),
        })
    }

    fn subnets_in(&self, space: Option<u64>) -> Vec<Value> {
        self.subnets_where(|subnet| self.find(subnet.vlan).and_then(|vlan| vlan.space) == space)
    }
}

/// A user by name; `null` if there is none.
pub fn user(store: &Store, name: &str) -> Value {
    store.get::<User>(SCOPE, name).map_or(Value::Null, |user| {
        json!({
            "email": user.value.email,
            "is_local": true,
            "is_superuser": user.value.admin,
            "resource_uri": format!("/MAAS/api/2.0/users/{name}/"),
            "username": name,
        })
    })
}

/// A time as most objects show it: `2026-11-22T08:19:28.034Z`.
pub fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// Sets a member of an object.
pub fn put(object: &mut Value, name: &str, value: Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert(name.to_owned(), value);
    }
}

/// A zone of this name.
pub fn zone(name: &str, zone: &Zone) -> Value {
    json!({
        "description": zone.description,
        "id": zone.number,
        "name": name,
        "resource_uri": format!("/MAAS/api/2.0/zones/{name}/"),
    })
}

/// A pool.
pub fn pool(pool: &Pool) -> Value {
    json!({
        "description": pool.description,
        "id": pool.number,
        "name": pool.name,
        "resource_uri": format!("/MAAS/api/2.0/resourcepool/{}/", pool.number),
    })
}

/// A domain, with the number of records that users made in it.
pub fn domain(domain: &Domain, store: &Store) -> Value {
    domain_with(domain, records(store).get(&domain.number).copied().unwrap_or(0))
}

pub(crate) fn domain_with(domain: &Domain, records: usize) -> Value {
    json!({
        "authoritative": domain.authoritative,
        "id": domain.number,
        "is_default": domain.number == 0,
        "name": domain.name,
        "resource_record_count": records,
        "resource_uri": format!("/MAAS/api/2.0/domains/{}/", domain.number),
        "ttl": domain.ttl,
    })
}

/// How many records users made, by domain.
pub(crate) fn records(store: &Store) -> HashMap<u64, usize> {
    let mut records = HashMap::new();
    for name in store.list::<DnsResource>(SCOPE) {
        *records.entry(name.value.domain).or_default() +=
            name.value.addresses.len() + name.value.records.len();
    }
    records
}

/// The name of a domain; `maas` where it is gone.
pub fn domain_name(store: &Store, number: u64) -> String {
    let domain = store.get::<Domain>(SCOPE, &number.to_string());
    domain.map_or_else(|| NO_DOMAIN.to_owned(), |domain| domain.value.name.clone())
}
