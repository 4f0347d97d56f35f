//! Interfaces of machines, and what of their network is the machine's own.
//!
//! What an operation does to a machine is decided without documents ([`change`], [`links`]); here are the calls
//! around that: who may, in which state, and which addresses and MAC addresses are claimed or given back with it.

mod change;
mod links;
#[cfg(test)]
mod tests;
mod wanted;

use std::{net::Ipv4Addr, sync::Arc};

use api_call::{
    Answer, ApiError, Call, Reply,
    edit::edit,
    machine::{load, load_as_admin, shown},
    route::{Op, Resource, named, restful},
};
use lifecycle::Status;
use model::{
    IpRange, LinkMode, Machine, Nic, SCOPE, Subnet, Vlan,
    addresses::{self, Known},
};
use render::{Embedded, interface, network::domain_name};
use serde_json::json;
use store::{Batch, Stored};

use crate::subnets;
use change::{Around, New};

/// States in which a machine's network may be changed (MAAS).
const CHANGEABLE: [Status; 5] =
    [Status::New, Status::Ready, Status::FailedTesting, Status::Allocated, Status::Broken];

/// Interfaces, and one interface.
pub fn resources() -> Vec<Resource> {
    vec![
        Resource {
            name: "InterfacesHandler",
            path: "nodes/{system_id}/interfaces/",
            params: &["system_id"],
            ops: vec![
                restful!(GET, User, "Lists the interfaces of a machine.", list),
                named!(
                    POST,
                    "create_physical",
                    User,
                    "Makes a port: `mac_address`, `name`, `vlan`, `tags`, `mtu`, `accept_ra`.",
                    create_physical
                ),
                named!(
                    POST,
                    "create_bond",
                    User,
                    "Makes a bond: `name`, `parents`, `mac_address`, `vlan`, `tags`, `mtu`, `bond_mode`, `bond_miimon`, `bond_downdelay`, `bond_updelay`, `bond_lacp_rate`, `bond_xmit_hash_policy`, `bond_num_grat_arp`.",
                    create_bond
                ),
                named!(
                    POST,
                    "create_bridge",
                    User,
                    "Makes a bridge: `parent`, `name`, `mac_address`, `vlan`, `tags`, `mtu`, `bridge_type`, `bridge_stp`, `bridge_fd`. On an Allocated machine it takes its parent's links, and goes at release.",
                    create_bridge
                ),
                named!(
                    POST,
                    "create_vlan",
                    User,
                    "Makes a VLAN interface: `parent`, `vlan`, `tags`, `mtu`.",
                    create_vlan
                ),
            ],
        },
        Resource {
            name: "InterfaceHandler",
            path: "nodes/{system_id}/interfaces/{id}/",
            params: &["system_id", "id"],
            ops: one(),
        },
    ]
}

fn one() -> Vec<Op> {
    vec![
        restful!(GET, User, "Reads an interface, by number or name.", read),
        restful!(
            PUT,
            User,
            "Changes an interface: what it was made with, and `enabled`, `link_connected`, `link_speed`, `interface_speed`. Of a deployed machine's, only `name`, `mac_address` and the last three.",
            update
        ),
        restful!(DELETE, User, "Deletes an interface, with what is made of it alone.", delete),
        named!(
            POST,
            "link_subnet",
            User,
            "Links it to `subnet`: `mode` (`auto`, `dhcp`, `static`, `link_up`), `ip_address`, `force`, `default_gateway`.",
            link_subnet
        ),
        named!(POST, "unlink_subnet", User, "Takes the link `id` away.", unlink_subnet),
        named!(POST, "disconnect", User, "Takes every link and the VLAN away.", disconnect),
        named!(
            POST,
            "set_default_gateway",
            User,
            "Makes the gateway of the subnet of `link_id` the machine's default one.",
            set_default_gateway
        ),
        named!(POST, "add_tag", User, "Adds `tag`.", add_tag),
        named!(POST, "remove_tag", User, "Removes `tag`.", remove_tag),
    ]
}

/// What of a machine's own operations is about its network.
pub fn machine_ops() -> Vec<Op> {
    vec![
        named!(
            POST,
            "clear_default_gateways",
            User,
            "Forgets the default gateway that was chosen: MAAS's guess counts again.",
            clear_default_gateways
        ),
        named!(
            POST,
            "restore_networking_configuration",
            User,
            "Sets the network back to what a commissioning leaves.",
            restore
        ),
    ]
}

async fn list(call: Call) -> Answer {
    let (machine, embedded) = (load(&call)?, Embedded::of(call.store()));
    let nics = &machine.value.nics;
    Ok(Reply::Json(nics.iter().map(|nic| json!(interface(&machine.id, nic, nics, &embedded))).collect()))
}

async fn read(call: Call) -> Answer {
    let machine = load(&call)?;
    show(&call, named_by(&call, &machine.value)?.number)
}

/// The interface that the second capture of the path names, by number or name.
fn named_by<'m>(call: &Call, machine: &'m Machine) -> Result<&'m Nic, ApiError> {
    let wanted = call.arg(1);
    let is = |nic: &&Nic| nic.number.to_string() == wanted || nic.name == wanted;
    machine.nics.iter().find(is).ok_or_else(change::missing)
}

fn show(call: &Call, number: u64) -> Answer {
    let machine = load(call)?;
    let nics = &machine.value.nics;
    let nic = change::find(nics, number).ok_or_else(change::missing)?;
    Ok(Reply::Json(json!(interface(&machine.id, nic, nics, &Embedded::of(call.store())))))
}

async fn create_physical(call: Call) -> Answer {
    create(&call, New::Physical, "create").await
}

async fn create_bond(call: Call) -> Answer {
    create(&call, New::Bond, "create bond").await
}

async fn create_bridge(call: Call) -> Answer {
    create(&call, New::Bridge, "create bridge").await
}

async fn create_vlan(call: Call) -> Answer {
    create(&call, New::Vlan, "create VLAN").await
}

async fn create(call: &Call, new: New, doing: &str) -> Answer {
    let number = on_machine(call, "interface.create", |seen, machine, around, batch| {
        in_state(&seen.value, doing, &[])?;
        let wanted = wanted::read(call)?;
        Ok((batch, change::create(machine, new, &wanted, around)?))
    })
    .await?;
    show(call, number)
}

async fn update(call: Call) -> Answer {
    on_interface(&call, "update interface", &[Status::Deployed], |machine, number, around, batch| {
        change::update(machine, number, &wanted::read(&call)?, around)?;
        Ok(batch)
    })
    .await
}

async fn delete(call: Call) -> Answer {
    on_machine(&call, "interface.delete", |seen, machine, around, batch| {
        let number = named_by(&call, &seen.value)?.number;
        in_state(&seen.value, "delete interface", &[])?;
        change::delete(machine, number, around)?;
        Ok((batch, ()))
    })
    .await?;
    Ok(Reply::NoContent)
}

async fn link_subnet(call: Call) -> Answer {
    on_interface(&call, "link subnet", &[], |machine, number, around, batch| {
        let wanted = link_wanted(&call)?;
        let ranges: Vec<IpRange> =
            call.store().list::<IpRange>(SCOPE).iter().map(|range| range.value.clone()).collect();
        let nic = change::find(&machine.nics, number).ok_or_else(change::missing)?;
        let plan = links::plan(machine, nic, &wanted, &ranges, around)?;
        let mac = nic.mac.clone();
        if let Some(nic) = machine.nics.iter_mut().find(|nic| nic.number == number) {
            plan.clear(nic);
        }
        let (ip, batch) = match plan.subnet.filter(|_| plan.mode == LinkMode::Static) {
            Some(subnet) => {
                let (ip, batch) = claim(&call, machine, &mac, subnet, plan.ip, batch)?;
                (Some(ip), batch)
            }
            None => (None, batch),
        };
        plan.carry_out(machine, number, ip, around)?;
        Ok(batch)
    })
    .await
}

fn link_wanted(call: &Call) -> Result<links::Wanted, ApiError> {
    let sent = |name: &str| call.param(name).map(str::trim).filter(|text| !text.is_empty());
    let ip = sent("ip_address").map(str::parse::<Ipv4Addr>).transpose();
    let ip = ip.map_err(|_| ApiError::field("ip_address", "Enter a valid IPv4 or IPv6 address."))?;
    Ok(links::Wanted {
        mode: sent("mode").unwrap_or_default().to_owned(),
        subnet: sent("subnet").map(|wanted| {
            subnets::find(call, wanted).map(|found| found.value.number).map_err(|_| links::Unknown)
        }),
        ip,
        force: call.flag("force"),
        default_gateway: call.flag("default_gateway"),
    })
}

/// Claims an address for a static link: this one, or any.
fn claim(
    call: &Call,
    machine: &Machine,
    mac: &str,
    subnet: &Subnet,
    wanted: Option<Ipv4Addr>,
    batch: Batch,
) -> Result<(Ipv4Addr, Batch), ApiError> {
    let system_id = call.arg(0);
    let mut known = Known::of(call.store(), system_id, machine);
    let claim = match wanted {
        Some(ip) => known
            .hold(mac, ip)
            .ok_or_else(|| ApiError::Missing("IP address is already in use.".to_owned()))?,
        None => known.take(mac, subnet).ok_or_else(|| ApiError::from(addresses::exhausted(subnet)))?,
    };
    Ok((claim.ip, claim.add(batch, system_id)))
}

async fn unlink_subnet(call: Call) -> Answer {
    on_interface(&call, "unlink subnet", &[], |machine, number, around, batch| {
        links::unlink(machine, number, call.param("id").unwrap_or_default().trim(), around)?;
        Ok(batch)
    })
    .await
}

async fn disconnect(call: Call) -> Answer {
    on_interface(&call, "disconnect", &[], |machine, number, around, batch| {
        links::disconnect(machine, number, around)?;
        Ok(batch)
    })
    .await
}

async fn set_default_gateway(call: Call) -> Answer {
    on_interface(&call, "set default gateway", &[], |machine, number, around, batch| {
        let sent = call.param("link_id").unwrap_or_default().trim();
        links::set_default_gateway(machine, number, sent, around)?;
        Ok(batch)
    })
    .await
}

async fn add_tag(call: Call) -> Answer {
    tag(&call, |tags, tag| {
        if !tags.iter().any(|known| known == tag) {
            tags.push(tag.to_owned());
        }
    })
    .await
}

async fn remove_tag(call: Call) -> Answer {
    tag(&call, |tags, tag| tags.retain(|known| known != tag)).await
}

/// Tags may be changed in every state (MAAS).
async fn tag(call: &Call, change: impl Fn(&mut Vec<String>, &str)) -> Answer {
    let number = on_machine(call, "interface.tag", |seen, machine, _, batch| {
        let number = named_by(call, &seen.value)?.number;
        let sent = call.param("tag").filter(|tag| !tag.is_empty());
        let tag = sent.ok_or_else(|| ApiError::Bad("No provided tag!".to_owned()))?;
        if let Some(nic) = machine.nics.iter_mut().find(|nic| nic.number == number) {
            change(&mut nic.tags, tag);
        }
        Ok((batch, number))
    })
    .await?;
    show(call, number)
}

async fn clear_default_gateways(call: Call) -> Answer {
    on_machine(&call, "machine.clear_default_gateways", |_, machine, _, batch| {
        machine.default_gateway = None;
        Ok((batch, ()))
    })
    .await?;
    let changed = load(&call)?;
    Ok(shown(&call, &changed))
}

async fn restore(call: Call) -> Answer {
    on_machine(&call, "machine.restore_network", |_, machine, around, batch| {
        if !matches!(machine.status, Status::Ready | Status::FailedTesting) {
            let words =
                "Machine must be in a ready or failed testing state to restore networking configuration";
            return Err(ApiError::Conflict(words.to_owned()));
        }
        change::restore(machine, around);
        addresses::link_boot_nic(call.store(), machine);
        Ok((batch, ()))
    })
    .await?;
    let changed = load(&call)?;
    Ok(shown(&call, &changed))
}

/// Changes the interface that the path names, in the states that allow it, and shows it.
async fn on_interface(
    call: &Call,
    doing: &str,
    also: &[Status],
    mut change: impl FnMut(&mut Machine, u64, &Around<'_>, Batch) -> Result<Batch, ApiError>,
) -> Answer {
    let number = on_machine(call, "interface.update", |seen, machine, around, batch| {
        let number = named_by(call, &seen.value)?.number;
        in_state(&seen.value, doing, also)?;
        Ok((change(machine, number, around, batch)?, number))
    })
    .await?;
    show(call, number)
}

fn in_state(machine: &Machine, doing: &str, also: &[Status]) -> Result<(), ApiError> {
    if CHANGEABLE.iter().chain(also).any(|status| *status == machine.status) {
        return Ok(());
    }
    Err(ApiError::Conflict(format!(
        "Cannot {doing} interface because the machine is not New, Ready, Allocated, or Broken."
    )))
}

/// Changes the network of the machine that the path names; administrators may.
async fn on_machine<T>(
    call: &Call,
    action: &'static str,
    mut change: impl FnMut(&Stored<Machine>, &mut Machine, &Around<'_>, Batch) -> Result<(Batch, T), ApiError>,
) -> Result<T, ApiError> {
    edit(call, action, |batch| {
        let seen = load_as_admin(call)?;
        if seen.value.locked {
            return Err(ApiError::Forbidden("This machine is locked.".to_owned()));
        }
        let mut machine = seen.value.clone();
        let stranger = |mac: &str| stranger(call, &seen.id, mac);
        let number = || call.state.machines.next_number();
        let around = around(call, &seen, &stranger, &number);
        let (batch, done) = change(&seen, &mut machine, &around, batch)?;
        let batch = claims(call, &seen, &machine, batch);
        machine.updated = jiff::Timestamp::now();
        Ok((batch.update(SCOPE, &seen.id, seen.version, &machine), done))
    })
    .await
}

fn around<'a>(
    call: &Call,
    seen: &Stored<Machine>,
    stranger: &'a dyn Fn(&str) -> Option<String>,
    number: &'a dyn Fn() -> u64,
) -> Around<'a> {
    let store = call.store();
    let vlans = store.list::<Vlan>(SCOPE).into_iter().map(|vlan| (vlan.value.number, vlan.value.clone()));
    let subnets =
        store.list::<Subnet>(SCOPE).into_iter().map(|subnet| (subnet.value.number, subnet.value.clone()));
    let domain = domain_name(store, seen.value.domain);
    Around {
        node: format!("{} ({}.{domain})", seen.id, seen.value.hostname),
        vlans: vlans.collect(),
        subnets: subnets.collect(),
        stranger,
        number,
    }
}

/// Another machine's interface with this MAC address, as MAAS's sentences call it.
fn stranger(call: &Call, system_id: &str, mac: &str) -> Option<String> {
    let other: Arc<Stored<Machine>> =
        call.state.machines.by_mac(mac).filter(|other| other.id != system_id)?;
    let hostname = &other.value.hostname;
    let nic = other.value.nics.iter().find(|nic| nic.mac == mac);
    Some(
        nic.map_or_else(
            || hostname.clone(),
            |nic| format!("{} ({}) on {hostname}", nic.name, nic.kind.word()),
        ),
    )
}

/// Claims the MAC addresses that are new, and gives back those and the addresses that are gone.
fn claims(call: &Call, was: &Stored<Machine>, is: &Machine, mut batch: Batch) -> Batch {
    let has = |machine: &Machine, mac: &str| machine.nics.iter().any(|nic| nic.mac == mac);
    for nic in was.value.nics.iter().filter(|nic| !has(is, &nic.mac)) {
        if call.store().holder(SCOPE, "mac", &nic.mac).as_deref() == Some(was.id.as_str()) {
            batch = batch.unclaim(SCOPE, "mac", &nic.mac, &was.id);
        }
    }
    for nic in is.nics.iter().filter(|nic| !has(&was.value, &nic.mac)) {
        batch = batch.claim(SCOPE, "mac", &nic.mac, &was.id);
    }
    addresses::release_lost(call.store(), &was.id, &was.value, is, batch)
}
