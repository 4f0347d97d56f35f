//! The host's Debian archive: where it is, single packages from it, and whole root file systems.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::command::{isolated, run, tool};

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

/// Left out of every package, now and in later installations into the same root.
const EXCLUDED: &[&str] = &[
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
    "path-exclude=/usr/share/locale/*",
    "path-include=/usr/share/locale/locale.alias",
    "path-exclude=/usr/share/lintian/*",
];

/// What goes into a root file system.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Contents<'a> {
    /// Such as `bookworm`.
    pub series: &'a str,
    /// Beside Debian's essential packages and apt.
    pub packages: &'a [String],
    /// Files that are there before packages are configured, by path.
    pub files: &'a [(&'a str, &'a str)],
    /// Runs in the new root as the last step.
    pub customize: Option<&'a str>,
}

/// Makes a root file system, with `scratch` for files on their way. Needs root.
pub(crate) fn root(root: &Path, contents: &Contents<'_>, scratch: &Path) -> anyhow::Result<()> {
    let Contents { series, packages, files, customize } = contents;
    fs::create_dir_all(scratch)?;
    for (path, text) in *files {
        let place = scratch.join(path);
        fs::create_dir_all(place.parent().context("a file of the image has no folder")?)?;
        fs::write(place, text)?;
    }
    let scratch = scratch.to_str().context("the cache's path is not UTF-8")?;
    let mut command = isolated("mmdebstrap");
    command.args(["--quiet", "--mode=root", "--format=directory", "--variant=minbase"]);
    command.args(["--architectures=amd64", "--aptopt=APT::Install-Recommends \"false\""]);
    command.arg(format!("--include={}", packages.join(",")));
    command.args(EXCLUDED.iter().map(|option| format!("--dpkgopt={option}")));
    command.arg(format!("--essential-hook=cp -r {}/. \"$1\"/", quoted(scratch)));
    if let Some(customize) = customize {
        command.arg(format!("--customize-hook=chroot \"$1\" sh -c {}", quoted(customize)));
    }
    command.arg(series).arg(root).args(Mirrors::of_host()?.sources(series));
    run(&mut command).map(drop)
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
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
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn the_shell_reads_back_what_was_quoted(text in "[ -~]{0,40}") {
            let printed = run(tool("sh").args(["-c", &format!("printf %s {}", quoted(&text))])).unwrap();
            prop_assert_eq!(printed, text);
        }
    }

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
