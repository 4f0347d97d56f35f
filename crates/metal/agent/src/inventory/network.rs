//! Network cards, and the interfaces as they are configured.

use serde_json::{Map, Value, json};

use super::Addresses;
use super::pci;
use crate::tree::Tree;

/// Whether an interface is a card, or looks like one: Ethernet, of no software kind (bridge, bond, VLAN name
/// theirs in `uevent`), and with a device or the far end of a cable behind it.
pub fn is_physical(tree: &Tree, name: &str) -> bool {
    let folder = format!("sys/class/net/{name}");
    let ethernet = tree.text(&format!("{folder}/type")).as_deref() == Some("1");
    let software = tree
        .text(&format!("{folder}/uevent"))
        .is_some_and(|text| text.lines().any(|line| line.starts_with("DEVTYPE=") && line != "DEVTYPE=wlan"));
    let cable = tree.text(&format!("{folder}/iflink")) != tree.text(&format!("{folder}/ifindex"));
    ethernet
        && !software
        && !tree.has(&format!("{folder}/tun_flags"))
        && (tree.has(&format!("{folder}/device")) || cable)
}

/// `resources.network`: a card for each PCI function, a port for each interface.
pub fn cards(tree: &Tree) -> Value {
    let names = tree.names("sys/class/net");
    let cards: Vec<Value> =
        names.iter().filter(|name| is_physical(tree, name)).map(|name| card(tree, name)).collect();
    json!({ "cards": cards, "total": cards.len() })
}

fn card(tree: &Tree, name: &str) -> Value {
    let folder = format!("sys/class/net/{name}");
    let text = |file: &str| tree.text(&format!("{folder}/{file}"));
    let up = text("carrier").as_deref() == Some("1");
    let speed = text("speed").and_then(|s| s.parse::<u64>().ok()).unwrap_or(0);
    let port = json!({
        "id": name,
        "address": text("address").unwrap_or_default().to_ascii_lowercase(),
        "port": tree.number(&format!("{folder}/dev_port")).unwrap_or(0),
        "protocol": "ethernet",
        "link_detected": up,
        "link_speed": if up { speed } else { 0 },
        "link_duplex": text("duplex").unwrap_or_default(),
        "auto_negotiation": false,
        "supported_modes": [],
        "supported_ports": [],
    });
    let address = tree.pci_address(&format!("{folder}/device"));
    let mut card = json!({
        "driver": tree.link_name(&format!("{folder}/device/driver")).unwrap_or_default(),
        "driver_version": tree.text("proc/sys/kernel/osrelease").unwrap_or_default(),
        "ports": [port],
        "numa_node": 0,
        "firmware_version": "",
    });
    if let (Some(address), Some(card)) = (address, card.as_object_mut()) {
        card.extend(pci::identity(tree, &address));
        let virtual_functions = tree.number(&format!("{folder}/device/sriov_totalvfs")).unwrap_or(0);
        if virtual_functions > 0 {
            let sriov = json!({ "current_vfs": 0, "maximum_vfs": virtual_functions, "vfs": [] });
            card.insert("sriov".to_owned(), sriov);
        }
    }
    card
}

/// `networks`: every interface but lo as it is configured now.
pub fn networks(tree: &Tree, addresses: &Addresses) -> Value {
    let names = tree.names("sys/class/net");
    let map: Map<String, Value> = names
        .iter()
        .filter(|name| is_physical(tree, name))
        .map(|name| {
            let text = |file: &str| tree.text(&format!("sys/class/net/{name}/{file}")).unwrap_or_default();
            let list: Vec<Value> = addresses
                .get(name)
                .into_iter()
                .flatten()
                .map(|(address, prefix)| {
                    json!({ "family": "inet", "address": address, "netmask": prefix.to_string(), "scope": "global" })
                })
                .collect();
            let entry = json!({
                "type": "broadcast",
                "hwaddr": text("address").to_ascii_lowercase(),
                "state": if text("operstate") == "up" { "up" } else { "down" },
                "mtu": text("mtu").parse::<u64>().unwrap_or(1500),
                "addresses": list,
                "bond": null,
                "bridge": null,
                "vlan": null,
                "lower_devices": [],
            });
            (name.clone(), entry)
        })
        .collect();
    Value::Object(map)
}
