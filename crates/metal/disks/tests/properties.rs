//! What must hold whatever is done, in whatever order.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use std::collections::HashSet;

use common::{Counter, GB, devices, machine, partitions};
use disks::{
    ALIGNMENT, Block, CacheMode, Content, Device, DiskFacts, Firmware, Format, Fs, Kind, Layout, Level,
    Named, NewPartition, Options, Plan, Refusal, Role, Step, Storage, Use, steps,
};
use proptest::{collection::vec, prelude::*};

/// Something that a client asks for; numbers are taken modulo what there is.
#[derive(Debug, Clone)]
enum Ask {
    Partition(u64, Option<u64>),
    DropPartition(u64),
    Format(u64, usize),
    Unformat(u64),
    Mount(u64, u8),
    Unmount(u64),
    VolumeGroup(Vec<u64>, Vec<u64>),
    Logical(u64, u8, Option<u64>),
    Raid(usize, Vec<u64>, Vec<u64>, Vec<u64>),
    CacheSet(u64),
    Bcache(u64, u64),
    Change(u64, Vec<u64>, Vec<u64>),
    OtherCache(u64, u64),
    ChangeCache(u64, u64),
    DropGroup(u64),
    DropCache(u64),
    DropDevice(u64),
    AddDisk(u8, u64),
    Resize(u64, u64),
    Boot(u64),
    Special(u8),
    Layout(usize),
    /// The disk of this number is gone, or has half its size.
    Found(u64, bool),
}

impl Ask {
    /// Whether it is about the disks themselves, not what is on them.
    const fn of_disks(&self) -> bool {
        matches!(
            self,
            Self::AddDisk(..) | Self::Found(..) | Self::Boot(_) | Self::Resize(..) | Self::DropDevice(_)
        )
    }
}

fn ask() -> impl Strategy<Value = Ask> {
    let some = || vec(0_u64..24, 0..5);
    prop_oneof![
        4 => (0_u64..24, prop::option::of(0..6 * GB)).prop_map(|(d, size)| Ask::Partition(d, size)),
        1 => (0_u64..24).prop_map(Ask::DropPartition),
        2 => (0_u64..24, 0_usize..10).prop_map(|(b, fs)| Ask::Format(b, fs)),
        1 => (0_u64..24).prop_map(Ask::Unformat),
        2 => (0_u64..24, 0_u8..4).prop_map(|(b, at)| Ask::Mount(b, at)),
        1 => (0_u64..24).prop_map(Ask::Unmount),
        2 => (some(), some()).prop_map(|(d, p)| Ask::VolumeGroup(d, p)),
        3 => (0_u64..8, 0_u8..4, prop::option::of(0..6 * GB)).prop_map(|(g, n, s)| Ask::Logical(g, n, s)),
        4 => (0_usize..5, some(), some(), vec(0_u64..24, 0..2)).prop_map(|(l, d, p, s)| Ask::Raid(l, d, p, s)),
        2 => (0_u64..24).prop_map(Ask::CacheSet),
        2 => (0_u64..24, 0_u64..4).prop_map(|(b, s)| Ask::Bcache(b, s)),
        2 => (0_u64..8, some(), vec(0_u64..24, 0..2)).prop_map(|(g, a, r)| Ask::Change(g, a, r)),
        1 => (0_u64..4, 0_u64..24).prop_map(|(s, b)| Ask::ChangeCache(s, b)),
        1 => (0_u64..8, 0_u64..4).prop_map(|(g, s)| Ask::OtherCache(g, s)),
        1 => (0_u64..8).prop_map(Ask::DropGroup),
        1 => (0_u64..4).prop_map(Ask::DropCache),
        1 => (0_u64..24).prop_map(Ask::DropDevice),
        1 => (0_u8..8, 0..50 * GB).prop_map(|(n, s)| Ask::AddDisk(n, s)),
        1 => (0_u64..24, 0..50 * GB).prop_map(|(d, s)| Ask::Resize(d, s)),
        1 => (0_u64..8).prop_map(Ask::Boot),
        1 => (0_u8..4).prop_map(Ask::Special),
        1 => (0_usize..7).prop_map(Ask::Layout),
        1 => (0_u64..8, any::<bool>()).prop_map(|(d, gone)| Ask::Found(d, gone)),
    ]
}

fn at(all: &[u64], index: u64) -> u64 {
    if all.is_empty() { 0 } else { all[usize::try_from(index).unwrap() % all.len()] }
}

/// Of what is free, so that something comes of it; sometimes of all, each once.
fn some(free: &[u64], all: &[u64], indices: &[u64]) -> Vec<u64> {
    let mut numbers: Vec<u64> =
        indices.iter().map(|index| at(if *index < 20 { free } else { all }, *index)).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

#[allow(clippy::too_many_lines, reason = "one line for each thing that can be asked")]
fn answer(storage: &mut Storage, ask: &Ask, ids: &mut Counter) -> Result<(), Refusal> {
    let devs: Vec<u64> = storage.devices().map(Device::number).collect();
    let blocks: Vec<u64> = storage.blocks().map(Block::number).collect();
    let parts: Vec<u64> = blocks.iter().copied().filter(|number| !devs.contains(number)).collect();
    let groups: Vec<u64> = storage.groups.iter().map(|group| group.number).collect();
    let sets: Vec<u64> = storage.cache_sets.iter().map(|set| set.number).collect();
    let is_free = |block: &Block<'_>| block.usage() == Some(&Use::Free);
    let free: Vec<u64> = storage.blocks().filter(is_free).map(Block::number).collect();
    let (free_devs, free_parts): (Vec<u64>, Vec<u64>) = free.iter().partition(|number| devs.contains(number));
    let any = |index: u64| at(if index < 20 { &free } else { &blocks }, index);
    let either = |role: Role, block: u64| {
        if devs.contains(&block) { devices(role, &[block]) } else { partitions(role, &[block]) }
    };
    match ask {
        Ask::Partition(device, size) => storage
            .add_partition(at(&devs, *device), NewPartition { size: *size, ..NewPartition::default() }, ids)
            .map(drop),
        Ask::DropPartition(one) => storage.remove_partition(at(&parts, *one)),
        Ask::Format(block, fs) => {
            let format = Format { fstype: Fs::ALL[*fs], label: None, uuid: None };
            storage.format(at(&blocks, *block), format, ids)
        }
        Ask::Unformat(block) => storage.unformat(at(&blocks, *block)),
        Ask::Mount(block, point) => storage.mount(at(&blocks, *block), &format!("/{point}"), None),
        Ask::Unmount(block) => storage.unmount(at(&blocks, *block)),
        Ask::VolumeGroup(d, p) => {
            let named = Named { name: Some(format!("vg{}", groups.len())), uuid: None };
            let role = Role::PhysicalVolume;
            let of =
                [devices(role, &some(&free_devs, &devs, d)), partitions(role, &some(&free_parts, &parts, p))];
            storage.add_volume_group(named, &of, ids).map(drop)
        }
        Ask::Logical(group, name, size) => {
            let named = Named { name: Some(format!("lv{name}")), uuid: None };
            storage.add_logical_volume(at(&groups, *group), named, *size, ids).map(drop)
        }
        Ask::Raid(level, d, p, s) => {
            let of = [
                devices(Role::Active, &some(&free_devs, &devs, d)),
                partitions(Role::Active, &some(&free_parts, &parts, p)),
                partitions(Role::Spare, &some(&[], &parts, s)),
            ];
            storage.add_raid(Level::ALL[*level], Named::default(), &of, ids).map(drop)
        }
        Ask::CacheSet(block) => storage.add_cache_set(&[either(Role::Cache, any(*block))], ids).map(drop),
        Ask::Bcache(block, set) => {
            let of = [either(Role::Backing, any(*block))];
            let (set, mode) = (at(&sets, *set), CacheMode::Writeback);
            storage.add_bcache(set, mode, Named::default(), &of, ids).map(drop)
        }
        Ask::Change(group, add, remove) => {
            let number = at(&groups, *group);
            let members: Vec<u64> = storage.members(number).map(|(block, _)| block.number()).collect();
            let kind = storage.group(number).map_or(Kind::VolumeGroup, |group| group.kind);
            let role = match kind {
                Kind::VolumeGroup => Role::PhysicalVolume,
                Kind::Raid(_) => Role::Active,
                Kind::Bcache { .. } => Role::Backing,
            };
            let add: Vec<_> =
                some(&free, &blocks, add).into_iter().map(|block| either(role, block)).collect();
            let remove: Vec<_> =
                some(&members, &blocks, remove).into_iter().map(|block| either(role, block)).collect();
            storage.change_group(number, Named::default(), kind, &add, &remove, ids)
        }
        Ask::OtherCache(group, set) => {
            let (number, cache_set) = (at(&groups, *group), at(&sets, *set));
            let kind = storage.group(number).map_or(Kind::VolumeGroup, |group| match group.kind {
                Kind::Bcache { mode, .. } => Kind::Bcache { cache_set, mode },
                other => other,
            });
            storage.change_group(number, Named::default(), kind, &[], &[], ids)
        }
        Ask::ChangeCache(set, block) => {
            let of = [either(Role::Cache, any(*block))];
            storage.change_cache_set(at(&sets, *set), &of, ids)
        }
        Ask::DropGroup(group) => storage.remove_group(at(&groups, *group)),
        Ask::DropCache(set) => storage.remove_cache_set(at(&sets, *set)),
        Ask::DropDevice(device) => storage.remove_device(at(&devs, *device)),
        Ask::AddDisk(name, size) => {
            let facts = DiskFacts {
                name: Some(format!("nvme{name}")),
                id_path: Some("/dev/x".to_owned()),
                size: Some(*size),
                ..DiskFacts::default()
            };
            storage.add_disk(facts, ids).map(drop)
        }
        Ask::Resize(device, size) => {
            storage.change_device(at(&devs, *device), DiskFacts { size: Some(*size), ..DiskFacts::default() })
        }
        Ask::Boot(device) => storage.set_boot_disk(at(&devs, *device)),
        Ask::Special(point) => storage.mount_special(Fs::Tmpfs, &format!("/{point}"), None, ids),
        Ask::Layout(layout) => Layout::ALL[*layout].apply(storage, Firmware::Uefi, &Options::default(), ids),
        Ask::Found(disk, gone) => {
            let number = at(&devs, *disk);
            let mut found = storage.disks.clone();
            for disk in &mut found {
                disk.content = Content::default();
                if disk.number == number {
                    disk.size /= 2;
                }
            }
            found.retain(|disk| disk.number != number || !gone);
            storage.found(found);
            Ok(())
        }
    }
}

fn check(storage: &Storage) {
    let numbers: Vec<u64> = storage
        .blocks()
        .map(Block::number)
        .chain(storage.groups.iter().map(|group| group.number))
        .chain(storage.cache_sets.iter().map(|set| set.number))
        .collect();
    assert_eq!(numbers.iter().collect::<HashSet<_>>().len(), numbers.len(), "a number is there twice");
    for device in storage.devices() {
        assert!(device.used() <= device.size(), "{} is fuller than it is large", storage.name_of(device));
        assert!(device.used() + device.available() <= device.size());
        if let Content::Partitioned(table) = device.content() {
            assert!(!table.partitions.is_empty());
            assert!(table.partitions.iter().all(|one| one.size >= ALIGNMENT && one.size % ALIGNMENT == 0));
        }
    }
    for block in storage.blocks() {
        if let Some(member) = block.member() {
            let cache = storage.cache_set(member.of).is_some();
            let group = storage.group(member.of).is_some();
            assert!(if member.role == Role::Cache { cache } else { group }, "part of nothing");
        }
    }
    for group in &storage.groups {
        let volumes: Vec<_> = storage.volumes_of(group.number).collect();
        if group.kind == Kind::VolumeGroup {
            assert!(storage.allocated(group.number) <= storage.size_of(group));
        } else {
            assert_eq!(volumes.len(), 1);
            assert!(volumes[0].size <= storage.size_of(group));
        }
    }
    assert!(storage.volumes.iter().all(|volume| storage.group(volume.of).is_some()));
    assert!(storage.cache_sets.iter().all(|set| storage.members(set.number).count() == 1));
    let points: Vec<&str> =
        storage.mounted().map(|(_, mount)| mount.point.as_str()).filter(|point| *point != "none").collect();
    assert_eq!(points.iter().collect::<HashSet<_>>().len(), points.len(), "two are mounted at one place");
    let names: Vec<_> = storage.devices().map(|device| storage.name_of(device)).collect();
    assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len(), "two have one name: {names:?}");
    // Whatever was allowed can be made: everything gets its turn.
    let steps = steps(storage, Firmware::Bios);
    let made = |wanted: &dyn Fn(&Step) -> bool| steps.iter().filter(|step| wanted(step)).count();
    let groups =
        made(&|step| matches!(step, Step::VolumeGroup { .. } | Step::Array { .. } | Step::Bcache { .. }));
    assert_eq!(groups, storage.groups.len());
    let formatted =
        storage.blocks().filter(|block| matches!(block.usage(), Some(Use::Filesystem(_)))).count();
    assert_eq!(made(&|step| matches!(step, Step::Format { .. })), formatted);
    let read: Storage = serde_json::from_value(serde_json::to_value(storage).unwrap()).unwrap();
    assert_eq!(read, *storage);
}

fn sizes() -> impl Strategy<Value = Vec<u64>> {
    vec(prop_oneof![0..10 * GB, 10 * GB..20 * GB, Just(20 * GB)], 1..9)
}

/// As it was, but for who decided.
fn same(before: &Storage, mut after: Storage) {
    after.plan = before.plan;
    assert_eq!(after, *before);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Nothing overlaps, exceeds what it lies on, or is used twice; what is refused changes nothing.
    #[test]
    fn whatever_is_asked(sizes in sizes(), asks in vec(ask(), 0..40)) {
        let (mut storage, mut ids) = (machine(&sizes), Counter(100));
        for ask in &asks {
            let before = storage.clone();
            if answer(&mut storage, ask, &mut ids).is_err() {
                prop_assert_eq!(&storage, &before);
            }
            check(&storage);
        }
    }

    /// What was made and is deleted was never there.
    #[test]
    fn deleting_undoes_making(sizes in sizes(), asks in vec(ask(), 0..20)) {
        let (mut storage, mut ids) = (machine(&sizes), Counter(100));
        for ask in &asks {
            let _ = answer(&mut storage, ask, &mut ids);
        }
        let free: Vec<u64> = storage
            .devices()
            .filter(|one| one.content() == &Content::default())
            .filter(|one| storage.boot_disk().is_none_or(|disk| disk.number != one.number()))
            .map(Device::number)
            .collect();
        let all: Vec<u64> = storage.devices().map(Device::number).collect();
        for device in all {
            let mut next = storage.clone();
            if let Ok(made) = next.add_partition(device, NewPartition::default(), &mut ids) {
                next.remove_partition(made).unwrap();
                same(&storage, next);
            }
        }
        let mut next = storage.clone();
        if let Ok(made) = next.add_raid(Level::One, Named::default(), &[devices(Role::Active, &free)], &mut ids) {
            next.remove_group(made).unwrap();
            same(&storage, next);
        }
        let mut next = storage.clone();
        let named = |name: &str| Named { name: Some(name.to_owned()), uuid: None };
        if let Ok(group) = next.add_volume_group(named("new"), &[devices(Role::PhysicalVolume, &free)], &mut ids) {
            if let Ok(volume) = next.add_logical_volume(group, named("lv"), None, &mut ids) {
                prop_assert!(next.remove_group(group).is_err());
                next.remove_logical_volume(group, volume).unwrap();
            }
            next.remove_group(group).unwrap();
            same(&storage, next);
        }
        if let [cache, backing, ..] = free.as_slice() {
            let mut next = storage.clone();
            if let Ok(set) = next.add_cache_set(&[devices(Role::Cache, &[*cache])], &mut ids) {
                let of = [devices(Role::Backing, &[*backing])];
                if let Ok(group) = next.add_bcache(set, CacheMode::Writeback, Named::default(), &of, &mut ids) {
                    prop_assert!(next.remove_cache_set(set).is_err());
                    next.remove_group(group).unwrap();
                }
                next.remove_cache_set(set).unwrap();
                same(&storage, next);
            }
        }
    }

    /// A layout does not depend on what was there before, and applied twice is the same as once.
    #[test]
    fn layouts_begin_anew(sizes in sizes(), asks in vec(ask(), 0..12), layout in 0_usize..7, bios in any::<bool>()) {
        let (mut storage, layout) = (machine(&sizes), Layout::ALL[layout]);
        let firmware = if bios { Firmware::Bios } else { Firmware::Uefi };
        for ask in asks.iter().filter(|ask| !ask.of_disks()) {
            let mut ids = Counter(100 + storage.highest_number());
            let _ = answer(&mut storage, ask, &mut ids);
        }
        let apply = |storage: &mut Storage| layout.apply(storage, firmware, &Options::default(), &mut Counter(1_000_000));
        let mut fresh = machine(&sizes);
        let done = apply(&mut storage);
        prop_assert_eq!(&done, &apply(&mut fresh));
        if done.is_ok() {
            prop_assert_eq!(&storage, &fresh);
            apply(&mut storage).unwrap();
            prop_assert_eq!(&storage, &fresh);
            check(&storage);
            prop_assert_eq!(storage.installable().is_ok(), layout == Layout::Flat);
            prop_assert_eq!(storage.plan, Plan::Configured);
        }
    }
}

/// Documents of earlier versions had a list of disks where the storage is now.
#[test]
fn a_list_of_disks_is_read_as_a_storage() {
    #[derive(serde::Deserialize)]
    struct Machine {
        #[serde(deserialize_with = "disks::read")]
        storage: Storage,
    }
    let old = r#"{"storage": [{"number": 7, "name": "vda", "model": "", "serial": "", "id_path": "/dev/vda",
        "size": 8000000000, "block_size": 512, "tags": ["ssd"], "firmware": "", "boot": false}]}"#;
    let read: Machine = serde_json::from_str(old).unwrap();
    assert_eq!((read.storage.disks.len(), read.storage.plan), (1, Plan::Image));
    assert_eq!(read.storage.disks[0].content, Content::default());
    assert_eq!(read.storage.installable(), Ok(()));
}
