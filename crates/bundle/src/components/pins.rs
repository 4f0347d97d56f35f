//! What is pinned in `components/` at the top of the repository, and what is built of it.

/// Files of a component's folder: name and text.
type Sources = &'static [(&'static str, &'static str)];

/// A Go module of ours that pins others, or is small itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Component {
    /// Its folder in `components/`.
    pub name: &'static str,
    /// All that is in the folder.
    pub sources: Sources,
    /// The module that is built here and whose version is the component's; `None` for programs of our own.
    pub module: Option<&'static str>,
    /// Go variables that tell programs their version, and what they are set to; see [`Component::stamps`].
    pub stamps: &'static [(&'static str, &'static str)],
    /// Programs to build: where each goes in the bundle, and its package.
    pub programs: &'static [(&'static str, &'static str)],
    /// Folders with manifests in the module, and where their YAML files go in the bundle.
    pub manifests: &'static [(&'static str, &'static str)],
}

impl Component {
    /// The pinned version of the module, such as `v1.36.3`; empty for programs of our own.
    pub(super) fn version(&self) -> &'static str {
        let texts = self.sources.iter().filter(|(name, _)| *name == "go.mod");
        texts
            .flat_map(|(_, text)| text.lines())
            .find_map(|line| {
                let mut words = line.trim_start_matches("require").split_whitespace();
                (words.next() == self.module).then(|| words.next()).flatten()
            })
            .unwrap_or_default()
    }

    /// Variables to set when linking, each `NAME=VALUE`.
    pub(super) fn stamps(&self) -> impl Iterator<Item = String> {
        let version = self.version();
        let mut numbers = version.trim_start_matches('v').split('.');
        let (major, minor) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
        self.stamps.iter().map(move |(name, value)| {
            let value = value.replace("{version}", version).replace("{major}", major);
            format!("{name}={}", value.replace("{minor}", minor))
        })
    }
}

/// Embeds files of a component's folder.
macro_rules! sources {
    ($folder:literal: $($file:literal),+) => {
        &[$(($file, include_str!(concat!("../../../../components/", $folder, "/", $file)))),+]
    };
}

/// Kubernetes: the programs of a control plane, of nodes, and of people.
pub(super) const KUBERNETES: Component = Component {
    name: "kubernetes",
    sources: sources!("kubernetes": "go.mod", "go.sum"),
    module: Some("k8s.io/kubernetes"),
    stamps: &[
        ("k8s.io/component-base/version.gitVersion", "{version}"),
        ("k8s.io/component-base/version.gitMajor", "{major}"),
        ("k8s.io/component-base/version.gitMinor", "{minor}"),
        ("k8s.io/component-base/version.gitTreeState", "clean"),
        ("k8s.io/component-base/version.gitCommit", "{version}"),
        ("k8s.io/client-go/pkg/version.gitVersion", "{version}"),
        ("k8s.io/client-go/pkg/version.gitCommit", "{version}"),
    ],
    programs: &[
        ("bin/kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
        ("bin/kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"),
        ("bin/kube-proxy", "k8s.io/kubernetes/cmd/kube-proxy"),
        ("bin/kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"),
        ("bin/kubeadm", "k8s.io/kubernetes/cmd/kubeadm"),
        ("bin/kubectl", "k8s.io/kubernetes/cmd/kubectl"),
        ("bin/kubelet", "k8s.io/kubernetes/cmd/kubelet"),
    ],
    manifests: &[],
};

/// etcd, in the version that kubeadm names.
pub(super) const ETCD: Component = Component {
    name: "etcd",
    sources: sources!("etcd": "go.mod", "go.sum"),
    module: Some("go.etcd.io/etcd/server/v3"),
    stamps: &[],
    programs: &[("bin/etcd", "go.etcd.io/etcd/server/v3")],
    manifests: &[],
};

/// `CoreDNS`, in the version that kubeadm names.
pub(super) const COREDNS: Component = Component {
    name: "coredns",
    sources: sources!("coredns": "go.mod", "go.sum"),
    module: Some("github.com/coredns/coredns"),
    stamps: &[],
    programs: &[("bin/coredns", "github.com/coredns/coredns")],
    manifests: &[],
};

/// The pod network: flannel's packages behind a main of ours.
pub(super) const CNI: Component = Component {
    name: "cni",
    sources: sources!("cni": "go.mod", "go.sum", "main.go"),
    module: Some("github.com/flannel-io/flannel"),
    stamps: &[],
    programs: &[("bin/flanneld", "bessemer.local/components/cni")],
    manifests: &[],
};

/// What holds a pod's namespaces.
pub(super) const PAUSE: Component = Component {
    name: "pause",
    sources: sources!("pause": "go.mod", "main.go"),
    module: None,
    stamps: &[],
    programs: &[("bin/pause", "bessemer.local/components/pause")],
    manifests: &[],
};

/// A server that shows that a cluster's network works.
pub(super) const HELLO: Component = Component {
    name: "hello",
    sources: sources!("hello": "go.mod", "main.go"),
    module: None,
    stamps: &[],
    programs: &[("bin/hello", "bessemer.local/components/hello")],
    manifests: &[],
};

const CLUSTER_API: Component = Component {
    name: "cluster-api",
    sources: sources!("cluster-api": "go.mod", "go.sum"),
    module: Some("sigs.k8s.io/cluster-api"),
    stamps: &[
        ("sigs.k8s.io/cluster-api/version.gitVersion", "{version}"),
        ("sigs.k8s.io/cluster-api/version.gitMajor", "{major}"),
        ("sigs.k8s.io/cluster-api/version.gitMinor", "{minor}"),
        ("sigs.k8s.io/cluster-api/version.gitTreeState", "clean"),
    ],
    programs: &[
        ("bin/capi-core-manager", "sigs.k8s.io/cluster-api/core"),
        ("bin/capi-kubeadm-bootstrap-manager", "sigs.k8s.io/cluster-api/bootstrap/kubeadm"),
        ("bin/capi-kubeadm-control-plane-manager", "sigs.k8s.io/cluster-api/controlplane/kubeadm"),
        ("bin/clusterctl", "sigs.k8s.io/cluster-api/cmd/clusterctl"),
    ],
    manifests: &[
        ("core/config/crd/bases", "crds/core"),
        ("core/config/rbac", "rbac/core"),
        ("core/config/webhook", "webhooks/core"),
        ("bootstrap/kubeadm/config/crd/bases", "crds/bootstrap"),
        ("bootstrap/kubeadm/config/rbac", "rbac/bootstrap"),
        ("bootstrap/kubeadm/config/webhook", "webhooks/bootstrap"),
        ("controlplane/kubeadm/config/crd/bases", "crds/control-plane"),
        ("controlplane/kubeadm/config/rbac", "rbac/control-plane"),
        ("controlplane/kubeadm/config/webhook", "webhooks/control-plane"),
    ],
};

const CONTAINERD: Component = Component {
    name: "containerd",
    sources: sources!("containerd": "go.mod", "go.sum"),
    module: Some("github.com/containerd/containerd/v2"),
    stamps: &[("github.com/containerd/containerd/v2/version.Version", "{version}")],
    programs: &[
        ("bin/containerd", "github.com/containerd/containerd/v2/cmd/containerd"),
        ("bin/containerd-shim-runc-v2", "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2"),
        ("bin/ctr", "github.com/containerd/containerd/v2/cmd/ctr"),
    ],
    manifests: &[],
};

const CNI_PLUGINS: Component = Component {
    name: "cni-plugins",
    sources: sources!("cni-plugins": "go.mod", "go.sum"),
    module: Some("github.com/containernetworking/plugins"),
    stamps: &[("github.com/containernetworking/plugins/pkg/utils/buildversion.BuildVersion", "{version}")],
    programs: &[
        ("cni/bin/bridge", "github.com/containernetworking/plugins/plugins/main/bridge"),
        ("cni/bin/host-local", "github.com/containernetworking/plugins/plugins/ipam/host-local"),
        ("cni/bin/loopback", "github.com/containernetworking/plugins/plugins/main/loopback"),
        ("cni/bin/portmap", "github.com/containernetworking/plugins/plugins/meta/portmap"),
        ("cni/bin/ptp", "github.com/containernetworking/plugins/plugins/main/ptp"),
    ],
    manifests: &[],
};

const HELM: Component = Component {
    name: "helm",
    sources: sources!("helm": "go.mod", "go.sum"),
    module: Some("helm.sh/helm/v4"),
    stamps: &[("helm.sh/helm/v4/internal/version.version", "{version}")],
    programs: &[("bin/helm", "helm.sh/helm/v4/cmd/helm")],
    manifests: &[],
};

/// All, those first that others wait for.
pub(super) const ALL: [Component; 10] =
    [KUBERNETES, ETCD, CLUSTER_API, CONTAINERD, CNI_PLUGINS, COREDNS, CNI, HELM, PAUSE, HELLO];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_the_pinned_ones() {
        assert_eq!(KUBERNETES.version(), "v1.36.3");
        assert_eq!(ETCD.version(), "v3.6.8");
        assert_eq!(COREDNS.version(), "v1.14.2");
        assert_eq!(PAUSE.version(), "");
        for component in ALL {
            assert_eq!(component.module.is_some(), component.version().starts_with('v'), "{component:?}");
        }
    }

    #[test]
    fn programs_are_told_their_version() {
        let stamps: Vec<_> = KUBERNETES.stamps().collect();
        assert!(
            stamps.contains(&"k8s.io/component-base/version.gitVersion=v1.36.3".to_owned()),
            "{stamps:?}"
        );
        assert!(stamps.contains(&"k8s.io/component-base/version.gitMinor=36".to_owned()), "{stamps:?}");
    }

    #[test]
    fn every_place_in_the_bundle_is_taken_once() {
        let mut places: Vec<_> =
            ALL.iter().flat_map(|component| component.programs).map(|(to, _)| to).collect();
        let count = places.len();
        places.sort_unstable();
        places.dedup();
        assert_eq!(places.len(), count);
    }
}
