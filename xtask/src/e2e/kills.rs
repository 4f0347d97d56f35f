//! The region is killed at moments drawn by lot while machines live their lives; all ends well.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Result, bail, ensure};
use maas_client::{Deploy, Erase, Release, Status};
use rack::PowerAction;

use super::{check_deployed, lab_machine};
use crate::{
    narrate::{self, Narrator},
    roles::{REGION, Roles},
    site::{Bundle, Machines, Site},
    up,
};

/// Kills in each of the three phases.
const KILLS: usize = 2;
/// How long nothing may change before a kill that waits for a change is done anyway.
const PATIENCE: Duration = Duration::from_millis(1500);
/// How long the lab may take to start a killed region.
const START_LIMIT: Duration = Duration::from_mins(1);

/// Commissions, deploys and releases two machines under fire.
pub async fn run(dir: &Path, bundle: &Bundle, machines: Machines, seed: u64) -> Result<()> {
    let mut narrator = Narrator::new();
    let (site, _) = narrator
        .phase("lab", Site::start(dir, "e2e-kills", bundle, machines.pair(bundle).await, Roles::Region))
        .await?;
    let mut killer = Killer { site: site.clone(), lots: Lots(seed), sequence: Vec::new() };

    for machine in site.lab.status().await?.machines {
        site.lab.power(&machine.name, PowerAction::On).await?;
    }
    narrator.phase("commission", killer.until("commission", Status::Ready)).await?;
    let known = ids(&site).await?;

    let key = up::ssh_key(&site).await?;
    for id in &known {
        let wanted = Deploy { distro_series: Some("debian/bookworm".to_owned()), ..Deploy::default() };
        site.region.deploy(id, &wanted).await?;
    }
    narrator.phase("deploy", killer.until("deploy", Status::Deployed)).await?;
    for id in &known {
        let ssh = up::ssh(&site, id, &key).await?;
        let machine = lab_machine(&site, id).await?;
        check_deployed(&ssh, &machine, "bookworm")?;
        let console = fs::read(&machine.console_log)?;
        let console = String::from_utf8_lossy(&console);
        let (begun, written) =
            (console.matches("installing ").count(), console.matches("agent: wrote ").count());
        narrate::say(&format!("  {}: image begun {begun} times, written {written} times", machine.name));
        ensure!(written == 1, "{}: the image was written {written} times", machine.name);
    }

    for id in &known {
        site.region.release(id, &Release { erase: Erase::Quick, ..Release::default() }).await?;
    }
    narrator.phase("release", killer.until("release", Status::Ready)).await?;
    ensure!(ids(&site).await? == known, "the machines are not the same as before");

    narrator.print();
    println!("seed {seed}: {} kills, all ended well", killer.sequence.len());
    for line in &killer.sequence {
        println!("  {line}");
    }
    // A quick phase may be over before its second kill is due, but none goes without.
    for phase in ["commission", "deploy", "release"] {
        ensure!(killer.sequence.iter().any(|kill| kill.starts_with(phase)), "no kill fell into {phase}");
    }
    Ok(())
}

async fn ids(site: &Site) -> Result<Vec<String>> {
    let machines = site.machines().await?;
    Ok(machines.into_iter().filter_map(|(_, seen)| Some(seen?.system_id)).collect())
}

/// Who kills, and when it did.
struct Killer {
    site: Site,
    lots: Lots,
    sequence: Vec<String>,
}

impl Killer {
    /// Waits until every machine of the lab has `status`, killing on the way: after so many changes and then so
    /// many milliseconds, both drawn by lot.
    async fn until(&mut self, phase: &str, status: Status) -> Result<()> {
        let deadline = Instant::now() + up::LIMIT;
        let (mut sight, mut since) = (String::new(), Instant::now());
        let mut left = KILLS;
        let mut changes = self.lots.below(3);
        loop {
            let (seen, arrived) = self.look(status).await?;
            if seen != sight {
                narrate::say(&format!("  {seen}"));
                changes = changes.saturating_sub(1);
                (sight, since) = (seen, Instant::now());
            }
            if left > 0 && !arrived && (changes == 0 || since.elapsed() > PATIENCE) {
                let delay = self.lots.below(700);
                tokio::time::sleep(Duration::from_millis(delay)).await;
                self.kill(phase, &sight, delay).await?;
                left -= 1;
                (changes, since) = (1 + self.lots.below(3), Instant::now());
            }
            if arrived {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("{phase} does not end: {sight}");
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    /// Kills the region, and waits until the lab has started another.
    async fn kill(&mut self, phase: &str, sight: &str, delay: u64) -> Result<()> {
        let starts = self.starts().await?;
        self.site.lab.kill(REGION, Duration::ZERO).await?;
        let line = format!("{phase}: {delay} ms after \"{sight}\"");
        narrate::say(&format!("  kill -9 of the region, {delay} ms later"));
        self.sequence.push(line);
        let (began, deadline) = (Instant::now(), Instant::now() + START_LIMIT);
        while self.starts().await? == starts {
            ensure!(Instant::now() < deadline, "the lab does not start the region again");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        narrate::say(&format!("  the region starts again after {:.1} s", began.elapsed().as_secs_f64()));
        Ok(())
    }

    async fn starts(&self) -> Result<u32> {
        let programs = self.site.lab.status().await?.programs;
        Ok(programs.iter().find(|program| program.name == REGION).map_or(0, |region| region.starts))
    }

    /// How every machine stands, and whether all have arrived; an error where one has failed.
    async fn look(&self, wanted: Status) -> Result<(String, bool)> {
        let (mut lines, mut arrived) = (Vec::new(), true);
        for (machine, seen) in self.site.machines().await? {
            let Some(seen) = seen else {
                lines.push(format!("{}: not known yet", machine.name));
                arrived = false;
                continue;
            };
            let why = self.site.region.why(&seen.system_id).await?;
            let reason =
                why.and_then(|why| why.waiting).map_or_else(String::new, |w| format!(": {}", w.reason));
            lines.push(format!("{}: {}{reason}", machine.name, seen.status_name));
            if seen.status.is_failed() {
                bail!("{}: {}: {}", machine.name, seen.status_name, seen.error_description);
            }
            arrived &= seen.status == wanted;
        }
        Ok((lines.join("; "), arrived))
    }
}

/// Numbers that look drawn by lot, the same for the same seed (`SplitMix64`).
pub struct Lots(pub u64);

impl Lots {
    /// One below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_lots() {
        let draw = |seed| {
            let mut lots = Lots(seed);
            std::array::from_fn::<u64, 8, _>(|_| lots.below(1000))
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }
}
