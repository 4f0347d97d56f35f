//! Storage as a client configures it: made, formatted, mounted, taken apart, refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::{Answer, Region, region};
use disks::{Disk, Plan};
use http::StatusCode;
use lifecycle::Status;
use serde_json::{Value, json};

const ID: &str = "abc346";

/// A Ready machine with the boot disk `sda` (250 GB) and `sdb` to `sde` of 100 GB each.
async fn with_disks() -> Region {
    let region = region().await;
    region.machine(ID, 1, Status::Ready).await;
    region
        .machines
        .change("test", "test", ID, |machine, batch| {
            let disks = ["sdb", "sdc", "sdd", "sde"].into_iter().zip(12..).map(|(name, number)| Disk {
                number,
                name: name.to_owned(),
                size: 100_000_000_000,
                block_size: 512,
                tags: vec!["ssd".to_owned()],
                ..Disk::default()
            });
            machine.storage.disks.extend(disks);
            Ok::<_, std::convert::Infallible>(batch)
        })
        .await
        .unwrap();
    region
}

async fn ask(region: &Region, user: &str, method: &str, path: &str, form: &str) -> Answer {
    region.call(user, method, &format!("/nodes/{ID}/{path}"), Some(form)).await
}

async fn post(region: &Region, path: &str, form: &str) -> Value {
    ask(region, "admin", "POST", path, form).await.ok()
}

async fn machine(region: &Region) -> Value {
    region.call("admin", "GET", &format!("/machines/{ID}/"), None).await.ok()
}

/// A refusal in these words, about this parameter where one is named.
async fn refused(region: &Region, method: &str, path: &str, form: &str, field: &str, words: &str) {
    let answer = ask(region, "admin", method, path, form).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path} {form}: {}", answer.text);
    let got =
        if field.is_empty() { answer.text } else { answer.json()[field][0].as_str().unwrap().to_owned() };
    assert!(got.starts_with(words), "{path} {form}: {got:?} instead of {words:?}");
}

#[tokio::test]
async fn partitions_from_creation_to_deletion() {
    let region = with_disks().await;
    let before = machine(&region).await;
    let made = post(&region, "blockdevices/sdb/partitions/", "size=10G&bootable=false").await;
    assert_eq!((&made["size"], &made["used_for"]), (&json!(9_999_220_736_u64), &json!("Unused")));
    assert_eq!(made["path"], "/dev/disk/by-dname/sdb-part1");
    let rest = post(&region, "blockdevices/12/partitions/", "").await;
    let disk = ask(&region, "admin", "GET", "blockdevices/sdb/", "").await.ok();
    assert_eq!((&disk["available_size"], disk["partitions"].as_array().unwrap().len()), (&json!(0), 2));
    assert_eq!(disk["used_for"], "GPT partitioned with 2 partitions");
    refused(&region, "POST", "blockdevices/sdb/partitions/", "", "size", "There is no room").await;
    refused(
        &region,
        "POST",
        "blockdevices/sdb/?op=format",
        "fstype=ext4",
        "__all__",
        "Cannot format block device with",
    )
    .await;

    // Both forms of the path, numbers and names.
    let path = format!("blockdevices/12/partition/{}", made["id"]);
    let same = ask(&region, "admin", "GET", "blockdevices/sdb/partitions/sdb-part1", "").await.ok();
    assert_eq!(same, made);
    let op = |op: &str| format!("{path}?op={op}");
    refused(&region, "POST", &op("mount"), "mount_point=/srv", "__all__", "Cannot mount an unformatted")
        .await;
    refused(&region, "POST", &op("unformat"), "", "", "Partition is not formatted.").await;
    refused(&region, "POST", &op("format"), "fstype=floppy", "fstype", "Select a valid choice. floppy").await;
    refused(&region, "POST", &op("format"), "", "fstype", "This field is required.").await;
    let uuid = "9b37649c-5a2d-4b68-9bf7-02490b787ae5";
    let got = post(&region, &op("format"), &format!("fstype=xfs&label=data&uuid={uuid}")).await;
    assert_eq!(
        got["filesystem"],
        json!({"fstype": "xfs", "label": "data", "uuid": uuid, "mount_point": null, "mount_options": null})
    );
    assert_eq!(got["used_for"], "Unmounted xfs formatted filesystem");
    refused(&region, "POST", &op("mount"), "mount_point=srv", "mount_point", "Enter a valid value.").await;
    refused(&region, "POST", &op("mount"), "mount_point=/a/../b", "mount_point", "Enter a valid value.")
        .await;
    let got = post(&region, &op("mount"), "mount_point=/srv/&mount_options=noatime").await;
    assert_eq!(got["used_for"], "xfs formatted filesystem mounted at /srv");
    assert_eq!(got["filesystem"]["mount_options"], "noatime");
    refused(&region, "POST", &op("unformat"), "", "", "Filesystem is mounted and cannot be unformatted.")
        .await;
    refused(&region, "POST", &op("format"), "fstype=ext4", "__all__", "Cannot format what is mounted").await;

    let other = format!("blockdevices/12/partition/{}", rest["id"]);
    post(&region, &format!("{other}?op=format"), "fstype=ext4").await;
    let taken = format!("{other}?op=mount");
    refused(&region, "POST", &taken, "mount_point=/srv", "mount_point", "Another file system is mounted")
        .await;
    post(&region, &op("add_tag"), "tag=fast").await;
    post(&region, &op("add_tag"), "tag=fast").await;
    let got = post(&region, &op("unmount"), "").await;
    assert_eq!(got["tags"], json!(["fast"]));
    refused(&region, "POST", &op("unmount"), "", "", "Filesystem is already unmounted.").await;
    assert_eq!(post(&region, &op("remove_tag"), "tag=fast").await["tags"], json!([]));
    assert!(post(&region, &op("unformat"), "").await["filesystem"].is_null());
    for path in [&path, &other] {
        assert_eq!(ask(&region, "admin", "DELETE", path, "").await.status, StatusCode::NO_CONTENT);
        let gone = ask(&region, "admin", "GET", path, "").await;
        assert_eq!(
            (gone.status, gone.text.as_str()),
            (StatusCode::NOT_FOUND, "No Partition matches the given query.")
        );
    }
    assert_eq!(machine(&region).await["blockdevice_set"], before["blockdevice_set"]);
}

#[tokio::test]
async fn volume_groups_and_logical_volumes() {
    let region = with_disks().await;
    refused(&region, "POST", "volume-groups/", "block_devices=12", "name", "This field is required.").await;
    refused(&region, "POST", "volume-groups/", "name=vg0", "__all__", "At least one valid block device")
        .await;
    refused(&region, "POST", "volume-groups/", "name=v/g&block_devices=12", "name", "Enter a valid value.")
        .await;
    let form = "name=vg0&block_devices=99";
    refused(&region, "POST", "volume-groups/", form, "block_devices", "Select a valid choice. 99 is").await;
    let vg = post(&region, "volume-groups/", "name=vg0&block_devices=sdb&block_devices=13").await;
    assert_eq!((&vg["human_size"], &vg["available_size"]), (&json!("200.0 GB"), &vg["size"]));
    assert_eq!(vg["devices"][0]["used_for"], "LVM volume for vg0");
    assert_eq!(vg["devices"][0]["filesystem"]["fstype"], "lvm-pv");
    refused(&region, "POST", "volume-groups/", "name=vg0&block_devices=14", "name", "Another device of this")
        .await;
    let again = "name=vg1&block_devices=12";
    refused(&region, "POST", "volume-groups/", again, "block_devices", "Select a valid choice. 12").await;

    let path = format!("volume-group/{}/", vg["id"]);
    let create = format!("{path}?op=create_logical_volume");
    let lv = post(&region, &create, "name=data&size=150G").await;
    assert_eq!(
        (&lv["name"], &lv["type"], &lv["size"]),
        (&json!("vg0-data"), &json!("virtual"), &json!(149_996_699_648_u64))
    );
    refused(&region, "POST", &create, "name=more&size=60G", "size", "Ensure this value is less than").await;
    refused(&region, "POST", &create, "name=data&size=1G", "name", "Another device").await;
    post(&region, &create, "name=rest").await;
    let full = ask(&region, "admin", "GET", &format!("volume-groups/{}/", vg["id"]), "").await.ok();
    assert_eq!((&full["available_size"], full["logical_volumes"].as_array().unwrap().len()), (&json!(0), 2));
    let shown = machine(&region).await;
    assert_eq!(shown["virtualblockdevice_set"][0], full["logical_volumes"][0]);
    assert_eq!(shown["volume_groups"], json!([{"system_id": ID, "id": vg["id"], "__incomplete__": true}]));
    let device = format!("blockdevices/{}/partitions/", lv["id"]);
    refused(&region, "POST", &device, "", "block_device", "Cannot create a partition table on a logical")
        .await;

    refused(&region, "PUT", &path, "remove_block_devices=13", "__all__", "Volume group cannot be smaller")
        .await;
    let got = ask(&region, "admin", "PUT", &path, "name=pool&add_block_devices=14").await.ok();
    assert_eq!((&got["name"], got["devices"].as_array().unwrap().len()), (&json!("pool"), 3));
    assert_eq!(got["logical_volumes"][0]["name"], "pool-data");
    let got = ask(&region, "admin", "PUT", &path, "remove_block_devices=14").await.ok();
    assert_eq!(got["devices"].as_array().unwrap().len(), 2);
    let words = "This volume group has logical volumes; it cannot be deleted.";
    refused(&region, "DELETE", &path, "", "", words).await;
    for volume in got["logical_volumes"].as_array().unwrap() {
        let delete = format!("{path}?op=delete_logical_volume");
        let gone = ask(&region, "admin", "POST", &delete, &format!("id={}", volume["id"])).await;
        assert_eq!(gone.status, StatusCode::NO_CONTENT);
    }
    assert_eq!(ask(&region, "admin", "DELETE", &path, "").await.status, StatusCode::NO_CONTENT);
    let shown = machine(&region).await;
    assert_eq!(
        (&shown["volume_groups"], &shown["blockdevice_set"][1]["used_for"]),
        (&json!([]), &json!("Unused"))
    );
}

#[tokio::test]
async fn arrays_and_caches() {
    let region = with_disks().await;
    let few = "RAID level 5 must have at least 3 raid devices and any number of spares.";
    refused(&region, "POST", "raids/", "level=raid-5&block_devices=12,13", "__all__", few).await;
    refused(&region, "POST", "raids/", "level=raid-7&block_devices=12", "level", "Select a valid choice.")
        .await;
    let raid = post(&region, "raids/", "level=raid-1&block_devices=12,13").await;
    assert_eq!((&raid["name"], &raid["virtual_device"]["name"]), (&json!("md0"), &json!("md0")));
    let path = format!("raid/{}/", raid["id"]);
    let got = ask(&region, "admin", "PUT", &path, "add_spare_devices=14&name=mirror").await.ok();
    assert_eq!(got["spare_devices"][0]["used_for"], "Spare raid-1 device for mirror");
    assert_eq!(got["virtual_device"]["path"], "/dev/disk/by-dname/mirror");
    refused(&region, "PUT", &path, "remove_block_devices=13", "__all__", "RAID level 1 must have").await;
    let unformat = "Filesystem is part of a RAID, and cannot be unformatted.";
    refused(&region, "POST", "blockdevices/12/?op=unformat", "", "", unformat).await;
    refused(
        &region,
        "DELETE",
        "blockdevices/12/",
        "",
        "",
        "Cannot delete block device because its part of a RAID.",
    )
    .await;

    // A volume group of the array, and then nothing below it can go.
    let md = raid["virtual_device"]["id"].clone();
    let vg = post(&region, "volume-groups/", &format!("name=vg0&block_devices={md}")).await;
    refused(&region, "DELETE", &path, "", "", "Cannot delete RAID because its part of a volume group.").await;
    let gone = ask(&region, "admin", "DELETE", &format!("volume-group/{}/", vg["id"]), "").await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    assert_eq!(ask(&region, "admin", "DELETE", &path, "").await.status, StatusCode::NO_CONTENT);
    assert_eq!(machine(&region).await["virtualblockdevice_set"], json!([]));

    refused(&region, "POST", "bcache-cache-sets/", "", "__all__", "Either cache_device or").await;
    let set = post(&region, "bcache-cache-sets/", "cache_device=12").await;
    assert_eq!(
        (&set["name"], &set["cache_device"]["used_for"]),
        (&json!("cache0"), &json!("Cache device for cache0"))
    );
    refused(&region, "POST", "bcaches/", "backing_device=13", "cache_set", "This field is required.").await;
    let form = format!("cache_set={}&backing_device=13", set["id"]);
    let bcache = post(&region, "bcaches/", &form).await;
    assert_eq!((&bcache["name"], &bcache["cache_mode"]), (&json!("bcache0"), &json!("writethrough")));
    assert_eq!(bcache["cache_set"]["cache_device"]["used_for"], "Cache device for bcache0");
    assert_eq!(bcache["backing_device"]["used_for"], "Backing device for bcache0");
    let path = format!("bcache/{}/", bcache["id"]);
    let got = ask(&region, "admin", "PUT", &path, "cache_mode=writeback&backing_device=14").await.ok();
    assert_eq!((&got["cache_mode"], &got["backing_device"]["name"]), (&json!("writeback"), &json!("sdd")));
    let set_path = format!("bcache-cache-set/{}/", set["id"]);
    refused(&region, "DELETE", &set_path, "", "", "Cannot delete cache set; it's currently in use.").await;
    let got = ask(&region, "admin", "PUT", &set_path, "cache_device=13").await.ok();
    assert_eq!(got["cache_device"]["name"], "sdc");
    let shown = machine(&region).await;
    assert_eq!((&shown["bcaches"][0]["id"], &shown["cache_sets"][0]["id"]), (&bcache["id"], &set["id"]));
    for path in [&path, &set_path] {
        assert_eq!(ask(&region, "admin", "DELETE", path, "").await.status, StatusCode::NO_CONTENT);
    }
    let missing = ask(&region, "admin", "GET", &path, "").await;
    assert_eq!(missing.text, "No Bcache matches the given query.");

    assert_eq!(ask(&region, "admin", "GET", "vmfs-datastores/", "").await.ok(), json!([]));
    let datastore = ask(&region, "admin", "POST", "vmfs-datastores/", "name=a&block_devices=12").await;
    assert_eq!(datastore.status, StatusCode::NOT_IMPLEMENTED);
}

#[tokio::test]
async fn disks_by_hand_and_the_boot_disk() {
    let region = with_disks().await;
    refused(&region, "POST", "blockdevices/", "name=nvme0n1&size=1T", "__all__", "serial/model are required")
        .await;
    refused(&region, "POST", "blockdevices/", "name=sdb&size=1T&id_path=/dev/x", "name", "Another device")
        .await;
    refused(&region, "POST", "blockdevices/", "name=x&size=a&id_path=/dev/x", "size", "Enter a valid size")
        .await;
    refused(&region, "POST", "blockdevices/", "name=x&size=5&id_path=/dev/x", "size", "Ensure this value is")
        .await;
    let form = "name=nvme0n1&size=1T&block_size=4096&model=M&serial=S";
    let made = post(&region, "blockdevices/", form).await;
    assert_eq!(
        (&made["size"], &made["block_size"], &made["serial"]),
        (&json!(1_000_000_000_000_u64), &json!(4096), &json!("S"))
    );
    let path = format!("blockdevices/{}/", made["id"]);
    let got = ask(&region, "admin", "PUT", &path, "name=nvme1n1&size=2T").await.ok();
    assert_eq!(
        (&got["name"], &got["size"], &got["model"]),
        (&json!("nvme1n1"), &json!(2_000_000_000_000_u64), &json!("M"))
    );
    let set = ask(&region, "admin", "POST", &format!("{path}?op=set_boot_disk"), "").await;
    assert_eq!((set.status, set.text.as_str()), (StatusCode::OK, "OK"));
    assert_eq!(machine(&region).await["boot_disk"]["id"], made["id"]);
    let raid = post(&region, "raids/", "level=raid-0&block_devices=12,13").await;
    let md = format!("blockdevices/{}/?op=set_boot_disk", raid["virtual_device"]["id"]);
    refused(&region, "POST", &md, "", "", "Cannot set a virtual block device as the boot disk.").await;
    assert_eq!(ask(&region, "admin", "DELETE", &path, "").await.status, StatusCode::NO_CONTENT);
    assert_eq!(post(&region, "blockdevices/sda/?op=add_tag", "tag=big").await["tags"], json!(["ssd", "big"]));
    refused(&region, "POST", "blockdevices/sda/?op=add_tag", "", "", "No provided tag!").await;
    let swap = post(&region, "blockdevices/sde/?op=format", "fstype=swap").await;
    assert_eq!(swap["available_size"], 0);
    assert_eq!(post(&region, "blockdevices/sde/?op=mount", "").await["filesystem"]["mount_point"], "none");
}

#[tokio::test]
async fn who_may_and_when() {
    let region = with_disks().await;
    let made = post(&region, "blockdevices/sdb/partitions/", "").await;
    let format = format!("blockdevices/sdb/partition/{}?op=format", made["id"]);
    // A Ready machine belongs to nobody: only administrators.
    for (path, form) in [(format.as_str(), "fstype=ext4"), ("raids/", "level=raid-1&block_devices=13,14")] {
        assert_eq!(ask(&region, "user1", "POST", path, form).await.status, StatusCode::FORBIDDEN);
        assert_eq!(ask(&region, "", "POST", path, form).await.status, StatusCode::UNAUTHORIZED);
    }
    region.call("user1", "POST", "/machines/?op=allocate", Some("")).await.ok();
    // The owner formats and mounts, but does not partition.
    ask(&region, "user1", "POST", &format, "fstype=ext4").await.ok();
    let special = format!("/machines/{ID}/?op=mount_special");
    let form = "fstype=tmpfs&mount_point=/scratch&mount_option=size=1G";
    let got = region.call("user1", "POST", &special, Some(form)).await.ok();
    assert_eq!(got["special_filesystems"][0]["mount_options"], "size=1G");
    let wrong = region.call("user1", "POST", &special, Some("fstype=ext4&mount_point=/x")).await;
    assert_eq!(wrong.json()["fstype"][0], "Select a valid choice. ext4 is not one of the available choices.");
    let unmount = format!("/machines/{ID}/?op=unmount_special");
    let got = region.call("user1", "POST", &unmount, Some("mount_point=/scratch")).await.ok();
    assert_eq!(got["special_filesystems"], json!([]));
    let again = region.call("user1", "POST", &unmount, Some("mount_point=/scratch")).await;
    assert_eq!(again.status, StatusCode::BAD_REQUEST);
    let partition = ask(&region, "user1", "POST", "blockdevices/sdc/partitions/", "").await;
    assert_eq!(partition.status, StatusCode::FORBIDDEN);
    let layout =
        region.call("admin", "POST", &format!("/machines/{ID}/?op=set_storage_layout"), Some("")).await;
    assert_eq!(layout.text, "Cannot change the storage layout on a machine that is not Ready.");

    region.enter(ID, Status::Deployed).await;
    let late = ask(&region, "admin", "POST", &format, "fstype=xfs").await;
    assert_eq!(
        (late.status, late.text.as_str()),
        (StatusCode::CONFLICT, "Cannot format partition because the machine is not Ready or Allocated.")
    );
    region.call("admin", "POST", &format!("/machines/{ID}/?op=lock"), Some("")).await.ok();
    let locked = ask(&region, "admin", "POST", &format, "fstype=xfs").await;
    assert_eq!((locked.status, locked.text.as_str()), (StatusCode::FORBIDDEN, "This machine is locked."));
    let nowhere = region.call("admin", "POST", "/nodes/zzzzzz/raids/", Some("level=raid-1")).await;
    assert_eq!(nowhere.text, "No Machine matches the given query.");
}

#[tokio::test]
async fn layouts_and_what_can_be_deployed() {
    let region = with_disks().await;
    let path = format!("/machines/{ID}/?op=set_storage_layout");
    let set = async |form: &str| region.call("admin", "POST", &path, Some(form)).await;
    let deploy = async || {
        let path = format!("/machines/{ID}/?op=deploy");
        region.call("admin", "POST", &path, Some("distro_series=noble")).await
    };
    for (form, field, words) in [
        ("", "storage_layout", "This field is required."),
        ("storage_layout=flat&root_size=1G", "root_size", "Size is too small."),
        ("storage_layout=flat&root_size=400G", "root_size", "Size is too large."),
        ("storage_layout=flat&root_size=all", "root_size", "Enter a valid size"),
        ("storage_layout=flat&root_device=99", "root_device", "Select a valid choice. 99"),
        ("storage_layout=bcache&cache_mode=fast", "cache_mode", "Select a valid choice. fast"),
        ("storage_layout=bcache&cache_device=sda", "cache_device", "Select a valid choice."),
    ] {
        let answer = set(form).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{form}");
        assert!(answer.json()[field][0].as_str().unwrap().starts_with(words), "{form}: {}", answer.text);
    }
    assert_eq!(set("storage_layout=vmfs6").await.status, StatusCode::NOT_IMPLEMENTED);
    let custom = set("storage_layout=custom").await;
    assert!(custom.text.starts_with("Failed to configure storage layout 'custom'"), "{}", custom.text);

    let lvm = set("storage_layout=lvm&root_size=50%25&lv_size=10G&vg_name=vg").await.ok();
    assert_eq!(lvm["virtualblockdevice_set"][0]["name"], "vg-lvroot");
    assert_eq!(lvm["boot_disk"]["partitions"][0]["size"], 124_998_647_808_u64);
    let refused = deploy().await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert!(refused.text.starts_with("Images are written whole to the boot disk"), "{}", refused.text);
    let bcache = set("storage_layout=bcache&cache_no_part=true&cache_device=sdc").await.ok();
    assert_eq!(bcache["cache_sets"].as_array().unwrap().len(), 1);
    assert_eq!(bcache["volume_groups"], json!([]), "a layout begins anew");
    assert_eq!(deploy().await.status, StatusCode::CONFLICT);
    set("storage_layout=blank").await.ok();
    assert_eq!(deploy().await.text, "Mount the root '/' filesystem to be able to deploy this node.");

    let restored = format!("/machines/{ID}/?op=restore_storage_configuration");
    let flat = region.call("admin", "POST", &restored, Some("")).await.ok();
    assert_eq!(flat["boot_disk"]["partitions"][0]["used_for"], "ext4 formatted filesystem mounted at /");
    post(&region, "blockdevices/sde/?op=format", "fstype=ext4").await;
    assert_eq!(deploy().await.status, StatusCode::CONFLICT, "another file system is not made");
    post(&region, "blockdevices/sde/?op=unformat", "").await;
    let got = deploy().await.ok();
    assert_eq!(got["status_name"], "Deploying");
}

#[tokio::test]
async fn commissioning_begins_anew() {
    let region = with_disks().await;
    let layout = format!("/machines/{ID}/?op=set_storage_layout");
    region.call("admin", "POST", &layout, Some("storage_layout=lvm")).await.ok();
    let setting = "name=default_storage_layout&value=blank";
    region.call("admin", "POST", "/maas/?op=set_config", Some(setting)).await;
    let commission = async |form: &str| {
        let path = format!("/machines/{ID}/?op=commission");
        region.call("admin", "POST", &path, Some(form)).await.ok();
        // What the agent's inventory brings about.
        let machines = &region.machines;
        let changed = machines.change("test", "test", ID, |machine, batch| {
            model::lay_out(machines, machine);
            Ok::<_, std::convert::Infallible>(batch)
        });
        let changed = changed.await.unwrap();
        region.enter(ID, Status::Ready).await;
        changed.value.storage.clone()
    };
    let kept = commission("skip_storage=1").await;
    assert_eq!(kept.volumes.len(), 1);
    let blank = commission("").await;
    assert_eq!((blank.plan, blank.volumes.len(), blank.groups.len()), (Plan::Configured, 0, 0));
    region
        .call("admin", "POST", "/maas/?op=set_config", Some("name=default_storage_layout&value=flat"))
        .await;
    let flat = commission("").await;
    assert_eq!(flat.installable(), Ok(()));
    let disks: Vec<u64> = flat.disks.iter().map(|disk| disk.number).collect();
    assert_eq!(disks, [11, 12, 13, 14, 15]);
    let made = region.machines.next_number();
    assert!(flat.highest_number() < made, "numbers are given once");
}
