//! What a machine does to become a node: kubeadm's configuration and the files around it.
//!
//! One configuration fits real, emulated and namespace machines: what differs between those (cgroups, kernel modules,
//! sandbox image) is in the node image. Time-outs are those of the slowest: a longer one costs nothing where things
//! go well.

use serde_json::{Value, json};

use super::{fields, list};
use crate::model::{Intent, Pool, Registry, Role, Taint};

/// Where kubeadm's cloud-init finds its configuration on the machine that begins a cluster, and only there
/// (Cluster API, kubeadm bootstrap provider).
const INIT_CONFIG: &str = "/run/kubeadm/kubeadm.yaml";
/// Where containerd looks for every registry that has no folder of its own.
const REGISTRIES: &str = "/etc/containerd/certs.d/_default";

/// kube-proxy's configuration, which Cluster API has no field for: a further document of kubeadm's own file.
/// nftables, because iptables mode is on its way out and slower with many Services; conntrack's sysctls stay as the
/// node has them, because they cannot be written where the machine is a namespace.
const KUBE_PROXY: (&str, &str) = (
    "/run/kubeadm/kube-proxy.yaml",
    "---\napiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: nftables\nconntrack:\n  maxPerCore: 0\n  min: 0\n",
);

/// `KubeadmConfigSpec` of the control plane.
pub(super) fn control_plane(intent: &Intent, pool: &Pool) -> Value {
    let (path, content) = KUBE_PROXY;
    let mut files = vec![file(path, content)];
    files.extend(registry_files(intent.registry.as_ref()));
    // A second control plane joins and has no such file: it reads kube-proxy's configuration from the cluster.
    let append = format!("if [ -f {INIT_CONFIG} ]; then cat {path} >> {INIT_CONFIG}; fi");
    let registration = json!({ "nodeRegistration": registration(pool), "timeouts": timeouts() });
    let patient = json!({ "extraArgs": leases() });
    // Keys that are made in no time and sign a hundred times faster than RSA's, which kubeadm takes by itself.
    let cluster =
        json!({ "controllerManager": patient, "scheduler": patient, "encryptionAlgorithm": "ECDSA-P256" });
    fields([
        ("clusterConfiguration", Some(cluster)),
        ("initConfiguration", Some(registration.clone())),
        ("joinConfiguration", Some(registration)),
        ("files", list(&files)),
        ("preKubeadmCommands", Some(json!([append]))),
        ("users", users(&intent.ssh_keys)),
    ])
}

/// `KubeadmConfigSpec` of workers.
pub(super) fn worker(intent: &Intent, pool: &Pool) -> Value {
    let overrides = pool.kubeadm_override();
    fields([
        (
            "joinConfiguration",
            Some(json!({ "nodeRegistration": registration(pool), "timeouts": timeouts() })),
        ),
        ("files", list(&registry_files(intent.registry.as_ref()))),
        ("preKubeadmCommands", list(&overrides.pre_kubeadm_commands)),
        ("postKubeadmCommands", list(&overrides.post_kubeadm_commands)),
        ("users", users(&intent.ssh_keys)),
    ])
}

/// How the node registers. It has no `name`: that is the host name, which cloud-init has set by then; and no
/// provider id: our provider sets that on the node.
fn registration(pool: &Pool) -> Value {
    let args: Vec<_> = pool
        .kubelet_args()
        .into_iter()
        .map(|(name, value)| json!({ "name": name, "value": value }))
        .collect();
    fields([
        ("criSocket", Some(json!("unix:///run/containerd/containerd.sock"))),
        ("imagePullPolicy", Some(json!("IfNotPresent"))),
        // kubeadm looks for the kernel's configuration, which a namespace machine has not of its own.
        ("ignorePreflightErrors", Some(json!(["SystemVerification"]))),
        ("kubeletExtraArgs", list(&args)),
        ("taints", taints(pool)),
    ])
}

/// None leaves it to kubeadm, which taints control planes and nothing else.
fn taints(pool: &Pool) -> Option<Value> {
    let taint = |taint: &Taint| {
        let value = (!taint.value.is_empty()).then(|| json!(taint.value));
        fields([("key", Some(json!(taint.key))), ("value", value), ("effect", Some(json!(taint.effect)))])
    };
    let own = pool.taints.iter().map(taint);
    match (pool.role, pool.control_plane_as_worker) {
        (Role::ControlPlane, true) => Some(own.collect()),
        _ if pool.taints.is_empty() => None,
        (Role::ControlPlane, false) => {
            let standard = json!({ "key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule" });
            Some([standard].into_iter().chain(own).collect())
        }
        (Role::Worker, _) => Some(own.collect()),
    }
}

fn timeouts() -> Value {
    json!({
        "controlPlaneComponentHealthCheckSeconds": 1200,
        "discoverySeconds": 1200,
        "etcdAPICallSeconds": 600,
        "kubeletHealthCheckSeconds": 600,
        "kubernetesAPICallSeconds": 600,
        "tlsBootstrapSeconds": 1200,
    })
}

/// How long scheduler and controller manager may fail to renew their lease before they end themselves. Kubernetes' own
/// 10 s are less than a busy control plane on one slow disk or an emulated processor takes at its worst; the price is
/// that another one takes over within 45 s and not within 15, be it on another machine or the same one's next start.
fn leases() -> Value {
    let times = [("lease-duration", "45s"), ("renew-deadline", "40s"), ("retry-period", "4s")];
    let args = times.map(|(name, value)| json!({ "name": format!("leader-elect-{name}"), "value": value }));
    json!(args)
}

/// Makes the site's registry answer for every image. `server` is the site's too: containerd falls back to it, and
/// without it to the internet.
fn registry_files(registry: Option<&Registry>) -> Vec<Value> {
    let Some(Registry { url, ca }) = registry else { return Vec::new() };
    let ca_path = format!("{REGISTRIES}/ca.crt");
    let trust = if ca.is_some() { format!("  ca = \"{ca_path}\"\n") } else { String::new() };
    let hosts =
        format!("server = \"{url}\"\n\n[host.\"{url}\"]\n  capabilities = [\"pull\", \"resolve\"]\n{trust}");
    let mut files = vec![file(&format!("{REGISTRIES}/hosts.toml"), &hosts)];
    files.extend(ca.as_deref().map(|pem| file(&ca_path, pem)));
    files
}

fn file(path: &str, content: &str) -> Value {
    json!({ "path": path, "owner": "root:root", "permissions": "0644", "content": content })
}

fn users(keys: &[String]) -> Option<Value> {
    list(keys).map(|keys| {
        json!([{
            "name": Intent::SSH_USER,
            "shell": "/bin/bash",
            "sudo": "ALL=(ALL) NOPASSWD:ALL",
            "lockPassword": true,
            "sshAuthorizedKeys": keys,
        }])
    })
}
