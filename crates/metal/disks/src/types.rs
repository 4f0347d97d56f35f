//! The documents' types.

use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

/// Disks and what is on them.
///
/// Numbers are unique in the region, over everything that has one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Storage {
    /// Who decided what is on the disks.
    pub plan: Plan,
    /// Physical disks.
    pub disks: Vec<Disk>,
    /// Logical volumes, and the devices of arrays and bcaches.
    pub volumes: Vec<Volume>,
    /// Volume groups, arrays, bcaches; what they consist of says so itself ([`Member`]).
    pub groups: Vec<Group>,
    /// Cache sets.
    pub cache_sets: Vec<CacheSet>,
    /// File systems on no device, such as `tmpfs`.
    pub special: Vec<Filesystem>,
}

/// Who decided what is on the disks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Plan {
    /// Nobody: the installed image decides.
    #[default]
    Image,
    /// The next inventory of a commissioning does, by the region's default layout.
    Due,
    /// A layout or a person.
    Configured,
}

/// A physical disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// Number.
    pub number: u64,
    /// Kernel name, such as `vda`.
    pub name: String,
    /// Model.
    pub model: String,
    /// Serial number.
    pub serial: String,
    /// Stable path where there is one.
    pub id_path: String,
    /// Bytes.
    pub size: u64,
    /// Bytes.
    pub block_size: u32,
    /// Such as `ssd`, `rotary`.
    pub tags: Vec<String>,
    /// Firmware version.
    pub firmware: String,
    /// Whether the system is installed here.
    pub boot: bool,
    /// What is on it.
    #[serde(default)]
    pub content: Content,
}

/// A block device that others make up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Number.
    pub number: u64,
    /// UUID.
    pub uuid: Uuid,
    /// Name in its group: of a logical volume its own, else the group's.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// Bytes.
    pub block_size: u32,
    /// Tags.
    pub tags: Vec<String>,
    /// Number of the group that it is of.
    pub of: u64,
    /// What is on it.
    pub content: Content,
}

/// What is on a disk or a volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// A partition table.
    Partitioned(Table),
    /// It is used as a whole.
    Whole(Use),
}

impl Default for Content {
    fn default() -> Self {
        Self::Whole(Use::Free)
    }
}

/// A partition table: always a GPT. MAAS makes an MBR on small boot disks of BIOS machines; a GPT boots there too, with
/// a boot partition that lies before the first partition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Partitions in the order in which they lie; never none.
    pub partitions: Vec<Partition>,
}

/// A partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partition {
    /// Number.
    pub number: u64,
    /// UUID.
    pub uuid: Uuid,
    /// Bytes; a multiple of [`ALIGNMENT`](crate::ALIGNMENT).
    pub size: u64,
    /// Whether firmware may boot from it.
    pub bootable: bool,
    /// Tags.
    pub tags: Vec<String>,
    /// What it is used for.
    pub content: Use,
}

/// What a device or a partition is used for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Use {
    /// Nothing.
    #[default]
    Free,
    /// A file system.
    Filesystem(Filesystem),
    /// A part of something.
    Member(Member),
}

/// A file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filesystem {
    /// Which.
    pub fstype: Fs,
    /// Label.
    pub label: Option<String>,
    /// UUID.
    pub uuid: Uuid,
    /// Where it is mounted.
    pub mount: Option<Mount>,
}

/// Where and how a file system is mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Absolute path; `none` for swap.
    pub point: String,
    /// Options as in `fstab`.
    pub options: Option<String>,
}

/// That something is a part of a group or a cache set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// As what.
    pub role: Role,
    /// Number of the group or cache set.
    pub of: u64,
    /// UUID.
    pub uuid: Uuid,
}

/// As what something is a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// Of a volume group.
    PhysicalVolume,
    /// Of an array.
    Active,
    /// Of an array, until another fails.
    Spare,
    /// What a bcache keeps its data on.
    Backing,
    /// Of a cache set.
    Cache,
}

impl Role {
    /// MAAS's word for it where it shows file systems.
    pub const fn word(self) -> &'static str {
        match self {
            Self::PhysicalVolume => "lvm-pv",
            Self::Active => "raid",
            Self::Spare => "raid-spare",
            Self::Backing => "bcache-backing",
            Self::Cache => "bcache-cache",
        }
    }
}

/// A volume group, an array or a bcache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Number.
    pub number: u64,
    /// UUID.
    pub uuid: Uuid,
    /// Name, such as `vgroot`, `md0`, `bcache0`.
    pub name: String,
    /// Which.
    pub kind: Kind,
}

/// Kinds of groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// LVM.
    VolumeGroup,
    /// Linux software RAID.
    Raid(Level),
    /// A cached device.
    Bcache {
        /// Number of its cache set.
        cache_set: u64,
        /// How writes are cached.
        mode: CacheMode,
    },
}

impl Kind {
    /// MAAS's words for it in refusals.
    pub const fn words(self) -> &'static str {
        match self {
            Self::VolumeGroup => "volume group",
            Self::Raid(_) => "RAID",
            Self::Bcache { .. } => "Bcache",
        }
    }
}

/// What a bcache caches on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheSet {
    /// Number.
    pub number: u64,
    /// UUID.
    pub uuid: Uuid,
    /// Name, such as `cache0`.
    pub name: String,
}

/// Makes an enumeration of MAAS's words.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        pub enum $name { $($(#[$variant_doc])* #[serde(rename = $word)] $variant,)* }

        impl $name {
            /// Every one.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// MAAS's word.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// Of this word.
            pub fn parse(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.word() == word)
            }
        }
    };
}

pub(crate) use words;

words! {
    /// Kinds of file systems.
    Fs {
        /// Btrfs.
        Btrfs = "btrfs",
        /// ext2.
        Ext2 = "ext2",
        /// ext4.
        Ext4 = "ext4",
        /// FAT32.
        Fat32 = "fat32",
        /// FAT.
        Vfat = "vfat",
        /// Swap space.
        Swap = "swap",
        /// XFS.
        Xfs = "xfs",
        /// ZFS as root.
        Zfsroot = "zfsroot",
        /// In memory, without a limit.
        Ramfs = "ramfs",
        /// In memory.
        Tmpfs = "tmpfs",
    }
}

impl Fs {
    /// Whether it is on no device.
    pub const fn special(self) -> bool {
        matches!(self, Self::Ramfs | Self::Tmpfs)
    }
}

words! {
    /// RAID levels.
    Level {
        /// Striped.
        Zero = "raid-0",
        /// Mirrored.
        One = "raid-1",
        /// One parity.
        Five = "raid-5",
        /// Two parities.
        Six = "raid-6",
        /// Striped mirrors.
        Ten = "raid-10",
    }
}

words! {
    /// How writes to a bcache are cached.
    CacheMode {
        /// Written to both before it is done.
        Writethrough = "writethrough",
        /// Done once it is in the cache.
        Writeback = "writeback",
        /// Not.
        Writearound = "writearound",
    }
}

/// Gives numbers and UUIDs to what is new.
pub trait Ids {
    /// A number that nothing in the region has.
    fn number(&mut self) -> u64;
    /// A random UUID.
    fn uuid(&mut self) -> Uuid;
}

/// Reads a storage, or the list of disks that stood there in documents of earlier versions.
///
/// # Errors
/// Those of the deserializer.
pub fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Storage, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Disks(Vec<Disk>),
        Storage(Storage),
    }
    Ok(match Written::deserialize(from)? {
        Written::Disks(disks) => Storage { disks, ..Storage::default() },
        Written::Storage(storage) => storage,
    })
}
