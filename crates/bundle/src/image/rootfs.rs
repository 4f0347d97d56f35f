//! The root file system: packages from the host's mirror, and the few files that make it ours.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::Context as _;

use crate::debian::{self, Contents};

/// What every image has, beside Debian's essential packages and apt.
pub(super) const PACKAGES: &[&str] = &[
    "ca-certificates",
    "cloud-guest-utils",
    "cloud-init",
    "dbus",
    "e2fsprogs",
    "gdisk",
    "initramfs-tools",
    "iproute2",
    "iputils-ping",
    "kmod",
    "less",
    "linux-image-cloud-amd64",
    "netbase",
    "netplan.io",
    "openssh-server",
    "procps",
    "python3-cffi-backend",
    "sudo",
    "systemd",
    "systemd-resolved",
    "systemd-sysv",
    "udev",
    "zstd",
];

/// Files that are there before packages are configured, so that these do their work once and right.
pub(super) const FILES: &[(&str, &str)] = &[
    ("etc/cloud/cloud.cfg.d/50-curtin-networking.cfg", include_str!("files/network.cfg")),
    ("etc/cloud/cloud.cfg.d/95-bessemer.cfg", include_str!("files/cloud.cfg")),
    ("etc/fstab", include_str!("files/fstab")),
    ("etc/initramfs-tools/conf.d/bessemer.conf", include_str!("files/initramfs.conf")),
    ("etc/kernel-img.conf", include_str!("files/kernel-img.conf")),
    ("etc/systemd/journald.conf.d/10-bessemer.conf", include_str!("files/journald.conf")),
    ("etc/systemd/network/50-wired.network", include_str!("files/networkd.network")),
    ("etc/systemd/system.conf.d/10-bessemer.conf", include_str!("files/systemd.conf")),
    (
        "etc/systemd/system/systemd-networkd-wait-online.service.d/10-any.conf",
        include_str!("files/wait-online.conf"),
    ),
];

/// Runs in the new root as the last step.
pub(super) const CUSTOMIZE: &str = include_str!("files/customize.sh");

/// Installs `packages` of a Debian series into `root`, with `scratch` for files on their way.
pub(super) fn make(root: &Path, series: &str, packages: &[String], scratch: &Path) -> anyhow::Result<()> {
    let customize = Some(CUSTOMIZE);
    debian::root(root, &Contents { series, packages, files: FILES, customize }, scratch)?;
    settle(root).context("cannot finish the root file system")
}

/// Undoes what the builder took over from the host.
fn settle(root: &Path) -> anyhow::Result<()> {
    // Empty, not missing: systemd makes a new one at the first start without treating it as a factory reset.
    fs::write(root.join("etc/machine-id"), "")?;
    fs::write(root.join("etc/hostname"), "debian\n")?;
    let resolv = root.join("etc/resolv.conf");
    if fs::symlink_metadata(&resolv).is_ok() {
        fs::remove_file(&resolv)?;
    }
    symlink("../run/systemd/resolve/stub-resolv.conf", resolv)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_step_leaves_the_builders_own_folders_alone() {
        let commands = CUSTOMIZE.lines().filter(|line| !line.starts_with('#'));
        assert!(!commands.into_iter().any(|line| line.contains("/tmp") || line.contains("apt/")));
    }
}
