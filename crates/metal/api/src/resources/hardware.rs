//! Devices on a machine's buses, as its inventory has them.

use model::{Bus, BusDevice, Hardware, Machine, SCOPE, Serves};
use serde_json::{Value, json};
use store::Stored;

use api_call::{
    Answer, ApiError, Call, Reply,
    edit::edit,
    machine::{load, load_as_admin},
    route::{Resource, restful},
};
use render::{Embedded, interface};

/// Devices of one machine.
pub fn resources() -> Vec<Resource> {
    vec![
        Resource {
            name: "NodeDevicesHandler",
            path: "nodes/{system_id}/devices/",
            params: &["system_id"],
            ops: vec![restful!(
                GET,
                User,
                "Lists PCI and USB devices; filters: `bus`, `hardware_type`, `vendor_id`, `product_id`, `vendor_name`, `product_name`, `commissioning_driver`.",
                list
            )],
        },
        Resource {
            name: "NodeDeviceHandler",
            path: "nodes/{system_id}/devices/{id}/",
            params: &["system_id", "id"],
            ops: vec![
                restful!(GET, User, "Reads a device, by number, PCI address or `BUS:DEVICE`.", read),
                restful!(DELETE, User, "Forgets a device until the next inventory.", delete),
            ],
        },
    ]
}

/// MAAS's number and word of a bus.
const fn bus(device: &BusDevice) -> (u8, &'static str) {
    match device.bus {
        Bus::Pci(_) => (1, "PCIE"),
        Bus::Usb(..) => (2, "USB"),
    }
}

/// MAAS's number and word of what a device is for.
const fn serves(device: &BusDevice) -> (u8, &'static str) {
    match device.serves {
        Serves::Node => (0, "Node"),
        Serves::Storage => (3, "Storage"),
        Serves::Network => (4, "Network"),
        Serves::Gpu => (5, "GPU"),
    }
}

fn show(machine: &Stored<Machine>, device: &BusDevice, embedded: &Embedded) -> Value {
    let (id, (bus, bus_name), (kind, kind_name)) = (&machine.id, bus(device), serves(device));
    let (bus_number, device_number) = device.bus.place();
    let nic = machine.value.nics.iter().find(|nic| device.macs.contains(&nic.mac));
    json!({
        "bus": bus,
        "bus_name": bus_name,
        "bus_number": bus_number,
        "commissioning_driver": device.driver,
        "device_number": device_number,
        "hardware_type": kind,
        "hardware_type_name": kind_name,
        "id": device.number,
        "numa_node": device.numa_node,
        "pci_address": match &device.bus {
            Bus::Pci(address) => Some(address),
            Bus::Usb(..) => None,
        },
        "physical_blockdevice": null,
        "physical_interface": nic.map(|nic| json!(interface(id, nic, &machine.value.nics, embedded))),
        "product_id": device.product_id,
        "product_name": device.product,
        "resource_uri": format!("/MAAS/api/2.0/nodes/{id}/devices/{}/", device.number),
        "system_id": id,
        "vendor_id": device.vendor_id,
        "vendor_name": device.vendor,
    })
}

/// Whether a word or number is what a filter wants.
fn is(wanted: &str, number: u8, word: &str) -> bool {
    wanted == number.to_string() || wanted.eq_ignore_ascii_case(word)
}

async fn list(call: Call) -> Answer {
    let machine = load(&call)?;
    let sent = |name| call.query.get(name).filter(|text: &&str| !text.is_empty());
    let known = |wanted: &str, words: &[(u8, &str)]| words.iter().any(|(n, word)| is(wanted, *n, word));
    if let Some(wanted) = sent("bus").filter(|wanted| !known(wanted, &[(1, "pcie"), (2, "usb")])) {
        return Err(ApiError::field("bus", format!("Bus must be PCIE or USB, not {wanted}.")));
    }
    let kinds = [(0, "node"), (1, "cpu"), (2, "memory"), (3, "storage"), (4, "network"), (5, "gpu")];
    if let Some(wanted) = sent("hardware_type").filter(|wanted| !known(wanted, &kinds)) {
        let words =
            format!("Hardware type must be node, cpu, memory, storage, network or gpu, not {wanted}.");
        return Err(ApiError::field("hardware_type", words));
    }
    let wants = |name, text: &str| sent(name).is_none_or(|wanted| wanted.eq_ignore_ascii_case(text));
    let takes = |device: &&BusDevice| {
        let ((bus, bus_name), (kind, kind_name)) = (bus(device), serves(device));
        sent("bus").is_none_or(|wanted| is(wanted, bus, bus_name))
            && sent("hardware_type").is_none_or(|wanted| is(wanted, kind, kind_name))
            && wants("vendor_id", &device.vendor_id)
            && wants("product_id", &device.product_id)
            && wants("vendor_name", &device.vendor)
            && wants("product_name", &device.product)
            && wants("commissioning_driver", &device.driver)
    };
    let hardware = call.store().get::<Hardware>(SCOPE, &machine.id);
    let devices = hardware.iter().flat_map(|hardware| &hardware.value.devices).filter(takes);
    let embedded = Embedded::of(call.store());
    Ok(Reply::Json(devices.map(|device| show(&machine, device, &embedded)).collect()))
}

/// The device that the call is about.
fn find<'h>(call: &Call, hardware: Option<&'h Hardware>) -> Result<&'h BusDevice, ApiError> {
    let wanted = call.arg(1);
    let meant = |device: &&BusDevice| {
        let (bus, place) = device.bus.place();
        device.number.to_string() == wanted
            || format!("{bus}:{place}") == wanted
            || device.bus == Bus::Pci(wanted.to_owned())
    };
    let devices = hardware.map(|hardware| &hardware.devices).into_iter().flatten();
    devices.into_iter().find(meant).ok_or_else(|| ApiError::NotFound("NodeDevice".to_owned()))
}

async fn read(call: Call) -> Answer {
    let machine = load(&call)?;
    let hardware = call.store().get::<Hardware>(SCOPE, &machine.id);
    let device = find(&call, hardware.as_ref().map(|hardware| &hardware.value))?;
    Ok(Reply::Json(show(&machine, device, &Embedded::of(call.store()))))
}

async fn delete(call: Call) -> Answer {
    edit(&call, "hardware.delete", |batch| {
        let machine = load_as_admin(&call)?;
        let seen = call.store().get::<Hardware>(SCOPE, &machine.id);
        let number = find(&call, seen.as_ref().map(|seen| &seen.value))?.number;
        let Some(seen) = seen else { return Ok((batch, Reply::NoContent)) };
        let mut hardware = seen.value.clone();
        hardware.devices.retain(|device| device.number != number);
        Ok((batch.update(SCOPE, &seen.id, seen.version, &hardware), Reply::NoContent))
    })
    .await
}
