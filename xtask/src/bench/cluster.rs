//! A cluster: from its order to an answer of a Service in it, and what engine and provider take.
#![allow(clippy::indexing_slicing, reason = "of a JSON value: what is missing reads as null")]

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::{Figure, resident};
use crate::{
    cluster::{self, Deadline},
    e2e,
    narrate::Narrator,
    plane::{Layers, Plane},
    roles::{GATEWAY, Roles},
    site::{Bundle, Machines, Site},
    up,
};

/// Makes a rack and a cluster of its own and takes them down again.
pub fn figures(machines: Machines) -> Result<Vec<Figure>> {
    let bundle = Bundle::build()?;
    let dir = crate::shell::target().join("labs/bench-cluster");
    up::runtime()?.block_on(async {
        Site::remove(&dir, &bundle.program).await?;
        let done = measure(&dir, &bundle, machines).await;
        Site::remove(&dir, &bundle.program).await?;
        done
    })
}

async fn measure(dir: &Path, bundle: &Bundle, machines: Machines) -> Result<Vec<Figure>> {
    let (kind, limit) = match machines {
        Machines::Qemu => ("qemu", 600.0),
        _ => ("namespace", 90.0),
    };
    let mut narrator = Narrator::new();
    let site = up::start(&mut narrator, dir, "bench-cluster", bundle, machines, Roles::Everything).await?;
    up::commission(&site).await?;
    let plane = Plane::join(&site).await?;
    let gateway = plane.gateway(&site).await?;
    cluster::engine(&site, bundle).await?;
    let ready = restart(&site).await?;
    cluster::engine(&site, bundle).await?;

    let mut phases = Narrator::new();
    let began = Instant::now();
    let made = plane.cluster(&mut phases, &site, bundle, &gateway, Layers::Plain).await?;
    phases.phase("traffic", e2e::cluster::traffic(&made.kubectl)).await?;
    let total = began.elapsed().as_secs_f64();

    let mut figures =
        vec![Figure::new(format!("cluster.{kind}.create-to-traffic"), total, "s").at_most(limit)];
    figures.extend(
        phases
            .phases()
            .iter()
            .map(|one| Figure::new(format!("cluster.{kind}.{}", one.name), one.seconds, "s")),
    );
    figures.push(Figure::new("engine.ready", ready, "s").at_most(5.0));
    let status = status(dir)?;
    let mut all = 0.0;
    for process in status["processes"].as_array().into_iter().flatten() {
        let name = process["name"].as_str().unwrap_or_default();
        let resident = resident(pid(process)?)?;
        all += resident;
        let figure = Figure::new(format!("engine.resident.{name}"), resident, "MiB");
        figures.push(if name == "provider" { figure.at_most(50.0) } else { figure });
    }
    all += resident(pid(&status)?)?;
    figures.push(Figure::new("engine.resident", all, "MiB").at_most(1.1 * 1024.0));
    Ok(figures)
}

/// Seconds from a start of the engine until all of it is ready.
async fn restart(site: &Site) -> Result<f64> {
    let before = status(&site.dir)?["pid"].clone();
    site.lab.kill(GATEWAY, Duration::ZERO).await?;
    let deadline = Deadline::new(Duration::from_mins(1), "the engine's start");
    loop {
        let status = status(&site.dir)?;
        if status["pid"] != before
            && let (Some(since), Some(ready)) = (status["since"].as_str(), status["ready"].as_str())
        {
            let (since, ready): (jiff::Timestamp, jiff::Timestamp) = (since.parse()?, ready.parse()?);
            return Ok(ready.duration_since(since).as_secs_f64());
        }
        deadline.pause().await?;
    }
}

fn status(dir: &Path) -> Result<Value> {
    let file = dir.join(GATEWAY).join("status.json");
    let text = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(serde_json::from_slice(&text)?)
}

fn pid(of: &Value) -> Result<u32> {
    Ok(of["pid"].as_u64().context("a process of the engine does not run")?.try_into()?)
}
