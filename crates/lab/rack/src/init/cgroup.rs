//! Control groups of machines.
//!
//! A machine gets a group in every hierarchy the host mounts, and sees each as its own top. Where there are
//! version 1 hierarchies, those are mounted in the machine; else version 2.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::RackError;
use crate::error::Doing as _;

/// A mounted hierarchy of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hierarchy {
    /// Where the host has it.
    pub mount: PathBuf,
    /// Mount options that name it: `cpu,cpuacct` or `none,name=systemd`; empty for version 2.
    pub options: String,
}

impl Hierarchy {
    /// Name of its folder below `/sys/fs/cgroup`; `None` for version 2, which is that folder.
    pub(crate) fn folder(&self) -> Option<&str> {
        (!self.options.is_empty()).then(|| self.options.trim_start_matches("none,name="))
    }
}

/// Where a process came from before it entered a machine's groups.
pub(super) struct Home(Vec<(Hierarchy, PathBuf)>);

/// Moves this process into the group `name` of every hierarchy.
pub(super) fn enter(name: &str) -> Result<Home, RackError> {
    let membership = fs::read_to_string("/proc/self/cgroup").doing(|| "reading /proc/self/cgroup".into())?;
    let mut home = Vec::new();
    for hierarchy in mounted()? {
        let group = hierarchy.mount.join(name);
        fs::create_dir_all(&group).doing(|| format!("making {}", group.display()))?;
        if hierarchy.folder() == Some("cpuset") {
            inherit_cpuset(&hierarchy.mount, name)?;
        }
        if hierarchy.folder() == Some("devices") {
            deny_host_disks(&group)?;
        }
        join(&group)?;
        let before = hierarchy.mount.join(own_path(&membership, &hierarchy).trim_start_matches('/'));
        home.push((hierarchy, before));
    }
    Ok(Home(home))
}

impl Home {
    pub(super) fn hierarchies(&self) -> Vec<Hierarchy> {
        self.0.iter().map(|(hierarchy, _)| hierarchy.clone()).collect()
    }

    /// Moves this process back, so that it is not among the machine's.
    pub(super) fn go_back(self) -> Result<(), RackError> {
        self.0.iter().try_for_each(|(_, before)| join(before))
    }
}

/// Removes the group `name`, with all below it, from every hierarchy; busy ones stay.
pub(crate) fn remove(name: &str) -> Result<(), RackError> {
    for hierarchy in mounted()? {
        remove_tree(&hierarchy.mount.join(name));
    }
    Ok(())
}

fn remove_tree(group: &Path) {
    let Ok(children) = fs::read_dir(group) else { return };
    for child in children.flatten() {
        if child.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&child.path());
        }
    }
    if let Err(error) = fs::remove_dir(group) {
        tracing::debug!(group = %group.display(), %error, "control group stays");
    }
}

fn join(group: &Path) -> Result<(), RackError> {
    fs::write(group.join("cgroup.procs"), "0").doing(|| format!("entering {}", group.display()))
}

fn mounted() -> Result<Vec<Hierarchy>, RackError> {
    let text = fs::read_to_string("/proc/self/mountinfo").doing(|| "reading /proc/self/mountinfo".into())?;
    Ok(hierarchies(&text))
}

/// All of them; a host with both versions gives a machine a group in both.
fn hierarchies(mountinfo: &str) -> Vec<Hierarchy> {
    let mut first = Vec::new();
    let mut second = Vec::new();
    for line in mountinfo.lines() {
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let mut left = left.split(' ').skip(3);
        let (Some("/"), Some(mount)) = (left.next(), left.next()) else { continue };
        let mut right = right.split(' ');
        let (kind, options) = (right.next(), right.nth(1).unwrap_or_default());
        match kind {
            Some("cgroup") => {
                let named = options.split(',').any(|word| word.starts_with("name="));
                let words: Vec<&str> = options
                    .split(',')
                    .filter(|word| is_controller(word) || word.starts_with("name="))
                    .collect();
                let options = format!("{}{}", if named { "none," } else { "" }, words.join(","));
                first.push(Hierarchy { mount: mount.into(), options });
            }
            Some("cgroup2") => second.push(Hierarchy { mount: mount.into(), options: String::new() }),
            _ => {}
        }
    }
    first.extend(second);
    first
}

fn is_controller(word: &str) -> bool {
    !matches!(
        word,
        "rw" | "ro" | "xattr" | "clone_children" | "noprefix" | "none" | "nosuid" | "noexec" | "nodev"
    ) && !word.contains('=')
}

/// This process's group in a hierarchy, from `/proc/self/cgroup`.
fn own_path<'a>(membership: &'a str, hierarchy: &Hierarchy) -> &'a str {
    let wanted = hierarchy.options.trim_start_matches("none,");
    membership
        .lines()
        .filter_map(|line| line.split_once(':')?.1.split_once(':'))
        .find(|(controllers, _)| *controllers == wanted)
        .map_or("/", |(_, path)| path)
}

/// A new cpuset group has no CPUs and takes no process; every level needs its parent's.
fn inherit_cpuset(mount: &Path, name: &str) -> Result<(), RackError> {
    let mut group = mount.to_owned();
    for part in Path::new(name) {
        let parent = group.clone();
        group.push(part);
        for file in ["cpuset.cpus", "cpuset.mems"] {
            fs::read(parent.join(file))
                .and_then(|value| fs::write(group.join(file), value))
                .doing(|| format!("setting {file} of {}", group.display()))?;
        }
    }
    fs::write(group.join("cgroup.clone_children"), "1").doing(|| format!("setting up {}", group.display()))
}

/// Whatever a machine does to its `/dev`, the host's own disks stay closed to it. Making nodes stays allowed:
/// container runtimes want that.
fn deny_host_disks(group: &Path) -> Result<(), RackError> {
    const LOOP: &str = "7";
    let partitions = fs::read_to_string("/proc/partitions").doing(|| "reading /proc/partitions".into())?;
    let mut majors: Vec<&str> = partitions
        .lines()
        .skip(2)
        .filter_map(|line| line.split_whitespace().next())
        .filter(|major| *major != LOOP)
        .collect();
    majors.dedup();
    for major in majors {
        fs::write(group.join("devices.deny"), format!("b {major}:* rw"))
            .doing(|| format!("closing the host's disks to {}", group.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_of_both_versions() {
        let text = "30 25 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
                    31 30 0:27 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu,cpuacct\n\
                    32 30 0:28 / /sys/fs/cgroup/systemd rw,relatime shared:4 - cgroup cgroup rw,xattr,name=systemd\n\
                    33 30 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let found = hierarchies(text);
        assert_eq!((found.len(), found[2].folder()), (3, None));
        assert_eq!(found[0].options, "cpu,cpuacct");
        assert_eq!((found[1].options.as_str(), found[1].folder()), ("none,name=systemd", Some("systemd")));
        assert_eq!(own_path("3:cpu,cpuacct:/a\n1:name=systemd:/b\n", &found[1]), "/b");
    }
}
