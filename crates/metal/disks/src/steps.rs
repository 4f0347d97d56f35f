//! What has to be done on a machine so that its disks are as a storage says, in order.
//!
//! Nothing executes these yet: images are written whole. They are what an installer of archive images will do, with
//! the programs that are named at each step.

use std::fmt;

use uuid::Uuid;

use crate::{
    layout::Firmware,
    read::{ALIGNMENT, Block, Device},
    types::{CacheMode, Content, Filesystem, Fs, Group, Kind, Level, Mount, Role, Storage, Table, Use},
};

/// Number of the partition that GRUB keeps its core on where BIOS starts from a GPT: behind all others, though it lies
/// before them, so that these count from one.
const BIOS_BOOT: usize = 128;

/// Something that is worked on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A disk by its kernel name.
    Disk(String),
    /// A logical volume.
    Logical {
        /// Name of its volume group.
        group: String,
        /// Its own.
        name: String,
    },
    /// An array's or a bcache's device.
    Virtual(String),
    /// A partition.
    Partition {
        /// Of this.
        on: Box<Node>,
        /// Its number in the table.
        number: usize,
    },
}

/// One step. Each may be taken again after a crash if all before it are taken again too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Forget what was there: signatures at beginning and end (`wipefs`).
    Wipe(Node),
    /// Write an empty GPT (`sfdisk`).
    Table(Node),
    /// Make a partition (`sfdisk`).
    Partition {
        /// On this.
        on: Node,
        /// With this number.
        number: usize,
        /// Bytes before it.
        start: u64,
        /// Bytes.
        size: u64,
        /// What the table says that it is.
        kind: PartitionKind,
        /// UUID; absent: any.
        uuid: Option<Uuid>,
    },
    /// Make it part of LVM (`pvcreate`).
    PhysicalVolume(Node),
    /// Make a volume group (`vgcreate`).
    VolumeGroup {
        /// Name.
        name: String,
        /// Of these.
        of: Vec<Node>,
    },
    /// Make a logical volume (`lvcreate`).
    LogicalVolume {
        /// In this group.
        group: String,
        /// Name.
        name: String,
        /// Bytes.
        size: u64,
    },
    /// Make an array (`mdadm --create`).
    Array {
        /// Name.
        name: String,
        /// Level.
        level: Level,
        /// UUID.
        uuid: Uuid,
        /// Of these.
        of: Vec<Node>,
        /// And these, until one fails.
        spares: Vec<Node>,
    },
    /// Make it a cache (`make-bcache -C`).
    CacheSet {
        /// This.
        on: Node,
        /// UUID.
        uuid: Uuid,
    },
    /// Make a cached device (`make-bcache -B`, then attach it to the cache set).
    Bcache {
        /// Name.
        name: String,
        /// Data is on this.
        backing: Node,
        /// UUID of the cache set.
        cache_set: Uuid,
        /// How writes are cached.
        mode: CacheMode,
    },
    /// Make a file system (`mkfs`, `mkswap`).
    Format {
        /// On this.
        on: Node,
        /// Which.
        fstype: Fs,
        /// Label.
        label: Option<String>,
        /// UUID.
        uuid: Uuid,
    },
    /// Mount it below the target, and write it into `fstab`.
    Mount {
        /// This; absent: a file system on no device.
        on: Option<Node>,
        /// Which.
        fstype: Fs,
        /// Where and how.
        mount: Mount,
    },
}

/// What a partition table says of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartitionKind {
    /// Room for GRUB.
    BiosBoot,
    /// What UEFI starts from.
    Efi,
    /// Anything that Linux uses.
    Linux,
}

/// The way to a storage. Disks that nothing is on are left alone.
pub fn steps(storage: &Storage, firmware: Firmware) -> Vec<Step> {
    let mut way = Way { storage, firmware, steps: Vec::new(), ready: Vec::new(), made: Vec::new() };
    storage.disks.iter().for_each(|disk| way.device(Device::Disk(disk)));
    while let Some(next) = way.next() {
        next.make(&mut way);
    }
    way.formats();
    way.mounts();
    way.steps
}

struct Way<'s> {
    storage: &'s Storage,
    firmware: Firmware,
    steps: Vec<Step>,
    /// Numbers of the devices and partitions that are there.
    ready: Vec<u64>,
    /// Numbers of the groups and cache sets that are there.
    made: Vec<u64>,
}

/// What can be made next.
enum Next<'s> {
    Group(&'s Group),
    CacheSet(u64, Uuid),
}

impl<'s> Way<'s> {
    /// A device is there: what is on it.
    fn device(&mut self, device: Device<'s>) {
        self.ready.push(device.number());
        if device.content() == &Content::default() {
            return;
        }
        let node = self.node(Block::Device(device));
        if let Device::Disk(_) = device {
            self.steps.push(Step::Wipe(node.clone()));
        }
        if let Content::Partitioned(table) = device.content() {
            self.table(device, &node, table);
        }
    }

    fn table(&mut self, device: Device<'s>, node: &Node, table: &'s Table) {
        self.steps.push(Step::Table(node.clone()));
        if self.firmware == Firmware::Bios && self.storage.boots_from(device.number()) {
            self.steps.push(Step::Partition {
                on: node.clone(),
                number: BIOS_BOOT,
                start: 1 << 20,
                size: 1 << 20,
                kind: PartitionKind::BiosBoot,
                uuid: None,
            });
        }
        let mut start = ALIGNMENT;
        for (partition, number) in table.partitions.iter().zip(1..) {
            let efi = matches!(&partition.content, Use::Filesystem(one) if is_efi(one));
            self.steps.push(Step::Partition {
                on: node.clone(),
                number,
                start,
                size: partition.size,
                kind: if efi { PartitionKind::Efi } else { PartitionKind::Linux },
                uuid: Some(partition.uuid),
            });
            start = start.saturating_add(partition.size);
            self.ready.push(partition.number);
        }
    }

    fn next(&self) -> Option<Next<'s>> {
        let parts = |number: u64| {
            let there = self.storage.members(number).all(|(block, _)| self.ready.contains(&block.number()));
            there && !self.made.contains(&number)
        };
        let set = self.storage.cache_sets.iter().find(|set| parts(set.number));
        let cached = |group: &&Group| match group.kind {
            Kind::Bcache { cache_set, .. } => self.made.contains(&cache_set),
            _ => true,
        };
        let group = || self.storage.groups.iter().filter(cached).find(|group| parts(group.number));
        set.map(|set| Next::CacheSet(set.number, set.uuid)).or_else(|| group().map(Next::Group))
    }

    fn nodes(&self, of: u64, wanted: Role) -> Vec<Node> {
        let members = self.storage.members(of).filter(|(_, role)| *role == wanted);
        members.map(|(block, _)| self.node(block)).collect()
    }

    fn group(&mut self, group: &'s Group) {
        match group.kind {
            Kind::VolumeGroup => {
                let of = self.nodes(group.number, Role::PhysicalVolume);
                self.steps.extend(of.iter().cloned().map(Step::PhysicalVolume));
                self.steps.push(Step::VolumeGroup { name: group.name.clone(), of });
                for volume in self.storage.volumes_of(group.number) {
                    self.steps.push(Step::LogicalVolume {
                        group: group.name.clone(),
                        name: volume.name.clone(),
                        size: volume.size,
                    });
                }
            }
            Kind::Raid(level) => self.steps.push(Step::Array {
                name: group.name.clone(),
                level,
                uuid: group.uuid,
                of: self.nodes(group.number, Role::Active),
                spares: self.nodes(group.number, Role::Spare),
            }),
            Kind::Bcache { cache_set, mode } => {
                let set = self.storage.cache_set(cache_set).map(|set| set.uuid).unwrap_or_default();
                let backing = self.nodes(group.number, Role::Backing);
                let name = &group.name;
                self.steps.extend(backing.into_iter().map(|backing| Step::Bcache {
                    name: name.clone(),
                    backing,
                    cache_set: set,
                    mode,
                }));
            }
        }
        self.made.push(group.number);
        for volume in self.storage.volumes_of(group.number) {
            self.device(Device::Volume(volume));
        }
    }

    fn formats(&mut self) {
        for block in self.storage.blocks() {
            let Some(filesystem) = block.filesystem() else { continue };
            self.steps.push(Step::Format {
                on: self.node(block),
                fstype: filesystem.fstype,
                label: filesystem.label.clone(),
                uuid: filesystem.uuid,
            });
        }
    }

    /// What is mounted inside of something else comes after it; swap comes last.
    fn mounts(&mut self) {
        let on =
            self.storage.blocks().filter_map(|block| Some((Some(self.node(block)), block.filesystem()?)));
        let special = self.storage.special.iter().map(|filesystem| (None, filesystem));
        let mut all: Vec<(Option<Node>, Fs, &Mount)> = on
            .chain(special)
            .filter_map(|(on, filesystem)| Some((on, filesystem.fstype, filesystem.mount.as_ref()?)))
            .collect();
        all.sort_by_key(|(_, fstype, mount)| (*fstype == Fs::Swap, mount.point.as_str()));
        self.steps.extend(all.into_iter().map(|(on, fstype, mount)| Step::Mount {
            on,
            fstype,
            mount: mount.clone(),
        }));
    }

    fn node(&self, block: Block<'_>) -> Node {
        match block {
            Block::Device(Device::Disk(disk)) => Node::Disk(disk.name.clone()),
            Block::Device(Device::Volume(volume)) => match self.storage.group(volume.of) {
                Some(group) if group.kind == Kind::VolumeGroup => {
                    Node::Logical { group: group.name.clone(), name: volume.name.clone() }
                }
                _ => Node::Virtual(volume.name.clone()),
            },
            Block::Partition(device, partition) => {
                let at = device.partitions().iter().position(|one| one.number == partition.number);
                let on = Box::new(self.node(Block::Device(device)));
                Node::Partition { on, number: at.unwrap_or(0) + 1 }
            }
        }
    }
}

impl<'s> Next<'s> {
    fn make(self, way: &mut Way<'s>) {
        match self {
            Self::Group(group) => way.group(group),
            Self::CacheSet(number, uuid) => {
                let on = way.nodes(number, Role::Cache);
                way.steps.extend(on.into_iter().map(|on| Step::CacheSet { on, uuid }));
                way.made.push(number);
            }
        }
    }
}

fn is_efi(filesystem: &Filesystem) -> bool {
    let fat = matches!(filesystem.fstype, Fs::Fat32 | Fs::Vfat);
    fat && filesystem.mount.as_ref().is_some_and(|mount| mount.point == "/boot/efi")
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disk(name) | Self::Virtual(name) => f.write_str(name),
            Self::Logical { group, name } => write!(f, "{group}/{name}"),
            Self::Partition { on, number } => write!(f, "{on}-part{number}"),
        }
    }
}

/// A line for people.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |nodes: &[Node]| nodes.iter().map(Node::to_string).collect::<Vec<_>>().join(" ");
        match self {
            Self::Wipe(node) => write!(f, "wipe {node}"),
            Self::Table(node) => write!(f, "gpt {node}"),
            Self::Partition { on, number, start, size, kind, .. } => {
                write!(f, "partition {on} {number} {kind:?} from {start} size {size}")
            }
            Self::PhysicalVolume(node) => write!(f, "pv {node}"),
            Self::VolumeGroup { name, of } => write!(f, "vg {name} of {}", list(of)),
            Self::LogicalVolume { group, name, size } => write!(f, "lv {group}/{name} size {size}"),
            Self::Array { name, level, of, spares, .. } => {
                write!(f, "array {name} {} of {}", level.word(), list(of))?;
                if spares.is_empty() { Ok(()) } else { write!(f, " spares {}", list(spares)) }
            }
            Self::CacheSet { on, .. } => write!(f, "cache {on}"),
            Self::Bcache { name, backing, mode, .. } => {
                write!(f, "bcache {name} of {backing} {}", mode.word())
            }
            Self::Format { on, fstype, label, .. } => {
                write!(f, "format {on} {}", fstype.word())?;
                label.as_ref().map_or(Ok(()), |label| write!(f, " label {label}"))
            }
            Self::Mount { on, fstype, mount } => {
                match on {
                    Some(on) => write!(f, "mount {on} at {}", mount.point)?,
                    None => write!(f, "mount {} at {}", fstype.word(), mount.point)?,
                }
                mount.options.as_ref().map_or(Ok(()), |options| write!(f, " with {options}"))
            }
        }
    }
}
