//! Machines that want what is another's, and requests that are no requests.

use agent_protocol::{Assignment, Progress, Report, Task};
use maas_client::Status;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    life::deploy,
    node::{Node, Phase, Source},
    site::{Site, until},
};

/// `a` is deployed; `b` is in the middle of its deployment, held.
async fn two() -> (Site, String, String, crate::node::Held) {
    let site = Site::start(2).await;
    let (a, b) = (site.nodes[0].clone(), site.nodes[1].clone());
    let (first, second) = (site.commissioned(&a).await, site.commissioned(&b).await);
    let client = site.client();
    client.deploy(&first, &deploy("debian/bookworm", "a's secret")).await.unwrap();
    site.reaches(&first, Status::Deployed).await;
    let mut held = b.hold(Phase::Written);
    client.deploy(&second, &deploy("debian/trixie", "b's secret")).await.unwrap();
    held.is_there().await;
    (site, first, second, held)
}

async fn status(request: reqwest::RequestBuilder) -> StatusCode {
    request.send().await.unwrap().status()
}

/// Refused as too large; the region may hang up before all of it is sent, and the answer is then lost on the way.
async fn is_too_large(request: reqwest::RequestBuilder) -> bool {
    // The region hangs up in the middle of it: nothing else may go over this connection.
    match request.header("connection", "close").send().await {
        Ok(answer) => answer.status() == StatusCode::PAYLOAD_TOO_LARGE,
        Err(error) => error.is_request() && !error.is_connect() && !error.is_timeout(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_gets_nothing_of_another() {
    let (site, first, second, held) = two().await;
    let (a, b) = (&site.nodes[0], &site.nodes[1]);
    let own = a.source().unwrap();
    let (stolen, install) = (b.seen().token, b.seen().install.unwrap());

    // B's token from A's address.
    for (method, name) in [(Method::POST, "hello"), (Method::GET, "task"), (Method::POST, "report")] {
        let body = if name == "hello" {
            serde_json::to_value(b.hello()).unwrap()
        } else {
            json!({"task": "x", "progress": {"state": "failed", "error": "e"}})
        };
        let answer = status(a.agent_call(method, name, &stolen).json(&body)).await;
        assert_eq!(answer, StatusCode::UNAUTHORIZED, "{name}");
    }
    assert_eq!(status(a.http.get(&install.url)).await, StatusCode::FORBIDDEN);
    let kernel = format!("http://127.0.0.1:{}/boot/{stolen}/vmlinuz", site.boot);
    assert_eq!(status(a.http.get(&kernel)).await, StatusCode::FORBIDDEN);
    assert_eq!(status(b.http.get(&kernel)).await, StatusCode::OK);

    // A's credentials for B's status and data: there is no other way to name a machine.
    let webhook = own.endpoint.replace(&first, &second);
    let message = json!({"event_type": "finish", "name": "modules-final", "result": "FAIL"});
    assert_eq!(status(own.sign(a.http.post(&webhook)).json(&message)).await, StatusCode::NOT_FOUND);
    let mixed = Source { token: b.source().unwrap().token, ..own.clone() };
    assert_eq!(status(mixed.get(&a.http, "latest/user-data")).await, StatusCode::UNAUTHORIZED);
    let guessed = Source { secret: String::new(), ..b.source().unwrap() };
    assert_eq!(status(guessed.get(&a.http, "latest/user-data")).await, StatusCode::UNAUTHORIZED);

    // Nothing of this has moved B.
    held.release();
    site.reaches(&second, Status::Deployed).await;
    until("user-data", async || (b.seen().user_data == b"b's secret").then_some(())).await;
    assert_eq!(b.counts().installs, 1);
}

/// A fresh MAC address with B's UUID, or an inventory with B's MAC address, is not B.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_does_not_become_a_machine_that_is_in_use() {
    let (site, _, second, held) = two().await;
    let b = &site.nodes[1];
    let stranger = Node::new(9, &format!("http://127.0.0.1:{}", site.boot));
    let token = boot(&site, &stranger).await;
    let mut hello = stranger.hello();
    hello.uuid = Some(b.uuid.to_string().to_uppercase());
    let answer = stranger.agent_call(Method::POST, "hello", &token).json(&hello).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::CONFLICT);
    assert!(answer.text().await.unwrap().contains(&second));

    let mut hello = stranger.hello();
    hello.inventory["resources"]["network"]["cards"][0]["ports"][0]["address"] = Value::from(b.mac.clone());
    let answer = stranger.agent_call(Method::POST, "hello", &token).json(&hello).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::CONFLICT);
    assert_eq!(site.machine(b).await.system_id, second);
    held.release();
    site.reaches(&second, Status::Deployed).await;
}

/// The token of a boot of `node`, as firmware gets it.
async fn boot(site: &Site, node: &Node) -> String {
    let url = format!("http://127.0.0.1:{}/ipxe.cfg-{}", site.boot, node.mac.replace(':', "-"));
    let script = node.http.get(url).send().await.unwrap().text().await.unwrap();
    script.split("bessemer.token=").nth(1).unwrap().split_whitespace().next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_ends_with_the_next_boot() {
    let site = Site::start(1).await;
    let node = &site.nodes[0];
    let (old, new) = (boot(&site, node).await, boot(&site, node).await);
    for (token, wanted) in [(&old, StatusCode::UNAUTHORIZED), (&new, StatusCode::OK)] {
        let hello = node.agent_call(Method::POST, "hello", token).json(&node.hello());
        assert_eq!(status(hello).await, wanted);
    }
    assert_eq!(status(node.agent_call(Method::GET, "task", &old)).await, StatusCode::UNAUTHORIZED);
    // Also while a question for a task is held open: the answer is not for the old boot.
    let answer = node.agent_call(Method::GET, "task", &new).send().await.unwrap();
    assert!(matches!(answer.json::<Assignment>().await.unwrap().task, Task::Run { .. }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nonsense_is_refused_and_harms_nobody() {
    let site = Site::start(1).await;
    let node = site.nodes[0].clone();
    let token = boot(&site, &node).await;
    let post = |name: &str, body: Vec<u8>| {
        let call = node.agent_call(Method::POST, name, &token);
        status(call.header("content-type", "application/json").body(body))
    };
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let bodies =
        ["", "{", "null", "[]", "7", "\"\u{0}\"", r#"{"task": 7}"#, r#"{"agent_version": "x"}"#, &deep];
    for name in ["hello", "report"] {
        for body in bodies {
            let answer = post(name, body.as_bytes().to_vec()).await;
            assert!(answer.is_client_error(), "{name} {body:.20}: {answer}");
        }
        assert!(post(name, vec![0xff, 0xfe]).await.is_client_error());
        let call = node.agent_call(Method::POST, name, &token).header("content-type", "application/json");
        assert!(is_too_large(call.body(vec![b' '; 5 << 20])).await, "{name}");
    }
    // An inventory of the right form and the wrong content leaves defaults.
    let odd = [
        json!(null),
        json!({"resources": 7}),
        json!({"resources": {"network": {"cards": [{"ports": [{"address": "é".repeat(9)}, {"address": 1}]}]}}}),
        json!({"resources": {"storage": {"disks": [{"id": "../../x", "size": -1}, {"id": "\u{7}"}]}, "cpu": {"total": 1e300}}}),
    ];
    for inventory in odd {
        let mut hello = node.hello();
        hello.inventory = inventory;
        hello.uuid = Some("x".repeat(1000));
        let answer = post("hello", serde_json::to_vec(&hello).unwrap()).await;
        assert_eq!(answer, StatusCode::OK);
    }
    let all = site.client().machines(&maas_client::MachineFilter::default()).await.unwrap();
    let [machine] = all.as_slice() else { panic!("one machine: {all:?}") };
    assert_eq!(machine.hardware_uuid, None, "what is no UUID is none");
    let report = Report {
        task: format!("commissioning-{}", u64::MAX),
        progress: Progress::Working { step: "s".to_owned(), done: u64::MAX, total: 1 },
    };
    assert_eq!(post("report", serde_json::to_vec(&report).unwrap()).await, StatusCode::CONFLICT);

    let base = format!("http://127.0.0.1:{}", site.boot);
    for path in [
        "/ipxe.cfg-",
        "/ipxe.cfg-52:54",
        "/ipxe.cfg-zz-zz-zz-zz-zz-zz",
        "/ipxe.cfg-%ff",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/boot/x/vmlinuz",
        &format!("/boot/{token}/..%2fdata%2fregion.db"),
        &format!("/boot/{token}/%2fetc%2fpasswd"),
        &format!("/images/{token}/..%2f..%2fregion.db"),
        &format!("/images/{token}/zz"),
        "/images//",
        "/agent/v1/none",
    ] {
        let answer = status(node.http.get(format!("{base}{path}"))).await;
        assert!(answer.is_client_error(), "{path}: {answer}");
    }

    node.press();
    let id = site.machine(&node).await.system_id;
    site.reaches(&id, Status::Ready).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_metadata_requests_are_refused() {
    let (site, id, _, _held) = two().await;
    let (a, base) = (&site.nodes[0], format!("http://127.0.0.1:{}/MAAS/metadata", site.boot));
    let own = a.source().unwrap();
    let get = |path: &str| status(own.sign(a.http.get(format!("{base}{path}"))));
    // cloud-init joins URLs with a double slash.
    for path in ["//latest/meta-data/instance-id", "/latest//meta-data/instance-id", "/2012-03-01/meta-data/"]
    {
        assert_eq!(get(path).await, StatusCode::OK, "{path}");
    }
    for path in [
        "/",
        "//",
        "/latest/nothing",
        "/1999-01-01/meta-data",
        "/latest/meta-data/%00",
        "/latest/meta-data/a/b",
        "/latest/meta-data/..%2fuser-data",
        "/latest/%ff",
        "/status",
        &format!("/{}", "x/".repeat(3000)),
    ] {
        let answer = get(path).await;
        assert!(answer.is_client_error(), "{path}: {answer}");
    }
    for header in ["", "Basic eDp5", "OAuth", "OAuth ,,,=", "OAuth oauth_token=\"\", oauth_signature=\"%26\""]
    {
        let request = a.http.get(format!("{base}/latest/user-data")).header("authorization", header);
        assert_eq!(status(request).await, StatusCode::UNAUTHORIZED, "{header:?}");
    }
    let hook = format!("{base}/status/{id}");
    for body in ["", "{", "[]", "null", r#"{"name": 1}"#, r#"{"event_type": "start"}"#] {
        assert_eq!(status(own.sign(a.http.post(&hook)).body(body)).await, StatusCode::BAD_REQUEST, "{body}");
    }
    let huge = own.sign(a.http.post(&hook)).body(vec![b' '; 9 << 20]);
    assert!(is_too_large(huge).await);
    assert_eq!(status(own.sign(a.http.delete(&hook))).await, StatusCode::NOT_FOUND);
}

/// The script that a machine boots holds the keys to its data: only the address that DHCP gave to it may fetch it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_boot_configuration_is_for_the_address_of_its_lease() {
    let mut site = Site::new(1).await;
    let (node, data) = (site.nodes[0].clone(), site.config().data);
    std::fs::create_dir_all(&data).unwrap();
    let store = store::Store::open_sqlite(&data.join("region.db")).await.unwrap();
    let now = jiff::Timestamp::now();
    let lease = model::Lease {
        ip: [127, 0, 0, 2].into(),
        mac: node.mac.clone(),
        state: "bound".to_owned(),
        since: now,
        expires: now + jiff::SignedDuration::from_hours(1),
        hostname: None,
    };
    let batch = store::Batch::new("test", "lease").create(model::SCOPE, "127.0.0.2", &lease);
    store.commit(batch).await.unwrap();
    store.close().await;
    site.run_here().await;

    let url = format!("http://127.0.0.1:{}/ipxe.cfg-{}", site.boot, node.mac.replace(':', "-"));
    let thief = Node::new(9, "");
    assert_eq!(status(thief.http.get(&url)).await, StatusCode::FORBIDDEN);
    assert_eq!(status(node.http.get(&url)).await, StatusCode::OK);
}
