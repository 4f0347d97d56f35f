//! What can be done with disks, partitions and file systems.

use uuid::Uuid;

use crate::{
    read::{ALIGNMENT, Block, Device, MINIMUM, aligned},
    refusal::Refusal,
    types::{Content, Disk, Filesystem, Fs, Ids, Kind, Member, Mount, Partition, Plan, Storage, Table, Use},
};

/// Bytes of the smallest block that disks have.
const SMALLEST_BLOCK: u32 = 512;
/// Characters of a name at most.
const NAME_LIMIT: usize = 64;

/// What is told about a device by hand; what is absent stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DiskFacts {
    /// Kernel name.
    pub name: Option<String>,
    /// Model.
    pub model: Option<String>,
    /// Serial number.
    pub serial: Option<String>,
    /// Stable path.
    pub id_path: Option<String>,
    /// Bytes.
    pub size: Option<u64>,
    /// Bytes.
    pub block_size: Option<u32>,
}

/// A partition to be made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NewPartition {
    /// Bytes; rounded down to [`ALIGNMENT`]. Absent: all that there is.
    pub size: Option<u64>,
    /// UUID; absent: a new one.
    pub uuid: Option<Uuid>,
    /// Whether firmware may boot from it.
    pub bootable: bool,
}

/// A file system to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format {
    /// Which.
    pub fstype: Fs,
    /// Label.
    pub label: Option<String>,
    /// UUID; absent: a new one.
    pub uuid: Option<Uuid>,
}

impl Storage {
    /// Does all of `change` or nothing.
    fn attempt<T>(&mut self, change: impl FnOnce(&mut Self) -> Result<T, Refusal>) -> Result<T, Refusal> {
        let mut next = self.clone();
        let done = change(&mut next)?;
        *self = next;
        Ok(done)
    }

    /// Does all of `change` or nothing; afterwards what is on the disks was configured.
    pub(crate) fn configure<T>(
        &mut self,
        change: impl FnOnce(&mut Self) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        self.attempt(|storage| {
            let done = change(storage)?;
            storage.plan = Plan::Configured;
            Ok(done)
        })
    }

    /// Takes everything off the disks.
    pub fn clear(&mut self) {
        for disk in &mut self.disks {
            disk.content = Content::default();
        }
        *self = Self { disks: std::mem::take(&mut self.disks), ..Self::default() };
    }

    /// Takes over what an inventory found; what was on a disk stays there if the disk is as large as it was. What has
    /// lost a part is gone.
    pub fn found(&mut self, disks: Vec<Disk>) {
        let known = std::mem::replace(&mut self.disks, disks);
        for disk in &mut self.disks {
            let same = |old: &&Disk| old.number == disk.number && old.size == disk.size;
            if let Some(old) = known.iter().find(same) {
                disk.content.clone_from(&old.content);
            }
        }
        loop {
            let kept: Vec<u64> = self
                .cache_sets
                .iter()
                .map(|set| set.number)
                .filter(|set| self.members(*set).count() == 1)
                .collect();
            self.cache_sets.retain(|set| kept.contains(&set.number));
            let lost = self.groups.iter().find(|group| !self.whole(group)).map(|group| group.number);
            match lost {
                Some(lost) => self.drop_group(lost),
                None => break,
            }
        }
    }

    /// Removes a group with everything on it; what it consisted of is free.
    pub(crate) fn drop_group(&mut self, number: u64) {
        self.groups.retain(|group| group.number != number);
        self.volumes.retain(|volume| volume.of != number);
        self.free_members(number);
    }

    pub(crate) fn free_members(&mut self, of: u64) {
        for usage in self.uses_mut() {
            if matches!(usage, Use::Member(member) if member.of == of) {
                *usage = Use::Free;
            }
        }
    }

    fn uses_mut(&mut self) -> impl Iterator<Item = &mut Use> {
        self.contents_mut().flat_map(|(_, content)| {
            let (whole, partitions) = match content {
                Content::Whole(usage) => (Some(usage), None),
                Content::Partitioned(table) => (None, Some(&mut table.partitions)),
            };
            whole.into_iter().chain(partitions.into_iter().flatten().map(|one| &mut one.content))
        })
    }

    fn contents_mut(&mut self) -> impl Iterator<Item = (u64, &mut Content)> {
        let disks = self.disks.iter_mut().map(|disk| (disk.number, &mut disk.content));
        disks.chain(self.volumes.iter_mut().map(|volume| (volume.number, &mut volume.content)))
    }

    fn content_mut(&mut self, device: u64) -> Result<&mut Content, Refusal> {
        let mut all = self.contents_mut();
        all.find(|(number, _)| *number == device)
            .map(|(_, content)| content)
            .ok_or(Refusal::Missing("BlockDevice"))
    }

    /// The use of a device or partition; a partitioned device has none.
    pub(crate) fn use_mut(&mut self, number: u64) -> Option<&mut Use> {
        self.contents_mut().find_map(|(device, content)| match content {
            Content::Whole(usage) => (device == number).then_some(usage),
            Content::Partitioned(table) => {
                table.partitions.iter_mut().find(|one| one.number == number).map(|one| &mut one.content)
            }
        })
    }

    fn find(&self, number: u64) -> Result<Block<'_>, Refusal> {
        self.block(number).ok_or(Refusal::Missing("BlockDevice"))
    }

    /// Refuses what is part of something: that has to be undone first.
    fn not_part(&self, block: Block<'_>, what: &str) -> Result<(), Refusal> {
        let blocks = match block {
            Block::Device(device) => {
                device.partitions().iter().map(|one| Block::Partition(device, one)).collect()
            }
            Block::Partition(..) => Vec::new(),
        };
        let member = std::iter::once(block).chain(blocks).find_map(Block::member);
        member.map_or(Ok(()), |member| {
            let of = self.words_of(member);
            Err(Refusal::State(format!("Cannot delete {what} because its part of a {of}.")))
        })
    }

    /// MAAS's words for what something is a part of.
    pub(crate) fn words_of(&self, member: &Member) -> &'static str {
        self.group(member.of).map_or("cache set", |group| group.kind.words())
    }

    /// Adds a disk that no inventory has found.
    ///
    /// # Errors
    /// [`Refusal::Parameter`] about what is missing, too small or taken.
    pub fn add_disk(&mut self, facts: DiskFacts, ids: &mut dyn Ids) -> Result<u64, Refusal> {
        let number = ids.number();
        let disk = Disk { number, block_size: SMALLEST_BLOCK, ..Disk::default() };
        let told = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
        if !told(&facts.name) {
            return Err(Refusal::parameter("name", "This field is required."));
        }
        let described = told(&facts.model) && told(&facts.serial);
        if !told(&facts.id_path) && !described {
            return Err(Refusal::all("serial/model are required if id_path is not provided."));
        }
        if facts.size.is_none() {
            return Err(Refusal::parameter("size", "This field is required."));
        }
        self.attempt(|storage| {
            storage.disks.push(disk);
            storage.change_device(number, facts)?;
            Ok(number)
        })
    }

    /// Changes what is told about a device. What is used keeps its size, but for logical volumes, which may be given
    /// another as their group allows and what is on them needs.
    ///
    /// # Errors
    /// [`Refusal`]
    pub fn change_device(&mut self, number: u64, facts: DiskFacts) -> Result<(), Refusal> {
        self.attempt(|storage| {
            if let Some(name) = facts.name {
                storage.rename(number, name)?;
            }
            if let Some(size) = facts.size {
                storage.resize(number, size)?;
            }
            let Some(disk) = storage.disks.iter_mut().find(|disk| disk.number == number) else {
                return Ok(());
            };
            if let Some(size) = facts.block_size {
                if size < SMALLEST_BLOCK {
                    return Err(Refusal::at_least("block_size", SMALLEST_BLOCK.into()));
                }
                disk.block_size = size;
            }
            for (kept, told) in [
                (&mut disk.model, facts.model),
                (&mut disk.serial, facts.serial),
                (&mut disk.id_path, facts.id_path),
            ] {
                if let Some(told) = told {
                    *kept = told;
                }
            }
            Ok(())
        })
    }

    fn rename(&mut self, number: u64, name: String) -> Result<(), Refusal> {
        self.check_name(&name, number)?;
        let volume = self.volumes.iter_mut().find(|volume| volume.number == number);
        let Some(volume) = volume else {
            let disk = self.disks.iter_mut().find(|disk| disk.number == number);
            disk.ok_or(Refusal::Missing("BlockDevice"))?.name = name;
            return Ok(());
        };
        let of = volume.of;
        volume.name.clone_from(&name);
        let group = self.groups.iter_mut().find(|group| group.number == of);
        if let Some(group) = group.filter(|group| group.kind != Kind::VolumeGroup) {
            group.name = name;
        }
        Ok(())
    }

    /// Refuses what is no name of a device or group, and what another has. A device or group with the number `own`
    /// may have it, and so may those of a group with that number.
    pub(crate) fn check_name(&self, name: &str, own: u64) -> Result<(), Refusal> {
        let good = |c: char| c.is_ascii_alphanumeric() || "_.+-".contains(c);
        if name.is_empty()
            || name.len() > NAME_LIMIT
            || name.starts_with(['-', '.'])
            || !name.chars().all(good)
        {
            return Err(Refusal::parameter("name", "Enter a valid value."));
        }
        let sibling = self.volumes.iter().find(|volume| volume.number == own).map(|volume| volume.of);
        let device = self.devices().find(|device| {
            let of = match device {
                Device::Volume(volume) => volume.of,
                Device::Disk(_) => 0,
            };
            let taken = match device {
                Device::Volume(volume) if Some(volume.of) == sibling => volume.name == name,
                other => self.name_of(*other) == name,
            };
            taken && device.number() != own && of != own
        });
        let group = self
            .groups
            .iter()
            .find(|group| group.name == name && group.number != own && sibling != Some(group.number));
        if device.is_some() || group.is_some() {
            return Err(Refusal::parameter(
                "name",
                format!("Another device of this machine has the name {name}."),
            ));
        }
        Ok(())
    }

    fn resize(&mut self, number: u64, size: u64) -> Result<(), Refusal> {
        if size < MINIMUM {
            return Err(Refusal::at_least("size", MINIMUM));
        }
        let device = self.device(number).ok_or(Refusal::Missing("BlockDevice"))?;
        if size == device.size() {
            return Ok(());
        }
        if size < device.used() || device.content() != &Content::default() {
            let words = "What is on a device decides its size: unformat it or delete its partitions first.";
            return Err(Refusal::parameter("size", words));
        }
        match device {
            Device::Disk(_) => {
                let disk = self.disks.iter_mut().find(|disk| disk.number == number);
                disk.ok_or(Refusal::Missing("BlockDevice"))?.size = size;
            }
            Device::Volume(volume) => {
                let group = self.group(volume.of).ok_or(Refusal::Missing("VolumeGroup"))?;
                if group.kind != Kind::VolumeGroup {
                    return Err(Refusal::parameter("size", "It is as large as what it consists of."));
                }
                let limit = self.size_of(group).saturating_sub(self.allocated(group.number)) + volume.size;
                if size > limit {
                    return Err(Refusal::at_most("size", limit));
                }
                let volume = self.volumes.iter_mut().find(|volume| volume.number == number);
                volume.ok_or(Refusal::Missing("BlockDevice"))?.size = aligned(size);
            }
        }
        Ok(())
    }

    /// Removes a disk or a logical volume with what is on it.
    ///
    /// # Errors
    /// [`Refusal::State`] if it or a partition of it is part of something, or if it is an array's or bcache's device.
    pub fn remove_device(&mut self, number: u64) -> Result<(), Refusal> {
        self.attempt(|storage| {
            let device = storage.device(number).ok_or(Refusal::Missing("BlockDevice"))?;
            storage.not_part(Block::Device(device), "block device")?;
            if let Device::Volume(volume) = device
                && let Some(group) = storage.group(volume.of).filter(|group| group.kind != Kind::VolumeGroup)
            {
                let (words, name) = (group.kind.words(), &group.name);
                return Err(Refusal::State(format!("{name} goes with its {words}: delete that.")));
            }
            storage.disks.retain(|disk| disk.number != number);
            storage.volumes.retain(|volume| volume.number != number);
            Ok(())
        })
    }

    /// Chooses the disk that the system is installed on.
    ///
    /// # Errors
    /// [`Refusal::State`] if it is no physical disk.
    pub fn set_boot_disk(&mut self, number: u64) -> Result<(), Refusal> {
        match self.device(number) {
            None => return Err(Refusal::Missing("BlockDevice")),
            Some(Device::Volume(_)) => {
                return Err(Refusal::State("Cannot set a virtual block device as the boot disk.".to_owned()));
            }
            Some(Device::Disk(_)) => {}
        }
        for disk in &mut self.disks {
            disk.boot = disk.number == number;
        }
        Ok(())
    }

    /// Makes a partition behind the others of a device.
    ///
    /// # Errors
    /// [`Refusal::Parameter`] if it does not fit, or if the device is used otherwise.
    pub fn add_partition(
        &mut self,
        device: u64,
        new: NewPartition,
        ids: &mut dyn Ids,
    ) -> Result<u64, Refusal> {
        self.configure(|storage| {
            let found = storage.device(device).ok_or(Refusal::Missing("BlockDevice"))?;
            let kind = match found {
                Device::Volume(volume) => storage.group(volume.of).map(|group| group.kind),
                Device::Disk(_) => None,
            };
            let never = match kind {
                Some(Kind::VolumeGroup) => Some("logical volume"),
                Some(Kind::Bcache { .. }) => Some("Bcache volume"),
                _ => None,
            };
            if let Some(what) = never {
                let words = format!("Cannot create a partition table on a {what}.");
                return Err(Refusal::parameter("block_device", words));
            }
            if let Content::Whole(usage @ (Use::Filesystem(_) | Use::Member(_))) = found.content() {
                let (name, used) = (storage.name_of(found), storage.used_for(usage));
                let words = format!("Cannot partition {name}, it is used as a whole: {used}.");
                return Err(Refusal::all(words));
            }
            let available = found.available();
            let size = new.size.map_or(available, aligned);
            if new.size.is_some_and(|size| size < ALIGNMENT) {
                return Err(Refusal::at_least("size", ALIGNMENT));
            }
            if available < ALIGNMENT {
                let words = format!("There is no room for another partition on {}.", storage.name_of(found));
                return Err(Refusal::parameter("size", words));
            }
            if size > available {
                return Err(Refusal::at_most("size", available));
            }
            let number = ids.number();
            let partition = Partition {
                number,
                uuid: new.uuid.unwrap_or_else(|| ids.uuid()),
                size,
                bootable: new.bootable,
                tags: Vec::new(),
                content: Use::Free,
            };
            match storage.content_mut(device)? {
                Content::Partitioned(table) => table.partitions.push(partition),
                whole @ Content::Whole(_) => {
                    *whole = Content::Partitioned(Table { partitions: vec![partition] });
                }
            }
            Ok(number)
        })
    }

    /// Deletes a partition; with the last one, the partition table is gone.
    ///
    /// # Errors
    /// [`Refusal::State`] if it is part of something.
    pub fn remove_partition(&mut self, number: u64) -> Result<(), Refusal> {
        self.configure(|storage| {
            let block = storage.block(number).ok_or(Refusal::Missing("Partition"))?;
            let Block::Partition(device, _) = block else { return Err(Refusal::Missing("Partition")) };
            let device = device.number();
            storage.not_part(block, "partition")?;
            let content = storage.content_mut(device)?;
            if let Content::Partitioned(table) = content {
                table.partitions.retain(|one| one.number != number);
                if table.partitions.is_empty() {
                    *content = Content::default();
                }
            }
            Ok(())
        })
    }

    /// Formats a device or partition; a file system that is not mounted is replaced.
    ///
    /// # Errors
    /// [`Refusal::Parameter`] if it is partitioned, mounted, or part of something.
    pub fn format(&mut self, block: u64, new: Format, ids: &mut dyn Ids) -> Result<(), Refusal> {
        self.configure(|storage| {
            if new.fstype.special() {
                return Err(Refusal::choice("fstype", new.fstype.word()));
            }
            match storage.find(block)?.usage() {
                None => return Err(Refusal::all("Cannot format block device with a partition table.")),
                Some(Use::Member(member)) => {
                    let of = storage.words_of(member);
                    return Err(Refusal::all(format!(
                        "Cannot format what is part of a {of}: take it out first."
                    )));
                }
                Some(Use::Filesystem(Filesystem { mount: Some(mount), .. })) => {
                    let at = &mount.point;
                    return Err(Refusal::all(format!(
                        "Cannot format what is mounted at {at}: unmount it first."
                    )));
                }
                Some(Use::Free | Use::Filesystem(_)) => {}
            }
            let filesystem = Filesystem {
                fstype: new.fstype,
                label: new.label.filter(|label| !label.is_empty()),
                uuid: new.uuid.unwrap_or_else(|| ids.uuid()),
                mount: None,
            };
            storage.put(block, Use::Filesystem(filesystem))
        })
    }

    pub(crate) fn put(&mut self, block: u64, usage: Use) -> Result<(), Refusal> {
        *self.use_mut(block).ok_or(Refusal::Missing("BlockDevice"))? = usage;
        Ok(())
    }

    /// Takes a file system off a device or partition.
    ///
    /// # Errors
    /// [`Refusal::State`] if there is none, if it is mounted, or part of something.
    pub fn unformat(&mut self, block: u64) -> Result<(), Refusal> {
        self.configure(|storage| {
            let found = storage.find(block)?;
            let what = match found {
                Block::Device(_) => "block device",
                Block::Partition(..) => "partition",
            };
            match found.usage() {
                None | Some(Use::Free) => {
                    return Err(Refusal::State(match found {
                        Block::Device(_) => "Block device is not formatted.".to_owned(),
                        Block::Partition(..) => "Partition is not formatted.".to_owned(),
                    }));
                }
                Some(Use::Member(member)) => {
                    let of = storage.words_of(member);
                    return Err(Refusal::State(format!(
                        "Filesystem is part of a {of}, and cannot be unformatted. Remove {what} from {of} before unformatting the {what}."
                    )));
                }
                Some(Use::Filesystem(Filesystem { mount: Some(_), .. })) => {
                    return Err(Refusal::State(format!(
                        "Filesystem is mounted and cannot be unformatted. Unmount the filesystem before unformatting the {what}."
                    )));
                }
                Some(Use::Filesystem(_)) => {}
            }
            storage.put(block, Use::Free)
        })
    }

    /// Says where the file system of a device or partition is mounted; swap is mounted nowhere.
    ///
    /// # Errors
    /// [`Refusal::Parameter`] if there is no file system, if it is mounted, or if the place is taken or no path.
    pub fn mount(&mut self, block: u64, point: &str, options: Option<String>) -> Result<(), Refusal> {
        self.configure(|storage| {
            let filesystem = match storage.find(block)?.usage() {
                Some(Use::Filesystem(filesystem)) => filesystem,
                Some(Use::Member(_)) => {
                    let words = "Filesystem is part of a filesystem group, and cannot be mounted.";
                    return Err(Refusal::all(words));
                }
                None | Some(Use::Free) => {
                    return Err(Refusal::all("Cannot mount an unformatted partition or block device."));
                }
            };
            if let Some(mount) = &filesystem.mount {
                return Err(Refusal::all(format!(
                    "It is mounted at {} already: unmount it first.",
                    mount.point
                )));
            }
            let mount = storage.check_mount(filesystem.fstype, point, options)?;
            if let Some(Use::Filesystem(filesystem)) = storage.use_mut(block) {
                filesystem.mount = Some(mount);
            }
            Ok(())
        })
    }

    fn check_mount(&self, fstype: Fs, point: &str, options: Option<String>) -> Result<Mount, Refusal> {
        let options = options.filter(|options| !options.is_empty());
        if options
            .as_ref()
            .is_some_and(|options| options.contains(|c: char| c.is_whitespace() || c.is_control()))
        {
            return Err(Refusal::parameter("mount_options", "Enter a valid value."));
        }
        if fstype == Fs::Swap {
            return Ok(Mount { point: "none".to_owned(), options });
        }
        if point.is_empty() {
            return Err(Refusal::parameter("mount_point", "This field is required."));
        }
        let odd = |c: char| c.is_whitespace() || c.is_control();
        if !point.starts_with('/') || point.contains(odd) || point.split('/').any(|part| part == "..") {
            return Err(Refusal::parameter("mount_point", "Enter a valid value."));
        }
        let point = match point.trim_end_matches('/') {
            "" => "/",
            point => point,
        };
        if self.mounted().any(|(_, mount)| mount.point == point) {
            let words = format!("Another file system is mounted at {point}.");
            return Err(Refusal::parameter("mount_point", words));
        }
        Ok(Mount { point: point.to_owned(), options })
    }

    /// Takes the mount of a device or partition away.
    ///
    /// # Errors
    /// [`Refusal::State`] if it has none.
    pub fn unmount(&mut self, block: u64) -> Result<(), Refusal> {
        self.configure(|storage| {
            match storage.find(block)?.usage() {
                Some(Use::Filesystem(Filesystem { mount: Some(_), .. })) => {}
                Some(Use::Filesystem(_)) => {
                    return Err(Refusal::State("Filesystem is already unmounted.".to_owned()));
                }
                _ => {
                    return Err(Refusal::State(match storage.find(block)? {
                        Block::Device(_) => "Block device is not formatted.".to_owned(),
                        Block::Partition(..) => "Partition is not formatted.".to_owned(),
                    }));
                }
            }
            if let Some(Use::Filesystem(filesystem)) = storage.use_mut(block) {
                filesystem.mount = None;
            }
            Ok(())
        })
    }

    /// Mounts a file system that is on no device.
    ///
    /// # Errors
    /// [`Refusal::Parameter`] if `fstype` needs a device, or if the place is taken or no path.
    pub fn mount_special(
        &mut self,
        fstype: Fs,
        point: &str,
        options: Option<String>,
        ids: &mut dyn Ids,
    ) -> Result<(), Refusal> {
        self.configure(|storage| {
            if !fstype.special() {
                return Err(Refusal::choice("fstype", fstype.word()));
            }
            let mount = Some(storage.check_mount(fstype, point, options)?);
            storage.special.push(Filesystem { fstype, label: None, uuid: ids.uuid(), mount });
            Ok(())
        })
    }

    /// Takes such a mount away.
    ///
    /// # Errors
    /// [`Refusal::Parameter`] if there is none.
    pub fn unmount_special(&mut self, point: &str) -> Result<(), Refusal> {
        self.configure(|storage| {
            let before = storage.special.len();
            storage.special.retain(|one| one.mount.as_ref().is_none_or(|mount| mount.point != point));
            if storage.special.len() == before {
                let words = format!("No special file system is mounted at {point}.");
                return Err(Refusal::parameter("mount_point", words));
            }
            Ok(())
        })
    }

    /// Gives a device or partition a tag.
    ///
    /// # Errors
    /// [`Refusal::Parameter`] if it is none.
    pub fn add_tag(&mut self, block: u64, tag: &str) -> Result<(), Refusal> {
        let good = |c: char| c.is_alphanumeric() || "_-".contains(c);
        if tag.is_empty() || tag.len() > NAME_LIMIT || !tag.chars().all(good) {
            return Err(Refusal::parameter("tag", "Enter a valid value."));
        }
        let tags = self.tags_mut(block)?;
        if !tags.iter().any(|known| known == tag) {
            tags.push(tag.to_owned());
        }
        Ok(())
    }

    /// Takes a tag away, if it is there.
    ///
    /// # Errors
    /// [`Refusal::Missing`]
    pub fn remove_tag(&mut self, block: u64, tag: &str) -> Result<(), Refusal> {
        self.tags_mut(block)?.retain(|known| known != tag);
        Ok(())
    }

    fn tags_mut(&mut self, block: u64) -> Result<&mut Vec<String>, Refusal> {
        let disks = self.disks.iter_mut().map(|disk| (disk.number, &mut disk.tags, &mut disk.content));
        let volumes = self.volumes.iter_mut().map(|one| (one.number, &mut one.tags, &mut one.content));
        for (number, tags, content) in disks.chain(volumes) {
            if number == block {
                return Ok(tags);
            }
            if let Content::Partitioned(table) = content
                && let Some(partition) = table.partitions.iter_mut().find(|one| one.number == block)
            {
                return Ok(&mut partition.tags);
            }
        }
        Err(Refusal::Missing("BlockDevice"))
    }
}
