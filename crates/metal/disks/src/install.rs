//! Whether the installer makes what a storage says.
//!
//! Images are written to the boot disk whole and grown. What results is the layout `flat`, and nothing on other disks.

use crate::types::{Content, Disk, Filesystem, Fs, Mount, Partition, Plan, Storage, Use};

/// Why a machine can't be deployed as it is configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotInstallable {
    /// Nothing is mounted at `/`.
    #[error("Mount the root '/' filesystem to be able to deploy this node.")]
    NoRoot,
    /// The image would make something else.
    #[error(
        "Images are written whole to the boot disk, so this storage configuration cannot be deployed yet: set the storage layout 'flat', without other file systems."
    )]
    NotFlat,
}

impl Storage {
    /// Whether a deployment makes what stands here; where nobody configured anything, the image decides.
    ///
    /// # Errors
    /// [`NotInstallable`]
    pub fn installable(&self) -> Result<(), NotInstallable> {
        if self.plan != Plan::Configured {
            return Ok(());
        }
        if !self.mounted().any(|(_, mount)| mount.point == "/") {
            return Err(NotInstallable::NoRoot);
        }
        let alone = self.groups.is_empty() && self.cache_sets.is_empty() && self.special.is_empty();
        let flat = |disk: &Disk| {
            if self.boots_from(disk.number) { is_flat(disk) } else { disk.content == Content::default() }
        };
        if alone && self.disks.iter().all(flat) { Ok(()) } else { Err(NotInstallable::NotFlat) }
    }
}

/// Whether there is the root file system and, before it, at most what UEFI starts from, on all of the disk.
fn is_flat(disk: &Disk) -> bool {
    let Content::Partitioned(table) = &disk.content else { return false };
    let root = |one: &Partition| holds(one, Fs::Ext4, "/");
    let efi = |one: &Partition| holds(one, Fs::Fat32, "/boot/efi");
    let shape = match table.partitions.as_slice() {
        [only] => root(only),
        [first, second] => efi(first) && root(second),
        _ => false,
    };
    shape && crate::Device::Disk(disk).available() == 0
}

fn holds(partition: &Partition, wanted: Fs, at: &str) -> bool {
    matches!(
        &partition.content,
        Use::Filesystem(Filesystem { fstype, mount: Some(Mount { point, options: None }), .. })
            if *fstype == wanted && point == at
    )
}
