//! Which kernel modules the ephemeral system carries.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::Context as _;

use super::depmod;

/// Loaded at every start: what the agent needs whatever the hardware, and what emulated machines boot with.
pub(super) const ALWAYS: &[&str] =
    &["virtio_pci", "virtio_blk", "virtio_net", "crc32c_generic", "loop", "ext4"];

/// There to be loaded when a device asks for them, or when a disk is written; dependencies come along.
pub(super) const WANTED: &[&str] = &[
    // virtual machines
    "virtio_scsi",
    "virtio_console",
    "virtio_rng",
    "virtio_mmio",
    "vmxnet3",
    "vmw_pvscsi",
    "hv_netvsc",
    "hv_storvsc",
    "ata_piix",
    "i6300esb",
    "e1000",
    // network cards
    "e1000e",
    "igb",
    "igc",
    "ixgbe",
    "ixgbevf",
    "i40e",
    "iavf",
    "ice",
    "bnxt_en",
    "tg3",
    "mlx4_core",
    "mlx4_en",
    "mlx5_core",
    "r8169",
    "realtek",
    "broadcom",
    "atlantic",
    // disks and their controllers
    "ahci",
    "nvme",
    "sd_mod",
    "sr_mod",
    "megaraid_sas",
    "mpt3sas",
    "hpsa",
    "smartpqi",
    "aacraid",
    "mvsas",
    "usb-storage",
    "uas",
    "xhci_pci",
    "ehci_pci",
    "ohci_pci",
    "uhci_hcd",
    // file systems
    "overlay",
    "squashfs",
    "xfs",
    "vfat",
    "nls_ascii",
    "nls_cp437",
    "nls_iso8859-1",
    "nls_utf8",
    "efivarfs",
    "crc32c_intel",
    // BMCs
    "ipmi_si",
    "ipmi_ssif",
    "ipmi_devintf",
];

/// Modules by name, in the order and with the paths of `modules.dep`.
type Dependencies = BTreeMap<String, (String, Vec<String>)>;

/// Copies the chosen modules of `release` from one root to another, and indexes them there.
pub(super) fn choose(from: &Path, to: &Path, release: &str) -> anyhow::Result<()> {
    depmod(from, release)?;
    let (source, target) = (from.join("lib/modules").join(release), to.join("lib/modules").join(release));
    let known = parse(&fs::read_to_string(source.join("modules.dep"))?);
    let wanted = ALWAYS.iter().chain(WANTED).map(|name| normal(name));
    // A name that this kernel does not know is built in or has gone: nothing to carry.
    let paths = closure(&known, wanted);
    anyhow::ensure!(!paths.is_empty(), "the kernel package has none of the modules that are wanted");
    for path in &paths {
        let place = target.join(path);
        fs::create_dir_all(place.parent().context("a module has no folder")?)?;
        fs::copy(source.join(path), place).with_context(|| format!("cannot copy module {path}"))?;
    }
    for index in ["modules.builtin", "modules.builtin.modinfo", "modules.order"] {
        fs::copy(source.join(index), target.join(index)).with_context(|| format!("no {index}"))?;
    }
    depmod(to, release)?;
    // Only kmod's own tools read these, and there are none in the initramfs.
    for entry in fs::read_dir(&target)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_file() && !["modules.dep", "modules.alias", "modules.softdep"].contains(&name) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Dashes and underscores are the same in module names.
fn normal(name: &str) -> String {
    name.replace('-', "_")
}

fn parse(modules_dep: &str) -> Dependencies {
    let name = |path: &str| {
        let file = path.rsplit('/').next().unwrap_or(path);
        normal(file.split('.').next().unwrap_or(file))
    };
    let entry = |line: &str| {
        let (path, needs) = line.split_once(':')?;
        Some((name(path), (path.to_owned(), needs.split_whitespace().map(name).collect())))
    };
    modules_dep.lines().filter_map(entry).collect()
}

/// Paths of these modules and of all they need.
fn closure(known: &Dependencies, wanted: impl Iterator<Item = String>) -> BTreeSet<String> {
    let mut queue: Vec<String> = wanted.collect();
    let mut paths = BTreeSet::new();
    while let Some(name) = queue.pop() {
        if let Some((path, needs)) = known.get(&name)
            && paths.insert(path.clone())
        {
            queue.extend(needs.iter().cloned());
        }
    }
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn needs_of_needs_come_along_and_unknown_names_are_left_out() {
        let known = parse(
            "kernel/fs/ext4/ext4.ko: kernel/fs/jbd2/jbd2.ko kernel/lib/crc16.ko\n\
             kernel/fs/jbd2/jbd2.ko: kernel/lib/crc-itu-t.ko\nkernel/lib/crc16.ko:\n\
             kernel/lib/crc-itu-t.ko:\nkernel/fs/xfs/xfs.ko:\n",
        );
        let paths = closure(&known, ["ext4", "built_in"].into_iter().map(normal));
        let expected = [
            "kernel/fs/ext4/ext4.ko",
            "kernel/fs/jbd2/jbd2.ko",
            "kernel/lib/crc-itu-t.ko",
            "kernel/lib/crc16.ko",
        ];
        assert_eq!(paths, expected.map(str::to_owned).into());
    }
}
