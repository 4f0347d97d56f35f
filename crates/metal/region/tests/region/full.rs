//! The region's disk is full: writes are refused in words, reads and what is under way go on, nothing is lost.

use std::{fs, io::Write, process::Command};

use maas_client::{Client, Constraints, Status};

use crate::{
    life::deploy,
    node::{Counts, Phase},
    site::{IMAGE_SIZE, Site, until},
};

/// The data folder of a site on a small disk of its own, unmounted when dropped.
struct Disk(std::path::PathBuf);

impl Disk {
    /// `None`, with a printed line, where we may not mount.
    fn mount(site: &Site) -> Option<Self> {
        let path = site.dir.path().join("data");
        fs::create_dir(&path).unwrap();
        let room = format!("size={}", 2 * IMAGE_SIZE + (4 << 20));
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &room, "region-test"]).arg(&path).output();
        if mounted.as_ref().is_ok_and(|output| output.status.success()) {
            return Some(Self(path));
        }
        println!("skipped: no right to mount (run as root): {mounted:?}");
        None
    }

    fn fill(&self) {
        let mut file = fs::File::create(self.0.join("filler")).unwrap();
        while file.write_all(&[7; 4096]).is_ok() {}
    }

    fn free(&self) {
        fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// Counts up in the owner's data until that is refused; answers the last count that was not, and why.
async fn write_until_refused(client: &Client, id: &str) -> (u32, String) {
    for count in 1..20_000 {
        let text = format!("{count}-{}", "x".repeat(2000));
        if let Err(error) = client.set_owner_data(id, &[("count", text)]).await {
            return (count - 1, error.to_string());
        }
    }
    panic!("the disk is not full");
}

async fn count(client: &Client, id: &str) -> u32 {
    let machine = client.machine(id).await.unwrap();
    machine.owner_data["count"].split('-').next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_stops_writes_and_nothing_else() {
    let mut site = Site::new(1).await;
    let Some(disk) = Disk::mount(&site) else { return };
    site.run_child().await;
    let (client, node) = (site.client(), site.nodes[0].clone());
    let id = site.commissioned(&node).await;
    client.allocate(&Constraints::default()).await.unwrap();
    let held = {
        let mut held = node.hold(Phase::Written);
        client.deploy(&id, &deploy("debian/bookworm", "data")).await.unwrap();
        held.is_there().await;
        held
    };

    client.set_owner_data(&id, &[("count", "0-".to_owned())]).await.unwrap();
    disk.fill();
    let (written, why) = write_until_refused(&client, &id).await;
    assert!(why.contains("the disk that the database is on is full"), "{why}");
    assert!(why.starts_with("the region cannot do it now"), "503: {why}");
    // The machine's report is refused, and it reports again.
    let refused = node.seen().refused;
    held.release();
    until("its report is refused", async || (node.seen().refused > refused).then_some(())).await;
    assert_eq!(client.machine(&id).await.unwrap().status, Status::Deploying);
    assert_eq!(count(&client, &id).await, written);
    assert_eq!(client.machines(&maas_client::MachineFilter::default()).await.unwrap().len(), 1);
    let url = format!("http://127.0.0.1:{}/metrics", site.api);
    let figures = node.http.get(url).send().await.unwrap().text().await.unwrap();
    assert!(figures.contains("bessemer_store_commit_duration_seconds_count{result=\"failed\"}"), "{figures}");

    disk.free();
    site.reaches(&id, Status::Deployed).await;
    let done = Counts { starts: 1, installs: 1, tests: 1, first_boots: 1, erases: 0 };
    assert_eq!(node.counts(), done);
    client.set_owner_data(&id, &[("after", "1".to_owned())]).await.unwrap();

    // And all of that was on the disk.
    site.kill();
    site.run_child().await;
    assert_eq!(count(&client, &id).await, written);
    assert_eq!(client.machine(&id).await.unwrap().owner_data["after"], "1");
}
