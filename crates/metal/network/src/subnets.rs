//! Subnets.

use std::{net::Ipv4Addr, sync::Arc};

use ipnet::Ipv4Net;
use jiff::{Timestamp, tz::TimeZone};
use model::{
    Fabric, IpRange, Lease, LinkMode, RangeKind, ReservedAddress, ReservedIp, SCOPE, StaticRoute, Subnet,
    Vlan, next_id,
};
use serde_json::{Value, json};
use store::{Store, Stored};

use crate::usage::{Stretch, Usage, Use, bounds, usage};
use api_call::{
    Answer, ApiError, Call, Faults, Reply,
    edit::{edit, only, required},
    is_true,
    route::{Resource, named, restful},
    words,
};
use render::network::{Networks, domain_name, put};

/// Subnets.
pub fn resources() -> Vec<Resource> {
    vec![
        Resource {
            name: "SubnetsHandler",
            path: "subnets/",
            params: &[],
            ops: vec![
                restful!(GET, User, "Lists the subnets.", list),
                restful!(
                    POST,
                    Admin,
                    "Makes a subnet: `cidr`, `name`, `vlan`, `gateway_ip`, `dns_servers`…",
                    create
                ),
            ],
        },
        Resource {
            name: "SubnetHandler",
            path: "subnets/{id}/",
            params: &["id"],
            ops: vec![
                restful!(GET, User, "Reads a subnet.", read),
                restful!(PUT, Admin, "Changes a subnet.", update),
                restful!(DELETE, Admin, "Deletes a subnet that no machine uses, with its ranges.", delete),
                named!(GET, "statistics", User, "Says how full a subnet is.", statistics),
                named!(GET, "ip_addresses", User, "Lists the addresses in use.", ip_addresses),
                named!(GET, "reserved_ip_ranges", User, "Lists the ranges in use.", reserved_ranges),
                named!(GET, "unreserved_ip_ranges", User, "Lists the free ranges.", unreserved_ranges),
            ],
        },
    ]
}

async fn list(call: Call) -> Answer {
    Ok(Reply::Json(Value::Array(Networks::of(call.store()).subnets_where(|_| true))))
}

async fn read(call: Call) -> Answer {
    let number = find(&call, call.arg(0))?.value.number;
    Ok(Reply::Json(Networks::of(call.store()).subnet(number)))
}

/// A subnet by MAAS's specifiers: number, CIDR or name, each also with its prefix (`id:`, `cidr:`, `name:`).
pub fn find(call: &Call, wanted: &str) -> Result<Arc<Stored<Subnet>>, ApiError> {
    let by_id =
        |text: &str| text.parse::<u64>().ok().map(|n| call.store().get::<Subnet>(SCOPE, &n.to_string()));
    let all = || call.store().list::<Subnet>(SCOPE).into_iter();
    let by_cidr = |text: &str| {
        let cidr: Ipv4Net = text.parse().ok()?;
        all().find(|subnet| subnet.value.cidr == cidr.trunc())
    };
    let by_name = |text: &str| all().find(|subnet| subnet.value.name == text);
    let found = match wanted.split_once(':') {
        Some(("id", id)) => by_id(id).flatten(),
        Some(("cidr", cidr)) => by_cidr(cidr),
        Some(("name", name)) => by_name(name),
        _ => by_id(wanted).unwrap_or_else(|| by_cidr(wanted).or_else(|| by_name(wanted))),
    };
    found.ok_or_else(|| ApiError::NotFound("Subnet".to_owned()))
}

/// The subnet that has this address.
pub fn containing(store: &Store, ip: Ipv4Addr) -> Option<Arc<Stored<Subnet>>> {
    store.list::<Subnet>(SCOPE).into_iter().find(|subnet| subnet.value.cidr.contains(&ip))
}

/// MAAS's words for a number of nothing.
pub const NO_CHOICE: &str = "Select a valid choice. That choice is not one of the available choices.";

/// The parameters that creating and changing have in common.
fn apply(call: &Call, subnet: &mut Subnet, faults: &mut Faults) {
    if let Some(name) = call.param("name").filter(|name| !name.is_empty()) {
        name.clone_into(&mut subnet.name);
    }
    if let Some(description) = call.param("description") {
        description.clone_into(&mut subnet.description);
    }
    match call.param("gateway_ip").map(|ip| (ip, ip.parse::<Ipv4Addr>())) {
        None => {}
        Some(("", _)) => subnet.gateway = None,
        Some((_, Ok(ip))) => subnet.gateway = Some(ip),
        Some((_, Err(_))) => faults.add("gateway_ip", "Enter a valid IPv4 address."),
    }
    if subnet.gateway.is_some_and(|gateway| !subnet.cidr.contains(&gateway)) {
        faults.add("gateway_ip", "Gateway IP must be within CIDR range.");
    }
    let servers = call.all("dns_servers");
    if !servers.is_empty() {
        let servers = servers.join(" ");
        let parsed: Result<_, _> = words(&servers).map(str::parse).collect();
        match parsed {
            Ok(servers) => subnet.dns_servers = servers,
            Err(_) => faults.add("dns_servers", format!("Invalid IP address list: {servers}.")),
        }
    }
    for (name, flag) in [
        ("managed", &mut subnet.managed),
        ("allow_dns", &mut subnet.allow_dns),
        ("allow_proxy", &mut subnet.allow_proxy),
    ] {
        if let Some(value) = call.param(name).filter(|value| !value.is_empty()) {
            *flag = is_true(value);
        }
    }
    match vlan_of(call) {
        Some(Ok(vlan)) => subnet.vlan = vlan,
        Some(Err(field)) => faults.add(field, NO_CHOICE),
        None => {}
    }
    if let Some(mode) = call.param("rdns_mode").filter(|mode| !mode.is_empty()) {
        match mode.parse() {
            Ok(mode @ 0..=2) => subnet.rdns_mode = mode,
            _ => faults
                .add("rdns_mode", format!("{mode} is not a valid choice. It should be one of: 0, 1, 2.")),
        }
    }
    only(call, faults, "active_discovery", &["false", "0", "off", "no"]);
    only(call, faults, "disabled_boot_architectures", &[]);
}

/// The VLAN that `vlan`, or `fabric` and `vid`, name; the name of the wrong parameter if there is none.
fn vlan_of(call: &Call) -> Option<Result<u64, &'static str>> {
    let sent = |name| call.param(name).filter(|value: &&str| !value.is_empty());
    let vlans = call.store().list::<Vlan>(SCOPE);
    if let Some(wanted) = sent("vlan") {
        return Some(vlans.iter().find(|vlan| vlan.id == wanted).map(|vlan| vlan.value.number).ok_or("vlan"));
    }
    let (fabric, vid) = (sent("fabric"), sent("vid"));
    if fabric.is_none() && vid.is_none() {
        return None;
    }
    let fabrics = call.store().list::<Fabric>(SCOPE);
    let number = match fabric {
        Some(wanted) => match fabrics.iter().find(|f| f.id == wanted || f.value.name == wanted) {
            Some(fabric) => fabric.value.number,
            None => return Some(Err("fabric")),
        },
        None => 0,
    };
    let Ok(vid) = vid.unwrap_or("0").parse::<u16>() else { return Some(Err("vid")) };
    let found = vlans.iter().find(|vlan| vlan.value.fabric == number && vlan.value.vid == vid);
    Some(found.map(|vlan| vlan.value.number).ok_or("vid"))
}

/// The untagged VLAN of the first fabric.
fn default_vlan(store: &Store) -> Option<u64> {
    let vlans = store.list::<Vlan>(SCOPE);
    let untagged = vlans.iter().filter(|vlan| vlan.value.vid == 0);
    untagged.min_by_key(|vlan| (vlan.value.fabric, vlan.value.number)).map(|vlan| vlan.value.number)
}

fn check_cidr(call: &Call, faults: &mut Faults, cidr: Ipv4Net, own: Option<u64>) {
    for other in call.store().list::<Subnet>(SCOPE).iter().filter(|subnet| Some(subnet.value.number) != own) {
        let there = other.value.cidr;
        if there == cidr {
            faults.add("cidr", "Subnet with this Cidr already exists.");
        }
        if there.contains(&cidr) || cidr.contains(&there) {
            faults.add("__all__", format!("Subnet {cidr} would overlap with existing subnets."));
            return;
        }
    }
}

fn parse_cidr(faults: &mut Faults, text: &str) -> Option<Ipv4Net> {
    let parsed = text.parse::<Ipv4Net>().ok().map(|cidr| cidr.trunc());
    if parsed.is_none() {
        let v6 = text.parse::<ipnet::Ipv6Net>().is_ok();
        let words = if v6 {
            "This region serves IPv4 subnets only."
        } else {
            "Required format: <network>/<prefixlen>."
        };
        faults.add("cidr", words);
    }
    parsed
}

async fn create(call: Call) -> Answer {
    let number = edit(&call, "subnet.create", |batch| {
        let mut faults = Faults::default();
        let sent = required(&call, &mut faults, "cidr");
        let parsed = if sent.is_empty() { None } else { parse_cidr(&mut faults, sent) };
        let Some(cidr) = parsed else {
            faults.check()?;
            return Err(ApiError::Bad("No provided cidr!".to_owned()));
        };
        check_cidr(&call, &mut faults, cidr, None);
        let vlan = default_vlan(call.store());
        if vlan.is_none() && vlan_of(&call).is_none() {
            faults.add("vlan", "There is no default VLAN: make a fabric, or name a VLAN.");
        }
        let mut subnet = Subnet {
            number: next_id::<Subnet>(call.store(), |subnet| subnet.number).max(1),
            name: cidr.to_string(),
            description: String::new(),
            cidr,
            vlan: vlan.unwrap_or_default(),
            gateway: None,
            dns_servers: Vec::new(),
            managed: true,
            allow_dns: true,
            allow_proxy: true,
            rdns_mode: 2,
        };
        apply(&call, &mut subnet, &mut faults);
        faults.check()?;
        let id = subnet.number.to_string();
        let batch = batch.claim(SCOPE, "subnet", &cidr.to_string(), &id).create(SCOPE, &id, &subnet);
        Ok((batch, subnet.number))
    })
    .await?;
    Ok(Reply::Json(Networks::of(call.store()).subnet(number)))
}

async fn update(call: Call) -> Answer {
    let number = edit(&call, "subnet.update", |mut batch| {
        let seen = find(&call, call.arg(0))?;
        let mut subnet = seen.value.clone();
        let mut faults = Faults::default();
        let sent = call.param("cidr").filter(|cidr| !cidr.is_empty());
        if let Some(cidr) =
            sent.and_then(|cidr| parse_cidr(&mut faults, cidr)).filter(|cidr| *cidr != subnet.cidr)
        {
            check_cidr(&call, &mut faults, cidr, Some(subnet.number));
            if !uses(&call, &subnet)
                .iter()
                .all(|(first, last, _)| cidr.contains(first) && cidr.contains(last))
            {
                faults.add("cidr", "Addresses of this subnet that are in use would be outside of it.");
            }
            batch = batch.unclaim(SCOPE, "subnet", &subnet.cidr.to_string(), &seen.id).claim(
                SCOPE,
                "subnet",
                &cidr.to_string(),
                &seen.id,
            );
            subnet.cidr = cidr;
        }
        apply(&call, &mut subnet, &mut faults);
        faults.check()?;
        Ok((batch.update(SCOPE, &seen.id, seen.version, &subnet), subnet.number))
    })
    .await?;
    Ok(Reply::Json(Networks::of(call.store()).subnet(number)))
}

async fn delete(call: Call) -> Answer {
    edit(&call, "subnet.delete", |batch| {
        let seen = find(&call, call.arg(0))?;
        let number = seen.value.number;
        let machines = call.state.machines.all();
        let linked = |machine: &model::Machine| {
            machine.nics.iter().flat_map(|nic| &nic.links).any(|link| link.subnet == Some(number))
        };
        if let Some(machine) = machines.iter().find(|machine| linked(&machine.value)) {
            let name = &machine.value.hostname;
            return Err(ApiError::Bad(format!(
                "Can't delete the subnet: {name} has an interface linked to it."
            )));
        }
        let mut batch = batch.unclaim(SCOPE, "subnet", &seen.value.cidr.to_string(), &seen.id);
        for range in call.store().list::<IpRange>(SCOPE) {
            if range.value.subnet == number {
                batch = batch.delete::<IpRange>(SCOPE, &range.id, range.version);
            }
        }
        for route in call.store().list::<StaticRoute>(SCOPE) {
            if route.value.source == number || route.value.destination == number {
                batch = batch.delete::<StaticRoute>(SCOPE, &route.id, route.version);
            }
        }
        for reserved in call.store().list::<ReservedIp>(SCOPE) {
            if reserved.value.subnet == number {
                batch = crate::reserved::forget(batch, &reserved);
            }
        }
        Ok((batch.delete::<Subnet>(SCOPE, &seen.id, seen.version), Reply::NoContent))
    })
    .await
}

/// Everything that takes addresses of a subnet: gateway, name servers, ranges, machines, users, leases.
fn uses(call: &Call, subnet: &Subnet) -> Vec<Use> {
    let store = call.store();
    let mut uses: Vec<Use> = Vec::new();
    uses.extend(subnet.gateway.map(|ip| (ip, ip, "gateway-ip")));
    uses.extend(subnet.dns_servers.iter().filter_map(|ip| match ip {
        std::net::IpAddr::V4(ip) => Some((*ip, *ip, "dns-server")),
        std::net::IpAddr::V6(_) => None,
    }));
    for range in store.list::<IpRange>(SCOPE).iter().filter(|range| range.value.subnet == subnet.number) {
        let purpose = match range.value.kind {
            RangeKind::Dynamic => "dynamic",
            RangeKind::Reserved => "reserved",
        };
        uses.push((range.value.start, range.value.end, purpose));
    }
    uses.extend(taken(call).into_iter().map(|ip| (ip, ip, "assigned-ip")));
    uses.retain(|(first, last, _)| subnet.cidr.contains(first) || subnet.cidr.contains(last));
    uses
}

/// Every address that a machine, a user or a lease has.
fn taken(call: &Call) -> Vec<Ipv4Addr> {
    let store = call.store();
    let claimed = store.claims(SCOPE, "ip").into_iter().filter_map(|(ip, _)| ip.parse().ok());
    let machines = call.state.machines.all();
    let linked =
        machines.iter().flat_map(|m| &m.value.nics).flat_map(|nic| &nic.links).filter_map(|link| link.ip);
    let leased = store.list::<Lease>(SCOPE).into_iter().map(|lease| lease.value.ip);
    claimed.chain(linked).chain(leased).collect()
}

/// How a subnet's addresses are used now.
pub fn usage_of(call: &Call, subnet: &Subnet) -> Usage {
    usage(subnet.cidr, &uses(call, subnet))
}

async fn statistics(call: Call) -> Answer {
    let subnet = find(&call, call.arg(0))?;
    let subnet = &subnet.value;
    let found = usage_of(&call, subnet);
    let available: u64 = found.free().map(Stretch::len).sum();
    let total: u64 = found.all().iter().map(Stretch::len).sum();
    let (first, last) = bounds(subnet.cidr);
    let share = |part: u64| if total == 0 { 0.0 } else { ratio(part, total) };
    let mut shown = json!({
        "available_string": format!("{:.0}%", share(available) * 100.0),
        "first_address": first,
        "ip_version": 4,
        "largest_available": found.free().map(Stretch::len).max().unwrap_or(0),
        "last_address": last,
        "num_available": available,
        "num_unavailable": total - available,
        "total_addresses": total,
        "usage": share(total - available),
        "usage_string": format!("{:.0}%", share(total - available) * 100.0),
    });
    if let Value::Object(shown) = &mut shown {
        if call.flag("include_ranges") {
            shown.insert("ranges".to_owned(), found.all().iter().map(with_purpose).collect());
        }
        if call.flag("include_suggestions") {
            let free = found.purposes(first).contains(&"unused");
            let gateway = (subnet.gateway.is_none() && free).then_some(first);
            shown.insert("suggested_gateway".to_owned(), json!(gateway));
            shown.insert("suggested_dynamic_range".to_owned(), Value::Null);
        }
    }
    Ok(Reply::Json(shown))
}

#[allow(clippy::cast_precision_loss, reason = "counts of IPv4 addresses are below 2^53")]
fn ratio(part: u64, total: u64) -> f64 {
    part as f64 / total as f64
}

fn plain(stretch: &Stretch) -> Value {
    json!({"end": stretch.last, "num_addresses": stretch.len(), "start": stretch.first})
}

fn with_purpose(stretch: &Stretch) -> Value {
    json!({
        "end": stretch.last,
        "num_addresses": stretch.len(),
        "purpose": stretch.purposes,
        "start": stretch.first,
    })
}

async fn reserved_ranges(call: Call) -> Answer {
    let subnet = find(&call, call.arg(0))?;
    Ok(Reply::Json(usage_of(&call, &subnet.value).used().map(with_purpose).collect()))
}

async fn unreserved_ranges(call: Call) -> Answer {
    let subnet = find(&call, call.arg(0))?;
    Ok(Reply::Json(usage_of(&call, &subnet.value).free().map(plain).collect()))
}

async fn ip_addresses(call: Call) -> Answer {
    let subnet = find(&call, call.arg(0))?;
    let cidr = subnet.value.cidr;
    let shown = |name| call.param(name).is_none_or(is_true);
    let (users, nodes) = (shown("with_username"), shown("with_node_summary") && shown("with_summary"));
    let mut found = std::collections::BTreeMap::new();
    for lease in call.store().list::<Lease>(SCOPE) {
        found.insert(lease.value.ip, entry(5, lease.value.ip, lease.value.expires, None));
    }
    for reserved in call.store().list::<ReservedAddress>(SCOPE) {
        if let Ok(ip) = reserved.id.parse() {
            let user = Some(reserved.value.user.as_str()).filter(|_| users);
            found.insert(ip, entry(4, ip, reserved.value.created, user));
        }
    }
    for machine in call.state.machines.all() {
        let value = &machine.value;
        for (nic, link) in value.nics.iter().flat_map(|nic| nic.links.iter().map(move |link| (nic, link))) {
            let Some(ip) = link.ip else { continue };
            let kind = alloc_type(link.mode).0;
            let mut shown = entry(kind, ip, value.updated, value.owner.as_deref().filter(|_| users));
            if nodes {
                let domain = domain_name(call.store(), value.domain);
                let summary = json!({
                    "fqdn": format!("{}.{domain}", value.hostname),
                    "hostname": value.hostname,
                    "is_container": false,
                    "node_type": 0,
                    "system_id": machine.id,
                    "via": nic.name,
                });
                put(&mut shown, "node_summary", summary);
            }
            found.insert(ip, shown);
        }
    }
    found.retain(|ip, _| cidr.contains(ip));
    Ok(Reply::Json(found.into_values().collect()))
}

/// MAAS's number and word for how an address came to be.
pub const fn alloc_type(mode: LinkMode) -> (u8, &'static str) {
    match mode {
        LinkMode::Auto => (0, "Automatic"),
        LinkMode::Dhcp => (5, "DHCP"),
        LinkMode::Static | LinkMode::LinkUp => (1, "Static"),
    }
}

fn entry(kind: u8, ip: Ipv4Addr, at: Timestamp, user: Option<&str>) -> Value {
    let at = at.to_zoned(TimeZone::UTC).strftime("%a, %d %b. %Y %H:%M:%S").to_string();
    let mut entry = json!({"alloc_type": kind, "created": at, "ip": ip, "updated": at});
    if let Some(user) = user {
        put(&mut entry, "user", json!(user));
    }
    entry
}
