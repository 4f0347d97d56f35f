//! Changing and deleting a machine.

use model::{Hardware, Machine, Pool, SCOPE, Zone};
use store::Batch;

use super::{create, load_as_admin, power::power, shown};
use api_call::{Answer, ApiError, Call, Faults, Reply, bytes, edit::edit};

pub async fn update(call: Call) -> Answer {
    let seen = load_as_admin(&call)?;
    if seen.value.locked {
        return Err(ApiError::Forbidden("This machine is locked.".to_owned()));
    }
    edit(&call, "machine.update", |batch| {
        let seen = load_as_admin(&call)?;
        let mut machine = seen.value.clone();
        let batch = apply(&call, &seen.id, &mut machine, batch)?;
        machine.updated = jiff::Timestamp::now();
        Ok((batch.update(SCOPE, &seen.id, seen.version, &machine), ()))
    })
    .await?;
    let updated = load_as_admin(&call)?;
    Ok(shown(&call, &updated))
}

fn apply(call: &Call, id: &str, machine: &mut Machine, mut batch: Batch) -> Result<Batch, ApiError> {
    let mut faults = Faults::default();
    let sent = |name: &str| call.param(name).filter(|text| !text.is_empty());
    if let Some(text) = sent("hostname") {
        let hostname = create::check_hostname(text, &mut faults);
        if hostname != machine.hostname {
            if call.store().holder(SCOPE, "hostname", &hostname).is_some_and(|holder| holder != id) {
                faults.add("hostname", "Node with this Hostname already exists.");
            }
            batch = batch
                .unclaim(SCOPE, "hostname", &machine.hostname, id)
                .claim(SCOPE, "hostname", &hostname, id);
            machine.hostname = hostname;
        }
    }
    if let Some(text) = sent("architecture") {
        match create::architecture(text) {
            Ok(known) => machine.architecture = known,
            Err(message) => faults.add("architecture", message),
        }
    }
    if let Some(text) = sent("domain") {
        match create::domain(call.store(), text) {
            Some(domain) => machine.domain = domain.value.number,
            None => faults.add("domain", format!("Unable to find domain {text}")),
        }
    }
    if let Some(text) = sent("zone") {
        match call.store().get::<Zone>(SCOPE, text) {
            Some(zone) => machine.zone.clone_from(&zone.id),
            None => faults.add("zone", NO_CHOICE),
        }
    }
    if let Some(text) = sent("pool") {
        match call.store().list::<Pool>(SCOPE).iter().find(|pool| pool.value.name == text) {
            Some(pool) => machine.pool = pool.value.number,
            None => faults.add("pool", NO_CHOICE),
        }
    }
    if let Some(text) = call.param("description") {
        text.clone_into(&mut machine.description);
    }
    if let Some(text) = call.param("swap_size") {
        match size(text) {
            Ok(size) => machine.swap_size = size,
            Err(message) => faults.add("swap_size", message),
        }
    }
    if let Some(text) = sent("cpu_count") {
        text.trim()
            .parse()
            .map_or_else(|_| faults.add("cpu_count", "Enter a whole number."), |n| machine.cpu_count = n);
    }
    if let Some(text) = sent("memory") {
        text.trim()
            .parse()
            .map_or_else(|_| faults.add("memory", "Enter a whole number."), |n| machine.memory = n);
    }
    machine.power = power(call, Some(&machine.power), &mut faults);
    faults.check()?;
    Ok(batch)
}

const NO_CHOICE: &str = "Select a valid choice. That choice is not one of the available choices.";

/// Bytes; nothing for an empty text.
fn size(text: &str) -> Result<Option<u64>, &'static str> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    bytes(text).map(Some).ok_or("Enter a valid size: bytes, or a number with K, M, G or T.")
}

pub async fn delete(call: Call) -> Answer {
    edit(&call, "machine.delete", |mut batch| {
        let seen = load_as_admin(&call)?;
        let (id, machine) = (&seen.id, &seen.value);
        if machine.locked {
            return Err(ApiError::Forbidden("This machine is locked.".to_owned()));
        }
        let held = |namespace: &str, name: &str| {
            call.store().holder(SCOPE, namespace, name).as_deref() == Some(id.as_str())
        };
        let addresses = machine.nics.iter().flat_map(|nic| &nic.links).filter_map(|link| link.ip);
        let claims = machine
            .nics
            .iter()
            .map(|nic| ("mac", nic.mac.clone()))
            .chain(machine.hardware_uuid.iter().map(|uuid| ("uuid", uuid.clone())))
            .chain(addresses.map(|ip| ("ip", ip.to_string())))
            .chain(machine.credentials.iter().map(|own| ("machine_token", own.token.clone())))
            .chain(std::iter::once(("hostname", machine.hostname.clone())));
        for (namespace, name) in claims.filter(|(namespace, name)| held(namespace, name)) {
            batch = batch.unclaim(SCOPE, namespace, &name, id);
        }
        if let Some(hardware) = call.store().get::<Hardware>(SCOPE, id) {
            batch = batch.delete::<Hardware>(SCOPE, id, hardware.version);
        }
        Ok((batch.delete::<Machine>(SCOPE, id, seen.version), ()))
    })
    .await?;
    Ok(Reply::NoContent)
}
