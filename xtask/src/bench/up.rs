//! The whole path: power-on to Ready, and deploy call to SSH.

use anyhow::Result;

use super::Figure;
use crate::{
    narrate::Narrator,
    site::{Bundle, Machines, Site},
    up,
};

/// Brings up a rack of its own and takes it down again.
pub fn figures(machines: Machines) -> Result<Vec<Figure>> {
    let bundle = Bundle::build()?;
    let dir = crate::shell::target().join("labs/bench-up");
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
        let figure =
            |name: &str, value, limit| Figure::new(format!("up.{kind}.{name}"), value, "s").at_most(limit);
        Ok(vec![
            figure("power-on-to-ready", seconds(&["commission"]), ready),
            figure("deploy-to-ssh", seconds(&["deploy", "ssh"]), ssh),
        ])
    })
}
