//! Whole layouts.

use serde::{Deserialize, Serialize};

use crate::{
    edit::{Format, NewPartition},
    group::{Choice, Named, Place},
    read::{Device, aligned},
    refusal::Refusal,
    types::{CacheMode, Disk, Fs, Ids, Role, Storage, words},
};

/// Bytes of the partition that UEFI starts from.
const EFI: u64 = 512 << 20;
/// Bytes of a boot partition at least.
const BOOT: u64 = 100 << 20;
/// Bytes of a boot partition where there has to be one, as GRUB does not read what is cached.
const BOOT_OF_BCACHE: u64 = 1 << 30;
/// Bytes of the root file system at least.
const ROOT: u64 = 3 << 30;

/// How a machine starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Firmware {
    /// By the boot disk's first sector.
    Bios,
    /// By a program on a partition of its own.
    Uefi,
}

words! {
    /// MAAS's layouts, in the order in which it names them.
    Layout {
        /// Nothing on any disk.
        Blank = "blank",
        /// One partition with the root file system.
        Flat = "flat",
        /// The file system of `VMware`, version 7.
        Vmfs7 = "vmfs7",
        /// The file system of `VMware`, version 6.
        Vmfs6 = "vmfs6",
        /// What a commissioning script says.
        Custom = "custom",
        /// The root file system on a cached device.
        Bcache = "bcache",
        /// The root file system on a logical volume.
        Lvm = "lvm",
    }
}

/// What may be said about a layout; absent: as usual.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Size of a boot partition; none if absent.
    pub boot_size: Option<Size>,
    /// Size of the root file system's partition.
    pub root_size: Option<Size>,
    /// Number of the disk for the root file system; else the boot disk.
    pub root_device: Option<u64>,
    /// Name of the volume group; else `vgroot`.
    pub group_name: Option<String>,
    /// Name of the logical volume; else `lvroot`.
    pub volume_name: Option<String>,
    /// Size of the logical volume.
    pub volume_size: Option<Size>,
    /// Number of the disk to cache on; else the smallest solid-state disk.
    pub cache_device: Option<u64>,
    /// How writes are cached; else written through.
    pub cache_mode: Option<CacheMode>,
    /// Size of the partition to cache on.
    pub cache_size: Option<Size>,
    /// What is cached on.
    pub cache_on: Option<Place>,
}

/// A size as it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// Bytes.
    Bytes(u64),
    /// Hundredths of a per cent of the device.
    Share(u32),
}

impl Size {
    fn of(self, whole: u64) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Share(share) => {
                u64::try_from(u128::from(whole) * u128::from(share) / 10_000).unwrap_or(whole)
            }
        }
    }
}

impl Layout {
    /// Takes everything off the disks and lays them out anew.
    ///
    /// # Errors
    /// [`Refusal::Parameter`] about an option, [`Refusal::State`] if the machine has no disk,
    /// [`Refusal::NotSupported`] for VMFS; nothing is changed then.
    pub fn apply(
        self,
        storage: &mut Storage,
        firmware: Firmware,
        options: &Options,
        ids: &mut dyn Ids,
    ) -> Result<(), Refusal> {
        match self {
            Self::Vmfs6 | Self::Vmfs7 => {
                let words = format!("The storage layout '{}' is not supported yet.", self.word());
                return Err(Refusal::NotSupported(words));
            }
            Self::Custom => {
                return Err(Refusal::State(
                    "Failed to configure storage layout 'custom': No custom storage layout configuration found"
                        .to_owned(),
                ));
            }
            Self::Blank | Self::Flat | Self::Lvm | Self::Bcache => {}
        }
        storage.configure(|storage| {
            storage.clear();
            match self {
                Self::Flat => flat(storage, firmware, options, ids),
                Self::Lvm => lvm(storage, firmware, options, ids),
                Self::Bcache => bcache(storage, firmware, options, ids),
                _ => Ok(()),
            }
        })
    }
}

fn flat(
    storage: &mut Storage,
    firmware: Firmware,
    options: &Options,
    ids: &mut dyn Ids,
) -> Result<(), Refusal> {
    let root = base(storage, firmware, options, options.boot_size, ids)?;
    formatted(storage, root, Fs::Ext4, "root", "/", ids)
}

fn lvm(
    storage: &mut Storage,
    firmware: Firmware,
    options: &Options,
    ids: &mut dyn Ids,
) -> Result<(), Refusal> {
    let root = base(storage, firmware, options, options.boot_size, ids)?;
    let name = |asked: &Option<String>, usual: &str| Named {
        name: Some(asked.clone().filter(|name| !name.is_empty()).unwrap_or_else(|| usual.to_owned())),
        uuid: None,
    };
    let of = [part("root_device", Place::Partition, Role::PhysicalVolume, root)];
    let group = storage.add_volume_group(name(&options.group_name, "vgroot"), &of, ids)?;
    let whole = storage.group(group).map_or(0, |group| storage.size_of(group));
    let size = options.volume_size.map(|size| size.of(whole));
    check("lv_size", size.unwrap_or(whole), ROOT, whole)?;
    let volume = storage.add_logical_volume(group, name(&options.volume_name, "lvroot"), size, ids)?;
    formatted(storage, volume, Fs::Ext4, "root", "/", ids)
}

fn bcache(
    storage: &mut Storage,
    firmware: Firmware,
    options: &Options,
    ids: &mut dyn Ids,
) -> Result<(), Refusal> {
    let boot = options.boot_size.filter(|size| size.of(u64::MAX) > 0);
    let root = base(storage, firmware, options, Some(boot.unwrap_or(Size::Bytes(BOOT_OF_BCACHE))), ids)?;
    let cache = cache_device(storage, options)?;
    let (cache, size) = (cache.number, cache.size);
    let cache = match options.cache_on {
        Some(Place::Device) => part("cache_device", Place::Device, Role::Cache, cache),
        Some(Place::Partition) | None => {
            let size = options.cache_size.map(|wanted| wanted.of(size));
            let partition =
                storage.add_partition(cache, NewPartition { size, ..NewPartition::default() }, ids)?;
            part("cache_device", Place::Partition, Role::Cache, partition)
        }
    };
    let set = storage.add_cache_set(&[cache], ids)?;
    let of = [part("root_device", Place::Partition, Role::Backing, root)];
    let mode = options.cache_mode.unwrap_or(CacheMode::Writethrough);
    let group = storage.add_bcache(set, mode, Named::default(), &of, ids)?;
    let volume = storage.volumes_of(group).next().ok_or(Refusal::Missing("Bcache"))?.number;
    formatted(storage, volume, Fs::Ext4, "root", "/", ids)
}

fn cache_device<'s>(storage: &'s Storage, options: &Options) -> Result<&'s Disk, Refusal> {
    let root = root_disk(storage, options)?.number;
    let other = |disk: &&Disk| disk.number != root && !storage.boots_from(disk.number);
    let mut others = storage.disks.iter().filter(other);
    match options.cache_device {
        Some(number) => {
            others.find(|disk| disk.number == number).ok_or_else(|| Refusal::choice("cache_device", number))
        }
        None => others
            .filter(|disk| disk.tags.iter().any(|tag| tag == "ssd"))
            .min_by_key(|disk| disk.size)
            .ok_or_else(|| {
                Refusal::parameter(
                    "cache_device",
                    "Node doesn't have an available cache device to setup bcache.",
                )
            }),
    }
}

fn root_disk<'s>(storage: &'s Storage, options: &Options) -> Result<&'s Disk, Refusal> {
    let boot = storage.boot_disk().ok_or_else(|| {
        Refusal::State("Machine is missing a boot disk; no storage layout can be applied.".to_owned())
    })?;
    let Some(number) = options.root_device else { return Ok(boot) };
    let chosen = storage.disks.iter().find(|disk| disk.number == number);
    chosen.ok_or_else(|| Refusal::choice("root_device", number))
}

/// Makes the partitions that firmware and boot loader need, and one for the root file system, whose number is the
/// answer.
fn base(
    storage: &mut Storage,
    firmware: Firmware,
    options: &Options,
    boot_size: Option<Size>,
    ids: &mut dyn Ids,
) -> Result<u64, Refusal> {
    let root = root_disk(storage, options)?;
    let (root, root_size) = (root.number, root.size);
    let boot = storage.boot_disk().map(|disk| (disk.number, disk.size));
    let (boot, boot_disk_size) = boot.ok_or(Refusal::Missing("BlockDevice"))?;
    if firmware == Firmware::Uefi {
        let partition = NewPartition { size: Some(EFI), bootable: true, uuid: None };
        let efi = storage.add_partition(boot, partition, ids)?;
        formatted(storage, efi, Fs::Fat32, "efi", "/boot/efi", ids)?;
    }
    if let Some(size) = boot_size.map(|size| size.of(boot_disk_size)).filter(|size| *size > 0) {
        check("boot_size", size, BOOT, storage.device(boot).map_or(0, Device::available))?;
        let partition = NewPartition { size: Some(size), ..NewPartition::default() };
        let number = storage.add_partition(boot, partition, ids)?;
        formatted(storage, number, Fs::Ext4, "boot", "/boot", ids)?;
    }
    let available = storage.device(root).map_or(0, Device::available);
    let size = options.root_size.map(|size| size.of(root_size));
    check("root_size", size.unwrap_or(available), ROOT, available)?;
    storage.add_partition(root, NewPartition { size, ..NewPartition::default() }, ids)
}

fn check(field: &'static str, size: u64, least: u64, most: u64) -> Result<(), Refusal> {
    if aligned(size) < least {
        return Err(Refusal::parameter(field, format!("Size is too small. Minimum size is {least}.")));
    }
    if aligned(size) > most {
        return Err(Refusal::parameter(field, format!("Size is too large. Maximum size is {most}.")));
    }
    Ok(())
}

fn part(field: &'static str, place: Place, role: Role, number: u64) -> Choice {
    Choice { field, place, role, numbers: vec![number] }
}

fn formatted(
    storage: &mut Storage,
    block: u64,
    fstype: Fs,
    label: &str,
    point: &str,
    ids: &mut dyn Ids,
) -> Result<(), Refusal> {
    storage.format(block, Format { fstype, label: Some(label.to_owned()), uuid: None }, ids)?;
    storage.mount(block, point, None)
}
