//! The engine with the real programs. Left out where there is no bundle.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Instant;
use std::{fs, process::ExitStatus};

use engine::{Embedded, EngineConfig, EngineError, External, Phase};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, ObjectMeta, PostParams,
};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use tokio::sync::watch;

use support::{Apart, Running, bundle, client, config, kill, newer_bundle, ready, resident, runs, wait};

/// Ready that soon, on a machine that does nothing else; measured, and asserted with room for one that does.
const READY_LIMIT_SECONDS: f64 = 30.0;
const RESIDENT_LIMIT: u64 = 1_100 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn serves_cluster_api() {
    let Some(bundle) = bundle() else { return };
    let folder = tempfile::tempdir().unwrap();
    // A resolver of their own needs a mount namespace.
    let dns = rustix::process::geteuid().is_root().then_some(IpAddr::from([192, 0, 2, 53]));
    let engine = Running::start(Embedded { dns, ..config(folder.path(), &bundle) }).await;
    let status = engine.ready().await;
    for process in status.processes.iter().filter(|_| dns.is_some()) {
        let seen = format!("/proc/{}/root/etc/resolv.conf", process.pid.unwrap());
        assert!(fs::read_to_string(seen).unwrap().contains("192.0.2.53"), "{}", process.name);
    }
    let took = status.ready.unwrap().duration_since(status.since).as_secs_f64();
    let memory: u64 = status.processes.iter().map(|process| resident(process.pid.unwrap())).sum();
    println!("ready after {took:.1} s, {} MiB resident", memory >> 20);
    for process in &status.processes {
        let after = |moment: Option<Timestamp>| moment.unwrap().duration_since(status.since).as_secs_f64();
        let (started, ready) = (after(process.started), after(process.ready));
        let memory = resident(process.pid.unwrap()) >> 20;
        println!("  {}: started {started:.2} s, ready {ready:.2} s, {memory} MiB", process.name);
    }
    assert!(took < READY_LIMIT_SECONDS, "{took} s");
    assert!(memory < RESIDENT_LIMIT, "{} MiB", memory >> 20);

    let mode = fs::metadata(engine.data.join("admin.kubeconfig")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let client = client(&engine.data).await;
    admits_and_defaults(&client).await;
    encrypts(&client, &engine.data).await;
    collects_garbage(&client).await;
    deletes_namespaces(&client).await;
    knows_its_providers(&client).await;
    is_enough_as_external(&engine.data).await;
    engine.stop().await;
    for process in status.processes {
        assert!(!runs(process.pid.unwrap()), "{} is left", process.name);
    }
    assert_eq!(engine::status(folder.path()).unwrap().unwrap().phase, Phase::Stopped);
}

async fn admits_and_defaults(client: &Client) {
    let clusters = api(client, "cluster.x-k8s.io", "v1beta2", "Cluster");
    let spec = json!({"clusterNetwork": {"pods": {"cidrBlocks": ["192.168.0.0/16"]}}});
    let reference =
        |kind: &str| json!({"apiGroup": "infrastructure.cluster.x-k8s.io", "kind": kind, "name": "one"});
    let mut good = spec.clone();
    good["infrastructureRef"] = reference("MaasCluster");
    create(&clusters, object("cluster.x-k8s.io/v1beta2", "Cluster", "one", &good)).await.unwrap();
    let mut bad = spec.clone();
    bad["clusterNetwork"]["pods"]["cidrBlocks"] = json!(["nonsense"]);
    bad["infrastructureRef"] = reference("MaasCluster");
    let refused =
        create(&clusters, object("cluster.x-k8s.io/v1beta2", "Cluster", "two", &bad)).await.unwrap_err();
    assert!(refused.to_string().contains("cidrBlocks"), "{refused}");

    let deployments = api(client, "cluster.x-k8s.io", "v1beta2", "MachineDeployment");
    let mut template = json!({"clusterName": "one", "bootstrap": {"dataSecretName": "none"}});
    template["infrastructureRef"] = reference("MaasMachineTemplate");
    let spec = json!({
        "clusterName": "one",
        "selector": {"matchLabels": {}},
        "template": {"spec": template},
    });
    let made =
        create(&deployments, object("cluster.x-k8s.io/v1beta2", "MachineDeployment", "pool", &spec)).await;
    let made = made.unwrap();
    assert_eq!(made.data["spec"]["replicas"], 1, "defaulted by the webhook");
    // Conversion, by another manager.
    let templates = api(client, "bootstrap.cluster.x-k8s.io", "v1beta2", "KubeadmConfigTemplate");
    let spec = json!({"template": {"spec": {"joinConfiguration": {"nodeRegistration": {"name": "one"}}}}});
    let template = object("bootstrap.cluster.x-k8s.io/v1beta2", "KubeadmConfigTemplate", "pool", &spec);
    create(&templates, template).await.unwrap();
    let old = api(client, "bootstrap.cluster.x-k8s.io", "v1beta1", "KubeadmConfigTemplate");
    let old = old.get("pool").await.unwrap();
    assert_eq!(old.types.unwrap().api_version, "bootstrap.cluster.x-k8s.io/v1beta1");
    // The manager works on it.
    wait("the core manager's finalizer", async || {
        let cluster = clusters.get("one").await.unwrap();
        (!cluster.finalizers().is_empty()).then_some(())
    })
    .await;
}

async fn encrypts(client: &Client, data: &Path) {
    let word = "a-word-that-nobody-may-read-on-the-disk";
    let text = || Some([("word".to_owned(), format!("{word}-in-a-map"))].into());
    let map = ConfigMap { metadata: metadata("open"), data: text(), ..Default::default() };
    let text = Some([("word".to_owned(), format!("{word}-in-a-secret"))].into());
    let secret = Secret { metadata: metadata("hidden"), string_data: text, ..Default::default() };
    Api::default_namespaced(client.clone()).create(&PostParams::default(), &secret).await.unwrap();
    Api::default_namespaced(client.clone()).create(&PostParams::default(), &map).await.unwrap();
    let found = |needle: &str| {
        let mut files = vec![data.join("etcd")];
        let mut found = false;
        while let Some(path) = files.pop() {
            if path.is_dir() {
                files.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            } else {
                let content = fs::read(path).unwrap();
                found |= content.windows(needle.len()).any(|part| part == needle.as_bytes());
            }
        }
        found
    };
    assert!(found(&format!("{word}-in-a-map")), "what is not encrypted can be found this way");
    assert!(!found(&format!("{word}-in-a-secret")), "Secrets are encrypted");
}

async fn collects_garbage(client: &Client) {
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let secrets: Api<Secret> = Api::default_namespaced(client.clone());
    let owner = ConfigMap { metadata: metadata("owner"), ..Default::default() };
    let owner = maps.create(&PostParams::default(), &owner).await.unwrap();
    let mut secret = Secret { metadata: metadata("owned"), ..Default::default() };
    secret.metadata.owner_references = Some(vec![kube::Resource::owner_ref(&owner, &()).unwrap()]);
    secrets.create(&PostParams::default(), &secret).await.unwrap();
    maps.delete("owner", &DeleteParams::default()).await.unwrap();
    wait("the owned Secret to go", async || secrets.get_opt("owned").await.unwrap().is_none().then_some(()))
        .await;
}

async fn deletes_namespaces(client: &Client) {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace = Namespace { metadata: metadata("short-lived"), ..Default::default() };
    namespaces.create(&PostParams::default(), &namespace).await.unwrap();
    let secret = Secret { metadata: metadata("inside"), ..Default::default() };
    Api::namespaced(client.clone(), "short-lived").create(&PostParams::default(), &secret).await.unwrap();
    namespaces.delete("short-lived", &DeleteParams::default()).await.unwrap();
    wait("the namespace to go", async || {
        namespaces.get_opt("short-lived").await.unwrap().is_none().then_some(())
    })
    .await;
}

async fn knows_its_providers(client: &Client) {
    let kind =
        ApiResource::from_gvk(&GroupVersionKind::gvk("clusterctl.cluster.x-k8s.io", "v1alpha3", "Provider"));
    let providers: Api<DynamicObject> = Api::all_with(client.clone(), &kind);
    let mut names: Vec<String> =
        providers.list(&ListParams::default()).await.unwrap().iter().map(ResourceExt::name_any).collect();
    names.sort();
    assert_eq!(names, ["bootstrap-kubeadm", "cluster-api", "control-plane-kubeadm"]);
}

async fn is_enough_as_external(data: &Path) {
    let folder = tempfile::tempdir().unwrap();
    let config = External {
        data: folder.path().to_owned(),
        kubeconfig: data.join("admin.kubeconfig"),
        dns: None,
        provider: None,
    };
    let (_stop, stopped) = watch::channel(true);
    engine::run(EngineConfig::External(config), stopped).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_killed_comes_back() {
    let Some(bundle) = bundle() else { return };
    let folder = tempfile::tempdir().unwrap();
    let engine = Running::start(config(folder.path(), &bundle)).await;
    for index in 0..engine.status().processes.len() {
        let before = engine.ready().await.processes[index].clone();
        kill(before.pid.unwrap());
        let after = wait("a new process", async || {
            let status = engine.status();
            let process = status.processes[index].clone();
            (status.phase == Phase::Ready && process.restarts > before.restarts).then_some(process)
        })
        .await;
        assert_eq!(after.last_exit.unwrap().how, "signal 9", "{}", after.name);
        assert_ne!(after.pid, before.pid);
        let client = client(&engine.data).await;
        let namespaces: Api<Namespace> = Api::all(client);
        namespaces.get("capi-system").await.unwrap();
    }
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_engine_starts_again_with_another_bundle_and_leaves_nobody() {
    let Some(bundle) = bundle() else { return };
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut first = Apart::start(&data, &bundle).await;
    let before = ready(&data).await;
    assert_eq!(before.pid, first.process.id());
    let maps: Api<ConfigMap> = Api::default_namespaced(client(&data).await);
    maps.create(&PostParams::default(), &ConfigMap { metadata: metadata("kept"), ..Default::default() })
        .await
        .unwrap();

    let other = engine::run(EngineConfig::Embedded(config(&data, &data)), watch::channel(false).1).await;
    assert!(matches!(other, Err(EngineError::Running { .. })), "{other:?}");

    first.process.kill().unwrap();
    first.process.wait().unwrap();
    assert_eq!(engine::status(&data).unwrap().unwrap().phase, Phase::Stopped);
    drop(first);
    // It is given a newer bundle, too.
    let newer = folder.path().join("bundle");
    newer_bundle(&bundle, &newer);
    let mut second = Apart::start(&data, &newer).await;
    let after = wait("the second engine", async || {
        engine::status(&data).unwrap().filter(|s| s.phase == Phase::Ready && s.pid == second.process.id())
    })
    .await;
    let pids = |status: &engine::Status| status.processes.iter().filter_map(|p| p.pid).collect::<Vec<_>>();
    assert!(pids(&before).into_iter().all(|pid| !runs(pid)), "nothing is left of the first");
    // The same address, so the kubeconfig that people have still works.
    assert_eq!(after.server, before.server);
    maps.get("kept").await.unwrap();
    assert_ne!(after.bundle, before.bundle);
    let definitions: Api<CustomResourceDefinition> = Api::all(client(&data).await);
    let definition = definitions.get("clusters.cluster.x-k8s.io").await.unwrap();
    assert_eq!(definition.annotations()["engine-test"], "newer");

    let term = rustix::process::Pid::from_child(&second.process);
    let asked = Instant::now();
    rustix::process::kill_process(term, rustix::process::Signal::TERM).unwrap();
    let ended: ExitStatus = second.process.wait().unwrap();
    println!("stopped after {:.1} s", asked.elapsed().as_secs_f64());
    assert!(ended.success());
    assert!(pids(&after).into_iter().all(|pid| !runs(pid)), "nothing is left of the second");
}

/// Not a test: the engine that [`Apart`] starts.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "the engine of other tests"]
async fn the_engine_itself() {
    let (Some(data), Some(bundle)) = (std::env::var_os(support::BE_ENGINE), bundle()) else { return };
    let (stop, stopped) = watch::channel(false);
    let mut term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).unwrap();
    tokio::spawn(async move {
        term.recv().await;
        stop.send(true).unwrap();
    });
    engine::run(EngineConfig::Embedded(config(Path::new(&data), &bundle)), stopped).await.unwrap();
}

#[tokio::test]
async fn refuses_a_port_that_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address: SocketAddr = taken.local_addr().unwrap();
    let config = Embedded { listen: address, ..config(folder.path(), folder.path()) };
    let refused = engine::run(EngineConfig::Embedded(config), watch::channel(false).1).await.unwrap_err();
    assert!(matches!(refused, EngineError::Address { .. }), "{refused}");
    assert!(refused.to_string().contains(&address.to_string()), "{refused}");
}

#[tokio::test]
async fn refuses_a_bundle_with_a_wrong_digest() {
    let folder = tempfile::tempdir().unwrap();
    let (bundle, data) = (folder.path().join("bundle"), folder.path().join("data"));
    fs::create_dir_all(bundle.join("bin")).unwrap();
    let programs = [
        "etcd",
        "kube-apiserver",
        "kube-controller-manager",
        "capi-core-manager",
        "capi-kubeadm-bootstrap-manager",
        "capi-kubeadm-control-plane-manager",
    ];
    // SHA-256 of "good".
    let good = "770e607624d689265ca6c44884d0807d9b054d23c473c106c72be9de08b7376c";
    let entry = |name: &&str| (format!("bin/{name}"), json!({"sha256": good, "size": 4}));
    let files: serde_json::Map<String, Value> = programs.iter().map(entry).collect();
    fs::write(
        bundle.join("manifest.json"),
        json!({"version": 1, "kubernetes": "v1.36.3", "files": files, "images": []}).to_string(),
    )
    .unwrap();
    for program in programs {
        fs::write(bundle.join("bin").join(program), "good").unwrap();
    }
    fs::write(bundle.join("bin/kube-apiserver"), "evil").unwrap();
    let start = || engine::run(EngineConfig::Embedded(config(&data, &bundle)), watch::channel(true).1);
    let refused = start().await.unwrap_err();
    let EngineError::Digest { file } = &refused else { panic!("{refused}") };
    assert!(file.ends_with("bin/kube-apiserver"));
    fs::remove_file(bundle.join("manifest.json")).unwrap();
    assert!(matches!(start().await.unwrap_err(), EngineError::Bundle { .. }));
}

fn api(client: &Client, group: &str, version: &str, kind: &str) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    Api::default_namespaced_with(client.clone(), &resource)
}

fn object(version: &str, kind: &str, name: &str, spec: &Value) -> DynamicObject {
    serde_json::from_value(
        json!({"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec}),
    )
    .unwrap()
}

fn metadata(name: &str) -> ObjectMeta {
    ObjectMeta { name: Some(name.into()), ..ObjectMeta::default() }
}

async fn create(api: &Api<DynamicObject>, object: DynamicObject) -> kube::Result<DynamicObject> {
    api.create(&PostParams::default(), &object).await
}
