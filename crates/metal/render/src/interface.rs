//! A machine's network interface.

use std::net::Ipv4Addr;

use model::{Bond, Bridge, Link, Nic, NicKind, children};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{disk::known, each::Each, embedded::Embedded};

/// MTU where no VLAN says another.
const USUAL_MTU: u32 = 1500;

/// How many interfaces may lie above one another: more are no configuration but a circle.
const LEVELS: u8 = 8;

#[derive(Serialize)]
struct Shown<'a, L, N, P, D> {
    id: u64,
    system_id: &'a str,
    name: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    mac_address: &'a str,
    vlan: Option<&'a RawValue>,
    effective_mtu: u32,
    enabled: bool,
    links: L,
    tags: &'a [String],
    link_connected: bool,
    link_speed: u32,
    interface_speed: u32,
    vendor: Option<&'a str>,
    product: Option<&'a str>,
    firmware_version: (),
    children: N,
    parents: P,
    discovered: Option<D>,
    params: Params,
    numa_node: Option<u8>,
    sriov_max_vf: u8,
    resource_uri: String,
}

#[derive(Serialize)]
struct ShownLink<'a> {
    id: u64,
    mode: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ip_address: Option<Ipv4Addr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subnet: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct Discovered<'a> {
    ip_address: Ipv4Addr,
    subnet: Option<&'a RawValue>,
}

/// MAAS's parameters: only those that were set, and of bonds and bridges all.
#[derive(Default, Serialize)]
#[serde(rename_all = "snake_case")]
struct Params {
    #[serde(skip_serializing_if = "Option::is_none")]
    mtu: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    accept_ra: Option<bool>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    bond: Option<BondParams>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    bridge: Option<BridgeParams>,
}

#[derive(Serialize)]
#[allow(clippy::struct_field_names, reason = "MAAS's keys")]
struct BondParams {
    bond_mode: &'static str,
    bond_miimon: u32,
    bond_downdelay: u32,
    bond_updelay: u32,
    bond_lacp_rate: &'static str,
    bond_xmit_hash_policy: &'static str,
    bond_num_grat_arp: u8,
}

#[derive(Serialize)]
#[allow(clippy::struct_field_names, reason = "MAAS's keys")]
struct BridgeParams {
    bridge_type: &'static str,
    bridge_stp: bool,
    bridge_fd: u32,
}

impl From<&Bond> for BondParams {
    fn from(bond: &Bond) -> Self {
        Self {
            bond_mode: bond.mode.word(),
            bond_miimon: bond.miimon,
            bond_downdelay: bond.downdelay,
            bond_updelay: bond.updelay,
            bond_lacp_rate: bond.lacp_rate.word(),
            bond_xmit_hash_policy: bond.xmit_hash_policy.word(),
            bond_num_grat_arp: bond.num_grat_arp,
        }
    }
}

impl From<&Bridge> for BridgeParams {
    fn from(bridge: &Bridge) -> Self {
        Self { bridge_type: bridge.kind.word(), bridge_stp: bridge.stp, bridge_fd: bridge.fd }
    }
}

fn params(nic: &Nic) -> Params {
    let (bond, bridge) = match &nic.kind {
        NicKind::Bond(bond) => (Some(bond.into()), None),
        NicKind::Bridge(bridge) => (None, Some(bridge.into())),
        NicKind::Physical | NicKind::Vlan => (None, None),
    };
    Params { mtu: nic.mtu, accept_ra: nic.accept_ra, bond, bridge }
}

/// An interface; `nics` are all of its machine.
pub fn interface<'a>(
    system_id: &'a str,
    nic: &'a Nic,
    nics: &'a [Nic],
    embedded: &'a Embedded,
) -> impl Serialize + use<'a> {
    let link = move |link: &'a Link| ShownLink {
        id: link.number,
        mode: link.mode.word(),
        ip_address: link.ip,
        subnet: link.subnet.and_then(|number| embedded.subnet(number)),
    };
    let seen = embedded.discovered(nic);
    let discovered =
        move |(ip, subnet): (Ipv4Addr, u64)| Discovered { ip_address: ip, subnet: embedded.subnet(subnet) };
    let parents = nics.iter().filter(|parent| nic.parents.contains(&parent.number));
    Shown {
        id: nic.number,
        system_id,
        name: &nic.name,
        kind: nic.kind.word(),
        mac_address: &nic.mac,
        vlan: nic.vlan.and_then(|number| embedded.vlan(number)).map(|(_, text)| text),
        effective_mtu: effective_mtu(nic, nics, &|number| Some(embedded.vlan(number)?.0)),
        enabled: !nic.disabled,
        links: Each(nic.links.iter().map(link)),
        tags: &nic.tags,
        link_connected: nic.link_connected,
        link_speed: nic.link_speed,
        interface_speed: nic.interface_speed,
        vendor: known(&nic.vendor),
        product: known(&nic.product),
        firmware_version: (),
        children: Each(children(nics, nic.number).map(|child| child.name.as_str())),
        parents: Each(parents.map(|parent| parent.name.as_str())),
        discovered: seen.clone().next().is_some().then(|| Each(seen.map(discovered))),
        params: params(nic),
        numa_node: nic.is_physical().then_some(0),
        sriov_max_vf: 0,
        resource_uri: format!("/MAAS/api/2.0/nodes/{system_id}/interfaces/{}/", nic.number),
    }
}

/// MTU in bytes: the interface's own or its VLAN's, and no less than what is made of it needs. `mtu_of` says that of
/// a VLAN by its number.
pub fn effective_mtu(nic: &Nic, nics: &[Nic], mtu_of: &impl Fn(u64) -> Option<u16>) -> u32 {
    fn at(nic: &Nic, nics: &[Nic], mtu_of: &impl Fn(u64) -> Option<u16>, level: u8) -> u32 {
        let own = nic.mtu.or_else(|| nic.vlan.and_then(mtu_of).map(u32::from)).unwrap_or(USUAL_MTU);
        if level == 0 {
            return own;
        }
        children(nics, nic.number).map(|child| at(child, nics, mtu_of, level - 1)).fold(own, u32::max)
    }
    at(nic, nics, mtu_of, LEVELS)
}
