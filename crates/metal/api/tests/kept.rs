//! What people tell a region beside its machines and networks: devices, files, messages, repositories, snippets,
//! sources of images, settings, passwords.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::{Answer, Region, region};
use http::header;
use lifecycle::Status;
use model::{Device, Machine, SCOPE};
use serde_json::{Value, json};

const MAC: &str = "52:54:00:00:00:aa";

impl Region {
    async fn good(&self, method: &str, path: &str, form: &str) -> Value {
        let answer = self.call("admin", method, path, Some(form)).await;
        assert!(answer.status.is_success(), "{method} {path} {form}: {} {}", answer.status, answer.text);
        serde_json::from_str(&answer.text).unwrap_or(Value::Null)
    }

    /// Asserts the status and that the words are in the answer.
    async fn refused(&self, user: &str, method: &str, path: &str, form: &str, status: u16, words: &str) {
        let answer = self.call(user, method, path, Some(form)).await;
        let all = format!("{method} {path} {form}: {} {}", answer.status, answer.text);
        assert!(answer.status == status && answer.text.contains(words), "{all}");
    }

    async fn part(&self, user: &str, name: &str, content: &str) -> Answer {
        let body = format!(
            "--b\r\nContent-Disposition: form-data; name=\"filename\"\r\n\r\n{name}\r\n--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n{content}\r\n--b--\r\n"
        );
        let headers = [
            (header::AUTHORIZATION, common::plaintext(user)),
            (header::CONTENT_TYPE, "multipart/form-data; boundary=b".to_owned()),
        ];
        self.send("POST", "/files/", &headers, body).await
    }
}

#[tokio::test]
async fn devices_take_names_and_macs_like_machines_and_keep_them_to_their_owners() {
    let region = region().await;
    region.machine("abc346", 1, Status::Ready).await;
    let form = format!("mac_addresses={MAC}&hostname=printer");
    let made = region.call("user1", "POST", "/devices/", Some(&form)).await.ok();
    let id = made["system_id"].as_str().unwrap();
    assert_eq!(
        (&made["fqdn"], &made["owner"], &made["node_type_name"], &made["interface_set"][0]["mac_address"]),
        (&json!("printer.maas"), &json!("user1"), &json!("Device"), &json!(MAC))
    );
    for (path, form, words) in [
        ("/devices/", format!("mac_addresses={MAC}"), "already in use on printer."),
        ("/machines/", format!("architecture=amd64&mac_addresses={MAC}"), "already in use on printer."),
        (
            "/devices/",
            "mac_addresses=52:54:00:00:00:bb&hostname=m00001".to_owned(),
            "Hostname already exists",
        ),
        ("/devices/", "mac_addresses=nosuch".to_owned(), "not a valid MAC address"),
        ("/devices/", "hostname=x".to_owned(), "This field is required."),
    ] {
        region.refused("admin", "POST", path, &form, 400, words).await;
    }
    let registered = format!("/devices/?op=is_registered&mac_address={MAC}");
    assert_eq!(region.call("", "GET", &registered, None).await.text, "true");
    let path = format!("/devices/{id}/");
    region.good("POST", "/zones/", "name=z1").await;
    region.good("POST", "/tags/", "name=t1").await;
    region.good("POST", "/tags/t1/?op=update_nodes", &format!("add={id}")).await;
    let changed = region.good("PUT", &path, "hostname=scanner&zone=z1&parent=abc346").await;
    assert_eq!(
        (&changed["fqdn"], &changed["zone"]["name"], &changed["parent"], &changed["tag_names"][0]),
        (&json!("scanner.maas"), &json!("z1"), &json!("abc346"), &json!("t1"))
    );
    assert_eq!(region.good("GET", "/devices/?hostname=scanner&zone=z1", "").await[0]["system_id"], *id);
    assert_eq!(region.good("GET", "/devices/?hostname=printer", "").await, json!([]));
    assert_eq!(region.good("GET", "/tags/t1/?op=devices", "").await[0]["system_id"], *id);
    let nodes = region.good("GET", "/nodes/", "").await;
    assert_eq!(nodes.as_array().unwrap().iter().map(|node| &node["node_type"]).collect::<Vec<_>>(), [0, 1]);
    region.good("POST", &format!("{path}?op=set_owner_data"), "rack=7&shelf=").await;
    assert_eq!(region.good("GET", &format!("/nodes/{id}/"), "").await["owner_data"], json!({"rack": "7"}));
    region.good("POST", "/devices/?op=set_zone", &format!("zone=default&nodes={id}")).await;
    region.good("DELETE", "/tags/t1/", "").await;
    let stored = region.machines.store().get::<Device>(SCOPE, id).unwrap();
    assert_eq!((stored.value.zone.as_str(), stored.value.tags.len()), ("default", 0));

    // What is free again can be taken.
    region.call("user1", "DELETE", &path, None).await;
    region.refused("admin", "GET", &path, "", 404, "No Device matches the given query.").await;
    let again = region.good("POST", "/devices/", &format!("mac_addresses={MAC}&hostname=printer")).await;
    let path = format!("/devices/{}/", again["system_id"].as_str().unwrap());
    region.refused("user1", "GET", &path, "", 403, "").await;
    region.refused("user1", "DELETE", &path, "", 403, "").await;
}

#[tokio::test]
async fn a_password_gets_a_key_and_a_wrong_one_nothing() {
    let region = region().await;
    let form = "username=bob&email=bob@example.com&password=builder&is_superuser=0";
    region.good("POST", "/users/", form).await;
    let sign_in = async |form: &'static str| {
        let kind = [(header::CONTENT_TYPE, "application/x-www-form-urlencoded".to_owned())];
        region.send_bare("POST", "/MAAS/accounts/authenticate/", &kind, form).await
    };
    let first = sign_in("username=bob&password=builder&consumer=laptop").await.ok();
    assert_eq!(first["name"], "laptop");
    assert_eq!(
        sign_in("username=bob&password=builder&consumer=laptop").await.ok(),
        first,
        "the same key again"
    );
    let other = sign_in("username=bob&password=builder&consumer=desk").await.ok();
    assert_ne!(other["token_key"], first["token_key"]);
    for wrong in [
        "username=bob&password=Builder",
        "username=bob",
        "username=nobody&password=builder",
        "username=admin&password=",
        "",
    ] {
        let answer = sign_in(wrong).await;
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (403, ""), "{wrong}");
    }
    // A user that is gone has no password either.
    region.good("DELETE", "/users/bob/", "").await;
    assert_eq!(sign_in("username=bob&password=builder").await.status, 403);
}

#[tokio::test]
async fn a_user_goes_when_nothing_is_left_or_somebody_inherits_it() {
    let region = region().await;
    let form = format!("mac_addresses={MAC}");
    let device = region.call("user1", "POST", "/devices/", Some(&form)).await.ok();
    region.refused("admin", "DELETE", "/users/user1/", "", 400, "1 device(s) are still allocated").await;
    let path = "/users/user1/?transfer_resources_to=";
    region.refused("admin", "DELETE", &format!("{path}nosuch"), "", 404, "No User matches").await;
    region.good("DELETE", &format!("{path}admin"), "").await;
    let kept = region.good("GET", &format!("/devices/{}/", device["system_id"].as_str().unwrap()), "").await;
    assert_eq!(kept["owner"], "admin");
}

#[tokio::test]
async fn files_are_their_owners_and_those_who_have_the_key() {
    let region = region().await;
    let put = async |name, content| region.part("user1", name, content).await.status.as_u16();
    assert_eq!((put("b/2", "two").await, put("a", "one").await, put("a", "uno").await), (201, 201, 201));
    let list = region.call("user1", "GET", "/files/", None).await.ok();
    assert_eq!(list.as_array().unwrap().iter().map(|one| &one["filename"]).collect::<Vec<_>>(), ["a", "b/2"]);
    let open = list[0]["anon_resource_uri"].as_str().unwrap();
    assert_eq!(region.call("", "GET", open, None).await.text, "uno");
    assert_eq!(region.call("user1", "GET", "/files/?op=get&filename=b/2", None).await.text, "two");
    assert_eq!(region.call("user1", "GET", "/files/b%2F2/", None).await.ok()["content"], "dHdv");
    region.refused("admin", "GET", "/files/a/", "", 404, "Not Found").await;
    region.refused("", "GET", "/files/?op=get_by_key&key=nosuch", "", 404, "No FileStorage").await;
    region.refused("user1", "POST", "/files/", "filename=a", 400, "File not supplied").await;
    let large = "x".repeat((1 << 20) + 1);
    assert_eq!(region.part("user1", "large", &large).await.status, 413);
    assert_eq!(region.call("user1", "DELETE", "/files/?filename=a", None).await.status, 204);
    assert_eq!(region.call("", "GET", open, None).await.status, 404);
}

#[tokio::test]
async fn messages_reach_those_they_are_for_until_they_put_them_away() {
    let region = region().await;
    let form =
        "message=disk {name} is full&context={\"name\": \"sda\"}&category=warning&users=true&ident=full";
    let made = region.good("POST", "/notifications/", form).await;
    assert_eq!((&made["category"], &made["dismissable"]), (&json!("warning"), &json!(true)));
    let path = format!("/notifications/{}/", made["id"]);
    let list = async |user| region.call(user, "GET", "/notifications/", None).await.ok();
    assert_eq!((list("user1").await[0]["ident"].clone(), list("admin").await), (json!("full"), json!([])));
    for (form, words) in [
        ("message=x&ident=full", "Notification with this Ident already exists."),
        ("category=info", "This field is required."),
        ("message=x&category=nosuch", "Select a valid choice. nosuch"),
        ("message={gone}", "Notification cannot be rendered."),
        ("message=x&context=[]", "Context is not a mapping."),
        ("message=x&user=nobody", "Enter a valid user id or username."),
    ] {
        region.refused("admin", "POST", "/notifications/", form, 400, words).await;
    }
    region.refused("user1", "POST", "/notifications/", "message=x", 403, "admin").await;
    let dismiss = format!("{path}?op=dismiss");
    region.refused("admin", "POST", &dismiss, "", 403, "").await;
    for _ in 0..2 {
        assert_eq!(region.call("user1", "POST", &dismiss, Some("")).await.status, 200);
    }
    assert_eq!(list("user1").await, json!([]));
    region.good("PUT", &path, "message=still&user=user1&dismissable=false").await;
    region.refused("user1", "POST", &dismiss, "", 400, "not dismissable").await;
    region.good("DELETE", &path, "").await;
    region.good("POST", "/notifications/", "message=x&ident=full&admins=1").await;
    assert_eq!(list("admin").await[0]["ident"], "full");
}

#[tokio::test]
async fn repositories_have_the_rules_of_maas() {
    let region = region().await;
    let names =
        |list: &Value| list.as_array().unwrap().iter().map(|one| one["name"].clone()).collect::<Vec<_>>();
    let list = region.good("GET", "/package-repositories/", "").await;
    assert_eq!(names(&list), ["main_archive", "ports_archive"]);
    let form = "name=ours&url=https://packages.example/debian&components=main,extra&arches=arm64";
    let made = region.good("POST", "/package-repositories/", form).await;
    assert_eq!((&made["components"], &made["enabled"]), (&json!(["main", "extra"]), &json!(true)));
    for (path, form, words) in [
        ("3", "name=main_archive", "Name already exists"),
        (
            "3",
            "arches=vax",
            "'vax' is not a valid architecture. Known architectures: amd64, arm64, armhf, i386",
        ),
        ("3", "disabled_components=universe", "Please update 'components' instead."),
        ("3", "url=nosuch", "Enter a valid repository URL or PPA location."),
        ("main_archive", "components=main", "Please update 'disabled_components' instead."),
        ("main_archive", "enabled=false", "Default repositories may not be disabled."),
        ("main_archive", "disabled_pockets=release", "'release' is not a valid Ubuntu archive pocket."),
    ] {
        let path = format!("/package-repositories/{path}/");
        region.refused("admin", "PUT", &path, form, 400, words).await;
    }
    region.refused("user1", "POST", "/package-repositories/", form, 403, "admin").await;
    let changed = region.good("PUT", "/package-repositories/1/", "disabled_pockets=updates,backports").await;
    assert_eq!(changed["disabled_pockets"], json!(["updates", "backports"]));
    assert_eq!(
        region.good("PUT", "/package-repositories/1/", "disabled_pockets=").await["disabled_pockets"],
        json!([])
    );
    region.good("DELETE", "/package-repositories/ours/", "").await;
    region.refused("admin", "DELETE", "/package-repositories/1/", "", 400, "Default repositories").await;
    // They are settings, too.
    region.good("POST", "/maas/?op=set_config", "name=main_archive&value=http://mirror.example/ubuntu").await;
    assert_eq!(
        region.good("GET", "/maas/?op=get_config&name=main_archive", "").await,
        "http://mirror.example/ubuntu"
    );
}

#[tokio::test]
async fn snippets_say_only_what_dhcp_can_tell() {
    let region = region().await;
    region.machine("abc346", 1, Status::Ready).await;
    let form = "name=ntp&value=option ntp-servers 10.99.0.9;&subnet=10.99.0.0/24";
    let made = region.good("POST", "/dhcp-snippets/", form).await;
    assert_eq!(
        (&made["subnet"]["cidr"], &made["global_snippet"], &made["history"]),
        (&json!("10.99.0.0/24"), &json!(false), &json!([]))
    );
    for (form, status, words) in [
        ("name=x&value=next-server 10.0.0.1;", 501, "the statement 'next-server' is not supported"),
        ("name=x&value=option dhcp-lease-time 5;", 501, "the option 'dhcp-lease-time' is not supported"),
        ("name=x&value=option routers 10.0.0.1;&iprange=1", 501, "'iprange' is not supported"),
        ("name=x&value=option routers nosuch;", 400, "'nosuch' is no value of the option 'routers'"),
        ("name=x&value=option routers 10.0.0.1", 400, "ends with a semicolon"),
        ("value=option routers 10.0.0.1;", 400, "This field is required."),
        ("name=x&value=option routers 10.0.0.1;&node=nosuch", 400, "nosuch"),
        ("name=x&value=option routers 10.0.0.1;&subnet=nosuch", 400, "Select a valid choice."),
    ] {
        region.refused("admin", "POST", "/dhcp-snippets/", form, status, words).await;
    }
    region.refused("user1", "POST", "/dhcp-snippets/", form, 403, "admin").await;
    let changed =
        region.good("PUT", "/dhcp-snippets/ntp/", "value=option ntp-servers 10.99.0.8;&node=abc346").await;
    assert_eq!(
        (&changed["node"]["system_id"], &changed["subnet"], &changed["history"][0]["value"]),
        (&json!("abc346"), &Value::Null, &json!("option ntp-servers 10.99.0.9;"))
    );
    let back = region.good("POST", "/dhcp-snippets/1/?op=revert", "to=-1").await;
    assert_eq!((&back["value"], &back["history"]), (&json!("option ntp-servers 10.99.0.9;"), &json!([])));
    region
        .refused("admin", "POST", "/dhcp-snippets/1/?op=revert", "to=-7", 400, "-7 is an invalid 'to' value")
        .await;
    let everybody = region.good("PUT", "/dhcp-snippets/1/", "global_snippet=true").await;
    assert_eq!(everybody["global_snippet"], true);
    region.good("DELETE", "/dhcp-snippets/1/", "").await;
    region.refused("admin", "GET", "/dhcp-snippets/1/", "", 404, "No DHCPSnippet matches").await;
}

#[tokio::test]
async fn sources_of_images_and_what_is_wanted_of_them() {
    let region = region().await;
    let url = "url=http://images.example/stable/";
    let form = format!("{url}&keyring_filename=/usr/share/keyrings/a.gpg");
    let answer = region.call("admin", "POST", "/boot-sources/", Some(&form)).await;
    assert_eq!(answer.status, 201);
    let made = answer.json();
    assert_eq!(
        (&made["url"], &made["name"], &made["priority"], &made["enabled"]),
        (
            &json!("http://images.example/stable"),
            &json!("http://images.example/stable"),
            &json!(1),
            &json!(true)
        )
    );
    for (form, words) in [
        (url, "Boot source with this Url already exists."),
        ("url=http://b.example", "One of keyring_data or keyring_filename must be specified."),
        ("url=nosuch&keyring_filename=/k", "Enter a valid URL."),
        ("keyring_filename=/k", "This field is required."),
        ("url=http://b.example&keyring_filename=/k&keyring_data=x", "Only one of keyring_filename"),
    ] {
        region.refused("admin", "POST", "/boot-sources/", form, 400, words).await;
    }
    region
        .refused("user1", "GET", "/boot-sources/1/", "", 403, "User is not allowed access to this API.")
        .await;
    let want = "os=ubuntu&release=noble&arches=amd64&arches=arm64";
    let wanted = region.good("POST", "/boot-sources/1/selections/", want).await;
    assert_eq!((&wanted["arches"], &wanted["labels"]), (&json!(["amd64", "arm64"]), &json!(["*"])));
    region.refused("admin", "POST", "/boot-sources/1/selections/", want, 400, "already exists").await;
    region.good("PUT", "/boot-sources/1/selections/1/", "arches=amd64").await;
    let list = region.good("GET", "/boot-sources/1/selections/", "").await;
    assert_eq!((list[0]["arches"].clone(), list.as_array().unwrap().len()), (json!(["amd64"]), 1));
    region.good("PUT", "/boot-sources/1/", "url=http://images.example/other&priority=7").await;
    region.good("DELETE", "/boot-sources/1/", "").await;
    region.refused("admin", "GET", "/boot-sources/1/selections/", "", 404, "No BootSource matches").await;
    let again = region.call("admin", "POST", "/boot-sources/", Some(&form)).await;
    assert_eq!(again.status, 201, "its address is free again: {}", again.text);
}

#[tokio::test]
async fn every_setting_of_maas_is_there_with_its_default() {
    let region = region().await;
    let defaults: Value = serde_json::from_str(include_str!("recorded/settings.json")).unwrap();
    for (name, value) in defaults.as_object().unwrap() {
        let here = region.good("GET", &format!("/maas/?op=get_config&name={name}"), "").await;
        // The name of the machine that was recorded.
        assert!(here == *value || name == "maas_name", "{name}: {here}, there {value}");
    }
    for (name, value, stored) in [
        ("kernel_opts", "quiet", json!("quiet")),
        ("upstream_dns", "10.0.0.1, 10.0.0.2", json!("10.0.0.1 10.0.0.2")),
        ("default_dns_ttl", "60", json!(60)),
        ("ntp_server", "a.example", json!("a.example")),
        ("http_proxy", "", json!("")),
        ("enable_http_proxy", "False", json!(false)),
    ] {
        region.good("POST", "/maas/?op=set_config", &format!("name={name}&value={value}")).await;
        assert_eq!(region.good("GET", &format!("/maas/?op=get_config&name={name}"), "").await, stored);
    }
    for (name, value, words) in [
        ("upstream_dns", "nosuch", "Invalid IP address: nosuch"),
        ("default_dns_ttl", "0", "greater than or equal to 1"),
        ("node_timeout", "soon", "Enter a whole number."),
        ("session_length", "9999999", "less than or equal to 1209600"),
        ("maas_proxy_port", "5240", "reserved for MAAS services"),
        ("http_proxy", "proxy", "Enter a valid url"),
        ("dnssec_validation", "maybe", "Select a valid choice. maybe"),
    ] {
        let form = format!("name={name}&value={value}");
        region.refused("admin", "POST", "/maas/?op=set_config", &form, 400, words).await;
    }
}

#[tokio::test]
async fn what_is_not_here_is_empty_and_refused_by_name() {
    let region = region().await;
    for path in ["/pods/", "/vm-hosts/", "/vm-clusters/", "/virtual-machines/", "/license-keys/"] {
        assert_eq!(region.good("GET", path, "").await, json!([]), "{path}");
        region.refused("admin", "POST", path, "x=1", 501, "not supported").await;
    }
    region.refused("admin", "GET", "/vm-hosts/1/", "", 404, "No Pod matches").await;
    region.refused("admin", "GET", "/license-key/windows/win2012", "", 404, "No LicenseKey matches").await;
    region
        .refused("admin", "POST", "/machines/?op=add_chassis", "chassis_type=virsh", 501, "'add_chassis'")
        .await;
    let key = "-----BEGIN CERTIFICATE-----\nnosuch\n-----END CERTIFICATE-----\n";
    region
        .refused("user1", "POST", "/account/prefs/sslkeys/", &format!("key={key}"), 400, "Invalid SSL key.")
        .await;
}

#[tokio::test]
async fn interfaces_of_one_machine_are_cloned_to_others() {
    let region = region().await;
    for (id, number, status) in
        [("abc346", 1, Status::Ready), ("abc347", 2, Status::Ready), ("abc348", 3, Status::Deployed)]
    {
        region.machine(id, number, status).await;
    }
    let change = |id: &'static str, link: Option<&'static str>| {
        region.machines.change("test", "test", id, move |machine: &mut Machine, batch| {
            let ip = link.map(|ip| ip.parse().unwrap());
            machine.nics[0].links =
                vec![model::Link { number: 1, mode: model::LinkMode::Static, subnet: Some(1), ip }];
            Ok::<_, std::convert::Infallible>(match link {
                Some(ip) => batch.claim(SCOPE, "ip", ip, id),
                None => batch,
            })
        })
    };
    change("abc346", Some("10.99.0.40")).await.unwrap();
    change("abc347", Some("10.99.0.41")).await.unwrap();
    for (form, status, words) in [
        ("source=abc346&destinations=abc347", 400, "Either storage or interfaces must be true."),
        ("source=abc346&destinations=abc346&interfaces=1", 400, "cannot be a destination machine."),
        (
            "source=abc346&destinations=abc348&interfaces=1",
            400,
            "Machine 1 is invalid: Select a valid choice.",
        ),
        ("destinations=abc347&interfaces=1", 400, "This field is required."),
        ("source=abc346&destinations=abc347&storage=1", 501, "'storage' is not supported yet"),
    ] {
        region.refused("admin", "POST", "/machines/?op=clone", form, status, words).await;
    }
    let form = "source=abc346&destinations=abc347&interfaces=true";
    assert_eq!(region.call("admin", "POST", "/machines/?op=clone", Some(form)).await.status, 204);
    let cloned = region.machines.get("abc347").unwrap();
    let link = &cloned.value.nics[0].links[0];
    assert_eq!((link.mode, link.subnet, link.ip), (model::LinkMode::Auto, Some(1), None));
    assert_eq!(region.machines.store().holder(SCOPE, "ip", "10.99.0.41"), None, "its old address is free");
    assert!(region.machines.store().holder(SCOPE, "ip", "10.99.0.40").is_some());
}
