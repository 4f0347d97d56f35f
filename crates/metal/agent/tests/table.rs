//! Partition tables, checked against another implementation of GPT.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::fs;
use std::path::Path;

use agent_protocol::EraseMode;
use bessemer_agent::disk::{Disk, MIB};
use bessemer_agent::erase;
use bessemer_agent::table::{self, Purpose};
use bessemer_agent::work::{Interrupted, Progress};
use gpt::partition_types;

struct Quiet;

impl Progress for Quiet {
    fn tell(&mut self, _: &str, _: u64, _: u64) -> Result<(), Interrupted> {
        Ok(())
    }
}

/// An image as distributions make them: partitions 1 (root, last on the disk), 14 and 15.
fn write_gpt(path: &Path, len: u64) {
    fs::write(path, vec![0; len as usize]).unwrap();
    let mut file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    gpt::mbr::ProtectiveMBR::with_lb_size((len / 512 - 1) as u32).overwrite_lba0(&mut file).unwrap();
    let mut disk = gpt::GptConfig::new().writable(true).create_from_device(file, None).unwrap();
    disk.add_partition("bios", MIB, partition_types::BIOS, 0, None).unwrap();
    disk.add_partition("efi", 2 * MIB, partition_types::EFI, 0, None).unwrap();
    disk.add_partition("root", 8 * MIB, partition_types::LINUX_ROOT_X64, 0, None).unwrap();
    disk.write().unwrap();
    // The library numbers from 1 without gaps; distributions leave gaps: swap the entries into place.
    let mut bytes = fs::read(path).unwrap();
    for table in [1024, len as usize - 33 * 512] {
        let entry = |n: usize| table + n * 128..table + (n + 1) * 128;
        let (bios, efi, root) =
            (bytes[entry(0)].to_vec(), bytes[entry(1)].to_vec(), bytes[entry(2)].to_vec());
        bytes[table..table + 128 * 128].fill(0);
        bytes[entry(0)].copy_from_slice(&root);
        bytes[entry(13)].copy_from_slice(&bios);
        bytes[entry(14)].copy_from_slice(&efi);
    }
    for (header, table) in [(512, 1024), (len as usize - 512, len as usize - 33 * 512)] {
        let sum = crc32(&bytes[table..table + 128 * 128]);
        bytes[header + 88..header + 92].copy_from_slice(&sum.to_le_bytes());
        bytes[header + 16..header + 20].fill(0);
        let sum = crc32(&bytes[header..header + 92]);
        bytes[header + 16..header + 20].copy_from_slice(&sum.to_le_bytes());
    }
    fs::write(path, bytes).unwrap();
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut sum = flate2::Crc::new();
    sum.update(bytes);
    sum.sum()
}

fn extend(path: &Path, len: u64, fill: u8) {
    let mut bytes = fs::read(path).unwrap();
    bytes.resize(len as usize, fill);
    fs::write(path, bytes).unwrap();
}

#[test]
fn an_image_on_a_larger_disk_gets_all_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vda");
    write_gpt(&path, 16 * MIB);
    extend(&path, 40 * MIB, 0xa5);
    let disk = Disk::open(&path).unwrap();
    let before = table::read(&disk).unwrap();
    assert_eq!(before.iter().map(|p| p.number).collect::<Vec<_>>(), [1, 14, 15]);

    assert_eq!(table::fit(&disk, 16 * MIB).unwrap().grown, Some(1));

    let after = table::read(&disk).unwrap();
    let root = table::root(&after).unwrap();
    assert_eq!((root.number, root.purpose), (1, Purpose::Root));
    assert_eq!(root.start + root.len, 39 * MIB);
    assert_eq!(after[1..], before[1..]);
    // The other implementation finds both headers and the same partitions.
    let peer = gpt::GptConfig::new().only_valid_headers(true).open(&path).unwrap();
    assert_eq!(peer.primary_header().unwrap().backup_lba, 40 * 2048 - 1);
    assert_eq!(peer.backup_header().unwrap().current_lba, 40 * 2048 - 1);
    assert_eq!(peer.partitions()[&1].last_lba, 39 * 2048 - 1);
    assert_eq!(peer.partitions()[&14].part_type_guid, partition_types::BIOS);
    // The protective record covers the disk, and the image's own backup header is gone.
    let bytes = fs::read(&path).unwrap();
    assert_eq!(bytes[446 + 12..446 + 16], (40 * 2048 - 1_u32).to_le_bytes());
    assert!(bytes[16 * MIB as usize - 512..16 * MIB as usize].iter().all(|b| *b == 0));
    // Once more changes nothing.
    assert_eq!(table::fit(&disk, 16 * MIB).unwrap().grown, None);
    assert!(fs::read(&path).unwrap() == bytes);
}

#[test]
fn an_image_as_large_as_the_disk_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vda");
    write_gpt(&path, 16 * MIB);
    let disk = Disk::open(&path).unwrap();
    table::fit(&disk, 16 * MIB).unwrap();
    let root = table::root(&table::read(&disk).unwrap()).unwrap();
    assert_eq!(root.start + root.len, 15 * MIB);
    gpt::GptConfig::new().only_valid_headers(true).open(&path).unwrap();
}

#[test]
fn an_image_without_gpt_ends_the_one_of_the_disks_earlier_life() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vda");
    write_gpt(&path, 16 * MIB);
    let mut bytes = fs::read(&path).unwrap();
    bytes[..2 * MIB as usize].fill(0);
    fs::write(&path, bytes).unwrap();
    let disk = Disk::open(&path).unwrap();
    assert_eq!(table::read(&disk).unwrap().len(), 3, "the backup is still there");
    table::fit(&disk, 2 * MIB).unwrap();
    assert!(table::read(&disk).unwrap().is_empty());
}

#[test]
fn mbr_partitions_are_found_logical_ones_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sda");
    let mut bytes = vec![0; 16 * MIB as usize];
    let mut record = |sector: usize, slot: usize, kind: u8, first: u32, len: u32| {
        let at = sector * 512 + 446 + slot * 16;
        bytes[at + 4] = kind;
        bytes[at + 8..at + 12].copy_from_slice(&first.to_le_bytes());
        bytes[at + 12..at + 16].copy_from_slice(&len.to_le_bytes());
        bytes[sector * 512 + 510..sector * 512 + 512].copy_from_slice(&[0x55, 0xaa]);
    };
    record(0, 0, 0x83, 2048, 4096);
    record(0, 1, 0x05, 8192, 16384);
    record(8192, 0, 0x83, 2048, 2048);
    record(8192, 1, 0x05, 6144, 8192);
    record(8192 + 6144, 0, 0x82, 2048, 1024);
    fs::write(&path, &bytes).unwrap();
    let found = table::read(&Disk::open(&path).unwrap()).unwrap();
    let starts: Vec<(u32, u64)> = found.iter().map(|p| (p.number, p.start / 512)).collect();
    assert_eq!(starts, [(1, 2048), (2, 8192), (5, 10240), (6, 16384)]);
    assert_eq!(table::root(&found).unwrap().number, 1);
}

#[test]
fn a_quick_erase_zeroes_the_ends_of_everything_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vda");
    write_gpt(&path, 64 * MIB);
    let mut bytes = fs::read(&path).unwrap();
    let used = table::read(&Disk::open(&path).unwrap()).unwrap();
    for partition in &used {
        bytes[partition.start as usize..(partition.start + partition.len) as usize].fill(0xa5);
    }
    fs::write(&path, &bytes).unwrap();
    let disk = Disk::open(&path).unwrap();
    let said = erase::erase(&disk, EraseMode::Quick, &mut Quiet).unwrap();
    assert!(said.contains("zeros in bytes 0-"), "{said}");
    let after = fs::read(&path).unwrap();
    let zero = |from: u64, to: u64| after[from as usize..to as usize].iter().all(|b| *b == 0);
    assert!(zero(0, MIB) && zero(63 * MIB, 64 * MIB));
    for p in &used {
        assert!(zero(p.start, p.start + MIB) && zero(p.start + p.len - MIB, p.start + p.len));
    }
    let root = table::root(&used).unwrap();
    assert!(
        after[(root.start + MIB) as usize..(root.start + root.len - MIB) as usize].iter().all(|b| *b == 0xa5)
    );
}

#[test]
fn a_full_erase_zeroes_everything() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vda");
    fs::write(&path, vec![0xa5; 3 * MIB as usize + 17]).unwrap();
    let disk = Disk::open(&path).unwrap();
    erase::erase(&disk, EraseMode::Secure, &mut Quiet).unwrap();
    let after = fs::read(&path).unwrap();
    assert!(after.len() == 3 * MIB as usize + 17 && after.iter().all(|b| *b == 0));
}
