//! What the plane asks of a gateway, through the tunnel.
//!
//! JSON bodies; the tunnel has checked who asks and for which tenant.
//!
//! | request | body | answer |
//! |---|---|---|
//! | `GET /v1/about` | – | 200 [`About`] |
//! | `POST /v1/maas/validate` | [`Account`] | 200 [`Validated`] |
//! | `POST /v1/maas/probe` | [`Account`] | 200 [`Probed`] |
//! | `POST /v1/maas/look-up` | [`LookUp`] | 200 [`Found`] |
//! | `PUT /v1/clusters` | [`Order`] | 200 [`Taken`] |
//! | `GET /v1/clusters/{uid}/kubeconfig` | – | 200 [`Kubeconfig`] |
//!
//! A byte stream to the target [`kubernetes::target`] carries HTTP/1.1 to a cluster's API server, as the grant's person.
//!
//! On its report connection the gateway tells the plane what became of its clusters:
//!
//! | request | body | answer |
//! |---|---|---|
//! | `POST /v1/clusters` | [`Report`] | 204 |
//! | `GET /v1/charts/{digest}` | – | 200, the archive of a chart of one of its clusters |
//!
//! 422 with a [`Problem`]: the gateway took the request, and what it asks for cannot be done.

use intent::Intent;
use maas_client::{Domain, Named, Subnet, Tag};
use sealing::{Sealed, SealingPublic};
use secrets::Secret;
use serde::{Deserialize, Serialize};

/// Paths of requests.
pub mod path {
    /// What the gateway is.
    pub const ABOUT: &str = "/v1/about";
    /// Tries an account.
    pub const VALIDATE: &str = "/v1/maas/validate";
    /// Tries the ways that a system private gateway needs.
    pub const PROBE: &str = "/v1/maas/probe";
    /// Looks something up in a MAAS.
    pub const LOOK_UP: &str = "/v1/maas/look-up";
    /// What clusters should be, and what became of them.
    pub const CLUSTERS: &str = "/v1/clusters";
    /// A chart's archive.
    pub const CHART: &str = "/v1/charts/{digest}";
    /// A cluster's kubeconfig.
    pub const KUBECONFIG: &str = "/v1/clusters/{uid}/kubeconfig";
}

/// Clusters' API servers, for people.
pub mod kubernetes {
    /// People who may do everything in a cluster.
    pub const ADMINS: &str = "bessemer:admins";
    /// People who may look at what is no secret.
    pub const VIEWERS: &str = "bessemer:viewers";
    const SUFFIX: &str = ".kubernetes:443";

    /// The target that is a cluster's API server.
    pub fn target(cluster: &str) -> String {
        format!("{cluster}{SUFFIX}")
    }

    /// The cluster whose API server a target is.
    pub fn cluster(target: &str) -> Option<&str> {
        target.strip_suffix(SUFFIX).filter(|uid| !uid.is_empty())
    }
}

/// What a MAAS API key is sealed for: it opens as nothing else.
pub const MAAS_KEY: &str = "bessemer maas api key";

/// What a gateway is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Its program.
    pub software: String,
    /// What secrets for the site are sealed to.
    pub sealing_key: SealingPublic,
}

/// A MAAS and how to sign in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Such as `http://10.20.0.1:5240/MAAS`.
    pub endpoint: String,
    /// The API key, sealed to the gateway for [`MAAS_KEY`].
    pub key: Sealed,
}

/// An account that works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validated {
    /// MAAS's version.
    pub version: String,
    /// The user whose key it is.
    pub user: String,
}

/// The ways between a gateway that is not at the site, and the site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probed {
    /// Each that is needed.
    pub ways: Vec<Way>,
}

/// A way between a gateway and a site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Way {
    /// From where to where, for people.
    pub what: String,
    /// Whether it is open; unknown where nobody can tell.
    pub open: Option<bool>,
}

/// Something to be looked up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LookUp {
    /// Where.
    pub account: Account,
    /// What.
    pub what: What,
}

/// What can be looked up in a MAAS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// Availability zones.
    Zones,
    /// Resource pools.
    Pools,
    /// DNS domains.
    Domains,
    /// Subnets.
    Subnets,
    /// Tags.
    Tags,
    /// Images that are complete, as deployments name them.
    Images,
    /// Machines.
    Machines,
}

/// What was found, as MAAS tells it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "what", content = "found", rename_all = "snake_case")]
pub enum Found {
    /// Availability zones.
    Zones(Vec<Named>),
    /// Resource pools.
    Pools(Vec<Named>),
    /// DNS domains.
    Domains(Vec<Domain>),
    /// Subnets.
    Subnets(Vec<Subnet>),
    /// Tags.
    Tags(Vec<Tag>),
    /// Names of images.
    Images(Vec<String>),
    /// Machines.
    Machines(Vec<Machine>),
}

/// As much of a machine as a plane needs to choose.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// MAAS's id.
    pub system_id: String,
    /// Its name.
    pub hostname: String,
    /// MAAS's name of its state, such as `Ready`.
    pub status: String,
    /// Nobody has it, and it can be had.
    pub free: bool,
    /// `on`, `off`, `unknown` or `error`.
    pub power: String,
    /// Availability zone.
    pub zone: String,
    /// Resource pool.
    pub pool: String,
    /// Tags.
    pub tags: Vec<String>,
    /// Processors.
    pub cpus: u64,
    /// Memory, MiB.
    pub memory_mib: u64,
    /// Disks, GB.
    pub storage_gb: f64,
}

/// Why something cannot be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Of which kind.
    pub code: ProblemCode,
    /// What happened and what to do.
    pub message: String,
}

/// Kinds of problems.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProblemCode {
    /// What was asked is wrong in itself.
    Invalid,
    /// It was sealed to another gateway, or to an earlier life of this one.
    Sealed,
    /// No MAAS answers there.
    Unreachable,
    /// MAAS does not take the key.
    Unauthorized,
    /// MAAS takes the key, and the user may not do this.
    Forbidden,
    /// MAAS said something else.
    Maas,
    /// The gateway has no engine, or it does not answer now.
    Engine,
    /// There is no such thing here, or not yet.
    NotFound,
}

/// What a cluster should be. Orders are whole: a newer one takes the place of an older one, and one that is not newer
/// changes nothing, so each may come twice and in any order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Counts up whenever the plane was restored from a backup.
    pub incarnation: u64,
    /// Counts up with each change of what is wanted.
    pub generation: u64,
    /// Where its machines come from.
    pub account: Account,
    /// What it should be, but for what the site knows better: its registry, and the contents of built-in packs.
    pub intent: Intent,
    /// Built-in packs whose contents the site has, by the name of their file in the bundle (`cni`). They come before
    /// the intent's own layers.
    pub built_in: Vec<String>,
    /// It should not be there any more.
    pub deleted: bool,
}

impl Order {
    /// What orders are compared by.
    pub fn age(&self) -> (u64, u64) {
        (self.incarnation, self.generation)
    }
}

/// An order that is kept at the site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// The newest one that is kept.
    pub generation: u64,
}

/// How a cluster stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The cluster.
    pub uid: String,
    /// The order that it is about.
    pub generation: u64,
    /// How far it is.
    pub state: ClusterState,
    /// What it waits for, or what is wrong; may be empty.
    pub message: String,
    /// Where its API is reached from within the site; none yet.
    pub endpoint: Option<String>,
    /// Its machines.
    pub machines: Vec<ClusterMachine>,
    /// What is installed in it, the lowest first; none before its API is there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<ClusterLayer>,
}

/// A layer of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterLayer {
    /// Its name; of a built-in pack, that of its file in the bundle.
    pub name: String,
    /// How it stands, in a word.
    pub state: LayerState,
    /// What it waits for, or what is wrong; may be empty.
    pub message: String,
}

/// How a layer stands, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LayerState {
    /// A layer below it is not healthy yet.
    Waiting,
    /// It is installed, and not all of it works yet.
    Installing,
    /// All of it works.
    Ready,
    /// It cannot be installed as it is, or does not work.
    Failed,
}

/// How far a cluster is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClusterState {
    /// It is being made, or changed.
    Provisioning,
    /// All of it is there.
    Running,
    /// It is being deleted.
    Deleting,
    /// Nothing of it is left, and its machines are free again.
    Deleted,
}

/// A machine of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterMachine {
    /// Name of its Cluster API object.
    pub name: String,
    /// It is a control plane.
    pub control_plane: bool,
    /// The pool that it belongs to; empty for control planes.
    pub pool: String,
    /// Cluster API's phase, such as `Provisioning`.
    pub phase: String,
    /// Its node is Ready.
    pub ready: bool,
    /// What it waits for, or what is wrong; may be empty.
    pub message: String,
    /// Its addresses.
    pub addresses: Vec<String>,
    /// Its node's name.
    pub node: Option<String>,
    /// Its provider id, which names the machine in MAAS.
    pub provider_id: Option<String>,
}

/// A kubeconfig.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kubeconfig {
    /// YAML, with an administrator's credentials.
    pub text: Secret,
}

impl std::fmt::Debug for Kubeconfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Kubeconfig")
    }
}
