//! Another's client: python-libmaas, Canonical's own, against a region with a simulated machine.

use std::{
    path::{Path, PathBuf},
    process::Output,
    time::Duration,
};

use tokio::process::Command;

use crate::site::Site;

/// What the client and its dependencies are, so that a new release of one does not change what is tested.
const REQUIREMENTS: &str = include_str!("libmaas.txt");
/// For fetching the packages.
const INSTALL: Duration = Duration::from_mins(2);
/// For the walk itself.
const WALK: Duration = Duration::from_mins(2);

/// Runs a program; a sentence where it does not end well in time.
async fn run(command: &mut Command, limit: Duration) -> Result<Output, String> {
    let done = tokio::time::timeout(limit, command.kill_on_drop(true).output()).await;
    let done = done.map_err(|_| format!("not within {limit:?}"))?.map_err(|error| error.to_string())?;
    if done.status.success() {
        return Ok(done);
    }
    Err(format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr)))
}

/// A Python with the client, made in the target folder by the first run.
async fn python() -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("libmaas");
    let (python, installed) = (folder.join("bin/python"), folder.join("installed.txt"));
    if std::fs::read_to_string(&installed).is_ok_and(|installed| installed == REQUIREMENTS) {
        return Ok(python);
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder), INSTALL).await?;
    let wanted = folder.join("wanted.txt");
    std::fs::write(&wanted, REQUIREMENTS).map_err(|error| error.to_string())?;
    let pip =
        ["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check", "--no-deps", "-r"];
    run(Command::new(&python).args(pip).arg(&wanted), INSTALL).await?;
    std::fs::write(&installed, REQUIREMENTS).map_err(|error| error.to_string())?;
    Ok(python)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_libmaas_walks_through_a_region() {
    let python = match python().await {
        Ok(python) => python,
        Err(why) => {
            eprintln!("left out: no Python with python-libmaas here: {why}");
            return;
        }
    };
    let site = Site::start(1).await;
    let node = site.nodes[0].clone();
    site.commissioned(&node).await;
    let key = std::fs::read_to_string(site.dir.path().join("admin.key")).unwrap();
    let url = format!("http://127.0.0.1:{}/MAAS/", site.api);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/region/libmaas.py");
    let mut walk = Command::new(python);
    walk.args(["-W", "ignore", script, &url, &key, &node.mac, "debian/bookworm"]);
    let walked = run(walk.env_remove("http_proxy").env("no_proxy", "*"), WALK).await;
    let said = walked.unwrap_or_else(|why| panic!("{why}"));
    assert!(String::from_utf8_lossy(&said.stdout).contains("events, page by page"));
}
