//! Addresses that DHCP keeps for one MAC address each.

use std::{net::Ipv4Addr, sync::Arc};

use api_call::{
    Answer, ApiError, Call, Faults, Reply,
    edit::{edit, required},
    mac,
    route::{Resource, restful},
};
use model::{Lease, Machine, ReservedIp, SCOPE, Subnet, addresses::reserver, next_id};
use render::network::Networks;
use store::{Batch, Stored};

use crate::subnets::{self, NO_CHOICE};

/// Reserved addresses.
pub fn resources() -> Vec<Resource> {
    vec![
        Resource {
            name: "ReservedIpsHandler",
            path: "reservedips/",
            params: &[],
            ops: vec![
                restful!(GET, User, "Lists the addresses that are kept for MAC addresses.", list),
                restful!(POST, Admin, "Keeps `ip` for `mac_address`: `subnet`, `comment`.", create),
            ],
        },
        Resource {
            name: "ReservedIpHandler",
            path: "reservedips/{id}/",
            params: &["id"],
            ops: vec![
                restful!(GET, User, "Reads a reserved address.", read),
                restful!(PUT, Admin, "Changes its `comment`; nothing else can be changed.", update),
                restful!(DELETE, Admin, "Keeps it no longer.", delete),
            ],
        },
    ]
}

async fn list(call: Call) -> Answer {
    let networks = Networks::of(call.store());
    let mut all = call.store().list::<ReservedIp>(SCOPE);
    all.sort_by_key(|reserved| reserved.value.number);
    Ok(Reply::Json(all.iter().map(|reserved| networks.reserved_ip(&reserved.value)).collect()))
}

async fn read(call: Call) -> Answer {
    Ok(shown(&call, &find(&call)?.value))
}

/// By number: the documents' ids are the addresses.
fn find(call: &Call) -> Result<Arc<Stored<ReservedIp>>, ApiError> {
    let all = call.store().list::<ReservedIp>(SCOPE);
    let found = all.into_iter().find(|reserved| reserved.value.number.to_string() == call.arg(0));
    found.ok_or_else(|| ApiError::NotFound("ReservedIP".to_owned()))
}

fn shown(call: &Call, reserved: &ReservedIp) -> Reply {
    Reply::Json(Networks::of(call.store()).reserved_ip(reserved))
}

async fn create(call: Call) -> Answer {
    let made = edit(&call, "reserved_ip.create", |batch| {
        let (reserved, subnet) = check(&call)?;
        let id = reserved.ip.to_string();
        let mut batch = batch.expect::<Subnet>(SCOPE, &subnet.id, subnet.version);
        // What the machine had by its own claim, it has by this from now on.
        if let Some(machine) = call.state.machines.by_mac(&reserved.mac) {
            batch = batch.expect::<Machine>(SCOPE, &machine.id, machine.version);
            if call.store().holder(SCOPE, "ip", &id).as_deref() == Some(machine.id.as_str()) {
                batch = batch.unclaim(SCOPE, "ip", &id, &machine.id);
            }
        }
        let batch = batch.claim(SCOPE, "ip", &id, &reserver(&reserved.mac));
        Ok((batch.create(SCOPE, &id, &reserved), reserved))
    })
    .await?;
    Ok(shown(&call, &made))
}

fn check(call: &Call) -> Result<(ReservedIp, Arc<Stored<Subnet>>), ApiError> {
    let mut faults = Faults::default();
    let sent = required(call, &mut faults, "ip");
    let ip = sent.parse::<Ipv4Addr>().ok();
    if !sent.is_empty() && ip.is_none() {
        faults.add("ip", "Enter a valid IPv4 or IPv6 address.");
    }
    let sent = required(call, &mut faults, "mac_address");
    let mac = mac(sent);
    if !sent.is_empty() && mac.is_none() {
        faults.add("mac_address", format!("'{sent}' is not a valid MAC address."));
    }
    let wanted = call.param("subnet").filter(|subnet| !subnet.is_empty());
    let subnet = match (wanted, ip) {
        (Some(wanted), _) => {
            let found = subnets::find(call, wanted).ok();
            if found.is_none() {
                faults.add("subnet", NO_CHOICE);
            }
            found
        }
        (None, Some(ip)) => {
            let found = subnets::containing(call.store(), ip);
            if found.is_none() {
                let words =
                    format!("Could not find a suitable subnet for {ip}. Please create the subnet first.");
                faults.add("subnet", words);
            }
            found
        }
        (None, None) => None,
    };
    let (Some(ip), Some(mac), Some(subnet)) = (ip, mac, subnet) else {
        faults.check()?;
        return Err(ApiError::Bad("No provided ip!".to_owned()));
    };
    let cidr = subnet.value.cidr;
    let edge = cidr.prefix_len() < 31;
    if !cidr.contains(&ip) {
        faults.add("ip", "The provided IP is not part of the subnet.");
    } else if edge && ip == cidr.network() {
        faults.add("ip", "The network address cannot be a reserved IP.");
    } else if edge && ip == cidr.broadcast() {
        faults.add("ip", "The broadcast address cannot be a reserved IP.");
    } else {
        in_use(call, &mut faults, ip, &mac, subnet.value.number);
    }
    faults.check()?;
    let reserved = ReservedIp {
        number: next_id::<ReservedIp>(call.store(), |reserved| reserved.number).max(1),
        ip,
        subnet: subnet.value.number,
        mac,
        comment: call.param("comment").unwrap_or_default().to_owned(),
    };
    Ok((reserved, subnet))
}

/// Refuses an address that another has, and a second one for the same MAC address.
fn in_use(call: &Call, faults: &mut Faults, ip: Ipv4Addr, mac: &str, subnet: u64) {
    let store = call.store();
    let all = store.list::<ReservedIp>(SCOPE);
    if all.iter().any(|other| other.value.ip == ip) {
        faults.add("ip", "Reserved IP with this IP address already exists.");
        return;
    }
    if all.iter().any(|other| other.value.mac == mac && other.value.subnet == subnet) {
        faults.add("__all__", "Reserved IP with this MAC address and Subnet already exists.");
    }
    let id = ip.to_string();
    let owner = call.state.machines.by_mac(mac);
    let holder = store.holder(SCOPE, "ip", &id);
    let held = holder.is_some_and(|holder| owner.as_ref().is_none_or(|machine| machine.id != holder));
    // The machine's own address is another interface's.
    let elsewhere = owner.is_some_and(|machine| {
        machine.value.links().any(|(nic, link)| link.ip == Some(ip) && nic.mac != mac)
    });
    let leased = store.get::<Lease>(SCOPE, &id).is_some_and(|lease| {
        lease.value.mac != mac && lease.value.state == "bound" && lease.value.expires > jiff::Timestamp::now()
    });
    if held || elsewhere || leased {
        faults.add("ip", format!("The ip {ip} is already in use by another machine."));
    }
}

async fn update(call: Call) -> Answer {
    let changed = edit(&call, "reserved_ip.update", |batch| {
        let seen = find(&call)?;
        let sent = |name: &str| call.param(name).filter(|text| !text.is_empty());
        let same = sent("ip").is_none_or(|ip| ip == seen.id)
            && sent("mac_address").is_none_or(|sent| mac(sent).as_ref() == Some(&seen.value.mac))
            && sent("subnet").is_none_or(|wanted| {
                subnets::find(&call, wanted).is_ok_and(|subnet| subnet.value.number == seen.value.subnet)
            });
        if !same {
            let words = "The ip, mac_address and the subnet of a reserved ip are immutable. Please delete the entry and recreate it.";
            return Err(ApiError::field("__all__", words));
        }
        let mut reserved = seen.value.clone();
        if let Some(comment) = call.param("comment") {
            comment.clone_into(&mut reserved.comment);
        }
        Ok((batch.update(SCOPE, &seen.id, seen.version, &reserved), reserved))
    })
    .await?;
    Ok(shown(&call, &changed))
}

async fn delete(call: Call) -> Answer {
    edit(&call, "reserved_ip.delete", |batch| {
        let seen = find(&call)?;
        let mut batch = forget(batch, &seen);
        // A machine that has the address keeps it by a claim of its own.
        if let Some(machine) = call.state.machines.by_mac(&seen.value.mac) {
            batch = batch.expect::<Machine>(SCOPE, &machine.id, machine.version);
            if machine.value.links().any(|(_, link)| link.ip == Some(seen.value.ip)) {
                batch = batch.claim(SCOPE, "ip", &seen.id, &machine.id);
            }
        }
        Ok((batch, Reply::NoContent))
    })
    .await
}

/// Deletes a reserved address with its claim.
pub fn forget(batch: Batch, seen: &Stored<ReservedIp>) -> Batch {
    batch.unclaim(SCOPE, "ip", &seen.id, &reserver(&seen.value.mac)).delete::<ReservedIp>(
        SCOPE,
        &seen.id,
        seen.version,
    )
}
