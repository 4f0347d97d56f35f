//! etcd and kube-apiserver as processes of a test.

use std::{
    fs::File,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use k8s_openapi::{
    api::{core::v1::Namespace, rbac::v1::ClusterRoleBinding},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, Config, Resource,
    api::{Patch, PatchParams, PostParams},
    config::{AuthInfo, KubeConfigOptions, Kubeconfig},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};

/// API servers are big: one at a time.
static ALONE: Mutex<()> = Mutex::const_new(());

/// Longest wait for anything.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// A Kubernetes API with our definitions and role, and loose ones of Cluster API's own kinds.
pub struct Server {
    pub admin: Client,
    pub port: u16,
    processes: Vec<Child>,
    folder: TempDir,
    _alone: MutexGuard<'static, ()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        for process in self.processes.iter_mut().rev() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn bundle() -> Option<PathBuf> {
    let found = std::env::var_os("BESSEMER_BUNDLE").map(PathBuf::from);
    let there = |folder: &PathBuf| {
        ["etcd", "kube-apiserver"].iter().all(|name| folder.join("bin").join(name).exists())
    };
    let found = found.filter(there);
    if found.is_none() {
        println!("left out: BESSEMER_BUNDLE names no bundle with bin/etcd and bin/kube-apiserver");
    }
    found
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn start(folder: &Path, program: &Path, arguments: &[String]) -> Child {
    let log = File::create(folder.join(program.file_name().unwrap()).with_extension("log")).unwrap();
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

impl Server {
    /// `None`, with a word about it, where there are no programs for it.
    pub async fn start() -> Option<Self> {
        let bundle = bundle()?;
        let alone = ALONE.lock().await;
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let (client, peer, port) = (free_port(), free_port(), free_port());
        let etcd = [
            format!("--data-dir={}", at("etcd")),
            format!("--listen-client-urls=http://127.0.0.1:{client}"),
            format!("--advertise-client-urls=http://127.0.0.1:{client}"),
            format!("--listen-peer-urls=http://127.0.0.1:{peer}"),
            "--unsafe-no-fsync=true".to_owned(),
        ];
        let key = rcgen::KeyPair::generate().unwrap();
        std::fs::write(at("sa.key"), key.serialize_pem()).unwrap();
        std::fs::write(at("sa.pub"), key.public_key_pem()).unwrap();
        let users = "admin,admin,1,system:masters\nprovider,bessemer:provider,2\n";
        std::fs::write(at("tokens"), users).unwrap();
        let api = [
            format!("--etcd-servers=http://127.0.0.1:{client}"),
            format!("--secure-port={port}"),
            "--bind-address=127.0.0.1".to_owned(),
            format!("--cert-dir={}", at("certs")),
            format!("--token-auth-file={}", at("tokens")),
            format!("--service-account-key-file={}", at("sa.pub")),
            format!("--service-account-signing-key-file={}", at("sa.key")),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            "--authorization-mode=RBAC".to_owned(),
            "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
            "--disable-admission-plugins=ServiceAccount".to_owned(),
        ];
        let processes = vec![
            start(folder.path(), &bundle.join("bin/etcd"), &etcd),
            start(folder.path(), &bundle.join("bin/kube-apiserver"), &api),
        ];
        let mut server = Self { admin: connect(port, "admin"), port, processes, folder, _alone: alone };
        server.until_ready().await;
        server.install().await;
        Some(server)
    }

    async fn until_ready(&mut self) {
        let request = || axum::http::Request::get("/readyz").body(Vec::new()).unwrap();
        let (admin, folder) = (self.admin.clone(), self.folder.path());
        let processes = &mut self.processes;
        until("the API server answers", async || {
            for (process, log) in processes.iter_mut().zip(["etcd.log", "kube-apiserver.log"]) {
                let log = || std::fs::read_to_string(folder.join(log)).unwrap();
                assert!(process.try_wait().unwrap().is_none(), "{}", log());
            }
            admin.request_text(request()).await.ok()
        })
        .await;
    }

    async fn install(&self) {
        for definition in capi_types::crds() {
            self.apply(&definition).await;
        }
        for (kind, plural) in [("Cluster", "clusters"), ("Machine", "machines")] {
            self.apply(&loose(kind, plural)).await;
        }
        let role = provider::cluster_role();
        let binding: ClusterRoleBinding = serde_json::from_value(json!({
            "metadata": { "name": "provider" },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role.metadata.name },
            "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "bessemer:provider" }],
        }))
        .unwrap();
        self.apply(&role).await;
        self.apply(&binding).await;
        let namespaces: Api<Namespace> = Api::all(self.admin.clone());
        let ours = serde_json::from_value(json!({ "metadata": { "name": "n" } })).unwrap();
        namespaces.create(&PostParams::default(), &ours).await.unwrap();
        let definitions: Api<CustomResourceDefinition> = Api::all(self.admin.clone());
        until("definitions are served", async || {
            let all = definitions.list(&kube::api::ListParams::default()).await.ok()?;
            let served = |one: &CustomResourceDefinition| {
                let conditions =
                    one.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
                conditions
                    .iter()
                    .any(|condition| condition.type_ == "Established" && condition.status == "True")
            };
            (all.items.len() == 5 && all.items.iter().all(served)).then_some(())
        })
        .await;
    }

    pub async fn apply<K>(&self, object: &K)
    where
        K: Resource<DynamicType = ()> + Serialize + DeserializeOwned + Clone + std::fmt::Debug,
    {
        let name = object.meta().name.clone().unwrap();
        let api: Api<K> = Api::all(self.admin.clone());
        api.patch(&name, &PatchParams::apply("test"), &Patch::Apply(object)).await.unwrap();
    }

    /// A client with the provider's rights and no more.
    pub fn provider(&self) -> Client {
        connect(self.port, "provider")
    }

    /// A kubeconfig of this very API, to play a workload cluster's.
    pub fn kubeconfig(&self) -> String {
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{ "name": "c", "cluster": {
                "server": format!("https://127.0.0.1:{}", self.port), "insecure-skip-tls-verify": true } }],
            "users": [{ "name": "u", "user": { "token": "admin" } }],
            "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "u" } }],
        })
        .to_string()
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

fn connect(port: u16, token: &str) -> Client {
    let mut config = Config::new(format!("https://127.0.0.1:{port}").parse().unwrap());
    config.accept_invalid_certs = true;
    config.auth_info = AuthInfo { token: Some(token.to_owned().into()), ..AuthInfo::default() };
    Client::try_from(config).unwrap()
}

fn loose(kind: &str, plural: &str) -> CustomResourceDefinition {
    let any = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
    serde_json::from_value(json!({
        "metadata": { "name": format!("{plural}.cluster.x-k8s.io") },
        "spec": {
            "group": "cluster.x-k8s.io", "scope": "Namespaced", "names": { "kind": kind, "plural": plural },
            "versions": [{ "name": "v1beta2", "served": true, "storage": true, "subresources": { "status": {} },
                "schema": { "openAPIV3Schema": { "type": "object", "properties": { "spec": any, "status": any } } } }],
        },
    }))
    .unwrap()
}

/// Looks until there is something, or fails.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let give_up = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < give_up, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Whether the kubeconfig that tests hand out can be read at all.
pub async fn readable(text: &str) -> bool {
    let Ok(kubeconfig) = Kubeconfig::from_yaml(text) else { return false };
    Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.is_ok()
}

pub fn conditions(object: &Value) -> Vec<(String, String, String)> {
    let all = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let text = |one: &Value, key: &str| one[key].as_str().unwrap_or_default().to_owned();
    all.iter().map(|one| (text(one, "type"), text(one, "status"), text(one, "reason"))).collect()
}
