//! What this machine is, in the shape of MAAS's `50-maas-01-commissioning` output (LXD's resources).
//!
//! Everything comes from `/proc` and `/sys` under a [`Tree`], so that any machine can be a test's fixture. What
//! the kernel doesn't show is left out or empty, never guessed.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde_json::{Value, json};

use crate::tree::Tree;

mod compute;
mod network;
mod pci;
mod storage;

pub use network::is_physical;
pub use storage::names as disk_names;

/// Addresses by interface name, with prefix lengths: the kernel shows them in no file.
pub type Addresses = BTreeMap<String, Vec<(Ipv4Addr, u8)>>;

/// The whole document.
pub fn collect(tree: &Tree, addresses: &Addresses) -> Value {
    let system = system(tree);
    json!({
        "api_version": "1.0",
        "api_extensions": ["resources", "resources_v2", "api_os", "resources_system", "resources_usb_pci"],
        "environment": environment(tree),
        "resources": {
            "cpu": compute::cpu(tree),
            "memory": compute::memory(tree),
            "gpu": { "cards": [], "total": 0 },
            "network": network::cards(tree),
            "storage": storage::disks(tree),
            "usb": { "devices": [], "total": 0 },
            "pci": pci::devices(tree),
            "system": system,
        },
        "networks": network::networks(tree, addresses),
        "storage-extra": {},
        "machine-extra": { "platform": system.get("product") },
    })
}

/// SMBIOS system UUID, lower case; `None` where the firmware has none or a placeholder.
pub fn system_uuid(tree: &Tree) -> Option<String> {
    let uuid = tree.text("sys/class/dmi/id/product_uuid")?.to_ascii_lowercase();
    let real =
        uuid.bytes().any(|b| !matches!(b, b'0' | b'-')) && uuid.bytes().any(|b| !matches!(b, b'f' | b'-'));
    real.then_some(uuid)
}

fn environment(tree: &Tree) -> Value {
    let uname = rustix::system::uname();
    let kernel = |path: &str, own: &std::ffi::CStr| {
        tree.text(path).unwrap_or_else(|| own.to_string_lossy().into_owned())
    };
    json!({
        "kernel": "Linux",
        "kernel_architecture": uname.machine().to_string_lossy(),
        "kernel_version": kernel("proc/sys/kernel/osrelease", uname.release()),
        "os_name": "bessemer",
        "os_version": env!("CARGO_PKG_VERSION"),
        "server": "bessemer-agent",
        "server_name": kernel("proc/sys/kernel/hostname", uname.nodename()),
        "server_version": env!("CARGO_PKG_VERSION"),
    })
}

fn system(tree: &Tree) -> Value {
    let dmi = |name: &str| tree.text(&format!("sys/class/dmi/id/{name}")).unwrap_or_default();
    let vendor = dmi("sys_vendor");
    let hypervisor = ["QEMU", "VMware", "innotek", "Xen"].iter().any(|v| vendor.starts_with(v))
        || tree.text("proc/cpuinfo").is_some_and(|text| has_flag(&text, "hypervisor"));
    json!({
        "uuid": system_uuid(tree).unwrap_or_default(),
        "vendor": vendor,
        "product": dmi("product_name"),
        "family": dmi("product_family"),
        "version": dmi("product_version"),
        "sku": dmi("product_sku"),
        "serial": dmi("product_serial"),
        "type": if hypervisor { "virtual-machine" } else { "physical" },
        "firmware": { "vendor": dmi("bios_vendor"), "version": dmi("bios_version"), "date": dmi("bios_date") },
        "chassis": {
            "vendor": dmi("chassis_vendor"),
            "type": chassis(&dmi("chassis_type")),
            "serial": dmi("chassis_serial"),
            "version": dmi("chassis_version"),
        },
        "motherboard": {
            "vendor": dmi("board_vendor"),
            "product": dmi("board_name"),
            "serial": dmi("board_serial"),
            "version": dmi("board_version"),
        },
    })
}

fn has_flag(cpuinfo: &str, flag: &str) -> bool {
    let flags = cpuinfo.lines().find(|line| line.starts_with("flags"));
    flags.is_some_and(|line| line.split_whitespace().any(|word| word == flag))
}

/// SMBIOS chassis types, DMTF DSP0134 table 17, as far as machines in racks have them.
fn chassis(code: &str) -> &str {
    match code {
        "1" => "Other",
        "2" => "Unknown",
        "3" => "Desktop",
        "7" => "Tower",
        "8" => "Portable",
        "9" => "Laptop",
        "10" => "Notebook",
        "17" => "Main server chassis",
        "23" => "Rack mount chassis",
        "25" => "Multi-system chassis",
        "28" => "Blade",
        "29" => "Blade enclosure",
        "34" => "Embedded PC",
        "35" => "Mini PC",
        other => other,
    }
}
