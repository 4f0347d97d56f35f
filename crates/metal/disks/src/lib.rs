//! One machine's storage as it is to be: disks, partitions, file systems, volume groups, arrays, mounts.
//!
//! [`Storage`] is a document without IO; the machine's document has one. What clients ask for are functions on it that
//! change it or refuse in words ([`Refusal`]): after either, nothing overlaps, nothing is larger than what it lies on,
//! and everything is used for one thing at most. Whole layouts are made by [`Layout::apply`], and
//! [`Storage::installable`] says whether the installer makes what stands here. [`steps`] is the way from a storage to
//! what has to be done on a machine, in order.
//!
//! Rules and words are those of MAAS 3.7 (<https://canonical.com/maas/docs/storage>); where this differs from MAAS on
//! purpose, it is said at that place.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)
)]

mod edit;
mod group;
mod install;
mod layout;
mod read;
mod refusal;
mod steps;
mod types;

pub use edit::{DiskFacts, Format, NewPartition};
pub use group::{Choice, Named, Place};
pub use install::NotInstallable;
pub use layout::{Firmware, Layout, Options, Size};
pub use read::{ALIGNMENT, Block, Device, MINIMUM, TABLE_SPACE, aligned};
pub use refusal::Refusal;
pub use steps::{Node, PartitionKind, Step, steps};
pub use types::{
    CacheMode, CacheSet, Content, Disk, Filesystem, Fs, Group, Ids, Kind, Level, Member, Mount, Partition,
    Plan, Role, Storage, Table, Use, Volume, read,
};
