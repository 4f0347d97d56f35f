//! Devices: nodes that have names and addresses and are otherwise left alone.

use std::{collections::BTreeMap, sync::Arc};

use bson::Document;
use jiff::Timestamp;
use model::{Device, SCOPE, Zone};
use serde_json::{Value, json};
use store::{Batch, Stored};

use super::{
    details,
    machines::{
        Filter,
        create::{check_hostname, domain, nics},
        set_pairs,
    },
};
use api_call::{
    Answer, ApiError, Call, Faults, Reply,
    edit::edit,
    route::{Resource, named, restful},
};
use render::Embedded;

/// Devices, and one device.
pub fn resources() -> Vec<Resource> {
    vec![
        Resource {
            name: "DevicesHandler",
            path: "devices/",
            params: &[],
            ops: vec![
                restful!(GET, User, "Lists devices; filters as for machines.", list),
                restful!(
                    POST,
                    User,
                    "Makes a device: `mac_addresses`, `hostname`, `description`, `domain`, `zone`, `parent`.",
                    create
                ),
                named!(
                    GET,
                    "is_registered",
                    Anonymous,
                    "Whether a machine or device has this `mac_address`.",
                    super::machines::is_registered
                ),
                named!(POST, "set_zone", Admin, "Puts the devices `nodes` in `zone`.", set_zone),
            ],
        },
        Resource {
            name: "DeviceHandler",
            path: "devices/{system_id}/",
            params: &["system_id"],
            ops: vec![
                restful!(GET, User, "Reads a device.", read),
                restful!(
                    PUT,
                    User,
                    "Changes a device: `hostname`, `description`, `domain`, `zone`, `parent`.",
                    update
                ),
                restful!(DELETE, User, "Deletes a device.", delete),
                named!(GET, "details", User, "Nothing is known of devices: empty, BSON.", nothing),
                named!(GET, "power_parameters", Admin, "None: devices are not switched.", no_power),
                named!(
                    POST,
                    "restore_networking_configuration",
                    Admin,
                    "Takes the device's addresses back.",
                    restore
                ),
                named!(
                    POST,
                    "restore_default_configuration",
                    Admin,
                    "Takes the device's addresses back.",
                    restore
                ),
                named!(
                    POST,
                    "set_owner_data",
                    User,
                    "Sets key-value pairs; an empty value removes.",
                    set_owner_data
                ),
                named!(
                    POST,
                    "set_workload_annotations",
                    User,
                    "Sets key-value pairs; an empty value removes.",
                    set_workload_annotations
                ),
            ],
        },
    ]
}

/// Users see devices that are free or theirs.
fn visible(call: &Call, device: &Device) -> bool {
    call.admin() || device.owner.as_deref().is_none_or(|owner| owner == call.user())
}

/// Devices that the caller sees.
pub fn all(call: &Call, wanted: impl Fn(&Stored<Device>) -> bool) -> Vec<Value> {
    let mut devices = call.store().list::<Device>(SCOPE);
    devices.retain(|device| visible(call, &device.value) && wanted(device));
    devices.sort_by(|one, other| one.value.hostname.cmp(&other.value.hostname));
    let embedded = Embedded::of(call.store());
    devices.iter().map(|one| render::device(&one.id, &one.value, call.store(), &embedded)).collect()
}

fn shown(call: &Call, id: &str, device: &Device) -> Reply {
    Reply::Json(render::device(id, device, call.store(), &Embedded::of(call.store())))
}

async fn list(call: Call) -> Answer {
    let filter = Filter::parse(&call.query, &[], call.store())?;
    Ok(Reply::Json(Value::Array(all(&call, |device| filter.takes_device(device)))))
}

/// The device that the call is about.
pub fn find(call: &Call) -> Result<Arc<Stored<Device>>, ApiError> {
    let found = call.store().get::<Device>(SCOPE, call.arg(0));
    let device = found.ok_or_else(|| ApiError::NotFound("Device".to_owned()))?;
    if visible(call, &device.value) { Ok(device) } else { Err(ApiError::Forbidden(String::new())) }
}

/// The device, if the caller may change it.
fn own(call: &Call) -> Result<Arc<Stored<Device>>, ApiError> {
    let device = find(call)?;
    if call.admin() || device.value.owner.as_deref() == Some(call.user()) {
        Ok(device)
    } else {
        Err(ApiError::Forbidden(String::new()))
    }
}

/// Reads a device; `nodes/{system_id}/` does too.
pub async fn read(call: Call) -> Answer {
    let device = find(&call)?;
    Ok(shown(&call, &device.id, &device.value))
}

const NO_CHOICE: &str = "Select a valid choice. That choice is not one of the available choices.";

/// What was sent, on top of what is there.
fn apply(call: &Call, device: &mut Device, faults: &mut Faults) {
    let sent = |name| call.param(name).filter(|text: &&str| !text.is_empty());
    if let Some(hostname) = sent("hostname") {
        let hostname = check_hostname(hostname, faults);
        if hostname != device.hostname && call.store().holder(SCOPE, "hostname", &hostname).is_some() {
            faults.add("hostname", "Node with this Hostname already exists.");
        }
        device.hostname = hostname;
    }
    if let Some(description) = call.param("description") {
        description.clone_into(&mut device.description);
    }
    if let Some(text) = sent("parent") {
        match call.state.machines.get(text) {
            Some(machine) => {
                device.domain = machine.value.domain;
                device.parent = Some(machine.id.clone());
            }
            None => faults.add("parent", NO_CHOICE),
        }
    }
    if let Some(text) = sent("domain") {
        match domain(call.store(), text) {
            Some(domain) => device.domain = domain.value.number,
            None => faults.add("domain", format!("Unable to find domain {text}")),
        }
    }
    if let Some(zone) = sent("zone") {
        if call.store().get::<Zone>(SCOPE, zone).is_none() {
            faults.add("zone", NO_CHOICE);
        }
        zone.clone_into(&mut device.zone);
    }
}

async fn create(call: Call) -> Answer {
    let made = edit(&call, "device.create", |mut batch| {
        let now = Timestamp::now();
        let mut faults = Faults::default();
        let id = model::pick_id(call.store());
        let mut device = Device {
            hostname: String::new(),
            description: String::new(),
            domain: 0,
            zone: "default".to_owned(),
            owner: Some(call.user().to_owned()),
            parent: None,
            tags: Vec::new(),
            owner_data: BTreeMap::new(),
            workload_annotations: BTreeMap::new(),
            nics: nics(&call, &mut faults),
            created: now,
            updated: now,
        };
        apply(&call, &mut device, &mut faults);
        faults.check()?;
        if device.hostname.is_empty() {
            device.hostname = format!("device-{id}");
        }
        for nic in &mut device.nics {
            nic.number = call.state.machines.next_number();
            batch = batch.claim(SCOPE, "mac", &nic.mac, &id);
        }
        batch = batch.claim(SCOPE, "hostname", &device.hostname, &id);
        Ok((batch.create(SCOPE, &id, &device), (id, device)))
    })
    .await?;
    Ok(shown(&call, &made.0, &made.1))
}

/// Changes the device that the call is about.
async fn change(
    call: &Call,
    action: &'static str,
    mut apply: impl FnMut(&mut Device, &str, Batch) -> Result<Batch, ApiError>,
) -> Answer {
    let (id, device) = edit(call, action, |batch| {
        let seen = own(call)?;
        let mut device = seen.value.clone();
        let batch = apply(&mut device, &seen.id, batch)?;
        device.updated = Timestamp::now();
        Ok((batch.update(SCOPE, &seen.id, seen.version, &device), (seen.id.clone(), device)))
    })
    .await?;
    Ok(shown(call, &id, &device))
}

async fn update(call: Call) -> Answer {
    change(&call, "device.update", |device, id, batch| {
        let was = device.hostname.clone();
        let mut faults = Faults::default();
        apply(&call, device, &mut faults);
        faults.check()?;
        if device.hostname == was {
            return Ok(batch);
        }
        Ok(batch.unclaim(SCOPE, "hostname", &was, id).claim(SCOPE, "hostname", &device.hostname, id))
    })
    .await
}

/// Deletes a device; `nodes/{system_id}/` does too.
pub async fn delete(call: Call) -> Answer {
    edit(&call, "device.delete", |mut batch| {
        let seen = own(&call)?;
        for nic in &seen.value.nics {
            batch = batch.unclaim(SCOPE, "mac", &nic.mac, &seen.id);
        }
        batch = without_addresses(&mut seen.value.clone(), &seen.id, batch);
        batch = batch.unclaim(SCOPE, "hostname", &seen.value.hostname, &seen.id);
        Ok((batch.delete::<Device>(SCOPE, &seen.id, seen.version), Reply::NoContent))
    })
    .await
}

/// Takes the addresses of a device's links back.
fn without_addresses(device: &mut Device, id: &str, mut batch: Batch) -> Batch {
    for nic in &mut device.nics {
        for ip in nic.links.drain(..).filter_map(|link| link.ip) {
            batch = batch.unclaim(SCOPE, "ip", &ip.to_string(), id);
        }
    }
    batch
}

async fn restore(call: Call) -> Answer {
    change(&call, "device.restore", |device, id, batch| Ok(without_addresses(device, id, batch))).await
}

async fn set_owner_data(call: Call) -> Answer {
    change(&call, "device.set_owner_data", |device, _, batch| {
        set_pairs(&call, &mut device.owner_data);
        Ok(batch)
    })
    .await
}

async fn set_workload_annotations(call: Call) -> Answer {
    change(&call, "device.set_workload_annotations", |device, _, batch| {
        set_pairs(&call, &mut device.workload_annotations);
        Ok(batch)
    })
    .await
}

async fn set_zone(call: Call) -> Answer {
    let zone = call.param("zone").unwrap_or_default();
    if call.store().get::<Zone>(SCOPE, zone).is_none() {
        return Err(ApiError::field("zone", format!("No such zone(s): {zone}.")));
    }
    edit(&call, "device.set_zone", |mut batch| {
        for id in call.all("nodes") {
            let found = call.store().get::<Device>(SCOPE, id);
            let seen = found.ok_or_else(|| ApiError::Bad(format!("Unknown device(s): {id}.")))?;
            let device = Device { zone: zone.to_owned(), updated: Timestamp::now(), ..seen.value.clone() };
            batch = batch.update(SCOPE, id, seen.version, &device);
        }
        Ok((batch, Reply::Json(Value::Null)))
    })
    .await
}

async fn nothing(call: Call) -> Answer {
    find(&call)?;
    details::bson(&Document::new())
}

async fn no_power(call: Call) -> Answer {
    find(&call)?;
    Ok(Reply::Json(json!({})))
}
