//! What an intent may not say, as sentences.

use std::collections::BTreeSet;

use ipnet::IpNet;

use crate::{
    layer::LARGEST,
    model::{Intent, Layer, Network, Pool, Registry, Role},
    name, overrides,
};

/// Most bytes of a file in a node's bootstrap data (Cluster API's schema).
const LARGEST_FILE: usize = 10_240;
/// Most characters of a kubelet argument (the same).
const LONGEST_ARGUMENT: usize = 1_024;
/// Most layers.
const MOST_LAYERS: usize = 100;

/// Something in an intent that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// No id of ours.
    #[error("uid is `{0}`; it must be 24 lower-case hex digits")]
    Uid(String),
    /// No DNS label.
    #[error(
        "{what} is `{name}`; it must be a DNS label: 1 to 63 lower-case letters, digits and dashes, beginning with a letter"
    )]
    Name {
        /// What is named.
        what: String,
        /// Its name.
        name: String,
    },
    /// Two things of one name.
    #[error("{what} `{name}` is there twice; give one of them another name")]
    Twice {
        /// What is named.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// No version of Kubernetes.
    #[error("kubernetesVersion is `{0}`; it must be one like 1.36.3")]
    Version(String),
    /// The API would have no address.
    #[error("endpoint.{field} is `{value}`; it must be {wanted}")]
    Endpoint {
        /// Field of the endpoint.
        field: &'static str,
        /// Its value.
        value: String,
        /// What it must be.
        wanted: &'static str,
    },
    /// A network with bits of a host.
    #[error("the network {net} has bits set behind its prefix; write {trunc}")]
    HostBits {
        /// As given.
        net: IpNet,
        /// As meant.
        trunc: IpNet,
    },
    /// kube-proxy would drop the nodes' traffic.
    #[error(
        "the node network {nodes} and the service CIDR {services} overlap: kube-proxy drops what goes to an address of \
         the service CIDR that is no Service, so nodes there cannot be reached; choose another service CIDR or other \
         addresses for the nodes"
    )]
    NodesInServices {
        /// A network of nodes.
        nodes: IpNet,
        /// The service CIDR.
        services: IpNet,
    },
    /// Pods would have addresses of something else.
    #[error("the pod CIDR {pods} and the {what} {other} overlap; choose another pod CIDR")]
    PodsOverlap {
        /// The pod CIDR.
        pods: IpNet,
        /// What it overlaps.
        what: &'static str,
        /// That network.
        other: IpNet,
    },
    /// Pods and services of two families.
    #[error("the pod CIDR {pods} and the service CIDR {services} must both be IPv4 or both IPv6")]
    Families {
        /// The pod CIDR.
        pods: IpNet,
        /// The service CIDR.
        services: IpNet,
    },
    /// No or several pools with the control plane.
    #[error("{0} pools have the role control-plane; there must be one")]
    ControlPlanes(usize),
    /// etcd could not vote.
    #[error(
        "the control-plane pool has {0} replicas; etcd's members vote, so there must be an odd number of them: 1, 3 or 5"
    )]
    Replicas(u32),
    /// Something about one pool.
    #[error("pool {pool}: {what}")]
    Pool {
        /// The pool.
        pool: String,
        /// What is wrong with it, and what to do.
        what: String,
    },
    /// Something about one layer.
    #[error("layer {layer}: {what}")]
    Layer {
        /// The layer.
        layer: String,
        /// What is wrong with it, and what to do.
        what: String,
    },
    /// More layers than are taken.
    #[error("there are {0} layers; {MOST_LAYERS} are taken at most: put some together")]
    Layers(usize),
    /// Larger layers than are taken.
    #[error("the layers have {0} bytes; {LARGEST} are taken at most: make charts of the larger ones")]
    Size(usize),
    /// A registry that nodes could not use.
    #[error("registry.{0}")]
    Registry(String),
    /// No public key.
    #[error(
        "sshKeys[{0}] must be one line with a key, such as `ssh-ed25519 AAAA… who`, of at most 2048 characters"
    )]
    SshKey(usize),
    /// The cluster's override cannot be applied.
    #[error("overrideClusterApiConfig: {0}")]
    Override(String),
}

impl Intent {
    /// All that is wrong with the intent; nothing, if it can be rendered.
    #[must_use]
    pub fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut find = |found: Option<Problem>| problems.extend(found);

        find((!is_uid(&self.uid)).then(|| Problem::Uid(self.uid.clone())));
        find(bad_label("name", &self.name));
        find(bad_label("namespace", &self.namespace));
        find(
            (!is_version(&self.kubernetes_version))
                .then(|| Problem::Version(self.kubernetes_version.clone())),
        );
        self.endpoint(&mut find);
        networks(&self.network, &mut find);
        self.pools(&mut find);
        self.layers(&mut find);
        if let Some(registry) = &self.registry {
            registry_problems(registry, &mut find);
        }
        for (index, key) in self.ssh_keys.iter().enumerate() {
            let usable = key.contains(' ') && !key.contains(['\n', '\r']) && key.len() <= 2048;
            find((!usable).then_some(Problem::SshKey(index)));
        }
        if let Some(text) = &self.override_cluster_api_config {
            find(overrides::cluster_api(text, "MaasCluster").err().map(Problem::Override));
        }
        problems
    }

    fn endpoint(&self, find: &mut impl FnMut(Option<Problem>)) {
        let mut refuse = |field, value: &str, ok: bool, wanted| {
            find((!ok).then(|| Problem::Endpoint { field, value: value.to_owned(), wanted }));
        };
        let domain = &self.endpoint.dns_domain;
        refuse("dnsDomain", domain, is_domain(domain), "a MAAS DNS domain, such as maas.example.com");
        if let Some(given) = &self.endpoint.given {
            let ok = is_domain(&given.host) || given.host.parse::<std::net::IpAddr>().is_ok();
            refuse("given.host", &given.host, ok, "a DNS name or an IP address");
            refuse("given.port", &given.port.to_string(), given.port != 0, "between 1 and 65535");
        }
    }

    fn pools(&self, find: &mut impl FnMut(Option<Problem>)) {
        let control: Vec<_> = self.pools.iter().filter(|pool| pool.role == Role::ControlPlane).collect();
        match control.as_slice() {
            [one] => find((one.replicas % 2 == 0).then_some(Problem::Replicas(one.replicas))),
            several => find(Some(Problem::ControlPlanes(several.len()))),
        }
        find(twice("pool", self.pools.iter().map(|pool| pool.name.clone())));
        let deployments =
            self.pools.iter().filter(|pool| pool.role == Role::Worker).flat_map(|pool| {
                pool.placements().into_iter().map(|(zone, _)| self.deployment_name(pool, zone))
            });
        find(twice("the MachineDeployment", deployments));
        for pool in &self.pools {
            let what = format!("the name of pool {}", pool.name);
            find(bad_label(&what, &pool.name));
            pool_problems(pool, &mut |what: String| {
                find(Some(Problem::Pool { pool: pool.name.clone(), what }));
            });
        }
    }

    fn layers(&self, find: &mut impl FnMut(Option<Problem>)) {
        find((self.layers.len() > MOST_LAYERS).then_some(Problem::Layers(self.layers.len())));
        find(twice("layer", self.layers.iter().map(|layer| layer.name.clone())));
        for layer in &self.layers {
            find(bad_label(&format!("the name of layer {}", layer.name), &layer.name));
            find(layer.fault().map(|what| Problem::Layer { layer: layer.name.clone(), what }));
        }
        let size = self.layers.iter().map(Layer::size).sum();
        find((size > LARGEST).then_some(Problem::Size(size)));
    }
}

fn networks(network: &Network, find: &mut impl FnMut(Option<Problem>)) {
    let Network { pods, services, nodes } = network;
    for net in [pods, services].into_iter().chain(nodes) {
        find((net.trunc() != *net).then(|| Problem::HostBits { net: *net, trunc: net.trunc() }));
    }
    let families = matches!((pods, services), (IpNet::V4(_), IpNet::V4(_)) | (IpNet::V6(_), IpNet::V6(_)));
    find((!families).then_some(Problem::Families { pods: *pods, services: *services }));
    let pods_in = |what, other: IpNet| {
        overlap(pods, &other).then_some(Problem::PodsOverlap { pods: *pods, what, other })
    };
    find(pods_in("service CIDR", *services));
    for net in nodes {
        find(pods_in("node network", *net));
        find(overlap(net, services).then_some(Problem::NodesInServices { nodes: *net, services: *services }));
    }
}

fn pool_problems(pool: &Pool, find: &mut impl FnMut(String)) {
    if pool.image.is_empty() {
        find("image is empty; name a MAAS image, such as custom/debian-12-kubernetes-1.36.3".to_owned());
    }
    if pool.control_plane_as_worker && pool.role == Role::Worker {
        find("controlPlaneAsWorker is for the control-plane pool; leave it out".to_owned());
    }
    for (field, values) in [("zones", &pool.zones), ("tags", &pool.tags)] {
        if values.iter().any(String::is_empty) {
            find(format!("{field} has an empty name"));
        }
        if values.iter().collect::<BTreeSet<_>>().len() < values.len() {
            find(format!("{field} names one of them twice"));
        }
    }
    for (key, value) in &pool.labels {
        if !is_qualified(key) || !is_label_value(value) {
            find(format!("`{key}={value}` is no Kubernetes label"));
        } else if !Pool::is_synced(key) && !kubelet_may_set(key) {
            find(format!(
                "a kubelet may not give its node the label `{key}`; use a key outside kubernetes.io and k8s.io"
            ));
        }
    }
    for taint in &pool.taints {
        if !is_qualified(&taint.key) || !is_label_value(&taint.value) {
            find(format!("`{}={}` is no taint", taint.key, taint.value));
        }
    }
    if let Some(text) = &pool.override_kubeadm_configuration {
        match overrides::kubeadm(text) {
            _ if pool.role == Role::ControlPlane => {
                find("overrideKubeadmConfiguration is for worker pools; leave it out".to_owned());
            }
            Err(why) => find(format!("overrideKubeadmConfiguration: {why}")),
            Ok(_) => {}
        }
    }
    for (flag, value) in pool.kubelet_args() {
        if value.len() > LONGEST_ARGUMENT {
            find(format!("the kubelet's --{flag} would have more than {LONGEST_ARGUMENT} characters"));
        }
    }
    if let Some(Err(why)) = pool
        .override_cluster_api_config
        .as_deref()
        .map(|text| overrides::cluster_api(text, "MaasMachineTemplate"))
    {
        find(format!("overrideClusterApiConfig: {why}"));
    }
}

fn registry_problems(registry: &Registry, find: &mut impl FnMut(Option<Problem>)) {
    let rest = registry.url.strip_prefix("https://").or_else(|| registry.url.strip_prefix("http://"));
    let host = |rest: &str| {
        !rest.is_empty() && rest.chars().all(|c| c.is_ascii_alphanumeric() || "-.:[]".contains(c))
    };
    let wrong = !rest.is_some_and(host);
    find(wrong.then(|| {
        Problem::Registry(format!(
            "url is `{}`; it must be like https://10.20.0.1:5000, without a path",
            registry.url
        ))
    }));
    if let Some(ca) = &registry.ca {
        let pem = ca.contains("-----BEGIN CERTIFICATE-----");
        find((!pem).then(|| Problem::Registry("ca has no certificate in PEM".to_owned())));
        let large = ca.len() > LARGEST_FILE;
        find(large.then(|| {
            Problem::Registry(format!(
                "ca has {} bytes and may have {LARGEST_FILE}: keep the site's own CA only",
                ca.len()
            ))
        }));
    }
}

fn bad_label(what: &str, name: &str) -> Option<Problem> {
    (!name::is_label(name)).then(|| Problem::Name { what: what.to_owned(), name: name.to_owned() })
}

fn twice(what: &'static str, names: impl Iterator<Item = String>) -> Option<Problem> {
    let mut seen = BTreeSet::new();
    let name = names.into_iter().find(|name| !seen.insert(name.clone()))?;
    Some(Problem::Twice { what, name })
}

fn overlap(a: &IpNet, b: &IpNet) -> bool {
    a.contains(b) || b.contains(a)
}

fn is_uid(text: &str) -> bool {
    text.len() == 24 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_version(text: &str) -> bool {
    let numbers: Vec<_> = text.strip_prefix('v').unwrap_or(text).split('.').collect();
    let number = |part: &&str| part.parse::<u16>().is_ok_and(|number| number.to_string() == *part);
    numbers.len() == 3 && numbers.iter().all(number)
}

fn is_domain(text: &str) -> bool {
    text.len() <= 253
        && text.split('.').all(|part| {
            (1..=63).contains(&part.len())
                && !part.starts_with('-')
                && !part.ends_with('-')
                && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        })
}

/// `prefix/name` or `name`, as keys of labels and taints are.
fn is_qualified(key: &str) -> bool {
    let (prefix, name) = key.rsplit_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    prefix.is_none_or(is_domain) && !name.is_empty() && is_label_value(name)
}

fn is_label_value(value: &str) -> bool {
    let edge = |c: Option<char>| c.is_none_or(|c| c.is_ascii_alphanumeric());
    value.len() <= 63
        && edge(value.chars().next())
        && edge(value.chars().last())
        && value.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

/// Whether the kubelet starts with this key in `--node-labels` (Kubernetes: labels in `kubernetes.io` are reserved but
/// for those that kubelets know).
fn kubelet_may_set(key: &str) -> bool {
    let Some((prefix, _)) = key.rsplit_once('/') else { return true };
    let within = |domain: &str| prefix == domain || prefix.ends_with(&format!(".{domain}"));
    let reserved = within("kubernetes.io") || within("k8s.io");
    !reserved || within("kubelet.kubernetes.io") || within("node.kubernetes.io")
}
