//! Storages to try things on.
#![allow(dead_code)]

use disks::{Choice, Disk, Ids, Place, Role, Storage};
use uuid::Uuid;

pub const GB: u64 = 1_000_000_000;

/// Numbers and UUIDs one after the other.
pub struct Counter(pub u64);

impl Ids for Counter {
    fn number(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }
    fn uuid(&mut self) -> Uuid {
        self.0 += 1;
        Uuid::from_u128(self.0.into())
    }
}

/// Disks `sda`, `sdb`, … of these sizes, numbered from 1; the first is the boot disk.
pub fn machine(sizes: &[u64]) -> Storage {
    let disk = |(number, size): (u64, &u64)| Disk {
        number,
        name: format!("sd{}", char::from(b'a' + u8::try_from(number - 1).unwrap())),
        id_path: format!("/dev/disk/by-id/{number}"),
        size: *size,
        block_size: 512,
        tags: vec!["ssd".to_owned()],
        boot: number == 1,
        ..Disk::default()
    };
    Storage { disks: (1..).zip(sizes).map(disk).collect(), ..Storage::default() }
}

pub fn devices(role: Role, numbers: &[u64]) -> Choice {
    Choice { field: "block_devices", place: Place::Device, role, numbers: numbers.to_vec() }
}

pub fn partitions(role: Role, numbers: &[u64]) -> Choice {
    Choice { field: "partitions", place: Place::Partition, role, numbers: numbers.to_vec() }
}
