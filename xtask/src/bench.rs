//! Figures: one JSON line each, beside a peer where there is one.

use anyhow::{Result, bail};
use serde::Serialize;

use crate::{
    narrate::{Narrator, Output},
    packages,
    site::{Bundle, Machines, Site},
    up,
};

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Name {
    /// Power-on to Ready, and deploy call to SSH.
    Up,
}

/// One figure.
#[derive(Debug, Serialize)]
struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
    peer: Option<String>,
    ratio: Option<f64>,
    #[serde(skip)]
    limit: Option<f64>,
}

/// Measures, prints, and checks.
pub fn run(name: Name, machines: Machines, output: Output, check: bool) -> Result<()> {
    packages::ensure()?;
    let figures = match name {
        Name::Up => bench_up(machines)?,
    };
    let mut short = Vec::new();
    for figure in &figures {
        match output {
            Output::Json => println!("{}", serde_json::to_string(figure)?),
            Output::Text => println!("{:<32} {:>10.2} {}", figure.name, figure.value, figure.unit),
        }
        if figure.limit.is_some_and(|limit| figure.value > limit) {
            short.push(format!(
                "{} is {:.2} {}, promised {:?}",
                figure.name, figure.value, figure.unit, figure.limit
            ));
        }
    }
    if check && !short.is_empty() {
        bail!("figures fall short: {}", short.join("; "));
    }
    Ok(())
}

fn bench_up(machines: Machines) -> Result<Vec<Figure>> {
    let bundle = Bundle::build()?;
    let dir = crate::shell::root().join("target/labs/bench-up");
    let (kind, ready, ssh) = match machines {
        Machines::Qemu => ("qemu", 90.0, 120.0),
        _ => ("namespace", 10.0, 20.0),
    };
    up::runtime()?.block_on(async {
        Site::remove(&dir, &bundle.program).await?;
        let mut narrator = Narrator::new();
        let done = up::rack(&mut narrator, &dir, "bench-up", &bundle, machines).await.map(|_| ());
        Site::remove(&dir, &bundle.program).await?;
        done?;
        let seconds = |names: &[&str]| {
            narrator
                .phases()
                .iter()
                .filter(|p| names.contains(&p.name.as_str()))
                .map(|p| p.seconds)
                .sum::<f64>()
        };
        let figure = |name: &str, value, limit| Figure {
            name: format!("up.{kind}.{name}"),
            value,
            unit: "s",
            peer: None,
            ratio: None,
            limit: Some(limit),
        };
        Ok(vec![
            figure("power-on-to-ready", seconds(&["commission"]), ready),
            figure("deploy-to-ssh", seconds(&["deploy", "ssh"]), ssh),
        ])
    })
}
