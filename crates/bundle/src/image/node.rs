//! What makes a machine with Debian a node of Kubernetes: container runtime, kubelet, kubeadm, network plugins, and
//! the container images of a cluster, unpacked, so that no registry is needed before the first pod runs.
//!
//! One image fits real, emulated and namespace machines: what differs between those is found out at each start.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::Key;
use crate::command::{isolated, run};
use crate::components::Bundle;

/// Debian packages that a node has beside those of every image. `runc` runs containers; the others are what kubeadm
/// looks for and what people look for on a node.
pub(super) const PACKAGES: &[&str] = &["conntrack", "ethtool", "iptables", "nftables", "runc"];

const PROGRAMS: &[&str] = &["containerd", "containerd-shim-runc-v2", "ctr", "kubeadm", "kubectl", "kubelet"];

const FILES: &[(&str, &str)] = &[
    ("etc/containerd/certs.d/_default/hosts.toml", include_str!("files/node/hosts.toml")),
    ("etc/containerd/config.toml", include_str!("files/node/containerd.toml")),
    ("etc/kubernetes/kubelet.conf.d/10-bessemer.conf", include_str!("files/node/kubelet.conf")),
    ("etc/modules-load.d/kubernetes.conf", include_str!("files/node/modules.conf")),
    ("etc/sysctl.d/90-kubernetes.conf", include_str!("files/node/sysctl.conf")),
    ("etc/systemd/system/containerd.service", include_str!("files/node/containerd.service")),
    (
        "etc/systemd/system/containerd-cgroupfs.service",
        include_str!("files/node/containerd-cgroupfs.service"),
    ),
    ("etc/systemd/system/kubelet.service", include_str!("files/node/kubelet.service")),
];
const ENABLE: &str = include_str!("files/node/enable.sh");
const PRELOAD: &str = include_str!("files/node/preload.sh");

/// The bundle that a node's image is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kubernetes {
    bundle: PathBuf,
    digest: String,
    /// Such as `1.36.3`.
    pub(super) version: String,
}

impl Kubernetes {
    pub(super) fn of(bundle: &Bundle) -> Self {
        Self {
            bundle: bundle.folder().to_owned(),
            digest: bundle.digest().to_owned(),
            version: bundle.kubernetes().trim_start_matches('v').to_owned(),
        }
    }

    /// Adds all that goes into a node to a key.
    pub(super) fn key(&self, key: Key) -> Key {
        let key = key.with("bundle", &self.digest).with("enable", ENABLE).with("preload", PRELOAD);
        FILES.iter().fold(key, |key, (path, text)| key.with(path, text))
    }

    /// Makes `root`, with Debian in it, the root of a node; `scratch` is an empty folder.
    pub(super) fn install(&self, root: &Path, scratch: &Path) -> anyhow::Result<()> {
        let bundle = Bundle::open(&self.bundle)?;
        for name in PROGRAMS {
            copy(&bundle.program(name)?, &root.join("usr/local/bin").join(name))?;
        }
        for plugin in fs::read_dir(bundle.cni_plugins()?)? {
            let plugin = plugin?;
            copy(&plugin.path(), &root.join("opt/cni/bin").join(plugin.file_name()))?;
        }
        for (path, text) in FILES {
            let place = root.join(path);
            fs::create_dir_all(place.parent().context("a file of the node has no folder")?)?;
            fs::write(place, text)?;
        }
        run(isolated("chroot").arg(root).args(["sh", "-c", ENABLE]))?;
        bundle.verify()?;
        let programs = [bundle.program("containerd")?, bundle.program("ctr")?];
        let said = run(isolated("sh")
            .args(["-c", PRELOAD, "preload"])
            .args(programs)
            .arg(root)
            .arg(bundle.oci())
            .arg(scratch))
        .context("cannot unpack the container images into the node")?;
        let missing = bundle.images().iter().find(|image| !said.lines().any(|line| line == image.name));
        match missing {
            Some(image) => anyhow::bail!("the image {} did not arrive in the node:\n{said}", image.name),
            None => Ok(()),
        }
    }
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to.parent().context("a program has no folder")?)?;
    fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
    fs::set_permissions(to, fs::Permissions::from_mode(0o755))?;
    Ok(())
}
