//! Zones and resource pools.

use model::{Machine, Pool, SCOPE, Zone, next_id};
use serde_json::Value;
use store::Stored;

use api_call::{
    Answer, ApiError, Call, Faults, Reply,
    edit::{admin_only, change_devices, change_machines, check_name, edit, numbered, required},
    route::{Resource, restful},
};
use render::network;

/// Zones and resource pools.
pub fn resources() -> Vec<Resource> {
    vec![
        Resource {
            name: "ZonesHandler",
            path: "zones/",
            params: &[],
            ops: vec![
                restful!(GET, User, "Lists the zones.", zones),
                restful!(POST, Admin, "Makes a zone: `name`, `description`.", create_zone),
            ],
        },
        Resource {
            name: "ZoneHandler",
            path: "zones/{name}/",
            params: &["name"],
            ops: vec![
                restful!(GET, User, "Reads a zone.", zone),
                restful!(PUT, Admin, "Changes a zone: `name`, `description`.", update_zone),
                restful!(DELETE, Admin, "Deletes a zone; its machines go to the default one.", delete_zone),
            ],
        },
        Resource {
            name: "ResourcePoolsHandler",
            path: "resourcepools/",
            params: &[],
            ops: vec![
                restful!(GET, User, "Lists the resource pools.", pools),
                restful!(POST, User, "Makes a resource pool: `name`, `description`.", create_pool),
            ],
        },
        Resource {
            name: "ResourcePoolHandler",
            path: "resourcepool/{id}/",
            params: &["id"],
            ops: vec![
                restful!(GET, User, "Reads a resource pool.", pool),
                restful!(PUT, User, "Changes a resource pool: `name`, `description`.", update_pool),
                restful!(DELETE, User, "Deletes a resource pool without machines.", delete_pool),
            ],
        },
    ]
}

const DEFAULT_ZONE: &str = "default";

async fn zones(call: Call) -> Answer {
    let list = call.store().list::<Zone>(SCOPE);
    Ok(Reply::Json(list.iter().map(|zone| network::zone(&zone.id, &zone.value)).collect()))
}

async fn zone(call: Call) -> Answer {
    let zone = find_zone(&call)?;
    Ok(Reply::Json(network::zone(&zone.id, &zone.value)))
}

fn find_zone(call: &Call) -> Result<std::sync::Arc<Stored<Zone>>, ApiError> {
    call.store().get::<Zone>(SCOPE, call.arg(0)).ok_or_else(|| ApiError::NotFound("Zone".to_owned()))
}

fn check_zone_name(call: &Call, faults: &mut Faults, name: &str) {
    check_name(faults, "name", name);
    if call.store().get::<Zone>(SCOPE, name).is_some() {
        faults.add("name", "Physical zone with this Name already exists.");
    }
}

async fn create_zone(call: Call) -> Answer {
    edit(&call, "zone.create", |batch| {
        let mut faults = Faults::default();
        let name = required(&call, &mut faults, "name");
        check_zone_name(&call, &mut faults, name);
        faults.check()?;
        let zone = Zone {
            number: next_id::<Zone>(call.store(), |zone| zone.number).max(1),
            description: call.param("description").unwrap_or_default().to_owned(),
        };
        // The number is claimed because the document's id is the name.
        let batch = batch.claim(SCOPE, "zone_number", &zone.number.to_string(), name);
        Ok((batch.create(SCOPE, name, &zone), Reply::Json(network::zone(name, &zone))))
    })
    .await
}

async fn update_zone(call: Call) -> Answer {
    edit(&call, "zone.update", |batch| {
        let seen = find_zone(&call)?;
        let mut zone = seen.value.clone();
        if let Some(description) = call.param("description") {
            description.clone_into(&mut zone.description);
        }
        let name = call.param("name").filter(|name| !name.is_empty()).unwrap_or(&seen.id);
        if name == seen.id {
            let shown = Reply::Json(network::zone(name, &zone));
            return Ok((batch.update(SCOPE, name, seen.version, &zone), shown));
        }
        let mut faults = Faults::default();
        if seen.id == DEFAULT_ZONE {
            faults.add("name", "This zone is the default zone, it cannot be renamed.");
        }
        check_zone_name(&call, &mut faults, name);
        faults.check()?;
        let number = zone.number.to_string();
        let batch = batch
            .delete::<Zone>(SCOPE, &seen.id, seen.version)
            .unclaim(SCOPE, "zone_number", &number, &seen.id)
            .create(SCOPE, name, &zone);
        Ok((move_to_zone(&call, batch, &seen.id, name), Reply::Json(network::zone(name, &zone))))
    })
    .await
}

async fn delete_zone(call: Call) -> Answer {
    if call.arg(0) == DEFAULT_ZONE {
        return Err(ApiError::Bad("This zone is the default zone, it cannot be deleted.".to_owned()));
    }
    edit(&call, "zone.delete", |batch| {
        let seen = find_zone(&call)?;
        let batch = batch.delete::<Zone>(SCOPE, &seen.id, seen.version).unclaim(
            SCOPE,
            "zone_number",
            &seen.value.number.to_string(),
            &seen.id,
        );
        Ok((move_to_zone(&call, batch, &seen.id, DEFAULT_ZONE), Reply::NoContent))
    })
    .await
}

fn move_to_zone(call: &Call, batch: store::Batch, from: &str, to: &str) -> store::Batch {
    let batch = change_devices(call, batch, |device| {
        if device.zone == from {
            to.clone_into(&mut device.zone);
        }
    });
    change_machines(call, batch, |machine: &mut Machine| {
        if machine.zone == from {
            to.clone_into(&mut machine.zone);
        }
    })
}

async fn pools(call: Call) -> Answer {
    let mut list = call.store().list::<Pool>(SCOPE);
    list.sort_by_key(|pool| pool.value.number);
    Ok(Reply::Json(list.iter().map(|pool| network::pool(&pool.value)).collect::<Value>()))
}

async fn pool(call: Call) -> Answer {
    Ok(Reply::Json(network::pool(&find_pool(&call)?.value)))
}

fn find_pool(call: &Call) -> Result<std::sync::Arc<Stored<Pool>>, ApiError> {
    numbered(call, 0, "ResourcePool")
}

fn check_pool_name(call: &Call, faults: &mut Faults, name: &str) {
    check_name(faults, "name", name);
    if call.store().list::<Pool>(SCOPE).iter().any(|pool| pool.value.name == name) {
        faults.add("name", "Resource pool with this Name already exists.");
    }
}

async fn create_pool(call: Call) -> Answer {
    admin_only(&call)?;
    edit(&call, "pool.create", |batch| {
        let mut faults = Faults::default();
        let name = required(&call, &mut faults, "name");
        check_pool_name(&call, &mut faults, name);
        faults.check()?;
        let pool = Pool {
            number: next_id::<Pool>(call.store(), |pool| pool.number).max(1),
            name: name.to_owned(),
            description: call.param("description").unwrap_or_default().to_owned(),
        };
        let id = pool.number.to_string();
        let batch = batch.claim(SCOPE, "pool", name, &id).create(SCOPE, &id, &pool);
        Ok((batch, Reply::Json(network::pool(&pool))))
    })
    .await
}

async fn update_pool(call: Call) -> Answer {
    admin_only(&call)?;
    edit(&call, "pool.update", |mut batch| {
        let seen = find_pool(&call)?;
        let mut pool = seen.value.clone();
        if let Some(description) = call.param("description") {
            description.clone_into(&mut pool.description);
        }
        if let Some(name) = call.param("name").filter(|name| !name.is_empty() && *name != pool.name) {
            let mut faults = Faults::default();
            check_pool_name(&call, &mut faults, name);
            faults.check()?;
            batch = batch.unclaim(SCOPE, "pool", &pool.name, &seen.id).claim(SCOPE, "pool", name, &seen.id);
            name.clone_into(&mut pool.name);
        }
        let shown = Reply::Json(network::pool(&pool));
        Ok((batch.update(SCOPE, &seen.id, seen.version, &pool), shown))
    })
    .await
}

async fn delete_pool(call: Call) -> Answer {
    admin_only(&call)?;
    edit(&call, "pool.delete", |batch| {
        let seen = find_pool(&call)?;
        if seen.value.number == 0 {
            return Err(ApiError::Bad("This is the default pool, it cannot be deleted.".to_owned()));
        }
        if call.state.machines.all().iter().any(|machine| machine.value.pool == seen.value.number) {
            return Err(ApiError::Bad("This pool has machines in it, it cannot be deleted.".to_owned()));
        }
        let batch = batch.unclaim(SCOPE, "pool", &seen.value.name, &seen.id);
        Ok((batch.delete::<Pool>(SCOPE, &seen.id, seen.version), Reply::NoContent))
    })
    .await
}
