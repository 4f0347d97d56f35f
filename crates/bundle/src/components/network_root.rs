//! A small Debian root with nft, iptables, conntrack and ip, for images whose programs call them.
//!
//! Its packages are unpacked and not configured: no shell, no accounts, no package manager comes along.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::oci::{Layer, Layout};
use crate::command::{isolated, run};
use crate::debian::Mirrors;
use crate::{Cache, CacheError, Key, Progress};

/// Raise it when this module's code changes what comes out.
const RECIPE: u32 = 1;
const SERIES: &str = "bookworm";
const PACKAGES: &[&str] = &["conntrack", "iproute2", "iptables", "nftables"];
const TRIM: &str = include_str!("files/network-root.sh");
const ARCHIVE: &str = "root.tar";

pub(super) fn key() -> Key {
    Key::new("network-root", RECIPE)
        .with("series", SERIES)
        .with("packages", PACKAGES.join(" "))
        .with("trim", TRIM)
}

/// The folder with the root as a tar archive. Needs root.
pub(super) fn build(cache: &Cache, progress: Progress<'_>) -> Result<PathBuf, CacheError> {
    cache.entry(&key(), |folder| {
        progress(&format!("unpacking {} of Debian {SERIES}", PACKAGES.join(", ")));
        let work = tempfile::tempdir_in(folder)?;
        fs::write(work.path().join("trim.sh"), TRIM)?;
        let mut command = isolated("mmdebstrap");
        command.args([
            "--quiet",
            "--mode=root",
            "--format=tar",
            "--variant=extract",
            "--architectures=amd64",
        ]);
        command.args(["--aptopt=APT::Install-Recommends \"false\"", "--skip=output/dev"]);
        command.arg(format!("--include={}", PACKAGES.join(",")));
        command.arg("--extract-hook=sh trim.sh \"$1\"").current_dir(work.path());
        command.arg(SERIES).arg(folder.join(ARCHIVE)).args(Mirrors::of_host()?.sources(SERIES));
        run(&mut command).map(drop)
    })
}

/// Adds the root to a layout.
pub(super) fn layer(layout: &Layout, built: &Path) -> anyhow::Result<Layer> {
    let mut archive = File::open(built.join(ARCHIVE))?;
    layout.layer(|out| Ok(io::copy(&mut archive, out).map(drop)?))
}
