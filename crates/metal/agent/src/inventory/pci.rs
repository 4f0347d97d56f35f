//! PCI functions.

use serde_json::{Map, Value, json};

use crate::tree::Tree;

/// `resources.pci`.
pub fn devices(tree: &Tree) -> Value {
    let addresses = tree.names("sys/bus/pci/devices");
    let devices: Vec<Value> =
        addresses.iter().map(|address| Value::Object(identity(tree, address))).collect();
    json!({ "devices": devices, "total": devices.len() })
}

/// What a function is. Without a database of names on the machine, products are their numbers.
pub fn identity(tree: &Tree, address: &str) -> Map<String, Value> {
    let folder = format!("sys/bus/pci/devices/{address}");
    let id = |file: &str| {
        let text = tree.text(&format!("{folder}/{file}")).unwrap_or_default();
        text.trim_start_matches("0x").to_owned()
    };
    let (vendor, product) = (id("vendor"), id("device"));
    let numa = tree.number(&format!("{folder}/numa_node")).unwrap_or(0);
    let driver = tree.link_name(&format!("{folder}/driver")).unwrap_or_default();
    let pairs = [
        ("pci_address", json!(address)),
        ("driver", json!(driver)),
        ("vendor", json!(vendor_name(&vendor))),
        ("vendor_id", json!(vendor)),
        ("product", json!(format!("Device {product}"))),
        ("product_id", json!(product)),
        ("numa_node", json!(numa)),
    ];
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// Vendors that make most network cards and disk controllers.
fn vendor_name(id: &str) -> String {
    let name = match id {
        "1000" => "Broadcom / LSI",
        "1022" => "Advanced Micro Devices, Inc. [AMD]",
        "10de" => "NVIDIA Corporation",
        "10ec" => "Realtek Semiconductor Co., Ltd.",
        "1077" => "QLogic Corp.",
        "144d" => "Samsung Electronics Co Ltd",
        "14e4" => "Broadcom Inc. and subsidiaries",
        "15b3" => "Mellanox Technologies",
        "15ad" => "VMware",
        "1af4" | "1b36" => "Red Hat, Inc.",
        "1d0f" => "Amazon.com, Inc.",
        "8086" => "Intel Corporation",
        other => return format!("Vendor {other}"),
    };
    name.to_owned()
}
