//! The processes of an engine: what each is started with, and how it shows that it works.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::bundle::Bundle;
use crate::config::ProviderConfig;
use crate::layout::Layout;
use crate::manifests::{MAAS, MODULES};

/// etcd: everything else needs it.
const STAGE_STORE: u8 = 0;
/// The Kubernetes API. Once it is ready, Cluster API is installed.
pub(crate) const STAGE_API: u8 = 1;
/// Whatever works on the API.
pub(crate) const STAGE_MANAGERS: u8 = 2;

/// etcd's socket, in the working folder that only the engine's user can enter: no port, no certificate. etcd wants a
/// host and a port in its URLs; together they are the file's name.
const ETCD: &str = "unix://etcd:1";

/// A process.
#[derive(Clone)]
pub(crate) struct Spec {
    /// Its name.
    pub name: &'static str,
    /// Its stage, see [`crate::plan`].
    pub stage: u8,
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Set in its environment, beside what every process gets.
    pub environment: Vec<(String, String)>,
    /// The URL that answers with success when it is ready.
    pub health: String,
    /// Whether it notices by itself when its certificates are renewed.
    pub renewal: Renewal,
}

/// What a process does when its certificates are renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Renewal {
    /// It reads them again.
    Reads,
    /// It has to be started anew.
    Restart,
}

/// Ports on 127.0.0.1 of an engine's processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ports {
    /// etcd's health.
    pub etcd: u16,
    /// kube-controller-manager.
    pub controllers: u16,
    /// The modules' managers.
    pub modules: [ManagerPorts; 3],
    /// Our provider.
    pub provider: ManagerPorts,
}

/// Ports of one manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ManagerPorts {
    /// Webhooks.
    pub webhooks: u16,
    /// Health.
    pub health: u16,
    /// Metrics, with authorization.
    pub diagnostics: u16,
}

/// The processes of an embedded engine but the provider, in the order of their stages.
pub(crate) fn embedded(bundle: &Bundle, layout: &Layout, api: SocketAddr, ports: &Ports) -> Vec<Spec> {
    let mut specs = vec![
        etcd(bundle, layout, ports),
        api_server(bundle, layout, api),
        controllers(bundle, layout, ports),
    ];
    for (module, ports) in MODULES.iter().zip(ports.modules) {
        let name = module.manager;
        specs.push(Spec {
            name,
            stage: STAGE_MANAGERS,
            program: bundle.program(name),
            arguments: manager(layout, name, ports, layout.user(name))
                .chain([flag("diagnostics-address", format!("127.0.0.1:{}", ports.diagnostics))])
                .collect(),
            environment: Vec::new(),
            health: format!("http://127.0.0.1:{}/readyz", ports.health),
            renewal: Renewal::Reads,
        });
    }
    specs
}

/// Our provider.
pub(crate) fn provider(
    config: &ProviderConfig,
    layout: &Layout,
    ports: ManagerPorts,
    serves: Serves,
) -> Spec {
    let name = MAAS.manager;
    let arguments = match serves {
        Serves::Webhooks => manager(layout, name, ports, layout.user(name)).collect(),
        Serves::Nothing { kubeconfig } => {
            vec![flag("kubeconfig", kubeconfig), flag("health-addr", format!("127.0.0.1:{}", ports.health))]
        }
    };
    Spec {
        name,
        stage: STAGE_MANAGERS,
        program: config.program.clone(),
        arguments: config.arguments.iter().cloned().chain(arguments).collect(),
        environment: config.environment.clone(),
        health: format!("http://127.0.0.1:{}/readyz", ports.health),
        renewal: Renewal::Restart,
    }
}

/// Whether our provider serves webhooks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Serves {
    /// Yes: the Kubernetes API can reach it.
    Webhooks,
    /// No; and it uses this kubeconfig.
    Nothing {
        /// The file.
        kubeconfig: PathBuf,
    },
}

fn etcd(bundle: &Bundle, layout: &Layout, ports: &Ports) -> Spec {
    let peer = "unix://etcd-peer:1";
    let health = format!("http://127.0.0.1:{}", ports.etcd);
    Spec {
        name: "etcd",
        stage: STAGE_STORE,
        program: bundle.program("etcd"),
        arguments: vec![
            flag("name", "engine"),
            flag("data-dir", layout.etcd()),
            flag("listen-client-urls", ETCD),
            flag("advertise-client-urls", ETCD),
            flag("listen-peer-urls", peer),
            flag("initial-advertise-peer-urls", peer),
            flag("initial-cluster", format!("engine={peer}")),
            flag("listen-metrics-urls", &health),
            flag("log-level", "warn"),
        ],
        environment: Vec::new(),
        health: format!("{health}/readyz"),
        renewal: Renewal::Reads,
    }
}

fn api_server(bundle: &Bundle, layout: &Layout, api: SocketAddr) -> Spec {
    let pki = layout.pki();
    Spec {
        name: "kube-apiserver",
        stage: STAGE_API,
        program: bundle.program("kube-apiserver"),
        arguments: vec![
            flag("etcd-servers", ETCD),
            flag("bind-address", api.ip().to_string()),
            flag("secure-port", api.port().to_string()),
            // Nobody looks for this API by its Service.
            flag("advertise-address", "127.0.0.1"),
            flag("endpoint-reconciler-type", "none"),
            flag("service-cluster-ip-range", "10.0.0.0/24"),
            flag("tls-cert-file", pki.join("kube-apiserver.crt")),
            flag("tls-private-key-file", pki.join("kube-apiserver.key")),
            flag("client-ca-file", pki.join("ca.crt")),
            flag("service-account-issuer", "https://kubernetes.default.svc"),
            flag("service-account-key-file", pki.join("service-accounts.pub")),
            flag("service-account-signing-key-file", pki.join("service-accounts.key")),
            flag("authorization-mode", "RBAC"),
            // There are no Pods to give service accounts to.
            flag("disable-admission-plugins", "ServiceAccount"),
            flag("encryption-provider-config", layout.encryption()),
            flag("profiling", "false"),
        ],
        environment: Vec::new(),
        health: format!("{}/readyz", crate::credentials::server(api)),
        renewal: Renewal::Reads,
    }
}

fn controllers(bundle: &Bundle, layout: &Layout, ports: &Ports) -> Spec {
    let pki = layout.pki();
    Spec {
        name: "kube-controller-manager",
        stage: STAGE_MANAGERS,
        program: bundle.program("kube-controller-manager"),
        arguments: vec![
            flag("kubeconfig", layout.user("kube-controller-manager")),
            // Without these, deleted clusters leave Secrets behind, deleted namespaces stay, and roles of providers
            // that are installed later are not given to the core manager.
            flag(
                "controllers",
                "garbage-collector-controller,namespace-controller,clusterrole-aggregation-controller",
            ),
            flag("leader-elect", "false"),
            flag("kube-api-qps", "100"),
            flag("kube-api-burst", "200"),
            flag("bind-address", "127.0.0.1"),
            flag("secure-port", ports.controllers.to_string()),
            flag("tls-cert-file", pki.join("kube-controller-manager-server.crt")),
            flag("tls-private-key-file", pki.join("kube-controller-manager-server.key")),
            flag("profiling", "false"),
        ],
        environment: Vec::new(),
        health: format!("https://127.0.0.1:{}/healthz", ports.controllers),
        renewal: Renewal::Reads,
    }
}

/// What every manager is started with, ours and upstream's.
fn manager(
    layout: &Layout,
    name: &str,
    ports: ManagerPorts,
    kubeconfig: PathBuf,
) -> impl Iterator<Item = OsString> + use<> {
    [
        flag("kubeconfig", kubeconfig),
        flag("webhook-port", ports.webhooks.to_string()),
        flag("webhook-cert-dir", layout.webhooks(name)),
        flag("health-addr", format!("127.0.0.1:{}", ports.health)),
    ]
    .into_iter()
}

fn flag(name: &str, value: impl Into<OsString>) -> OsString {
    let mut flag = OsString::from(format!("--{name}="));
    flag.push(value.into());
    flag
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_provider_is_told_what_upstream_managers_are_told() {
        let config = ProviderConfig {
            program: "/bin/bessemer".into(),
            arguments: vec!["provider".into()],
            environment: vec![("MAAS_API_KEY".into(), "a:b:c".into())],
            manifests: Vec::new(),
            version: "v0.1.0".into(),
        };
        let layout = Layout::new("/data".as_ref());
        let ports = ManagerPorts { webhooks: 1, health: 2, diagnostics: 3 };
        let inside = provider(&config, &layout, ports, Serves::Webhooks);
        assert_eq!(
            inside.arguments,
            [
                "provider",
                "--kubeconfig=/data/users/provider.kubeconfig",
                "--webhook-port=1",
                "--webhook-cert-dir=/data/webhooks/provider",
                "--health-addr=127.0.0.1:2",
            ]
        );
        let outside = provider(&config, &layout, ports, Serves::Nothing { kubeconfig: "/mine".into() });
        assert_eq!(outside.arguments, ["provider", "--kubeconfig=/mine", "--health-addr=127.0.0.1:2"]);
        assert!(!format!("{config:?}").contains("a:b:c"));
    }
}
