//! Disks.

use serde_json::{Value, json};

use crate::tree::Tree;

/// Block devices that are no disks of the machine.
const NO_DISKS: [&str; 8] = ["loop", "ram", "sr", "zram", "fd", "dm-", "md", "nbd"];

/// Kernel names of the machine's disks: `vda`, `sda`, `nvme0n1`.
pub fn names(tree: &Tree) -> Vec<String> {
    let mut names = tree.names("sys/block");
    names.retain(|name| {
        // Boot areas of eMMC and hidden paths of multipath NVMe are parts of another disk.
        let part = name.contains("boot") || name.contains("rpmb") || hidden(tree, name);
        !NO_DISKS.iter().any(|prefix| name.starts_with(prefix)) && !part && size(tree, name) > 0
    });
    names
}

/// `resources.storage`.
pub fn disks(tree: &Tree) -> Value {
    let disks: Vec<Value> = names(tree).iter().map(|name| disk(tree, name)).collect();
    json!({ "disks": disks, "total": disks.len() })
}

fn disk(tree: &Tree, name: &str) -> Value {
    let folder = format!("sys/block/{name}");
    let text = |file: &str| tree.text(&format!("{folder}/{file}"));
    let first = |files: &[&str]| files.iter().find_map(|file| text(file)).unwrap_or_default();
    let flag = |file: &str| text(file).as_deref() == Some("1");
    let kind = kind(tree, name);
    let serial = first(&["serial", "device/serial"]);
    let serial = if serial.is_empty() { page_80(tree, &folder) } else { serial };
    let wwn = first(&["wwid", "device/wwid"]);
    let rotational = flag("queue/rotational");
    let partitions: Vec<Value> = tree
        .names(&folder)
        .iter()
        .filter(|entry| entry.starts_with(name) && tree.has(&format!("{folder}/{entry}/partition")))
        .map(|entry| {
            json!({
                "id": entry,
                "device": tree.text(&format!("{folder}/{entry}/dev")).unwrap_or_default(),
                "read_only": tree.text(&format!("{folder}/{entry}/ro")).as_deref() == Some("1"),
                "size": tree.number(&format!("{folder}/{entry}/size")).unwrap_or(0) * 512,
                "partition": tree.number(&format!("{folder}/{entry}/partition")).unwrap_or(0),
            })
        })
        .collect();
    json!({
        "id": name,
        "device": text("dev").unwrap_or_default(),
        "model": first(&["device/model", "model"]),
        "type": kind,
        "read_only": flag("ro"),
        "size": size(tree, name),
        "removable": flag("removable"),
        "wwn": wwn,
        "numa_node": 0,
        "device_path": tree.pci_address(&format!("{folder}/device")).map(|pci| format!("pci-{pci}")).unwrap_or_default(),
        "block_size": tree.number(&format!("{folder}/queue/logical_block_size")).unwrap_or(512),
        "firmware_version": first(&["device/firmware_rev", "device/rev"]),
        "rpm": u64::from(rotational),
        "rotational": rotational,
        "serial": serial,
        "device_id": device_id(kind, &serial, &wwn),
        "partitions": partitions,
    })
}

/// Name below `/dev/disk/by-id`, as udev would make it.
fn device_id(kind: &str, serial: &str, wwn: &str) -> String {
    let clean = |text: &str| text.split_whitespace().collect::<Vec<_>>().join("_");
    match (kind, serial, wwn) {
        ("virtio", serial, _) if !serial.is_empty() => format!("virtio-{}", clean(serial)),
        ("nvme", _, wwn) if !wwn.is_empty() => format!("nvme-{}", clean(wwn)),
        (_, _, wwn) if wwn.starts_with("naa.") => format!("wwn-0x{}", wwn.trim_start_matches("naa.")),
        (_, serial, _) if !serial.is_empty() => format!("{kind}-{}", clean(serial)),
        _ => String::new(),
    }
}

fn kind(tree: &Tree, name: &str) -> &'static str {
    match name {
        _ if name.starts_with("vd") => "virtio",
        _ if name.starts_with("nvme") => "nvme",
        _ if name.starts_with("mmcblk") => "mmc",
        _ => {
            let real = std::fs::canonicalize(tree.at(&format!("sys/block/{name}"))).unwrap_or_default();
            let is = |prefix: &str| {
                let digits = |rest: &str| rest.bytes().all(|b| b.is_ascii_digit()) && !rest.is_empty();
                real.iter().any(|part| part.to_str().and_then(|p| p.strip_prefix(prefix)).is_some_and(digits))
            };
            if is("ata") {
                "sata"
            } else if is("usb") {
                "usb"
            } else {
                "scsi"
            }
        }
    }
}

/// A SCSI disk's serial number: SPC-4, unit serial number page, after a header of four bytes.
fn page_80(tree: &Tree, folder: &str) -> String {
    let page = std::fs::read(tree.at(&format!("{folder}/device/vpd_pg80"))).unwrap_or_default();
    String::from_utf8_lossy(page.get(4..).unwrap_or_default())
        .trim_matches(|c: char| c.is_whitespace() || c == '\0')
        .to_owned()
}

fn size(tree: &Tree, name: &str) -> u64 {
    tree.number(&format!("sys/block/{name}/size")).unwrap_or(0) * 512
}

fn hidden(tree: &Tree, name: &str) -> bool {
    tree.text(&format!("sys/block/{name}/hidden")).as_deref() == Some("1")
}
