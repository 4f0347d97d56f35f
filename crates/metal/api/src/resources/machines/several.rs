//! Operations on several machines.

use std::sync::Arc;

use lifecycle::Status;
use model::results::Wanted;
use model::{Machine, SCOPE, Zone};
use serde_json::{Map, Value, json};
use store::Stored;

use super::{life, power, rendered};
use api_call::{Answer, ApiError, Call, Reply};

pub async fn release(call: Call) -> Answer {
    let how = life::how_to_release(&call);
    let machines = named(&call, "machines")?;
    let listed = |machines: Vec<&Arc<Stored<Machine>>>, show: &dyn Fn(&Stored<Machine>) -> String| {
        machines.into_iter().map(|machine| show(machine)).collect::<Vec<_>>().join(", ")
    };
    let not_mine: Vec<_> = machines
        .iter()
        .filter(|machine| !call.admin() && machine.value.owner.as_deref() != Some(call.user()))
        .collect();
    if !not_mine.is_empty() {
        return Err(ApiError::Forbidden(format!(
            "You don't have the required permission to release the following machine(s): {}.",
            listed(not_mine, &|machine| machine.id.clone())
        )));
    }
    let wrong: Vec<_> = machines.iter().filter(|machine| !releasable(machine.value.status)).collect();
    if !wrong.is_empty() {
        let show = |machine: &Stored<Machine>| format!("{} ('{}')", machine.id, machine.value.status.label());
        return Err(ApiError::Conflict(format!(
            "Machine(s) cannot be released in their current state: {}.",
            listed(wrong, &show)
        )));
    }
    let mut released = Vec::new();
    for machine in machines.iter().filter(|machine| !idle(machine.value.status)) {
        call.state.machines.release(&call.actor(), &machine.id, how).await?;
        released.push(machine.id.clone());
    }
    Ok(Reply::Json(json!(released)))
}

/// States in which a release has nothing to do.
const fn idle(status: Status) -> bool {
    matches!(status, Status::Ready | Status::Releasing)
}

const fn releasable(status: Status) -> bool {
    idle(status)
        || matches!(
            status,
            Status::Allocated
                | Status::Reserved
                | Status::Broken
                | Status::Deploying
                | Status::Deployed
                | Status::DiskErasing
                | Status::FailedDeployment
                | Status::FailedDiskErasing
                | Status::FailedReleasing
        )
}

pub async fn accept(call: Call) -> Answer {
    if call.caller.is_none() {
        return Err(ApiError::Unauthorized("You must be logged in to accept machines.".to_owned()));
    }
    let machines = named(&call, "machines")?;
    if !call.admin() {
        return Err(ApiError::Forbidden(format!(
            "You don't have the required permission to accept the following machine(s): {}.",
            machines.iter().map(|machine| machine.id.as_str()).collect::<Vec<_>>().join(", ")
        )));
    }
    commission(&call, machines).await
}

pub async fn accept_all(call: Call) -> Answer {
    let announced = if call.admin() { call.state.machines.all() } else { Vec::new() };
    commission(&call, announced.into_iter().filter(|machine| machine.value.status == Status::New).collect())
        .await
}

async fn commission(call: &Call, machines: Vec<Arc<Stored<Machine>>>) -> Answer {
    let mut accepted = Vec::new();
    for machine in machines {
        let machine = call.state.machines.commission(&call.actor(), &machine.id, &Wanted::default()).await?;
        accepted.push(rendered(call, &machine));
    }
    Ok(Reply::Json(Value::Array(accepted)))
}

pub async fn set_zone(call: Call) -> Answer {
    let zone = call.param("zone").unwrap_or_default();
    if call.store().get::<Zone>(SCOPE, zone).is_none() {
        return Err(ApiError::field("zone", format!("No such zone(s): {zone}.")));
    }
    for machine in named(&call, "nodes")? {
        let set = |machine: &mut Machine, batch| {
            zone.clone_into(&mut machine.zone);
            Ok::<_, model::ops::OpError>(batch)
        };
        let by = format!("user:{}", call.user());
        call.state.machines.change(&by, "machine.set_zone", &machine.id, set).await.map_err(life::refused)?;
    }
    Ok(Reply::Json(Value::Null))
}

pub async fn power_parameters(call: Call) -> Answer {
    let wanted = call.all("id");
    let by_id: Map<String, Value> = call
        .state
        .machines
        .all()
        .iter()
        .filter(|machine| wanted.is_empty() || wanted.contains(&machine.id.as_str()))
        .map(|machine| (machine.id.clone(), power::exposed(&machine.value)))
        .collect();
    Ok(Reply::Json(Value::Object(by_id)))
}

pub async fn is_registered(call: Call) -> Answer {
    let mac =
        call.param("mac_address").ok_or_else(|| ApiError::Bad("No provided mac_address!".to_owned()))?;
    let known = api_call::mac(mac).is_some_and(|mac| call.store().holder(SCOPE, "mac", &mac).is_some());
    Ok(Reply::Json(Value::Bool(known)))
}

/// The machines that a parameter names.
fn named(call: &Call, name: &str) -> Result<Vec<Arc<Stored<Machine>>>, ApiError> {
    let ids = call.all(name);
    let unknown: Vec<&str> = ids.iter().copied().filter(|id| call.state.machines.get(id).is_none()).collect();
    if !unknown.is_empty() {
        return Err(ApiError::Bad(format!("Unknown machine(s): {}.", unknown.join(", "))));
    }
    Ok(ids.iter().filter_map(|id| call.state.machines.get(id)).collect())
}
