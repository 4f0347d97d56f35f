//! Who built the machines: what DMI, disks, cards, firmware and BMC of each vendor say.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A vendor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Vendor {
    /// Dell `PowerEdge` with iDRAC.
    Dell,
    /// HPE `ProLiant` with iLO.
    Hpe,
    /// Supermicro.
    Supermicro,
    /// Lenovo `ThinkSystem` with XCC.
    Lenovo,
    /// A board without a name, with `OpenBMC`.
    Whitebox,
}

impl Vendor {
    /// Every vendor.
    pub const ALL: [Self; 5] = [Self::Dell, Self::Hpe, Self::Supermicro, Self::Lenovo, Self::Whitebox];

    /// What its machines are like.
    pub const fn model(self) -> &'static Model {
        match self {
            Self::Dell => &DELL,
            Self::Hpe => &HPE,
            Self::Supermicro => &SUPERMICRO,
            Self::Lenovo => &LENOVO,
            Self::Whitebox => &WHITEBOX,
        }
    }
}

/// A model of machine.
#[derive(Debug)]
pub struct Model {
    /// DMI: system vendor.
    pub vendor: &'static str,
    /// DMI: product.
    pub product: &'static str,
    /// DMI: family.
    pub family: &'static str,
    /// DMI: BIOS vendor and version.
    pub firmware: (&'static str, &'static str),
    /// First three bytes of its cards' addresses.
    pub oui: [u8; 3],
    /// Name of its processors, sockets, and cores of each.
    pub cpu: (&'static str, u64, u64),
    /// Memory that it may have, in GiB.
    pub memory_gib: &'static [u64],
    /// Its disks.
    pub disks: &'static [Disk],
    /// Its network ports; the first boots.
    pub ports: &'static [Port],
    /// What its firmware calls itself in DHCP (option 93): 0 is BIOS, 7 UEFI.
    pub architecture: u16,
    /// From power-on to the first DHCP packet, the shortest and the longest.
    pub post: (Duration, Duration),
    /// Whether an installed system can be started without the firmware.
    pub kexec: Kexec,
    /// How its BMC differs.
    pub dialect: Dialect,
}

/// A disk.
#[derive(Debug)]
pub struct Disk {
    /// Kernel name.
    pub name: &'static str,
    /// Model.
    pub model: &'static str,
    /// Bytes.
    pub size: u64,
    /// What it is made of.
    pub kind: DiskKind,
}

/// What a disk is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskKind {
    /// Turning platters.
    Rotating,
    /// Flash.
    Flash,
}

/// A network port.
#[derive(Debug)]
pub struct Port {
    /// Kernel name.
    pub name: &'static str,
    /// Vendor of the card.
    pub vendor: &'static str,
    /// Name of the card.
    pub product: &'static str,
    /// Mbit/s.
    pub speed: u64,
}

/// Whether kexec works on a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kexec {
    /// It does.
    Works,
    /// It does not: the agent restarts through the firmware.
    Refused,
}

/// How a vendor's Redfish differs from the lab's plain one.
#[derive(Debug)]
pub struct Dialect {
    /// Last part of the system's path.
    pub system: &'static str,
    /// How it writes UUIDs.
    pub uuid: Case,
    /// How it answers what was done.
    pub done: Done,
    /// How long an answer takes, the shortest and the longest.
    pub answer: (Duration, Duration),
}

/// How letters are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// `a1b2`.
    Lower,
    /// `A1B2`.
    Upper,
}

/// How a BMC answers a change that it made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// 204, no body.
    Empty,
    /// 200 with a message that says so.
    Message,
    /// 202: it will.
    Accepted,
}

const GIB: u64 = 1 << 30;

const fn seconds(shortest: u64, longest: u64) -> (Duration, Duration) {
    (Duration::from_secs(shortest), Duration::from_secs(longest))
}

const fn millis(shortest: u64, longest: u64) -> (Duration, Duration) {
    (Duration::from_millis(shortest), Duration::from_millis(longest))
}

const DELL: Model = Model {
    vendor: "Dell Inc.",
    product: "PowerEdge R650",
    family: "PowerEdge",
    firmware: ("Dell Inc.", "1.12.2"),
    oui: [0xd0, 0x94, 0x66],
    cpu: ("Intel(R) Xeon(R) Gold 6338 CPU @ 2.00GHz", 2, 32),
    memory_gib: &[256, 512],
    disks: &[
        Disk { name: "sda", model: "DELLBOSS VD", size: 240 * GIB, kind: DiskKind::Flash },
        Disk {
            name: "nvme0n1",
            model: "Dell Ent NVMe P5500 RI U.2",
            size: 3576 * GIB,
            kind: DiskKind::Flash,
        },
    ],
    ports: &[
        Port { name: "eno1", vendor: "Broadcom Inc.", product: "BCM57414 NetXtreme-E", speed: 25_000 },
        Port { name: "eno2", vendor: "Broadcom Inc.", product: "BCM57414 NetXtreme-E", speed: 25_000 },
    ],
    architecture: 7,
    post: seconds(110, 190),
    kexec: Kexec::Works,
    dialect: Dialect {
        system: "System.Embedded.1",
        uuid: Case::Lower,
        done: Done::Empty,
        answer: millis(80, 300),
    },
};

const HPE: Model = Model {
    vendor: "HPE",
    product: "ProLiant DL360 Gen10",
    family: "ProLiant",
    firmware: ("HPE", "U32"),
    oui: [0x94, 0x40, 0xc9],
    cpu: ("Intel(R) Xeon(R) Gold 6248R CPU @ 3.00GHz", 2, 24),
    memory_gib: &[192, 384],
    disks: &[
        Disk { name: "sda", model: "LOGICAL VOLUME", size: 894 * GIB, kind: DiskKind::Flash },
        Disk { name: "sdb", model: "LOGICAL VOLUME", size: 7450 * GIB, kind: DiskKind::Rotating },
    ],
    ports: &[
        Port { name: "eno1", vendor: "Broadcom Inc.", product: "NetXtreme BCM5719", speed: 1000 },
        Port { name: "eno2", vendor: "Broadcom Inc.", product: "NetXtreme BCM5719", speed: 1000 },
        Port { name: "ens1f0", vendor: "Mellanox Technologies", product: "MT27800 Family", speed: 25_000 },
    ],
    architecture: 7,
    post: seconds(140, 240),
    kexec: Kexec::Refused,
    dialect: Dialect { system: "1", uuid: Case::Upper, done: Done::Message, answer: millis(100, 350) },
};

const SUPERMICRO: Model = Model {
    vendor: "Supermicro",
    product: "SYS-1029U-TR4",
    family: "SMC X11",
    firmware: ("American Megatrends Inc.", "3.5"),
    oui: [0xac, 0x1f, 0x6b],
    cpu: ("Intel(R) Xeon(R) Silver 4210 CPU @ 2.20GHz", 2, 10),
    memory_gib: &[96, 192],
    disks: &[
        Disk { name: "sda", model: "INTEL SSDSC2KG48", size: 447 * GIB, kind: DiskKind::Flash },
        Disk { name: "sdb", model: "ST4000NM0035", size: 3726 * GIB, kind: DiskKind::Rotating },
    ],
    ports: &[
        Port { name: "enp1s0f0", vendor: "Intel Corporation", product: "I350 Gigabit", speed: 1000 },
        Port { name: "enp1s0f1", vendor: "Intel Corporation", product: "I350 Gigabit", speed: 1000 },
    ],
    architecture: 0,
    post: seconds(70, 130),
    kexec: Kexec::Works,
    dialect: Dialect { system: "1", uuid: Case::Upper, done: Done::Message, answer: millis(60, 250) },
};

const LENOVO: Model = Model {
    vendor: "Lenovo",
    product: "ThinkSystem SR630 V2",
    family: "ThinkSystem",
    firmware: ("Lenovo", "AFE126K"),
    oui: [0x08, 0x94, 0xef],
    cpu: ("Intel(R) Xeon(R) Gold 5318Y CPU @ 2.10GHz", 2, 24),
    memory_gib: &[128, 256],
    disks: &[Disk { name: "nvme0n1", model: "Lenovo P5620", size: 1490 * GIB, kind: DiskKind::Flash }],
    ports: &[
        Port { name: "ens2f0", vendor: "Intel Corporation", product: "E810-XXV", speed: 25_000 },
        Port { name: "ens2f1", vendor: "Intel Corporation", product: "E810-XXV", speed: 25_000 },
    ],
    architecture: 7,
    post: seconds(120, 200),
    kexec: Kexec::Works,
    dialect: Dialect { system: "1", uuid: Case::Upper, done: Done::Empty, answer: millis(80, 300) },
};

const WHITEBOX: Model = Model {
    vendor: "To Be Filled By O.E.M.",
    product: "To Be Filled By O.E.M.",
    family: "",
    firmware: ("American Megatrends International, LLC.", "L0.23"),
    oui: [0xa8, 0xa1, 0x59],
    cpu: ("AMD EPYC 7313P 16-Core Processor", 1, 16),
    memory_gib: &[32, 64],
    disks: &[Disk { name: "nvme0n1", model: "Samsung SSD 980 PRO", size: 931 * GIB, kind: DiskKind::Flash }],
    ports: &[Port { name: "enp4s0", vendor: "Intel Corporation", product: "I210 Gigabit", speed: 1000 }],
    architecture: 0,
    post: seconds(25, 60),
    kexec: Kexec::Refused,
    dialect: Dialect { system: "system", uuid: Case::Lower, done: Done::Accepted, answer: millis(20, 120) },
};
