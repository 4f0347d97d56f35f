//! One machine's configuration on others.

use std::sync::Arc;

use lifecycle::Status;
use model::{Link, LinkMode, Machine, SCOPE};
use store::Stored;

use api_call::{Answer, ApiError, Call, Faults, Reply, edit::edit, words};

/// Gives `destinations` the interfaces of `source`: which networks those of the same name are on, and how they get
/// addresses there. Addresses themselves stay with the source.
pub async fn clone(call: Call) -> Answer {
    if call.flag("storage") {
        return Err(ApiError::NotImplemented(
            "Cloning 'storage' is not supported yet: only 'interfaces'.".to_owned(),
        ));
    }
    edit(&call, "machine.clone", |mut batch| {
        let mut faults = Faults::default();
        let source = source(&call, &mut faults);
        let destinations = destinations(&call, &mut faults);
        if !call.flag("interfaces") {
            faults.add("__all__", "Either storage or interfaces must be true.");
        }
        if let Some(source) = &source {
            for destination in &destinations {
                check(source, destination, &mut faults);
            }
        }
        faults.check()?;
        for seen in &destinations {
            let mut machine = seen.value.clone();
            for ip in machine.nics.iter().flat_map(|nic| &nic.links).filter_map(|link| link.ip) {
                batch = batch.unclaim(SCOPE, "ip", &ip.to_string(), &seen.id);
            }
            for nic in &mut machine.nics {
                let mut sources = source.iter().flat_map(|source| &source.value.nics);
                let Some(from) = sources.find(|from| from.name == nic.name) else { continue };
                nic.vlan = from.vlan;
                nic.tags.clone_from(&from.tags);
                nic.links = from.links.iter().map(|link| likewise(&call, link)).collect();
            }
            machine.updated = jiff::Timestamp::now();
            batch = batch.update(SCOPE, &seen.id, seen.version, &machine);
        }
        Ok((batch, Reply::NoContent))
    })
    .await
}

/// A link to the same subnet, with an address of its own where it has one.
fn likewise(call: &Call, link: &Link) -> Link {
    let mode = if link.mode == LinkMode::Static { LinkMode::Auto } else { link.mode };
    Link { number: call.state.machines.next_number(), mode, ip: None, ..link.clone() }
}

fn no_choice(id: &str) -> String {
    format!("Select a valid choice. {id} is not one of the available choices.")
}

fn source(call: &Call, faults: &mut Faults) -> Option<Arc<Stored<Machine>>> {
    let id = call.param("source").unwrap_or_default();
    let found = call.state.machines.get(id);
    match (id, &found) {
        ("", _) => faults.add("source", "This field is required."),
        (id, None) => faults.add("source", no_choice(id)),
        _ => {}
    }
    found
}

/// Machines that nobody uses.
fn destinations(call: &Call, faults: &mut Faults) -> Vec<Arc<Stored<Machine>>> {
    let ids: Vec<&str> = call.all("destinations").into_iter().flat_map(words).collect();
    if ids.is_empty() {
        faults.add("destinations", "This field is required.");
    }
    let free = |machine: &Machine| matches!(machine.status, Status::Ready | Status::FailedTesting);
    let mut found = Vec::new();
    for (id, number) in ids.into_iter().zip(1..) {
        match call.state.machines.get(id).filter(|machine| free(&machine.value)) {
            Some(machine) => found.push(machine),
            None => faults.add("destinations", format!("Machine {number} is invalid: {}", no_choice(id))),
        }
    }
    found
}

/// A destination is another machine and has an interface of each name that the source has.
fn check(source: &Stored<Machine>, destination: &Stored<Machine>, faults: &mut Faults) {
    let name = &destination.value.hostname;
    if source.id == destination.id {
        faults.add("destinations", format!("Source machine {name} cannot be a destination machine."));
        return;
    }
    let has = |name: &str| destination.value.nics.iter().any(|nic| nic.name == name);
    let missing: Vec<&str> =
        source.value.nics.iter().map(|nic| nic.name.as_str()).filter(|name| !has(name)).collect();
    if !missing.is_empty() {
        faults.add(
            "destinations",
            format!(
                "{name} is invalid: destination node physical interfaces do not match the source nodes physical interfaces: {}",
                missing.join(", ")
            ),
        );
    }
}
