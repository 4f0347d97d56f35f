//! Links of interfaces to subnets, and the choice of a default gateway; pure.

use std::net::Ipv4Addr;

use api_call::{ApiError, Faults};
use model::{IpRange, Link, LinkMode, Machine, Nic, NicKind, RangeKind, Subnet, children};

use super::{
    change::{Around, ensure_link_up, find, forget_gateway, may_move, missing, settle},
    wanted::not_a_choice,
};
use crate::subnets::NO_CHOICE;

/// What `link_subnet` is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Where the address comes from, as sent.
    pub mode: String,
    /// Number of the subnet; `None` where none was sent.
    pub subnet: Option<Result<u64, Unknown>>,
    /// The address, for static ones; `None`: any that is free.
    pub ip: Option<Ipv4Addr>,
    /// Take other links away, and leave the VLAN if need be.
    pub force: bool,
    /// Make its subnet's gateway the machine's.
    pub default_gateway: bool,
}

/// What was sent names no subnet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unknown;

/// A link that may be made: [`Plan::carry_out`] does it.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct Plan<'s> {
    /// Where its address comes from.
    pub mode: LinkMode,
    /// Its subnet.
    pub subnet: Option<&'s Subnet>,
    /// The address that was asked for.
    pub ip: Option<Ipv4Addr>,
    force: bool,
    default_gateway: bool,
}

/// Checks what is asked for.
///
/// # Errors
/// [`ApiError::Fields`] in MAAS's words.
pub fn plan<'s>(
    machine: &Machine,
    nic: &Nic,
    wanted: &Wanted,
    ranges: &[IpRange],
    around: &'s Around<'_>,
) -> Result<Plan<'s>, ApiError> {
    let mut faults = Faults::default();
    if let Some(bond) =
        children(&machine.nics, nic.number).find(|child| matches!(child.kind, NicKind::Bond(_)))
    {
        let (name, bond) = (&nic.name, &bond.name);
        faults.add("bond", format!("Cannot link interface({name}) when interface is in a bond({bond})."));
    }
    let mode = LinkMode::parse(&wanted.mode);
    if wanted.mode.is_empty() {
        faults.add("mode", "This field is required.");
    } else if mode.is_none() {
        faults.add("mode", not_a_choice("mode", &wanted.mode, LinkMode::ALL.iter().map(|mode| mode.word())));
    }
    let subnet = match wanted.subnet {
        None => None,
        Some(Ok(number)) => {
            let fits = |subnet: &&Subnet| {
                let moved = nic.vlan.is_none() || wanted.force;
                Some(subnet.vlan) == nic.vlan || moved && may_move(&machine.nics, nic, subnet.vlan, around)
            };
            let found = around.subnets.get(&number).filter(fits);
            if found.is_none() {
                faults.add("subnet", NO_CHOICE);
            }
            found
        }
        Some(Err(Unknown)) => {
            faults.add("subnet", NO_CHOICE);
            None
        }
    };
    if let Some(mode) = mode {
        check_mode(nic, mode, subnet, wanted, ranges, around, &mut faults);
    }
    let plan = mode.map(|mode| Plan {
        mode,
        subnet,
        ip: wanted.ip.filter(|_| mode == LinkMode::Static),
        force: wanted.force,
        default_gateway: wanted.default_gateway,
    });
    faults.check()?;
    plan.ok_or_else(|| ApiError::field("mode", "This field is required."))
}

fn check_mode(
    nic: &Nic,
    mode: LinkMode,
    subnet: Option<&Subnet>,
    wanted: &Wanted,
    ranges: &[IpRange],
    around: &Around<'_>,
    faults: &mut Faults,
) {
    let addressed = matches!(mode, LinkMode::Auto | LinkMode::Static);
    if addressed && wanted.subnet.is_none() {
        faults.add("subnet", "This field is required.");
    }
    match mode {
        LinkMode::Auto => {}
        LinkMode::Static => {
            if let (Some(subnet), Some(ip)) = (subnet, wanted.ip) {
                check_address(subnet, ip, ranges, around, faults);
            }
        }
        LinkMode::Dhcp => {
            if let Some(link) = nic.links.iter().find(|link| link.mode == LinkMode::Dhcp && !wanted.force) {
                let from = link.subnet.and_then(|number| around.subnets.get(&number));
                let from =
                    from.map_or_else(String::new, |subnet| format!(" from '{}'", name(subnet, around)));
                faults.add("mode", format!("Interface is already set to DHCP{from}."));
            }
        }
        LinkMode::LinkUp => {
            if !wanted.force && nic.links.iter().any(|link| link.mode != LinkMode::LinkUp) {
                faults.add(
                    "mode",
                    "Cannot configure interface to link up (with no IP address) while other links are already configured. Specify force=True to override this behavior and delete all links.",
                );
            }
        }
    }
    if !wanted.default_gateway {
        return;
    }
    match subnet {
        _ if !addressed => {
            faults.add("default_gateway", format!("Cannot use in mode '{}'.", mode.word()));
        }
        None => faults.add("default_gateway", "Subnet is required when default_gateway is True."),
        Some(subnet) if subnet.gateway.is_none() => {
            let name = name(subnet, around);
            faults.add(
                "default_gateway",
                format!(
                    "Cannot set as default gateway because subnet {name} doesn't provide a gateway IP address."
                ),
            );
        }
        Some(_) => {}
    }
}

fn check_address(
    subnet: &Subnet,
    ip: Ipv4Addr,
    ranges: &[IpRange],
    around: &Around<'_>,
    faults: &mut Faults,
) {
    let edge =
        subnet.cidr.prefix_len() < 31 && (ip == subnet.cidr.network() || ip == subnet.cidr.broadcast());
    if !subnet.cidr.contains(&ip) {
        let name = name(subnet, around);
        faults.add("ip_address", format!("IP address is not in the given subnet '{name}'."));
    } else if edge || subnet.gateway == Some(ip) {
        faults.add(
            "ip_address",
            format!("{ip} is the address of the network, of its gateway or of everybody."),
        );
    }
    let dynamic = |range: &&IpRange| {
        range.subnet == subnet.number
            && range.kind == RangeKind::Dynamic
            && (range.start..=range.end).contains(&ip)
    };
    if let Some(range) = ranges.iter().find(dynamic) {
        let words = format!("IP address is inside a dynamic range {} to {}.", range.start, range.end);
        faults.add("ip_address", words);
    }
}

/// A subnet as MAAS's sentences call it.
fn name(subnet: &Subnet, around: &Around<'_>) -> String {
    let vid = around.vlans.get(&subnet.vlan).map_or(0, |vlan| vlan.vid);
    format!("{}:{}(vid={vid})", subnet.name, subnet.cidr)
}

impl Plan<'_> {
    /// Takes away what gives way to the new link; before its address is chosen, for it may be one of theirs.
    pub fn clear(&self, nic: &mut Nic) {
        if self.force || self.mode == LinkMode::LinkUp {
            nic.links.clear();
        } else {
            nic.links.retain(|link| link.mode != LinkMode::LinkUp);
        }
    }

    /// Makes the link, with this address.
    ///
    /// # Errors
    /// [`ApiError::NotFound`].
    pub fn carry_out(
        &self,
        machine: &mut Machine,
        number: u64,
        ip: Option<Ipv4Addr>,
        around: &Around<'_>,
    ) -> Result<(), ApiError> {
        let before = machine.nics.clone();
        let nic = machine.nics.iter_mut().find(|nic| nic.number == number).ok_or_else(missing)?;
        if let Some(subnet) = self.subnet {
            nic.vlan = Some(subnet.vlan);
        }
        let link = Link {
            number: (around.number)(),
            mode: self.mode,
            subnet: self.subnet.map(|subnet| subnet.number),
            ip,
        };
        if self.default_gateway {
            machine.default_gateway = Some(link.number);
        }
        nic.links.push(link);
        settle(machine, &before, around);
        Ok(())
    }
}

/// Takes a link away; `sent` is its number.
///
/// # Errors
/// [`ApiError::NotFound`]; [`ApiError::Fields`] in MAAS's words.
pub fn unlink(machine: &mut Machine, number: u64, sent: &str, around: &Around<'_>) -> Result<(), ApiError> {
    let nic = machine.nics.iter_mut().find(|nic| nic.number == number).ok_or_else(missing)?;
    if sent.is_empty() {
        return Err(ApiError::field("id", "This field is required."));
    }
    let Some(at) = nic.links.iter().position(|link| link.number.to_string() == sent) else {
        let all = nic.links.iter().map(|link| link.number);
        return Err(ApiError::field("id", not_a_choice("id", sent, all)));
    };
    nic.links.remove(at);
    ensure_link_up(machine, number, around);
    forget_gateway(machine);
    Ok(())
}

/// Takes every link and the VLAN away. A part of a bond or bridge stays in its VLAN, and a VLAN interface in its own.
///
/// # Errors
/// [`ApiError::NotFound`].
pub fn disconnect(machine: &mut Machine, number: u64, around: &Around<'_>) -> Result<(), ApiError> {
    let before = machine.nics.clone();
    let nic = machine.nics.iter_mut().find(|nic| nic.number == number).ok_or_else(missing)?;
    nic.links.clear();
    if nic.kind != NicKind::Vlan {
        nic.vlan = None;
    }
    settle(machine, &before, around);
    Ok(())
}

/// Makes the gateway of a link's subnet the machine's default one; `sent` is the link's number, or empty.
///
/// # Errors
/// [`ApiError::NotFound`]; [`ApiError::Fields`] in MAAS's words.
pub fn set_default_gateway(
    machine: &mut Machine,
    number: u64,
    sent: &str,
    around: &Around<'_>,
) -> Result<(), ApiError> {
    let nic = find(&machine.nics, number).ok_or_else(missing)?;
    let gateway = |link: &Link| around.subnets.get(&link.subnet?)?.gateway;
    let usable: Vec<(u64, Ipv4Addr)> = nic
        .links
        .iter()
        .filter(|link| link.mode != LinkMode::LinkUp)
        .filter_map(|link| Some((link.number, gateway(link)?)))
        .collect();
    let Some((first, router)) = usable.first().copied() else {
        return Err(ApiError::field("__all__", "This interface has no usable gateways."));
    };
    machine.default_gateway = if sent.is_empty() {
        if usable.iter().any(|(_, other)| *other != router) {
            let words = "This field is required; Interface has more than one usable IPv4 gateway.";
            return Err(ApiError::field("link_id", words));
        }
        Some(first)
    } else {
        let chosen = usable.iter().map(|(link, _)| *link).find(|link| link.to_string() == sent);
        if chosen.is_none() {
            let all = usable.iter().map(|(link, _)| *link);
            return Err(ApiError::field("link_id", not_a_choice("link_id", sent, all)));
        }
        chosen
    };
    Ok(())
}
