//! Layers on a real API server, charts by the real helm. Left out where there is no bundle. No controllers of
//! workloads run there: the tests write their status.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use engine::{Embedded, EngineConfig, Phase};
use gateway_protocol::{ClusterLayer, LayerState as State};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Namespace, Secret},
};
use kube::{
    Api, Client, Config,
    api::{DeleteParams, ListParams, Patch, PatchParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use layers::{Chart, Cluster, Content, Helm, Layer, bring};
use secrets::Secret as Hidden;
use serde_json::json;
use tokio::sync::watch;

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(90);

#[tokio::test(flavor = "multi_thread")]
async fn layers_come_one_above_the_other_and_go() {
    let Some(bundle) = std::env::var_os("BESSEMER_BUNDLE").map(PathBuf::from) else {
        println!("left out: BESSEMER_BUNDLE names no bundle");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (stop, stopped) = watch::channel(false);
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let config = Embedded { listen, ..Embedded::new(folder.path(), &bundle) };
    let engine = tokio::spawn(engine::run(EngineConfig::Embedded(config), stopped));
    let data = folder.path();
    until("the engine", async || {
        engine::status(data).unwrap().is_some_and(|status| status.phase == Phase::Ready)
    })
    .await;
    let file = data.join("admin.kubeconfig");
    let kubeconfig = Kubeconfig::read_from(&file).unwrap();
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    let helm = Helm {
        program: bundle.join("bin/helm"),
        kubeconfig: Hidden::new(std::fs::read_to_string(&file).unwrap()),
    };
    let cluster = Cluster { client: Client::try_from(config).unwrap(), helm };

    manifests(&cluster).await;
    definitions(&cluster).await;
    refusals(&cluster).await;
    charts(&cluster).await;
    cut_off(&cluster).await;

    stop.send(true).unwrap();
    engine.await.unwrap().unwrap();
}

fn layer(name: &str, text: &str) -> Layer {
    Layer { name: name.into(), content: Content::Manifests(text.into()) }
}

fn map(name: &str, word: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: default}}\ndata: {{word: {word}}}\n---\n"
    )
}

const WEB: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: default}\nspec:\n  selector: {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web}}\n    spec: {containers: [{name: web, image: web}]}\n---\n";

async fn states(cluster: &Cluster, layers: &[Layer]) -> Vec<State> {
    bring(cluster, layers).await.unwrap().iter().map(|standing| standing.state).collect()
}

/// Tells the API server what the controller of `web` would.
async fn works(client: &Client) {
    let web: Api<Deployment> = Api::default_namespaced(client.clone());
    let generation = web.get("web").await.unwrap().metadata.generation;
    let status = json!({"status": {"observedGeneration": generation, "replicas": 1, "updatedReplicas": 1,
        "availableReplicas": 1, "readyReplicas": 1}});
    web.patch_status("web", &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
}

async fn manifests(cluster: &Cluster) {
    let maps: Api<ConfigMap> = Api::default_namespaced(cluster.client.clone());
    let below = layer("below", &(map("a", "one") + &map("b", "one")));
    let (web, above) = (layer("web", WEB), layer("above", &map("c", "one")));
    let all = [below.clone(), web.clone(), above.clone()];

    // The one above waits until all pods of the one below it work.
    let said = bring(cluster, &all).await.unwrap();
    let wanted = [State::Ready, State::Installing, State::Waiting];
    assert_eq!(said.iter().map(|one| one.state).collect::<Vec<_>>(), wanted, "{said:?}");
    assert_eq!(said[1].message, "Deployment default/web: 0 of 1 pods are of its newest form");
    assert_eq!(said[2].message, "waits for layer web");
    assert!(maps.get_opt("c").await.unwrap().is_none());
    works(&cluster.client).await;
    assert_eq!(states(cluster, &all).await, [State::Ready; 3]);
    let before = maps.get("a").await.unwrap().metadata.resource_version;
    assert_eq!(states(cluster, &all).await, [State::Ready; 3]);
    assert_eq!(maps.get("a").await.unwrap().metadata.resource_version, before, "nothing has changed");

    // What a layer has no more goes; what is new comes; what somebody deleted comes back.
    let below = layer("below", &(map("a", "two") + &map("d", "one")));
    let all = [below, web.clone(), above.clone()];
    assert_eq!(states(cluster, &all).await, [State::Ready; 3]);
    assert_eq!(maps.get("a").await.unwrap().data.unwrap()["word"], "two");
    assert!(maps.get_opt("b").await.unwrap().is_none() && maps.get_opt("d").await.unwrap().is_some());
    maps.delete("d", &DeleteParams::default()).await.unwrap();
    let said = bring(cluster, &all).await.unwrap();
    assert_eq!(said[0].message, "ConfigMap default/d is not there");
    assert_eq!(states(cluster, &all).await, [State::Ready; 3]);
    assert!(maps.get_opt("d").await.unwrap().is_some());

    // A layer that is wanted no more goes, and nothing else.
    assert_eq!(states(cluster, &all[..2]).await, [State::Ready; 2]);
    assert!(maps.get_opt("c").await.unwrap().is_none() && maps.get_opt("a").await.unwrap().is_some());
    assert_eq!(states(cluster, &[]).await, []);
    let left: Vec<_> = maps.list(&ListParams::default()).await.unwrap().items;
    let left: Vec<_> = left.iter().filter_map(|map| map.metadata.name.as_deref()).collect();
    assert!(!left.iter().any(|name| ["a", "b", "c", "d"].contains(name)), "{left:?}");
}

/// A definition and an object of its kind, in one layer.
async fn definitions(cluster: &Cluster) {
    let text = r"
apiVersion: example.com/v1
kind: Ferry
metadata: {name: f, namespace: default}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: ferries.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {kind: Ferry, listKind: FerryList, plural: ferries, singular: ferry}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]
";
    let all = [layer("ferries", text)];
    until("the new kind", async || states(cluster, &all).await == [State::Ready]).await;
    assert_eq!(states(cluster, &[]).await, []);
}

async fn refusals(cluster: &Cluster) {
    for (text, why) in [
        ("apiVersion: v1\nkind: Nonsense\nmetadata: {name: a}\n", "knows no kind Nonsense"),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: A_B, namespace: default}\n", "A_B"),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: nowhere}\n", "nowhere"),
        ("nonsense: [", "document 1"),
    ] {
        let said = bring(cluster, &[layer("odd", text), layer("above", &map("c", "one"))]).await.unwrap();
        assert_eq!((said[0].state, said[1].state), (State::Failed, State::Waiting), "{text}");
        assert!(said[0].message.contains(why), "{}", said[0].message);
    }
    assert_eq!(states(cluster, &[]).await, []);
}

/// A chart's archive, made by helm.
fn chart(cluster: &Cluster, folder: &Path, hook: bool) -> PathBuf {
    let source = folder.join("greeting");
    std::fs::create_dir_all(source.join("templates")).unwrap();
    let about = "apiVersion: v2\nname: greeting\nversion: 1.2.3\n";
    std::fs::write(source.join("Chart.yaml"), about).unwrap();
    std::fs::write(source.join("values.yaml"), "word: hello\n").unwrap();
    let text = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: greeting\ndata:\n  word: {{ .Values.word | quote }}\n";
    std::fs::write(source.join("templates/map.yaml"), text).unwrap();
    if hook {
        // No controller runs it: helm waits for its end.
        let job = "apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: never\n  annotations: {helm.sh/hook: pre-install}\nspec:\n  template:\n    spec:\n      restartPolicy: Never\n      containers: [{name: a, image: a}]\n";
        std::fs::write(source.join("templates/job.yaml"), job).unwrap();
    }
    let done = Command::new(&cluster.helm.program)
        .args(["package", "greeting"])
        .current_dir(folder)
        .env("HOME", folder)
        .stdout(Stdio::null())
        .status();
    assert!(done.unwrap().success());
    folder.join("greeting-1.2.3.tgz")
}

fn greeting(archive: &Path, namespace: &str, values: &str) -> Layer {
    let chart = Chart {
        archive: archive.into(),
        digest: "d".into(),
        release: "greeting".into(),
        namespace: namespace.into(),
        values: values.into(),
    };
    Layer { name: "greeting".into(), content: Content::Chart(chart) }
}

async fn charts(cluster: &Cluster) {
    let folder = tempfile::tempdir().unwrap();
    let archive = chart(cluster, folder.path(), false);
    let maps = |namespace: &str| -> Api<ConfigMap> { Api::namespaced(cluster.client.clone(), namespace) };
    let word = async |namespace: &str| {
        let map = maps(namespace).get_opt("greeting").await.unwrap()?;
        Some(map.data.unwrap()["word"].clone())
    };
    assert_eq!(states(cluster, &[greeting(&archive, "first", "")]).await, [State::Ready]);
    assert_eq!(word("first").await.as_deref(), Some("hello"));
    assert_eq!(states(cluster, &[greeting(&archive, "first", "word: ciao\n")]).await, [State::Ready]);
    assert_eq!(word("first").await.as_deref(), Some("ciao"));
    // What somebody deleted comes back.
    maps("first").delete("greeting", &DeleteParams::default()).await.unwrap();
    assert_eq!(states(cluster, &[greeting(&archive, "first", "word: ciao\n")]).await, [State::Installing]);
    assert_eq!(states(cluster, &[greeting(&archive, "first", "word: ciao\n")]).await, [State::Ready]);
    assert_eq!(word("first").await.as_deref(), Some("ciao"));

    let said = bring(cluster, &[greeting(&archive, "first", "word: [")]).await.unwrap();
    assert!(said[0].state == State::Failed && said[0].message.starts_with("helm: "), "{said:?}");
    assert_eq!(states(cluster, &[greeting(&archive, "second", "")]).await, [State::Ready]);
    assert_eq!((word("first").await, word("second").await.as_deref()), (None, Some("hello")));
    // The same layer, of manifests now.
    assert_eq!(states(cluster, &[layer("greeting", &map("plain", "one"))]).await, [State::Ready]);
    assert_eq!(word("second").await, None);
    assert_eq!(states(cluster, &[greeting(&archive, "second", "")]).await, [State::Ready]);
    assert!(maps("default").get_opt("plain").await.unwrap().is_none());
    assert_eq!(states(cluster, &[]).await, []);
    assert_eq!(word("second").await, None);
}

/// A helm that was killed in the middle of its work is no reason to stay so.
async fn cut_off(cluster: &Cluster) {
    let folder = tempfile::tempdir().unwrap();
    let archive = chart(cluster, folder.path(), true);
    let kubeconfig = folder.path().join("kubeconfig");
    std::fs::write(&kubeconfig, cluster.helm.kubeconfig.expose()).unwrap();
    let namespaces: Api<Namespace> = Api::all(cluster.client.clone());
    let mut helm = Command::new(&cluster.helm.program)
        .args(["install", "greeting", "--namespace", "third", "--create-namespace"])
        .arg(&archive)
        .env("HOME", folder.path())
        .env("KUBECONFIG", &kubeconfig)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let secrets: Api<Secret> = Api::namespaced(cluster.client.clone(), "third");
    until("the release", async || !secrets.list(&ListParams::default()).await.unwrap().items.is_empty())
        .await;
    helm.kill().unwrap();
    helm.wait().unwrap();
    assert!(namespaces.get_opt("third").await.unwrap().is_some());
    std::fs::remove_file(folder.path().join("greeting/templates/job.yaml")).unwrap();
    let archive = chart(cluster, folder.path(), false);
    let said: Vec<ClusterLayer> = bring(cluster, &[greeting(&archive, "third", "")]).await.unwrap();
    assert_eq!(said[0].state, State::Ready, "{said:?}");
    assert_eq!(states(cluster, &[]).await, []);
}

async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done().await {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
