//! What MAAS 3.7.3 answered to calls about storage, asked again here of machines with the same disks: the values too.
//!
//! `recorded/storage.json` has the calls; of machines, what concerns storage. Lists were cut to their first elements.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::{Region, region};
use disks::Disk;
use lifecycle::Status;
use serde::Deserialize;
use serde_json::Value;

const GB: u64 = 1_000_000_000;

/// Keys that MAAS numbers or draws otherwise.
const OTHER: [&str; 4] = ["id", "device_id", "uuid", "resource_uri"];
/// MAAS leaves it out in lists and of what is part of something.
const MORE: &str = "firmware_version";

#[derive(Debug, Deserialize)]
struct Call {
    name: String,
    r#as: String,
    method: String,
    url: String,
    body: Option<String>,
    status: u16,
    kind: String,
    text: Option<String>,
    values: Option<Value>,
}

/// A machine that starts by UEFI with the recorded one's disks: 250 GB, then the boot disk, then others of 1 TB.
async fn machine(region: &Region, id: &str, number: u64, first: u64) {
    region.machine(id, number, Status::Ready).await;
    let disk = |n: u64, name: &str, gigabytes: u64| Disk {
        number: first + n,
        name: name.to_owned(),
        id_path: if n < 2 { "/dev/sda".to_owned() } else { format!("/dev/{name}") },
        size: gigabytes * GB,
        block_size: 512,
        tags: vec!["ssd".to_owned(), "sata".to_owned()],
        boot: n == 1,
        ..Disk::default()
    };
    region
        .machines
        .change("test", "test", id, |machine, batch| {
            machine.boot_method = Some("uefi".to_owned());
            machine.storage.disks = vec![disk(0, &format!("sda.{first}"), 250), disk(1, "sda", 1000)];
            let others = (2..).zip(["sdb", "sdc", "sdd", "sde", "sdf"]);
            machine.storage.disks.extend(others.map(|(n, name)| disk(n, name, 1000)));
            Ok::<_, std::convert::Infallible>(batch)
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn answers_have_the_recorded_values() {
    let region = region().await;
    machine(&region, "wn6rxx", 2, 222).await;
    machine(&region, "8x8q3x", 1, 80).await;
    let ask = async |path: &str, form: &str| {
        region.call("admin", "POST", &format!("/nodes/8x8q3x/{path}"), Some(form)).await.ok()
    };
    // The recorded machine has another file system than layouts make.
    for (size, fstype, point) in [("512M", "fat32", "/boot/efi"), ("1000000000", "ext2", "/boot")] {
        let form = format!("size={size}&bootable={}", fstype == "fat32");
        let made = ask("blockdevices/sda/partitions/", &form).await;
        let path = format!("blockdevices/sda/partition/{}", made["id"]);
        ask(&format!("{path}?op=format"), &format!("fstype={fstype}")).await;
        ask(&format!("{path}?op=mount"), &format!("mount_point={point}")).await;
    }
    let raid = ask("raids/", "level=raid-5&block_devices=sdb,83&block_devices=84,85&spare_devices=86").await;
    let device = format!("blockdevices/{}", raid["virtual_device"]["id"]);
    ask(&format!("{device}/?op=format"), "fstype=ext4").await;
    ask(&format!("{device}/?op=mount"), "mount_point=/").await;

    let calls: Vec<Call> = serde_json::from_str(include_str!("recorded/storage.json")).unwrap();
    assert!(calls.len() > 10);
    for call in &calls {
        let answer = region.call(&call.r#as, &call.method, &call.url, call.body.as_deref()).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.kind),
            (call.status, &call.kind),
            "{}: {}",
            call.name,
            answer.text
        );
        if let Some(text) = &call.text {
            assert_eq!(answer.text, *text, "{}", call.name);
        }
        if let Some(values) = &call.values {
            same(values, &answer.json(), &call.name);
        }
    }
}

/// Everything recorded is there with the same value.
fn same(recorded: &Value, got: &Value, at: &str) {
    match (recorded, got) {
        (Value::Object(recorded), Value::Object(got)) => {
            for (key, value) in recorded {
                let Some(got) = got.get(key) else { panic!("{at}/{key} is missing") };
                if OTHER.contains(&key.as_str()) {
                    assert_eq!(value.is_null(), got.is_null(), "{at}/{key}");
                } else {
                    same(value, got, &format!("{at}/{key}"));
                }
            }
            // A whole machine was not recorded.
            let whole = recorded.contains_key("blockdevice_set");
            let more = got.keys().find(|key| !whole && *key != MORE && !recorded.contains_key(*key));
            assert_eq!(more, None, "{at}");
        }
        (Value::Array(recorded), Value::Array(got)) => {
            assert!(got.len() >= recorded.len() && recorded.is_empty() == got.is_empty(), "{at}: {got:?}");
            // Where the list was cut, more follow.
            recorded
                .iter()
                .zip(got)
                .enumerate()
                .for_each(|(n, (one, got))| same(one, got, &format!("{at}/{n}")));
        }
        // Sample data has an empty text where nothing was said.
        (Value::String(empty), Value::Null) if empty.is_empty() && at.ends_with("mount_options") => {}
        _ => assert_eq!(recorded, got, "{at}"),
    }
}
