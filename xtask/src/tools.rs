//! Programs that checks run and that no Debian package has: pinned, compiled once into the cache.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use bundle::{Cache, Key};

use crate::shell;

/// Raise it when this module's code changes what comes out.
const RECIPE: u32 = 1;

/// They run for seconds, and fully optimised they would compile for longer than they ever run.
const PROFILE: [(&str, &str); 3] = [
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1"),
    ("CARGO_PROFILE_RELEASE_LTO", "off"),
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16"),
];

/// A program, named like its crate.
#[derive(Debug, Clone, Copy)]
pub struct Tool {
    name: &'static str,
    version: &'static str,
    options: &'static [&'static str],
}

/// Says what may come into the project; `deny.toml` has its rules.
pub const DENY: Tool = Tool { name: "cargo-deny", version: "0.20.2", options: &[] };

/// Runs tests, each in a process of its own, by `.config/nextest.toml`; without what would update the program itself.
pub const NEXTEST: Tool = Tool {
    name: "cargo-nextest",
    version: "0.9.151",
    options: &["--no-default-features", "--features", "default-no-update"],
};

impl Tool {
    /// The program's path, compiled first if the cache does not have it whole.
    pub fn program(&self) -> Result<String> {
        // In the workspace, whose toolchain file says which compiler it is.
        let compiler = shell::output("rustc", &["--version", "--verbose"])?;
        let folder = Cache::user().entry(&self.key(&compiler), |folder| self.install(folder))?;
        let program = folder.join("bin").join(self.name);
        Ok(program.to_str().context("the cache's path is not UTF-8")?.to_owned())
    }

    fn key(&self, compiler: &str) -> Key {
        let key = Key::new(&format!("tools-{}", self.name), RECIPE)
            .with("version", self.version)
            .with("compiler", compiler);
        self.options.iter().fold(key, |key, option| key.with("option", option))
    }

    fn install(&self, folder: &Path) -> anyhow::Result<()> {
        eprintln!("compiling {} {} into the cache: some minutes, once", self.name, self.version);
        let work = tempfile::tempdir_in(folder)?;
        let status = Command::new(shell::cargo())
            .args(["install", "--quiet", "--locked", "--no-track", self.name, "--version"])
            .arg(format!("={}", self.version))
            .args(self.options)
            .arg("--root")
            .arg(folder)
            .envs(PROFILE)
            .env("CARGO_TARGET_DIR", work.path())
            .current_dir(shell::root())
            .stdin(Stdio::null())
            .stdout(std::io::stderr())
            .status()
            .context("cannot start cargo")?;
        if !status.success() {
            bail!(
                "cargo install failed with {status}; its crates come from the registry: is there a network?"
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_version_compiler_or_option_is_another_entry() {
        let folder = |tool: Tool, compiler: &str| tool.key(compiler).folder();
        let plain = folder(NEXTEST, "rustc 1");
        assert!(plain.starts_with("tools-cargo-nextest-"), "{plain}");
        assert_eq!(plain, folder(NEXTEST, "rustc 1"));
        assert_ne!(plain, folder(NEXTEST, "rustc 2"));
        assert_ne!(plain, folder(Tool { version: "0", ..NEXTEST }, "rustc 1"));
        assert_ne!(plain, folder(Tool { options: &[], ..NEXTEST }, "rustc 1"));
    }
}
