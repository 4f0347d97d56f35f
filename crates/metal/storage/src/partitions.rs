//! Partitions.

use api_call::{
    Answer, ApiError, Call, Reply,
    machine::load,
    route::{Op, Resource, named, restful},
};
use disks::{NewPartition, Refusal, Storage};
use model::{Fresh, Machine};
use serde_json::json;
use store::Stored;

use crate::{
    change::{Who, change},
    params::{self, sent},
};

const PARAMS: &[&str] = &["system_id", "device_id", "id"];

/// Partitions of a device, and one by both its paths.
pub fn resources() -> Vec<Resource> {
    vec![
        Resource {
            name: "PartitionsHandler",
            path: "nodes/{system_id}/blockdevices/{device_id}/partitions/",
            params: &["system_id", "device_id"],
            ops: vec![
                restful!(GET, User, "Lists the partitions of a block device.", list),
                restful!(
                    POST,
                    User,
                    "Makes a partition: `size` (else all there is), `uuid`, `bootable`.",
                    create
                ),
            ],
        },
        Resource {
            name: "PartitionHandler",
            path: "nodes/{system_id}/blockdevices/{device_id}/partition/{id}",
            params: PARAMS,
            ops: one(),
        },
        Resource {
            name: "PartitionHandler",
            path: "nodes/{system_id}/blockdevices/{device_id}/partitions/{id}",
            params: PARAMS,
            ops: one(),
        },
    ]
}

fn one() -> Vec<Op> {
    vec![
        restful!(GET, User, "Reads a partition, by number or name.", read),
        restful!(DELETE, User, "Deletes a partition.", delete),
        named!(POST, "format", User, "Formats a partition: `fstype`, `uuid`, `label`.", format),
        named!(POST, "unformat", User, "Takes the file system off.", unformat),
        named!(POST, "mount", User, "Mounts its file system: `mount_point`, `mount_options`.", mount),
        named!(POST, "unmount", User, "Takes the mount away.", unmount),
        named!(POST, "add_tag", User, "Adds the tag `tag`.", add_tag),
        named!(POST, "remove_tag", User, "Removes the tag `tag`.", remove_tag),
    ]
}

async fn list(call: Call) -> Answer {
    let machine = load(&call)?;
    let storage = &machine.value.storage;
    let device = params::device(&call, storage)?;
    let shown =
        device.partitions().iter().map(|one| json!(render::partition(&machine.id, storage, device, one)));
    Ok(Reply::Json(shown.collect()))
}

async fn read(call: Call) -> Answer {
    let machine = load(&call)?;
    let number = find(&call, &machine.value.storage)?;
    shown(&call, &machine, number)
}

/// The number of the partition that the path names, by number or name.
fn find(call: &Call, storage: &Storage) -> Result<u64, ApiError> {
    let (device, word) = (params::device(call, storage)?, call.arg(2));
    let number = params::number(storage, word);
    let found = device.partitions().iter().find(|one| Some(one.number) == number);
    found.map(|one| one.number).ok_or_else(|| ApiError::NotFound("Partition".to_owned()))
}

fn shown(call: &Call, machine: &Stored<Machine>, number: u64) -> Answer {
    let storage = &machine.value.storage;
    let device = params::device(call, storage)?;
    let found = device.partitions().iter().find(|one| one.number == number);
    let partition = found.ok_or_else(|| ApiError::NotFound("Partition".to_owned()))?;
    Ok(Reply::Json(json!(render::partition(&machine.id, storage, device, partition))))
}

async fn create(call: Call) -> Answer {
    let device = params::device(&call, &load(&call)?.value.storage)?.number();
    let bootable = call.flag("bootable");
    let new = NewPartition { size: params::size(&call, "size")?, uuid: params::uuid(&call)?, bootable };
    let (machine, number) =
        change(&call, Who::Admin, "create partition", |storage, ids| storage.add_partition(device, new, ids))
            .await?;
    shown(&call, &machine, number)
}

async fn delete(call: Call) -> Answer {
    let number = find(&call, &load(&call)?.value.storage)?;
    change(&call, Who::Admin, "delete partition", |storage, _| storage.remove_partition(number)).await?;
    Ok(Reply::NoContent)
}

/// Changes the partition that the path names, and answers it.
async fn changed(
    call: &Call,
    who: Who,
    verb: &str,
    mut apply: impl FnMut(&mut Storage, u64, &mut Fresh<'_>) -> Result<(), Refusal>,
) -> Answer {
    let number = find(call, &load(call)?.value.storage)?;
    let what = format!("{verb} partition");
    let (machine, ()) = change(call, who, &what, |storage, ids| apply(storage, number, ids)).await?;
    shown(call, &machine, number)
}

async fn format(call: Call) -> Answer {
    let new = params::format(&call)?;
    changed(&call, Who::Owner, "format", |storage, number, ids| storage.format(number, new.clone(), ids))
        .await
}

async fn unformat(call: Call) -> Answer {
    changed(&call, Who::Owner, "unformat", |storage, number, _| storage.unformat(number)).await
}

async fn mount(call: Call) -> Answer {
    changed(&call, Who::Owner, "mount", |storage, number, _| {
        let point = sent(&call, "mount_point").unwrap_or_default();
        storage.mount(number, point, params::mount_options(&call))
    })
    .await
}

async fn unmount(call: Call) -> Answer {
    changed(&call, Who::Owner, "unmount", |storage, number, _| storage.unmount(number)).await
}

async fn add_tag(call: Call) -> Answer {
    let tag = params::tag(&call)?;
    changed(&call, Who::Admin, "add a tag to", |storage, number, _| storage.add_tag(number, tag)).await
}

async fn remove_tag(call: Call) -> Answer {
    let tag = params::tag(&call)?;
    changed(&call, Who::Admin, "remove a tag from", |storage, number, _| storage.remove_tag(number, tag))
        .await
}
