//! Sizes that a real MAAS 3.7.3 answered, and what would be done on a machine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::{Counter, GB, devices, machine, partitions};
use disks::{
    CacheMode, Device, Firmware, Format, Fs, Layout, Level, Named, NewPartition, Options, Role, Storage,
    steps,
};

fn laid_out(layout: Layout, firmware: Firmware, sizes: &[u64]) -> Storage {
    let mut storage = machine(sizes);
    layout.apply(&mut storage, firmware, &Options::default(), &mut Counter(100)).unwrap();
    storage
}

fn lines(storage: &Storage, firmware: Firmware) -> Vec<String> {
    steps(storage, firmware).iter().map(ToString::to_string).collect()
}

#[test]
fn sizes_are_those_of_maas() {
    let flat = laid_out(Layout::Flat, Firmware::Uefi, &[1000 * GB, 250 * GB]);
    let sizes: Vec<u64> = Device::Disk(&flat.disks[0]).partitions().iter().map(|one| one.size).collect();
    assert_eq!(sizes, [536_870_912, 999_456_505_856]);
    let (boot, other) = (Device::Disk(&flat.disks[0]), Device::Disk(&flat.disks[1]));
    assert_eq!((boot.used(), boot.available()), (999_998_619_648, 0));
    assert_eq!((other.used(), other.available()), (0, 249_993_101_312));

    let lvm = laid_out(Layout::Lvm, Firmware::Uefi, &[1000 * GB]);
    assert_eq!(lvm.volumes[0].size, 999_452_311_552);

    let five = |level| {
        let mut storage = machine(&[250 * GB, 1000 * GB, 1000 * GB, 1000 * GB, 1000 * GB, 1000 * GB]);
        let active = if level == Level::Zero { vec![2, 3, 4, 5, 6] } else { vec![2, 3, 4, 5] };
        let of = [devices(Role::Active, &active)];
        storage.add_raid(level, Named::default(), &of, &mut Counter(100)).unwrap();
        storage.volumes[0].size
    };
    assert_eq!((five(Level::Zero), five(Level::Five)), (4_999_999_344_640, 2_999_999_868_928));
}

#[test]
fn flat() {
    let uefi = laid_out(Layout::Flat, Firmware::Uefi, &[20 * GB, 20 * GB]);
    assert_eq!(
        lines(&uefi, Firmware::Uefi),
        [
            "wipe sda",
            "gpt sda",
            "partition sda 1 Efi from 4194304 size 536870912",
            "partition sda 2 Linux from 541065216 size 19457376256",
            "format sda-part1 fat32 label efi",
            "format sda-part2 ext4 label root",
            "mount sda-part2 at /",
            "mount sda-part1 at /boot/efi",
        ]
    );
    let bios = laid_out(Layout::Flat, Firmware::Bios, &[20 * GB]);
    assert_eq!(
        lines(&bios, Firmware::Bios),
        [
            "wipe sda",
            "gpt sda",
            "partition sda 128 BiosBoot from 1048576 size 1048576",
            "partition sda 1 Linux from 4194304 size 19994247168",
            "format sda-part1 ext4 label root",
            "mount sda-part1 at /",
        ]
    );
}

#[test]
fn lvm_and_bcache() {
    let lvm = laid_out(Layout::Lvm, Firmware::Bios, &[20 * GB]);
    assert_eq!(
        lines(&lvm, Firmware::Bios)[3..],
        [
            "partition sda 1 Linux from 4194304 size 19994247168",
            "pv sda-part1",
            "vg vgroot of sda-part1",
            "lv vgroot/lvroot size 19990052864",
            "format vgroot/lvroot ext4 label root",
            "mount vgroot/lvroot at /",
        ]
    );
    let bcache = laid_out(Layout::Bcache, Firmware::Bios, &[20 * GB, 10 * GB]);
    assert_eq!(
        lines(&bcache, Firmware::Bios)[3..],
        [
            "partition sda 1 Linux from 4194304 size 1073741824",
            "partition sda 2 Linux from 1077936128 size 18920505344",
            "wipe sdb",
            "gpt sdb",
            "partition sdb 1 Linux from 4194304 size 9990832128",
            "cache sdb-part1",
            "bcache bcache0 of sda-part2 writethrough",
            "format sda-part1 ext4 label boot",
            "format bcache0 ext4 label root",
            "mount bcache0 at /",
            "mount sda-part1 at /boot",
        ]
    );
}

/// An array of partitions, a volume group on it, one of its volumes cached, and everything else that there is.
#[test]
fn one_above_the_other() {
    let (mut storage, mut ids) = (machine(&[20 * GB, 10 * GB, 10 * GB, 10 * GB, 5 * GB]), Counter(100));
    let ids = &mut ids;
    let part = |storage: &mut Storage, device, ids: &mut Counter| {
        storage.add_partition(device, NewPartition::default(), ids).unwrap()
    };
    let parts = [2, 3].map(|device| part(&mut storage, device, ids));
    let of = [partitions(Role::Active, &parts), devices(Role::Spare, &[4])];
    let array = storage.add_raid(Level::One, Named::default(), &of, ids).unwrap();
    let md = storage.volumes_of(array).next().unwrap().number;
    let named = |name: &str| Named { name: Some(name.to_owned()), uuid: None };
    let vg = storage.add_volume_group(named("data"), &[devices(Role::PhysicalVolume, &[md])], ids).unwrap();
    let srv = storage.add_logical_volume(vg, named("srv"), Some(2 << 30), ids).unwrap();
    let swap = storage.add_logical_volume(vg, named("swap"), Some(1 << 30), ids).unwrap();
    let set = storage.add_cache_set(&[devices(Role::Cache, &[5])], ids).unwrap();
    let of = [devices(Role::Backing, &[srv])];
    let cached = storage.add_bcache(set, CacheMode::Writeback, Named::default(), &of, ids).unwrap();
    let cached = storage.volumes_of(cached).next().unwrap().number;
    for (block, fstype, point) in [(cached, Fs::Xfs, "/srv"), (swap, Fs::Swap, ""), (1, Fs::Btrfs, "/")] {
        storage.format(block, Format { fstype, label: None, uuid: None }, ids).unwrap();
        storage.mount(block, point, None).unwrap();
    }
    storage.mount_special(Fs::Tmpfs, "/srv/tmp", Some("size=1G".to_owned()), ids).unwrap();
    assert_eq!(
        lines(&storage, Firmware::Uefi),
        [
            "wipe sda",
            "wipe sdb",
            "gpt sdb",
            "partition sdb 1 Linux from 4194304 size 9990832128",
            "wipe sdc",
            "gpt sdc",
            "partition sdc 1 Linux from 4194304 size 9990832128",
            "wipe sdd",
            "wipe sde",
            "cache sde",
            "array md0 raid-1 of sdb-part1 sdc-part1 spares sdd",
            "pv md0",
            "vg data of md0",
            "lv data/srv size 2147483648",
            "lv data/swap size 1073741824",
            "bcache bcache0 of data/srv writeback",
            "format sda btrfs",
            "format data/swap swap",
            "format bcache0 xfs",
            "mount sda at /",
            "mount bcache0 at /srv",
            "mount tmpfs at /srv/tmp with size=1G",
            "mount data/swap at none",
        ]
    );
    // Not of what is above it, and nothing that others lie on.
    let round = [devices(Role::PhysicalVolume, &[cached])];
    let kind = storage.group(vg).unwrap().kind;
    assert!(storage.change_group(vg, Named::default(), kind, &round, &[], ids).is_err());
    assert!(storage.remove_group(array).is_err() && storage.remove_device(2).is_err());
}

/// A volume group would lie on a bcache whose cache lies on that volume group.
#[test]
fn nothing_lies_on_itself() {
    let (mut storage, mut ids) = (machine(&[20 * GB, 10 * GB, 10 * GB]), Counter(100));
    let ids = &mut ids;
    let named = |name: &str| Named { name: Some(name.to_owned()), uuid: None };
    let vg = storage.add_volume_group(named("vg"), &[devices(Role::PhysicalVolume, &[2])], ids).unwrap();
    let lv = storage.add_logical_volume(vg, named("cache"), None, ids).unwrap();
    let set = storage.add_cache_set(&[devices(Role::Cache, &[lv])], ids).unwrap();
    let of = [devices(Role::Backing, &[3])];
    let bcache = storage.add_bcache(set, CacheMode::Writeback, Named::default(), &of, ids).unwrap();
    let bcache = storage.volumes_of(bcache).next().unwrap().number;
    let before = storage.clone();
    let (kind, add) = (storage.group(vg).unwrap().kind, [devices(Role::PhysicalVolume, &[bcache])]);
    assert!(storage.change_group(vg, Named::default(), kind, &add, &[], ids).is_err());
    assert_eq!(storage, before);
}
