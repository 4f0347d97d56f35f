//! The host's Debian archive: where it is, and single packages from it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::command::{run, tool};

/// Where the host's own apt gets Debian from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mirrors {
    archive: String,
    security: Option<String>,
}

impl Mirrors {
    /// Asks apt, which knows all its forms of configuration.
    pub(crate) fn of_host() -> anyhow::Result<Self> {
        let targets = run(tool("apt-get").args([
            "indextargets",
            "--format",
            "$(LABEL) $(REPO_URI)",
            "Created-By: Packages",
            "Origin: Debian",
        ]))?;
        Self::parse(&targets)
            .context("apt on this host has no Debian archive: check its sources and run `apt-get update`")
    }

    fn parse(targets: &str) -> Option<Self> {
        let find = |label| {
            targets.lines().find_map(|line| line.split_once(' ').filter(|(found, _)| *found == label))
        };
        let (_, archive) = find("Debian")?;
        Some(Self {
            archive: archive.to_owned(),
            security: find("Debian-Security").map(|(_, uri)| uri.to_owned()),
        })
    }

    /// Lines of a `sources.list` for a series.
    pub(crate) fn sources(&self, series: &str) -> Vec<String> {
        let Self { archive, security } = self;
        let mut lines =
            vec![format!("deb {archive} {series} main"), format!("deb {archive} {series}-updates main")];
        lines.extend(security.iter().map(|security| format!("deb {security} {series}-security main")));
        lines
    }
}

/// Unpacks the newest kernel that the meta package `meta` depends on into `folder`.
pub(crate) fn unpack_kernel(meta: &str, folder: &Path) -> anyhow::Result<()> {
    let depends = run(tool("apt-cache").args(["depends", "--important", meta]))?;
    let package = kernel_package(&depends)
        .with_context(|| format!("apt knows no kernel behind {meta}: run `apt-get update`"))?;
    run(tool("apt-get")
        .args(["-q", "-o", "APT::Sandbox::User=root", "download", package])
        .current_dir(folder))
    .context("cannot download the kernel: run `apt-get update`")?;
    let file = deb_in(folder)?;
    run(tool("dpkg-deb").arg("-x").arg(&file).arg(folder))?;
    fs::remove_file(file)?;
    Ok(())
}

fn kernel_package(depends: &str) -> Option<&str> {
    depends
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Depends: "))
        .find(|name| name.starts_with("linux-image-"))
}

fn deb_in(folder: &Path) -> anyhow::Result<PathBuf> {
    for found in fs::read_dir(folder)? {
        let path = found?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            return Ok(path);
        }
    }
    bail!("apt-get download left no package in {}", folder.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_are_read_from_what_apt_says() {
        let mirrors = Mirrors::parse(
            "Debian http://mirror.example/debian/\nDebian http://mirror.example/debian/\n\
             Debian-Security http://mirror.example/debian-security/\n",
        )
        .unwrap();
        assert_eq!(
            mirrors.sources("trixie"),
            [
                "deb http://mirror.example/debian/ trixie main",
                "deb http://mirror.example/debian/ trixie-updates main",
                "deb http://mirror.example/debian-security/ trixie-security main",
            ]
        );
        assert_eq!(Mirrors::parse("Node http://elsewhere.example/\n"), None);
    }

    #[test]
    fn the_kernel_is_what_the_meta_package_depends_on() {
        let depends = "linux-image-amd64\n  Depends: linux-image-6.1.0-56-amd64\n";
        assert_eq!(kernel_package(depends), Some("linux-image-6.1.0-56-amd64"));
        assert_eq!(kernel_package("linux-image-amd64\n"), None);
    }
}
