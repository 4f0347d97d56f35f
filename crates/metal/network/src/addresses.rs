//! Address ranges, and single addresses that users keep.

use std::{net::Ipv4Addr, sync::Arc};

use jiff::Timestamp;
use model::{IpRange, RangeKind, ReservedAddress, SCOPE, Subnet, next_id};
use serde_json::{Value, json};
use store::Stored;

use super::subnets::{self, alloc_type};
use api_call::{
    Answer, ApiError, Call, Faults, Reply,
    edit::{edit, numbered, required},
    route::{Resource, named, restful},
};
use render::{
    Embedded, interface,
    network::{Networks, user},
};

/// Ranges and addresses.
pub fn resources() -> Vec<Resource> {
    vec![
        Resource {
            name: "IPRangesHandler",
            path: "ipranges/",
            params: &[],
            ops: vec![
                restful!(GET, User, "Lists the address ranges.", ranges),
                restful!(
                    POST,
                    User,
                    "Makes a range: `type` (`dynamic`, for administrators, or `reserved`), `start_ip`, `end_ip`, `subnet`, `comment`.",
                    create_range
                ),
            ],
        },
        Resource {
            name: "IPRangeHandler",
            path: "ipranges/{id}/",
            params: &["id"],
            ops: vec![
                restful!(GET, User, "Reads a range.", range),
                restful!(PUT, User, "Changes a range: `start_ip`, `end_ip`, `comment`.", update_range),
                restful!(DELETE, User, "Deletes a range.", delete_range),
            ],
        },
        Resource {
            name: "IPAddressesHandler",
            path: "ipaddresses/",
            params: &[],
            ops: vec![
                restful!(GET, User, "Lists addresses: the caller's, or with `all` everybody's.", addresses),
                named!(POST, "reserve", User, "Reserves `ip`, or a free address of `subnet`.", reserve),
                named!(
                    POST,
                    "release",
                    User,
                    "Releases `ip`; administrators with `force` also others'.",
                    release
                ),
            ],
        },
    ]
}

async fn ranges(call: Call) -> Answer {
    let networks = Networks::of(call.store());
    let mut list = call.store().list::<IpRange>(SCOPE);
    list.sort_by_key(|range| range.value.number);
    Ok(Reply::Json(list.iter().map(|range| networks.range(&range.value, call.store())).collect()))
}

async fn range(call: Call) -> Answer {
    let seen = find(&call)?;
    Ok(shown(&call, &seen.value))
}

fn find(call: &Call) -> Result<Arc<Stored<IpRange>>, ApiError> {
    numbered(call, 0, "IPRange")
}

fn shown(call: &Call, range: &IpRange) -> Reply {
    Reply::Json(Networks::of(call.store()).range(range, call.store()))
}

fn address(call: &Call, faults: &mut Faults, name: &str) -> Option<Ipv4Addr> {
    let sent = call.param(name).filter(|ip| !ip.is_empty())?;
    let parsed = sent.parse().ok();
    if parsed.is_none() {
        faults.add(name, "Enter a valid IPv4 address.");
    }
    parsed
}

/// Checks that a range lies in its subnet and conflicts with nothing; `own` is its number if it exists already.
fn check(call: &Call, faults: &mut Faults, range: &IpRange, subnet: &Subnet, own: Option<u64>) {
    for (name, label, ip) in [("start_ip", "Start", range.start), ("end_ip", "End", range.end)] {
        if !subnet.cidr.contains(&ip) {
            faults.add(name, format!("{label} IP address must be within subnet: {}.", subnet.cidr));
        }
    }
    if range.start > range.end {
        faults.add("end_ip", "End IP address must not be less than Start IP address.");
    }
    let overlaps = |first: Ipv4Addr, last: Ipv4Addr| first <= range.end && range.start <= last;
    let ranges = call.store().list::<IpRange>(SCOPE);
    let ranges =
        ranges.iter().filter(|other| Some(other.value.number) != own && other.value.subnet == subnet.number);
    let by_range = ranges.into_iter().any(|other| overlaps(other.value.start, other.value.end));
    let by_address = || {
        subnets::usage_of(call, subnet).used().any(|stretch| {
            let fixed =
                stretch.purposes.iter().any(|p| ["assigned-ip", "dns-server", "gateway-ip"].contains(p));
            // Leases lie in the dynamic range that is being changed.
            fixed
                && !(own.is_some() && stretch.purposes.contains(&"dynamic"))
                && overlaps(stretch.first, stretch.last)
        })
    };
    let words = match range.kind {
        RangeKind::Dynamic if by_range || by_address() => {
            "Requested dynamic range conflicts with an existing IP address or range."
        }
        RangeKind::Reserved if by_range => "Requested reserved range conflicts with an existing range.",
        _ => return,
    };
    faults.add("start_ip", words);
    faults.add("end_ip", words);
}

async fn create_range(call: Call) -> Answer {
    let made = edit(&call, "iprange.create", |batch| {
        let mut faults = Faults::default();
        let kind = match required(&call, &mut faults, "type") {
            "dynamic" => Some(RangeKind::Dynamic),
            "reserved" => Some(RangeKind::Reserved),
            "" => None,
            other => {
                let words = format!("Select a valid choice. {other} is not one of the available choices.");
                faults.add("type", words);
                None
            }
        };
        if kind == Some(RangeKind::Dynamic) && !call.admin() {
            let words = "Unable to create dynamic IP range. You don't have sufficient privileges.";
            return Err(ApiError::Forbidden(words.to_owned()));
        }
        required(&call, &mut faults, "start_ip");
        required(&call, &mut faults, "end_ip");
        let (start, end) = (address(&call, &mut faults, "start_ip"), address(&call, &mut faults, "end_ip"));
        let wanted = call.param("subnet").filter(|subnet| !subnet.is_empty());
        let subnet = match (wanted, start) {
            (Some(wanted), _) => subnets::find(&call, wanted).ok(),
            (None, Some(start)) => subnets::containing(call.store(), start),
            (None, None) => None,
        };
        if subnet.is_none() && start.is_some() {
            faults.add("subnet", "No subnet has these addresses: name one that does.");
        }
        let (Some(kind), Some(start), Some(end), Some(subnet)) = (kind, start, end, subnet) else {
            return Err(faults.check().err().unwrap_or_else(|| ApiError::Bad("Bad range.".to_owned())));
        };
        let range = IpRange {
            number: next_id::<IpRange>(call.store(), |range| range.number).max(1),
            subnet: subnet.value.number,
            kind,
            start,
            end,
            comment: call.param("comment").unwrap_or_default().to_owned(),
            user: Some(call.user().to_owned()),
        };
        check(&call, &mut faults, &range, &subnet.value, None);
        faults.check()?;
        // The subnet must still be there when the range is.
        let batch = batch.expect::<Subnet>(SCOPE, &subnet.id, subnet.version);
        Ok((batch.create(SCOPE, &range.number.to_string(), &range), range))
    })
    .await?;
    Ok(shown(&call, &made))
}

fn own(call: &Call, range: &IpRange) -> Result<(), ApiError> {
    if call.admin() || range.user.as_deref() == Some(call.user()) {
        Ok(())
    } else {
        Err(ApiError::Forbidden(
            "Unable to change this IP range. You don't have sufficient privileges.".to_owned(),
        ))
    }
}

async fn update_range(call: Call) -> Answer {
    let changed = edit(&call, "iprange.update", |batch| {
        let seen = find(&call)?;
        own(&call, &seen.value)?;
        let mut range = seen.value.clone();
        let mut faults = Faults::default();
        range.start = address(&call, &mut faults, "start_ip").unwrap_or(range.start);
        range.end = address(&call, &mut faults, "end_ip").unwrap_or(range.end);
        if let Some(comment) = call.param("comment") {
            comment.clone_into(&mut range.comment);
        }
        let moved = (range.start, range.end) != (seen.value.start, seen.value.end);
        if moved && let Some(subnet) = call.store().get::<Subnet>(SCOPE, &range.subnet.to_string()) {
            check(&call, &mut faults, &range, &subnet.value, Some(range.number));
        }
        faults.check()?;
        Ok((batch.update(SCOPE, &seen.id, seen.version, &range), range))
    })
    .await?;
    Ok(shown(&call, &changed))
}

async fn delete_range(call: Call) -> Answer {
    edit(&call, "iprange.delete", |batch| {
        let seen = find(&call)?;
        own(&call, &seen.value)?;
        Ok((batch.delete::<IpRange>(SCOPE, &seen.id, seen.version), Reply::NoContent))
    })
    .await
}

async fn addresses(call: Call) -> Answer {
    let all = call.flag("all");
    if all && !call.admin() {
        return Err(ApiError::Forbidden("Listing all IP addresses requires admin privileges.".to_owned()));
    }
    let owner = call.param("owner").filter(|owner| !owner.is_empty());
    if owner.is_some_and(|owner| owner != call.user()) && !call.admin() {
        let words = "Listing another user's IP addresses requires admin privileges.";
        return Err(ApiError::Forbidden(words.to_owned()));
    }
    let of = owner.unwrap_or_else(|| call.user());
    let networks = Networks::of(call.store());
    let reserved = call.store().list::<ReservedAddress>(SCOPE);
    let reserved = reserved.iter().filter(|address| all || address.value.user == of);
    let reserved =
        reserved.filter_map(|address| Some(render_reserved(&call, &networks, address.id.parse().ok()?)));
    let mut list: Vec<Value> = reserved.flatten().collect();
    if all {
        list.extend(of_machines(&call, &networks).into_iter().map(|(_, value)| value));
    }
    if let Some(ip) = call.param("ip") {
        list.retain(|address| address.get("ip").and_then(Value::as_str) == Some(ip));
    }
    Ok(Reply::Json(Value::Array(list)))
}

/// The object of an address that a user keeps.
pub fn render_reserved(call: &Call, networks: &Networks, ip: Ipv4Addr) -> Option<Value> {
    let address = call.store().get::<ReservedAddress>(SCOPE, &ip.to_string())?;
    let subnet = subnets::containing(call.store(), ip);
    Some(json!({
        "alloc_type": 4,
        "alloc_type_name": "User reserved",
        "created": address.value.created,
        "interface_set": [],
        "ip": ip,
        "owner": user(call.store(), &address.value.user),
        "resource_uri": "/MAAS/api/2.0/ipaddresses/",
        "subnet": subnet.map_or(Value::Null, |subnet| networks.subnet(subnet.value.number)),
    }))
}

/// Objects of the addresses that machines have.
pub fn of_machines(call: &Call, networks: &Networks) -> Vec<(Ipv4Addr, Value)> {
    let embedded = Embedded::of(call.store());
    let mut found = Vec::new();
    for machine in call.state.machines.all() {
        for nic in &machine.value.nics {
            for link in &nic.links {
                let Some(ip) = link.ip else { continue };
                let (kind, name) = alloc_type(link.mode);
                let owner =
                    machine.value.owner.as_deref().map_or(Value::Null, |name| user(call.store(), name));
                let shown = json!({
                    "alloc_type": kind,
                    "alloc_type_name": name,
                    "created": machine.value.updated,
                    "interface_set": [interface(&machine.id, nic, &machine.value.nics, &embedded)],
                    "ip": ip,
                    "owner": owner,
                    "resource_uri": "/MAAS/api/2.0/ipaddresses/",
                    "subnet": link.subnet.map_or(Value::Null, |number| networks.subnet(number)),
                });
                found.push((ip, shown));
            }
        }
    }
    found
}

async fn reserve(call: Call) -> Answer {
    if call.param("mac").is_some_and(|mac| !mac.is_empty()) {
        let words = "Addresses of MAC addresses are given by the machine's interface: link it to the subnet.";
        return Err(ApiError::NotImplemented(words.to_owned()));
    }
    let ip = edit(&call, "ipaddress.reserve", |batch| {
        let wanted = call.param("ip").or_else(|| call.param("ip_address")).filter(|ip| !ip.is_empty());
        let ip = match wanted {
            Some(wanted) => chosen(&call, wanted)?,
            None => any_of(&call)?,
        };
        let address = ReservedAddress { user: call.user().to_owned(), created: Timestamp::now() };
        let id = ip.to_string();
        let batch = batch.claim(SCOPE, "ip", &id, &owner_mark(call.user())).create(SCOPE, &id, &address);
        let name = call.param("hostname").filter(|name| !name.is_empty());
        let batch = match name {
            Some(name) => super::names::name_address(&call, batch, name, ip)?,
            None => batch,
        };
        Ok((batch, ip))
    })
    .await?;
    let networks = Networks::of(call.store());
    Ok(Reply::Json(render_reserved(&call, &networks, ip).unwrap_or_default()))
}

fn owner_mark(user: &str) -> String {
    format!("user:{user}")
}

fn chosen(call: &Call, wanted: &str) -> Result<Ipv4Addr, ApiError> {
    let Ok(ip) = wanted.parse::<Ipv4Addr>() else {
        return Err(ApiError::field("ip_address", "Enter a valid IPv4 or IPv6 address."));
    };
    let Some(subnet) = subnets::containing(call.store(), ip) else {
        return Err(ApiError::Bad(format!("No known subnet for IP address: {ip}.")));
    };
    let found = subnets::usage_of(call, &subnet.value);
    let purposes = found.purposes(ip);
    if purposes.contains(&"dynamic") {
        return Err(ApiError::Forbidden(format!(
            "IP address {ip} belongs to an existing dynamic range. To reserve this IP address, a MAC address is required. (Create a device instead.)"
        )));
    }
    if purposes.contains(&"assigned-ip") || purposes.contains(&"gateway-ip") {
        return Err(ApiError::Missing(format!("The IP address {ip} is already in use.")));
    }
    Ok(ip)
}

fn any_of(call: &Call) -> Result<Ipv4Addr, ApiError> {
    let subnet = if let Some(wanted) = call.param("subnet").filter(|subnet| !subnet.is_empty()) {
        subnets::find(call, wanted)?
    } else {
        let list = call.store().list::<Subnet>(SCOPE);
        list.into_iter()
            .min_by_key(|s| s.value.number)
            .ok_or_else(|| ApiError::NotFound("Subnet".to_owned()))?
    };
    let free = subnets::usage_of(call, &subnet.value).free().next().map(|stretch| stretch.first);
    free.ok_or_else(|| {
        ApiError::Unavailable(format!("No more IPs available in subnet: {}.", subnet.value.cidr))
    })
}

async fn release(call: Call) -> Answer {
    let Some(wanted) = call.param("ip").filter(|ip| !ip.is_empty()) else {
        return Err(ApiError::Bad("No provided ip!".to_owned()));
    };
    let force = call.flag("force");
    if force && !call.admin() {
        let words = "Force-releasing an IP address requires admin privileges.";
        return Err(ApiError::Forbidden(words.to_owned()));
    }
    edit(&call, "ipaddress.release", |batch| {
        let seen = call.store().get::<ReservedAddress>(SCOPE, wanted);
        let Some(seen) = seen.filter(|address| force || address.value.user == call.user()) else {
            return Err(ApiError::Bad(format!(
                "IP address {wanted} does not exist, is not the correct type of address, or does not belong to the requesting user.\nIf you are sure you want to release this address, use force=true as a MAAS administrator."
            )));
        };
        let batch = batch
            .delete::<ReservedAddress>(SCOPE, wanted, seen.version)
            .unclaim(SCOPE, "ip", wanted, &owner_mark(&seen.value.user));
        Ok((super::names::forget_address(&call, batch, wanted), Reply::NoContent))
    })
    .await
}
