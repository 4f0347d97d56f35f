//! A machine.

use model::Machine;
use serde_json::{Map, Value, json};

use super::{
    embedded::Embedded,
    machine_parts::{disk, interface, newest, set_status, status_name},
};

/// Keys of MAAS's `hardware_info`.
pub(crate) const HARDWARE: [&str; 18] = [
    "chassis_serial",
    "chassis_type",
    "chassis_vendor",
    "chassis_version",
    "cpu_model",
    "mainboard_firmware_date",
    "mainboard_firmware_vendor",
    "mainboard_firmware_version",
    "mainboard_product",
    "mainboard_serial",
    "mainboard_vendor",
    "mainboard_version",
    "system_family",
    "system_product",
    "system_serial",
    "system_sku",
    "system_vendor",
    "system_version",
];

/// Tests by what they test; ours are not told apart.
const TESTS: [&str; 6] =
    ["cpu_test", "interface_test", "memory_test", "network_test", "other_test", "storage_test"];

/// The machine with every key.
pub fn machine(system_id: &str, machine: &Machine, embedded: &Embedded) -> Value {
    let mut all = Map::new();
    for part in [identity(system_id, machine, embedded), state(machine), system(machine)] {
        if let Value::Object(part) = part {
            all.extend(part);
        }
    }
    network(system_id, machine, embedded, &mut all);
    storage(system_id, machine, &mut all);
    scripts(machine, &mut all);
    Value::Object(all)
}

/// The short form that an anonymous caller gets for the machine it announced.
pub fn announced(system_id: &str, machine: &Machine, embedded: &Embedded) -> Value {
    let (domain_name, domain) = embedded.domain(machine.domain);
    json!({
        "system_id": system_id, "hostname": machine.hostname,
        "fqdn": format!("{}.{domain_name}", machine.hostname), "domain": without_uri(domain),
        "zone": without_uri(embedded.zone(&machine.zone)), "architecture": machine.architecture,
        "status": machine.status.number(), "status_name": machine.status.label(), "status_action": null,
        "status_message": null, "power_type": machine.power.kind, "power_state": machine.power_state,
        "node_type": 0, "resource_uri": uri(system_id),
    })
}

/// What a machine waits for and what it went through: an extension of ours.
pub fn why(system_id: &str, machine: &Machine) -> Value {
    json!({
        "system_id": system_id, "hostname": machine.hostname, "status_name": machine.status.label(),
        "waiting": machine.waiting.as_ref().map(|waiting| json!({
            "reason": waiting.reason, "since": waiting.since, "until": waiting.until,
        })),
        "error_description": machine.error_description,
        "timeline": machine.timeline,
    })
}

fn uri(system_id: &str) -> String {
    format!("/MAAS/api/2.0/machines/{system_id}/")
}

fn without_uri(mut value: Value) -> Value {
    if let Some(object) = value.as_object_mut() {
        object.remove("resource_uri");
    }
    value
}

fn identity(system_id: &str, machine: &Machine, embedded: &Embedded) -> Value {
    let (domain_name, domain) = embedded.domain(machine.domain);
    json!({
        "system_id": system_id, "resource_uri": uri(system_id), "hostname": machine.hostname,
        "fqdn": format!("{}.{domain_name}", machine.hostname), "domain": domain,
        "description": machine.description, "zone": embedded.zone(&machine.zone),
        "pool": embedded.pool(machine.pool), "tag_names": machine.tags, "node_type": 0,
        "node_type_name": "Machine", "hardware_uuid": machine.hardware_uuid, "owner": machine.owner,
        "owner_data": machine.owner_data, "workload_annotations": machine.workload_annotations,
        "parent": null, "pod": null, "virtualmachine_id": null, "is_dpu": false,
    })
}

fn state(machine: &Machine) -> Value {
    let message = machine.waiting.as_ref().map_or(machine.status.label(), |waiting| &waiting.reason);
    json!({
        "status": machine.status.number(), "status_name": machine.status.label(), "status_action": "",
        "status_message": message, "error_description": machine.error_description, "locked": machine.locked,
        "netboot": machine.netboot, "power_type": machine.power.kind, "power_state": machine.power_state,
        "last_sync": null, "next_sync": null, "sync_interval": null, "enable_hw_sync": false,
        "enable_kernel_crash_dump": false, "ephemeral_deploy": false,
    })
}

fn system(machine: &Machine) -> Value {
    let hardware: Map<String, Value> = HARDWARE
        .iter()
        .map(|key| {
            let told = machine.hardware.0.get(*key).map_or("Unknown", String::as_str);
            ((*key).to_owned(), json!(told))
        })
        .collect();
    json!({
        "architecture": machine.architecture, "bios_boot_method": machine.boot_method,
        "cpu_count": machine.cpu_count, "cpu_speed": machine.cpu_speed, "memory": machine.memory,
        "swap_size": machine.swap_size, "osystem": machine.osystem, "distro_series": machine.distro_series,
        "hwe_kernel": null, "min_hwe_kernel": "", "hardware_info": hardware,
        "numanode_set": [{
            "index": 0, "cores": (0..machine.cpu_count).collect::<Vec<_>>(), "memory": machine.memory,
            "hugepages_set": [],
        }],
    })
}

fn network(system_id: &str, machine: &Machine, embedded: &Embedded, all: &mut Map<String, Value>) {
    let nics: Vec<Value> = machine.nics.iter().map(|nic| interface(system_id, nic, embedded)).collect();
    let boot = machine.boot_nic().map(|nic| interface(system_id, nic, embedded));
    let links = || machine.nics.iter().flat_map(|nic| &nic.links);
    let gateway = links().filter(|link| link.ip.is_some()).find_map(|link| embedded.gateway(link.subnet?));
    let link = gateway.and_then(|_| links().find(|link| link.ip.is_some())).map(|link| link.number);
    let addresses: Vec<_> = links().filter_map(|link| link.ip).collect();
    all.insert("interface_set".to_owned(), Value::Array(nics));
    all.insert("boot_interface".to_owned(), boot.unwrap_or_default());
    all.insert("ip_addresses".to_owned(), json!(addresses));
    all.insert("address_ttl".to_owned(), Value::Null);
    all.insert("disable_ipv4".to_owned(), Value::Bool(false));
    all.insert(
        "default_gateways".to_owned(),
        json!({
            "ipv4": { "gateway_ip": gateway, "link_id": link },
            "ipv6": { "gateway_ip": null, "link_id": null },
        }),
    );
}

fn storage(system_id: &str, machine: &Machine, all: &mut Map<String, Value>) {
    let disks: Vec<Value> = machine.disks.iter().map(|one| disk(system_id, one)).collect();
    let bytes: u64 = machine.disks.iter().map(|one| one.size).fold(0, u64::saturating_add);
    #[allow(clippy::cast_precision_loss, reason = "decimal megabytes for people")]
    let megabytes = bytes as f64 / 1e6;
    let boot = machine.boot_disk().map(|one| disk(system_id, one));
    all.insert("boot_disk".to_owned(), boot.unwrap_or_default());
    all.insert("physicalblockdevice_set".to_owned(), Value::Array(disks.clone()));
    all.insert("blockdevice_set".to_owned(), Value::Array(disks));
    all.insert("storage".to_owned(), json!(megabytes));
    for empty in
        ["virtualblockdevice_set", "volume_groups", "raids", "bcaches", "cache_sets", "special_filesystems"]
    {
        all.insert(empty.to_owned(), Value::Array(Vec::new()));
    }
}

fn scripts(machine: &Machine, all: &mut Map<String, Value>) {
    for (kind, name) in [(0, "commissioning"), (1, "installation"), (2, "testing")] {
        let newest = newest(machine, kind);
        all.insert(format!("current_{name}_result_id"), json!(newest.map(|set| set.number)));
        if name != "installation" {
            let status = newest.map_or(-1, set_status);
            all.insert(format!("{name}_status"), json!(status));
            all.insert(format!("{name}_status_name"), json!(status_name(status)));
        }
    }
    for test in TESTS {
        all.insert(format!("{test}_status"), json!(-1));
        all.insert(format!("{test}_status_name"), json!(status_name(-1)));
    }
}
