//! The container images of clusters: their names, as kubeadm and our manifests have them, and what is in them.

use std::path::Path;

use super::oci::{Layer, Layout, Start, programs};
use super::pins::{CNI, COREDNS, Component, ETCD, KUBERNETES};
use super::{Image, network_root};
use crate::Progress;

/// One static program, on nothing or on the root with network tools.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Recipe {
    /// Repository and tag.
    pub name: String,
    /// The program's place in the bundle.
    from: &'static str,
    /// Its place in the image, as upstream images have it.
    to: &'static str,
    user: Option<&'static str>,
    network_tools: bool,
}

/// All images, sorted by nothing: the order is that of the index.
pub(super) fn all() -> Vec<Recipe> {
    let kubernetes = |program: &str, from, to| Recipe {
        network_tools: program == "kube-proxy",
        ..plain(format!("registry.k8s.io/{program}:{}", KUBERNETES.version()), from, to)
    };
    let number = |component: &Component| component.version().trim_start_matches('v').to_owned();
    vec![
        kubernetes("kube-apiserver", "bin/kube-apiserver", "/usr/local/bin/kube-apiserver"),
        kubernetes(
            "kube-controller-manager",
            "bin/kube-controller-manager",
            "/usr/local/bin/kube-controller-manager",
        ),
        kubernetes("kube-scheduler", "bin/kube-scheduler", "/usr/local/bin/kube-scheduler"),
        kubernetes("kube-proxy", "bin/kube-proxy", "/usr/local/bin/kube-proxy"),
        plain(format!("registry.k8s.io/etcd:{}-0", number(&ETCD)), "bin/etcd", "/usr/local/bin/etcd"),
        plain(format!("registry.k8s.io/coredns/coredns:{}", COREDNS.version()), "bin/coredns", "/coredns"),
        Recipe {
            user: Some("65535:65535"),
            ..plain("registry.k8s.io/pause:3.10.2".to_owned(), "bin/pause", "/pause")
        },
        Recipe {
            network_tools: true,
            // The number counts our own changes: raise it, in the manifest too, when what is around flannel changes.
            ..plain(
                format!("bessemer.local/cni:{}-1", CNI.version()),
                "bin/flanneld",
                "/usr/local/bin/flanneld",
            )
        },
        Recipe {
            user: Some("65532:65532"),
            ..plain("bessemer.local/hello:1".to_owned(), "bin/hello", "/hello")
        },
    ]
}

fn plain(name: String, from: &'static str, to: &'static str) -> Recipe {
    Recipe { name, from, to, user: None, network_tools: false }
}

/// Writes all images as an OCI layout into `oci`, from the programs in `bundle` and the root that was built.
pub(super) fn write(
    oci: &Path,
    bundle: &Path,
    root: &Path,
    progress: Progress<'_>,
) -> anyhow::Result<Vec<Image>> {
    let mut layout = Layout::create(oci)?;
    let tools = network_root::layer(&layout, root)?;
    let mut written = Vec::new();
    for image in all() {
        progress(&format!("packing {}", image.name));
        let program = layout.layer(|out| programs(out, &[(image.to, &bundle.join(image.from))]))?;
        let layers: Vec<&Layer> =
            image.network_tools.then_some(&tools).into_iter().chain([&program]).collect();
        let start = Start { program: image.to, user: image.user };
        let digest = layout.image(&image.name, &layers, &start)?;
        written.push(Image { name: image.name, digest });
    }
    layout.finish()?;
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::components::pins;

    #[test]
    fn kubeadm_finds_its_images_by_the_names_that_it_has_for_them() {
        let names: Vec<String> = all().into_iter().map(|image| image.name).collect();
        for wanted in [
            "registry.k8s.io/kube-apiserver:v1.36.3",
            "registry.k8s.io/kube-controller-manager:v1.36.3",
            "registry.k8s.io/kube-scheduler:v1.36.3",
            "registry.k8s.io/kube-proxy:v1.36.3",
            "registry.k8s.io/coredns/coredns:v1.14.2",
            "registry.k8s.io/pause:3.10.2",
            "registry.k8s.io/etcd:3.6.8-0",
        ] {
            assert!(names.iter().any(|name| name == wanted), "{wanted} is missing in {names:?}");
        }
    }

    #[test]
    fn the_pod_network_uses_an_image_that_is_built() {
        let mut used =
            crate::components::CNI_MANIFEST.lines().filter_map(|line| line.trim().strip_prefix("image: "));
        let names: Vec<String> = all().into_iter().map(|image| image.name).collect();
        assert!(used.all(|image| names.iter().any(|name| name == image)), "{names:?}");
    }

    #[test]
    fn every_image_has_a_program_that_is_built() {
        let built: Vec<_> =
            pins::ALL.iter().flat_map(|component| component.programs).map(|(to, _)| *to).collect();
        assert!(all().iter().all(|image| built.contains(&image.from)), "{built:?}");
    }
}
