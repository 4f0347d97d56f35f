//! From an inventory, as the agent sends it, to the machine's document.
//!
//! The shape is that of MAAS's `50-maas-01-commissioning` output (LXD resources). It comes from the network:
//! anything missing or odd is left at its default, sizes are bounded, nothing fails.
#![allow(clippy::indexing_slicing, reason = "of a JSON value: what is missing reads as null")]

use disks::{Content, Disk};
use serde_json::Value;

use crate::{Lasts, Machine, Nic, NicKind};

/// More NICs or disks than this are ignored.
pub(crate) const LIMIT: usize = 512;

/// Takes over what an inventory says; NICs and disks keep their numbers and settings by MAC and by name.
///
/// `vlan` is the VLAN that the boot interface is on; `number` hands out numbers for new NICs and disks.
pub fn absorb(
    machine: &mut Machine,
    inventory: &Value,
    boot_mac: &str,
    vlan: Option<u64>,
    mut number: impl FnMut() -> u64,
) {
    let resources = &inventory["resources"];
    if let Some(arch) = inventory["environment"]["kernel_architecture"].as_str() {
        let known = if arch == "aarch64" { "arm64/generic" } else { "amd64/generic" };
        known.clone_into(&mut machine.architecture);
    }
    machine.cpu_count = small(&resources["cpu"]["total"]);
    machine.cpu_speed = resources["cpu"]["sockets"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|s| small(&s["frequency_turbo"]).max(small(&s["frequency"])))
        .max()
        .unwrap_or(0);
    machine.memory = resources["memory"]["total"].as_u64().unwrap_or(0) / (1 << 20);
    machine.nics = nics(machine, resources, inventory, boot_mac, vlan, &mut number);
    let found = disks(machine, resources, &mut number);
    machine.storage.found(found);
    hardware(machine, resources);
}

fn nics(
    machine: &Machine,
    resources: &Value,
    inventory: &Value,
    boot_mac: &str,
    vlan: Option<u64>,
    number: &mut impl FnMut() -> u64,
) -> Vec<Nic> {
    let cards = resources["network"]["cards"].as_array().into_iter().flatten();
    let ports =
        cards.flat_map(|card| card["ports"].as_array().into_iter().flatten().map(move |port| (card, port)));
    let mut found: Vec<Nic> = Vec::new();
    for (card, port) in ports.take(LIMIT) {
        let mac = text(&port["address"]).to_lowercase();
        if mac.len() != 17 || found.iter().any(|nic| nic.mac == mac) {
            continue;
        }
        let known = machine.nics.iter().find(|nic| nic.is_physical() && nic.mac == mac);
        let boot = mac == boot_mac;
        let name = text(&port["id"]);
        let up = inventory["networks"][&name]["state"] == "up";
        found.push(Nic {
            number: known.map_or_else(&mut *number, |nic| nic.number),
            vlan: known.and_then(|nic| nic.vlan).or(vlan.filter(|_| boot)),
            boot,
            link_connected: port["link_detected"].as_bool().unwrap_or(up),
            link_speed: small(&port["link_speed"]),
            interface_speed: small(&port["link_speed"]),
            vendor: text(&card["vendor"]),
            product: text(&card["product"]),
            tags: known.map(|nic| nic.tags.clone()).unwrap_or_default(),
            links: known.map(|nic| nic.links.clone()).unwrap_or_default(),
            kind: NicKind::Physical,
            parents: Vec::new(),
            mtu: known.and_then(|nic| nic.mtu),
            accept_ra: known.and_then(|nic| nic.accept_ra),
            disabled: known.is_some_and(|nic| nic.disabled),
            lasts: Lasts::Always,
            name,
            mac,
        });
    }
    keep_made(machine, &mut found);
    found
}

/// Keeps bonds, bridges and VLANs of which any port is still there; no inventory has them.
fn keep_made(machine: &Machine, found: &mut Vec<Nic>) {
    let mut made: Vec<Nic> = machine.nics.iter().filter(|nic| !nic.is_physical()).cloned().collect();
    loop {
        let there: Vec<u64> = found.iter().chain(&made).map(|nic| nic.number).collect();
        let parts = |made: &[Nic]| made.iter().map(|nic| nic.parents.len()).sum::<usize>();
        let before = parts(&made);
        for nic in &mut made {
            nic.parents.retain(|parent| there.contains(parent));
        }
        made.retain(|nic| !nic.parents.is_empty());
        if parts(&made) == before {
            break;
        }
    }
    found.extend(made);
}

fn disks(machine: &Machine, resources: &Value, number: &mut impl FnMut() -> u64) -> Vec<Disk> {
    let mut found: Vec<Disk> = Vec::new();
    for disk in resources["storage"]["disks"].as_array().into_iter().flatten().take(LIMIT) {
        let name = text(&disk["id"]);
        let again = found.iter().any(|disk| disk.name == name);
        if name.is_empty() || again || disk["removable"] == true || disk["read_only"] == true {
            continue;
        }
        let known = machine.storage.disks.iter().find(|d| d.name == name);
        let rotary = disk["rotational"] == true || small(&disk["rpm"]) > 0;
        found.push(Disk {
            number: known.map_or_else(&mut *number, |d| d.number),
            model: text(&disk["model"]),
            serial: text(&disk["serial"]),
            id_path: match text(&disk["device_path"]) {
                path if path.is_empty() => format!("/dev/{name}"),
                path => format!("/dev/disk/by-path/{path}"),
            },
            size: disk["size"].as_u64().unwrap_or(0),
            block_size: disk["block_size"].as_u64().and_then(|b| u32::try_from(b).ok()).unwrap_or(512),
            tags: tags(known, if rotary { "rotary" } else { "ssd" }),
            firmware: text(&disk["firmware_version"]),
            boot: known.is_some_and(|d| d.boot),
            content: Content::default(),
            name,
        });
    }
    found
}

/// How a disk stores, then what people said of it.
fn tags(known: Option<&Disk>, stores: &str) -> Vec<String> {
    let told = known
        .into_iter()
        .flat_map(|disk| &disk.tags)
        .filter(|tag| !["rotary", "ssd"].contains(&tag.as_str()));
    std::iter::once(stores.to_owned()).chain(told.cloned()).collect()
}

fn hardware(machine: &mut Machine, resources: &Value) {
    let system = &resources["system"];
    let told = [
        ("system_vendor", &system["vendor"]),
        ("system_product", &system["product"]),
        ("system_family", &system["family"]),
        ("system_version", &system["version"]),
        ("system_sku", &system["sku"]),
        ("system_serial", &system["serial"]),
        ("cpu_model", &resources["cpu"]["sockets"][0]["name"]),
        ("mainboard_vendor", &system["motherboard"]["vendor"]),
        ("mainboard_product", &system["motherboard"]["product"]),
        ("mainboard_serial", &system["motherboard"]["serial"]),
        ("mainboard_version", &system["motherboard"]["version"]),
        ("mainboard_firmware_vendor", &system["firmware"]["vendor"]),
        ("mainboard_firmware_version", &system["firmware"]["version"]),
        ("mainboard_firmware_date", &system["firmware"]["date"]),
        ("chassis_vendor", &system["chassis"]["vendor"]),
        ("chassis_type", &system["chassis"]["type"]),
        ("chassis_serial", &system["chassis"]["serial"]),
        ("chassis_version", &system["chassis"]["version"]),
    ];
    for (key, value) in told {
        let value = text(value);
        if !value.is_empty() {
            machine.hardware.0.insert(key.to_owned(), value);
        }
    }
}

pub(crate) fn small(value: &Value) -> u32 {
    value.as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or(0)
}

/// A string of at most 256 characters, without control characters.
pub(crate) fn text(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or("")
        .chars()
        .filter(|c| !c.is_control())
        .take(256)
        .collect::<String>()
        .trim()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use serde_json::json;

    #[test]
    fn a_second_inventory_keeps_numbers_and_forgets_what_is_gone() {
        let mut machine = Machine::new("m".to_owned(), Timestamp::UNIX_EPOCH);
        let inventory = json!({"resources": {
        "cpu": {"total": 2}, "memory": {"total": 1_073_741_824u64},
        "network": {"cards": [{"vendor": "Red Hat", "ports": [{"id": "eth0", "address": "52:54:00:00:00:01"}]}]},
        "storage": {"disks": [
            {"id": "vda", "size": 8_000_000}, {"id": "vda"}, {"id": "sr0", "removable": true},
        ]}}});
        let mut n = 0;
        let mut next = || {
            n += 1;
            n
        };
        absorb(&mut machine, &inventory, "52:54:00:00:00:01", Some(5001), &mut next);
        let first = machine.clone();
        absorb(&mut machine, &inventory, "52:54:00:00:00:01", Some(5001), &mut next);
        assert_eq!(machine, first);
        assert_eq!((machine.memory, machine.cpu_count, machine.storage.disks.len()), (1024, 2, 1));
        absorb(&mut machine, &json!({"resources": 7}), "", None, &mut next);
        assert!(machine.nics.is_empty() && machine.storage.disks.is_empty());
    }

    #[test]
    fn what_is_made_of_ports_stays_as_long_as_one_of_them_is_there() {
        let mut machine = Machine::new("m".to_owned(), Timestamp::UNIX_EPOCH);
        let made = |number, kind, parents| Nic {
            kind,
            parents,
            ..Nic::physical(number, &format!("made{number}"), "52:54:00:00:00:01")
        };
        machine.nics = vec![
            Nic::physical(1, "eth0", "52:54:00:00:00:01"),
            Nic::physical(2, "eth1", "52:54:00:00:00:02"),
            made(4, NicKind::Vlan, vec![3]),
            made(3, NicKind::Bond(crate::Bond::default()), vec![1, 2]),
            made(5, NicKind::Vlan, vec![2]),
        ];
        let ports = json!([{"id": "eth0", "address": "52:54:00:00:00:01"}]);
        let inventory = json!({"resources": {"network": {"cards": [{"ports": ports}]}}});
        absorb(&mut machine, &inventory, "52:54:00:00:00:01", None, || 9);
        let kept: Vec<_> = machine.nics.iter().map(|nic| (nic.number, nic.parents.clone())).collect();
        assert_eq!(kept, [(1, vec![]), (4, vec![3]), (3, vec![1])]);
        absorb(&mut machine, &json!({}), "", None, || 9);
        assert!(machine.nics.is_empty());
    }
}
