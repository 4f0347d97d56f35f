//! A machine's storage.

use std::borrow::Cow;

use disks::{
    Block, CacheSet, Content, Device, Filesystem, Group, Kind, Member, Mount, Partition, Role, Storage, Use,
    Volume,
};
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::each::Each;

#[derive(Serialize)]
struct Shown<'a, P> {
    id: u64,
    system_id: &'a str,
    name: Cow<'a, str>,
    #[serde(rename = "type")]
    kind: &'static str,
    path: String,
    id_path: Option<&'a str>,
    model: Option<&'a str>,
    serial: Option<&'a str>,
    size: u64,
    block_size: u32,
    available_size: u64,
    used_size: u64,
    used_for: Cow<'static, str>,
    tags: &'a [String],
    firmware_version: Option<&'a str>,
    filesystem: Option<ShownFilesystem<'a>>,
    partition_table_type: Option<&'static str>,
    partitions: P,
    storage_pool: (),
    uuid: Option<Uuid>,
    numa_node: Option<u8>,
    resource_uri: String,
}

#[derive(Serialize)]
struct ShownPartition<'a> {
    id: u64,
    system_id: &'a str,
    device_id: u64,
    uuid: Uuid,
    path: String,
    #[serde(rename = "type")]
    kind: &'static str,
    size: u64,
    bootable: bool,
    filesystem: Option<ShownFilesystem<'a>>,
    used_for: Cow<'static, str>,
    tags: &'a [String],
    resource_uri: String,
}

/// A file system; MAAS shows what is part of something as one too.
#[derive(Serialize)]
pub(crate) struct ShownFilesystem<'a> {
    fstype: &'static str,
    label: Option<&'a str>,
    uuid: Uuid,
    mount_point: Option<&'a str>,
    mount_options: Option<&'a str>,
}

/// A disk or a volume.
pub fn device<'a>(system_id: &'a str, storage: &'a Storage, device: Device<'a>) -> impl Serialize + use<'a> {
    let name = storage.name_of(device);
    let table = (!device.partitions().is_empty()).then_some("GPT");
    let partitions = device.partitions();
    let shown = move |one: &'a Partition| partition(system_id, storage, device, one);
    let number = device.number();
    let common = |kind| Shown {
        id: number,
        system_id,
        kind,
        path: format!("/dev/disk/by-dname/{name}"),
        name,
        id_path: None,
        model: None,
        serial: None,
        size: device.size(),
        block_size: device.block_size(),
        available_size: device.available(),
        used_size: device.used(),
        used_for: used_for(storage, device),
        tags: device.tags(),
        firmware_version: None,
        filesystem: Block::Device(device).usage().and_then(filesystem),
        partition_table_type: table,
        partitions: Each(partitions.iter().map(shown)),
        storage_pool: (),
        uuid: None,
        numa_node: None,
        resource_uri: format!("/MAAS/api/2.0/nodes/{system_id}/blockdevices/{number}/"),
    };
    match device {
        Device::Disk(disk) => Shown {
            id_path: Some(&disk.id_path),
            model: Some(&disk.model),
            serial: Some(&disk.serial),
            firmware_version: known(&disk.firmware),
            numa_node: Some(0),
            ..common("physical")
        },
        Device::Volume(volume) => Shown { uuid: Some(volume.uuid), ..common("virtual") },
    }
}

fn used_for(storage: &Storage, device: Device<'_>) -> Cow<'static, str> {
    match device.content() {
        Content::Whole(usage) => storage.used_for(usage),
        Content::Partitioned(table) => match table.partitions.len() {
            1 => Cow::Borrowed("GPT partitioned with 1 partition"),
            count => Cow::Owned(format!("GPT partitioned with {count} partitions")),
        },
    }
}

/// A partition of a device.
pub fn partition<'a>(
    system_id: &'a str,
    storage: &'a Storage,
    device: Device<'a>,
    partition: &'a Partition,
) -> impl Serialize + use<'a> {
    let (on, number) = (device.number(), partition.number);
    ShownPartition {
        id: number,
        system_id,
        device_id: on,
        uuid: partition.uuid,
        path: format!("/dev/disk/by-dname/{}", storage.name_of_block(Block::Partition(device, partition))),
        kind: "partition",
        size: partition.size,
        bootable: partition.bootable,
        filesystem: filesystem(&partition.content),
        used_for: storage.used_for(&partition.content),
        tags: &partition.tags,
        resource_uri: format!("/MAAS/api/2.0/nodes/{system_id}/blockdevices/{on}/partition/{number}"),
    }
}

fn filesystem(usage: &Use) -> Option<ShownFilesystem<'_>> {
    match usage {
        Use::Free => None,
        Use::Filesystem(filesystem) => Some(special(filesystem)),
        Use::Member(Member { role, uuid, .. }) => Some(ShownFilesystem {
            fstype: role.word(),
            label: None,
            uuid: *uuid,
            mount_point: None,
            mount_options: None,
        }),
    }
}

/// A file system that is on no device, or what is on one.
pub(crate) fn special(filesystem: &Filesystem) -> ShownFilesystem<'_> {
    let mount = filesystem.mount.as_ref();
    ShownFilesystem {
        fstype: filesystem.fstype.word(),
        label: filesystem.label.as_deref(),
        uuid: filesystem.uuid,
        mount_point: mount.map(|mount| mount.point.as_str()),
        mount_options: mount.and_then(|Mount { options, .. }| options.as_deref()),
    }
}

/// A device or a partition.
fn block(system_id: &str, storage: &Storage, block: Block<'_>) -> Value {
    match block {
        Block::Device(one) => json!(device(system_id, storage, one)),
        Block::Partition(on, one) => json!(partition(system_id, storage, on, one)),
    }
}

fn members(system_id: &str, storage: &Storage, of: u64, wanted: Role) -> Vec<Value> {
    let members = storage.members(of).filter(|(_, role)| *role == wanted);
    members.map(|(one, _)| block(system_id, storage, one)).collect()
}

fn volume(system_id: &str, storage: &Storage, volume: &Volume) -> Value {
    json!(device(system_id, storage, Device::Volume(volume)))
}

/// A volume group, an array or a bcache.
pub fn group(system_id: &str, storage: &Storage, group: &Group) -> Value {
    let (number, name, uuid) = (group.number, &group.name, group.uuid);
    let parts = |role: Role| members(system_id, storage, number, role);
    let path = |kind: &str| format!("/MAAS/api/2.0/nodes/{system_id}/{kind}/{number}/");
    let own = storage.volumes_of(number).next();
    let virtual_device = own.map(|own| volume(system_id, storage, own));
    match group.kind {
        Kind::VolumeGroup => {
            let (size, used) = (storage.size_of(group), storage.allocated(number));
            let available = size.saturating_sub(used);
            let volumes: Vec<Value> =
                storage.volumes_of(number).map(|one| volume(system_id, storage, one)).collect();
            json!({
                "available_size": available, "devices": parts(Role::PhysicalVolume),
                "human_available_size": human(available), "human_size": human(size),
                "human_used_size": human(used), "id": number, "logical_volumes": volumes, "name": name,
                "resource_uri": path("volume-group"), "size": size, "system_id": system_id, "used_size": used,
                "uuid": uuid,
            })
        }
        Kind::Raid(level) => {
            let size = own.map_or(0, |own| own.size);
            json!({
                "devices": parts(Role::Active), "human_size": human(size), "id": number, "level": level.word(),
                "name": name, "resource_uri": path("raid"), "size": size, "spare_devices": parts(Role::Spare),
                "system_id": system_id, "uuid": uuid, "virtual_device": virtual_device,
            })
        }
        Kind::Bcache { cache_set: set, mode } => {
            let size = own.map_or(0, |own| own.size);
            json!({
                "backing_device": parts(Role::Backing).into_iter().next(), "cache_mode": mode.word(),
                "cache_set": storage.cache_set(set).map(|set| cache_set(system_id, storage, set)),
                "human_size": human(size), "id": number, "name": name, "resource_uri": path("bcache"),
                "size": size, "system_id": system_id, "uuid": uuid, "virtual_device": virtual_device,
            })
        }
    }
}

/// A cache set.
pub fn cache_set(system_id: &str, storage: &Storage, set: &CacheSet) -> Value {
    let device = members(system_id, storage, set.number, Role::Cache).into_iter().next();
    json!({
        "cache_device": device, "id": set.number, "name": set.name,
        "resource_uri": format!("/MAAS/api/2.0/nodes/{system_id}/bcache-cache-set/{}/", set.number),
        "system_id": system_id,
    })
}

/// Bytes for people, in decimal units: `3.0 TB`.
fn human(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["bytes", "kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 1000 {
        return format!("{bytes} bytes");
    }
    #[allow(clippy::cast_precision_loss, reason = "one digit is shown")]
    let mut shown = bytes as f64;
    let mut units = UNITS.iter();
    let mut unit = units.next();
    while shown >= 1000.0
        && let Some(next) = units.next()
    {
        shown /= 1000.0;
        unit = Some(next);
    }
    format!("{shown:.1} {}", unit.unwrap_or(&""))
}

/// What was told, where anything was.
pub(crate) fn known(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}
