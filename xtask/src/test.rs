//! `cargo xtask test`: every check of the project, in the order in which it fails soonest.

use std::time::Instant;

use anyhow::Result;

use crate::{
    packages, shell,
    site::{Bundle, Machines},
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
    let bundle = match extent {
        Extent::Whole => Some(steps.take("bundle", Bundle::build)?),
        Extent::Fast => None,
    };
    steps.take("tests", || {
        // With it, tests run Kubernetes' own programs; without, those tests say that they are left out.
        let folder = bundle.as_ref().map(|bundle| (BUNDLE, bundle.components.folder().as_os_str()));
        shell::run_with(&cargo, &["test", "--workspace", "--locked", "--no-fail-fast"], folder)
    })?;
    if extent == Extent::Whole {
        steps.take("rack", crate::e2e::rack)?;
        steps.take("cluster", || crate::e2e::cluster(Machines::Namespace))?;
    }
    steps.print();
    Ok(())
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
