//! From an unknown machine to a deployed one, given back and deployed again.

use maas_client::{Constraints, Deploy, Erase, Release, Status};

use crate::{
    node::Counts,
    site::{Site, until},
};

pub fn deploy(series: &str, user_data: &str) -> Deploy {
    Deploy {
        distro_series: Some(series.to_owned()),
        user_data: Some(user_data.as_bytes().to_vec()),
        ..Deploy::default()
    }
}

pub fn quick() -> Release {
    Release { erase: Erase::Quick, comment: None }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_lives_twice() {
    let site = Site::start(1).await;
    let (client, node) = (site.client(), site.nodes[0].clone());
    node.change(|seen| seen.disk_size = 8 << 30);
    let id = site.commissioned(&node).await;
    let machine = client.machine(&id).await.unwrap();
    let partition = machine.extra["boot_disk"]["partitions"][0].clone();
    assert_eq!(partition["used_for"], "ext4 formatted filesystem mounted at /");
    assert_eq!(machine.hardware_uuid, Some(node.uuid.to_string()));
    assert_eq!((machine.power_type.as_str(), machine.cpu_count, machine.memory), ("redfish", 2, 1024));
    assert_eq!(client.power_query(&id).await.unwrap(), "off");

    let taken = client.allocate(&Constraints { cpu_count: Some(2), ..Constraints::default() }).await.unwrap();
    assert_eq!((taken.system_id.as_str(), taken.status), (id.as_str(), Status::Allocated));
    for (n, series) in (1..).zip(["debian/bookworm", "debian/trixie"]) {
        client.deploy(&id, &deploy(series, series)).await.unwrap();
        site.reaches(&id, Status::Deployed).await;
        let again = until("user-data is asked for again", async || node.seen().user_data_again).await;
        assert_eq!(again, reqwest::StatusCode::NOT_FOUND, "user-data is withheld after modules-final");
        let seen = node.seen();
        assert_eq!(String::from_utf8_lossy(&seen.user_data), series);
        assert_eq!(seen.disk, seen.install.map(|install| install.sha256));
        let machine = client.machine(&id).await.unwrap();
        assert_eq!(format!("{}/{}", machine.osystem, machine.distro_series), series);
        assert_eq!(machine.extra["boot_disk"]["partitions"][0]["id"], partition["id"]);

        client.release(&id, &quick()).await.unwrap();
        let machine = site.reaches(&id, Status::Ready).await;
        assert_eq!((machine.owner, machine.power_state.as_str()), (None, "off"));
        assert_eq!(node.seen().disk, None);
        let wanted = Counts { starts: 2 * n, installs: n, erases: n, tests: 1, first_boots: n };
        assert_eq!(node.counts(), wanted);
        node.change(|seen| seen.user_data_again = None);
    }
}
