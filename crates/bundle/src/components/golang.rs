//! Building a component with the host's Go: static programs, equal for equal inputs.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use super::pins::Component;
use crate::command::{run, tool};
use crate::{Cache, CacheError, Key, Progress};

/// Raise it when this module's code changes what comes out.
const RECIPE: u32 = 1;

/// The host's Go: version and target, which are inputs of every build.
#[derive(Debug, Clone)]
pub(super) struct Toolchain(String);

impl Toolchain {
    pub(super) fn of_host() -> anyhow::Result<Self> {
        let told = run(go().args(["env", "GOVERSION", "GOOS", "GOARCH", "GOAMD64"]))
            .context("Go is needed to build the components: install it and see that `go` is in PATH")?;
        Ok(Self(told.split_whitespace().collect::<Vec<_>>().join(" ")))
    }
}

/// The folder of a built component, with its files where they go in a bundle.
pub(super) fn build(
    cache: &Cache,
    component: &Component,
    toolchain: &Toolchain,
    progress: Progress<'_>,
) -> Result<PathBuf, CacheError> {
    cache.entry(&key(component, toolchain), |folder| {
        let work = tempfile::tempdir_in(folder)?;
        for (name, text) in component.sources {
            fs::write(work.path().join(name), text)?;
        }
        let title = format!("{} {}", component.name, component.version());
        progress(&format!("fetching the modules of {}", title.trim_end()));
        run(go().args(["mod", "download"]).current_dir(work.path()))
            .context("the Go module proxy did not serve them all")?;
        let linker =
            component.stamps().fold("-s -w".to_owned(), |flags, stamp| format!("{flags} -X {stamp}"));
        for (place, package) in component.programs {
            progress(&format!("compiling {place} ({})", title.trim_end()));
            run(go()
                .args(["build", "-ldflags", &linker, "-o"])
                .arg(folder.join(place))
                .arg(package)
                .current_dir(work.path()))?;
        }
        if let Some(module) = component.module.filter(|_| !component.manifests.is_empty()) {
            let told = run(go().args(["list", "-m", "-f", "{{.Dir}}", module]).current_dir(work.path()))?;
            for (from, to) in component.manifests {
                copy_manifests(&Path::new(told.trim()).join(from), &folder.join(to))?;
            }
        }
        Ok(())
    })
}

fn key(component: &Component, toolchain: &Toolchain) -> Key {
    let key = Key::new(&format!("component-{}", component.name), RECIPE).with("go", &toolchain.0);
    let key = component.sources.iter().fold(key, |key, (name, text)| key.with(name, text));
    let key = component.stamps().fold(key, |key, stamp| key.with("stamp", stamp));
    let places = component.programs.iter().chain(component.manifests);
    places.fold(key, |key, (one, other)| key.with(one, other))
}

/// Go with the flags of all builds. Compiled packages are shared by all components in Go's own cache.
fn go() -> Command {
    let mut command = tool("go");
    command
        .env("CGO_ENABLED", "0")
        .env("GOFLAGS", "-mod=readonly -trimpath -buildvcs=false")
        .env("GOWORK", "off")
        .env("GOTOOLCHAIN", "local");
    command
}

/// Copies the YAML files of a folder, without those that only kustomize reads.
fn copy_manifests(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    let found = fs::read_dir(from).with_context(|| format!("the module has no {}", from.display()))?;
    for file in found {
        let path = file?.path();
        let name = path.file_name().and_then(|name| name.to_str()).context("a file's name is not UTF-8")?;
        let is_manifest = path.extension().is_some_and(|end| end == "yaml");
        if is_manifest && !name.starts_with("kustomiz") {
            let place = to.join(name);
            fs::copy(&path, &place)?;
            fs::set_permissions(&place, fs::Permissions::from_mode(0o644))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Verify;
    use crate::components::pins::{CNI, KUBERNETES, PAUSE};

    #[test]
    fn a_component_is_built_once_and_anew_where_it_is_broken() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path()).verifying(Verify::Full);
        let toolchain = Toolchain::of_host().unwrap();
        let lines = std::cell::RefCell::new(Vec::new());
        let build =
            || build(&cache, &PAUSE, &toolchain, &|line| lines.borrow_mut().push(line.to_owned())).unwrap();
        let program = build().join("bin/pause");
        let first = fs::read(&program).unwrap();
        assert_eq!(*lines.borrow(), ["fetching the modules of pause", "compiling bin/pause (pause)"]);
        assert_eq!(build().join("bin/pause"), program);
        assert_eq!(lines.borrow().len(), 2, "not built again");
        // Half of it, as a full disk leaves it.
        fs::write(&program, &first[..first.len() / 2]).unwrap();
        build();
        assert_eq!(lines.borrow().len(), 4, "built again");
        assert_eq!(fs::read(&program).unwrap(), first, "equal inputs, equal bytes");
    }

    #[test]
    fn the_key_follows_sources_programs_and_toolchain() {
        let folder = |component: &Component, go: &str| key(component, &Toolchain(go.to_owned())).folder();
        let plain = folder(&KUBERNETES, "go1");
        assert_eq!(plain, folder(&KUBERNETES, "go1"));
        assert_ne!(plain, folder(&KUBERNETES, "go2"));
        assert_ne!(plain, folder(&Component { sources: CNI.sources, ..KUBERNETES }, "go1"));
        assert_ne!(plain, folder(&Component { programs: PAUSE.programs, ..KUBERNETES }, "go1"));
    }
}
