//! A cluster from nothing to traffic and back to nothing.
#![allow(clippy::indexing_slicing, reason = "of a JSON value: what is missing reads as null")]

use std::{collections::BTreeSet, path::Path, time::Duration};

use anyhow::{Context as _, Result, ensure};
use maas_client::Status;
use serde_json::Value;

use super::{Rig, ask, erase, lab_machine, link_cut, until_deploying};
use crate::{
    cluster::{self, Deadline},
    console,
    kubectl::Kubectl,
    narrate::{self, Narrator},
    plane::NAME,
    roles::ADMIN,
    site::{Bundle, Machines, Site},
    up,
};

const NAMESPACE: &str = include_str!("cluster/namespace.yaml");
const HELLO: &str = include_str!("cluster/hello.yaml");
const CALLER: &str = include_str!("cluster/caller.yaml");
const ELSEWHERE: &str = include_str!("cluster/elsewhere.yaml");

/// How long pods may take.
const PODS_LIMIT: Duration = Duration::from_mins(10);
/// The namespace of the workload.
const TRAFFIC: &str = "traffic";
/// The image that the workload's pods run.
const HELLO_IMAGE: &str = "bessemer.local/hello:1";

/// Orders it at the plane, has traffic in it, deletes it, and begins again with another of the same name.
pub async fn run(dir: &Path, bundle: &Bundle, machines: Machines) -> Result<()> {
    // The browser is to be there before the cluster is.
    console::install()?;
    let mut narrator = Narrator::new();
    let rig = Rig::start(&mut narrator, dir, bundle, machines.pair(bundle).await).await?;
    let key = up::ssh_key(&rig.site).await?;

    let uid = narrator.phase("order", rig.order(bundle)).await?;
    let made = async {
        narrator.phase("cut", link_cut::cut(&rig.site, &rig.plane, Duration::ZERO)).await?;
        rig.follow(&mut narrator, bundle, uid).await
    };
    // A person watches all the while.
    let (made, ()) = tokio::try_join!(made, console::watch(&rig.site, &rig.plane))?;
    narrator.phase("traffic", traffic(&made.kubectl)).await?;
    narrator.step("hands", || hands(&made.kubectl))?;
    check_nodes(&rig.site, &made.kubectl).await?;

    let control = lab_machine(&rig.site, &made.control).await?;
    let ssh = up::ssh(&rig.site, &made.control, &key).await?;
    narrator.phase("registry", registry(&rig.site, &made.kubectl, &key)).await?;
    let ca = authority(&rig.engine)?.context("the cluster has no authority")?;
    let marks = narrator.step("mark", || erase::mark(&ssh, &control.disk))?;

    narrator.phase("delete", rig.plane.delete()).await?;
    narrate::say(&format!("  {}: {}", control.name, marks.check_gone(&control.disk)?));
    rig.nothing_left().await?;

    narrator.phase("order another", rig.order(bundle)).await?;
    narrator.phase("another", another(&rig.site, &rig.engine, &ca)).await?;
    narrator.phase("delete it", rig.plane.delete()).await?;
    rig.nothing_left().await?;
    narrator.print();
    Ok(())
}

/// What people do in a cluster, through plane and tunnel: watch, run something in a pod, follow a log.
fn hands(kubectl: &Kubectl) -> Result<()> {
    for manifest in [NAMESPACE, HELLO] {
        kubectl.run_with(&["apply", "-f", "-"], Some(manifest))?;
    }
    kubectl.run(&[
        "wait",
        "-n",
        TRAFFIC,
        "deployment/hello",
        "--for=condition=Available",
        "--timeout=10m",
    ])?;
    let said = kubectl.run(&[
        "exec",
        "-n",
        TRAFFIC,
        "deployment/hello",
        "--",
        "/hello",
        "get",
        "http://127.0.0.1:8080",
    ])?;
    ensure!(said.starts_with("hello-"), "not the name of a pod: {said}");
    let made = kubectl.run_with(&["create", "-f", "-", "-o", "name"], Some(CALLER))?;
    let caller = made.trim();
    kubectl.run(&[
        "wait",
        "-n",
        TRAFFIC,
        caller,
        "--for=jsonpath={.status.phase}=Succeeded",
        "--timeout=10m",
    ])?;
    let said = kubectl.run(&["logs", "-n", TRAFFIC, "--follow", caller])?;
    ensure!(said.starts_with("hello-"), "not the name of a pod: {said}");
    let who = kubectl.json(&["auth", "whoami"])?;
    ensure!(who["status"]["userInfo"]["username"] == ADMIN, "the cluster takes us for {who}");
    kubectl.run(&["delete", "namespace", TRAFFIC, "--timeout=10m"])?;
    Ok(())
}

/// Two pods on two nodes answer by their Service's name to a third.
pub async fn traffic(kubectl: &Kubectl) -> Result<()> {
    for manifest in [NAMESPACE, HELLO] {
        kubectl.run_with(&["apply", "-f", "-"], Some(manifest))?;
    }
    let mut deadline = Deadline::new(PODS_LIMIT, "answers of both pods by the Service's name");
    let (mut answers, mut callers) = (BTreeSet::new(), 0);
    while answers.len() < 2 {
        let pods = kubectl.items(&["get", "pods", "-n", TRAFFIC])?;
        let of =
            |app: &str| pods.iter().filter(|pod| pod["metadata"]["labels"]["app"] == app).collect::<Vec<_>>();
        let ended = |pod: &&&Value| ["Succeeded", "Failed"].iter().any(|end| pod["status"]["phase"] == *end);
        for pod in of("caller").iter().filter(ended) {
            let name = pod["metadata"]["name"].as_str().unwrap_or_default();
            let said = kubectl.run(&["logs", "-n", TRAFFIC, name])?;
            if pod["status"]["phase"] == "Succeeded" {
                answers.insert(said.trim().to_owned());
            } else {
                narrate::say(&format!("  {name}: {}", said.trim()));
            }
            kubectl.run(&["delete", "pod", "-n", TRAFFIC, name, "--wait=false"])?;
            callers -= 1;
        }
        let servers = of("hello").into_iter().filter(|pod| cluster::is_ready(pod)).count();
        if servers == 2 && callers < 2 {
            kubectl.run_with(&["create", "-f", "-"], Some(CALLER))?;
            callers += 1;
        }
        let stand = pods.iter().map(cluster::sentence).collect::<Vec<_>>().join("; ");
        deadline.note(&format!("{answers:?} have answered; {stand}"));
        deadline.pause().await?;
    }
    let pods = kubectl.items(&["get", "pods", "-n", TRAFFIC, "-l", "app=hello"])?;
    let nodes: BTreeSet<_> = pods.iter().map(|pod| pod["spec"]["nodeName"].to_string()).collect();
    ensure!(nodes.len() == 2, "both pods are on {nodes:?}");
    kubectl.run(&["delete", "namespace", TRAFFIC, "--timeout=10m"])?;
    Ok(())
}

/// Each node is Ready and one of the lab's machines.
async fn check_nodes(site: &Site, kubectl: &Kubectl) -> Result<()> {
    let told = cluster::describe(kubectl, NAME)?;
    let nodes = told["nodes"].as_array().context("no nodes")?;
    let uuids: BTreeSet<String> =
        nodes.iter().filter_map(|node| Some(node["systemUUID"].as_str()?.to_lowercase())).collect();
    let machines = site.lab.status().await?.machines;
    let wanted: BTreeSet<String> = machines.iter().map(|machine| machine.uuid.to_string()).collect();
    ensure!(uuids == wanted, "the nodes are {uuids:?}, the lab's machines {wanted:?}");
    ensure!(nodes.iter().all(|node| node["ready"] == true), "not every node is ready: {told}");
    Ok(())
}

/// An image that is not on a node comes from the site's registry; one that the site does not have comes from nowhere.
async fn registry(site: &Site, kubectl: &Kubectl, key: &Path) -> Result<()> {
    for (_, seen) in site.machines().await? {
        let id = seen.context("a machine is not known")?.system_id;
        let ssh = up::ssh(site, &id, key).await?;
        ask(&ssh, &format!("sudo ctr -n k8s.io images rm --sync {HELLO_IMAGE}"))?;
    }
    traffic(kubectl).await?;

    kubectl.run_with(&["apply", "-f", "-"], Some(NAMESPACE))?;
    kubectl.run_with(&["create", "-f", "-"], Some(ELSEWHERE))?;
    let mut deadline = Deadline::new(PODS_LIMIT, "the refusal of an image that the site does not have");
    let refusal = loop {
        let events = kubectl.items(&["get", "events", "-n", TRAFFIC, "--field-selector", "reason=Failed"])?;
        let words = events.iter().filter_map(|event| event["message"].as_str());
        if let Some(refusal) = words.into_iter().find(|words| words.contains("elsewhere")) {
            break refusal.to_owned();
        }
        deadline.note("no event says so");
        deadline.pause().await?;
    };
    ensure!(refusal.contains("not found"), "not the registry's own answer: {refusal}");
    kubectl.run(&["delete", "namespace", TRAFFIC, "--timeout=10m"])?;
    Ok(())
}

/// A cluster of the same name gets an authority of its own, and a machine that can be taken away from it.
async fn another(site: &Site, engine: &Kubectl, old: &str) -> Result<()> {
    until_deploying(site).await?;
    let ca = authority(engine)?.context("the cluster has no authority")?;
    ensure!(ca != old, "a new cluster has the authority of the old one");
    Ok(())
}

/// The certificate of the cluster's authority.
fn authority(engine: &Kubectl) -> Result<Option<String>> {
    let secrets =
        engine.items(&["get", "secrets", "-A", "--field-selector", &format!("metadata.name={NAME}-ca")])?;
    Ok(secrets.first().and_then(|secret| secret["data"]["tls.crt"].as_str()).map(str::to_owned))
}

/// Machines are Ready, DNS forgets the cluster, the engine has what it had before and nothing else.
pub async fn nothing_left(site: &Site, engine: &Kubectl, before: &BTreeSet<String>) -> Result<()> {
    for (machine, seen) in site.machines().await? {
        let seen = seen.with_context(|| format!("{} is gone", machine.name))?;
        ensure!(seen.status == Status::Ready, "{}: {}", machine.name, seen.status_name);
    }
    let names = site.region.dns_resources(None).await?;
    let left: Vec<_> =
        names.iter().filter(|name| name.fqdn.starts_with(NAME)).map(|name| &name.fqdn).collect();
    ensure!(left.is_empty(), "DNS still knows {left:?}");
    let after = objects(engine)?;
    let left: Vec<_> = after.difference(before).collect();
    ensure!(left.is_empty(), "the engine still has {left:#?}");
    Ok(())
}

/// Every object of the engine but events, of all kinds that can be listed.
pub fn objects(engine: &Kubectl) -> Result<BTreeSet<String>> {
    let kinds = engine.run(&["api-resources", "--verbs=list", "-o", "name"])?;
    let kinds: Vec<&str> = kinds.lines().filter(|kind| !kind.starts_with("events")).collect();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let all = engine.items(&["get", &kinds.join(","), "-A"])?;
    Ok(all
        .iter()
        .map(|object| {
            let meta = &object["metadata"];
            format!("{} {}/{}", text(&object["kind"]), text(&meta["namespace"]), text(&meta["name"]))
        })
        .collect())
}
