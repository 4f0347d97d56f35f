//! A machine's disk.

use model::Disk;
use serde::Serialize;

#[derive(Serialize)]
struct Shown<'a> {
    id: u64,
    system_id: &'a str,
    name: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    path: String,
    id_path: &'a str,
    model: &'a str,
    serial: &'a str,
    size: u64,
    block_size: u32,
    available_size: u64,
    used_size: u64,
    used_for: &'static str,
    tags: &'a [String],
    firmware_version: Option<&'a str>,
    filesystem: (),
    partition_table_type: (),
    partitions: [(); 0],
    storage_pool: (),
    uuid: (),
    numa_node: u8,
    resource_uri: String,
}

/// A disk.
pub fn disk<'a>(system_id: &'a str, disk: &'a Disk) -> impl Serialize + use<'a> {
    Shown {
        id: disk.number,
        system_id,
        name: &disk.name,
        kind: "physical",
        path: format!("/dev/disk/by-dname/{}", disk.name),
        id_path: &disk.id_path,
        model: &disk.model,
        serial: &disk.serial,
        size: disk.size,
        block_size: disk.block_size,
        available_size: disk.size,
        used_size: 0,
        used_for: "Unused",
        tags: &disk.tags,
        firmware_version: known(&disk.firmware),
        filesystem: (),
        partition_table_type: (),
        partitions: [],
        storage_pool: (),
        uuid: (),
        numa_node: 0,
        resource_uri: format!("/MAAS/api/2.0/nodes/{system_id}/blockdevices/{}/", disk.number),
    }
}

/// What was told, where anything was.
pub(crate) fn known(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}
