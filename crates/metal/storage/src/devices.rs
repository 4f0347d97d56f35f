//! Block devices: disks and volumes.

use api_call::{
    Answer, ApiError, Call, Reply,
    machine::load,
    route::{Resource, named, restful},
};
use disks::{DiskFacts, Refusal, Storage};
use model::{Fresh, Machine};
use serde_json::json;
use store::Stored;

use crate::{
    change::{Who, change},
    params::{self, sent},
};

/// Disks and volumes, all and one.
pub fn resources() -> Vec<Resource> {
    vec![
        Resource {
            name: "BlockDevicesHandler",
            path: "nodes/{system_id}/blockdevices/",
            params: &["system_id"],
            ops: vec![
                restful!(GET, User, "Lists the block devices of a machine.", list),
                restful!(
                    POST,
                    User,
                    "Adds a disk: `name`, `model`, `serial`, `id_path`, `size`, `block_size`.",
                    create
                ),
            ],
        },
        Resource {
            name: "BlockDeviceHandler",
            path: "nodes/{system_id}/blockdevices/{id}/",
            params: &["system_id", "id"],
            ops: vec![
                restful!(GET, User, "Reads a block device, by number or name.", read),
                restful!(
                    PUT,
                    User,
                    "Changes a block device: `name`, `model`, `serial`, `id_path`, `size`, `block_size`.",
                    update
                ),
                restful!(DELETE, User, "Deletes a disk or logical volume.", delete),
                named!(POST, "format", User, "Formats a block device: `fstype`, `uuid`, `label`.", format),
                named!(POST, "unformat", User, "Takes the file system off.", unformat),
                named!(POST, "mount", User, "Mounts its file system: `mount_point`, `mount_options`.", mount),
                named!(POST, "unmount", User, "Takes the mount away.", unmount),
                named!(POST, "add_tag", User, "Adds the tag `tag`.", add_tag),
                named!(POST, "remove_tag", User, "Removes the tag `tag`.", remove_tag),
                named!(POST, "set_boot_disk", User, "The system is installed here.", set_boot_disk),
            ],
        },
    ]
}

async fn list(call: Call) -> Answer {
    let machine = load(&call)?;
    let storage = &machine.value.storage;
    let shown = storage.devices().map(|device| json!(render::block_device(&machine.id, storage, device)));
    Ok(Reply::Json(shown.collect()))
}

async fn read(call: Call) -> Answer {
    let machine = load(&call)?;
    let number = params::device(&call, &machine.value.storage)?.number();
    shown(&machine, number)
}

fn shown(machine: &Stored<Machine>, number: u64) -> Answer {
    let storage = &machine.value.storage;
    let device = storage.device(number).ok_or_else(|| ApiError::NotFound("BlockDevice".to_owned()))?;
    Ok(Reply::Json(json!(render::block_device(&machine.id, storage, device))))
}

fn facts(call: &Call) -> Result<DiskFacts, ApiError> {
    let text = |name: &str| sent(call, name).map(str::to_owned);
    let block_size = params::size(call, "block_size")?;
    Ok(DiskFacts {
        name: text("name"),
        model: text("model"),
        serial: text("serial"),
        id_path: text("id_path"),
        size: params::size(call, "size")?,
        block_size: block_size.map(|size| u32::try_from(size).unwrap_or(u32::MAX)),
    })
}

async fn create(call: Call) -> Answer {
    load(&call)?;
    let facts = facts(&call)?;
    let (machine, number) =
        change(&call, Who::Admin, "create block device", |storage, ids| storage.add_disk(facts.clone(), ids))
            .await?;
    shown(&machine, number)
}

/// Changes the device that the path names, and answers it.
async fn changed(
    call: &Call,
    who: Who,
    verb: &str,
    mut apply: impl FnMut(&mut Storage, u64, &mut Fresh<'_>) -> Result<(), Refusal>,
) -> Answer {
    let number = params::device(call, &load(call)?.value.storage)?.number();
    let what = format!("{verb} block device");
    let (machine, ()) = change(call, who, &what, |storage, ids| apply(storage, number, ids)).await?;
    shown(&machine, number)
}

async fn update(call: Call) -> Answer {
    let facts = facts(&call)?;
    changed(&call, Who::Admin, "update", |storage, number, _| storage.change_device(number, facts.clone()))
        .await
}

async fn delete(call: Call) -> Answer {
    let number = params::device(&call, &load(&call)?.value.storage)?.number();
    change(&call, Who::Admin, "delete block device", |storage, _| storage.remove_device(number)).await?;
    Ok(Reply::NoContent)
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

async fn set_boot_disk(call: Call) -> Answer {
    let number = params::device(&call, &load(&call)?.value.storage)?.number();
    change(&call, Who::Admin, "set as boot disk", |storage, _| storage.set_boot_disk(number)).await?;
    Ok(Reply::Ok)
}
