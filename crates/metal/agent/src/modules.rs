//! Kernel modules: by name, and for the hardware that is there.
//!
//! Reads what depmod writes (`modules.dep`, `modules.alias`, `modules.softdep`). Module files are plain `.ko`.
//! Without a folder for the running kernel there is nothing to load, and nothing is said about it.

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::log::say;
use crate::tree::Tree;

/// Rounds of matching hardware: a bus driver makes devices appear that need drivers of their own.
const ROUNDS: u32 = 8;

/// The modules of one kernel.
#[derive(Debug, Default)]
pub struct Modules {
    folder: PathBuf,
    /// Module name → path in the folder.
    paths: HashMap<String, String>,
    /// Path → paths it needs, the first needed last.
    needs: HashMap<String, Vec<String>>,
    /// Alias pattern and module name.
    aliases: Vec<(String, String)>,
    /// Module name → names to load before it.
    before: HashMap<String, Vec<String>>,
    loaded: BTreeSet<String>,
}

impl Modules {
    /// The modules of the running kernel; `None` when it has no folder.
    pub fn of_running_kernel() -> Option<Self> {
        let release = rustix::system::uname().release().to_string_lossy().into_owned();
        Self::read(&Path::new("/lib/modules").join(release))
    }

    /// Reads depmod's files.
    pub fn read(folder: &Path) -> Option<Self> {
        let dep = fs::read_to_string(folder.join("modules.dep")).ok()?;
        let text = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default();
        let mut modules = Self { folder: folder.to_owned(), ..Self::default() };
        for (path, needs) in dep.lines().filter_map(|line| line.split_once(':')) {
            modules.paths.insert(name_of(path), path.to_owned());
            modules.needs.insert(path.to_owned(), needs.split_whitespace().map(str::to_owned).collect());
        }
        for line in text("modules.alias").lines() {
            if let ["alias", pattern, name] = line.split_whitespace().collect::<Vec<_>>()[..] {
                modules.aliases.push((normal(pattern), normal(name)));
            }
        }
        for line in text("modules.softdep").lines() {
            let mut words = line.split_whitespace();
            if let (Some("softdep"), Some(name)) = (words.next(), words.next()) {
                let pre = words.skip_while(|w| *w != "pre:").skip(1).take_while(|w| *w != "post:");
                modules.before.insert(normal(name), pre.map(normal).collect());
            }
        }
        Some(modules)
    }

    /// Files to load for a name or an alias, in order; empty when the folder has none (built in, or left out).
    pub fn plan(&self, wanted: &str) -> Vec<String> {
        let mut plan = Vec::new();
        self.plan_into(&normal(wanted), &mut plan, 0);
        plan
    }

    fn plan_into(&self, wanted: &str, plan: &mut Vec<String>, depth: u32) {
        if depth > 8 {
            return;
        }
        let names: Vec<&str> = if self.paths.contains_key(wanted) {
            vec![wanted]
        } else {
            self.aliases.iter().filter(|(p, _)| matches(p, wanted)).map(|(_, name)| name.as_str()).collect()
        };
        for name in names {
            let Some(path) = self.paths.get(name) else { continue };
            for soft in self.before.get(name).into_iter().flatten() {
                self.plan_into(soft, plan, depth + 1);
            }
            for file in self.needs.get(path).into_iter().flatten().rev().chain([path]) {
                if !plan.contains(file) {
                    plan.push(file.clone());
                }
            }
        }
    }

    /// Loads a module and what it needs. What fails is said once and not tried again.
    pub fn load(&mut self, wanted: &str) -> bool {
        let mut any = false;
        for file in self.plan(wanted) {
            if !self.loaded.insert(file.clone()) {
                continue;
            }
            match insert(&self.folder.join(&file)) {
                Ok(()) => any = true,
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                // The folder holds only some of the kernel's modules on purpose.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => say(format_args!("module {file}: {error}")),
            }
        }
        any
    }

    /// Loads drivers for all devices of `tree`, and for those that appear by it.
    pub fn load_for_hardware(&mut self, tree: &Tree) {
        for _ in 0..ROUNDS {
            let mut any = false;
            for alias in aliases_of_devices(tree) {
                any |= self.load(&alias);
            }
            if !any {
                break;
            }
        }
    }
}

fn insert(path: &Path) -> std::io::Result<()> {
    Ok(rustix::system::finit_module(File::open(path)?, c"", 0)?)
}

fn aliases_of_devices(tree: &Tree) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for bus in tree.names("sys/bus") {
        let devices = format!("sys/bus/{bus}/devices");
        found.extend(
            tree.names(&devices).iter().filter_map(|d| tree.text(&format!("{devices}/{d}/modalias"))),
        );
    }
    found
}

/// `kernel/drivers/net/virtio-net.ko` → `virtio_net`.
fn name_of(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    normal(file.split(".ko").next().unwrap_or(file))
}

fn normal(name: &str) -> String {
    // Sets such as [0-9] keep their dash.
    let mut set = false;
    let dashes = name.chars().map(|c| {
        set = c == '[' || (set && c != ']');
        if c == '-' && !set { '_' } else { c }
    });
    dashes.collect()
}

/// Shell-style match of `*`, `?` and `[sets]`, as modprobe does it.
fn matches(pattern: &str, text: &str) -> bool {
    let (mut pattern, mut text) = (pattern.as_bytes(), text.as_bytes());
    // Where to go on when the last star has to take one byte more.
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        if let Some((b'*', rest)) = pattern.split_first() {
            pattern = rest;
            retry = Some((pattern, text));
            continue;
        }
        match (one(pattern, text.first().copied()), text.split_first()) {
            (Some(rest), Some((_, after))) => (pattern, text) = (rest, after),
            (_, None) if pattern.is_empty() => return true,
            _ => match retry.and_then(|(p, t)| Some((p, t.split_first()?.1))) {
                Some((p, t)) => {
                    retry = Some((p, t));
                    (pattern, text) = (p, t);
                }
                None => return false,
            },
        }
    }
}

/// The pattern after its first element, if that matches `byte`.
fn one(pattern: &[u8], byte: Option<u8>) -> Option<&[u8]> {
    let byte = byte?;
    let (first, rest) = pattern.split_first()?;
    match first {
        b'?' => Some(rest),
        b'[' => {
            let end = rest.iter().position(|b| *b == b']')?;
            let (set, after) = rest.split_at(end);
            let inside = set.contains(&byte)
                || set.windows(3).any(|w| matches!(w, [from, b'-', to] if (*from..=*to).contains(&byte)));
            inside.then(|| after.get(1..).unwrap_or_default())
        }
        literal => (*literal == byte).then_some(rest),
    }
}

/// The kernel's own wish for a module: it runs `/sbin/modprobe -q -- NAME`, which [`crate::boot`] points here.
pub fn modprobe(arguments: impl Iterator<Item = String>) -> bool {
    let Some(mut modules) = Modules::of_running_kernel() else { return false };
    arguments.filter(|word| !word.starts_with('-')).all(|name| {
        let known = !modules.plan(&name).is_empty();
        modules.load(&name);
        known
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fixture() -> (tempfile::TempDir, Modules) {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write(
            "modules.dep",
            "k/virtio_net.ko: k/net_failover.ko k/failover.ko\nk/failover.ko:\nk/net_failover.ko: k/failover.ko\nk/ext4.ko: k/jbd2.ko\nk/jbd2.ko:\nk/crc32c-intel.ko:\n",
        );
        write(
            "modules.alias",
            "# comment\nalias virtio:d00000001v* virtio_net\nalias crc32c crc32c_intel\nalias fs-ext4 ext4\n",
        );
        write("modules.softdep", "softdep ext4 pre: crc32c\n");
        let modules = Modules::read(folder.path()).unwrap();
        (folder, modules)
    }

    #[test]
    fn what_a_module_needs_comes_before_it() {
        let (_folder, modules) = fixture();
        let plan = modules.plan("virtio:d00000001v00001AF4");
        assert_eq!(plan, ["k/failover.ko", "k/net_failover.ko", "k/virtio_net.ko"]);
        assert_eq!(modules.plan("fs-ext4"), ["k/crc32c-intel.ko", "k/jbd2.ko", "k/ext4.ko"]);
        assert!(modules.plan("no-such-module").is_empty());
    }

    #[test]
    fn patterns_match_as_in_modprobe() {
        assert!(matches("pci:v00008086d00001[5-7]*sv*sd*bc02*", "pci:v00008086d00001533sv1sd2bc02sc00"));
        assert!(!matches("pci:v00008086d00001[5-7]*sv*", "pci:v00008086d00001833sv1"));
        assert!(matches("a?c*", "abc") && !matches("a?c", "abcd") && !matches("", "a") && matches("*", ""));
    }

    proptest! {
        #[test]
        fn matching_ends(pattern in "[a*?\\[\\]-]{0,12}", text in "[ab]{0,12}") {
            let _ = matches(&pattern, &text);
            let wrapped = format!("*{text}*");
            prop_assert!(matches(&wrapped, &text));
        }
    }
}
