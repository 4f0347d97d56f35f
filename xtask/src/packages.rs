//! Debian packages that the project needs, beside Rust, Go and Node.

use anyhow::{Context, Result, bail};

use crate::shell::{output, run};

/// For the lab and the tests; what image builds need is named by [`bundle::packages`].
const LAB: &[&str] = &[
    "bind9-dnsutils",
    "busybox-static",
    "chromium",
    "curl",
    "dnsmasq-base",
    "fonts-dejavu-core",
    "ipmitool",
    "iproute2",
    "ipxe",
    "ipxe-qemu",
    "isc-dhcp-client",
    "libnss3-tools",
    "libvirt-clients",
    "nftables",
    "ntpsec-ntpdig",
    "openipmi",
    "openssh-client",
    "postgresql",
    // What cloud-init's package wants: a test unpacks that one, since installed it would run when the host starts.
    "python3-configobj",
    "python3-jinja2",
    "python3-jsonpatch",
    "python3-jsonschema",
    "python3-netifaces",
    "python3-oauthlib",
    "python3-requests",
    "python3-serial",
    "python3-venv",
    "python3-yaml",
    "qemu-system-x86",
    "qemu-utils",
    "seabios",
    "skopeo",
    "tftp-hpa",
    "util-linux",
    "zstd",
];

/// For compiling.
const COMPILING: &[&str] = &["build-essential", "pkg-config"];

/// Fails where a rack cannot be made for want of root; names the packages that are missing, too.
pub fn without_root() -> Result<()> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    bail!("{}", needs_root(&missing(&wanted())?))
}

fn needs_root(missing: &[&str]) -> String {
    let mut text = "the rack wants root: it makes network namespaces, mounts and loop devices. Run `cargo xtask up` as root"
        .to_owned();
    if !missing.is_empty() {
        let list = missing.join(" ");
        text.push_str(
            "; that installs the Debian packages that are missing, or as root:\n  apt-get install ",
        );
        text.push_str(&list);
    }
    text
}

fn wanted() -> Vec<&'static str> {
    let mut wanted: Vec<_> = LAB.iter().chain(COMPILING).chain(bundle::packages()).copied().collect();
    wanted.sort_unstable();
    wanted.dedup();
    wanted
}

/// Installs what is missing; without root or apt it says what is missing and how to get it.
pub fn ensure() -> Result<()> {
    let missing = missing(&wanted())?;
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    let may = rustix::process::geteuid().is_root() && output("apt-get", &["--version"]).is_ok();
    if !may {
        bail!(
            "these Debian packages are missing; install them as root and try again:\n  apt-get install {list}"
        );
    }
    eprintln!("installing Debian packages: {list}");
    run("apt-get", &["update", "-q"])?;
    let mut args = vec!["install", "-q", "-y", "--no-install-recommends"];
    args.extend(&missing);
    // SAFETY of the environment: only this child sees it.
    let status = std::process::Command::new("apt-get")
        .args(&args)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(std::process::Stdio::null())
        .stdout(std::io::stderr())
        .status()
        .context("cannot start apt-get")?;
    if !status.success() {
        bail!("apt-get install failed with {status}; install by hand: {list}");
    }
    Ok(())
}

fn missing<'a>(wanted: &[&'a str]) -> Result<Vec<&'a str>> {
    let text = std::process::Command::new("dpkg-query")
        .args(["-W", "-f", "${Package} ${db:Status-Status}\n"])
        .args(wanted)
        .output()
        .context("cannot start dpkg-query: this needs Debian or a system like it")?;
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    let there: Vec<&str> = text.lines().filter_map(|line| line.strip_suffix(" installed")).collect();
    Ok(wanted.iter().copied().filter(|package| !there.contains(package)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_root_it_says_what_is_missing_and_how_to_get_it() {
        assert!(needs_root(&["zstd", "curl"]).ends_with("\n  apt-get install zstd curl"));
        let nothing = needs_root(&[]);
        assert!(nothing.contains("as root") && !nothing.contains("apt-get"), "{nothing}");
    }
}
