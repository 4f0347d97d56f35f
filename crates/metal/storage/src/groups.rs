//! Volume groups, arrays, bcaches and their cache sets, VMFS datastores.

use api_call::{
    Answer, ApiError, Call, Reply,
    machine::load,
    route::{Op, Resource, named, restful},
};
use disks::{Block, CacheMode, Choice, Device, Group, Kind, Level, Place, Role, Storage};
use model::Machine;
use serde_json::{Value, json};
use store::Stored;

use crate::{
    change::{Who, change},
    params::{self, Fields, choices, sent},
};

const NODE: &[&str] = &["system_id"];
const ONE: &[&str] = &["system_id", "id"];

/// Groups of every kind, all and one.
pub fn resources() -> Vec<Resource> {
    let mut all = Vec::from(volume_groups());
    all.extend(arrays_and_caches());
    all.extend(datastores());
    all
}

fn volume_groups() -> [Resource; 3] {
    let one = |path| Resource { name: "VolumeGroupHandler", path, params: ONE, ops: volume_group_ops() };
    [
        Resource {
            name: "VolumeGroupsHandler",
            path: "nodes/{system_id}/volume-groups/",
            params: NODE,
            ops: vec![
                restful!(GET, User, "Lists the volume groups of a machine.", list_volume_groups),
                restful!(
                    POST,
                    User,
                    "Makes a volume group: `name`, `uuid`, `block_devices`, `partitions`.",
                    create_volume_group
                ),
            ],
        },
        one("nodes/{system_id}/volume-group/{id}/"),
        one("nodes/{system_id}/volume-groups/{id}/"),
    ]
}

fn volume_group_ops() -> Vec<Op> {
    vec![
        restful!(GET, User, "Reads a volume group.", read_volume_group),
        restful!(
            PUT,
            User,
            "Changes a volume group: `name`, `uuid`, `add_block_devices`, `remove_block_devices`, `add_partitions`, `remove_partitions`.",
            update_volume_group
        ),
        restful!(DELETE, User, "Deletes a volume group without logical volumes.", delete_volume_group),
        named!(
            POST,
            "create_logical_volume",
            User,
            "Makes a logical volume: `name`, `uuid`, `size` (else all there is).",
            create_logical_volume
        ),
        named!(
            POST,
            "delete_logical_volume",
            User,
            "Deletes the logical volume `id`.",
            delete_logical_volume
        ),
    ]
}

fn arrays_and_caches() -> [Resource; 6] {
    [
        Resource {
            name: "RaidsHandler",
            path: "nodes/{system_id}/raids/",
            params: NODE,
            ops: vec![
                restful!(GET, User, "Lists the arrays of a machine.", list_raids),
                restful!(
                    POST,
                    User,
                    "Makes an array: `name`, `uuid`, `level`, `block_devices`, `spare_devices`, `partitions`, `spare_partitions`.",
                    create_raid
                ),
            ],
        },
        Resource {
            name: "RaidHandler",
            path: "nodes/{system_id}/raid/{id}/",
            params: ONE,
            ops: vec![
                restful!(GET, User, "Reads an array.", read_raid),
                restful!(
                    PUT,
                    User,
                    "Changes an array: `name`, `uuid`, and `add_` and `remove_` forms of `block_devices`, `spare_devices`, `partitions`, `spare_partitions`.",
                    update_raid
                ),
                restful!(DELETE, User, "Deletes an array.", delete_raid),
            ],
        },
        Resource {
            name: "BcachesHandler",
            path: "nodes/{system_id}/bcaches/",
            params: NODE,
            ops: vec![
                restful!(GET, User, "Lists the bcaches of a machine.", list_bcaches),
                restful!(
                    POST,
                    User,
                    "Makes a bcache: `name`, `uuid`, `cache_set`, `backing_device` or `backing_partition`, `cache_mode`.",
                    create_bcache
                ),
            ],
        },
        Resource {
            name: "BcacheHandler",
            path: "nodes/{system_id}/bcache/{id}/",
            params: ONE,
            ops: vec![
                restful!(GET, User, "Reads a bcache.", read_bcache),
                restful!(
                    PUT,
                    User,
                    "Changes a bcache: `name`, `uuid`, `cache_set`, `backing_device` or `backing_partition`, `cache_mode`.",
                    update_bcache
                ),
                restful!(DELETE, User, "Deletes a bcache.", delete_bcache),
            ],
        },
        Resource {
            name: "BcacheCacheSetsHandler",
            path: "nodes/{system_id}/bcache-cache-sets/",
            params: NODE,
            ops: vec![
                restful!(GET, User, "Lists the cache sets of a machine.", list_cache_sets),
                restful!(
                    POST,
                    User,
                    "Makes a cache set: `cache_device` or `cache_partition`.",
                    create_cache_set
                ),
            ],
        },
        Resource {
            name: "BcacheCacheSetHandler",
            path: "nodes/{system_id}/bcache-cache-set/{id}/",
            params: ONE,
            ops: vec![
                restful!(GET, User, "Reads a cache set.", read_cache_set),
                restful!(
                    PUT,
                    User,
                    "Changes a cache set: `cache_device` or `cache_partition`.",
                    update_cache_set
                ),
                restful!(DELETE, User, "Deletes a cache set that no bcache uses.", delete_cache_set),
            ],
        },
    ]
}

fn datastores() -> [Resource; 2] {
    [
        Resource {
            name: "VmfsDatastoresHandler",
            path: "nodes/{system_id}/vmfs-datastores/",
            params: NODE,
            ops: vec![
                restful!(GET, User, "Lists none: VMFS is not supported yet.", list_datastores),
                restful!(POST, User, "Not supported yet.", create_datastore),
            ],
        },
        Resource {
            name: "VmfsDatastoreHandler",
            path: "nodes/{system_id}/vmfs-datastore/{id}/",
            params: ONE,
            ops: vec![
                restful!(GET, User, "There are none.", no_datastore),
                restful!(PUT, User, "There are none.", no_datastore),
                restful!(DELETE, User, "There are none.", no_datastore),
            ],
        },
    ]
}

/// What a path is about.
#[derive(Debug, Clone, Copy)]
enum Class {
    VolumeGroup,
    Raid,
    Bcache,
}

impl Class {
    const fn has(self, kind: Kind) -> bool {
        matches!(
            (self, kind),
            (Self::VolumeGroup, Kind::VolumeGroup)
                | (Self::Raid, Kind::Raid(_))
                | (Self::Bcache, Kind::Bcache { .. })
        )
    }

    /// MAAS's name for it where it is not there.
    const fn name(self) -> &'static str {
        match self {
            Self::VolumeGroup => "VolumeGroup",
            Self::Raid => "RAID",
            Self::Bcache => "Bcache",
        }
    }
}

fn list(call: &Call, class: Class) -> Answer {
    let machine = load(call)?;
    let storage = &machine.value.storage;
    let groups = storage.groups.iter().filter(|group| class.has(group.kind));
    Ok(Reply::Json(groups.map(|group| render::group(&machine.id, storage, group)).collect()))
}

fn read(call: &Call, class: Class) -> Answer {
    let machine = load(call)?;
    let number = find(call, &machine.value.storage, class)?.number;
    shown(&machine, number)
}

/// The group that the second capture of the path names, by number or name.
fn find<'s>(call: &Call, storage: &'s Storage, class: Class) -> Result<&'s Group, ApiError> {
    let word = call.arg(1);
    let mut groups = storage.groups.iter().filter(|group| class.has(group.kind));
    groups
        .find(|group| group.number.to_string() == word || group.name == word)
        .ok_or_else(|| ApiError::NotFound(class.name().to_owned()))
}

fn shown(machine: &Stored<Machine>, number: u64) -> Answer {
    let storage = &machine.value.storage;
    let group = storage.group(number).ok_or_else(|| ApiError::NotFound("FilesystemGroup".to_owned()))?;
    Ok(Reply::Json(render::group(&machine.id, storage, group)))
}

async fn delete(call: &Call, class: Class) -> Answer {
    let group = find(call, &load(call)?.value.storage, class)?.clone();
    let what = format!("delete {}", group.kind.words());
    change(call, Who::Admin, &what, |storage, _| storage.remove_group(group.number)).await?;
    Ok(Reply::NoContent)
}

/// Changes a group's name and UUID and what it consists of.
async fn update(call: &Call, class: Class, add: &Fields, remove: &Fields) -> Answer {
    let group = find(call, &load(call)?.value.storage, class)?.clone();
    let named = params::named(call)?;
    let what = format!("update {}", group.kind.words());
    let (machine, ()) = change(call, Who::Admin, &what, |storage, ids| {
        let (add, remove) = (choices(call, storage, add)?, choices(call, storage, remove)?);
        storage.change_group(group.number, named.clone(), group.kind, &add, &remove, ids)
    })
    .await?;
    shown(&machine, group.number)
}

async fn list_volume_groups(call: Call) -> Answer {
    list(&call, Class::VolumeGroup)
}

async fn read_volume_group(call: Call) -> Answer {
    read(&call, Class::VolumeGroup)
}

async fn delete_volume_group(call: Call) -> Answer {
    delete(&call, Class::VolumeGroup).await
}

async fn create_volume_group(call: Call) -> Answer {
    const OF: &Fields = &[
        ("block_devices", Place::Device, Role::PhysicalVolume),
        ("partitions", Place::Partition, Role::PhysicalVolume),
    ];
    load(&call)?;
    params::required(&call, "name")?;
    let named = params::named(&call)?;
    let (machine, number) = change(&call, Who::Admin, "create volume group", |storage, ids| {
        storage.add_volume_group(named.clone(), &choices(&call, storage, OF)?, ids)
    })
    .await?;
    shown(&machine, number)
}

async fn update_volume_group(call: Call) -> Answer {
    const ADD: &Fields = &[
        ("add_block_devices", Place::Device, Role::PhysicalVolume),
        ("add_partitions", Place::Partition, Role::PhysicalVolume),
    ];
    const REMOVE: &Fields = &[
        ("remove_block_devices", Place::Device, Role::PhysicalVolume),
        ("remove_partitions", Place::Partition, Role::PhysicalVolume),
    ];
    update(&call, Class::VolumeGroup, ADD, REMOVE).await
}

async fn create_logical_volume(call: Call) -> Answer {
    let group = find(&call, &load(&call)?.value.storage, Class::VolumeGroup)?.number;
    params::required(&call, "name")?;
    let (named, size) = (params::named(&call)?, params::size(&call, "size")?);
    let (machine, number) = change(&call, Who::Admin, "create logical volume", |storage, ids| {
        storage.add_logical_volume(group, named.clone(), size, ids)
    })
    .await?;
    let storage = &machine.value.storage;
    let device: Option<Device<'_>> = storage.device(number);
    Ok(Reply::Json(
        device.map_or(Value::Null, |device| json!(render::block_device(&machine.id, storage, device))),
    ))
}

async fn delete_logical_volume(call: Call) -> Answer {
    let machine = load(&call)?;
    let group = find(&call, &machine.value.storage, Class::VolumeGroup)?.number;
    let word = params::required(&call, "id")?;
    // MAAS answers the same where there is none (any more).
    let Some(volume) = params::number(&machine.value.storage, word) else { return Ok(Reply::NoContent) };
    if !machine.value.storage.volumes_of(group).any(|one| one.number == volume) {
        return Ok(Reply::NoContent);
    }
    change(&call, Who::Admin, "delete logical volume", |storage, _| {
        storage.remove_logical_volume(group, volume)
    })
    .await?;
    Ok(Reply::NoContent)
}

async fn list_raids(call: Call) -> Answer {
    list(&call, Class::Raid)
}

async fn read_raid(call: Call) -> Answer {
    read(&call, Class::Raid)
}

async fn delete_raid(call: Call) -> Answer {
    delete(&call, Class::Raid).await
}

async fn create_raid(call: Call) -> Answer {
    const OF: &Fields = &[
        ("block_devices", Place::Device, Role::Active),
        ("partitions", Place::Partition, Role::Active),
        ("spare_devices", Place::Device, Role::Spare),
        ("spare_partitions", Place::Partition, Role::Spare),
    ];
    load(&call)?;
    let (level, named) = (params::choice(&call, "level", Level::parse)?, params::named(&call)?);
    let (machine, number) = change(&call, Who::Admin, "create RAID", |storage, ids| {
        storage.add_raid(level, named.clone(), &choices(&call, storage, OF)?, ids)
    })
    .await?;
    shown(&machine, number)
}

async fn update_raid(call: Call) -> Answer {
    const ADD: &Fields = &[
        ("add_block_devices", Place::Device, Role::Active),
        ("add_partitions", Place::Partition, Role::Active),
        ("add_spare_devices", Place::Device, Role::Spare),
        ("add_spare_partitions", Place::Partition, Role::Spare),
    ];
    const REMOVE: &Fields = &[
        ("remove_block_devices", Place::Device, Role::Active),
        ("remove_partitions", Place::Partition, Role::Active),
        ("remove_spare_devices", Place::Device, Role::Spare),
        ("remove_spare_partitions", Place::Partition, Role::Spare),
    ];
    update(&call, Class::Raid, ADD, REMOVE).await
}

async fn list_bcaches(call: Call) -> Answer {
    list(&call, Class::Bcache)
}

async fn read_bcache(call: Call) -> Answer {
    read(&call, Class::Bcache)
}

async fn delete_bcache(call: Call) -> Answer {
    delete(&call, Class::Bcache).await
}

const BACKING: &Fields = &[
    ("backing_device", Place::Device, Role::Backing),
    ("backing_partition", Place::Partition, Role::Backing),
];

fn cache_mode(call: &Call) -> Result<Option<CacheMode>, ApiError> {
    sent(call, "cache_mode").map(|_| params::choice(call, "cache_mode", CacheMode::parse)).transpose()
}

fn cache_set(call: &Call) -> Result<Option<u64>, ApiError> {
    sent(call, "cache_set").map(|_| params::choice(call, "cache_set", |word| word.parse().ok())).transpose()
}

async fn create_bcache(call: Call) -> Answer {
    load(&call)?;
    let named = params::named(&call)?;
    let set = cache_set(&call)?.ok_or_else(|| ApiError::field("cache_set", "This field is required."))?;
    let mode = cache_mode(&call)?.unwrap_or(CacheMode::Writethrough);
    let (machine, number) = change(&call, Who::Admin, "create Bcache", |storage, ids| {
        storage.add_bcache(set, mode, named.clone(), &choices(&call, storage, BACKING)?, ids)
    })
    .await?;
    shown(&machine, number)
}

async fn update_bcache(call: Call) -> Answer {
    let group = find(&call, &load(&call)?.value.storage, Class::Bcache)?.clone();
    let (named, set, mode) = (params::named(&call)?, cache_set(&call)?, cache_mode(&call)?);
    let kind = match group.kind {
        Kind::Bcache { cache_set: old_set, mode: old } => {
            Kind::Bcache { cache_set: set.unwrap_or(old_set), mode: mode.unwrap_or(old) }
        }
        other => other,
    };
    let (machine, ()) = change(&call, Who::Admin, "update Bcache", |storage, ids| {
        let add = choices(&call, storage, BACKING)?;
        let replaced = add.iter().any(|choice| !choice.numbers.is_empty());
        let remove = if replaced { members(storage, group.number) } else { Vec::new() };
        storage.change_group(group.number, named.clone(), kind, &add, &remove, ids)
    })
    .await?;
    shown(&machine, group.number)
}

/// What a bcache keeps its data on.
fn members(storage: &Storage, of: u64) -> Vec<Choice> {
    let one = |&(field, place, role): &(&'static str, Place, Role)| Choice {
        field,
        place,
        role,
        numbers: storage
            .members(of)
            .map(|(block, _)| block)
            .filter(|block| place.has(*block))
            .map(Block::number)
            .collect(),
    };
    BACKING.iter().map(one).collect()
}

const CACHE: &Fields =
    &[("cache_device", Place::Device, Role::Cache), ("cache_partition", Place::Partition, Role::Cache)];

async fn list_cache_sets(call: Call) -> Answer {
    let machine = load(&call)?;
    let storage = &machine.value.storage;
    let sets = storage.cache_sets.iter();
    Ok(Reply::Json(sets.map(|set| render::cache_set(&machine.id, storage, set)).collect()))
}

fn shown_cache_set(machine: &Stored<Machine>, number: Option<u64>) -> Answer {
    let storage = &machine.value.storage;
    let set = number.and_then(|number| storage.cache_set(number));
    let set = set.ok_or_else(|| ApiError::NotFound("CacheSet".to_owned()))?;
    Ok(Reply::Json(render::cache_set(&machine.id, storage, set)))
}

async fn read_cache_set(call: Call) -> Answer {
    shown_cache_set(&*load(&call)?, call.arg(1).parse().ok())
}

fn find_cache_set(call: &Call) -> Result<u64, ApiError> {
    let (machine, number) = (load(call)?, call.arg(1).parse().ok());
    let set = number.and_then(|number| machine.value.storage.cache_set(number));
    set.map(|set| set.number).ok_or_else(|| ApiError::NotFound("CacheSet".to_owned()))
}

async fn create_cache_set(call: Call) -> Answer {
    load(&call)?;
    let (machine, number) = change(&call, Who::Admin, "create cache set", |storage, ids| {
        storage.add_cache_set(&choices(&call, storage, CACHE)?, ids)
    })
    .await?;
    shown_cache_set(&machine, Some(number))
}

async fn update_cache_set(call: Call) -> Answer {
    let number = find_cache_set(&call)?;
    let (machine, ()) = change(&call, Who::Admin, "update cache set", |storage, ids| {
        storage.change_cache_set(number, &choices(&call, storage, CACHE)?, ids)
    })
    .await?;
    shown_cache_set(&machine, Some(number))
}

async fn delete_cache_set(call: Call) -> Answer {
    let number = find_cache_set(&call)?;
    change(&call, Who::Admin, "delete cache set", |storage, _| storage.remove_cache_set(number)).await?;
    Ok(Reply::NoContent)
}

async fn list_datastores(call: Call) -> Answer {
    load(&call)?;
    Ok(Reply::Json(json!([])))
}

async fn create_datastore(call: Call) -> Answer {
    load(&call)?;
    Err(ApiError::NotImplemented("VMFS datastores are not supported yet.".to_owned()))
}

async fn no_datastore(call: Call) -> Answer {
    load(&call)?;
    Err(ApiError::NotFound("VMFS".to_owned()))
}
