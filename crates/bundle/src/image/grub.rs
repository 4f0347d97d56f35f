//! GRUB without its installer: the installer wants real devices, a file is all we have.
//!
//! On BIOS machines the first sector of the disk (`boot.img`) loads the first sector of `core.img`, which loads
//! the rest of it. Both have to be told where to look: a field of 8 bytes in the one, a list of blocks in the
//! other (GRUB's sources, `include/grub/i386/pc/boot.h` and `include/grub/offsets.h`).

use std::fs;
use std::path::Path;

use anyhow::{Context as _, ensure};
use uuid::Uuid;

use crate::command::{run, tool};

/// The menu, `/boot/grub/grub.cfg`.
pub(super) const CONFIG: &str = include_str!("files/grub.cfg");

/// What GRUB runs before it has found the menu.
pub(super) const CORE_CONFIG: &str = include_str!("files/core.cfg");

const SECTOR: usize = 512;

/// Where the host's packages keep what GRUB is made from.
const BOOT_IMG: &str = "/usr/lib/grub/i386-pc/boot.img";

/// All that the menu needs is built in, so no module is ever loaded from the disk.
const MODULES: &[&str] = &[
    "part_gpt",
    "ext2",
    "normal",
    "linux",
    "search",
    "search_fs_uuid",
    "search_fs_file",
    "configfile",
    "test",
    "echo",
    "serial",
    "terminal",
    "ls",
    "cat",
    "reboot",
    "halt",
    "minicmd",
    "gzio",
    "zstd",
];

/// Code in a disk's first sector, which keeps its partition table.
pub(super) struct BootSector(pub(super) [u8; 440]);

/// GRUB for BIOS, located for a `core.img` that begins at sector `first`.
pub(super) fn bios(root: Uuid, first: u64, scratch: &Path) -> anyhow::Result<(BootSector, Vec<u8>)> {
    let mut modules = MODULES.to_vec();
    modules.push("biosdisk");
    let core = make_image("i386-pc", &modules, root, scratch)?;
    let boot = fs::read(BOOT_IMG).with_context(|| format!("cannot read {BOOT_IMG}; install grub-pc-bin"))?;
    Ok((boot_sector(&boot, first)?, located_core(core, first)?))
}

/// GRUB for UEFI, as one program.
pub(super) fn efi(root: Uuid, scratch: &Path) -> anyhow::Result<Vec<u8>> {
    let mut modules = MODULES.to_vec();
    modules.extend(["fat", "efi_gop", "efi_uga", "all_video"]);
    make_image("x86_64-efi", &modules, root, scratch)
}

/// Writes the menu into the root file system.
pub(super) fn configure(root: &Path, filesystem: Uuid) -> anyhow::Result<()> {
    let folder = root.join("boot/grub");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("grub.cfg"), CONFIG.replace("@ROOT_UUID@", &filesystem.to_string()))?;
    Ok(())
}

fn make_image(format: &str, modules: &[&str], root: Uuid, scratch: &Path) -> anyhow::Result<Vec<u8>> {
    let config = scratch.join("core.cfg");
    fs::write(&config, CORE_CONFIG.replace("@ROOT_UUID@", &root.to_string()))?;
    let image = scratch.join(format);
    run(tool("grub-mkimage")
        .args(["-O", format, "-p", "/boot/grub", "-c"])
        .arg(&config)
        .arg("-o")
        .arg(&image)
        .args(modules))
    .context("cannot make the boot loader; install grub-common, grub-pc-bin and grub-efi-amd64-bin")?;
    Ok(fs::read(image)?)
}

fn boot_sector(boot_img: &[u8], core_first: u64) -> anyhow::Result<BootSector> {
    /// Sector where the core image begins, 8 bytes.
    const CORE_SECTOR: usize = 0x5c;
    /// Two bytes of code; "do nothing" makes GRUB mend the drive number that some firmware gets wrong.
    const DRIVE_CHECK: usize = 0x66;
    ensure!(boot_img.len() == SECTOR, "boot.img is {} bytes long, not one sector", boot_img.len());
    let mut code = [0; 440];
    code.iter_mut().zip(boot_img).for_each(|(to, from)| *to = *from);
    patch(&mut code, CORE_SECTOR, &core_first.to_le_bytes())?;
    patch(&mut code, DRIVE_CHECK, &[0x90, 0x90])?;
    Ok(BootSector(code))
}

/// Tells the core's first sector where the others are: right behind it.
fn located_core(mut core: Vec<u8>, first: u64) -> anyhow::Result<Vec<u8>> {
    /// The first entry of the list: sector (8 bytes), number of sectors (2), segment to load to (2).
    const BLOCKS: usize = SECTOR - 12;
    let sectors = core.len().div_ceil(SECTOR);
    ensure!(sectors > 1, "core.img is only {} bytes long", core.len());
    let rest = u16::try_from(sectors - 1).context("core.img is too long for its list of blocks")?;
    core.resize(sectors * SECTOR, 0);
    patch(&mut core, BLOCKS, &(first + 1).to_le_bytes())?;
    patch(&mut core, BLOCKS + 8, &rest.to_le_bytes())?;
    Ok(core)
}

fn patch(image: &mut [u8], at: usize, bytes: &[u8]) -> anyhow::Result<()> {
    image.get_mut(at..at + bytes.len()).context("the image is too short")?.copy_from_slice(bytes);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boot_sector_points_to_the_core_and_leaves_the_partition_table_alone() {
        let boot = [0xaa; SECTOR];
        let BootSector(code) = boot_sector(&boot, 2048).unwrap();
        assert_eq!(code[0x5c..0x64], 2048_u64.to_le_bytes());
        assert_eq!(code[0x64..0x68], [0xaa, 0xaa, 0x90, 0x90]);
        assert!(boot_sector(&boot[..100], 2048).is_err());
    }

    #[test]
    fn the_core_says_where_the_rest_of_it_is() {
        let core = located_core(vec![0x55; 3 * SECTOR + 1], 2048).unwrap();
        assert_eq!(core.len(), 4 * SECTOR);
        assert_eq!(core[500..508], 2049_u64.to_le_bytes());
        assert_eq!(core[508..510], 3_u16.to_le_bytes());
        assert_eq!(core[510..512], [0x55, 0x55], "the segment is GRUB's own");
        assert!(located_core(vec![0; 10], 2048).is_err());
    }
}
