//! Scripts of people run on a deployed machine, which then goes on; and its rescue system is entered by SSH.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use maas_client::{Outputs, ScriptResult, Scripts, Status};

use super::{ask, check_deployed, lab_machine};
use crate::{
    narrate::Narrator,
    roles::Roles,
    site::{Bundle, Machines, Site},
    up,
};

/// Looks at each disk with a tool of the larger system, by Python as well as by the shell.
const SCRIPT: &str = r#"#!/bin/sh
# --- Start MAAS 1.0 script metadata ---
# name: look-at-disk
# script_type: testing
# hardware_type: storage
# timeout: 00:01:00
# parameters: {storage: {type: storage, argument_format: '{path}'}}
# --- End MAAS 1.0 script metadata ---
set -e
head -c 512 "$1" | wc -c
python3 -c 'import yaml; print("status: degraded")' >"$RESULT_PATH"
"#;

/// Runs longer than it may, and leaves a child behind.
const SLOW: &str = r"#!/bin/sh
# --- Start MAAS 1.0 script metadata ---
# name: too-slow
# script_type: testing
# timeout: 00:00:02
# --- End MAAS 1.0 script metadata ---
sleep 1000 &
echo begun
sleep 1000
";

/// Deploys one machine, tests it, rescues it, and finds it as it was.
pub async fn run(dir: &Path, bundle: &Bundle, machines: Machines) -> Result<()> {
    let mut narrator = Narrator::new();
    let mut wanted = machines.pair(bundle).await;
    wanted.truncate(1);
    let (site, _) =
        narrator.phase("lab", Site::start(dir, "e2e-scripts", bundle, wanted, Roles::Region)).await?;
    let ids = narrator.phase("commission", up::commission(&site)).await?;
    let id = ids.first().context("no machine")?.as_str();
    let machine = lab_machine(&site, id).await?;
    let key = up::ssh_key(&site).await?;
    narrator.phase("deploy", up::deploy(&site, id, "debian/bookworm")).await?;
    let ssh = narrator.phase("ssh", up::ssh(&site, id, &key)).await?;
    check_deployed(&ssh, &machine, "bookworm")?;
    ask(&ssh, "echo kept | sudo tee /root/mark && sync")?;

    for script in [SCRIPT, SLOW] {
        site.region.create_script(script).await?;
    }
    let looked = narrator.phase("test", test(&site, id, "look-at-disk", Status::Deployed)).await?;
    ensure!(looked.status_name == "Degraded", "look-at-disk is {}", looked.status_name);
    ensure!(looked.output().as_deref() == Some("512\n"), "it printed {:?}", looked.output());
    let ssh = narrator.phase("its own system", up::ssh(&site, id, &key)).await?;
    ensure!(ask(&ssh, "sudo cat /root/mark")?.trim() == "kept", "the disk is another");

    let slow = narrator.phase("too slow", test(&site, id, "too-slow", Status::FailedTesting)).await?;
    ensure!(slow.status_name == "Timed out", "too-slow is {}", slow.status_name);
    ensure!(slow.output().as_deref() == Some("begun\n"), "it printed {:?}", slow.output());
    site.region.override_failed_testing(id).await?;

    site.region.rescue(id).await?;
    narrator.phase("rescue", site.wait(id, up::LIMIT, |m| m.status == Status::RescueMode)).await?;
    let rescue = narrator.phase("ssh as root", up::ssh_as(&site, id, &key, "root")).await?;
    let release = ask(&rescue, "grep -c bookworm /etc/os-release && which smartctl nvme lvm mdadm")?;
    ensure!(release.contains("smartctl"), "the rescue system has {release}");
    ensure!(
        super::reach(&rescue, "cat /root/mark")?.status.code() == Some(1),
        "the rescue system is the disk's"
    );

    site.region.exit_rescue(id).await?;
    narrator.phase("exit", site.wait(id, up::LIMIT, |m| m.status == Status::Deployed)).await?;
    let ssh = narrator.phase("its own system again", up::ssh(&site, id, &key)).await?;
    ensure!(ask(&ssh, "sudo cat /root/mark")?.trim() == "kept", "the disk is another");
    narrator.print();
    Ok(())
}

/// Runs one test; what it came to.
async fn test(site: &Site, id: &str, script: &str, then: Status) -> Result<ScriptResult> {
    let wanted = Scripts { testing: vec![script.to_owned()], ..Scripts::default() };
    site.region.test(id, &wanted).await?;
    site.wait(id, up::LIMIT, |m| m.status == then).await?;
    let sets = site.region.results(id, Outputs::Included).await?;
    let newest = sets.into_iter().find(|set| set.type_name == "Testing").context("no test results")?;
    newest.results.into_iter().find(|result| result.name == script).context("it was not run")
}
