//! The inventory of machines that are only folders.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use bessemer_agent::inventory::{self, Addresses};
use bessemer_agent::net;
use bessemer_agent::tree::Tree;

fn put(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, format!("{text}\n")).unwrap();
}

/// A small virtual server: two sockets, a virtio NIC and disk, and what is not to be counted.
fn machine() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let cpu = |n, socket| {
        format!(
            "processor\t: {n}\nvendor_id\t: GenuineIntel\nmodel name\t: Fast CPU\ncpu MHz\t\t: 2399.998\nphysical id\t: {socket}\ncore id\t\t: 0\nflags\t\t: fpu hypervisor\n\n"
        )
    };
    put(root, "proc/cpuinfo", &(cpu(0, 0) + &cpu(1, 0) + &cpu(2, 1) + &cpu(3, 1)));
    put(
        root,
        "proc/meminfo",
        "MemTotal:        2014208 kB\nMemFree:  1000000 kB\nMemAvailable: 1500000 kB\nHugepagesize: 2048 kB",
    );
    put(root, "sys/devices/system/memory/block_size_bytes", "8000000");
    for block in 0..16 {
        put(root, &format!("sys/devices/system/memory/memory{block}/state"), "online");
    }
    let dmi = [
        ("product_uuid", "4C4C4544-0042-3510-8052-B4C04F4E3132"),
        ("sys_vendor", "QEMU"),
        ("product_name", "Standard PC"),
        ("chassis_type", "1"),
        ("bios_version", "1.16"),
    ];
    for (name, value) in dmi {
        put(root, &format!("sys/class/dmi/id/{name}"), value);
    }
    let pci = "sys/devices/pci0000:00/0000:00:03.0";
    put(root, &format!("{pci}/vendor"), "0x1af4");
    put(root, &format!("{pci}/device"), "0x1041");
    fs::create_dir_all(root.join(format!("{pci}/virtio0"))).unwrap();
    fs::create_dir_all(root.join("sys/bus/pci/devices")).unwrap();
    symlink("../../../devices/pci0000:00/0000:00:03.0", root.join("sys/bus/pci/devices/0000:00:03.0"))
        .unwrap();
    let interface = |name: &str, index: u32, link: u32, mac: &str, more: &[(&str, &str)]| {
        let all = [("type", "1"), ("mtu", "1500"), ("operstate", "up"), ("carrier", "1"), ("address", mac)];
        for (file, value) in all.iter().chain(more) {
            put(root, &format!("sys/class/net/{name}/{file}"), value);
        }
        put(root, &format!("sys/class/net/{name}/ifindex"), &index.to_string());
        put(root, &format!("sys/class/net/{name}/iflink"), &link.to_string());
    };
    interface("lo", 1, 1, "00:00:00:00:00:00", &[("type", "772")]);
    interface("enp0s3", 2, 2, "52:54:00:AB:00:01", &[("speed", "1000")]);
    symlink("../../../devices/pci0000:00/0000:00:03.0/virtio0", root.join("sys/class/net/enp0s3/device"))
        .unwrap();
    interface("eth0", 3, 9, "02:00:00:00:00:07", &[("speed", "10000")]);
    interface("br0", 4, 4, "52:54:00:ab:00:01", &[("uevent", "DEVTYPE=bridge\nINTERFACE=br0")]);
    interface("dummy0", 5, 5, "02:00:00:00:00:09", &[]);
    let disk = |name: &str, sectors: &str, more: &[(&str, &str)]| {
        put(root, &format!("sys/block/{name}/size"), sectors);
        for (file, value) in more {
            put(root, &format!("sys/block/{name}/{file}"), value);
        }
    };
    disk(
        "vda",
        "20971520",
        &[
            ("serial", "root disk"),
            ("queue/logical_block_size", "512"),
            ("queue/rotational", "1"),
            ("ro", "0"),
            ("vda1/partition", "1"),
            ("vda1/size", "2048"),
        ],
    );
    disk(
        "nvme0n1",
        "2097152",
        &[
            ("device/model", "Fast NVMe"),
            ("device/serial", "S1"),
            ("wwid", "eui.0001"),
            ("queue/rotational", "0"),
        ],
    );
    for name in ["loop0", "ram0", "sr0", "zram0", "fd0", "dm-0", "mmcblk0boot0"] {
        disk(name, "4096", &[]);
    }
    disk("sdb", "0", &[]);
    folder
}

#[test]
fn a_machine_as_maas_wants_to_see_it() {
    let folder = machine();
    let tree = Tree::new(folder.path());
    let addresses: Addresses = [("enp0s3".to_owned(), vec![("10.20.0.9".parse().unwrap(), 24)])].into();
    let all = inventory::collect(&tree, &addresses);
    let found = &all["resources"];
    assert_eq!(found["cpu"]["total"], 4);
    assert_eq!(found["cpu"]["sockets"].as_array().unwrap().len(), 2);
    assert_eq!(found["cpu"]["sockets"][1]["cores"][0]["threads"][1]["id"], 3);
    assert_eq!(found["cpu"]["sockets"][0]["frequency"], 2399);
    assert_eq!(found["memory"]["total"], 2_u64 << 30);
    let ports: Vec<&str> = found["network"]["cards"]
        .as_array()
        .unwrap()
        .iter()
        .map(|card| card["ports"][0]["id"].as_str().unwrap())
        .collect();
    assert_eq!(ports, ["eth0", "enp0s3"]);
    let card = &found["network"]["cards"][1];
    assert_eq!((&card["pci_address"], &card["vendor"]), (&"0000:00:03.0".into(), &"Red Hat, Inc.".into()));
    assert_eq!(card["ports"][0]["address"], "52:54:00:ab:00:01");
    assert_eq!(inventory::disk_names(&tree), ["vda", "nvme0n1"]);
    let disks = &found["storage"]["disks"];
    assert_eq!(disks[0]["size"], 10_u64 << 30);
    assert_eq!(disks[0]["device_id"], "virtio-root_disk");
    assert_eq!(disks[0]["partitions"][0]["size"], 1 << 20);
    assert_eq!((&disks[1]["type"], &disks[1]["model"]), (&"nvme".into(), &"Fast NVMe".into()));
    assert_eq!(found["pci"]["total"], 1);
    assert_eq!(found["system"]["uuid"], "4c4c4544-0042-3510-8052-b4c04f4e3132");
    assert_eq!(found["system"]["type"], "virtual-machine");
    assert_eq!(all["networks"]["enp0s3"]["addresses"][0]["address"], "10.20.0.9");
    assert_eq!(all["machine-extra"]["platform"], "Standard PC");
    for extension in ["resources", "resources_v2", "api_os", "resources_system", "resources_usb_pci"] {
        assert!(all["api_extensions"].as_array().unwrap().contains(&extension.into()));
    }
}

#[test]
fn the_interface_that_booted_is_the_card_not_its_bridge() {
    let folder = machine();
    let tree = Tree::new(folder.path());
    assert_eq!(net::find(&tree, Some("52:54:00:ab:00:01")).unwrap().name, "enp0s3");
    let error = net::find(&tree, Some("00:11:22:33:44:55")).unwrap_err().to_string();
    assert!(error.contains("00:11:22:33:44:55") && error.contains("enp0s3"), "{error}");
    assert!(net::find(&tree, None).is_err());
}

#[test]
fn an_empty_tree_and_this_host_have_an_inventory_too() {
    let folder = tempfile::tempdir().unwrap();
    let empty = inventory::collect(&Tree::new(folder.path()), &Addresses::new());
    assert_eq!(empty["resources"]["storage"]["total"], 0);
    let host = inventory::collect(&Tree::new("/"), &Addresses::new());
    assert!(host["resources"]["memory"]["total"].as_u64().unwrap() > 0);
    assert!(host["resources"]["cpu"]["total"].as_u64().unwrap() > 0);
}

#[test]
fn placeholders_are_no_uuids() {
    let folder = tempfile::tempdir().unwrap();
    let tree = Tree::new(folder.path());
    for placeholder in ["00000000-0000-0000-0000-000000000000", "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF"] {
        put(folder.path(), "sys/class/dmi/id/product_uuid", placeholder);
        assert_eq!(inventory::system_uuid(&tree), None);
    }
}
