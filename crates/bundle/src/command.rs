//! Running the host's tools: quiet when all is well, telling when not.

use std::ffi::OsStr;
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, bail};

/// 2024-01-01: file times in what is built, so that equal inputs give equal bytes.
pub(crate) const SOURCE_DATE_EPOCH: u32 = 1_704_067_200;

/// A command with a fixed locale and clock, and with the administrator's folders in its search path.
pub(crate) fn tool(program: &str) -> Command {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new(program);
    command
        .env("PATH", format!("{path}:/usr/sbin:/sbin:/usr/bin:/bin"))
        .env("LC_ALL", "C")
        .env("SOURCE_DATE_EPOCH", SOURCE_DATE_EPOCH.to_string())
        .stdin(Stdio::null());
    command
}

/// Like [`tool`], in mount and process namespaces of its own: when this process dies, it and all its children
/// die, and its mounts go with them. The host's apt state is out of its reach. Needs root.
pub(crate) fn isolated(program: &str) -> Command {
    /// Builders of roots run apt with a configuration that points into the root. Should one lose it, apt would
    /// empty the host's package lists; here it finds empty folders that vanish with the namespace.
    const SHIELD: &str = "for folder in /var/lib/apt/lists /var/cache/apt; do \
                            mount -t tmpfs tmpfs $folder; mkdir $folder/partial; \
                          done; exec \"$@\"";
    let mut command = tool("setpriv");
    command.args(["--pdeathsig", "KILL", "--", "unshare", "--mount", "--pid", "--fork", "--kill-child"]);
    command.args(["--mount-proc", "--", "sh", "-ec", SHIELD, "sh", program]);
    command
}

/// Runs a command to its end and returns what it printed.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output().with_context(|| format!("cannot start {}", name(command)))?;
    if !output.status.success() {
        bail!("{} failed ({}):\n{}", name(command), output.status, tail(&output));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn name(command: &Command) -> String {
    let words: Vec<_> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(OsStr::to_string_lossy)
        .collect();
    let line = words.join(" ");
    match line.char_indices().nth(300) {
        Some((cut, _)) => format!("{}…", line.get(..cut).unwrap_or(&line)),
        None => line,
    }
}

fn tail(output: &Output) -> String {
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let lines: Vec<_> = text.lines().collect();
    lines.get(lines.len().saturating_sub(20)..).unwrap_or_default().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_which_command_and_what_it_said() {
        let error =
            run(tool("sh").args(["-c", "echo the disk is full >&2; exit 3"])).unwrap_err().to_string();
        assert!(
            error.contains("sh -c") && error.contains("the disk is full") && error.contains('3'),
            "{error}"
        );
    }

    #[test]
    fn an_isolated_command_cannot_reach_the_hosts_apt() {
        let lists = std::path::Path::new("/var/lib/apt/lists");
        if !rustix::process::geteuid().is_root() || !lists.exists() {
            println!("skipped: needs root and apt");
            return;
        }
        let name = format!("isolated-{}", std::process::id());
        let script = format!("ls /var/lib/apt/lists; touch /var/lib/apt/lists/{name}");
        match run(isolated("sh").args(["-c", &script])) {
            Ok(seen) => assert_eq!(seen, "partial\n"),
            Err(refused) => println!("skipped: no namespaces here: {refused:#}"),
        }
        assert!(!lists.join(name).exists());
    }

    #[test]
    fn a_missing_tool_is_named() {
        let error = run(&mut tool("no-such-tool")).unwrap_err().to_string();
        assert_eq!(error, "cannot start no-such-tool");
    }
}
