//! Commands from arguments to output, against a region that answers as MAAS 3.7.3 does, or as ours.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

#[path = "../../contract/maas-client/tests/common/mod.rs"]
mod region;

use std::{path::Path, sync::Arc, time::Duration};

use clap::Parser;
use cli::{Cli, CliError, Interrupt, Screen, Session, execute};
use jiff::tz::TimeZone;
use region::{Answer, Region, json, recorded, text};
use serde_json::json;
use tokio::sync::Notify;

const KEY: &str = "con:tok:sec";

/// What a command said.
#[derive(Debug)]
struct Said {
    done: Result<(), CliError>,
    out: String,
    err: String,
}

impl Said {
    /// Its output; it must have succeeded.
    fn out(self) -> String {
        assert!(self.done.is_ok(), "{self:?}");
        self.out
    }

    /// Its error with what to do next; it must have failed.
    fn error(self) -> String {
        let error = self.done.unwrap_err();
        format!("{error}\n{}", error.next())
    }
}

/// The text with each elapsed time as `T`: how fast a test runs is nobody's business.
fn timeless(text: &str) -> String {
    let is_time = |word: &str| {
        word.strip_suffix(['s', 'm', 'h'])
            .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
    };
    text.split(' ').map(|word| if is_time(word) { "T" } else { word }).collect::<Vec<_>>().join(" ")
}

async fn run(home: &Path, line: &str, input: &str, screen: Screen, interrupt: Interrupt) -> Said {
    let parsed = Cli::try_parse_from(line.split(' ')).unwrap();
    let (mut out, mut err, mut input) = (Vec::new(), Vec::new(), input.as_bytes());
    let mut session = Session {
        out: &mut out,
        err: &mut err,
        input: &mut input,
        screen,
        home: home.to_owned(),
        zone: TimeZone::UTC,
        pause: Duration::from_millis(5),
        interrupt,
    };
    let done = execute(&mut session, &parsed.global, parsed.command).await;
    Said { done, out: String::from_utf8(out).unwrap(), err: String::from_utf8(err).unwrap() }
}

/// Runs a command at `region`, its error output a pipe.
async fn at(region: &Region, line: &str) -> Said {
    let home = tempfile::tempdir().unwrap();
    let line = format!("bessemer --url {} --api-key {KEY} {line}", region.url);
    run(home.path(), &line, "", Screen::Pipe, Interrupt::Notified(Arc::default())).await
}

async fn at_home(home: &Path, line: &str, input: &str) -> Said {
    run(home, line, input, Screen::Pipe, Interrupt::Notified(Arc::default())).await
}

/// node-1 as a region of ours shows it.
fn node(status: u8, label: &str) -> Answer {
    json(&json!({"system_id": "abc123", "hostname": "node-1", "fqdn": "node-1.maas", "status": status,
        "status_name": label, "ip_addresses": if status == 6 { vec!["10.20.0.11"] } else { vec![] }}))
}

fn nodes(status: u8, label: &str) -> Answer {
    json(
        &json!([{"system_id": "abc123", "hostname": "node-1", "fqdn": "node-1.maas", "status": status, "status_name": label}]),
    )
}

fn why(label: &str, reason: Option<&str>, timeline: &[(&str, u8, Option<u8>, &str)], error: &str) -> Answer {
    let time = |second: &u8| format!("2026-11-22T10:00:{second:02}Z");
    let phases: Vec<_> = timeline
        .iter()
        .map(|(phase, from, to, detail)| json!({"phase": phase, "started": time(from), "ended": to.as_ref().map(time), "detail": detail}))
        .collect();
    let waiting =
        reason.map(|reason| json!({"reason": reason, "since": time(&0), "until": "2026-11-22T11:00:00Z"}));
    json(
        &json!({"system_id": "abc123", "status_name": label, "waiting": waiting, "error_description": error, "timeline": phases}),
    )
}

const FIND: &str = "GET /machines/?hostname=node-1";
const WHY: &str = "GET /machines/abc123/?op=why";
const DEPLOY: &str = "POST /machines/abc123/?op=deploy";

#[tokio::test]
async fn log_in_and_choose_a_region() {
    let home = tempfile::tempdir().unwrap();
    let region = Region::start()
        .await
        .on("GET /users/?op=whoami", [recorded("whoami")])
        .on("GET /version/", [recorded("version")])
        .on("GET /machines/?status=ready", [json(&json!([]))]);
    let said =
        at_home(home.path(), &format!("bessemer login lab {} -", region.url), &format!("{KEY}\n")).await;
    assert_eq!(said.out(), format!("logged in to {} as admin; 'lab' is the current context\n", region.url));
    let list = at_home(home.path(), "bessemer context list", "").await.out();
    assert_eq!(list.lines().nth(1).unwrap(), format!("lab   *        region  {}", region.url));
    let none = at_home(home.path(), "bessemer machine list --status Ready", "").await.out();
    assert!(none.starts_with("No machine is there"), "{none}");
    at_home(home.path(), "bessemer context use lab", "").await.out();
    at_home(home.path(), "bessemer context remove lab", "").await.out();
    assert_eq!(
        at_home(home.path(), "bessemer machine list", "").await.error(),
        "no region is chosen\nbessemer login NAME URL KEY, or set BESSEMER_URL and BESSEMER_API_KEY"
    );
    assert!(at_home(home.path(), "bessemer context use lab", "").await.error().contains("'lab'"));
}

#[tokio::test]
async fn a_key_that_is_not_accepted_is_not_remembered() {
    let home = tempfile::tempdir().unwrap();
    let region = Region::start().await.on("GET /users/?op=whoami", [recorded("bad_secret")]);
    let error = at_home(home.path(), &format!("bessemer login lab {} {KEY}", region.url), "").await.error();
    assert!(error.starts_with("the region does not accept the API key"), "{error}");
    assert!(!home.path().join("config.toml").exists() && !home.path().join("keys").exists());
    let error = at_home(home.path(), &format!("bessemer login lab {} a:b", region.url), "").await.error();
    assert!(error.contains("consumer:token:secret"), "{error}");
}

#[tokio::test]
async fn machines_as_maas_has_them() {
    let region = Region::start()
        .await
        .on("GET /machines/", [recorded("machines")])
        .on("GET /machines/?status=nosuch", [recorded("bad_status")])
        .on("GET /machines/8x8q3x/", [recorded("machine_ready")])
        .on("GET /machines/8x8q3x/?op=why", [recorded("unknown_op")])
        .on("GET /events/?op=query&id=8x8q3x&limit=50", [recorded("events")])
        .on("GET /nodes/8x8q3x/results/", [recorded("results")])
        .on("GET /machines/8x8q3x/?op=query_power_state", [recorded("no_bmc")])
        .on("POST /machines/8x8q3x/?op=abort", [recorded("abort_ready")]);
    let list = at(&region, "machine list").await.out();
    assert!(list.starts_with("NAME ") && list.lines().count() > 1, "{list}");
    let shown = at(&region, "machine show 8x8q3x").await.out();
    assert!(shown.starts_with("m00007.maas (8x8q3x)\n  status    Ready"), "{shown}");
    let parsed: serde_json::Value =
        serde_json::from_str(&at(&region, "machine show 8x8q3x -o json").await.out()).unwrap();
    assert_eq!((&parsed["status"], &parsed["system_id"]), (&json!(4), &json!("8x8q3x")));
    assert!(at(&region, "machine show 8x8q3x -o yaml").await.out().contains("hostname: m00007\n"));
    assert!(
        at(&region, "machine events 8x8q3x").await.out().contains("No rack controllers can access the BMC")
    );
    assert!(at(&region, "machine results 8x8q3x").await.out().contains("20-maas-01-install-lldpd"));
    assert!(at(&region, "machine timeline 8x8q3x").await.out().starts_with("This MAAS keeps no timelines"));
    assert_eq!(at(&region, "why 8x8q3x").await.out(), "m00007 (8x8q3x): Ready\n  nothing is under way\n");
    assert!(at(&region, "machine list --status nosuch").await.error().contains("nosuch"));
    let error = at(&region, "machine power status 8x8q3x").await.error();
    assert!(error.contains("No rack controllers can access the BMC of node m00007"), "{error}");
    assert_eq!(
        at(&region, "machine abort 8x8q3x").await.error(),
        "m00007: Cannot abort in current state: node 8x8q3x is in state Ready.\nbessemer why m00007 says what it is doing"
    );
}

#[tokio::test]
async fn allocating() {
    let allocate = "POST /machines/?op=allocate";
    let region = Region::start().await.on(allocate, [recorded("allocate"), recorded("no_match")]);
    assert_eq!(
        at(&region, "machine allocate --memory 2048 --tag a").await.out(),
        "m00007 (8x8q3x) is yours\n"
    );
    assert_eq!(region.body(allocate), "mem=2048&tags=a");
    let error = at(&region, "machine allocate --memory 99999999").await.error();
    assert!(error.contains("machine list --status ready"), "{error}");
}

#[tokio::test]
async fn deploying_is_followed_phase_by_phase() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("user-data"), "#cloud-config\n").unwrap();
    let dhcp = "power is on, waiting for a DHCP request";
    let writing = |detail| {
        why(
            "Deploying",
            Some("writing the image"),
            &[("Deploying", 0, Some(14), ""), ("image", 14, None, detail)],
            "",
        )
    };
    let region = Region::start()
        .await
        .on(FIND, [nodes(4, "Ready")])
        .on(DEPLOY, [node(9, "Deploying")])
        .on(
            WHY,
            [
                why("Deploying", Some(dhcp), &[("Deploying", 0, None, "")], ""),
                text(503, "busy").retry_after(0),
                why("Deploying", Some(dhcp), &[("Deploying", 0, None, "")], ""),
                writing("10 %"),
                writing("55 %"),
                why(
                    "Deployed",
                    None,
                    &[
                        ("Deploying", 0, Some(14), ""),
                        ("image", 14, Some(50), ""),
                        ("cloud-init", 50, None, ""),
                    ],
                    "",
                ),
            ],
        )
        .on("GET /machines/abc123/", [node(6, "Deployed")]);
    let command = format!(
        "machine deploy node-1 --image debian/bookworm --user-data {} --wait",
        folder.path().join("user-data").display()
    );
    let said = at(&region, &command).await;
    let err = said.err.lines().map(timeless).collect::<Vec<_>>();
    let lines: Vec<&str> = err.iter().map(String::as_str).collect();
    assert_eq!(lines.len(), 5, "{said:?}");
    assert!(
        lines[0].starts_with("node-1  T  Deploying ") && lines[0].ends_with(&format!(": {dhcp}")),
        "{}",
        lines[0]
    );
    assert!(lines[1].ends_with(": writing the image (10 %)"), "{}", lines[1]);
    assert_eq!(&lines[2..], ["PHASE      TOOK", "Deploying  T", "image      T"]);
    assert_eq!(timeless(&said.out()), "node-1 (abc123) is Deployed after T at 10.20.0.11\n");
    assert_eq!(region.body(DEPLOY), "distro_series=debian%2Fbookworm&user_data=I2Nsb3VkLWNvbmZpZwo%3D");
}

#[tokio::test]
async fn on_a_terminal_progress_stays_on_one_line() {
    let region = Region::start()
        .await
        .on(FIND, [nodes(4, "Ready")])
        .on(DEPLOY, [node(9, "Deploying")])
        .on(WHY, [why("Deploying", Some("writing"), &[], ""), why("Deployed", None, &[], "")])
        .on("GET /machines/abc123/", [node(6, "Deployed")]);
    let home = tempfile::tempdir().unwrap();
    let line = format!("bessemer --url {} --api-key {KEY} machine deploy node-1 --wait", region.url);
    let said = run(home.path(), &line, "", Screen::Terminal, Interrupt::Notified(Arc::default())).await;
    assert_eq!(timeless(&said.err), "\r\x1b[2Knode-1  T  Deploying: writing\r\x1b[2K");
}

#[tokio::test]
async fn a_failure_ends_the_wait_with_its_reason() {
    let reason = "power is on, no DHCP request came: is the NIC first in the boot order?";
    let region = Region::start()
        .await
        .on(FIND, [nodes(4, "Ready")])
        .on(DEPLOY, [node(9, "Deploying")])
        .on(WHY, [why("Deploying", Some("waiting"), &[], ""), why("Failed deployment", None, &[], reason)]);
    let said = at(&region, "machine deploy node-1 --wait").await;
    assert_eq!(said.done.as_ref().unwrap_err().code(), 1);
    let error = said.error();
    assert!(error.starts_with(&format!("node-1: Failed deployment: {reason}\n")), "{error}");
    assert!(error.contains("bessemer machine release node-1"), "{error}");
}

#[tokio::test]
async fn waiting_ends_by_time_and_by_hand_and_the_work_goes_on() {
    let region = Region::start()
        .await
        .on(FIND, [nodes(4, "Ready")])
        .on(DEPLOY, [node(9, "Deploying")])
        .on(WHY, [why("Deploying", Some("writing"), &[], "")]);
    let error = at(&region, "machine deploy node-1 --wait --timeout 100ms").await.error();
    assert!(error.starts_with("node-1 is still Deploying after "), "{error}");
    assert!(
        error.ends_with("look again: bessemer why node-1; end it: bessemer machine abort node-1"),
        "{error}"
    );
    let stop = Arc::new(Notify::new());
    stop.notify_one();
    let home = tempfile::tempdir().unwrap();
    let line = format!("bessemer --url {} --api-key {KEY} machine deploy node-1 --wait", region.url);
    let said = run(home.path(), &line, "", Screen::Pipe, Interrupt::Notified(stop)).await;
    let error = said.done.unwrap_err();
    assert_eq!(
        (error.to_string().as_str(), error.code()),
        ("stopped waiting; node-1 goes on, and is Deploying now", 130)
    );
}

#[tokio::test]
async fn a_canonical_maas_is_followed_by_its_status_messages() {
    let deploying = |message: &str| {
        json(
            &json!({"system_id": "abc123", "hostname": "node-1", "status": 9, "status_name": "Deploying", "status_message": message}),
        )
    };
    let region = Region::start()
        .await
        .on(FIND, [nodes(4, "Ready")])
        .on(DEPLOY, [node(9, "Deploying")])
        .on(WHY, [recorded("unknown_op")])
        .on(
            "GET /machines/abc123/",
            [deploying("Performing PXE boot"), deploying("Installing OS"), node(6, "Deployed")],
        );
    let said = at(&region, "machine deploy node-1 --wait").await;
    assert_eq!(
        timeless(&said.err),
        "node-1  T  Deploying: Performing PXE boot\nnode-1  T  Deploying: Installing OS\n"
    );
    assert!(said.out().starts_with("node-1 (abc123) is Deployed after "));
}

#[tokio::test]
async fn releasing_erases_quickly_unless_told_otherwise() {
    let release = "POST /machines/abc123/?op=release";
    let region = Region::start()
        .await
        .on(FIND, [nodes(6, "Deployed")])
        .on(release, [node(14, "Disk erasing")])
        .on(WHY, [why("Ready", None, &[], "")])
        .on("GET /machines/abc123/", [node(4, "Ready")]);
    assert_eq!(
        at(&region, "machine release node-1").await.out(),
        "node-1 (abc123): Disk erasing; follow it: bessemer why node-1\n"
    );
    assert_eq!(region.body(release), "erase=true&quick_erase=true");
    at(&region, "machine release node-1 --erase full").await.out();
    assert_eq!(region.body(release), "erase=true&quick_erase=false&secure_erase=false");
    let said = at(&region, "machine release node-1 --erase none --wait -o json").await;
    assert_eq!(region.body(release), "");
    assert_eq!(serde_json::from_str::<serde_json::Value>(&said.out()).unwrap()["status_name"], "Ready");
}

#[tokio::test]
async fn a_locked_machine_says_how_to_go_on() {
    let region = Region::start()
        .await
        .on(FIND, [nodes(6, "Deployed")])
        .on("POST /machines/abc123/?op=release", [recorded("release_locked")])
        .on("POST /machines/abc123/?op=unlock", [node(6, "Deployed")]);
    let error = at(&region, "machine release node-1").await.error();
    assert!(error.contains("bessemer machine unlock node-1"), "{error}");
    assert_eq!(at(&region, "machine unlock node-1").await.out(), "node-1 is unlocked; it is Deployed\n");
}

const CONSOLE: &str = "GET /machines/abc123/?op=console&skip=";

fn console(first: usize, lines: &[&str], total: usize) -> Answer {
    json(&json!({"first": first, "lines": lines, "total": total}))
}

#[tokio::test]
async fn a_console_is_shown_to_its_end() {
    let region = Region::start()
        .await
        .on(FIND, [nodes(9, "Deploying")])
        .on(&format!("{CONSOLE}0"), [console(4, &["\u{1b}[2Jfive\0", "", "  seven\t\u{fc}"], 8)])
        .on(&format!("{CONSOLE}7"), [console(7, &["eight"], 9)]);
    assert_eq!(at(&region, "machine console node-1").await.out(), "five\n\n  seven\t\u{fc}\neight\n");

    let old = Region::start()
        .await
        .on(FIND, [nodes(9, "Deploying")])
        .on(&format!("{CONSOLE}0"), [recorded("unknown_op"), text(501, "its BMC keeps no log")]);
    let error = at(&old, "machine console node-1").await.error();
    assert!(error.starts_with("node-1: this MAAS does not show serial consoles\n"), "{error}");
    let error = at(&old, "machine console node-1").await.error();
    assert!(error.contains("its BMC keeps no log"), "{error}");
}

/// What was written, and a notification once it holds a text.
struct Watched {
    text: Vec<u8>,
    until: &'static str,
    seen: Arc<Notify>,
}

impl std::io::Write for Watched {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.text.extend_from_slice(bytes);
        if String::from_utf8_lossy(&self.text).contains(self.until) {
            self.seen.notify_one();
        }
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_console_is_followed_until_it_is_stopped() {
    let region = Region::start()
        .await
        .on(FIND, [nodes(9, "Deploying")])
        .on(&format!("{CONSOLE}0"), [console(0, &["one"], 1), console(0, &["anew"], 1)])
        .on(&format!("{CONSOLE}1"), [console(1, &[], 1), console(1, &["two"], 2), console(1, &["last"], 2)])
        .on(&format!("{CONSOLE}2"), [console(2, &[], 0)]);
    let home = tempfile::tempdir().unwrap();
    let line = format!("bessemer --url {} --api-key {KEY} machine console node-1 --follow", region.url);
    let parsed = Cli::try_parse_from(line.split(' ')).unwrap();
    let seen = Arc::new(Notify::new());
    let mut out = Watched { text: vec![], until: "last\n", seen: Arc::clone(&seen) };
    let (mut err, mut input) = (Vec::new(), &b""[..]);
    let mut session = Session {
        out: &mut out,
        err: &mut err,
        input: &mut input,
        screen: Screen::Pipe,
        home: home.path().to_owned(),
        zone: TimeZone::UTC,
        pause: Duration::from_millis(5),
        interrupt: Interrupt::Notified(seen),
    };
    let followed = execute(&mut session, &parsed.global, parsed.command);
    tokio::time::timeout(Duration::from_secs(30), followed).await.unwrap().unwrap();
    let text = String::from_utf8(out.text).unwrap();
    assert!(text.starts_with("one\ntwo\nanew\nlast\n"), "{text}");
}

#[tokio::test]
async fn ssh_keys() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("id.pub");
    std::fs::write(
        &file,
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE3MOONRXyMuRzEmuvN5BYjWCmZYhGGMrPZn0Gp2aJEd other@name\n",
    )
    .unwrap();
    let keys = "/account/prefs/sshkeys/";
    let region = Region::start()
        .await
        .on(&format!("GET {keys}"), [recorded("sshkeys"), json(&json!([])), recorded("sshkeys")])
        .on(&format!("POST {keys}"), [recorded("sshkey_create")])
        .on(&format!("DELETE {keys}1/"), [text(204, "")])
        .on(FIND, [nodes(4, "Ready")])
        .on(DEPLOY, [node(9, "Deploying")]);
    assert_eq!(
        at(&region, "ssh-key list").await.out(),
        "ID  KEY\n1   ssh-ed25519 …PZn0Gp2aJEd t@x\n".replace("PZn0", "rPZn0")
    );
    let deploy = format!("machine deploy node-1 --ssh-key {}", file.display());
    assert!(at(&region, &deploy).await.err.starts_with("added "));
    assert_eq!(at(&region, &deploy).await.err, "");
    assert_eq!(region.times(&format!("POST {keys}")), 1);
    assert!(
        at(&region, &format!("ssh-key add {}", file.display()))
            .await
            .out()
            .starts_with("added key 1: ssh-ed25519")
    );
    assert_eq!(at(&region, "ssh-key delete 1").await.err, "removed key 1\n");
    std::fs::write(&file, "-----BEGIN OPENSSH PRIVATE KEY-----\n").unwrap();
    assert!(at(&region, &format!("ssh-key add {}", file.display())).await.error().contains("ends in .pub"));
}

#[tokio::test]
async fn images_are_uploaded_listed_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("disk.img.zst"), b"disk").unwrap();
    let sha256 = "e7edd01ec69ba4f4731f6e7b4eb2ad5c02f22d3bb20b7c9c7a04a7ffd0f7e1c5";
    let manifest = |sha256: &str| {
        json!({"version": 1, "os": "debian", "series": "bookworm", "architecture": "amd64/generic", "filetype": "ddzst",
            "file": "disk.img.zst", "sha256": sha256, "size": 4, "raw_size": 1024, "title": "Debian 12 (bookworm)"})
        .to_string()
    };
    let image = |complete: bool| {
        let mut file = json!({"size": 4, "complete": complete});
        if !complete {
            file["upload_uri"] = "/MAAS/api/2.0/boot-resources/7/upload/3/".into();
        }
        json(&json!({"id": 7, "name": "debian/bookworm", "architecture": "amd64/generic", "type": "Uploaded",
            "title": "Debian 12 (bookworm)", "sets": {"20261122": {"complete": complete, "files": {"root-dd": file}}}}))
    };
    let region = Region::start()
        .await
        .on("POST /boot-resources/", [image(false)])
        .on("PUT /boot-resources/7/upload/3/", [text(200, "")])
        .on("GET /boot-resources/7/", [image(true)])
        .on(
            "GET /boot-resources/",
            [json(&json!([{"id": 7, "name": "debian/bookworm", "type": "Uploaded"}]))],
        )
        .on("DELETE /boot-resources/7/", [text(204, "")]);
    let command = format!("image upload {}", folder.path().display());
    std::fs::write(folder.path().join("manifest.json"), manifest(sha256)).unwrap();
    let error = at(&region, &command).await.error();
    assert!(error.contains("is not the file that its manifest promises"), "{error}");
    let (real, _) = maas_client::sha256_of(&folder.path().join("disk.img.zst"), |_| {}).await.unwrap();
    std::fs::write(folder.path().join("manifest.json"), manifest(&real)).unwrap();
    let said = at(&region, &command).await;
    assert_eq!(
        said.err,
        "debian/bookworm  hashing 100 %, 4 B of 4 B\ndebian/bookworm  uploading 0 %, 0 B of 4 B\ndebian/bookworm  uploading 100 %, 4 B of 4 B\n"
    );
    assert_eq!(
        said.out(),
        "debian/bookworm (7) can be deployed: bessemer machine deploy MACHINE --image debian/bookworm\n"
    );
    assert_eq!(region.body("PUT /boot-resources/7/upload/3/"), "disk");
    let list = at(&region, "image list").await.out();
    assert_eq!(
        list.lines().nth(1).unwrap(),
        "debian/bookworm  7   amd64/generic  Uploaded  4 B   complete  Debian 12 (bookworm)"
    );
    assert_eq!(at(&region, "image delete debian/bookworm").await.err, "removed debian/bookworm (7)\n");
    assert!(
        at(&region, "image build ubuntu/noble")
            .await
            .error()
            .contains("there is no recipe for 'ubuntu/noble'")
    );
}

#[tokio::test]
async fn a_region_that_is_not_there() {
    let free = "127.0.0.1:1"; // tcpmux, where nobody listens
    let home = tempfile::tempdir().unwrap();
    let line = format!("bessemer --url http://{free}/MAAS --api-key {KEY} machine allocate");
    let error = at_home(home.path(), &line, "").await.error();
    assert!(error.contains("refused") && error.contains("is the region running"), "{error}");
}

#[test]
fn the_arguments_are_sound() {
    use clap::CommandFactory;
    Cli::command().debug_assert();
    for wrong in [
        "bessemer machine deploy",
        "bessemer login lab http://h",
        "bessemer login lab http://h k --key-file f",
        "bessemer machine deploy x --timeout soon",
        "bessemer machine release x --erase maybe",
    ] {
        assert!(Cli::try_parse_from(wrong.split(' ')).is_err(), "{wrong}");
    }
    let parsed = Cli::try_parse_from("bessemer --api-key con:tok:hidden context list".split(' ')).unwrap();
    assert!(!format!("{parsed:?}").contains("hidden"));
}
