//! A machine's network interface.

use std::net::Ipv4Addr;

use model::{Link, Nic};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{disk::known, each::Each, embedded::Embedded};

/// MTU where no VLAN says another.
const USUAL_MTU: u16 = 1500;

#[derive(Serialize)]
struct Shown<'a, L> {
    id: u64,
    system_id: &'a str,
    name: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    mac_address: &'a str,
    vlan: Option<&'a RawValue>,
    effective_mtu: u16,
    enabled: bool,
    links: L,
    tags: &'a [String],
    link_connected: bool,
    link_speed: u32,
    interface_speed: u32,
    vendor: Option<&'a str>,
    product: Option<&'a str>,
    firmware_version: (),
    children: [(); 0],
    parents: [(); 0],
    discovered: (),
    params: Nothing,
    numa_node: u8,
    sriov_max_vf: u8,
    resource_uri: String,
}

#[derive(Serialize)]
struct ShownLink<'a> {
    id: u64,
    mode: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ip_address: Option<Ipv4Addr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subnet: Option<&'a RawValue>,
}

/// `{}`.
#[derive(Serialize)]
struct Nothing {}

/// An interface.
pub fn interface<'a>(system_id: &'a str, nic: &'a Nic, embedded: &'a Embedded) -> impl Serialize + use<'a> {
    let vlan = nic.vlan.and_then(|number| embedded.vlan(number));
    let link = move |link: &'a Link| ShownLink {
        id: link.number,
        mode: &link.mode,
        ip_address: link.ip,
        subnet: link.subnet.and_then(|number| embedded.subnet(number)),
    };
    Shown {
        id: nic.number,
        system_id,
        name: &nic.name,
        kind: "physical",
        mac_address: &nic.mac,
        vlan: vlan.map(|(_, text)| text),
        effective_mtu: vlan.map_or(USUAL_MTU, |(mtu, _)| mtu),
        enabled: true,
        links: Each(nic.links.iter().map(link)),
        tags: &nic.tags,
        link_connected: nic.link_connected,
        link_speed: nic.link_speed,
        interface_speed: nic.interface_speed,
        vendor: known(&nic.vendor),
        product: known(&nic.product),
        firmware_version: (),
        children: [],
        parents: [],
        discovered: (),
        params: Nothing {},
        numa_node: 0,
        sriov_max_vf: 0,
        resource_uri: format!("/MAAS/api/2.0/nodes/{system_id}/interfaces/{}/", nic.number),
    }
}
