//! What MAAS 3.7.3 answered to calls about machines, nodes, users and events, asked again here.
//!
//! `recorded/machines.json` has the calls with status, content type, words of refusals, and for other answers
//! the keys of their objects (of lists, the first element's; objects of one kind merged).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::{Region, plaintext, region, signed};
use disks::Disk;
use http::header;
use jiff::Timestamp;
use lifecycle::Status;
use model::{Credentials, Level, Link, LinkMode, SCOPE, ScriptResult, ScriptSet, Stage, Tag};
use scripts::{Hardware, Outcome};
use serde::Deserialize;
use serde_json::{Value, json};
use store::Batch;

/// Where we answer otherwise on purpose: name, status here (0: not asked), why.
const EXCEPTIONS: &[(&str, u16, &str)] = &[
    ("err_404_no_trailing_slash", 200, "a missing slash is forgiven"),
    ("err_404_no_trailing_slash_post", 400, "a missing slash is forgiven"),
    ("fresh_anon_GETABS_MAAS_api_2.0_machines", 400, "a missing slash is forgiven"),
    ("err_400_allocate_bad_interfaces", 501, "MAAS ignores a constraint that it cannot read"),
    ("err_auth_lowercase_scheme", 200, "RFC 9110: the scheme is case-insensitive"),
    ("err_auth_bad_secret", 401, "MAAS shows the right secret"),
    ("err_409_deploy_ready", 0, "recorded without images; here it would deploy"),
    ("err_user_machine_create", 200, "recorded without images"),
    ("flow_anon_is_registered", 200, "asked before the machine was announced, listed after"),
    ("err_user_users", 200, "MAAS's own user MAAS is not here"),
    ("flow065_user_create_dup", 409, "MAAS answers a page that says to try again"),
    ("flow072_account_create_token", 200, "the name that was sent is answered"),
    ("flow074_account_delete_token", 0, "the key has another name here"),
    ("GET_machines_ID_op=details", 200, "recorded of a machine without an inventory"),
    ("GET_machines_ID-deployed_op=get_curtin_config", 501, "images are written whole"),
    ("GET_machines_ID_op=query_power_state", 200, "the test has a BMC"),
    ("life017_query_power_state", 200, "the test has a BMC"),
    ("GET_machines__arch=amd64", 200, "recorded without images"),
    ("GET_machines__arch=amd64-generic", 200, "recorded without images"),
    ("GET_machines__interfaces=x", 501, "MAAS ignores it; we say that it is not supported yet"),
    ("GET_machines__pod_type=lxd", 200, "no pods here"),
    ("GET_machines__simple_status=ready", 200, "MAAS fails with an internal error"),
    ("GET_nodes_ID_blockdevices_ID_partitions", 200, "MAAS fails with an internal error"),
    ("life016_power_on_allocated", 200, "the machine's network is set up at deployment"),
    ("life018_deploy", 0, "here it deploys: see life_afterdeploy"),
    ("life019_after_deploy", 0, "follows"),
    ("life020_deploy_again", 0, "follows"),
    ("life021_commission_deploying", 0, "follows"),
    ("life022_lock_deploying", 0, "follows"),
    ("life024_release_locked", 0, "follows"),
    ("life_deploy001_mark_broken_unowned", 0, "administrators may"),
    ("life035_mark_broken", 0, "administrators may"),
    ("life041_rescue_mode", 0, "recorded without a rack"),
    ("life_afterdeploy018_power_on_allocated", 409, "here it is Releasing, there it was New already"),
    ("life_afterdeploy019_release_collection", 200, "here it is Releasing, there it was New already"),
];

/// Words that say the same and more, or list what is different here: not compared.
const OTHER_WORDS: [&str; 4] =
    ["It should be one of: ''.", "'arm64/generic', 'ppc64el/generic'", "Expired timestamp", "Nonce already"];

/// Keys that we have and MAAS has not, or not in lists.
const MORE: [&str; 2] = ["ip_addresses", "firmware_version"];

#[derive(Debug, Deserialize)]
struct Call {
    name: String,
    group: String,
    r#as: String,
    method: String,
    url: String,
    body: Option<String>,
    status: u16,
    kind: String,
    text: Option<String>,
    words: Option<Value>,
    keys: Option<String>,
}

struct Recorded {
    trees: serde_json::Map<String, Value>,
    calls: Vec<Call>,
}

fn recorded() -> Recorded {
    let mut whole: Value = serde_json::from_str(include_str!("recorded/machines.json")).unwrap();
    let calls = serde_json::from_value(whole["calls"].take()).unwrap();
    let Value::Object(trees) = whole["trees"].take() else { panic!("no trees") };
    Recorded { trees, calls }
}

/// Asks every call of a group and lists what is different.
async fn replay(region: &Region, group: &str) {
    let recorded = recorded();
    let mut different = Vec::new();
    for call in recorded.calls.iter().filter(|call| call.group == group) {
        let exception = EXCEPTIONS.iter().find(|(name, ..)| *name == call.name);
        if exception.is_some_and(|(_, status, _)| *status == 0) {
            continue;
        }
        if let Some(difference) =
            difference(region, call, exception.map(|(_, status, _)| *status), &recorded).await
        {
            different
                .push(format!("{}: {} {} {:?}: {difference}", call.name, call.method, call.url, call.body));
        }
    }
    assert!(different.is_empty(), "\n{}", different.join("\n"));
}

async fn difference(region: &Region, call: &Call, other: Option<u16>, recorded: &Recorded) -> Option<String> {
    let mut headers = vec![];
    if let Some(authorization) = authorization(call) {
        headers.push((header::AUTHORIZATION, authorization));
    }
    if let Some(body) = &call.body {
        let json = body.starts_with('{');
        let kind = if json { "application/json" } else { "application/x-www-form-urlencoded" };
        headers.push((header::CONTENT_TYPE, kind.to_owned()));
    }
    let body = call.body.clone().unwrap_or_default();
    let answer = region.send(&call.method, &call.url, &headers, body).await;
    let wanted = other.unwrap_or(call.status);
    if answer.status.as_u16() != wanted {
        return Some(format!("{} instead of {wanted}: {:.300}", answer.status, answer.text));
    }
    if other.is_some() {
        return None;
    }
    let essence = |kind: &str| kind.split(';').next().unwrap_or_default().to_owned();
    if essence(&answer.kind) != essence(&call.kind) {
        return Some(format!("{} instead of {}", answer.kind, call.kind));
    }
    let sent = |text: &str| OTHER_WORDS.iter().any(|other| text.contains(other));
    if let Some(text) = &call.text
        && !text.is_empty()
        && !sent(text)
        && answer.text != *text
        && answer.text.trim_matches('"') != text
    {
        return (!(text == "null" && answer.text == "null"))
            .then(|| format!("{:?} instead of {text:?}", answer.text));
    }
    if let Some(words) = &call.words {
        let got = answer.json();
        let same = match (words, &got) {
            (Value::Object(words), Value::Object(got)) => words.iter().all(|(field, messages)| {
                sent(&messages.to_string()) || {
                    let mut messages = messages.as_array().unwrap().clone();
                    messages.dedup();
                    got.get(field) == Some(&Value::Array(messages))
                }
            }),
            _ => *words == got,
        };
        return (!same).then(|| format!("{got} instead of {words}"));
    }
    let tree = recorded.trees.get(call.keys.as_ref()?)?;
    let mut missing = Vec::new();
    compare(tree, &answer.json(), "", &mut missing);
    (!missing.is_empty()).then(|| missing.join(", "))
}

/// The header of a call, with the faults that some calls are about.
fn authorization(call: &Call) -> Option<String> {
    let good = plaintext("admin");
    let age = |seconds: i64| {
        let now = Timestamp::now().as_second();
        good.replace(&format!("timestamp={now}"), &format!("timestamp={}", now + seconds))
    };
    Some(match call.r#as.as_str() {
        "anonymous" => return None,
        "user1" | "user1 (not admin)" => plaintext("user1"),
        "basic auth" => "Basic YTpi".to_owned(),
        "bearer" => "Bearer x".to_owned(),
        "bad consumer key" => signed("x", "admin", "s-admin"),
        "bad token key" => signed("ck", "x", "s-admin"),
        "bad token secret" => signed("ck", "admin", "x"),
        "admin, header without oauth_nonce" => good.replace("oauth_nonce", "nonce"),
        "admin, 'oauth' in lower case" => good.replace("OAuth", "oauth"),
        "admin, oauth_signature=\"&secret\" not percent-encoded" => {
            good.replace("=%26s-admin", "=\"&s-admin\"")
        }
        "admin, realm=\"\" and no spaces after commas" => {
            good.replace("OAuth ", "OAuth realm=\"\",").replace(", ", ",")
        }
        "admin" if call.name.contains("nonce_first") => with_nonce(&good),
        "admin (same nonce again)" => with_nonce(&good),
        "admin" if call.name.contains("old_timestamp") => age(-3600),
        "admin" if call.name.contains("future") => age(3600),
        "admin" if call.name.contains("200s_old") => age(-200),
        "admin" => good,
        other => panic!("who is {other}?"),
    })
}

fn with_nonce(header: &str) -> String {
    let (before, rest) = header.split_once("oauth_nonce=").unwrap();
    let (_, after) = rest.split_once(',').unwrap();
    format!("{before}oauth_nonce=fixed,{after}")
}

/// Keys must be the same wherever both sides have an object.
fn compare(wanted: &Value, got: &Value, path: &str, missing: &mut Vec<String>) {
    match (wanted, got) {
        (Value::Object(wanted), Value::Object(got)) if !wanted.is_empty() && !got.is_empty() => {
            for (key, inner) in wanted {
                match got.get(key) {
                    Some(got) => compare(inner, got, &format!("{path}/{key}"), missing),
                    None if OPTIONAL.contains(&key.as_str()) => {}
                    None => missing.push(format!("{path}/{key} is missing")),
                }
            }
            let known =
                |key: &str| wanted.contains_key(key) || MORE.contains(&key) || OPTIONAL.contains(&key);
            for key in got.keys().filter(|key| !known(key)) {
                missing.push(format!("{path}/{key} is not MAAS's"));
            }
        }
        (Value::Array(wanted), Value::Array(got)) => {
            if let (Some(wanted), Some(got)) = (wanted.first(), got.first()) {
                compare(wanted, got, path, missing);
            }
        }
        (Value::Object(_), Value::Object(_)) | (Value::Null, _) | (_, Value::Null) => {}
        (Value::Object(_) | Value::Array(_), other) => missing.push(format!("{path} is {other:.40}")),
        _ => {}
    }
}

/// Keys that MAAS's own objects have only sometimes.
const OPTIONAL: [&str; 3] = ["ip_address", "subnet", "constraints_by_type"];

async fn recorded_region() -> Region {
    let region = region().await;
    for (id, number, status) in [
        ("8x8q3x", 7, Status::Ready),
        ("pxdpk8", 2, Status::Deployed),
        ("s3cwq8", 3, Status::Deploying),
        ("wnkesr", 4, Status::FailedDeployment),
        ("n364kg", 5, Status::Releasing),
        ("rac6xp", 6, Status::RescueMode),
    ] {
        region.machine(id, number, status).await;
    }
    change(&region, "pxdpk8", |machine| {
        machine.owner = Some("admin".to_owned());
        "ubuntu".clone_into(&mut machine.osystem);
        machine.credentials =
            Some(Credentials { consumer: "c".to_owned(), token: "t".to_owned(), secret: "s".into() });
    })
    .await;
    let set = |number, stage| ScriptSet {
        number,
        stage,
        started: Timestamp::now(),
        ended: None,
        results: vec![ScriptResult {
            number: 259,
            name: "50-maas-01-commissioning".to_owned(),
            script: Some(1),
            hardware: Hardware::Node,
            outcome: Outcome::Passed,
            exit_status: Some(0),
            arguments: Vec::new(),
            parameters: serde_json::json!({}),
            created: Timestamp::now(),
            started: Some(Timestamp::now()),
            ended: Some(Timestamp::now()),
            suppressed: false,
        }],
    };
    let mac = "3c:4e:47:ed:8c:9f";
    change(&region, "8x8q3x", |machine| {
        machine.nics[0].number = 89;
        mac.clone_into(&mut machine.nics[0].mac);
        machine.nics[0].links.push(Link { number: 1, mode: LinkMode::Auto, subnet: Some(1), ip: None });
        machine.storage.disks[0].number = 80;
        let others = [(82, "sdb"), (83, "sdc"), (84, "sdd")];
        machine.storage.disks.extend(others.map(|(number, name)| {
            let one = &machine.storage.disks[0];
            Disk { number, name: name.to_owned(), boot: false, ..one.clone() }
        }));
        machine.cpu_count = 8;
        machine.memory = 8192;
        machine.results = vec![set(43, Stage::Commissioning), set(44, Stage::Testing)];
    })
    .await;
    let raid = "level=raid-1&block_devices=82,83&spare_devices=84";
    region.call("admin", "POST", "/nodes/8x8q3x/raids/", Some(raid)).await.ok();
    let inventory = json!({"resources": {
        "pci": {"devices": [{"pci_address": "0000:01:00.0", "vendor_id": "1234", "product_id": "5678"}]},
        "network": {"cards": [{"pci_address": "0000:01:00.0", "ports": [{"address": mac}]}]},
    }});
    let batch = Batch::new("test", "test").claim(SCOPE, "mac", mac, "8x8q3x").create(
        SCOPE,
        "8x8q3x",
        &model::Hardware::of(&inventory, &model::Hardware::default()),
    );
    region.machines.store().commit(batch).await.unwrap();
    for n in 0..8 {
        region
            .machines
            .event(Level::Warning, "8x8q3x", "Failed to query node's BMC", &format!("{n}"), None)
            .await;
    }
    region
}

async fn change(region: &Region, id: &str, mut change: impl FnMut(&mut model::Machine)) {
    region
        .machines
        .change("test", "test", id, |machine, batch| {
            change(machine);
            Ok::<_, std::convert::Infallible>(batch)
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn reads_and_refusals() {
    replay(&recorded_region().await, "still").await;
}

#[tokio::test]
async fn users_keys_and_new_machines() {
    replay(&region().await, "flow").await;
}

#[tokio::test]
async fn the_life_of_a_ready_machine() {
    replay(&recorded_region().await, "life_first").await;
}

#[tokio::test]
async fn the_life_of_others() {
    let region = region().await;
    region.machine("ksnnmw", 22, Status::Ready).await;
    region.machine("4pr76k", 23, Status::Ready).await;
    region.machine("dry346", 24, Status::Ready).await;
    let tag = Tag { comment: String::new(), definition: String::new(), kernel_opts: String::new() };
    region.machines.store().commit(Batch::new("test", "test").create(SCOPE, "tag096", &tag)).await.unwrap();
    change(&region, "dry346", |machine| {
        machine.tags = vec!["tag096".to_owned()];
        machine.cpu_count = 16;
    })
    .await;
    replay(&region, "life_second").await;
}

#[tokio::test]
async fn the_life_of_a_deployment() {
    let region = region().await;
    region.machine("wn6rxx", 25, Status::Ready).await;
    change(&region, "wn6rxx", |machine| machine.nics[0].number = 233).await;
    replay(&region, "life_deploy").await;
    region.call("admin", "POST", "/machines/wn6rxx/?op=deploy", Some("distro_series=noble")).await.ok();
    replay(&region, "life_afterdeploy").await;
}
