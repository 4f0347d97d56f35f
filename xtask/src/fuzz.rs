//! Fuzzing: each target of `fuzz/` under libFuzzer, with stable Rust.
//!
//! What cargo-fuzz would do, but for a nightly compiler: LLVM's coverage instrumentation is asked for by its pass.
//! The target is named, so that build scripts are not instrumented.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context, Result, bail};

use crate::shell;

/// What cargo-fuzz passes, without its sanitizers, which only a nightly compiler has.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Clink-dead-code -Ccodegen-units=1";
/// Seconds that one input may take.
const SLOW: u32 = 10;

/// Runs `target`, or all one after the other, for so many `seconds` each; the first finding ends it.
pub fn run(target: Option<&str>, seconds: u32) -> Result<()> {
    let (folder, triple) = (fuzz(), host()?);
    let known = targets(&folder)?;
    let chosen: Vec<&String> = known.iter().filter(|name| target.is_none_or(|one| one == *name)).collect();
    if chosen.is_empty() {
        bail!("there is no such target; there are {}", known.join(", "));
    }
    let build = Command::new(shell::cargo())
        .args(["build", "--quiet", "--release", "--bins", "--target", &triple])
        .current_dir(&folder)
        .env("CARGO_TARGET_DIR", folder.join("target"))
        .env("RUSTFLAGS", FLAGS)
        .status()?;
    if !build.success() {
        bail!("the targets do not build");
    }
    let programs = folder.join("target").join(&triple).join("release");
    for name in chosen {
        let grown = folder.join("target/corpus").join(name);
        let findings = folder.join("target/findings").join(name);
        fs::create_dir_all(&grown)?;
        fs::create_dir_all(&findings)?;
        let done = Command::new(programs.join(name))
            .args([&grown, &folder.join("corpus").join(name)])
            .arg(format!("-artifact_prefix={}/", findings.display()))
            .args([format!("-max_total_time={seconds}"), format!("-timeout={SLOW}")])
            .args(["-print_final_stats=1", "-verbosity=0"])
            .status()
            .with_context(|| format!("cannot start {name}"))?;
        if !done.success() {
            bail!(
                "{name} found something: mend it, and keep the input of {} in fuzz/corpus/{name}, named for what is \
                 wrong with it",
                findings.display()
            );
        }
        println!("{name}: nothing found in {seconds} s");
    }
    Ok(())
}

fn fuzz() -> PathBuf {
    shell::root().join("fuzz")
}

/// Names of the targets, sorted.
fn targets(folder: &std::path::Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder.join("fuzz_targets"))? {
        names.extend(entry?.path().file_stem().and_then(|stem| stem.to_str()).map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

/// The triple of this machine.
fn host() -> Result<String> {
    let told = Command::new("rustc").arg("-vV").output()?;
    let text = String::from_utf8(told.stdout)?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc does not say what it runs on")?.to_owned())
}
