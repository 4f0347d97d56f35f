//! A machine's interfaces as network configuration for cloud-init, version 2, which is netplan's form
//! (<https://docs.cloud-init.io/en/latest/reference/network-config-format-v2.html>); pure.
//!
//! Ports are found by MAC address and named as the region knows them. There is one default route at most: that of
//! [`Machine::default_route`], or else that of the first interface with DHCP. What no configuration needs, because it
//! is what a system does by itself, [`is_plain`] tells.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
};

use ipnet::Ipv4Net;
use model::{
    Bond, BondMode, Bridge, BridgeKind, Domain, Gateway, Link, LinkMode, Machine, Nic, NicKind, SCOPE,
    StaticRoute, Subnet, Vlan, children,
};
use serde::Serialize;
use store::Store;

use crate::interface::effective_mtu;

/// Where cloud-init of an installed system finds it: the file that MAAS's installer writes.
pub const PATH: &str = "/etc/cloud/cloud.cfg.d/50-curtin-networking.cfg";

/// Everywhere.
const DEFAULT: &str = "0.0.0.0/0";

/// The networks around a machine, by number.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// Subnets.
    pub subnets: BTreeMap<u64, Subnet>,
    /// VLANs.
    pub vlans: BTreeMap<u64, Vlan>,
    /// Routes between subnets.
    pub routes: Vec<StaticRoute>,
    /// The machine's own domain.
    pub domain: String,
    /// The region's name server as the machine reaches it.
    pub resolver: Option<IpAddr>,
}

impl Surroundings {
    /// What `store` has of them, for a machine that reaches the region's name server at `resolver`.
    pub fn of(store: &Store, machine: &Machine, resolver: Option<IpAddr>) -> Self {
        let subnets =
            store.list::<Subnet>(SCOPE).into_iter().map(|one| (one.value.number, one.value.clone()));
        let vlans = store.list::<Vlan>(SCOPE).into_iter().map(|one| (one.value.number, one.value.clone()));
        let domain = store.get::<Domain>(SCOPE, &machine.domain.to_string());
        Self {
            subnets: subnets.collect(),
            vlans: vlans.collect(),
            routes: store.list::<StaticRoute>(SCOPE).iter().map(|route| route.value.clone()).collect(),
            domain: domain.map(|domain| domain.value.name.clone()).unwrap_or_default(),
            resolver,
        }
    }

    fn gateway(&self, subnet: u64) -> Option<Gateway> {
        let subnet = self.subnets.get(&subnet)?;
        Some(Gateway { ip: subnet.gateway?, managed: subnet.managed })
    }

    fn subnet(&self, link: &Link) -> Option<&Subnet> {
        self.subnets.get(&link.subnet?)
    }
}

/// The configuration as a file for [`PATH`]: JSON, which is YAML, too. In YAML without quotes, cloud-init reads MAC
/// addresses of digits as numbers to the base of 60.
///
/// # Errors
/// None: keys are texts, and there are no numbers but whole ones.
pub fn file(machine: &Machine, around: &Surroundings) -> serde_json::Result<String> {
    serde_json::to_string_pretty(&Config { network: network(machine, around) })
}

/// Whether a system that asks for DHCP on its ports gets the same by itself: no more than one automatic or DHCP link
/// on the boot interface, no interfaces made of others, no settings, and no routes.
pub fn is_plain(machine: &Machine, around: &Surroundings) -> bool {
    let boot = machine.boot_nic().map(|nic| nic.number);
    let routed = |link: &Link| around.routes.iter().any(|route| Some(route.source) == link.subnet);
    let own = |link: &Link| matches!(link.mode, LinkMode::Auto | LinkMode::Dhcp) && !routed(link);
    let plain = |nic: &Nic| {
        let links = match nic.links.as_slice() {
            [] => true,
            [link] if Some(nic.number) == boot => own(link) || link.mode == LinkMode::LinkUp,
            links => links.iter().all(|link| link.mode == LinkMode::LinkUp),
        };
        nic.is_physical() && links && nic.mtu.is_none() && nic.accept_ra.is_none() && !nic.disabled
    };
    machine.nics.iter().all(plain)
}

#[derive(Debug, Serialize)]
struct Config {
    network: Network,
}

#[derive(Debug, Default, Serialize)]
struct Network {
    version: u8,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    ethernets: BTreeMap<String, Device>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    bonds: BTreeMap<String, Device>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    bridges: BTreeMap<String, Device>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    vlans: BTreeMap<String, Device>,
}

/// netplan's device: what is absent, is left to the system.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Device {
    #[serde(rename = "match", skip_serializing_if = "Option::is_none")]
    matched: Option<Match>,
    #[serde(skip_serializing_if = "Option::is_none")]
    set_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    interfaces: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    macaddress: Option<String>,
    mtu: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<Parameters>,
    #[serde(skip_serializing_if = "Option::is_none")]
    openvswitch: Option<OpenVswitch>,
    #[serde(skip_serializing_if = "Option::is_none")]
    accept_ra: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dhcp4: Option<bool>,
    #[serde(rename = "dhcp4-overrides", skip_serializing_if = "Option::is_none")]
    overrides: Option<Overrides>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    addresses: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nameservers: Option<Nameservers>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    routes: Vec<Route>,
    /// Nothing waits for it at the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    optional: Option<bool>,
}

#[derive(Debug, Serialize)]
struct Match {
    macaddress: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Overrides {
    use_routes: bool,
}

#[derive(Debug, Serialize)]
struct Nameservers {
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    search: BTreeSet<String>,
    addresses: Vec<IpAddr>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Route {
    to: String,
    via: Ipv4Addr,
    #[serde(skip_serializing_if = "Option::is_none")]
    metric: Option<u32>,
}

#[derive(Debug, Serialize)]
struct OpenVswitch {}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Parameters {
    Bond(BondParameters),
    Bridge(BridgeParameters),
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct BondParameters {
    mode: &'static str,
    mii_monitor_interval: u32,
    down_delay: u32,
    up_delay: u32,
    gratuitous_arp: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    lacp_rate: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transmit_hash_policy: Option<&'static str>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct BridgeParameters {
    stp: bool,
    forward_delay: u32,
}

/// Linux refuses what does not belong to a bond's mode.
fn bond(bond: &Bond) -> Parameters {
    let hashes = matches!(bond.mode, BondMode::BalanceXor | BondMode::Lacp | BondMode::BalanceTlb);
    Parameters::Bond(BondParameters {
        mode: bond.mode.word(),
        mii_monitor_interval: bond.miimon,
        down_delay: bond.downdelay,
        up_delay: bond.updelay,
        gratuitous_arp: bond.num_grat_arp,
        lacp_rate: (bond.mode == BondMode::Lacp).then(|| bond.lacp_rate.word()),
        transmit_hash_policy: hashes.then(|| bond.xmit_hash_policy.word()),
    })
}

fn bridge(bridge: &Bridge) -> Parameters {
    Parameters::Bridge(BridgeParameters { stp: bridge.stp, forward_delay: bridge.fd })
}

fn network(machine: &Machine, around: &Surroundings) -> Network {
    let mut network = Network { version: 2, ..Network::default() };
    let way_out = WayOut::of(machine, around);
    for nic in machine.nics.iter().filter(|nic| !nic.disabled) {
        let mut device = addressed(machine, nic, around, &way_out);
        let parents =
            || nic.parents.iter().filter_map(|number| machine.nics.iter().find(|n| n.number == *number));
        let names = || parents().filter(|parent| !parent.disabled).map(|parent| parent.name.clone());
        let devices = match &nic.kind {
            NicKind::Physical => {
                device.matched = Some(Match { macaddress: nic.mac.clone() });
                device.set_name = Some(nic.name.clone());
                &mut network.ethernets
            }
            NicKind::Bond(parameters) => {
                device.interfaces = names().collect();
                device.macaddress = Some(nic.mac.clone());
                device.parameters = Some(bond(parameters));
                &mut network.bonds
            }
            NicKind::Bridge(parameters) => {
                device.interfaces = names().collect();
                device.macaddress = Some(nic.mac.clone());
                device.parameters = Some(bridge(parameters));
                device.openvswitch = (parameters.kind == BridgeKind::Ovs).then_some(OpenVswitch {});
                &mut network.bridges
            }
            NicKind::Vlan => {
                device.id = nic.vlan.and_then(|number| around.vlans.get(&number)).map(|vlan| vlan.vid);
                device.link = names().next();
                &mut network.vlans
            }
        };
        devices.insert(nic.name.clone(), device);
    }
    network
}

/// The one link that has the default route.
struct WayOut {
    link: Option<u64>,
    /// The router, where the link's address is not DHCP's.
    gateway: Option<Ipv4Addr>,
}

impl WayOut {
    fn of(machine: &Machine, around: &Surroundings) -> Self {
        match machine.default_route(|subnet| around.gateway(subnet)) {
            Some((link, _)) if link.mode == LinkMode::Dhcp => Self { link: Some(link.number), gateway: None },
            // A link whose address is not known yet cannot have a route.
            Some((link, gateway)) if link.ip.is_some() => {
                Self { link: Some(link.number), gateway: Some(gateway.ip) }
            }
            _ => {
                let mut links = machine.links().filter(|(nic, _)| !nic.disabled);
                let dhcp = links.find(|(_, link)| link.mode == LinkMode::Dhcp);
                Self { link: dhcp.map(|(_, link)| link.number), gateway: None }
            }
        }
    }
}

/// A device with its MTU, addresses, name servers and routes.
fn addressed(machine: &Machine, nic: &Nic, around: &Surroundings, way_out: &WayOut) -> Device {
    let mtu_of = |vlan: u64| around.vlans.get(&vlan).map(|vlan| vlan.mtu);
    let mut device = Device {
        mtu: effective_mtu(nic, &machine.nics, &mtu_of),
        accept_ra: nic.accept_ra,
        ..Device::default()
    };
    for link in &nic.links {
        let Some(subnet) = around.subnet(link) else {
            if link.mode == LinkMode::Dhcp {
                ask_dhcp(&mut device, link, way_out);
            }
            continue;
        };
        match (link.mode, link.ip) {
            (LinkMode::Dhcp, _) => ask_dhcp(&mut device, link, way_out),
            (LinkMode::Auto | LinkMode::Static, Some(ip)) => {
                let net = Ipv4Net::new(ip, subnet.cidr.prefix_len()).unwrap_or(subnet.cidr);
                device.addresses.push(net.to_string());
                name_servers(&mut device, subnet, around);
                if let Some(via) = way_out.gateway.filter(|_| way_out.link == Some(link.number)) {
                    device.routes.push(Route { to: DEFAULT.to_owned(), via, metric: None });
                }
            }
            _ => continue,
        }
        for route in around.routes.iter().filter(|route| route.source == subnet.number) {
            let Some(destination) = around.subnets.get(&route.destination) else { continue };
            let route =
                Route { to: destination.cidr.to_string(), via: route.gateway, metric: Some(route.metric) };
            // Two links to one subnet have its routes once.
            if !device.routes.contains(&route) {
                device.routes.push(route);
            }
        }
    }
    let used = device.dhcp4.is_some() || !device.addresses.is_empty();
    let part = children(&machine.nics, nic.number).next().is_some();
    device.optional = (!used && !part).then_some(true);
    device
}

fn ask_dhcp(device: &mut Device, link: &Link, way_out: &WayOut) {
    device.dhcp4 = Some(true);
    device.overrides = (way_out.link != Some(link.number)).then_some(Overrides { use_routes: false });
}

/// The region's name server where the subnet lets it be asked, then the subnet's own.
fn name_servers(device: &mut Device, subnet: &Subnet, around: &Surroundings) {
    let own = around.resolver.filter(|_| subnet.allow_dns);
    let servers = own.into_iter().chain(subnet.dns_servers.iter().copied());
    for server in servers {
        let domain = Some(&around.domain).filter(|domain| !domain.is_empty());
        let known = device.nameservers.get_or_insert_with(|| Nameservers {
            search: domain.cloned().into_iter().collect(),
            addresses: Vec::new(),
        });
        if !known.addresses.contains(&server) {
            known.addresses.push(server);
        }
    }
}
