//! The custom resources of the Cluster API provider for MAAS: `infrastructure.cluster.x-k8s.io/v1beta1`.
//!
//! Names, defaults and required fields are those that clusters out there already use, so objects written by
//! the existing provider (0.8, 0.9 and its vendor's branch) are taken as they are. Status follows Cluster API's
//! v1beta2 contract: `initialization.provisioned` and `metav1` conditions; `ready` stays beside it for older readers.
//!
//! [`crds`] has the definitions to install. [`core`] has the few fields of Cluster API's own objects that a provider
//! reads.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)
)]

mod cluster;
pub mod core;
mod crd;
mod machine;
mod template;

pub use cluster::{
    Endpoint, FailureDomain, Initialization, LxdConfig, MaasCluster, MaasClusterSpec, MaasClusterStatus,
    Network,
};
pub use crd::crds;
pub use machine::{Address, Lxd, MaasMachine, MaasMachineSpec, MaasMachineStatus, StaticIp, VmConfig};
pub use template::{MaasMachineTemplate, MaasMachineTemplateSpec, TemplateBody};

/// API group of the resources.
pub const GROUP: &str = "infrastructure.cluster.x-k8s.io";

/// Their only version.
pub const VERSION: &str = "v1beta1";

/// Keeps a `MaasCluster` until its DNS record is gone.
pub const CLUSTER_FINALIZER: &str = "maascluster.infrastructure.cluster.x-k8s.io";

/// Keeps a `MaasMachine` until its machine is released and wiped.
pub const MACHINE_FINALIZER: &str = "maasmachine.infrastructure.cluster.x-k8s.io";

/// On a `MaasCluster`: the id that marks what belongs to it in MAAS. Unlike the Kubernetes UID it survives a move.
pub const CLUSTER_UID: &str = "maas.infrastructure.cluster.x-k8s.io/cluster-uid";

/// On a `MaasMachine`: the `agent_name` of its machine in MAAS, written before anything is allocated.
pub const AGENT_NAME: &str = "maas.infrastructure.cluster.x-k8s.io/agent-name";

/// On a `MaasMachine`: when an allocation was begun whose answer is not known yet.
pub const ALLOCATING: &str = "maas.infrastructure.cluster.x-k8s.io/allocating-since";

/// On a `MaasMachine`: system id of the machine that is being given back.
pub const RELEASING: &str = "maas.infrastructure.cluster.x-k8s.io/releasing";

/// On a `MaasMachine`: how often giving that machine back has failed.
pub const RELEASE_FAILURES: &str = "maas.infrastructure.cluster.x-k8s.io/release-failures";

/// On a `MaasMachine`: system ids of machines that failed to deploy for it, with commas; not taken again while others fit.
pub const FAILED_MACHINES: &str = "maas.infrastructure.cluster.x-k8s.io/failed-machines";

/// On a `MaasCluster` of the vendor's: the endpoint's name is somebody else's business.
pub const CUSTOM_DNS: &str = "spectrocloud.com/custom-dns-provided";
