//! `cargo xtask test`: every check of the project, in the order in which it fails soonest.

use std::time::Instant;

use anyhow::Result;

use crate::{
    console, packages, shell,
    site::{Bundle, Machines},
    tools,
};

/// Names the folder of the bundle that tests run programs of.
const BUNDLE: &str = "BESSEMER_BUNDLE";

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
    steps.take("console", console::build)?;
    steps.take("lints", || {
        shell::run(
            &cargo,
            &["clippy", "--quiet", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"],
        )
    })?;
    steps.take("deny", deny)?;
    let bundle = match extent {
        Extent::Whole => Some(steps.take("bundle", Bundle::build)?),
        Extent::Fast => None,
    };
    steps.take("tests", || {
        // With it, tests run Kubernetes' own programs; without, those tests say that they are left out.
        let folder = bundle.as_ref().map(|bundle| (BUNDLE, bundle.components.folder().as_os_str()));
        shell::run_with(&tools::NEXTEST.program()?, &["nextest", "run", "--workspace", "--locked"], folder)
    })?;
    // Nextest leaves these out.
    steps
        .take("doc tests", || shell::run(&cargo, &["test", "--quiet", "--workspace", "--doc", "--locked"]))?;
    if extent == Extent::Whole {
        steps.take("rack", crate::e2e::rack)?;
        steps.take("cluster", || crate::e2e::cluster(Machines::Namespace))?;
    }
    steps.print();
    Ok(())
}

/// Dependencies: licences, bans and sources always, known weaknesses where their database can be had.
fn deny() -> Result<()> {
    let program = tools::DENY.program()?;
    let check = ["--locked", "--log-level", "error"];
    shell::run(&program, &[&check[..], &["check", "bans", "licenses", "sources"]].concat())?;
    // Where the network swallows packets, git waits for long.
    if let Err(error) = shell::output("timeout", &["60", &program, "fetch", "db"]) {
        let said = error.to_string();
        let why = said.trim_end().lines().next_back().unwrap_or_default();
        eprintln!("advisories are not checked, because their database cannot be fetched here: {why}");
        return Ok(());
    }
    shell::run(&program, &[&check[..], &["--offline", "check", "advisories"]].concat())
}

#[derive(Default)]
struct Steps(Vec<(&'static str, f64)>);

impl Steps {
    fn take<T>(&mut self, name: &'static str, step: impl FnOnce() -> Result<T>) -> Result<T> {
        eprintln!("== {name}");
        let began = Instant::now();
        let done = step()?;
        self.0.push((name, began.elapsed().as_secs_f64()));
        Ok(done)
    }

    fn print(&self) {
        for (name, seconds) in &self.0 {
            println!("{name:>10} {seconds:>7.1} s");
        }
        println!("{} passed, 0 failed", self.0.len());
    }
}
