//! Nodes (here: machines), their interfaces and disks.

use model::{Disk, Machine};
use serde_json::json;
use store::Stored;

use super::machines::{self, load};
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
                restful!(GET, User, "Lists machines; filters as for machines.", machines::list),
                named!(
                    GET,
                    "is_registered",
                    Anonymous,
                    "Whether a machine has this `mac_address`.",
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
                restful!(GET, User, "Reads a machine.", machines::read),
                restful!(DELETE, User, "Deletes a machine.", machines::delete),
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
            ("NodeDevicesHandler", "nodes/{system_id}/devices/"),
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
