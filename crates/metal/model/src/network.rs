//! Networks, names, and what machines are grouped by. Ids are numbers as text unless said otherwise.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use store::Document;

macro_rules! document {
    ($type:ty, $kind:literal) => {
        impl Document for $type {
            const KIND: &'static str = $kind;
        }
    };
}

/// An availability zone; id: its name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Zone {
    /// Number.
    pub number: u64,
    /// For people.
    pub description: String,
}
document!(Zone, "zone");

/// A resource pool; id: its number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pool {
    /// Number; the default pool is 0.
    pub number: u64,
    /// Name, unique.
    pub name: String,
    /// For people.
    pub description: String,
}
document!(Pool, "pool");

/// A tag; id: its name. Machines list the names of their tags.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tag {
    /// For people.
    pub comment: String,
    /// `XPath` by which MAAS applies it automatically; empty: by hand.
    pub definition: String,
    /// Added to the kernel command line of tagged machines.
    pub kernel_opts: String,
}
document!(Tag, "tag");

/// A DNS zone; id: its number. The default domain is 0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Domain {
    /// Number.
    pub number: u64,
    /// Name, unique.
    pub name: String,
    /// Answered with authority.
    pub authoritative: bool,
    /// Seconds; the global default where absent.
    pub ttl: Option<u32>,
}
document!(Domain, "domain");

/// A name with addresses or records, made by a user; id: its number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DnsResource {
    /// Number.
    pub number: u64,
    /// Label inside the domain; `@` is the domain itself.
    pub name: String,
    /// The domain's number.
    pub domain: u64,
    /// Seconds for the addresses.
    pub address_ttl: Option<u32>,
    /// Addresses.
    pub addresses: Vec<std::net::IpAddr>,
    /// Other records.
    #[serde(default)]
    pub records: Vec<DnsRecord>,
}
document!(DnsResource, "dns_resource");

/// A record that is not an address.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DnsRecord {
    /// Number.
    pub number: u64,
    /// Such as `TXT`.
    pub rrtype: String,
    /// In zone-file form.
    pub rrdata: String,
    /// Seconds.
    pub ttl: Option<u32>,
}

/// A layer-2 world; id: its number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fabric {
    /// Number.
    pub number: u64,
    /// Name.
    pub name: String,
    /// For people.
    pub class_type: Option<String>,
    /// For people.
    #[serde(default)]
    pub description: String,
}
document!(Fabric, "fabric");

/// A layer-3 group; id: its number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Space {
    /// Number.
    pub number: u64,
    /// Name.
    pub name: String,
    /// For people.
    #[serde(default)]
    pub description: String,
}
document!(Space, "space");

/// A VLAN; id: its number (MAAS numbers them from 5001).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Vlan {
    /// Number.
    pub number: u64,
    /// The fabric's number.
    pub fabric: u64,
    /// 0: untagged.
    pub vid: u16,
    /// Name.
    pub name: Option<String>,
    /// For people.
    #[serde(default)]
    pub description: String,
    /// Bytes.
    pub mtu: u16,
    /// Whether we serve DHCP on it.
    pub dhcp_on: bool,
    /// The space's number.
    pub space: Option<u64>,
}
document!(Vlan, "vlan");

/// A subnet; id: its number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Subnet {
    /// Number.
    pub number: u64,
    /// Name.
    pub name: String,
    /// For people.
    #[serde(default)]
    pub description: String,
    /// The network.
    pub cidr: Ipv4Net,
    /// The VLAN's number.
    pub vlan: u64,
    /// Default route of its machines.
    pub gateway: Option<Ipv4Addr>,
    /// Name servers beside the region.
    pub dns_servers: Vec<std::net::IpAddr>,
    /// Whether addresses outside ranges are ours to give.
    pub managed: bool,
    /// Whether machines may ask our DNS for names that are not ours.
    pub allow_dns: bool,
    /// Whether machines may use the proxy, where there is one.
    #[serde(default = "yes")]
    pub allow_proxy: bool,
    /// Names for its addresses: 0 none, 1 a zone, 2 also for networks smaller than /24 (RFC 2317).
    #[serde(default = "whole_reverse")]
    pub rdns_mode: u8,
}
document!(Subnet, "subnet");

const fn yes() -> bool {
    true
}

const fn whole_reverse() -> u8 {
    2
}

/// A part of a subnet with a purpose; id: its number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IpRange {
    /// Number.
    pub number: u64,
    /// The subnet's number.
    pub subnet: u64,
    /// Purpose.
    pub kind: RangeKind,
    /// First address.
    pub start: Ipv4Addr,
    /// Last address.
    pub end: Ipv4Addr,
    /// For people.
    #[serde(default)]
    pub comment: String,
    /// Who made it.
    #[serde(default)]
    pub user: Option<String>,
}
document!(IpRange, "ip_range");

/// Purpose of an [`IpRange`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RangeKind {
    /// DHCP gives these to machines it does not know.
    Dynamic,
    /// Nobody gives these.
    Reserved,
}

/// A DHCP lease; id: the address.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lease {
    /// The address.
    pub ip: Ipv4Addr,
    /// Whose: a MAC address, lower case with colons.
    pub mac: String,
    /// `bound`, `released` or `declined`.
    pub state: String,
    /// When it began.
    pub since: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
    /// Name that the client gave.
    pub hostname: Option<String>,
}
document!(Lease, "lease");

/// An address that a user keeps for themselves; id: the address. The name `ip` is claimed for `user:NAME`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReservedAddress {
    /// Who has it.
    pub user: String,
    /// Since when.
    pub created: Timestamp,
}
document!(ReservedAddress, "reserved_address");

/// An address that DHCP keeps for one MAC address; id: the address. The name `ip` is claimed for `mac:MAC`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReservedIp {
    /// Number.
    pub number: u64,
    /// The address.
    pub ip: Ipv4Addr,
    /// The subnet's number.
    pub subnet: u64,
    /// Whose: lower case with colons.
    pub mac: String,
    /// For people.
    pub comment: String,
}
document!(ReservedIp, "reserved_ip");

/// A route that machines of one subnet have to another; id: its number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StaticRoute {
    /// Number.
    pub number: u64,
    /// Number of the subnet whose machines have it.
    pub source: u64,
    /// Number of the subnet that it leads to.
    pub destination: u64,
    /// The router, in the source subnet.
    pub gateway: Ipv4Addr,
    /// Smaller is better.
    pub metric: u32,
}
document!(StaticRoute, "static_route");

/// Discoveries that a user does not want to see any more; id: `IP,MAC`, or [`Self::ALL`].
///
/// What was seen is a lease, which stays: only the list forgets it, until the host is seen again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClearedDiscovery {
    /// What was seen until then is not shown.
    pub until: Timestamp,
}
document!(ClearedDiscovery, "cleared_discovery");

impl ClearedDiscovery {
    /// The id that stands for every discovery.
    pub const ALL: &str = "all";
}
