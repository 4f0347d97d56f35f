//! One machine's body: who it is and what it has, drawn from the fleet's seed.

use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::seed::Seed;
use crate::vendor::{DiskKind, Model, Vendor};

/// Addresses that a machine's ports may take.
const PORTS: u32 = 4;

/// A machine's body.
#[derive(Debug, Clone)]
pub struct Board {
    /// Number in the fleet, from 0.
    pub number: u32,
    /// Name, such as `m00017`.
    pub name: String,
    /// Who built it.
    pub vendor: Vendor,
    /// What its lots are drawn from.
    pub seed: Seed,
}

impl Board {
    /// The machine with this number; its vendor is one of `vendors`, the whitebox where there are none.
    pub fn new(fleet: Seed, number: u32, vendors: &[Vendor]) -> Self {
        let seed = fleet.of("machine", u64::from(number));
        let vendor = seed.one("vendor", vendors).copied().unwrap_or(Vendor::Whitebox);
        Self { number, name: format!("m{number:05}"), vendor, seed }
    }

    /// Its model.
    pub const fn model(&self) -> &'static Model {
        self.vendor.model()
    }

    /// SMBIOS UUID.
    pub fn uuid(&self) -> Uuid {
        let mut bytes = [0; 16];
        let halves = [self.seed.draw("uuid high"), self.seed.draw("uuid low")];
        for (to, from) in bytes.iter_mut().zip(halves.iter().flat_map(|half| half.to_be_bytes())) {
            *to = from;
        }
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }

    /// Serial number.
    pub fn serial(&self) -> String {
        format!("{:07X}", self.seed.below("serial", 1 << 28))
    }

    /// Address of one of its ports; the first one boots.
    pub fn mac(&self, port: u32) -> [u8; 6] {
        let [_, own @ ..] = self.number.wrapping_mul(PORTS).wrapping_add(port).to_be_bytes();
        let mut mac = [0; 6];
        for (to, from) in mac.iter_mut().zip(self.model().oui.into_iter().chain(own)) {
            *to = from;
        }
        mac
    }

    /// The number of the machine that this address of a port belongs to, if one does.
    pub fn number_of(mac: [u8; 6]) -> u32 {
        let [_, _, _, own @ ..] = mac;
        own.into_iter().fold(0, |number, byte| number << 8 | u32::from(byte)) / PORTS
    }

    /// Its first port's address, lower case with colons.
    pub fn boot_mac(&self) -> String {
        mac_text(self.mac(0))
    }

    /// From power-on to the first DHCP packet.
    pub fn post(&self) -> Duration {
        let (shortest, longest) = self.model().post;
        self.seed.between("post", shortest, longest)
    }

    /// How long its BMC takes for an answer.
    pub fn bmc_answer(&self) -> Duration {
        let (shortest, longest) = self.model().dialect.answer;
        self.seed.between("bmc", shortest, longest)
    }

    /// Size of a disk in bytes; 0 where it has none of the name.
    pub fn disk_size(&self, name: &str) -> u64 {
        self.model().disks.iter().find(|disk| disk.name == name).map_or(0, |disk| disk.size)
    }

    /// What its agent finds, in the shape of MAAS's `50-maas-01-commissioning` (LXD resources).
    pub fn inventory(&self) -> Value {
        let model = self.model();
        let (cpu, sockets, cores) = model.cpu;
        let memory = self.seed.one("memory", model.memory_gib).copied().unwrap_or(16) << 30;
        let serial = self.serial();
        let (firmware_vendor, firmware_version) = model.firmware;
        json!({
            "environment": {"kernel": "Linux", "kernel_architecture": "x86_64", "kernel_version": "6.1.0"},
            "resources": {
                "cpu": {
                    "architecture": "x86_64",
                    "total": sockets * cores * 2,
                    "sockets": (0..sockets).map(|socket| self.socket(socket, cpu, cores)).collect::<Vec<_>>(),
                },
                "memory": {"used": 0, "total": memory},
                "network": {"cards": self.cards(), "total": model.ports.len()},
                "storage": {"disks": self.disks(), "total": model.disks.len()},
                "system": {
                    "uuid": self.uuid(),
                    "vendor": model.vendor,
                    "product": model.product,
                    "family": model.family,
                    "version": "",
                    "sku": "",
                    "serial": serial,
                    "type": "physical",
                    "firmware": {"vendor": firmware_vendor, "version": firmware_version, "date": "05/08/2023"},
                    "chassis": {"vendor": model.vendor, "type": "Rack Mount Chassis", "serial": serial, "version": ""},
                    "motherboard": {"vendor": model.vendor, "product": model.product, "serial": serial, "version": "A01"},
                },
            },
            "networks": self.networks(),
        })
    }

    fn socket(&self, socket: u64, name: &str, cores: u64) -> Value {
        let core = |core: u64| {
            let thread = |thread: u64| json!({"id": (socket * cores + core) * 2 + thread, "numa_node": socket, "thread": thread, "online": true});
            json!({"core": core, "die": 0, "frequency": 2400, "threads": [thread(0), thread(1)]})
        };
        json!({
            "name": name,
            "vendor": if self.vendor == Vendor::Whitebox { "AuthenticAMD" } else { "GenuineIntel" },
            "socket": socket,
            "frequency": 2400,
            "frequency_turbo": 3200,
            "cores": (0..cores).map(core).collect::<Vec<_>>(),
        })
    }

    fn ports(&self) -> impl Iterator<Item = (&'static crate::vendor::Port, String)> {
        (0..).zip(self.model().ports).map(|(at, port)| (port, mac_text(self.mac(at))))
    }

    fn cards(&self) -> Vec<Value> {
        let card = |(at, (port, mac)): (usize, (&crate::vendor::Port, String))| {
            json!({
                "vendor": port.vendor,
                "product": port.product,
                "numa_node": 0,
                "pci_address": format!("0000:{:02x}:00.0", at + 1),
                "ports": [{
                    "id": port.name,
                    "address": mac,
                    "port": 0,
                    "protocol": "ethernet",
                    "link_detected": at == 0,
                    "link_speed": if at == 0 { port.speed } else { 0 },
                }],
            })
        };
        self.ports().enumerate().map(card).collect()
    }

    fn networks(&self) -> Value {
        let one = |(at, (port, mac)): (usize, (&crate::vendor::Port, String))| {
            let state = if at == 0 { "up" } else { "down" };
            (port.name.to_owned(), json!({"hwaddr": mac, "mtu": 1500, "state": state, "type": "broadcast"}))
        };
        Value::Object(self.ports().enumerate().map(one).collect())
    }

    fn disks(&self) -> Vec<Value> {
        let disk = |(at, disk): (u64, &crate::vendor::Disk)| {
            json!({
                "id": disk.name,
                "model": disk.model,
                "serial": format!("{:012X}", self.seed.of("disk", at).below("serial", 1 << 48)),
                "size": disk.size,
                "block_size": 512,
                "rpm": if disk.kind == DiskKind::Rotating { 7200 } else { 0 },
                "read_only": false,
                "removable": false,
                "type": if disk.name.starts_with("nvme") { "nvme" } else { "scsi" },
                "device_path": format!("pci-0000:{:02x}:00.0", at + 0x10),
                "firmware_version": "1.0",
                "partitions": [],
            })
        };
        (0..).zip(self.model().disks).map(disk).collect()
    }
}

fn mac_text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_same_seed_gives_the_same_fleet_of_machines_that_differ() {
        let fleet = |seed: u64| -> Vec<(Uuid, String, Duration, Value)> {
            let board = |n| Board::new(Seed::new(seed), n, &Vendor::ALL);
            (0..2000)
                .map(board)
                .map(|b| (b.uuid(), b.boot_mac(), b.post(), b.inventory()["resources"]["system"].clone()))
                .collect()
        };
        let first = fleet(1);
        assert_eq!(first, fleet(1));
        assert_ne!(first, fleet(2));
        assert_eq!(first.iter().map(|m| m.0).collect::<HashSet<_>>().len(), 2000);
        assert_eq!(first.iter().map(|m| &m.1).collect::<HashSet<_>>().len(), 2000);
    }

    #[test]
    fn a_machine_is_found_by_its_ports() {
        for number in [0, 1, 255, 256, 9_999, 70_000] {
            let board = Board::new(Seed::new(1), number, &Vendor::ALL);
            for port in 0..board.model().ports.len() {
                assert_eq!(Board::number_of(board.mac(u32::try_from(port).unwrap())), number);
            }
        }
    }
}
