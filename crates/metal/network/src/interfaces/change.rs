//! Making, changing and deleting the interfaces of one machine; pure.
//!
//! What holds before and after each operation: names are unique; no interface is made of itself, however indirectly;
//! what is part of a bond is part of nothing else, and in the bond's VLAN; a VLAN interface has its parent's MAC
//! address, and a name made of its parent's; every link is in its interface's VLAN.

use std::collections::BTreeMap;

use api_call::{ApiError, Faults};
use lifecycle::Status;
use model::{Bond, Bridge, Lasts, Link, LinkMode, Machine, Nic, NicKind, Subnet, Vlan, children};

use super::wanted::{Sent, Wanted, name_fault};
use crate::subnets::NO_CHOICE;

/// What the operations have to know beside the machine.
pub struct Around<'a> {
    /// The machine as MAAS's sentences call it: `8x8q3x (m1.maas)`.
    pub node: String,
    /// VLANs by number.
    pub vlans: BTreeMap<u64, Vlan>,
    /// Subnets by number.
    pub subnets: BTreeMap<u64, Subnet>,
    /// Another machine's interface that has this MAC address, as MAAS's sentences call it.
    pub stranger: &'a dyn Fn(&str) -> Option<String>,
    /// A number that no interface and no link has.
    pub number: &'a dyn Fn() -> u64,
}

/// What can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum New {
    /// A port that no inventory told of.
    Physical,
    /// A bond.
    Bond,
    /// A bridge.
    Bridge,
    /// A VLAN interface.
    Vlan,
}

/// Makes an interface; its number.
///
/// # Errors
/// [`ApiError::Fields`] in MAAS's words.
pub fn create(
    machine: &mut Machine,
    new: New,
    wanted: &Wanted,
    around: &Around<'_>,
) -> Result<u64, ApiError> {
    let kind = match new {
        New::Physical => NicKind::Physical,
        New::Bond => NicKind::Bond(wanted.bond.on(&Bond::default())),
        New::Bridge => NicKind::Bridge(wanted.bridge.on(&Bridge::default())),
        New::Vlan => NicKind::Vlan,
    };
    let mut faults = Faults::default();
    let mut nic = Nic { kind, ..Nic::physical(0, "", "") };
    let lent = new == New::Bridge && machine.status == Status::Allocated;
    if lent {
        nic.lasts = Lasts::Allocation;
    }
    nic.parents = wanted.parents.clone().unwrap_or_default();
    let first = nic.parents.first().and_then(|number| find(&machine.nics, *number)).cloned();
    // A bridge for one deployment is where its parent is.
    nic.vlan = match &wanted.vlan {
        Sent::Value(vlan) if !lent => Some(*vlan),
        _ if new == New::Physical || new == New::Vlan => None,
        _ => first.as_ref().and_then(|parent| parent.vlan),
    };
    nic.mac = wanted.mac.clone().or_else(|| Some(first.as_ref()?.mac.clone())).unwrap_or_default();
    nic.name = match (&wanted.name, new, &first) {
        (Some(name), ..) if new != New::Vlan => name.clone(),
        (_, New::Physical, _) => next_name(&machine.nics),
        (_, New::Bridge, Some(parent)) => format!("br-{}", parent.name).chars().take(15).collect(),
        _ => String::new(),
    };
    apply(&mut nic, wanted);
    if new == New::Physical && wanted.mac.is_none() {
        faults.add("mac_address", "This field is required.");
    }
    if new == New::Bond && wanted.name.is_none() {
        faults.add("name", "This field is required.");
    }
    let parents_are = if matches!(new, New::Bridge | New::Vlan) { "parent" } else { "parents" };
    check(&machine.nics, &mut nic, &machine.hostname, parents_are, around, &mut faults);
    faults.check()?;

    nic.number = (around.number)();
    let number = nic.number;
    let before = machine.nics.clone();
    let links = take_links(machine, &nic, &[]);
    if lent {
        nic.links = links;
    }
    machine.nics.push(nic);
    settle(machine, &before, around);
    ensure_link_up(machine, number, around);
    Ok(number)
}

/// Changes an interface. Of a deployed machine's, only what describes the hardware can be changed (MAAS).
///
/// # Errors
/// [`ApiError::NotFound`]; [`ApiError::Fields`] in MAAS's words.
pub fn update(
    machine: &mut Machine,
    number: u64,
    wanted: &Wanted,
    around: &Around<'_>,
) -> Result<(), ApiError> {
    let mut nic = find(&machine.nics, number).ok_or_else(missing)?.clone();
    let mut faults = Faults::default();
    let before = machine.nics.clone();
    if let Some(name) = wanted.name.as_ref().filter(|_| nic.kind != NicKind::Vlan) {
        nic.name.clone_from(name);
    }
    if machine.status == Status::Deployed {
        nic.mac = wanted.mac.clone().unwrap_or(nic.mac);
        describe(&mut nic, wanted);
    } else {
        if let Some(parents) = &wanted.parents {
            nic.parents.clone_from(parents);
        }
        nic.vlan = wanted.vlan.clone().on(nic.vlan);
        let was = find(&before, number).map_or(&[][..], |nic| &nic.parents);
        // It had the address of a parent that it has no longer.
        let lost = lends(&before, was, &nic.mac) && !lends(&before, &nic.parents, &nic.mac);
        let first = nic.parents.first().and_then(|parent| find(&before, *parent)).filter(|_| lost);
        nic.mac = wanted.mac.clone().or_else(|| Some(first?.mac.clone())).unwrap_or(nic.mac);
        match &mut nic.kind {
            NicKind::Bond(bond) => *bond = wanted.bond.on(bond),
            NicKind::Bridge(bridge) => *bridge = wanted.bridge.on(bridge),
            NicKind::Physical | NicKind::Vlan => {}
        }
        apply(&mut nic, wanted);
    }
    if !nic.link_connected && wanted.link_speed.is_some_and(|speed| speed > 0) {
        faults.add("__all__", "link_speed cannot be set when link_connected is false.");
    }
    let parents_are = if nic.kind == NicKind::Vlan { "parent" } else { "parents" };
    check(&machine.nics, &mut nic, &machine.hostname, parents_are, around, &mut faults);
    faults.check()?;
    let was = find(&before, number).map(|nic| nic.parents.clone()).unwrap_or_default();
    take_links(machine, &nic, &was);
    let left: Vec<u64> = was.into_iter().filter(|parent| !nic.parents.contains(parent)).collect();
    if let Some(place) = machine.nics.iter_mut().find(|other| other.number == number) {
        *place = nic;
    }
    settle(machine, &before, around);
    for parent in left {
        ensure_link_up(machine, parent, around);
    }
    Ok(())
}

/// Deletes an interface, with what is made of it alone. What it was made of is up by itself again.
///
/// # Errors
/// [`ApiError::NotFound`].
pub fn delete(machine: &mut Machine, number: u64, around: &Around<'_>) -> Result<(), ApiError> {
    find(&machine.nics, number).ok_or_else(missing)?;
    let before = machine.nics.clone();
    let mut gone = vec![number];
    while let Some(number) = gone.pop() {
        let Some(at) = machine.nics.iter().position(|nic| nic.number == number) else { continue };
        let nic = machine.nics.remove(at);
        let next = |parents: &[u64]| {
            parents.iter().find(|p| **p != number).and_then(|p| find(&before, *p)).map(|p| p.mac.clone())
        };
        for child in machine.nics.iter_mut().filter(|child| child.parents.contains(&number)) {
            if child.mac == nic.mac
                && let Some(mac) = next(&child.parents)
            {
                child.mac = mac;
            }
            child.parents.retain(|parent| *parent != number);
            if child.parents.is_empty() {
                gone.push(child.number);
            }
        }
    }
    settle(machine, &before, around);
    for parent in before.iter().find(|nic| nic.number == number).into_iter().flat_map(|nic| &nic.parents) {
        ensure_link_up(machine, *parent, around);
    }
    Ok(())
}

/// Takes everything back that was configured: ports are as a commissioning leaves them, and nothing is above them.
/// The boot interface gets its link by [`model::addresses::link_boot_nic`].
pub fn restore(machine: &mut Machine, around: &Around<'_>) {
    machine.nics.retain(Nic::is_physical);
    for nic in &mut machine.nics {
        nic.links.clear();
        (nic.mtu, nic.accept_ra, nic.disabled) = (None, None, false);
    }
    machine.default_gateway = None;
    let boot = machine.boot_nic().map(|nic| nic.number);
    let others: Vec<u64> = machine.nics.iter().map(|nic| nic.number).filter(|n| Some(*n) != boot).collect();
    for number in others {
        ensure_link_up(machine, number, around);
    }
}

/// The interface with this number.
pub fn find(nics: &[Nic], number: u64) -> Option<&Nic> {
    nics.iter().find(|nic| nic.number == number)
}

/// 404.
pub fn missing() -> ApiError {
    ApiError::NotFound("Interface".to_owned())
}

/// Gives an interface in a VLAN a link without an address, if it has none and is part of no bond or bridge.
pub fn ensure_link_up(machine: &mut Machine, number: u64, around: &Around<'_>) {
    let part = children(&machine.nics, number).any(|child| child.kind != NicKind::Vlan);
    if let Some(nic) = machine.nics.iter_mut().find(|nic| nic.number == number)
        && nic.vlan.is_some()
        && nic.links.is_empty()
        && !part
    {
        nic.links.push(Link { number: (around.number)(), mode: LinkMode::LinkUp, subnet: None, ip: None });
    }
}

/// Takes the links of what becomes part of a bond or bridge: it has the addresses from now on.
fn take_links(machine: &mut Machine, nic: &Nic, were: &[u64]) -> Vec<Link> {
    if !matches!(nic.kind, NicKind::Bond(_) | NicKind::Bridge(_)) {
        return Vec::new();
    }
    let joining = |parent: &&mut Nic| nic.parents.contains(&parent.number) && !were.contains(&parent.number);
    machine.nics.iter_mut().filter(joining).flat_map(|parent| std::mem::take(&mut parent.links)).collect()
}

/// Whether one of these interfaces has this MAC address.
fn lends(nics: &[Nic], parents: &[u64], mac: &str) -> bool {
    parents.iter().filter_map(|number| find(nics, *number)).any(|parent| parent.mac == mac)
}

/// `ethN`, one above the highest.
fn next_name(nics: &[Nic]) -> String {
    let used = nics.iter().filter_map(|nic| nic.name.strip_prefix("eth")?.parse::<u32>().ok());
    format!("eth{}", used.max().map_or(0, |last| last.saturating_add(1)))
}

/// Takes over what needs no rule.
fn apply(nic: &mut Nic, wanted: &Wanted) {
    if let Some(tags) = &wanted.tags {
        nic.tags.clone_from(tags);
    }
    nic.mtu = wanted.mtu.clone().on(nic.mtu);
    nic.accept_ra = wanted.accept_ra.clone().on(nic.accept_ra);
    if nic.is_physical() {
        nic.disabled = wanted.enabled.map_or(nic.disabled, |enabled| !enabled);
    }
    describe(nic, wanted);
}

fn describe(nic: &mut Nic, wanted: &Wanted) {
    nic.link_connected = wanted.link_connected.unwrap_or(nic.link_connected);
    nic.link_speed = wanted.link_speed.unwrap_or(if nic.link_connected { nic.link_speed } else { 0 });
    nic.interface_speed = wanted.interface_speed.unwrap_or(nic.interface_speed);
}

/// Checks an interface that is new, or takes the place of the one with its number. VLAN interfaces get their names.
fn check(
    nics: &[Nic],
    nic: &mut Nic,
    hostname: &str,
    parents_are: &str,
    around: &Around<'_>,
    faults: &mut Faults,
) {
    let parents: Vec<&Nic> = nic.parents.iter().filter_map(|number| find(nics, *number)).collect();
    let parents = if parents.len() < nic.parents.len() {
        let strange = nic.parents.iter().filter(|number| find(nics, **number).is_none());
        for number in strange {
            let words = format!("Select a valid choice. {number} is not one of the available choices.");
            faults.add(parents_are, words);
        }
        None
    } else {
        let fault = parents_fault(nics, nic, &parents);
        match fault {
            Some(words) => {
                faults.add(parents_are, words);
                None
            }
            None => Some(parents),
        }
    };
    if let (NicKind::Bridge(_), Some([parent])) = (&nic.kind, parents.as_deref())
        && parent.kind == NicKind::Vlan
    {
        nic.vlan = parent.vlan;
    }
    let vlan = nic.vlan.and_then(|number| around.vlans.get(&number));
    if nic.vlan.is_some() && vlan.is_none() {
        faults.add("vlan", NO_CHOICE);
    } else if nic.kind == NicKind::Vlan {
        let parent = parents.as_ref().and_then(|parents| parents.first());
        let fabric = parent.and_then(|parent| around.vlans.get(&parent.vlan?)).map(|vlan| vlan.fabric);
        match vlan {
            None => faults.add("vlan", "A VLAN interface must be connected to a tagged VLAN."),
            Some(vlan) if vlan.vid == 0 => {
                faults.add("vlan", "A VLAN interface can only belong to a tagged VLAN.");
            }
            Some(vlan) if parent.is_some() && fabric != Some(vlan.fabric) && !is_cut_off(nics, nic) => faults.add(
                "vlan",
                "A VLAN interface can only belong to a tagged VLAN on the same fabric as its parent interface.",
            ),
            Some(vlan) => {
                if let Some(parent) = parent {
                    nic.name = vlan_name(parent, vlan);
                    nic.mac.clone_from(&parent.mac);
                }
            }
        }
    }
    if let Some(words) = moved_fault(nics, nic, around) {
        faults.add("vlan", words);
    }
    if nics.iter().any(|other| other.number != nic.number && other.name == nic.name) {
        let words = format!("Node {} already has an interface named '{}'.", around.node, nic.name);
        faults.add("name", words);
    }
    if let Some(words) = name_fault(&nic.name).filter(|_| nic.kind == NicKind::Vlan) {
        faults.add("name", words);
    }
    if let Some(words) = mac_fault(nics, nic, hostname, around) {
        faults.add("mac_address", words);
    }
}

/// Whether a VLAN interface is as it was, but its parent has no VLAN any more.
fn is_cut_off(nics: &[Nic], nic: &Nic) -> bool {
    let parent = nic.parents.first().and_then(|number| find(nics, *number));
    find(nics, nic.number).is_some_and(|was| was.vlan == nic.vlan && was.parents == nic.parents)
        && parent.is_some_and(|parent| parent.vlan.is_none())
}

/// What is wrong with what an interface is to be made of.
fn parents_fault(nics: &[Nic], nic: &Nic, parents: &[&Nic]) -> Option<String> {
    let others = |parent: &Nic| children(nics, parent.number).filter(|child| child.number != nic.number);
    let circle = parents.iter().any(|parent| is_above(nics, parent.number, nic.number));
    let words = match &nic.kind {
        NicKind::Physical if parents.is_empty() => return None,
        NicKind::Physical => "A physical interface cannot have parents.",
        NicKind::Bond(_) if parents.is_empty() => "A bond interface must have one or more parents.",
        NicKind::Bond(_) if !parents.iter().all(|parent| parent.is_physical()) => {
            "Only physical interfaces can be bonded."
        }
        NicKind::Bond(_) => {
            let mut used: Vec<&str> = parents
                .iter()
                .filter(|parent| others(parent).next().is_some())
                .map(|parent| parent.name.as_str())
                .collect();
            used.sort_unstable();
            if !used.is_empty() {
                return Some(format!("Interfaces already in-use: {}.", used.join(", ")));
            }
            // Ports that are in already follow the bond.
            let joining = |parent: &&&Nic| !parent_of(nics, nic.number, parent.number);
            if parents.iter().filter(joining).all(|parent| parent.vlan == nic.vlan) {
                return None;
            }
            "All parents must belong to the same VLAN."
        }
        NicKind::Bridge(_) if parents.len() != 1 => "A bridge interface must have exactly one parent.",
        NicKind::Bridge(_) if parents.iter().any(|parent| matches!(parent.kind, NicKind::Bridge(_))) => {
            "A bridge interface can't have another bridge interface as parent."
        }
        NicKind::Bridge(_)
            if parents.iter().any(|parent| others(parent).any(|child| child.kind != NicKind::Vlan)) =>
        {
            "A bridge interface can't have a parent that is already in a bond or a bridge."
        }
        NicKind::Vlan if parents.len() != 1 => "A VLAN interface must have exactly one parent.",
        NicKind::Vlan if parents.iter().any(|parent| parent.kind == NicKind::Vlan) => {
            "A VLAN interface can't have another VLAN interface as parent."
        }
        NicKind::Vlan
            if parents
                .iter()
                .any(|parent| others(parent).any(|child| matches!(child.kind, NicKind::Bond(_)))) =>
        {
            "A VLAN interface can't have a parent that is already in a bond."
        }
        NicKind::Bridge(_) | NicKind::Vlan if circle => "An interface cannot be made of itself.",
        NicKind::Bridge(_) | NicKind::Vlan => return None,
    };
    Some(words.to_owned())
}

/// Whether `parent` is what `child` is made of now.
fn parent_of(nics: &[Nic], child: u64, parent: u64) -> bool {
    find(nics, child).is_some_and(|child| child.parents.contains(&parent))
}

/// Whether `upper` is `lower`, or made of it, however indirectly.
fn is_above(nics: &[Nic], upper: u64, lower: u64) -> bool {
    let mut seen = vec![lower];
    let mut next = 0;
    while let Some(number) = seen.get(next).copied() {
        next += 1;
        for child in children(nics, number) {
            if !seen.contains(&child.number) {
                seen.push(child.number);
            }
        }
    }
    seen.contains(&upper)
}

/// Whether an interface may be moved to this VLAN for a link's sake.
pub fn may_move(nics: &[Nic], nic: &Nic, vlan: u64, around: &Around<'_>) -> bool {
    let on_vlan =
        nic.parents.iter().filter_map(|p| find(nics, *p)).any(|parent| parent.kind == NicKind::Vlan);
    let moved = Nic { vlan: Some(vlan), ..nic.clone() };
    nic.kind != NicKind::Vlan && !on_vlan && moved_fault(nics, &moved, around).is_none()
}

/// What is wrong with the VLAN of an interface, seen from what is made of it, and with what it takes along.
fn moved_fault(nics: &[Nic], nic: &Nic, around: &Around<'_>) -> Option<String> {
    let moved = find(nics, nic.number).is_none_or(|was| was.vlan != nic.vlan);
    let whole = children(nics, nic.number).find(|child| child.kind != NicKind::Vlan);
    if let Some(whole) = whole.filter(|_| moved) {
        return Some(format!("{} is part of {}, and in its VLAN.", nic.name, whole.name));
    }
    let fabric = |vlan: u64| around.vlans.get(&vlan).map(|vlan| vlan.fabric);
    let here = fabric(nic.vlan?);
    let strays = |child: &&Nic| {
        child.kind == NicKind::Vlan && child.number != nic.number && child.vlan.and_then(fabric) != here
    };
    let takes = |parent: &&u64| find(nics, **parent).is_some_and(|parent| parent.vlan != nic.vlan);
    let along = nic.parents.iter().filter(takes).filter(|_| nic.kind != NicKind::Vlan);
    let moving = along.chain(Some(&nic.number).filter(|_| moved));
    let stray = moving.flat_map(|number| children(nics, *number)).find(strays)?;
    Some(format!(
        "{} is a tagged VLAN on the fabric that its parent would leave: delete it first.",
        stray.name
    ))
}

fn mac_fault(nics: &[Nic], nic: &Nic, hostname: &str, around: &Around<'_>) -> Option<String> {
    if nic.mac.is_empty() {
        return None;
    }
    let same = |other: &&Nic| other.number != nic.number && other.mac == nic.mac && other.is_physical();
    let own = nics.iter().filter(|_| nic.is_physical()).find(same);
    let own = own.map(|other| format!("{} ({}) on {hostname}", other.name, other.kind.word()));
    own.or_else(|| (around.stranger)(&nic.mac))
        .map(|who| format!("This MAC address is already in use by {who}."))
}

fn vlan_name(parent: &Nic, vlan: &Vlan) -> String {
    format!("{}.{}", parent.name, vlan.vid)
}

/// Makes everything follow from what was changed since `before`.
pub fn settle(machine: &mut Machine, before: &[Nic], around: &Around<'_>) {
    // One level of interfaces a round; there are no circles.
    for _ in 0..machine.nics.len() {
        let upper = machine.nics.clone();
        for nic in &mut machine.nics {
            let part_of = children(&upper, nic.number).find(|child| child.kind != NicKind::Vlan);
            let parent = nic.parents.first().and_then(|number| find(&upper, *number));
            match (&nic.kind, part_of, parent) {
                (NicKind::Vlan, _, Some(parent)) => {
                    nic.mac.clone_from(&parent.mac);
                    if let Some(vlan) = nic.vlan.and_then(|number| around.vlans.get(&number)) {
                        nic.name = vlan_name(parent, vlan);
                    }
                }
                (NicKind::Bridge(_), _, Some(parent)) if parent.kind == NicKind::Vlan => {
                    nic.vlan = parent.vlan;
                }
                (_, Some(whole), _) => nic.vlan = whole.vlan,
                _ => {}
            }
        }
        if machine.nics == upper {
            break;
        }
    }
    let mut bare = Vec::new();
    for nic in &mut machine.nics {
        let stays = find(before, nic.number).is_some_and(|was| was.vlan == nic.vlan);
        let linked = !nic.links.is_empty();
        if !stays {
            let here = |number: u64| around.subnets.get(&number).map(|subnet| subnet.vlan) == nic.vlan;
            nic.links.retain(|link| nic.vlan.is_some() && link.subnet.is_none_or(here));
        }
        if linked && nic.links.is_empty() {
            bare.push(nic.number);
        }
    }
    for number in bare {
        ensure_link_up(machine, number, around);
    }
    forget_gateway(machine);
}

/// Forgets a chosen default gateway whose link is gone.
pub fn forget_gateway(machine: &mut Machine) {
    let chosen = machine.default_gateway;
    if !machine.links().any(|(_, link)| Some(link.number) == chosen) {
        machine.default_gateway = None;
    }
}
