//! The whole life of a machine, of each kind in the rack.

use std::path::Path;

use anyhow::Result;
use rack::Kind;

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

async fn one(narrator: &mut Narrator, site: &Site, id: &str) -> Result<()> {
    let machine = lab_machine(site, id).await?;
    let phase = |what: &str| format!("{} {what}", machine.name);
    let key = up::ssh_key(site).await?;
    narrator.phase(&phase("deploy"), up::deploy(site, id, "debian/bookworm")).await?;
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
