//! Nodes (here: machines), their interfaces and disks.

use model::{Device, Disk, Machine, SCOPE};
use serde_json::json;
use store::Stored;

use super::{
    details, devices,
    machines::{self, Filter, load},
};
use api_call::{
    Answer, ApiError, Call, Reply,
    route::{Resource, named, restful},
};
use render::disk;

const NODE: &[&str] = &["system_id"];

/// Nodes and their parts.
pub fn resources() -> Vec<Resource> {
    let mut all = vec![
        Resource {
            name: "NodesHandler",
            path: "nodes/",
            params: &[],
            ops: vec![
                restful!(GET, User, "Lists machines and devices; filters as for machines.", list),
                named!(
                    GET,
                    "is_registered",
                    Anonymous,
                    "Whether a machine or device has this `mac_address`.",
                    machines::is_registered
                ),
                named!(POST, "set_zone", Admin, "Puts `nodes` in `zone`.", machines::set_zone),
            ],
        },
        Resource {
            name: "NodeHandler",
            path: "nodes/{system_id}/",
            params: NODE,
            ops: vec![
                restful!(GET, User, "Reads a machine or device.", read),
                restful!(DELETE, User, "Deletes a machine or device.", delete),
                named!(GET, "details", User, "Probed hardware: lshw's XML, in BSON.", details::machine),
                named!(
                    GET,
                    "power_parameters",
                    User,
                    "Power parameters, with secrets.",
                    machines::power_parameters
                ),
            ],
        },
        Resource {
            name: "BlockDevicesHandler",
            path: "nodes/{system_id}/blockdevices/",
            params: NODE,
            ops: vec![restful!(GET, User, "Lists the disks of a machine.", disks)],
        },
        Resource {
            name: "BlockDeviceHandler",
            path: "nodes/{system_id}/blockdevices/{id}/",
            params: &["system_id", "id"],
            ops: vec![restful!(GET, User, "Reads a disk, by number or name.", one_disk)],
        },
        Resource {
            name: "PartitionsHandler",
            path: "nodes/{system_id}/blockdevices/{device_id}/partitions/",
            params: &["system_id", "device_id"],
            ops: vec![restful!(GET, User, "Lists partitions: none, images are written whole.", partitions)],
        },
    ];
    all.extend(
        [
            ("VolumeGroupsHandler", "nodes/{system_id}/volume-groups/"),
            ("RaidsHandler", "nodes/{system_id}/raids/"),
            ("BcachesHandler", "nodes/{system_id}/bcaches/"),
            ("BcacheCacheSetsHandler", "nodes/{system_id}/bcache-cache-sets/"),
            ("VmfsDatastoresHandler", "nodes/{system_id}/vmfs-datastores/"),
        ]
        .map(|(name, path)| Resource {
            name,
            path,
            params: NODE,
            ops: vec![restful!(GET, User, "Lists none: this is not supported yet.", none)],
        }),
    );
    all
}

async fn list(call: Call) -> Answer {
    let filter = Filter::parse(&call.query, &[], call.store())?;
    let devices = devices::all(&call, |device| filter.takes_device(device));
    Ok(Reply::Machines(machines::those(&call, |machine| filter.takes(machine)).and(devices)))
}

async fn read(call: Call) -> Answer {
    if is_device(&call) { devices::read(call).await } else { machines::read(call).await }
}

async fn delete(call: Call) -> Answer {
    if is_device(&call) { devices::delete(call).await } else { machines::delete(call).await }
}

/// Whether the call is about a device.
fn is_device(call: &Call) -> bool {
    call.store().get::<Device>(SCOPE, call.arg(0)).is_some()
}

async fn none(call: Call) -> Answer {
    load(&call)?;
    Ok(Reply::Json(json!([])))
}

async fn disks(call: Call) -> Answer {
    let machine = load(&call)?;
    Ok(Reply::Json(machine.value.disks.iter().map(|one| json!(disk(&machine.id, one))).collect()))
}

async fn one_disk(call: Call) -> Answer {
    let machine = load(&call)?;
    Ok(Reply::Json(json!(disk(&machine.id, find_disk(&call, &machine)?))))
}

async fn partitions(call: Call) -> Answer {
    let machine = load(&call)?;
    find_disk(&call, &machine)?;
    Ok(Reply::Json(json!([])))
}

fn find_disk<'m>(call: &Call, machine: &'m Stored<Machine>) -> Result<&'m Disk, ApiError> {
    machine
        .value
        .disks
        .iter()
        .find(|disk| disk.number.to_string() == call.arg(1) || disk.name == call.arg(1))
        .ok_or_else(|| ApiError::NotFound("BlockDevice".to_owned()))
}
