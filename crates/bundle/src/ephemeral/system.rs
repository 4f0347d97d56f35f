//! The larger ephemeral system: a squashfs image with what scripts need and people who look after a machine.
//!
//! It has no kernel and no init: the agent mounts it and runs programs in it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::command::{run, tool};
use crate::debian::{self, Contents};
use crate::{BuildError, Cache, Key, Progress};

/// Raise it when this module's code changes what comes out.
const RECIPE: u32 = 1;
/// The file in its folder.
pub(super) const FILE: &str = "system.squashfs";
const SERIES: &str = "bookworm";

/// Beside Debian's essential packages and apt.
const PACKAGES: &[&str] = &[
    "ca-certificates",
    "curl",
    "dmidecode",
    "dosfstools",
    "e2fsprogs",
    "ethtool",
    "fdisk",
    "gdisk",
    "hdparm",
    "ipmitool",
    "iproute2",
    "iputils-ping",
    "kmod",
    "less",
    "lshw",
    "lvm2",
    "mdadm",
    "memtester",
    "nano",
    "nvme-cli",
    "openssh-server",
    "parted",
    "pciutils",
    "procps",
    "python3-minimal",
    "python3-yaml",
    "rsync",
    "sg3-utils",
    "smartmontools",
    "stress-ng",
    "tmux",
    "usbutils",
    "wget",
    "xfsprogs",
    "zstd",
];

/// Every machine makes host keys of its own, and nothing of apt's lists is needed.
const CUSTOMIZE: &str = "rm -f /etc/ssh/ssh_host_* /etc/machine-id; rm -rf /var/cache/debconf/*-old";

/// The folder with the image, from the cache or built. Needs root, as files of many owners are made.
pub(super) fn build(cache: &Cache, progress: Progress<'_>) -> Result<PathBuf, BuildError> {
    let packages: Vec<String> = PACKAGES.iter().map(|&name| name.to_owned()).collect();
    let built = cache.entry(&key(), |folder| {
        progress("building the larger ephemeral system");
        let work = tempfile::tempdir_in(folder)?;
        let root = work.path().join("root");
        let contents =
            Contents { series: SERIES, packages: &packages, files: &[], customize: Some(CUSTOMIZE) };
        debian::root(&root, &contents, &work.path().join("overlay"))?;
        pack(&root, &folder.join(FILE))
    })?;
    Ok(built)
}

fn key() -> Key {
    Key::new("system", RECIPE)
        .with("series", SERIES)
        .with("packages", PACKAGES.join(" "))
        .with("customize", CUSTOMIZE)
}

fn pack(root: &Path, image: &Path) -> anyhow::Result<()> {
    // gzip: every kernel that reads squashfs reads it.
    run(tool("mksquashfs").arg(root).arg(image).args([
        "-noappend",
        "-quiet",
        "-no-progress",
        "-comp",
        "gzip",
        "-b",
        "256K",
    ]))?;
    Ok(fs::metadata(image).map(drop)?)
}
