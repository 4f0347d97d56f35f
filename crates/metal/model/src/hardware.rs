//! Devices on a machine's buses, from its inventory.
#![allow(clippy::indexing_slicing, reason = "of a JSON value: what is missing reads as null")]

use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::Document;

use crate::inventory::{LIMIT, small, text};

/// What is on the buses of a machine; id: its system id. Kept apart from the machine: it is long and seldom read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Hardware {
    /// PCI functions, then USB devices.
    pub devices: Vec<BusDevice>,
}

impl Document for Hardware {
    const KIND: &'static str = "hardware";
}

/// A device on a bus.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BusDevice {
    /// Number, unique on its machine and kept from one inventory to the next.
    pub number: u64,
    /// The bus, with the place on it.
    pub bus: Bus,
    /// What it is for.
    pub serves: Serves,
    /// Four hexadecimal digits.
    pub vendor_id: String,
    /// Four hexadecimal digits.
    pub product_id: String,
    /// Vendor.
    pub vendor: String,
    /// Product.
    pub product: String,
    /// Kernel driver.
    pub driver: String,
    /// NUMA node.
    pub numa_node: u32,
    /// MAC addresses of the interfaces that it is, lower case.
    pub macs: Vec<String>,
}

/// A bus, and a place on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bus {
    /// PCI Express or PCI, with the address such as `0000:00:1f.2`.
    Pci(String),
    /// USB, with the numbers of bus and device.
    Usb(u32, u32),
}

/// What a device is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Serves {
    /// Anything else.
    Node,
    /// Disks.
    Storage,
    /// Interfaces.
    Network,
    /// Graphics and computing.
    Gpu,
}

impl Bus {
    /// Numbers of the bus and of the device on it.
    pub fn place(&self) -> (u32, u32) {
        match self {
            Self::Usb(bus, device) => (*bus, *device),
            Self::Pci(address) => {
                let mut parts = address.split([':', '.']).skip(1);
                let mut next = || parts.next().and_then(|part| u32::from_str_radix(part, 16).ok());
                (next().unwrap_or(0), next().unwrap_or(0))
            }
        }
    }
}

impl Hardware {
    /// What an inventory says; devices that were there before keep their numbers.
    pub fn of(inventory: &Value, before: &Self) -> Self {
        let resources = &inventory["resources"];
        let mut last = before.devices.iter().map(|device| device.number).max().unwrap_or(0);
        let mut found = Self::default();
        let all = |kind: &str| resources[kind]["devices"].as_array().into_iter().flatten().take(LIMIT);
        let pci = all("pci").map(|device| (Bus::Pci(text(&device["pci_address"])), device));
        let usb = all("usb").map(|device| {
            (Bus::Usb(small(&device["bus_address"]), small(&device["device_address"])), device)
        });
        for (bus, device) in pci.chain(usb) {
            if found.devices.iter().any(|other| other.bus == bus) {
                continue;
            }
            let old = before.devices.iter().find(|old| old.bus == bus).map(|old| old.number);
            let number = old.unwrap_or_else(|| {
                last += 1;
                last
            });
            let driver = [&device["driver"], &device["interfaces"][0]["driver"]].map(text);
            let (serves, macs) = serves(resources, &bus);
            found.devices.push(BusDevice {
                number,
                serves,
                vendor_id: text(&device["vendor_id"]),
                product_id: text(&device["product_id"]),
                vendor: text(&device["vendor"]),
                product: text(&device["product"]),
                driver: driver.into_iter().find(|driver| !driver.is_empty()).unwrap_or_default(),
                numa_node: small(&device["numa_node"]),
                macs,
                bus,
            });
        }
        found
    }
}

/// What the rest of an inventory says of the device at a place.
fn serves(resources: &Value, bus: &Bus) -> (Serves, Vec<String>) {
    let Bus::Pci(address) = bus else { return (Serves::Node, Vec::new()) };
    let there = |list: &Value| {
        let list = list.as_array().into_iter().flatten();
        list.filter(|one| one["pci_address"] == **address).cloned().collect::<Vec<_>>()
    };
    let cards = there(&resources["network"]["cards"]);
    if !cards.is_empty() {
        let ports = cards.iter().flat_map(|card| card["ports"].as_array().into_iter().flatten());
        let macs = ports.map(|port| text(&port["address"]).to_lowercase()).filter(|mac| mac.len() == 17);
        return (Serves::Network, macs.collect());
    }
    let serves = if !there(&resources["gpu"]["cards"]).is_empty() {
        Serves::Gpu
    } else if !there(&resources["storage"]["disks"]).is_empty() {
        Serves::Storage
    } else {
        Serves::Node
    };
    (serves, Vec::new())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn devices_keep_their_numbers_and_say_what_they_are_for() {
        let inventory = |addresses: &[&str]| {
            let pci: Vec<Value> = addresses
                .iter()
                .map(|address| json!({"pci_address": address, "vendor_id": "1af4", "driver": "virtio"}))
                .collect();
            json!({"resources": {
                "pci": {"devices": pci},
                "usb": {"devices": [{"bus_address": 2, "device_address": 3, "interfaces": [{"driver": "hid"}]}]},
                "network": {"cards": [
                    {"pci_address": "0000:00:03.0", "ports": [{"address": "52:54:00:00:00:01"}]}
                ]},
            }})
        };
        let first = Hardware::of(&inventory(&["0000:00:02.0", "0000:00:03.0"]), &Hardware::default());
        let second = Hardware::of(&inventory(&["0000:00:03.0", "0000:0a:1f.1"]), &first);
        let of = |hardware: &Hardware| {
            hardware.devices.iter().map(|one| (one.number, one.bus.place(), one.serves)).collect::<Vec<_>>()
        };
        let (network, node) = (Serves::Network, Serves::Node);
        assert_eq!(of(&first), [(1, (0, 2), node), (2, (0, 3), network), (3, (2, 3), node)]);
        assert_eq!(of(&second), [(2, (0, 3), network), (4, (10, 31), node), (3, (2, 3), node)]);
        assert_eq!((second.devices[0].macs.len(), second.devices[2].driver.as_str()), (1, "hid"));
        assert_eq!(Hardware::of(&json!([7]), &first), Hardware::default());
    }
}
