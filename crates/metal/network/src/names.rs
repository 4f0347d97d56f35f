//! DNS: domains, names with addresses, and other records.

use std::{
    net::{IpAddr, Ipv4Addr},
    ops::RangeInclusive,
    sync::Arc,
};

use lifecycle::Status;
use model::{Device, DnsRecord, DnsResource, Domain, SCOPE, next_id};
use serde_json::{Value, json};
use store::{Batch, Stored};

use super::{addresses, subnets};
use api_call::{
    Answer, ApiError, Call, Faults, Reply,
    edit::{edit, numbered, required},
    is_true,
    route::{Resource, restful},
    words,
};
use render::network::{self, Networks};

/// Domains, resources and records.
pub fn resources() -> Vec<Resource> {
    vec![
        Resource {
            name: "DomainsHandler",
            path: "domains/",
            params: &[],
            ops: vec![
                restful!(GET, User, "Lists the domains.", domains),
                restful!(POST, Admin, "Makes a domain: `name`, `authoritative`, `ttl`.", create_domain),
            ],
        },
        Resource {
            name: "DomainHandler",
            path: "domains/{id}/",
            params: &["id"],
            ops: vec![
                restful!(GET, User, "Reads a domain, by number or name.", domain),
                restful!(PUT, Admin, "Changes a domain: `name`, `authoritative`, `ttl`.", update_domain),
                restful!(DELETE, Admin, "Deletes a domain without names.", delete_domain),
            ],
        },
        Resource {
            name: "DNSResourcesHandler",
            path: "dnsresources/",
            params: &[],
            ops: vec![
                restful!(
                    GET,
                    User,
                    "Lists names; `fqdn`, `name`, `domain`, `rrtype` filter; `all` adds those of machines.",
                    names
                ),
                restful!(
                    POST,
                    Admin,
                    "Makes a name: `fqdn` or `name` and `domain`; `ip_addresses`, `address_ttl`.",
                    create_name
                ),
            ],
        },
        Resource {
            name: "DNSResourceHandler",
            path: "dnsresources/{id}/",
            params: &["id"],
            ops: vec![
                restful!(GET, User, "Reads a name.", name),
                restful!(PUT, Admin, "Changes a name: `fqdn`, `ip_addresses`, `address_ttl`.", update_name),
                restful!(DELETE, Admin, "Deletes a name.", delete_name),
            ],
        },
        Resource {
            name: "DNSResourceRecordsHandler",
            path: "dnsresourcerecords/",
            params: &[],
            ops: vec![
                restful!(GET, User, "Lists records that are not addresses.", records),
                restful!(POST, Admin, "Makes a record: `fqdn`, `rrtype`, `rrdata`, `ttl`.", create_record),
            ],
        },
        Resource {
            name: "DNSResourceRecordHandler",
            path: "dnsresourcerecords/{id}/",
            params: &["id"],
            ops: vec![
                restful!(GET, User, "Reads a record.", record),
                restful!(PUT, Admin, "Changes a record: `rrtype`, `rrdata`, `ttl`.", update_record),
                restful!(DELETE, Admin, "Deletes a record.", delete_record),
            ],
        },
    ]
}

async fn domains(call: Call) -> Answer {
    let mut list = call.store().list::<Domain>(SCOPE);
    list.sort_by_key(|domain| domain.value.number);
    Ok(Reply::Json(list.iter().map(|domain| network::domain(&domain.value, call.store())).collect()))
}

async fn domain(call: Call) -> Answer {
    Ok(Reply::Json(network::domain(&find_domain(&call, call.arg(0))?.value, call.store())))
}

/// A domain by number or name.
fn find_domain(call: &Call, wanted: &str) -> Result<Arc<Stored<Domain>>, ApiError> {
    let list = call.store().list::<Domain>(SCOPE);
    let found = list.into_iter().find(|domain| domain.id == wanted || domain.value.name == wanted);
    found.ok_or_else(|| ApiError::NotFound("Domain".to_owned()))
}

/// MAAS's sentences about a domain name.
fn check_domain(call: &Call, faults: &mut Faults, name: &str) {
    let label = |label: &&str| label.starts_with('-') || label.ends_with('-');
    let character = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if let Some(hyphen) = name.split('.').find(label) {
        faults.add("name", format!("Invalid domain name: {name}."));
        faults.add("name", format!("Label cannot start or end with hyphen: '{hyphen}'."));
    } else if name.len() > 253
        || name.split('.').any(|label| label.is_empty() || label.len() > 63 || !label.chars().all(character))
    {
        faults.add("name", format!("Invalid domain name: {name}."));
    }
    if call.store().list::<Domain>(SCOPE).iter().any(|domain| domain.value.name == name) {
        faults.add("name", "Domain with this Name already exists.");
    }
}

/// Seconds that a domain's names may live.
const OF_DOMAINS: RangeInclusive<u32> = 1..=604_800;
/// Seconds that a record may live.
const OF_RECORDS: RangeInclusive<u32> = 0..=i32::MAX.unsigned_abs();

fn ttl(
    call: &Call,
    faults: &mut Faults,
    name: &str,
    limits: &RangeInclusive<u32>,
    old: Option<u32>,
) -> Option<u32> {
    match call.param(name) {
        None => old,
        Some("") => None,
        Some(sent) => {
            let ttl = sent.parse().ok().filter(|ttl| limits.contains(ttl));
            if ttl.is_none() {
                let (first, last) = (limits.start(), limits.end());
                faults.add(name, format!("Enter a whole number of seconds from {first} to {last}."));
            }
            ttl
        }
    }
}

fn no_forwarding(call: &Call) -> Result<(), ApiError> {
    if call.param("forward_dns_servers").is_some_and(|servers| !servers.is_empty()) {
        return Err(ApiError::NotImplemented("Domains are not forwarded to other DNS servers.".to_owned()));
    }
    Ok(())
}

async fn create_domain(call: Call) -> Answer {
    no_forwarding(&call)?;
    let made = edit(&call, "domain.create", |batch| {
        let mut faults = Faults::default();
        let name = required(&call, &mut faults, "name").to_ascii_lowercase();
        if !name.is_empty() {
            check_domain(&call, &mut faults, &name);
        }
        let domain = Domain {
            number: next_id::<Domain>(call.store(), |domain| domain.number).max(1),
            name,
            authoritative: call.param("authoritative").is_none_or(is_true),
            ttl: ttl(&call, &mut faults, "ttl", &OF_DOMAINS, None),
        };
        faults.check()?;
        let id = domain.number.to_string();
        Ok((batch.claim(SCOPE, "domain", &domain.name, &id).create(SCOPE, &id, &domain), domain))
    })
    .await?;
    Ok(Reply::Json(network::domain(&made, call.store())))
}

async fn update_domain(call: Call) -> Answer {
    no_forwarding(&call)?;
    let changed = edit(&call, "domain.update", |mut batch| {
        let seen = find_domain(&call, call.arg(0))?;
        let mut domain = seen.value.clone();
        let mut faults = Faults::default();
        let name = call.param("name").map(str::to_ascii_lowercase).filter(|name| !name.is_empty());
        if let Some(name) = name.filter(|name| *name != domain.name) {
            check_domain(&call, &mut faults, &name);
            batch = batch
                .unclaim(SCOPE, "domain", &domain.name, &seen.id)
                .claim(SCOPE, "domain", &name, &seen.id);
            domain.name = name;
        }
        if let Some(authoritative) = call.param("authoritative") {
            domain.authoritative = is_true(authoritative);
        }
        domain.ttl = ttl(&call, &mut faults, "ttl", &OF_DOMAINS, domain.ttl);
        faults.check()?;
        Ok((batch.update(SCOPE, &seen.id, seen.version, &domain), domain))
    })
    .await?;
    Ok(Reply::Json(network::domain(&changed, call.store())))
}

async fn delete_domain(call: Call) -> Answer {
    edit(&call, "domain.delete", |batch| {
        let seen = find_domain(&call, call.arg(0))?;
        let number = seen.value.number;
        if number == 0 {
            let words = "This domain is the default domain, it cannot be deleted.";
            return Err(ApiError::Bad(words.to_owned()));
        }
        let name = &seen.value.name;
        if call.store().list::<DnsResource>(SCOPE).iter().any(|resource| resource.value.domain == number) {
            return Err(ApiError::Conflict(format!("The domain {name} has names in it: delete them first.")));
        }
        if call.store().list::<Device>(SCOPE).iter().any(|device| device.value.domain == number) {
            return Err(ApiError::Conflict(format!("The domain {name} has devices in it: move them first.")));
        }
        if call.state.machines.all().iter().any(|machine| machine.value.domain == number) {
            return Err(ApiError::Conflict(format!(
                "The domain {name} has machines in it: move them first."
            )));
        }
        let batch = batch.unclaim(SCOPE, "domain", name, &seen.id);
        Ok((batch.delete::<Domain>(SCOPE, &seen.id, seen.version), Reply::NoContent))
    })
    .await
}

/// Label and domain of a name as the call gives it, `None` if it gives none.
fn sent_name(call: &Call, faults: &mut Faults) -> Option<(String, Arc<Stored<Domain>>)> {
    let sent = |name| call.param(name).filter(|value: &&str| !value.is_empty());
    if let Some(fqdn) = sent("fqdn") {
        let fqdn = fqdn.trim_end_matches('.').to_ascii_lowercase();
        let found = split_fqdn(call, &fqdn);
        if found.is_none() {
            faults.add("fqdn", format!("{fqdn} is in no known domain: make its domain first."));
        }
        return found;
    }
    let (name, domain) = (sent("name"), sent("domain"));
    if name.is_none() {
        faults.add("name", "This field is required.");
    }
    if domain.is_none() {
        faults.add("domain", "This field is required.");
    }
    let found = domain.and_then(|domain| find_domain(call, domain).ok());
    if domain.is_some() && found.is_none() {
        faults.add("domain", "Select a valid choice. That choice is not one of the available choices.");
    }
    Some((name?.to_ascii_lowercase(), found?))
}

/// Splits by the longest known domain; `@` is the domain itself.
fn split_fqdn(call: &Call, fqdn: &str) -> Option<(String, Arc<Stored<Domain>>)> {
    let list = call.store().list::<Domain>(SCOPE);
    let label = |domain: &str| {
        if fqdn == domain {
            Some("@".to_owned())
        } else {
            fqdn.strip_suffix(domain)?.strip_suffix('.').map(str::to_owned)
        }
    };
    list.into_iter()
        .filter_map(|domain| Some((label(&domain.value.name)?, domain)))
        .max_by_key(|(_, domain)| domain.value.name.len())
}

/// Checks a label, and that no other name of the domain has it.
fn check_label(call: &Call, faults: &mut Faults, name: &str, domain: u64, own: Option<u64>) {
    let character = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let label = |l: &str| {
        l == "*" || (!l.is_empty() && l.len() <= 63 && !l.starts_with('-') && l.chars().all(character))
    };
    if name != "@" && !name.split('.').all(label) {
        faults.add("name", format!("Invalid dnsresource name: {name}."));
    }
    let same =
        |other: &DnsResource| other.name == name && other.domain == domain && Some(other.number) != own;
    if call.store().list::<DnsResource>(SCOPE).iter().any(|other| same(&other.value)) {
        faults.add("__all__", "Labels must be unique within their zone.");
    }
}

fn claim_name(name: &DnsResource) -> String {
    format!("{}/{}", name.domain, name.name)
}

fn sent_addresses(call: &Call, faults: &mut Faults, old: Vec<IpAddr>) -> Vec<IpAddr> {
    let sent = call.all("ip_addresses");
    if sent.is_empty() {
        return old;
    }
    let mut found: Vec<IpAddr> = Vec::new();
    for word in sent.into_iter().flat_map(words) {
        match word.parse() {
            Ok(ip) if found.contains(&ip) => {}
            Ok(ip) => found.push(ip),
            Err(_) => faults.add("ip_addresses", format!("'{word}' is not a valid IP address.")),
        }
    }
    found
}

/// A name as clients see it.
fn show(call: &Call, networks: &Networks, machines: &[(Ipv4Addr, Value)], resource: &DnsResource) -> Value {
    let fqdn = fqdn(call, resource);
    let address = |ip: &IpAddr| {
        let reserved = || match ip {
            IpAddr::V4(ip) => addresses::render_reserved(call, networks, *ip),
            IpAddr::V6(_) => None,
        };
        let of_machine =
            machines.iter().find(|(other, _)| IpAddr::V4(*other) == *ip).map(|(_, value)| value.clone());
        of_machine.or_else(reserved).unwrap_or_else(|| {
            let subnet = match ip {
                IpAddr::V4(ip) => subnets::containing(call.store(), *ip),
                IpAddr::V6(_) => None,
            };
            json!({
                "alloc_type": 4,
                "alloc_type_name": "User reserved",
                "created": null,
                "interface_set": [],
                "ip": ip,
                "owner": null,
                "resource_uri": "/MAAS/api/2.0/ipaddresses/",
                "subnet": subnet.map_or(Value::Null, |subnet| networks.subnet(subnet.value.number)),
            })
        })
    };
    let record = |record: &DnsRecord| {
        json!({
            "dnsdata_id": record.number,
            "dnsresource_id": resource.number,
            "node_type": null,
            "rrdata": record.rrdata,
            "rrtype": record.rrtype,
            "system_id": null,
            "ttl": record.ttl,
            "user_id": null,
        })
    };
    json!({
        "address_ttl": resource.address_ttl,
        "fqdn": fqdn,
        "id": resource.number,
        "ip_addresses": resource.addresses.iter().map(address).collect::<Vec<_>>(),
        "resource_records": resource.records.iter().map(record).collect::<Vec<_>>(),
        "resource_uri": format!("/MAAS/api/2.0/dnsresources/{}/", resource.number),
    })
}

fn fqdn(call: &Call, resource: &DnsResource) -> String {
    let domain = call.store().get::<Domain>(SCOPE, &resource.domain.to_string());
    let domain = domain.as_ref().map_or("", |domain| &domain.value.name);
    if resource.name == "@" { domain.to_owned() } else { format!("{}.{domain}", resource.name) }
}

fn show_one(call: &Call, resource: &DnsResource) -> Reply {
    let networks = Networks::of(call.store());
    let machines = addresses::of_machines(call, &networks);
    Reply::Json(show(call, &networks, &machines, resource))
}

/// The resources that the filters of the call let through, by number.
fn filtered(call: &Call) -> Result<Vec<Arc<Stored<DnsResource>>>, ApiError> {
    let sent = |name| call.param(name).filter(|value: &&str| !value.is_empty());
    let wanted = sent("fqdn").map(|fqdn| fqdn.trim_end_matches('.').to_ascii_lowercase());
    let domain = sent("domain").map(|domain| find_domain(call, domain)).transpose()?;
    let rrtype = sent("rrtype").map(str::to_ascii_uppercase);
    let of_type = |resource: &DnsResource| match rrtype.as_deref() {
        None => true,
        Some("A") => resource.addresses.iter().any(IpAddr::is_ipv4),
        Some("AAAA") => resource.addresses.iter().any(IpAddr::is_ipv6),
        Some(other) => resource.records.iter().any(|record| record.rrtype == other),
    };
    let mut list = call.store().list::<DnsResource>(SCOPE);
    list.retain(|stored| {
        let resource = &stored.value;
        wanted.as_ref().is_none_or(|wanted| fqdn(call, resource) == *wanted)
            && sent("name").is_none_or(|name| resource.name.eq_ignore_ascii_case(name))
            && domain.as_ref().is_none_or(|domain| domain.value.number == resource.domain)
            && of_type(resource)
    });
    list.sort_by_key(|resource| resource.value.number);
    Ok(list)
}

async fn names(call: Call) -> Answer {
    let networks = Networks::of(call.store());
    let machines = addresses::of_machines(&call, &networks);
    let list = filtered(&call)?;
    let mut shown: Vec<Value> =
        list.iter().map(|name| show(&call, &networks, &machines, &name.value)).collect();
    if call.flag("all") {
        shown.extend(machine_names(&call));
    }
    Ok(Reply::Json(Value::Array(shown)))
}

/// Names that deployed machines have by themselves.
fn machine_names(call: &Call) -> Vec<Value> {
    let sent = |name| call.param(name).filter(|value: &&str| !value.is_empty());
    let mut shown = Vec::new();
    for machine in call.state.machines.all() {
        let domain = network::domain_name(call.store(), machine.value.domain);
        let fqdn = format!("{}.{domain}", machine.value.hostname);
        let wanted = machine.value.status == Status::Deployed
            && sent("fqdn").is_none_or(|wanted| wanted == fqdn)
            && sent("name").is_none_or(|name| name == machine.value.hostname)
            && sent("domain").is_none_or(|name| name == domain || name == machine.value.domain.to_string())
            && sent("rrtype").is_none_or(|rrtype| rrtype.eq_ignore_ascii_case("A"));
        let ips = machine.value.nics.iter().flat_map(|nic| &nic.links).filter_map(|link| link.ip);
        let records: Vec<Value> = ips
            .map(|ip| {
                json!({
                    "dnsdata_id": null, "dnsresource_id": null, "node_type": 0, "rrdata": ip, "rrtype": "A",
                    "system_id": machine.id, "ttl": null, "user_id": null,
                })
            })
            .collect();
        if wanted && !records.is_empty() {
            shown.push(json!({
                "address_ttl": null,
                "fqdn": fqdn,
                "id": -1,
                "ip_addresses": null,
                "resource_records": records,
                "resource_uri": "/MAAS/api/2.0/dnsresources/-1/",
            }));
        }
    }
    shown
}

async fn name(call: Call) -> Answer {
    Ok(show_one(&call, &find_name(&call)?.value))
}

fn find_name(call: &Call) -> Result<Arc<Stored<DnsResource>>, ApiError> {
    numbered(call, 0, "DNSResource")
}

async fn create_name(call: Call) -> Answer {
    let made = edit(&call, "dnsresource.create", |batch| {
        let mut faults = Faults::default();
        let sent = sent_name(&call, &mut faults);
        let addresses = sent_addresses(&call, &mut faults, Vec::new());
        let address_ttl = ttl(&call, &mut faults, "address_ttl", &OF_RECORDS, None);
        if let Some((name, domain)) = &sent {
            check_label(&call, &mut faults, name, domain.value.number, None);
        }
        faults.check()?;
        let Some((name, domain)) = sent else { return Err(ApiError::Bad("No provided fqdn!".to_owned())) };
        let batch = batch.expect::<Domain>(SCOPE, &domain.id, domain.version);
        Ok(add_name(&call, batch, name, domain.value.number, |resource| {
            resource.addresses = addresses;
            resource.address_ttl = address_ttl;
        }))
    })
    .await?;
    Ok(show_one(&call, &made))
}

fn add_name(
    call: &Call,
    batch: Batch,
    name: String,
    domain: u64,
    fill: impl FnOnce(&mut DnsResource),
) -> (Batch, DnsResource) {
    let number = next_id::<DnsResource>(call.store(), |resource| resource.number).max(1);
    let mut resource =
        DnsResource { number, name, domain, address_ttl: None, addresses: Vec::new(), records: Vec::new() };
    fill(&mut resource);
    let id = number.to_string();
    (batch.claim(SCOPE, "dns", &claim_name(&resource), &id).create(SCOPE, &id, &resource), resource)
}

/// Adds a name for an address that is being reserved: in the default domain unless it has its own.
pub fn name_address(call: &Call, batch: Batch, name: &str, ip: Ipv4Addr) -> Result<Batch, ApiError> {
    let name = name.to_ascii_lowercase();
    let (name, domain) = match split_fqdn(call, &name) {
        Some((label, domain)) => (label, domain.value.number),
        None => (name, 0),
    };
    let mut faults = Faults::default();
    check_label(call, &mut faults, &name, domain, None);
    faults.check()?;
    Ok(add_name(call, batch, name, domain, |resource| resource.addresses.push(ip.into())).0)
}

/// Takes an address that is being released from every name; names that have nothing left go.
pub fn forget_address(call: &Call, mut batch: Batch, ip: &str) -> Batch {
    let Ok(ip) = ip.parse::<IpAddr>() else { return batch };
    for seen in call.store().list::<DnsResource>(SCOPE) {
        let mut resource = seen.value.clone();
        resource.addresses.retain(|address| *address != ip);
        if resource.addresses.is_empty() && resource.records.is_empty() && !seen.value.addresses.is_empty() {
            batch = drop_name(batch, &seen);
        } else if resource != seen.value {
            batch = batch.update(SCOPE, &seen.id, seen.version, &resource);
        }
    }
    batch
}

async fn update_name(call: Call) -> Answer {
    let changed = edit(&call, "dnsresource.update", |mut batch| {
        let seen = find_name(&call)?;
        let mut resource = seen.value.clone();
        let mut faults = Faults::default();
        let sent = |name| call.param(name).is_some_and(|value| !value.is_empty());
        if sent("fqdn") {
            if let Some((name, domain)) = sent_name(&call, &mut faults) {
                (resource.name, resource.domain) = (name, domain.value.number);
            }
        } else {
            if sent("name") {
                resource.name = call.param("name").unwrap_or_default().to_ascii_lowercase();
            }
            if sent("domain") {
                resource.domain = find_domain(&call, call.param("domain").unwrap_or_default())?.value.number;
            }
        }
        if claim_name(&resource) != claim_name(&seen.value) {
            check_label(&call, &mut faults, &resource.name, resource.domain, Some(resource.number));
            batch = batch.unclaim(SCOPE, "dns", &claim_name(&seen.value), &seen.id).claim(
                SCOPE,
                "dns",
                &claim_name(&resource),
                &seen.id,
            );
        }
        resource.addresses = sent_addresses(&call, &mut faults, resource.addresses);
        resource.address_ttl = ttl(&call, &mut faults, "address_ttl", &OF_RECORDS, resource.address_ttl);
        faults.check()?;
        Ok((batch.update(SCOPE, &seen.id, seen.version, &resource), resource))
    })
    .await?;
    Ok(show_one(&call, &changed))
}

fn drop_name(mut batch: Batch, seen: &Stored<DnsResource>) -> Batch {
    for record in &seen.value.records {
        batch = batch.unclaim(SCOPE, "dns_record", &record.number.to_string(), &seen.id);
    }
    batch.unclaim(SCOPE, "dns", &claim_name(&seen.value), &seen.id).delete::<DnsResource>(
        SCOPE,
        &seen.id,
        seen.version,
    )
}

async fn delete_name(call: Call) -> Answer {
    edit(&call, "dnsresource.delete", |batch| {
        let seen = find_name(&call)?;
        Ok((drop_name(batch, &seen), Reply::NoContent))
    })
    .await
}

const RECORD_TYPES: [&str; 6] = ["CNAME", "MX", "NS", "SRV", "SSHFP", "TXT"];

fn show_record(call: &Call, resource: &DnsResource, record: &DnsRecord) -> Value {
    json!({
        "fqdn": fqdn(call, resource),
        "id": record.number,
        "resource_uri": format!("/MAAS/api/2.0/dnsresourcerecords/{}/", record.number),
        "rrdata": record.rrdata,
        "rrtype": record.rrtype,
        "ttl": record.ttl,
    })
}

async fn records(call: Call) -> Answer {
    let rrtype = call.param("rrtype").filter(|rrtype| !rrtype.is_empty());
    let mut shown = Vec::new();
    for resource in filtered(&call)? {
        for record in &resource.value.records {
            if rrtype.is_none_or(|wanted| wanted.eq_ignore_ascii_case(&record.rrtype)) {
                shown.push(show_record(&call, &resource.value, record));
            }
        }
    }
    Ok(Reply::Json(Value::Array(shown)))
}

/// The name that has the record that the path numbers, and the record's position in it.
fn find_record(call: &Call) -> Result<(Arc<Stored<DnsResource>>, DnsRecord), ApiError> {
    let wanted: Option<u64> = call.arg(0).parse().ok();
    call.store()
        .list::<DnsResource>(SCOPE)
        .into_iter()
        .find_map(|resource| {
            let record =
                resource.value.records.iter().find(|record| Some(record.number) == wanted).cloned()?;
            Some((resource, record))
        })
        .ok_or_else(|| ApiError::NotFound("DNSData".to_owned()))
}

async fn record(call: Call) -> Answer {
    let (resource, record) = find_record(&call)?;
    Ok(Reply::Json(show_record(&call, &resource.value, &record)))
}

/// Reads type, data and TTL of a record, keeping what is not sent.
fn apply_record(call: &Call, faults: &mut Faults, record: &mut DnsRecord) {
    if let Some(rrtype) = call.param("rrtype").filter(|rrtype| !rrtype.is_empty()) {
        record.rrtype = rrtype.to_ascii_uppercase();
    }
    if !record.rrtype.is_empty() && !RECORD_TYPES.contains(&record.rrtype.as_str()) {
        let words = format!("'{}' is not one of {}.", record.rrtype, RECORD_TYPES.join(", "));
        faults.add("rrtype", words);
    }
    if let Some(rrdata) = call.param("rrdata").filter(|rrdata| !rrdata.is_empty()) {
        // One line of a zone file: nothing that begins another.
        if rrdata.chars().any(char::is_control) {
            faults.add("rrdata", "Control characters are not allowed.");
        }
        rrdata.clone_into(&mut record.rrdata);
    }
    record.ttl = ttl(call, faults, "ttl", &OF_RECORDS, record.ttl);
}

async fn create_record(call: Call) -> Answer {
    let (resource, record) = edit(&call, "dnsrecord.create", |batch| {
        let mut faults = Faults::default();
        required(&call, &mut faults, "rrtype");
        required(&call, &mut faults, "rrdata");
        let all = call.store().list::<DnsResource>(SCOPE);
        let number = all.iter().flat_map(|r| &r.value.records).map(|r| r.number + 1).max().unwrap_or(1);
        let mut record = DnsRecord { number, rrtype: String::new(), rrdata: String::new(), ttl: None };
        apply_record(&call, &mut faults, &mut record);
        let sent = sent_name(&call, &mut faults);
        let there = sent.as_ref().and_then(|(name, domain)| {
            all.iter().find(|r| r.value.name == *name && r.value.domain == domain.value.number)
        });
        if let (Some((name, domain)), None) = (&sent, there) {
            check_label(&call, &mut faults, name, domain.value.number, None);
        }
        faults.check()?;
        // Numbers of records are unique over all names: the name's own number has them.
        let claim = number.to_string();
        match (there, sent) {
            (Some(seen), _) => {
                let mut resource = seen.value.clone();
                resource.records.push(record.clone());
                let batch = batch.claim(SCOPE, "dns_record", &claim, &seen.id);
                Ok((batch.update(SCOPE, &seen.id, seen.version, &resource), (resource, record)))
            }
            (None, Some((name, domain))) => {
                let batch = batch.expect::<Domain>(SCOPE, &domain.id, domain.version);
                let fill = |resource: &mut DnsResource| resource.records.push(record.clone());
                let (batch, resource) = add_name(&call, batch, name, domain.value.number, fill);
                let batch = batch.claim(SCOPE, "dns_record", &claim, &resource.number.to_string());
                Ok((batch, (resource, record)))
            }
            (None, None) => Err(ApiError::Bad("No provided fqdn!".to_owned())),
        }
    })
    .await?;
    Ok(Reply::Json(show_record(&call, &resource, &record)))
}

async fn update_record(call: Call) -> Answer {
    let (resource, record) = edit(&call, "dnsrecord.update", |batch| {
        let (seen, mut record) = find_record(&call)?;
        let mut faults = Faults::default();
        apply_record(&call, &mut faults, &mut record);
        faults.check()?;
        let mut resource = seen.value.clone();
        for one in &mut resource.records {
            if one.number == record.number {
                one.clone_from(&record);
            }
        }
        Ok((batch.update(SCOPE, &seen.id, seen.version, &resource), (resource, record)))
    })
    .await?;
    Ok(Reply::Json(show_record(&call, &resource, &record)))
}

async fn delete_record(call: Call) -> Answer {
    edit(&call, "dnsrecord.delete", |batch| {
        let (seen, record) = find_record(&call)?;
        let mut resource = seen.value.clone();
        resource.records.retain(|one| one.number != record.number);
        let batch = if resource.records.is_empty() && resource.addresses.is_empty() {
            drop_name(batch, &seen)
        } else {
            let batch = batch.unclaim(SCOPE, "dns_record", &record.number.to_string(), &seen.id);
            batch.update(SCOPE, &seen.id, seen.version, &resource)
        };
        Ok((batch, Reply::NoContent))
    })
    .await
}
