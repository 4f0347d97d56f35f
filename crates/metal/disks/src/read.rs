//! What can be read from a storage.

use std::borrow::Cow;

use crate::types::{
    CacheSet, Content, Disk, Filesystem, Group, Kind, Level, Member, Partition, Role, Storage, Table, Use,
    Volume,
};

/// Partitions begin and end at multiples of this many bytes.
pub const ALIGNMENT: u64 = 4 << 20;
/// Bytes of a device that a partition table takes: one [`ALIGNMENT`] before the first partition, 1 MiB after the last.
pub const TABLE_SPACE: u64 = ALIGNMENT + (1 << 20);
/// Bytes of the smallest disk, partition or volume.
pub const MINIMUM: u64 = 4 << 20;
/// Bytes of a physical extent; each physical volume keeps one for itself.
pub(crate) const EXTENT: u64 = 4 << 20;
/// Bytes of an array that its metadata take.
const SUPERBLOCK: u64 = 128 << 10;

/// The multiple of [`ALIGNMENT`] at or below `bytes`.
pub const fn aligned(bytes: u64) -> u64 {
    bytes - bytes % ALIGNMENT
}

/// A disk or a volume.
#[derive(Debug, Clone, Copy)]
pub enum Device<'s> {
    /// A physical disk.
    Disk(&'s Disk),
    /// A logical volume, an array or a bcache.
    Volume(&'s Volume),
}

/// Something that can be used for one thing.
#[derive(Debug, Clone, Copy)]
pub enum Block<'s> {
    /// A device as a whole.
    Device(Device<'s>),
    /// A partition of a device.
    Partition(Device<'s>, &'s Partition),
}

impl<'s> Device<'s> {
    /// Number.
    pub const fn number(self) -> u64 {
        match self {
            Self::Disk(disk) => disk.number,
            Self::Volume(volume) => volume.number,
        }
    }

    /// Bytes.
    pub const fn size(self) -> u64 {
        match self {
            Self::Disk(disk) => disk.size,
            Self::Volume(volume) => volume.size,
        }
    }

    /// Bytes.
    pub const fn block_size(self) -> u32 {
        match self {
            Self::Disk(disk) => disk.block_size,
            Self::Volume(volume) => volume.block_size,
        }
    }

    /// Tags.
    pub fn tags(self) -> &'s [String] {
        match self {
            Self::Disk(disk) => &disk.tags,
            Self::Volume(volume) => &volume.tags,
        }
    }

    /// What is on it.
    pub const fn content(self) -> &'s Content {
        match self {
            Self::Disk(disk) => &disk.content,
            Self::Volume(volume) => &volume.content,
        }
    }

    /// Its partitions in the order in which they lie.
    pub fn partitions(self) -> &'s [Partition] {
        match self.content() {
            Content::Partitioned(table) => &table.partitions,
            Content::Whole(_) => &[],
        }
    }

    /// Bytes that partitions can still be made of.
    pub fn available(self) -> u64 {
        match self.content() {
            Content::Whole(Use::Free) => aligned(self.size().saturating_sub(TABLE_SPACE)),
            Content::Whole(_) => 0,
            Content::Partitioned(table) => aligned(self.size().saturating_sub(table.used())),
        }
    }

    /// Bytes that are used.
    pub fn used(self) -> u64 {
        match self.content() {
            Content::Whole(Use::Free) => 0,
            Content::Whole(_) => self.size(),
            Content::Partitioned(table) => table.used(),
        }
    }
}

impl Table {
    /// Bytes that partitions and the table itself take.
    pub fn used(&self) -> u64 {
        self.partitions.iter().map(|one| one.size).fold(TABLE_SPACE, u64::saturating_add)
    }
}

impl<'s> Block<'s> {
    /// Number.
    pub const fn number(self) -> u64 {
        match self {
            Self::Device(device) => device.number(),
            Self::Partition(_, partition) => partition.number,
        }
    }

    /// Bytes.
    pub const fn size(self) -> u64 {
        match self {
            Self::Device(device) => device.size(),
            Self::Partition(_, partition) => partition.size,
        }
    }

    /// What it is used for; `None` where it is partitioned.
    pub const fn usage(self) -> Option<&'s Use> {
        match self {
            Self::Device(device) => match device.content() {
                Content::Whole(usage) => Some(usage),
                Content::Partitioned(_) => None,
            },
            Self::Partition(_, partition) => Some(&partition.content),
        }
    }

    /// What it is a part of.
    pub const fn member(self) -> Option<&'s Member> {
        match self.usage() {
            Some(Use::Member(member)) => Some(member),
            _ => None,
        }
    }

    /// The file system on it.
    pub const fn filesystem(self) -> Option<&'s Filesystem> {
        match self.usage() {
            Some(Use::Filesystem(filesystem)) => Some(filesystem),
            _ => None,
        }
    }
}

impl Storage {
    /// Every device: disks, then volumes.
    pub fn devices(&self) -> impl Iterator<Item = Device<'_>> {
        self.disks.iter().map(Device::Disk).chain(self.volumes.iter().map(Device::Volume))
    }

    /// Every device and every partition.
    pub fn blocks(&self) -> impl Iterator<Item = Block<'_>> {
        self.devices().flat_map(|device| {
            let partitions = device.partitions().iter().map(move |one| Block::Partition(device, one));
            std::iter::once(Block::Device(device)).chain(partitions)
        })
    }

    /// The device or partition of this number.
    pub fn block(&self, number: u64) -> Option<Block<'_>> {
        self.blocks().find(|block| block.number() == number)
    }

    /// The device of this number.
    pub fn device(&self, number: u64) -> Option<Device<'_>> {
        self.devices().find(|device| device.number() == number)
    }

    /// The group of this number.
    pub fn group(&self, number: u64) -> Option<&Group> {
        self.groups.iter().find(|group| group.number == number)
    }

    /// The cache set of this number.
    pub fn cache_set(&self, number: u64) -> Option<&CacheSet> {
        self.cache_sets.iter().find(|set| set.number == number)
    }

    /// What a group or a cache set consists of.
    pub fn members(&self, of: u64) -> impl Iterator<Item = (Block<'_>, Role)> {
        self.blocks().filter_map(move |block| {
            let member = block.member().filter(|member| member.of == of)?;
            Some((block, member.role))
        })
    }

    /// Volumes of a group.
    pub fn volumes_of(&self, group: u64) -> impl Iterator<Item = &Volume> {
        self.volumes.iter().filter(move |volume| volume.of == group)
    }

    /// The disk that the system is installed on: the marked one, or the first.
    pub fn boot_disk(&self) -> Option<&Disk> {
        self.disks.iter().find(|disk| disk.boot).or_else(|| self.disks.first())
    }

    /// Whether this is the number of the boot disk.
    pub(crate) fn boots_from(&self, number: u64) -> bool {
        self.boot_disk().is_some_and(|disk| disk.number == number)
    }

    /// The highest number of anything here.
    pub fn highest_number(&self) -> u64 {
        let groups = self.groups.iter().map(|group| group.number);
        let sets = self.cache_sets.iter().map(|set| set.number);
        self.blocks().map(Block::number).chain(groups).chain(sets).max().unwrap_or(0)
    }

    /// The name of a device, such as `sda`, `vgroot-lvroot`, `md0`.
    pub fn name_of<'s>(&'s self, device: Device<'s>) -> Cow<'s, str> {
        match device {
            Device::Disk(disk) => Cow::Borrowed(&disk.name),
            Device::Volume(volume) => match self.group(volume.of) {
                Some(group) if group.kind == Kind::VolumeGroup => {
                    Cow::Owned(format!("{}-{}", group.name, volume.name))
                }
                _ => Cow::Borrowed(&volume.name),
            },
        }
    }

    /// The name of a device or partition, such as `sda-part1`.
    pub fn name_of_block<'s>(&'s self, block: Block<'s>) -> Cow<'s, str> {
        match block {
            Block::Device(device) => self.name_of(device),
            Block::Partition(device, partition) => {
                let at = device.partitions().iter().position(|one| one.number == partition.number);
                Cow::Owned(format!("{}-part{}", self.name_of(device), at.unwrap_or(0) + 1))
            }
        }
    }

    /// What something is used for, in MAAS's words.
    pub fn used_for(&self, usage: &Use) -> Cow<'static, str> {
        match usage {
            Use::Free => Cow::Borrowed("Unused"),
            Use::Filesystem(Filesystem { fstype, mount: Some(mount), .. }) => {
                Cow::Owned(format!("{} formatted filesystem mounted at {}", fstype.word(), mount.point))
            }
            Use::Filesystem(Filesystem { fstype, mount: None, .. }) => {
                Cow::Owned(format!("Unmounted {} formatted filesystem", fstype.word()))
            }
            Use::Member(member) => Cow::Owned(self.part_of(member)),
        }
    }

    fn part_of(&self, member: &Member) -> String {
        let group = self.group(member.of);
        let name = group.map_or("", |group| &group.name);
        let level = match group.map(|group| group.kind) {
            Some(Kind::Raid(level)) => level.word(),
            _ => "",
        };
        match member.role {
            Role::PhysicalVolume => format!("LVM volume for {name}"),
            Role::Active => format!("Active {level} device for {name}"),
            Role::Spare => format!("Spare {level} device for {name}"),
            Role::Backing => format!("Backing device for {name}"),
            Role::Cache => format!("Cache device for {}", self.cached_by(member.of)),
        }
    }

    /// The bcaches of a cache set, or its own name while it has none.
    fn cached_by(&self, set: u64) -> String {
        let names: Vec<&str> = self
            .groups
            .iter()
            .filter(|group| matches!(group.kind, Kind::Bcache { cache_set, .. } if cache_set == set))
            .map(|group| group.name.as_str())
            .collect();
        match (names.is_empty(), self.cache_set(set)) {
            (true, Some(set)) => set.name.clone(),
            _ => names.join(", "),
        }
    }

    /// Bytes of a group, from what it consists of.
    ///
    /// Of a volume group, each physical volume counts by its whole extents but one, so that LVM can give what is
    /// said here. Sizes of arrays are those that MAAS says.
    pub fn size_of(&self, group: &Group) -> u64 {
        let sizes = |wanted: Role| {
            let members = self.members(group.number).filter(move |(_, role)| *role == wanted);
            members.map(|(block, _)| block.size())
        };
        match group.kind {
            Kind::VolumeGroup => sizes(Role::PhysicalVolume)
                .map(|size| (size / EXTENT).saturating_sub(1) * EXTENT)
                .fold(0, u64::saturating_add),
            Kind::Bcache { .. } => sizes(Role::Backing).next().unwrap_or(0),
            Kind::Raid(level) => {
                let count = sizes(Role::Active).count() as u64;
                array_size(level, count, sizes(Role::Active).min().unwrap_or(0))
            }
        }
    }

    /// Bytes of a volume group that its logical volumes take.
    pub fn allocated(&self, group: u64) -> u64 {
        self.volumes_of(group).map(|volume| volume.size).fold(0, u64::saturating_add)
    }

    /// Every file system that is mounted, with where.
    pub fn mounted(&self) -> impl Iterator<Item = (&Filesystem, &crate::types::Mount)> {
        self.blocks()
            .filter_map(Block::filesystem)
            .chain(&self.special)
            .filter_map(|filesystem| Some((filesystem, filesystem.mount.as_ref()?)))
    }
}

/// Bytes of an array of `count` devices of at least `smallest` bytes.
fn array_size(level: Level, count: u64, smallest: u64) -> u64 {
    let data = |devices: u64| smallest.saturating_mul(devices).saturating_sub(SUPERBLOCK);
    match level {
        Level::Zero => smallest.saturating_sub(SUPERBLOCK).saturating_mul(count),
        Level::One => data(1),
        Level::Five => data(count.saturating_sub(1)),
        Level::Six => data(count.saturating_sub(2)),
        Level::Ten => (smallest.saturating_mul(count) / 2).saturating_sub(SUPERBLOCK),
    }
}
