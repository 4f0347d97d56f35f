//! `cargo xtask test`: every check of the project, in the order in which it fails soonest.

use std::time::Instant;

use anyhow::Result;

use crate::{packages, shell};

/// Whether the lab run is part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// All.
    Whole,
    /// Without the lab.
    Fast,
}

/// Runs the checks.
pub fn run(extent: Extent) -> Result<()> {
    let cargo = shell::cargo();
    let mut steps = Steps::default();
    steps.take("packages", packages::ensure)?;
    steps.take("format", || shell::run(&cargo, &["fmt", "--all", "--check"]))?;
    steps.take("lints", || {
        shell::run(
            &cargo,
            &["clippy", "--quiet", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"],
        )
    })?;
    steps.take("deny", || {
        if shell::output("cargo-deny", &["--version"]).is_ok() {
            return shell::run("cargo-deny", &["--offline", "check", "bans", "licenses", "sources"]);
        }
        eprintln!("cargo-deny is not installed: bans, licences and sources are not checked here");
        Ok(())
    })?;
    steps.take("tests", || shell::run(&cargo, &["test", "--workspace", "--locked", "--no-fail-fast"]))?;
    if extent == Extent::Whole {
        steps.take("lab", crate::e2e::rack)?;
    }
    steps.print();
    Ok(())
}

#[derive(Default)]
struct Steps(Vec<(&'static str, f64)>);

impl Steps {
    fn take(&mut self, name: &'static str, step: impl FnOnce() -> Result<()>) -> Result<()> {
        eprintln!("== {name}");
        let began = Instant::now();
        step()?;
        self.0.push((name, began.elapsed().as_secs_f64()));
        Ok(())
    }

    fn print(&self) {
        for (name, seconds) in &self.0 {
            println!("{name:>10} {seconds:>7.1} s");
        }
        println!("{} passed, 0 failed", self.0.len());
    }
}
