//! The whole path: power-on to Ready, deploy call to SSH; then all of `up`, and what it takes of memory.

use std::{path::Path, time::Instant};

use anyhow::{Context as _, Result};

use super::Figure;
use crate::{
    host,
    narrate::Narrator,
    roles::{GATEWAY, PLANE, REGION, Roles},
    site::{Bundle, Machines, Site},
    up,
};

/// Orders that are timed on their way to the gateway, besides the first.
const ORDERS: u32 = 20;

/// Brings up racks of its own and takes them down again.
pub fn figures(machines: Machines) -> Result<Vec<Figure>> {
    let bundle = Bundle::build()?;
    let dir = crate::shell::target().join("labs/bench-up");
    up::runtime()?.block_on(async {
        let mut figures = Vec::new();
        Site::remove(&dir, &bundle.program).await?;
        let done = rack(&dir, &bundle, machines).await;
        Site::remove(&dir, &bundle.program).await?;
        figures.extend(done?);
        let done = whole(&dir, &bundle, machines).await;
        Site::remove(&dir, &bundle.program).await?;
        figures.extend(done?);
        Ok(figures)
    })
}

/// What the figures are named by.
fn kind(machines: Machines) -> &'static str {
    if machines == Machines::Qemu { "qemu" } else { "namespace" }
}

async fn rack(dir: &Path, bundle: &Bundle, machines: Machines) -> Result<Vec<Figure>> {
    let (ready, ssh) = if machines == Machines::Qemu { (90.0, 120.0) } else { (10.0, 20.0) };
    let mut narrator = Narrator::new();
    up::rack(&mut narrator, dir, "bench-up", bundle, machines).await?;
    let seconds = |names: &[&str]| {
        let all = narrator.phases().iter().filter(|phase| names.contains(&phase.name.as_str()));
        all.map(|phase| phase.seconds).sum::<f64>()
    };
    let figure = |name: &str, value, limit| {
        Figure::new(format!("up.{}.{name}", kind(machines)), value, "s").at_most(limit)
    };
    Ok(vec![
        figure("power-on-to-ready", seconds(&["commission"]), ready),
        figure("deploy-to-ssh", seconds(&["deploy", "ssh"]), ssh),
    ])
}

async fn whole(dir: &Path, bundle: &Bundle, machines: Machines) -> Result<Vec<Figure>> {
    let limit = if machines == Machines::Qemu { 14.0 * 60.0 } else { 3.0 * 60.0 };
    let (mut narrator, began) = (Narrator::new(), Instant::now());
    let site = up::start(&mut narrator, dir, "bench-up", bundle, machines, Roles::Everything).await?;
    narrator.phase("commission", up::commission(&site)).await?;
    let key = up::ssh_key(&site).await?;
    let (plane, made) = up::whole(&mut narrator, &site, bundle).await?;
    narrator.phase("ssh", up::ssh(&site, &made.control, &key)).await?;
    let named = |name: &str| format!("up.{}.{name}", kind(machines));
    let mut figures = vec![Figure::new(named("all"), began.elapsed().as_secs_f64(), "s").at_most(limit)];
    plane.order_again(&site, ORDERS).await?;
    // The first one may wait for an engine that has just been started.
    let ways = plane.ways().await?;
    let slowest = ways.iter().skip(1).copied().fold(0.0, f64::max);
    figures.push(Figure::new("order.first-to-gateway", ways.first().copied().unwrap_or_default(), "ms"));
    figures.push(Figure::new("order.to-gateway", slowest, "ms").at_most(300.0));
    figures.extend(narrator.phases().iter().map(|phase| Figure::new(named(&phase.name), phase.seconds, "s")));
    let all = host::of_lab("bench-up", dir);
    figures.push(Figure::new(named("memory"), host::memory(&all) / 1024.0, "GiB").at_most(8.0));
    let mut own = 0.0;
    for name in [REGION, GATEWAY, PLANE] {
        let config = dir.join(format!("{name}.toml")).display().to_string();
        let is = |process: &&host::Process| {
            process.program == "bessemer" && process.arguments.ends_with(&format!("--config {config}"))
        };
        let process = all.iter().find(is).with_context(|| format!("no {name} runs"))?;
        let resident = super::resident(process.pid)?;
        figures.push(Figure::new(format!("resident.{name}"), resident, "MiB"));
        own += resident;
    }
    figures.push(Figure::new("resident.region-gateway-plane", own, "MiB").at_most(180.0));
    Ok(figures)
}
