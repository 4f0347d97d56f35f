//! The intent's types: schema 1.

use std::collections::BTreeMap;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// What a cluster should be.
///
/// Unknown fields are refused: a newer plane announces itself by a newer [`schemaVersion`](crate::SCHEMA), so a field
/// that is not known here is a mistake, best found by whoever makes it. Texts that others wrote (layers, overrides)
/// are kept byte for byte.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Intent {
    /// Version of this document's form; see [`crate::SCHEMA`].
    pub schema_version: u32,
    /// Our id of the cluster: 24 lower-case hex digits. It stays when the cluster moves to another API server or
    /// gateway, as Kubernetes UIDs do not.
    pub uid: String,
    /// Name of the cluster and of its objects: a DNS label that begins with a letter.
    pub name: String,
    /// Namespace in the engine that belongs to this cluster alone; deleting it deletes what is left of the cluster.
    pub namespace: String,
    /// Kubernetes version of the machines, such as `1.36.3`; pools' images must contain it.
    pub kubernetes_version: String,
    /// Version of the renderer that made the cluster's objects; none: the current one ([`crate::RENDERER`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renderer: Option<u32>,
    /// Where the cluster's API is reached.
    pub endpoint: Endpoint,
    /// Networks of nodes, pods and services.
    #[serde(default)]
    pub network: Network,
    /// Groups of equal machines: one for the control plane, any number for workers.
    pub pools: Vec<Pool>,
    /// What is installed in the cluster, in this order; the network plugin (CNI) comes first. No objects of Cluster
    /// API come of them: the gateway brings them into the cluster itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<Layer>,
    /// The site's registry, which then serves every image; none: nodes pull from wherever images are named to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry: Option<Registry>,
    /// Public SSH keys that may log in on the nodes as [`crate::Intent::SSH_USER`], who may become root.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ssh_keys: Vec<String>,
    /// Palette's `overrideClusterApiConfig` of the cluster: YAML whose one key is `maasCluster`, merged into that
    /// object (RFC 7396) after everything else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub override_cluster_api_config: Option<String>,
}

impl Intent {
    /// The user of [`Intent::ssh_keys`] on the nodes: named as Palette names it, whose scripts log in so.
    pub const SSH_USER: &'static str = "spectro";
}

/// Where the cluster's API is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Endpoint {
    /// MAAS DNS domain of the cluster. The provider keeps a name there that resolves to the control plane's machines.
    pub dns_domain: String,
    /// An address that somebody else keeps (a load balancer): the provider then makes no DNS name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given: Option<HostPort>,
}

/// A TCP address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HostPort {
    /// DNS name or IP address.
    pub host: String,
    /// Port.
    pub port: u16,
}

/// Networks of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Network {
    /// Addresses of pods; a part of it goes to each node.
    pub pods: IpNet,
    /// Addresses of Services. kube-proxy drops what goes to an address of it that is no Service.
    pub services: IpNet,
    /// Networks the machines have addresses in, as far as they are known; only checked against the other two.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<IpNet>,
}

impl Default for Network {
    /// Pods in 10.244.0.0/16; services in 10.96.0.0/16, which leaves the rest of kubeadm's own 10.96.0.0/12 to nodes.
    fn default() -> Self {
        let net = |second| IpNet::V4(ipnet::Ipv4Net::new_assert([10, second, 0, 0].into(), 16));
        Self { pods: net(244), services: net(96), nodes: Vec::new() }
    }
}

/// A group of equal machines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Pool {
    /// Name, unique in the cluster. Another name is another pool, with other machines.
    pub name: String,
    /// What its machines do.
    pub role: Role,
    /// Number of machines; odd for the control plane, whose etcd members vote.
    pub replicas: u32,
    /// MAAS image, such as `custom/debian-12-kubernetes-1.36.3`.
    pub image: String,
    /// Fewest CPU cores.
    #[serde(default, rename = "minCPU")]
    pub min_cpu: u32,
    /// Least memory, MiB.
    #[serde(default, rename = "minMemoryMiB")]
    pub min_memory_mib: u32,
    /// Smallest disk, GB; none: any.
    #[serde(default, rename = "minDiskGB", skip_serializing_if = "Option::is_none")]
    pub min_disk_gb: Option<u32>,
    /// MAAS zones; machines are spread over them. None: any zone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub zones: Vec<String>,
    /// MAAS resource pool; none: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_pool: Option<String>,
    /// MAAS tags that a machine must have, all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Labels of the nodes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Taints of the nodes when they register, besides the control plane's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taints: Vec<Taint>,
    /// Whether ordinary pods run on the control plane's machines too: its own taint is then left out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub control_plane_as_worker: bool,
    /// Palette's `overrideKubeadmConfiguration`, for workers only: YAML with `kubeletExtraArgs` (a map),
    /// `preKubeadmCommands` and `postKubeadmCommands`, merged into the nodes' kubeadm configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub override_kubeadm_configuration: Option<String>,
    /// Palette's `overrideClusterApiConfig` of a pool: YAML whose one key is `maasMachineTemplate`, merged into that
    /// object (RFC 7396) after everything else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub override_cluster_api_config: Option<String>,
}

/// What a pool's machines do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Runs the cluster's API server and etcd.
    ControlPlane,
    /// Runs pods.
    Worker,
}

/// Keeps pods that do not tolerate it away from a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Taint {
    /// Key, a qualified name.
    pub key: String,
    /// Value; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub value: String,
    /// What happens to pods that do not tolerate it.
    pub effect: Effect,
}

/// What a taint does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Effect {
    /// No new pods.
    NoSchedule,
    /// New pods only where there is no other node.
    PreferNoSchedule,
    /// No new pods, and those that run are evicted.
    NoExecute,
}

/// Something installed in the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Layer {
    /// Name, unique in the cluster: a DNS label.
    pub name: String,
    /// Its objects: YAML documents. Namespaced objects name their namespace. Empty where it is a chart.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub manifests: String,
    /// A chart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chart: Option<Chart>,
}

/// A Helm chart to be installed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Chart {
    /// SHA-256 of its archive, hex: by it the gateway gets the archive.
    pub digest: String,
    /// Name of the release: a DNS label.
    pub release: String,
    /// Namespace of the release, made where it is not there.
    pub namespace: String,
    /// Values, YAML.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub values: String,
}

/// A registry that serves every image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Registry {
    /// Such as `https://10.20.0.1:5000`; no path.
    pub url: String,
    /// Certificates of the authorities that its certificate may be of, PEM; none: those the image trusts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
}
