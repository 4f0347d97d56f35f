//! The client against answers of a real MAAS 3.7.3.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use std::time::Duration;

use common::{Region, json, recorded, text};
use maas_client::{
    Allocation, Client, Constraints, Deploy, DnsResourceForm, Erase, Error, FindError, MachineFilter,
    NewImage, Options, Outputs, Release, Scripts, Status, UploadError, sha256_of,
};

const SECRET: &str = "s3cr3tS3CR3T";

fn client(url: &str) -> Client {
    let key = format!("con:tok:{SECRET}").parse().unwrap();
    let options = Options { timeout: Duration::from_secs(20), retry_for: Duration::from_secs(5), ca: None };
    Client::new(url, key, &options).unwrap()
}

#[tokio::test]
async fn signs_every_request_anew() {
    let region = Region::start()
        .await
        .on("GET /users/?op=whoami", [recorded("whoami")])
        .on("GET /version/", [recorded("version")]);
    let client = client(&region.url);
    assert_eq!(client.whoami().await.unwrap().username, "admin");
    assert_eq!(client.version().await.unwrap().version, "3.7.3");
    let headers: Vec<String> = region
        .asked()
        .iter()
        .map(|asked| asked.headers["authorization"].to_str().unwrap().to_owned())
        .collect();
    for header in &headers {
        assert!(header.starts_with("OAuth ") && header.contains("PLAINTEXT"), "{header}");
        assert!(header.contains(&format!("oauth_signature=\"%26{SECRET}\"")), "{header}");
    }
    let nonce =
        |header: &String| header.split("oauth_nonce=").nth(1).unwrap().split('"').nth(1).unwrap().to_owned();
    assert_ne!(nonce(&headers[0]), nonce(&headers[1]));
}

#[tokio::test]
async fn reads_machines_and_keeps_what_it_does_not_know() {
    let region = Region::start()
        .await
        .on("GET /machines/", [recorded("machines")])
        .on("GET /machines/?status=deployed&hostname=m00002&agent_name=a%2Fb", [recorded("filter_status")])
        .on("GET /machines/pxdpk8/", [recorded("machine_deployed")]);
    let client = client(&region.url);
    assert!(!client.machines(&MachineFilter::default()).await.unwrap().is_empty());
    let filter = MachineFilter {
        status: vec!["deployed".to_owned()],
        hostname: vec!["m00002".to_owned()],
        agent_name: Some("a/b".to_owned()),
        ..MachineFilter::default()
    };
    assert_eq!(client.machines(&filter).await.unwrap()[0].status, Status::Deployed);
    let machine = client.machine("pxdpk8").await.unwrap();
    assert_eq!(
        (machine.hostname.as_str(), machine.status, machine.memory),
        ("m00002", Status::Deployed, 3072)
    );
    assert_eq!(machine.physicalblockdevice_set[0].size, 250_000_000_000);
    assert_eq!(machine.extra["resource_uri"], "/MAAS/api/2.0/machines/pxdpk8/");
    let again = serde_json::to_value(&machine).unwrap();
    assert_eq!(again["status"], 6);
    assert_eq!(again["testing_status_name"], "Pending");
}

#[tokio::test]
async fn finds_machines_by_any_name() {
    let twins = json(&serde_json::json!([
        {"system_id": "aaaaaa", "hostname": "twin", "fqdn": "twin.one"},
        {"system_id": "bbbbbb", "hostname": "twin", "fqdn": "twin.two"},
    ]));
    let region = Region::start()
        .await
        .on("GET /machines/8x8q3x/", [recorded("machine_ready")])
        .on("GET /machines/m00007/", [recorded("not_found")])
        .on("GET /machines/?hostname=m00007", [recorded("by_hostname")])
        .on("GET /machines/?hostname=nosuch", [recorded("no_such_hostname")])
        .on("GET /machines/nosuch/", [recorded("not_found")])
        .on("GET /machines/?hostname=twin", [twins]);
    let client = client(&region.url);
    for name in ["8x8q3x", "m00007", "m00007.maas"] {
        assert_eq!(client.find_machine(name).await.unwrap().system_id, "8x8q3x", "{name}");
    }
    for name in ["nosuch", "m00007.elsewhere"] {
        assert!(matches!(client.find_machine(name).await, Err(FindError::None { .. })), "{name}");
    }
    assert_eq!(client.find_machine("twin.two").await.unwrap().system_id, "bbbbbb");
    let error = client.find_machine("twin").await.unwrap_err().to_string();
    assert_eq!(error, "'twin' is the name of several machines: twin.one (aaaaaa), twin.two (bbbbbb)");
}

#[tokio::test]
async fn allocates_or_says_that_nothing_matches() {
    let region =
        Region::start().await.on("POST /machines/?op=allocate", [recorded("allocate"), recorded("no_match")]);
    let client = client(&region.url);
    let wanted = Constraints {
        system_id: Some("8x8q3x".to_owned()),
        memory: Some(2048),
        tags: vec!["a".to_owned(), "b".to_owned()],
        agent_name: Some("bessemer/1/ns/m".to_owned()),
        allocation: Allocation::Name,
        ..Constraints::default()
    };
    assert_eq!(client.allocate(&wanted).await.unwrap().system_id, "8x8q3x");
    assert_eq!(
        region.body("POST /machines/?op=allocate"),
        "system_id=8x8q3x&mem=2048&agent_name=bessemer%2F1%2Fns%2Fm&tags=a&tags=b&dry_run=true"
    );
    let error = client.allocate(&Constraints::default()).await.unwrap_err();
    assert!(
        matches!(&error, Error::NoMatch { text } if text.starts_with("No available machine matches")),
        "{error}"
    );
}

#[tokio::test]
async fn machine_operations_send_what_maas_wants() {
    let at = |op: &str| format!("POST /machines/wn6rxx/?op={op}");
    let region = Region::start()
        .await
        .on(&at("deploy"), [recorded("deploying")])
        .on(&at("release"), [recorded("release")])
        .on(&at("lock"), [recorded("lock")])
        .on(&at("commission"), [recorded("commission_bad")])
        .on(&at("set_owner_data"), [recorded("deploying")]);
    let client = client(&region.url);
    let wanted = Deploy {
        distro_series: Some("debian/bookworm".to_owned()),
        user_data: Some(b"#cloud-config\n".to_vec()),
        ..Deploy::default()
    };
    assert_eq!(client.deploy("wn6rxx", &wanted).await.unwrap().status, Status::Deploying);
    assert_eq!(
        region.body(&at("deploy")),
        "distro_series=debian%2Fbookworm&user_data=I2Nsb3VkLWNvbmZpZwo%3D"
    );
    for (erase, sent) in [
        (Erase::Default, ""),
        (Erase::Quick, "erase=true&quick_erase=true"),
        (Erase::Full, "erase=true&quick_erase=false&secure_erase=false"),
        (Erase::Secure, "erase=true&secure_erase=true"),
    ] {
        client.release("wn6rxx", &Release { erase, comment: None }).await.unwrap();
        assert_eq!(region.body(&at("release")), sent);
    }
    assert!(client.lock("wn6rxx").await.unwrap().locked);
    client.set_owner_data("wn6rxx", &[("k", "v".to_owned())]).await.unwrap();
    assert_eq!(region.body(&at("set_owner_data")), "k=v");
    let error = client.commission("wn6rxx", &Scripts::default()).await.unwrap_err();
    assert_eq!(error.to_string(), "Commission is not available because of the current state of the node.");
}

#[tokio::test]
async fn refusals_are_sorted_and_keep_their_words() {
    let region = Region::start()
        .await
        .on("POST /machines/a/?op=deploy", [recorded("deploy_bad_series")])
        .on("POST /machines/b/?op=deploy", [recorded("deploy_again")])
        .on("POST /machines/a/?op=release", [recorded("release_locked")])
        .on("POST /machines/b/?op=release", [recorded("conflict_html")])
        .on("GET /zones/", [recorded("forbidden_admin")])
        .on("GET /tags/", [text(500, "boom")])
        .on("GET /machines/a/?op=query_power_state", [recorded("no_bmc")])
        .on("GET /subnets/", [text(200, "{")]);
    let client = client(&region.url);
    let deploy = Deploy::default();
    let error = client.deploy("a", &deploy).await.unwrap_err();
    assert!(
        matches!(&error, Error::Invalid { fields, .. } if fields.contains_key("distro_series")),
        "{error}"
    );
    assert!(error.to_string().starts_with("distro_series: 'nosuch' is not a valid"), "{error}");
    let error = client.deploy("b", &deploy).await.unwrap_err();
    assert_eq!(error.to_string(), "Can't deploy a machine that is in the 'Deploying' state");
    let error = client.release("a", &Release::default()).await.unwrap_err();
    assert!(matches!(&error, Error::Forbidden { .. }), "{error}");
    let error = client.release("b", &Release::default()).await.unwrap_err();
    assert!(error.to_string().ends_with("conflicts with what is there"), "{error}");
    let error = client.zones().await.unwrap_err();
    assert!(error.to_string().ends_with("forbids it: This method is reserved for admin users."), "{error}");
    let error = client.tags().await.unwrap_err();
    assert!(matches!(&error, Error::Refused { status: 500, .. }), "{error}");
    let error = client.power_query("a").await.unwrap_err();
    assert!(matches!(&error, Error::Unavailable { retry_after: None, .. }), "{error}");
    assert_eq!(region.times("GET /machines/a/?op=query_power_state"), 1);
    assert!(matches!(client.subnets().await, Err(Error::Decode { .. })));
    assert!(matches!(client.machine("none").await, Err(Error::NotFound { .. })));
}

#[tokio::test]
async fn no_secret_is_ever_in_a_message() {
    let leak = format!("Authorization Error: 'Invalid signature. Expected signature base string: &{SECRET}'");
    let region =
        Region::start().await.on("GET /users/?op=whoami", [text(401, &leak), recorded("bad_consumer")]);
    let client = client(&region.url);
    let error = client.whoami().await.unwrap_err();
    let shown = format!("{error} {error:?} {client:?}");
    assert!(!shown.contains(SECRET), "{shown}");
    assert_eq!(
        error.to_string(),
        "the region does not accept the API key: Authorization Error: Invalid signature"
    );
    let error = client.whoami().await.unwrap_err();
    assert!(error.to_string().ends_with("Invalid API key."), "{error}");
}

#[tokio::test]
async fn only_reading_is_repeated() {
    let busy = || text(503, "busy").retry_after(0);
    let region = Region::start()
        .await
        .on("GET /machines/8x8q3x/", [busy(), busy(), recorded("machine_ready")])
        .on("POST /machines/8x8q3x/?op=deploy", [busy(), recorded("deploying")]);
    let client = client(&region.url);
    client.machine("8x8q3x").await.unwrap();
    assert_eq!(region.times("GET /machines/8x8q3x/"), 3);
    let error = client.deploy("8x8q3x", &Deploy::default()).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }) && error.is_temporary());
    assert_eq!(region.times("POST /machines/8x8q3x/?op=deploy"), 1);
}

#[tokio::test]
async fn a_region_that_is_not_there_is_named() {
    let free = "127.0.0.1:1"; // tcpmux, where nobody listens
    let key = "a:b:c".parse().unwrap();
    let options = Options { retry_for: Duration::from_millis(300), ..Options::default() };
    let client = Client::new(&format!("http://{free}"), key, &options).unwrap();
    let error = client.machine("abcdef").await.unwrap_err();
    assert!(error.is_temporary());
    let shown = error.to_string();
    assert!(shown.starts_with(&format!("GET http://{free}/MAAS/api/2.0/machines/abcdef/")), "{shown}");
    assert!(shown.contains("refused"), "{shown}");
}

#[tokio::test]
async fn why_is_told_by_regions_that_know_it() {
    let told = json(&serde_json::json!({
        "system_id": "abcdef", "status_name": "Deploying", "error_description": null,
        "waiting": {"reason": "no DHCP request yet", "since": "2026-11-22T10:00:00Z", "until": "2026-11-22T10:01:20Z"},
        "timeline": [{"phase": "Deploying", "started": "2026-11-22T10:00:00Z", "ended": null, "detail": "x", "outcome": "running"}],
    }));
    let region = Region::start()
        .await
        .on("GET /machines/abcdef/?op=why", [told])
        .on("GET /machines/8x8q3x/?op=why", [recorded("unknown_op")]);
    let client = client(&region.url);
    let why = client.why("abcdef").await.unwrap().unwrap();
    assert_eq!(why.status(), Status::Deploying);
    assert_eq!(why.waiting.unwrap().reason, "no DHCP request yet");
    assert_eq!((why.timeline[0].ended, why.timeline[0].outcome.as_str()), (None, "running"));
    assert!(client.why("8x8q3x").await.unwrap().is_none());
    assert!(client.why("nosuch").await.is_err());
}

#[tokio::test]
async fn consoles_are_shown_by_regions_that_have_them() {
    let told = json(&serde_json::json!({"first": 3, "lines": ["a", "b"], "total": 5}));
    let region = Region::start()
        .await
        .on("GET /machines/abcdef/?op=console&skip=2", [told])
        .on("GET /machines/8x8q3x/?op=console&skip=0", [recorded("unknown_op")]);
    let client = client(&region.url);
    let console = client.console("abcdef", 2).await.unwrap().unwrap();
    assert_eq!((console.first, console.lines.len(), console.total), (3, 2, 5));
    assert!(client.console("8x8q3x", 0).await.unwrap().is_none());
}

#[tokio::test]
async fn reads_the_other_objects() {
    let region = Region::start()
        .await
        .on("GET /events/?op=query&id=8x8q3x&limit=3", [recorded("events")])
        .on("GET /nodes/8x8q3x/results/", [recorded("results")])
        .on("GET /zones/", [recorded("zones")])
        .on("GET /resourcepools/", [recorded("pools")])
        .on("GET /tags/", [recorded("tags")])
        .on("GET /subnets/", [recorded("subnets")])
        .on("GET /domains/", [recorded("domains")])
        .on("GET /dnsresources/", [recorded("dnsresources_all")])
        .on("GET /dnsresources/?fqdn=www.ex.example", [recorded("dnsresources")])
        .on("POST /dnsresources/", [recorded("dns_create")])
        .on("PUT /dnsresources/2/", [recorded("dns_create")])
        .on("DELETE /dnsresources/2/", [text(204, "")])
        .on("GET /account/prefs/sshkeys/", [recorded("sshkeys")])
        .on("POST /account/prefs/sshkeys/", [recorded("sshkey_create"), recorded("sshkey_bad")])
        .on("DELETE /account/prefs/sshkeys/1/", [text(204, "")]);
    let client = client(&region.url);
    assert_eq!(client.events("8x8q3x", 3).await.unwrap().events[0].level, "WARNING");
    let results = client.results("8x8q3x", Outputs::LeftOut).await.unwrap();
    assert_eq!((results[0].type_name.as_str(), results[0].results.len()), ("Commissioning", 2));
    assert_eq!(client.zones().await.unwrap()[0].name, "default");
    assert_eq!(client.pools().await.unwrap()[0].name, "default");
    assert_eq!(client.tags().await.unwrap()[0].name, "tag001");
    assert_eq!(client.subnets().await.unwrap()[0].cidr, "10.98.0.0/24");
    assert!(client.domains().await.unwrap()[0].is_default);
    assert!(client.dns_resources(None).await.unwrap()[0].ip_addresses.is_empty());
    assert_eq!(client.dns_resources(Some("www.ex.example")).await.unwrap()[0].id, 2);
    let form = DnsResourceForm {
        fqdn: Some("www.ex.example".to_owned()),
        ip_addresses: Some(vec!["10.99.0.5".to_owned(), "10.99.0.6".to_owned()]),
        address_ttl: None,
    };
    assert_eq!(client.create_dns_resource(&form).await.unwrap().fqdn, "www.ex.example");
    assert_eq!(region.body("POST /dnsresources/"), "fqdn=www.ex.example&ip_addresses=10.99.0.5+10.99.0.6");
    client.update_dns_resource(2, &form).await.unwrap();
    client.delete_dns_resource(2).await.unwrap();
    assert_eq!(client.ssh_keys().await.unwrap()[0].id, 1);
    assert_eq!(client.add_ssh_key("ssh-ed25519 x").await.unwrap().id, 1);
    assert!(client.add_ssh_key("x").await.unwrap_err().to_string().contains("Invalid SSH public key"));
    client.delete_ssh_key(1).await.unwrap();
}

fn image(sha256: &str, size: u64) -> NewImage {
    NewImage {
        name: "debian/bookworm".to_owned(),
        architecture: "amd64/generic".to_owned(),
        filetype: "ddzst".to_owned(),
        title: "Debian 12".to_owned(),
        sha256: sha256.to_owned(),
        size,
        raw_size: Some(1 << 30),
    }
}

fn resource(sha256: &str, upload_uri: Option<&str>) -> serde_json::Value {
    let mut file = serde_json::json!({"sha256": sha256, "complete": upload_uri.is_none()});
    if let Some(uri) = upload_uri {
        file["upload_uri"] = uri.into();
    }
    serde_json::json!({"id": 7, "name": "debian/bookworm", "type": "Uploaded",
        "sets": {"20261122": {"complete": upload_uri.is_none(), "files": {"root-dd": file}}}})
}

#[tokio::test]
async fn uploads_in_pieces_of_four_mebibytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk.img.zst");
    let content: Vec<u8> = (0..(9 << 20) + 5).map(|byte: u32| (byte % 251) as u8).collect();
    std::fs::write(&path, &content).unwrap();
    let (sha256, size) = sha256_of(&path, |_| {}).await.unwrap();
    assert_eq!(size, content.len() as u64);
    let put = "PUT /boot-resources/7/upload/3/";
    let region = Region::start()
        .await
        .on(
            "POST /boot-resources/",
            [json(&resource(&sha256, Some("/MAAS/api/2.0/boot-resources/7/upload/3/")))],
        )
        .on(put, [text(200, "")])
        .on("GET /boot-resources/7/", [json(&resource(&sha256, None))]);
    let client = client(&region.url);
    let mut seen = Vec::new();
    let uploaded = client.upload_image(&image(&sha256, size), &path, |at| seen.push(at.sent)).await.unwrap();
    assert!(uploaded.sets["20261122"].complete);
    assert_eq!(seen, [0, 4 << 20, 8 << 20, size]);
    let pieces: Vec<u8> = region
        .asked()
        .iter()
        .filter(|asked| asked.what == put)
        .flat_map(|asked| asked.body.to_vec())
        .collect();
    assert!(pieces == content);
    assert!(region.body("POST /boot-resources/").ends_with("&raw_size=1073741824"));
    let types = region.asked();
    let piece = types.iter().find(|asked| asked.what == put).unwrap();
    assert_eq!(piece.headers["content-type"], "application/octet-stream");

    let error = client.upload_image(&image(&sha256, size + 1), &path, |_| {}).await.unwrap_err();
    assert!(matches!(error, UploadError::Short { .. }), "{error}");
}

#[tokio::test]
async fn an_image_that_is_there_is_not_sent_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk.img");
    std::fs::write(&path, b"disk").unwrap();
    let region = Region::start()
        .await
        .on("POST /boot-resources/", [json(&resource("ab", None))])
        .on("GET /boot-resources/7/", [json(&resource("ab", None))]);
    client(&region.url).upload_image(&image("ab", 4), &path, |_| {}).await.unwrap();
    assert!(region.asked().iter().all(|asked| !asked.what.starts_with("PUT")));
}
