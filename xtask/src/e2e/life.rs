//! The whole life of a machine, of each kind in the rack.

use std::{fs, path::Path};

use anyhow::{Result, ensure};
use rack::{Kind, MachineStatus};

use super::{check_deployed, erase, lab_machine, release};
use crate::{
    narrate::{self, Narrator},
    site::{Bundle, Machines, Site},
    up,
};

/// Lives it: Ready, Deployed, released and wiped, deployed with another image.
pub async fn run(dir: &Path, bundle: &Bundle, machines: Machines) -> Result<()> {
    let mut narrator = Narrator::new();
    let site = up::rack(&mut narrator, dir, "e2e-rack", bundle, machines).await?.site;
    let mut lived: Vec<Kind> = Vec::new();
    for (machine, seen) in site.machines().await? {
        let Some(seen) = seen.filter(|_| !lived.contains(&machine.kind)) else { continue };
        one(&mut narrator, &site, &seen.system_id).await?;
        lived.push(machine.kind);
    }
    narrator.print();
    Ok(())
}

/// Checks on the console how the installed system began: by kexec where the machine is one of its own, else by reset.
fn went_on(machine: &MachineStatus) -> Result<()> {
    let console = fs::read(&machine.console_log)?;
    let console = String::from_utf8_lossy(&console);
    let installed = console.rsplit("agent: wrote ").next().unwrap_or_default();
    let wanted = match machine.kind {
        Kind::Qemu => ["for kexec", "agent: leaving: Kexec"],
        Kind::Namespace => ["restarting through the firmware: kexec is only for", "agent: leaving: Restart"],
    };
    for words in wanted {
        ensure!(installed.contains(words), "{}: `{words}` is not on its console", machine.name);
    }
    ensure!(!installed.contains("Kexec failed"), "{}: kexec failed", machine.name);
    Ok(())
}

async fn one(narrator: &mut Narrator, site: &Site, id: &str) -> Result<()> {
    let machine = lab_machine(site, id).await?;
    let phase = |what: &str| format!("{} {what}", machine.name);
    let key = up::ssh_key(site).await?;
    narrator.phase(&phase("deploy"), up::deploy(site, id, "debian/bookworm")).await?;
    went_on(&machine)?;
    let ssh = narrator.phase(&phase("ssh"), up::ssh(site, id, &key)).await?;
    check_deployed(&ssh, &machine, "bookworm")?;

    let marks = narrator.step(&phase("mark"), || erase::mark(&ssh, &machine.disk))?;
    narrator.phase(&phase("release"), release(site, id)).await?;
    let checked = marks.check_gone(&machine.disk)?;
    narrate::say(&format!("  {}: {checked}", machine.name));

    narrator.phase(&phase("deploy again"), up::deploy(site, id, "debian/trixie")).await?;
    let ssh = narrator.phase(&phase("ssh again"), up::ssh(site, id, &key)).await?;
    check_deployed(&ssh, &machine, "trixie")
}
