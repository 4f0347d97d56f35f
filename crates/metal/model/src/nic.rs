//! A machine's network interfaces: physical ones, and bonds, bridges and VLANs above them.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::Machine;

/// A set of words that MAAS knows, as a type.
macro_rules! choice {
    ($(#[$about:meta])* $name:ident { $($(#[$each:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$each])* #[serde(rename = $word)] $variant,)+
        }

        impl $name {
            /// Every one, in MAAS's order.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// As MAAS and its clients write it.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            /// What a word means, in any case; `None` if nothing.
            pub fn parse(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.word().eq_ignore_ascii_case(word.trim()))
            }
        }
    };
}

/// A network interface.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Nic {
    /// Number, unique in the region.
    pub number: u64,
    /// Kernel name, such as `eth0`, unique in the machine.
    pub name: String,
    /// Lower case with colons. Interfaces above others mostly have the MAC address of their first parent.
    pub mac: String,
    /// The VLAN's number, where known.
    pub vlan: Option<u64>,
    /// Whether firmware booted from it.
    pub boot: bool,
    /// Whether a cable is in.
    pub link_connected: bool,
    /// Mbit/s.
    pub link_speed: u32,
    /// Mbit/s.
    pub interface_speed: u32,
    /// Vendor.
    pub vendor: String,
    /// Product.
    pub product: String,
    /// Tags.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Configured links.
    pub links: Vec<Link>,
    /// What it is.
    #[serde(default)]
    pub kind: NicKind,
    /// Numbers of the interfaces that it is made of, in the order they were named.
    #[serde(default)]
    pub parents: Vec<u64>,
    /// MTU in bytes, where it is not the VLAN's.
    #[serde(default)]
    pub mtu: Option<u32>,
    /// Whether IPv6 router advertisements are accepted; absent: as the system likes.
    #[serde(default)]
    pub accept_ra: Option<bool>,
    /// Not used at all.
    #[serde(default)]
    pub disabled: bool,
    /// When it goes.
    #[serde(default)]
    pub lasts: Lasts,
}

/// How long an interface stays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lasts {
    /// Until it is deleted.
    #[default]
    Always,
    /// Until the machine is released: whoever allocated the machine made it.
    Allocation,
}

/// What an interface is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NicKind {
    /// A port of a network card.
    #[default]
    Physical,
    /// Several ports as one.
    Bond(Bond),
    /// A switch in software.
    Bridge(Bridge),
    /// One tagged VLAN of its parent.
    Vlan,
}

/// Parameters of a bond; defaults are MAAS's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bond {
    /// How its ports are used.
    pub mode: BondMode,
    /// Milliseconds between two looks at the links.
    pub miimon: u32,
    /// Milliseconds before a port that lost its link is left.
    pub downdelay: u32,
    /// Milliseconds before a port that has its link again is used.
    pub updelay: u32,
    /// How often the partner is to speak, with 802.3ad.
    pub lacp_rate: LacpRate,
    /// What decides about the port of a frame.
    pub xmit_hash_policy: HashPolicy,
    /// Announcements after a failover.
    pub num_grat_arp: u8,
}

impl Default for Bond {
    fn default() -> Self {
        Self {
            mode: BondMode::BalanceRr,
            miimon: 100,
            downdelay: 0,
            updelay: 0,
            lacp_rate: LacpRate::Fast,
            xmit_hash_policy: HashPolicy::Layer2,
            num_grat_arp: 1,
        }
    }
}

/// Parameters of a bridge; defaults are MAAS's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bridge {
    /// Who switches.
    pub kind: BridgeKind,
    /// Whether the spanning tree protocol is spoken.
    pub stp: bool,
    /// Forward delay in seconds.
    pub fd: u32,
}

impl Default for Bridge {
    fn default() -> Self {
        Self { kind: BridgeKind::Standard, stp: false, fd: 15 }
    }
}

choice! {
    /// How a bond uses its ports (Linux's bonding modes).
    #[allow(missing_docs)]
    BondMode {
        BalanceRr = "balance-rr",
        ActiveBackup = "active-backup",
        BalanceXor = "balance-xor",
        Broadcast = "broadcast",
        Lacp = "802.3ad",
        BalanceTlb = "balance-tlb",
        BalanceAlb = "balance-alb",
    }
}

choice! {
    /// How often LACP's partner is to speak.
    LacpRate {
        /// Each second.
        Fast = "fast",
        /// Each 30 seconds.
        Slow = "slow",
    }
}

choice! {
    /// What of a frame decides about its port.
    #[allow(missing_docs)]
    HashPolicy {
        Layer2 = "layer2",
        Layer23 = "layer2+3",
        Layer34 = "layer3+4",
        Encap23 = "encap2+3",
        Encap34 = "encap3+4",
    }
}

choice! {
    /// Who switches in a bridge.
    BridgeKind {
        /// The kernel.
        Standard = "standard",
        /// Open vSwitch.
        Ovs = "ovs",
    }
}

/// A subnet link of an interface.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Link {
    /// Number.
    pub number: u64,
    /// Where its address comes from.
    pub mode: LinkMode,
    /// The subnet's number.
    pub subnet: Option<u64>,
    /// The address; with [`LinkMode::Auto`] claimed at deployment.
    pub ip: Option<Ipv4Addr>,
}

choice! {
    /// Where the address of a link comes from.
    LinkMode {
        /// Claimed when the machine is deployed, given back when it is released.
        Auto = "auto",
        /// DHCP.
        Dhcp = "dhcp",
        /// Claimed when the link is made.
        Static = "static",
        /// Nowhere: the interface is up without an address.
        LinkUp = "link_up",
    }
}

impl Nic {
    /// A port of which nothing more is known.
    pub fn physical(number: u64, name: &str, mac: &str) -> Self {
        Self {
            number,
            name: name.to_owned(),
            mac: mac.to_owned(),
            vlan: None,
            boot: false,
            link_connected: true,
            link_speed: 0,
            interface_speed: 0,
            vendor: String::new(),
            product: String::new(),
            tags: Vec::new(),
            links: Vec::new(),
            kind: NicKind::Physical,
            parents: Vec::new(),
            mtu: None,
            accept_ra: None,
            disabled: false,
            lasts: Lasts::Always,
        }
    }

    /// Whether it is a port of a network card.
    pub fn is_physical(&self) -> bool {
        self.kind == NicKind::Physical
    }
}

impl NicKind {
    /// MAAS's word.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Physical => "physical",
            Self::Bond(_) => "bond",
            Self::Bridge(_) => "bridge",
            Self::Vlan => "vlan",
        }
    }
}

/// A subnet's way out, as the choice of a default route wants to know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gateway {
    /// The router.
    pub ip: Ipv4Addr,
    /// Whether the subnet's addresses are ours to give.
    pub managed: bool,
}

/// Interfaces that are made of the one with this number.
pub fn children(nics: &[Nic], number: u64) -> impl Iterator<Item = &Nic> + Clone {
    nics.iter().filter(move |nic| nic.parents.contains(&number))
}

impl Machine {
    /// The interface that firmware boots from, or the first port.
    pub fn boot_nic(&self) -> Option<&Nic> {
        self.nics.iter().find(|nic| nic.boot).or_else(|| self.nics.iter().find(|nic| nic.is_physical()))
    }

    /// The address of the boot interface, or of what is made of it, or else the first there is.
    pub fn address(&self) -> Option<Ipv4Addr> {
        let boot = self.boot_nic()?;
        let mut above = vec![boot.number];
        let mut next = 0;
        // A document with a circle ends this, too: no number comes twice.
        while let Some(number) = above.get(next).copied() {
            next += 1;
            for child in children(&self.nics, number) {
                if !above.contains(&child.number) {
                    above.push(child.number);
                }
            }
        }
        let of = |number: &u64| {
            let nic = self.nics.iter().find(|nic| nic.number == *number)?;
            nic.links.iter().find_map(|link| link.ip)
        };
        above.iter().find_map(of).or_else(|| self.links().find_map(|(_, link)| link.ip))
    }

    /// Every link, with its interface.
    pub fn links(&self) -> impl Iterator<Item = (&Nic, &Link)> + Clone {
        self.nics.iter().flat_map(|nic| nic.links.iter().map(move |link| (nic, link)))
    }

    /// The link whose subnet has the default route, and the router: the chosen one, or MAAS's guess: managed subnets
    /// before others, bonds and bridges before the boot interface before other ports before VLANs, static addresses
    /// before automatic ones; what was made first. `gateway` says the way out of a subnet by its number.
    pub fn default_route(&self, gateway: impl Fn(u64) -> Option<Gateway>) -> Option<(&Link, Gateway)> {
        let routed = || {
            self.links()
                .filter_map(|(nic, link)| Some((nic, link, gateway(link.subnet?)?)))
                .filter(|(nic, link, _)| !nic.disabled && link.mode != LinkMode::LinkUp)
        };
        let chosen = routed().find(|(_, link, _)| Some(link.number) == self.default_gateway);
        let guess = || {
            routed().filter(|(_, link, _)| link.mode != LinkMode::Dhcp).min_by_key(|(nic, link, gateway)| {
                let kind = match nic.kind {
                    NicKind::Bond(_) | NicKind::Bridge(_) => 0,
                    NicKind::Physical if nic.boot => 1,
                    NicKind::Physical => 2,
                    NicKind::Vlan => 3,
                };
                (!gateway.managed, kind, link.mode != LinkMode::Static, nic.number, link.number)
            })
        };
        chosen.or_else(guess).map(|(_, link, gateway)| (link, gateway))
    }

    /// Takes bridges that were made for one deployment away; their parents have the links again.
    pub(crate) fn drop_acquired(&mut self) {
        let (gone, mut kept): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.nics).into_iter().partition(|nic| nic.lasts == Lasts::Allocation);
        for bridge in gone {
            if let Some(parent) = kept.iter_mut().find(|nic| bridge.parents.contains(&nic.number)) {
                parent.links = bridge.links;
            }
        }
        self.nics = kept;
    }
}
