//! `up` itself, as a person treats it: interrupted in each phase, called twice at once, its lab killed.

use std::{
    io::{BufRead as _, BufReader},
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    path::Path,
    process::{Child, ChildStderr, Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use rack::LabClient;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::Value;

use crate::{
    host, narrate,
    site::{RACK, Site},
    up,
};

const PHASES: [&str; 11] = [
    "packages",
    "build",
    "lab",
    "commission",
    "gateway",
    "order",
    "machines",
    "nodes",
    "dns",
    "hello",
    "ssh",
];

/// Does all that to a rack in `dir`.
pub fn run(dir: &Path) -> Result<()> {
    for phase in PHASES {
        narrate::say(&format!("Ctrl-C in `{phase}`, then `up` again"));
        let mut first = Up::start(dir)?;
        first.until(phase)?;
        kill_process_group(pid(first.child.id())?, Signal::INT)?;
        let status = first.child.wait()?;
        ensure!(
            status.signal() == Some(Signal::INT.as_raw()),
            "interrupted in {phase}, `up` ended with {status}"
        );
        finish(dir)?;
        down(dir)?;
    }

    narrate::say("a second `up` while one is at work");
    let mut first = Up::start(dir)?;
    first.until("commission")?;
    let second = command(dir, "up").output()?;
    let words = String::from_utf8_lossy(&second.stderr);
    ensure!(!second.status.success() && words.contains("is at work on this rack"), "not refused: {words}");
    first.drain()?;
    ensure!(first.child.wait()?.success(), "the first `up` failed");
    let before = finish(dir)?;

    narrate::say("kill -9 of the lab, then `up` again");
    let lab = up::runtime()?.block_on(async { LabClient::new(dir)?.status().await })?.pid;
    kill_process(pid(lab)?, Signal::KILL)?;
    let after = finish(dir)?;
    ensure!(ids(&before) == ids(&after), "the machines are not the same as before: {before} {after}");
    down(dir)?;
    println!("interrupted in {} phases, refused once, lab killed once: all ended well", PHASES.len());
    Ok(())
}

/// An `up` at work, in a process group of its own as a terminal gives it.
struct Up {
    child: Child,
    errors: BufReader<ChildStderr>,
}

impl Up {
    fn start(dir: &Path) -> Result<Self> {
        let mut command = command(dir, "up");
        let mut child = command.process_group(0).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let errors = BufReader::new(child.stderr.take().context("no standard error")?);
        Ok(Self { child, errors })
    }

    /// Reads on until it says that this phase begins.
    fn until(&mut self, phase: &str) -> Result<()> {
        let (mut said, end) = (String::new(), format!("s] {phase}"));
        while !said.trim_end().ends_with(&end) {
            said.clear();
            ensure!(self.errors.read_line(&mut said)? > 0, "`up` ended before its phase {phase}");
        }
        Ok(())
    }

    fn drain(&mut self) -> Result<()> {
        std::io::copy(&mut self.errors, &mut std::io::sink())?;
        Ok(())
    }
}

fn command(dir: &Path, what: &str) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg(what).env(RACK, dir).stdin(Stdio::null());
    if what == "up" {
        command.args(["--machines", "namespace", "--output", "json"]);
    }
    command
}

/// `up` to its end: one line of JSON that is right.
fn finish(dir: &Path) -> Result<Value> {
    let out = command(dir, "up").output()?;
    ensure!(out.status.success(), "`up` failed: {}", String::from_utf8_lossy(&out.stderr));
    let text = String::from_utf8(out.stdout)?;
    ensure!(text.lines().count() == 1, "not one line: {text}");
    let said: Value = serde_json::from_str(&text)?;
    let get = |at: &str| said.pointer(at).and_then(Value::as_str).unwrap_or_default();
    let statuses = (get("/machines/0/status"), get("/machines/1/status"));
    ensure!(statuses == ("Deployed", "Deployed"), "{statuses:?}");
    for n in 0..2 {
        let of = |key: &str| get(&format!("/machines/{n}/{key}"));
        ensure!(of("uuid") == of("bmc_uuid") && !of("uuid").is_empty(), "DMI and BMC differ: {said}");
        ensure!(Path::new(of("console")).is_file() && !of("system_id").is_empty(), "{said}");
    }
    let phases = said.get("phases").and_then(Value::as_array).context("no phases")?;
    let names: Vec<_> = phases.iter().filter_map(|phase| phase.get("name")?.as_str()).collect();
    ensure!(names == PHASES, "{names:?}");
    let sum: f64 = phases.iter().filter_map(|phase| phase.get("seconds")?.as_f64()).sum();
    let total = said.get("seconds").and_then(Value::as_f64).unwrap_or_default();
    ensure!(sum <= total && sum >= 0.95 * total, "the phases add up to {sum:.3} s of {total:.3} s");
    Ok(said)
}

fn down(dir: &Path) -> Result<()> {
    let out = command(dir, "down").output()?;
    ensure!(out.status.success(), "`down` failed: {}", String::from_utf8_lossy(&out.stderr));
    let left = host::leftovers(&Site::name(dir), dir);
    ensure!(left.is_empty(), "`down` left something behind:\n  {}", left.join("\n  "));
    Ok(())
}

fn ids(said: &Value) -> Vec<Option<&Value>> {
    let machines = said.get("machines").and_then(Value::as_array);
    machines.into_iter().flatten().map(|machine| machine.get("system_id")).collect()
}

fn pid(raw: u32) -> Result<Pid> {
    Pid::from_raw(i32::try_from(raw)?).context("no process")
}
