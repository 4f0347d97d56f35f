//! The ephemeral system: a Debian kernel, modules for common NICs and disks, and the agent as PID 1.
//!
//! A directory with `vmlinuz`, `initrd`, `system.squashfs` and `manifest.json`. The [larger system](system) is for
//! scripts and rescue; the agent fetches it when a task wants it. The initrd is two archives one after the other, as
//! the kernel allows: the modules, which change with the kernel and are packed once, and the agent, which changes
//! every day. What the agent finds in it:
//!
//! - `/init`: itself; `/dev/console`, `/dev/null`; `/proc`, `/sys`, `/dev`, `/run`, `/tmp`, `/mnt` to mount on;
//! - `/etc/modules`: names of modules to load always, one a line, in this order;
//! - `/lib/modules/RELEASE/` with uncompressed modules, `modules.dep`, `modules.alias`, `modules.softdep`.

mod modules;
mod system;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Serialize;

use crate::cache::FileSeal;
use crate::command::{run, tool};
use crate::cpio::Archive;
use crate::{BuildError, Cache, Key, Progress, debian};

/// Raise it when this module's code changes what comes out.
const RECIPE: u32 = 1;

/// Debian's generic kernel: its cloud flavour lacks drivers for real machines.
const KERNEL: &str = "linux-image-amd64";

/// `manifest.json`.
#[derive(Debug, Serialize)]
struct Manifest {
    version: u32,
    files: BTreeMap<&'static str, FileSeal>,
}

/// Builds the ephemeral system around this agent, a static program, and returns its directory. Needs root.
///
/// # Errors
/// [`BuildError`]; the kernel comes from the host's Debian archive, so `apt-get update` may have to run first.
pub fn build(cache: &Cache, agent_binary: &Path, progress: Progress<'_>) -> Result<PathBuf, BuildError> {
    let agent = fs::read(agent_binary)
        .map_err(|source| BuildError::Input { path: agent_binary.to_owned(), source })?;
    let kernel_key = Key::new("kernel", RECIPE)
        .with("package", KERNEL)
        .with("modules", modules::WANTED.join(" "))
        .with("always", modules::ALWAYS.join(" "));
    let kernel = cache.entry(&kernel_key, |folder| kernel(folder, progress))?;
    let system = system::build(cache, progress)?;
    let key = Key::new("ephemeral", RECIPE)
        .with("kernel", kernel_key.folder())
        .with("system", system.file_name().unwrap_or_default().as_encoded_bytes())
        .with("agent", &agent);
    let built = cache.entry(&key, |folder| {
        progress("packing the ephemeral system");
        assemble(folder, &kernel, &system, &agent)
    })?;
    Ok(built)
}

/// Fills `folder` with `vmlinuz` and `modules.cpio.zst`.
fn kernel(folder: &Path, progress: Progress<'_>) -> anyhow::Result<()> {
    let unpacked = tempfile::tempdir_in(folder)?;
    progress("downloading the kernel");
    debian::unpack_kernel(KERNEL, unpacked.path())?;
    let release = only_child(&unpacked.path().join("lib/modules"))?;
    let vmlinuz = unpacked.path().join(format!("boot/vmlinuz-{release}"));
    fs::rename(&vmlinuz, folder.join("vmlinuz")).context("the kernel package has no vmlinuz")?;
    progress("packing kernel modules");
    let chosen = tempfile::tempdir_in(folder)?;
    modules::choose(unpacked.path(), chosen.path(), &release)?;
    let mut archive = Archive::new(Vec::new());
    add_tree(&mut archive, chosen.path(), "lib")?;
    // Packed once for each kernel, unpacked at every boot of every machine: worth the best level.
    fs::write(folder.join("modules.cpio.zst"), zstd::encode_all(archive.finish()?.as_slice(), 19)?)?;
    Ok(())
}

fn assemble(folder: &Path, kernel: &Path, system: &Path, agent: &[u8]) -> anyhow::Result<()> {
    let mut initrd = fs::read(kernel.join("modules.cpio.zst"))?;
    initrd.resize(initrd.len().next_multiple_of(4), 0);
    initrd.extend(zstd::encode_all(root(agent)?.as_slice(), 12)?);
    fs::write(folder.join("initrd"), initrd)?;
    fs::copy(kernel.join("vmlinuz"), folder.join("vmlinuz"))?;
    // The same for every agent: a second name of one file, where both are on one disk.
    let (from, to) = (system.join(system::FILE), folder.join(system::FILE));
    fs::hard_link(&from, &to).or_else(|_| fs::copy(&from, &to).map(drop))?;
    let mut files = BTreeMap::new();
    for name in ["initrd", "vmlinuz", system::FILE] {
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o644))?;
        files.insert(name, FileSeal::of(&folder.join(name))?);
    }
    fs::write(folder.join("manifest.json"), serde_json::to_vec_pretty(&Manifest { version: 1, files })?)?;
    Ok(())
}

/// The archive with everything but the modules.
fn root(agent: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut archive = Archive::new(Vec::new());
    for (path, permissions) in
        [("dev", 0o755), ("etc", 0o755), ("mnt", 0o755), ("proc", 0o555), ("run", 0o755), ("sys", 0o555)]
    {
        archive.directory(path, permissions)?;
    }
    archive.directory("tmp", 0o1777)?;
    // The kernel opens the console before anything is mounted on /dev.
    archive.char_device("dev/console", 0o600, 5, 1)?;
    archive.char_device("dev/null", 0o666, 1, 3)?;
    archive.file("etc/modules", 0o644, (modules::ALWAYS.join("\n") + "\n").as_bytes())?;
    archive.file("init", 0o755, agent)?;
    Ok(archive.finish()?)
}

/// Adds `top` of `base` and everything below it, sorted.
fn add_tree(archive: &mut Archive<Vec<u8>>, base: &Path, top: &str) -> anyhow::Result<()> {
    archive.directory(top, 0o755)?;
    let mut names = Vec::new();
    for found in fs::read_dir(base.join(top))? {
        let found = found?;
        let name = found.file_name().into_string().ok().context("a module's file name is not UTF-8")?;
        names.push((format!("{top}/{name}"), found.file_type()?.is_dir()));
    }
    names.sort();
    for (path, directory) in names {
        if directory {
            add_tree(archive, base, &path)?;
        } else {
            archive.file(&path, 0o644, &fs::read(base.join(&path))?)?;
        }
    }
    Ok(())
}

fn only_child(folder: &Path) -> anyhow::Result<String> {
    let mut names = fs::read_dir(folder).with_context(|| format!("no {}", folder.display()))?.flatten();
    let name = names.next().with_context(|| format!("{} is empty", folder.display()))?.file_name();
    name.into_string().ok().context("a file name is not UTF-8")
}

/// Writes the indexes that loaders of modules read.
fn depmod(base: &Path, release: &str) -> anyhow::Result<()> {
    run(tool("depmod").arg("-b").arg(base).arg(release)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_has_the_form_of_the_wire_contract() {
        let (kernel, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(kernel.path().join("system.squashfs"), "system").unwrap();
        fs::write(kernel.path().join("vmlinuz"), "kernel").unwrap();
        fs::write(kernel.path().join("modules.cpio.zst"), "modules").unwrap();
        assemble(folder.path(), kernel.path(), kernel.path(), b"agent").unwrap();
        let manifest: serde_json::Value =
            serde_json::from_slice(&fs::read(folder.path().join("manifest.json")).unwrap()).unwrap();
        assert_eq!(manifest["version"], 1);
        assert_eq!(manifest["files"]["vmlinuz"]["size"], 6);
        let digest = "65aee5a2ec0dbf1ae1e1bf5a5bae4da2bc0e4fd66a1cf8cb2c62ea4a7ef8ef7b";
        assert_eq!(manifest["files"]["vmlinuz"]["sha256"].as_str().unwrap().len(), digest.len());
        let initrd = fs::read(folder.path().join("initrd")).unwrap();
        assert_eq!(manifest["files"]["initrd"]["size"], initrd.len());
        assert!(initrd.starts_with(b"modules\0\x28\xb5\x2f\xfd"));
    }
}
