//! A machine.

use std::{collections::BTreeMap, net::Ipv4Addr, ops::Range, ptr};

use disks::{Kind, Storage};
use model::{Domain, Machine, SCOPE, ScriptSet, Stage, Zone};
use scripts::Outcome;
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::{Value, json, value::RawValue};
use store::Store;

use crate::{
    disk::{device, special},
    each::Each,
    embedded::Embedded,
    interface, network,
    object::Object,
    script,
};

/// Keys of MAAS's `hardware_info`.
pub const HARDWARE: [&str; 18] = [
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

/// Writes the machine with every key.
///
/// # Errors
/// None: all keys are texts, and all numbers finite.
pub fn machine(
    text: &mut Vec<u8>,
    system_id: &str,
    machine: &Machine,
    embedded: &Embedded,
) -> serde_json::Result<()> {
    let mut object = Object::begin(text, &identity(system_id, machine, embedded))?;
    object.members(&state(machine))?;
    object.members(&system(machine))?;
    let interfaces = machine.nics.iter().map(|nic| interface(system_id, nic, &machine.nics, embedded));
    let interfaces = object.list("interface_set", interfaces)?;
    object.again("boot_interface", chosen(&interfaces, &machine.nics, machine.boot_nic()));
    object.members(&network(machine, embedded))?;
    let devices = machine.storage.devices().map(|one| device(system_id, &machine.storage, one));
    let devices = object.list("blockdevice_set", devices)?;
    let (disks, volumes) = devices.split_at_checked(machine.storage.disks.len()).unwrap_or_default();
    object.list_again("physicalblockdevice_set", disks);
    object.list_again("virtualblockdevice_set", volumes);
    object.again("boot_disk", chosen(disks, &machine.storage.disks, machine.boot_disk()));
    object.members(&storage(system_id, &machine.storage))?;
    object.members(&Scripts(machine))?;
    object.end();
    Ok(())
}

/// Where `shown` has the one of `all` that is `wanted`.
fn chosen<'s, T>(shown: &'s [Range<usize>], all: &[T], wanted: Option<&T>) -> Option<&'s Range<usize>> {
    let at = all.iter().position(|one| wanted.is_some_and(|wanted| ptr::eq(one, wanted)))?;
    shown.get(at)
}

/// The short form that an anonymous caller gets for the machine it announced.
pub fn announced(system_id: &str, machine: &Machine, store: &Store) -> Value {
    let domain = store.get::<Domain>(SCOPE, &machine.domain.to_string());
    let zone = store.get::<Zone>(SCOPE, &machine.zone);
    json!({
        "system_id": system_id, "hostname": machine.hostname,
        "fqdn": format!("{}.{}", machine.hostname, network::domain_name(store, machine.domain)),
        "domain": domain.map(|domain| without_uri(network::domain(&domain.value, store))),
        "zone": zone.map(|zone| without_uri(network::zone(&zone.id, &zone.value))),
        "architecture": machine.architecture, "status": machine.status.number(),
        "status_name": machine.status.label(), "status_action": null, "status_message": null,
        "power_type": machine.power.kind, "power_state": machine.power_state, "node_type": 0,
        "resource_uri": uri(system_id),
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

#[derive(Serialize)]
struct Identity<'a> {
    system_id: &'a str,
    resource_uri: String,
    hostname: &'a str,
    fqdn: String,
    domain: Option<&'a RawValue>,
    description: &'a str,
    zone: Option<&'a RawValue>,
    pool: Option<&'a RawValue>,
    tag_names: &'a [String],
    node_type: u8,
    node_type_name: &'static str,
    hardware_uuid: Option<&'a str>,
    owner: Option<&'a str>,
    owner_data: &'a BTreeMap<String, String>,
    workload_annotations: &'a BTreeMap<String, String>,
    parent: (),
    pod: (),
    virtualmachine_id: (),
    is_dpu: bool,
}

fn identity<'a>(system_id: &'a str, machine: &'a Machine, embedded: &'a Embedded) -> Identity<'a> {
    let (domain_name, domain) = embedded.domain(machine.domain);
    Identity {
        system_id,
        resource_uri: uri(system_id),
        hostname: &machine.hostname,
        fqdn: format!("{}.{domain_name}", machine.hostname),
        domain,
        description: &machine.description,
        zone: embedded.zone(&machine.zone),
        pool: embedded.pool(machine.pool),
        tag_names: &machine.tags,
        node_type: 0,
        node_type_name: "Machine",
        hardware_uuid: machine.hardware_uuid.as_deref(),
        owner: machine.owner.as_deref(),
        owner_data: &machine.owner_data,
        workload_annotations: &machine.workload_annotations,
        parent: (),
        pod: (),
        virtualmachine_id: (),
        is_dpu: false,
    }
}

#[derive(Serialize)]
#[allow(clippy::struct_excessive_bools, reason = "MAAS's keys")]
struct Condition<'a> {
    status: i64,
    status_name: &'static str,
    status_action: &'static str,
    status_message: &'a str,
    error_description: &'a str,
    locked: bool,
    netboot: bool,
    power_type: &'a str,
    power_state: &'a str,
    last_sync: (),
    next_sync: (),
    sync_interval: (),
    enable_hw_sync: bool,
    enable_kernel_crash_dump: bool,
    ephemeral_deploy: bool,
}

fn state(machine: &Machine) -> Condition<'_> {
    let label = machine.status.label();
    Condition {
        status: machine.status.number(),
        status_name: label,
        status_action: "",
        status_message: machine.waiting.as_ref().map_or(label, |waiting| &waiting.reason),
        error_description: &machine.error_description,
        locked: machine.locked,
        netboot: machine.netboot,
        power_type: &machine.power.kind,
        power_state: &machine.power_state,
        last_sync: (),
        next_sync: (),
        sync_interval: (),
        enable_hw_sync: false,
        enable_kernel_crash_dump: false,
        ephemeral_deploy: false,
    }
}

#[derive(Serialize)]
struct System<'a> {
    architecture: &'a str,
    bios_boot_method: Option<&'a str>,
    cpu_count: u32,
    cpu_speed: u32,
    memory: u64,
    swap_size: Option<u64>,
    osystem: &'a str,
    distro_series: &'a str,
    hwe_kernel: (),
    min_hwe_kernel: &'static str,
    hardware_info: Hardware<'a>,
    numanode_set: [NumaNode; 1],
}

#[derive(Serialize)]
struct NumaNode {
    index: u8,
    cores: Cores,
    memory: u64,
    hugepages_set: [(); 0],
}

/// All of so many.
struct Cores(u32);

impl Serialize for Cores {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(0..self.0)
    }
}

struct Hardware<'a>(&'a BTreeMap<String, String>);

impl Serialize for Hardware<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let told = |key: &str| self.0.get(key).map_or("Unknown", String::as_str);
        to.collect_map(HARDWARE.iter().map(|key| (key, told(key))))
    }
}

fn system(machine: &Machine) -> System<'_> {
    System {
        architecture: &machine.architecture,
        bios_boot_method: machine.boot_method.as_deref(),
        cpu_count: machine.cpu_count,
        cpu_speed: machine.cpu_speed,
        memory: machine.memory,
        swap_size: machine.swap_size,
        osystem: &machine.osystem,
        distro_series: &machine.distro_series,
        hwe_kernel: (),
        min_hwe_kernel: "",
        hardware_info: Hardware(&machine.hardware.0),
        numanode_set: [NumaNode {
            index: 0,
            cores: Cores(machine.cpu_count),
            memory: machine.memory,
            hugepages_set: [],
        }],
    }
}

#[derive(Serialize)]
struct Network<A> {
    ip_addresses: A,
    address_ttl: (),
    disable_ipv4: bool,
    default_gateways: Gateways,
}

#[derive(Serialize)]
struct Gateways {
    ipv4: ShownGateway,
    ipv6: ShownGateway,
}

#[derive(Default, Serialize)]
struct ShownGateway {
    gateway_ip: Option<Ipv4Addr>,
    link_id: Option<u64>,
}

fn network<'a>(machine: &'a Machine, embedded: &'a Embedded) -> impl Serialize + use<'a> {
    let route = machine.default_route(|subnet| embedded.gateway(subnet));
    let linked = machine.links().filter_map(|(_, link)| link.ip);
    let seen = machine.nics.iter().flat_map(|nic| embedded.discovered(nic)).map(|(ip, _)| ip);
    // What was only seen counts where nothing was configured.
    let seen = seen.filter(move |_| machine.links().all(|(_, link)| link.ip.is_none()));
    Network {
        ip_addresses: Each(linked.chain(seen)),
        address_ttl: (),
        disable_ipv4: false,
        default_gateways: Gateways {
            ipv4: ShownGateway {
                gateway_ip: route.map(|(_, gateway)| gateway.ip),
                // MAAS says only what was chosen.
                link_id: machine
                    .default_gateway
                    .filter(|chosen| machine.links().any(|(_, link)| link.number == *chosen)),
            },
            ipv6: ShownGateway::default(),
        },
    }
}

#[derive(Serialize)]
struct Blocks<G, R, B, C, S> {
    storage: f64,
    volume_groups: G,
    raids: R,
    bcaches: B,
    cache_sets: C,
    special_filesystems: S,
}

/// What is read elsewhere.
#[derive(Serialize)]
struct Stub<'a> {
    system_id: &'a str,
    id: u64,
    __incomplete__: bool,
}

fn storage<'a>(system_id: &'a str, storage: &'a Storage) -> impl Serialize + use<'a> {
    let bytes = storage.disks.iter().map(|one| one.size).fold(0, u64::saturating_add);
    #[allow(clippy::cast_precision_loss, reason = "decimal megabytes for people")]
    let megabytes = bytes as f64 / 1e6;
    let stub = move |id: u64| Stub { system_id, id, __incomplete__: true };
    let groups = move |such: fn(Kind) -> bool| {
        Each(storage.groups.iter().filter(move |one| such(one.kind)).map(move |one| stub(one.number)))
    };
    Blocks {
        storage: megabytes,
        volume_groups: groups(|kind| kind == Kind::VolumeGroup),
        raids: groups(|kind| matches!(kind, Kind::Raid(_))),
        bcaches: groups(|kind| matches!(kind, Kind::Bcache { .. })),
        cache_sets: Each(storage.cache_sets.iter().map(move |one| stub(one.number))),
        special_filesystems: Each(storage.special.iter().map(special)),
    }
}

/// Tests by what they test; `other` is of the machine as a whole, and `interface` and `network` are one here.
const TESTS: [(&str, &str, &[scripts::Hardware]); 6] = [
    ("cpu_test_status", "cpu_test_status_name", &[scripts::Hardware::Cpu]),
    ("interface_test_status", "interface_test_status_name", &[scripts::Hardware::Network]),
    ("memory_test_status", "memory_test_status_name", &[scripts::Hardware::Memory]),
    ("network_test_status", "network_test_status_name", &[scripts::Hardware::Network]),
    ("other_test_status", "other_test_status_name", &[scripts::Hardware::Node, scripts::Hardware::Gpu]),
    ("storage_test_status", "storage_test_status_name", &[scripts::Hardware::Storage]),
];

/// The newest results of a machine's scripts.
struct Scripts<'a>(&'a Machine);

impl Serialize for Scripts<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let [commissioning, installation, testing] =
            [Stage::Commissioning, Stage::Installation, Stage::Testing].map(|stage| self.0.newest(stage));
        let of = |set: Option<&ScriptSet>, takes: &dyn Fn(scripts::Hardware) -> bool| {
            let results = set.map(|set| set.results.as_slice()).unwrap_or_default();
            Outcome::together(results.iter().filter(|one| takes(one.hardware)).map(|one| one.outcome))
        };
        let mut map = to.serialize_map(None)?;
        map.serialize_entry("current_commissioning_result_id", &commissioning.map(|set| set.number))?;
        map.serialize_entry("current_installation_result_id", &installation.map(|set| set.number))?;
        map.serialize_entry("current_testing_result_id", &testing.map(|set| set.number))?;
        let whole = [
            ("commissioning_status", "commissioning_status_name", of(commissioning, &|_| true)),
            ("testing_status", "testing_status_name", of(testing, &|_| true)),
        ];
        let parts =
            TESTS.map(|(key, name, of_these)| (key, name, of(testing, &|one| of_these.contains(&one))));
        for (key, name, outcome) in whole.into_iter().chain(parts) {
            map.serialize_entry(key, &script::number(outcome))?;
            map.serialize_entry(name, script::label(outcome))?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use disks::{Disk, Firmware, Ids, Layout, Options};
    use jiff::Timestamp;
    use model::Nic;
    use uuid::Uuid;

    fn nic(name: &str, boot: bool) -> Nic {
        Nic { boot, ..Nic::physical(1, name, "") }
    }

    fn disk(name: &str, boot: bool) -> Disk {
        let size = 20_000_000_000;
        Disk { number: 1, name: name.to_owned(), size, block_size: 512, boot, ..Disk::default() }
    }

    struct Counter(u64);

    impl Ids for Counter {
        fn number(&mut self) -> u64 {
            self.0 += 1;
            self.0
        }
        fn uuid(&mut self) -> Uuid {
            Uuid::from_u128(self.number().into())
        }
    }

    #[test]
    fn what_is_shown_again_is_what_was_chosen() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let embedded = Embedded::of(&runtime.block_on(Store::in_memory()));
        let mut one = Machine::new("node".to_owned(), Timestamp::UNIX_EPOCH);
        let shown = |one: &Machine| {
            let mut text = Vec::new();
            machine(&mut text, "abc346", one, &embedded).unwrap();
            serde_json::from_slice::<Value>(&text).unwrap()
        };
        let bare = shown(&one);
        assert!(bare["boot_interface"].is_null() && bare["boot_disk"].is_null());
        assert_eq!((&bare["interface_set"], &bare["blockdevice_set"]), (&json!([]), &json!([])));

        one.nics = vec![nic("eth0", false), nic("eth1", true)];
        one.storage.disks = vec![disk("vda", false), disk("vdb", false), disk("vdc", true)];
        let shown = shown(&one);
        assert_eq!(shown["boot_interface"]["name"], "eth1");
        assert_eq!(shown["boot_interface"], shown["interface_set"][1]);
        assert_eq!(shown["boot_disk"]["name"], "vdc");
        assert_eq!(shown["boot_disk"], shown["blockdevice_set"][2]);
        assert_eq!(shown["blockdevice_set"], shown["physicalblockdevice_set"]);
        assert_eq!(shown["blockdevice_set"].as_array().unwrap().len(), 3);
        assert_eq!(shown["virtualblockdevice_set"], json!([]));
    }

    #[test]
    fn volumes_come_after_disks() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let embedded = Embedded::of(&runtime.block_on(Store::in_memory()));
        let mut one = Machine::new("node".to_owned(), Timestamp::UNIX_EPOCH);
        one.storage.disks = vec![disk("vda", true)];
        let (options, ids) = (Options::default(), &mut Counter(100));
        Layout::Lvm.apply(&mut one.storage, Firmware::Uefi, &options, ids).unwrap();
        let mut text = Vec::new();
        machine(&mut text, "abc346", &one, &embedded).unwrap();
        let shown: Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(shown["blockdevice_set"].as_array().unwrap().len(), 2);
        assert_eq!(shown["blockdevice_set"][0], shown["physicalblockdevice_set"][0]);
        let volume = &shown["virtualblockdevice_set"][0];
        assert_eq!(shown["blockdevice_set"][1], *volume);
        assert_eq!(volume["path"], "/dev/disk/by-dname/vgroot-lvroot");
        assert_eq!(volume["used_for"], "ext4 formatted filesystem mounted at /");
        let partition = &shown["boot_disk"]["partitions"][1];
        assert_eq!(
            (&partition["used_for"], &partition["filesystem"]["fstype"]),
            (&json!("LVM volume for vgroot"), &json!("lvm-pv"))
        );
        assert_eq!(shown["volume_groups"][0]["__incomplete__"], true);
        assert_eq!((&shown["raids"], &shown["storage"]), (&json!([]), &json!(20_000.0)));
    }
}
