//! What can be done with volume groups, arrays, bcaches and cache sets.

use uuid::Uuid;

use crate::{
    edit::NewPartition,
    read::{Block, Device, EXTENT, aligned},
    refusal::Refusal,
    types::{CacheMode, CacheSet, Content, Group, Ids, Kind, Level, Member, Role, Storage, Use, Volume},
};

/// Bytes that blocks of logical volumes have.
const VOLUME_BLOCK: u32 = 4096;

/// A name and a UUID as they are asked for; absent: chosen, or left as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Named {
    /// Name.
    pub name: Option<String>,
    /// UUID.
    pub uuid: Option<Uuid>,
}

/// Devices or partitions that a parameter names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The parameter, for refusals.
    pub field: &'static str,
    /// Which of both it names.
    pub place: Place,
    /// As what they are to be part.
    pub role: Role,
    /// Their numbers.
    pub numbers: Vec<u64>,
}

/// Devices or partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A device as a whole.
    Device,
    /// A partition.
    Partition,
}

impl Place {
    /// Whether something is such a thing.
    pub const fn has(self, block: Block<'_>) -> bool {
        match block {
            Block::Device(_) => matches!(self, Self::Device),
            Block::Partition(..) => matches!(self, Self::Partition),
        }
    }
}

impl Storage {
    /// Makes a volume group.
    ///
    /// # Errors
    /// [`Refusal::Parameter`] about the name, or what can't be used.
    pub fn add_volume_group(
        &mut self,
        named: Named,
        of: &[Choice],
        ids: &mut dyn Ids,
    ) -> Result<u64, Refusal> {
        self.add_group(Kind::VolumeGroup, named, of, ids)
    }

    /// Makes an array and its device.
    ///
    /// # Errors
    /// [`Refusal::Parameter`] about the name, what can't be used, or too few devices.
    pub fn add_raid(
        &mut self,
        level: Level,
        named: Named,
        of: &[Choice],
        ids: &mut dyn Ids,
    ) -> Result<u64, Refusal> {
        self.add_group(Kind::Raid(level), named, of, ids)
    }

    /// Makes a bcache and its device.
    ///
    /// # Errors
    /// [`Refusal::Parameter`] about the name, the cache set, or what can't be used.
    pub fn add_bcache(
        &mut self,
        cache_set: u64,
        mode: CacheMode,
        named: Named,
        of: &[Choice],
        ids: &mut dyn Ids,
    ) -> Result<u64, Refusal> {
        self.add_group(Kind::Bcache { cache_set, mode }, named, of, ids)
    }

    fn add_group(
        &mut self,
        kind: Kind,
        named: Named,
        of: &[Choice],
        ids: &mut dyn Ids,
    ) -> Result<u64, Refusal> {
        self.configure(|storage| {
            let number = ids.number();
            let name = match named.name.filter(|name| !name.is_empty()) {
                Some(name) => name,
                None => storage.free_name(kind)?,
            };
            storage.check_name(&name, number)?;
            if let Kind::Bcache { cache_set, .. } = kind {
                storage.check_cache_set(cache_set)?;
            }
            let uuid = named.uuid.unwrap_or_else(|| ids.uuid());
            storage.groups.push(Group { number, uuid, name: name.clone(), kind });
            storage.take(of, number, ids)?;
            if kind != Kind::VolumeGroup {
                let first = storage.members(number).next().map(|(block, _)| block_size(block));
                storage.volumes.push(Volume {
                    number: ids.number(),
                    uuid: ids.uuid(),
                    name,
                    size: 0,
                    block_size: first.unwrap_or(VOLUME_BLOCK),
                    tags: Vec::new(),
                    of: number,
                    content: Content::default(),
                });
            }
            storage.settle(number)?;
            Ok(number)
        })
    }

    /// The first of `md0`, `md1`, … that nothing has; volume groups have to be named.
    fn free_name(&self, kind: Kind) -> Result<String, Refusal> {
        let stem = match kind {
            Kind::VolumeGroup => return Err(Refusal::parameter("name", "This field is required.")),
            Kind::Raid(_) => "md",
            Kind::Bcache { .. } => "bcache",
        };
        let taken = |name: &String| self.check_name(name, 0).is_err();
        (0..u32::MAX)
            .map(|n| format!("{stem}{n}"))
            .find(|name| !taken(name))
            .ok_or_else(|| Refusal::choice("name", stem))
    }

    fn check_cache_set(&self, number: u64) -> Result<(), Refusal> {
        self.cache_set(number).map(|_| ()).ok_or_else(|| Refusal::choice("cache_set", number))
    }

    /// Makes what `choices` name a part of `of`. Of the boot disk, which can't be used as a whole, a partition is made
    /// that takes all its room (MAAS does so too).
    fn take(&mut self, choices: &[Choice], of: u64, ids: &mut dyn Ids) -> Result<(), Refusal> {
        for choice in choices {
            for &number in &choice.numbers {
                let refuse = || Refusal::choice(choice.field, number);
                let block = self.block(number).filter(|block| choice.place.has(*block)).ok_or_else(refuse)?;
                if block.usage() != Some(&Use::Free) {
                    return Err(refuse());
                }
                let number = if choice.place == Place::Device && self.boots_from(number) {
                    self.add_partition(number, NewPartition::default(), ids).map_err(|_| refuse())?
                } else {
                    number
                };
                self.put(number, Use::Member(Member { role: choice.role, of, uuid: ids.uuid() }))?;
                if !self.acyclic() {
                    return Err(refuse());
                }
            }
        }
        Ok(())
    }

    /// Whether nothing lies on itself, through however many others: every group can be made after what it needs.
    fn acyclic(&self) -> bool {
        let mut made: Vec<u64> = Vec::new();
        let there = |block: Block<'_>, made: &[u64]| {
            let (Block::Device(device) | Block::Partition(device, _)) = block;
            match device {
                Device::Disk(_) => true,
                Device::Volume(volume) => made.contains(&volume.of),
            }
        };
        loop {
            let possible = |group: &&Group| {
                let set = match group.kind {
                    Kind::Bcache { cache_set, .. } => Some(cache_set),
                    _ => None,
                };
                let needed = std::iter::once(group.number).chain(set).flat_map(|of| self.members(of));
                !made.contains(&group.number) && needed.into_iter().all(|(block, _)| there(block, &made))
            };
            match self.groups.iter().find(possible) {
                Some(group) => made.push(group.number),
                None => return made.len() == self.groups.len(),
            }
        }
    }

    /// Frees what `choices` name, all of which is part of `of` with these roles.
    fn give_back(&mut self, choices: &[Choice], of: u64) -> Result<(), Refusal> {
        for choice in choices {
            for &number in &choice.numbers {
                let refuse = || Refusal::choice(choice.field, number);
                let block = self.block(number).filter(|block| choice.place.has(*block)).ok_or_else(refuse)?;
                let member = block.member().filter(|member| member.of == of && member.role == choice.role);
                member.ok_or_else(refuse)?;
                self.put(number, Use::Free)?;
            }
        }
        Ok(())
    }

    /// Whether a group has what it needs, and is large enough for what is on it.
    pub(crate) fn whole(&self, group: &Group) -> bool {
        self.check_members(group).is_ok() && {
            let size = self.size_of(group);
            match group.kind {
                Kind::VolumeGroup => self.allocated(group.number) <= size,
                _ => self.volumes_of(group.number).all(|volume| volume.size <= size),
            }
        }
    }

    fn check_members(&self, group: &Group) -> Result<(), Refusal> {
        let count = |wanted: Role| self.members(group.number).filter(|(_, role)| *role == wanted).count();
        match group.kind {
            Kind::VolumeGroup if count(Role::PhysicalVolume) == 0 => {
                Err(Refusal::all("At least one valid block device or partition is required."))
            }
            Kind::VolumeGroup => Ok(()),
            Kind::Bcache { cache_set, .. } => {
                self.check_cache_set(cache_set)?;
                match count(Role::Backing) {
                    0 => Err(Refusal::all("Either backing_device or backing_partition must be specified.")),
                    1 => Ok(()),
                    _ => Err(Refusal::all("Cannot set both backing_device and backing_partition.")),
                }
            }
            Kind::Raid(level) => check_raid(level, count(Role::Active), count(Role::Spare)),
        }
    }

    /// Checks a group after a change of what it consists of, and gives its device the size that it has now; then what
    /// lies on that.
    fn settle(&mut self, number: u64) -> Result<(), Refusal> {
        let Some(group) = self.group(number) else { return Ok(()) };
        self.check_members(group)?;
        let size = self.size_of(group);
        if group.kind == Kind::VolumeGroup {
            if self.allocated(number) > size {
                return Err(Refusal::all("Volume group cannot be smaller than its logical volumes."));
            }
            return Ok(());
        }
        let (name, words) = (group.name.clone(), group.kind.words());
        for volume in self.volumes.iter_mut().filter(|volume| volume.of == number) {
            volume.size = size;
        }
        let grown: Vec<Device<'_>> = self.volumes_of(number).map(Device::Volume).collect();
        let full =
            |device: &Device<'_>| matches!(device.content(), Content::Partitioned(t) if t.used() > size);
        if grown.iter().any(full) {
            return Err(Refusal::all(format!("{words} {name} cannot be smaller than its partitions.")));
        }
        let above: Vec<u64> =
            grown.iter().filter_map(|device| Some(Block::Device(*device).member()?.of)).collect();
        above.into_iter().try_for_each(|group| self.settle(group))
    }

    fn of_kind(&self, number: u64, class: &'static str) -> Result<&Group, Refusal> {
        self.group(number).ok_or(Refusal::Missing(class))
    }

    /// Changes a group: its name, what it consists of, and of a bcache its cache set and mode.
    ///
    /// # Errors
    /// [`Refusal`], where the group would lack something or be too small for what is on it.
    pub fn change_group(
        &mut self,
        number: u64,
        named: Named,
        kind: Kind,
        add: &[Choice],
        remove: &[Choice],
        ids: &mut dyn Ids,
    ) -> Result<(), Refusal> {
        self.configure(|storage| {
            let group = storage.of_kind(number, "FilesystemGroup")?;
            if let Some(name) = named.name.filter(|name| *name != group.name) {
                storage.check_name(&name, number)?;
                if kind != Kind::VolumeGroup {
                    for volume in storage.volumes.iter_mut().filter(|volume| volume.of == number) {
                        volume.name.clone_from(&name);
                    }
                }
                for group in storage.groups.iter_mut().filter(|group| group.number == number) {
                    group.name.clone_from(&name);
                }
            }
            for group in storage.groups.iter_mut().filter(|group| group.number == number) {
                group.uuid = named.uuid.unwrap_or(group.uuid);
                group.kind = kind;
            }
            if !storage.acyclic() {
                return Err(Refusal::all("It cannot be a part of itself."));
            }
            storage.give_back(remove, number)?;
            storage.take(add, number, ids)?;
            storage.settle(number)
        })
    }

    /// Deletes a group; what it consisted of is free.
    ///
    /// # Errors
    /// [`Refusal::State`] if a volume group has logical volumes, or if its device is part of something.
    pub fn remove_group(&mut self, number: u64) -> Result<(), Refusal> {
        self.configure(|storage| {
            let group = storage.of_kind(number, "FilesystemGroup")?;
            if group.kind == Kind::VolumeGroup && storage.volumes_of(number).next().is_some() {
                let words = "This volume group has logical volumes; it cannot be deleted.";
                return Err(Refusal::State(words.to_owned()));
            }
            let used = storage.volumes_of(number).map(Device::Volume).find_map(|device| {
                let parts = device.partitions().iter().map(|one| Block::Partition(device, one));
                std::iter::once(Block::Device(device)).chain(parts).find_map(Block::member)
            });
            if let Some(member) = used {
                let (what, of) = (group.kind.words(), storage.words_of(member));
                return Err(Refusal::State(format!("Cannot delete {what} because its part of a {of}.")));
            }
            storage.drop_group(number);
            Ok(())
        })
    }

    /// Makes a logical volume; without a size, of all the room that there is.
    ///
    /// # Errors
    /// [`Refusal::Parameter`] about the name or the size.
    pub fn add_logical_volume(
        &mut self,
        group: u64,
        named: Named,
        size: Option<u64>,
        ids: &mut dyn Ids,
    ) -> Result<u64, Refusal> {
        self.configure(|storage| {
            let found = storage.of_kind(group, "VolumeGroup")?;
            if found.kind != Kind::VolumeGroup {
                return Err(Refusal::Missing("VolumeGroup"));
            }
            let room = storage.size_of(found).saturating_sub(storage.allocated(group));
            let Some(name) = named.name.filter(|name| !name.is_empty()) else {
                return Err(Refusal::parameter("name", "This field is required."));
            };
            if size.is_some_and(|size| size < EXTENT) {
                return Err(Refusal::at_least("size", EXTENT));
            }
            let size = size.map_or(room, aligned);
            if size > room || size < EXTENT {
                return Err(Refusal::at_most("size", room));
            }
            let number = ids.number();
            storage.volumes.push(Volume {
                number,
                uuid: named.uuid.unwrap_or_else(|| ids.uuid()),
                name: name.clone(),
                size,
                block_size: VOLUME_BLOCK,
                tags: Vec::new(),
                of: group,
                content: Content::default(),
            });
            storage.check_name(&name, number)?;
            Ok(number)
        })
    }

    /// Deletes a logical volume of a volume group, with what is on it.
    ///
    /// # Errors
    /// [`Refusal::Parameter`] if the group has none of this number; [`Refusal::State`] if it is part of something.
    pub fn remove_logical_volume(&mut self, group: u64, volume: u64) -> Result<(), Refusal> {
        if !self.volumes_of(group).any(|one| one.number == volume) {
            return Err(Refusal::choice("id", volume));
        }
        self.remove_device(volume)
    }

    /// Makes a cache set of one device or partition.
    ///
    /// # Errors
    /// [`Refusal::Parameter`] if it is not exactly one, or used.
    pub fn add_cache_set(&mut self, of: &[Choice], ids: &mut dyn Ids) -> Result<u64, Refusal> {
        self.configure(|storage| {
            let number = ids.number();
            let taken = |name: &String| storage.cache_sets.iter().any(|set| set.name == *name);
            let name =
                (0..u32::MAX).map(|n| format!("cache{n}")).find(|name| !taken(name)).unwrap_or_default();
            storage.cache_sets.push(CacheSet { number, uuid: ids.uuid(), name });
            storage.take(of, number, ids)?;
            storage.check_cache(number)?;
            Ok(number)
        })
    }

    /// Gives a cache set another device or partition.
    ///
    /// # Errors
    /// As for a new one.
    pub fn change_cache_set(&mut self, number: u64, of: &[Choice], ids: &mut dyn Ids) -> Result<(), Refusal> {
        self.configure(|storage| {
            storage.cache_set(number).ok_or(Refusal::Missing("CacheSet"))?;
            if of.iter().any(|choice| !choice.numbers.is_empty()) {
                storage.free_members(number);
                storage.take(of, number, ids)?;
            }
            storage.check_cache(number)
        })
    }

    fn check_cache(&self, number: u64) -> Result<(), Refusal> {
        match self.members(number).count() {
            0 => Err(Refusal::all("Either cache_device or cache_partition must be specified.")),
            1 => Ok(()),
            _ => Err(Refusal::all("Cannot set both cache_device and cache_partition.")),
        }
    }

    /// Deletes a cache set.
    ///
    /// # Errors
    /// [`Refusal::State`] while a bcache uses it.
    pub fn remove_cache_set(&mut self, number: u64) -> Result<(), Refusal> {
        self.configure(|storage| {
            storage.cache_set(number).ok_or(Refusal::Missing("CacheSet"))?;
            let by =
                |group: &Group| matches!(group.kind, Kind::Bcache { cache_set, .. } if cache_set == number);
            if storage.groups.iter().any(by) {
                return Err(Refusal::State("Cannot delete cache set; it's currently in use.".to_owned()));
            }
            storage.free_members(number);
            storage.cache_sets.retain(|set| set.number != number);
            Ok(())
        })
    }
}

fn block_size(block: Block<'_>) -> u32 {
    let (Block::Device(device) | Block::Partition(device, _)) = block;
    device.block_size()
}

/// Refuses too few devices of an array, in MAAS's words.
fn check_raid(level: Level, active: usize, spares: usize) -> Result<(), Refusal> {
    let (number, least, spare) = match level {
        Level::Zero => (0, 2, "no spares"),
        Level::One => (1, 2, "any number of spares"),
        Level::Five => (5, 3, "any number of spares"),
        Level::Six => (6, 4, "any number of spares"),
        Level::Ten => (10, 3, "any number of spares"),
    };
    if active >= least && (level != Level::Zero || spares == 0) {
        return Ok(());
    }
    Err(Refusal::all(format!("RAID level {number} must have at least {least} raid devices and {spare}.")))
}
