//! The disk: a GPT that BIOS and UEFI machines boot from, written into a file.
//!
//! | partition | for | begins at | size |
//! |---|---|---|---|
//! | 1 | GRUB for BIOS | 1 MiB | 1 MiB |
//! | 2 | EFI system partition | 2 MiB | 64 MiB |
//! | 3 | root, ext4, last so that it can grow | 66 MiB | what it holds and some free space |
//!
//! No device, mount or loop is needed.

use std::fs::{self, File};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::{Context as _, ensure};
use gpt::disk::LogicalBlockSize;
use gpt::mbr::ProtectiveMBR;
use gpt::partition::Partition;
use gpt::partition_types;
use uuid::Uuid;

use super::grub;
use crate::command::{SOURCE_DATE_EPOCH, run, tool};

const SECTOR: u64 = 512;
const MIB: u64 = 1 << 20;
const BIOS_AT: u64 = MIB;
const ESP_AT: u64 = 2 * MIB;
const ROOT_AT: u64 = 66 * MIB;
/// The second partition table lies in the last MiB.
const TAIL: u64 = MIB;
const JOURNAL_MIB: u64 = 32;

/// ext4 as every GRUB since 2.06 reads it, named one by one: defaults differ between versions of mke2fs.
const FEATURES: &str = "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,\
                        sparse_super,large_file,huge_file,dir_nlink,extra_isize,metadata_csum";

/// Identifiers on the disk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ids {
    pub(super) disk: Uuid,
    pub(super) bios: Uuid,
    pub(super) esp: Uuid,
    /// Of the root partition.
    pub(super) root: Uuid,
    /// Of the root file system.
    pub(super) filesystem: Uuid,
}

/// Writes the whole disk with the contents of `root`, and `free` bytes to spare, to `raw`; returns its size.
pub(super) fn write(raw: &Path, root: &Path, free: u64, ids: &Ids, scratch: &Path) -> anyhow::Result<u64> {
    let root_size = filesystem_size(root, free)?;
    let size = ROOT_AT + root_size + TAIL;
    let (boot_sector, core) = grub::bios(ids.filesystem, BIOS_AT / SECTOR, scratch)?;
    ensure!(core.len() as u64 <= ESP_AT - BIOS_AT, "GRUB's core.img does not fit into its partition");
    let mut file = File::options().read(true).write(true).create_new(true).open(raw)?;
    file.set_len(size)?;
    partition(&mut file, size, &boot_sector, ids)?;
    file.seek(SeekFrom::Start(BIOS_AT))?;
    file.write_all(&core)?;
    drop(file);
    write_esp(raw, ids.filesystem, ids.esp, scratch)?;
    write_root(raw, root, root_size, ids.filesystem)?;
    Ok(size)
}

fn partition(file: &mut File, size: u64, code: &grub::BootSector, ids: &Ids) -> anyhow::Result<()> {
    let sectors = u32::try_from(size / SECTOR - 1).unwrap_or(u32::MAX);
    let mut mbr = ProtectiveMBR::with_lb_size(sectors);
    mbr.set_bootcode(code.0);
    mbr.overwrite_lba0(file).context("cannot write the boot sector")?;
    let entry = |part_type_guid, part_guid, from: u64, to: u64, name: &str| Partition {
        part_type_guid,
        part_guid,
        first_lba: from / SECTOR,
        last_lba: to / SECTOR - 1,
        flags: 0,
        name: name.to_owned(),
    };
    let partitions = [
        (1, entry(partition_types::BIOS, ids.bios, BIOS_AT, ESP_AT, "bios")),
        (2, entry(partition_types::EFI, ids.esp, ESP_AT, ROOT_AT, "esp")),
        (3, entry(partition_types::LINUX_ROOT_X64, ids.root, ROOT_AT, size - TAIL, "root")),
    ];
    let mut table = gpt::GptConfig::new()
        .writable(true)
        .logical_block_size(LogicalBlockSize::Lb512)
        .create_from_device(&mut *file, Some(ids.disk))?;
    table.update_partitions(partitions.into())?;
    table.write().context("cannot write the partition table")?;
    Ok(())
}

/// The EFI system partition: one FAT file system with GRUB where firmware looks first.
fn write_esp(raw: &Path, filesystem: Uuid, id: Uuid, scratch: &Path) -> anyhow::Result<()> {
    let program = scratch.join("BOOTX64.EFI");
    fs::write(&program, grub::efi(filesystem, scratch)?)?;
    let esp = scratch.join("esp.img");
    File::create(&esp)?.set_len(ROOT_AT - ESP_AT)?;
    let serial: String = id.simple().to_string().chars().take(8).collect();
    run(tool("mkfs.vfat")
        .args(["-F", "32", "-s", "1", "-n", "ESP", "--invariant", "-i", &serial])
        .arg(&esp))?;
    run(tool("mmd").arg("-i").arg(&esp).args(["::/EFI", "::/EFI/BOOT"]))?;
    run(tool("mcopy").arg("-i").arg(&esp).arg(&program).arg("::/EFI/BOOT/BOOTX64.EFI"))?;
    let mut file = File::options().write(true).open(raw)?;
    file.seek(SeekFrom::Start(ESP_AT))?;
    std::io::copy(&mut File::open(&esp)?, &mut file)?;
    Ok(())
}

fn write_root(raw: &Path, root: &Path, size: u64, id: Uuid) -> anyhow::Result<()> {
    let extended =
        format!("offset={ROOT_AT},hash_seed={id},root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0");
    let journal = format!("size={JOURNAL_MIB}");
    run(tool("mke2fs")
        .args(["-q", "-F", "-t", "ext4", "-b", "4096", "-I", "256", "-m", "1", "-L", "root", "-O", FEATURES])
        .args(["-J", &journal, "-U", &id.to_string(), "-E", &extended, "-d"])
        .arg(root)
        .arg(raw)
        .arg(format!("{}k", size / 1024))
        .env("E2FSPROGS_FAKE_TIME", SOURCE_DATE_EPOCH.to_string()))
    .map(drop)
}

/// Bytes for a file system that holds `root` and has `free` left, in whole MiB.
fn filesystem_size(root: &Path, free: u64) -> anyhow::Result<u64> {
    let content = content_size(root).with_context(|| format!("cannot measure {}", root.display()))?;
    // Inode tables (256 bytes for each 16 KiB), bitmaps, the reserve for root and room for growth descriptors.
    let overhead = (content + free) / 24 + 12 * MIB + JOURNAL_MIB * MIB;
    Ok((content + free + overhead).next_multiple_of(MIB))
}

fn content_size(folder: &Path) -> anyhow::Result<u64> {
    let mut total = 4096;
    for found in fs::read_dir(folder)? {
        let found = found?;
        let meta = found.path().symlink_metadata()?;
        total += match (meta.is_dir(), meta.is_file()) {
            (true, _) => content_size(&found.path())?,
            // A file with several names is counted once for each: a little room more.
            (_, true) => meta.size().next_multiple_of(4096),
            _ => 0,
        };
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk with a tiny root, read back by other programs than those that wrote it.
    #[test]
    fn the_disk_has_its_partitions_boot_code_and_file_systems() {
        for program in ["mke2fs", "mkfs.vfat", "mcopy", "grub-mkimage", "sfdisk", "dumpe2fs"] {
            if let Err(missing) = run(tool("which").arg(program)) {
                println!("skipped: {missing:#}");
                return;
            }
        }
        let work = tempfile::tempdir().unwrap();
        let (raw, root) = (work.path().join("disk.img"), work.path().join("root"));
        fs::create_dir_all(root.join("etc")).unwrap();
        fs::write(root.join("etc/hostname"), "debian\n").unwrap();
        let id = |number: u128| Uuid::from_u128(0x1234_5678_9abc_4def_8000_0000_0000_0000 + number);
        let ids = Ids { disk: id(1), bios: id(2), esp: id(3), root: id(4), filesystem: id(5) };
        let wanted = 20 * MIB;
        let size = write(&raw, &root, wanted, &ids, work.path()).unwrap();
        assert_eq!(fs::metadata(&raw).unwrap().len(), size);

        let table: serde_json::Value =
            serde_json::from_str(&run(tool("sfdisk").arg("--json").arg(&raw)).unwrap()).unwrap();
        let table = &table["partitiontable"];
        assert_eq!(table["id"], id(1).to_string().to_uppercase());
        assert_eq!(table["lastlba"], size / SECTOR - 34, "the second table is at the very end");
        let found: Vec<(u64, u64, &str)> = table["partitions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|partition| {
                let number = |field: &str| partition[field].as_u64().unwrap();
                (number("start"), number("size"), partition["type"].as_str().unwrap())
            })
            .collect();
        let root_sectors = (size - ROOT_AT - TAIL) / SECTOR;
        assert_eq!(
            found,
            [
                (BIOS_AT / SECTOR, 2048, "21686148-6449-6E6F-744E-656564454649"),
                (ESP_AT / SECTOR, 64 * 2048, "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"),
                (ROOT_AT / SECTOR, root_sectors, "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709"),
            ]
        );

        let bytes = fs::read(&raw).unwrap();
        assert_eq!(bytes[0x5c..0x64], 2048_u64.to_le_bytes());
        assert_eq!(bytes[510..512], [0x55, 0xaa]);
        assert_eq!(bytes[0x1c2], 0xee, "the protective entry of the MBR");
        let esp = format!("{}@@{ESP_AT}", raw.display());
        assert!(run(tool("mdir").args(["-b", "-i", &esp, "::/EFI/BOOT"])).unwrap().contains("BOOTX64.EFI"));

        // dumpe2fs reads at an offset only from a file that begins there.
        let part = work.path().join("root.img");
        fs::write(&part, &bytes[ROOT_AT as usize..(size - TAIL) as usize]).unwrap();
        let dump = run(tool("dumpe2fs").arg("-h").arg(&part)).unwrap();
        let field = |name: &str| {
            dump.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim().to_owned()
        };
        assert_eq!(field("Filesystem UUID:"), id(5).to_string());
        let free = field("Free blocks:").parse::<u64>().unwrap() * 4096;
        assert!((wanted..wanted + 20 * MIB).contains(&free), "{} MiB free", free / MIB);
        run(tool("e2fsck").args(["-fn"]).arg(&part)).unwrap();
    }
}
