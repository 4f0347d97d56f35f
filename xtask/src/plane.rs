//! The lab's plane, as its first user: the gateway paired, a cluster ordered, followed, reached and deleted.
#![allow(clippy::indexing_slicing, reason = "of a JSON value: what is missing reads as null")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use plane_client::{Auth, Client, Error, Method, Options, v1};
use secrets::Secret;
use serde_json::{Value, json};

use crate::{
    cluster::{self, Deadline},
    kubectl::Kubectl,
    narrate::{self, Narrator},
    roles::{GATEWAY, PAIRING_CODE, PLANE_API, maas_url, write_private},
    site::{self, Bundle, Site},
    up,
};

/// The cluster that is ordered.
pub const NAME: &str = "demo";
/// Its pools, of one machine each.
const POOLS: [&str; 2] = ["control", "workers"];
/// The cloud account that it has.
const ACCOUNT: &str = "rack";
/// How long a plane may take to answer, and a gateway to connect.
const START_LIMIT: Duration = Duration::from_mins(1);
/// How long the end of a cluster may take.
const DELETE_LIMIT: Duration = Duration::from_mins(15);
/// Pods of the hello layer.
const HELLOS: u64 = 2;

/// What a cluster is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layers {
    /// What every cluster has.
    Plain,
    /// That, and the hello pack.
    Hello,
}

impl Layers {
    /// The profile that has them.
    fn profile(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Hello => "hello",
        }
    }
}

/// The plane of a lab, as its first user.
#[derive(Debug, Clone)]
pub struct Plane {
    /// Its API.
    pub client: Client,
    /// Where it is, for people.
    pub url: String,
    /// Its authority's certificate.
    pub ca: PathBuf,
}

/// A cluster that was ordered and runs.
#[derive(Debug, Clone)]
pub struct Made {
    /// Its API, through plane and tunnel.
    pub kubectl: Kubectl,
    /// MAAS's id of its control plane's machine.
    pub control: String,
}

impl Plane {
    /// The plane of a lab, once it answers.
    pub async fn join(site: &Site) -> Result<Self> {
        let url = format!("https://{}", site.forward(PLANE_API).await?);
        let (key, ca) = (site.dir.join("plane.key"), site.dir.join("plane/ca.crt"));
        let log = site.dir.join("plane.log");
        let mut deadline = Deadline::new(START_LIMIT, "the plane");
        loop {
            if let (Ok(key), Ok(pem)) = (fs::read_to_string(&key), fs::read(&ca))
                && !key.is_empty()
                && !pem.is_empty()
            {
                let options = Options { ca: Some(pem), project: None };
                let client = Client::new(&url, &Auth::ApiKey(Secret::new(key)), &options)?;
                match client.get::<v1::UserInfo>("/v1/users/info").await {
                    Ok(_) => return Ok(Self { client, url, ca }),
                    Err(error) => deadline.note(&error.to_string()),
                }
            }
            deadline.pause().await.with_context(|| site::tail(&log))?;
        }
    }

    /// The plane of the lab in a folder, where both answer.
    pub async fn there(dir: &Path) -> Option<Self> {
        let site = Site::join(dir).await.ok()?;
        site.forward(PLANE_API).await.ok()?;
        Self::join(&site).await.ok()
    }

    /// Orders the cluster and follows it until its DNS answers. Whatever is there already is left as it is.
    pub async fn cluster(
        &self,
        narrator: &mut Narrator,
        site: &Site,
        bundle: &Bundle,
        gateway: &str,
        layers: Layers,
    ) -> Result<Made> {
        let uid = narrator.phase("order", self.order(site, bundle, gateway, layers)).await?;
        self.follow(narrator, site, bundle, uid).await
    }

    /// Follows a cluster that was ordered until its DNS answers.
    pub async fn follow(
        &self,
        narrator: &mut Narrator,
        site: &Site,
        bundle: &Bundle,
        uid: String,
    ) -> Result<Made> {
        let machines = narrator.phase("machines", self.machines(&uid)).await?;
        let ready = async {
            let kubectl = self.kubectl(site, bundle, &uid).await?;
            cluster::nodes(&kubectl).await.map(|()| kubectl)
        };
        let kubectl = narrator.phase("nodes", ready).await?;
        narrator.phase("dns", cluster::dns(&kubectl)).await?;
        Ok(Made { kubectl, control: control_plane(&machines)? })
    }

    /// Asks the plane, again while it cannot be reached or says that it cannot just now: it may have been killed.
    async fn ask<T>(&self, what: &'static str, call: impl AsyncFn() -> Result<T, Error>) -> Result<T> {
        let mut deadline = Deadline::new(START_LIMIT, what);
        loop {
            match call().await {
                Ok(answer) => return Ok(answer),
                Err(error) if passes(&error) => deadline.note(&error.to_string()),
                Err(error) => return Err(error.into()),
            }
            deadline.pause().await?;
        }
    }

    /// Pairs the site's gateway where it is not, and waits until it is connected; its id.
    pub async fn gateway(&self, site: &Site) -> Result<String> {
        let mut deadline = Deadline::new(START_LIMIT, "the gateway");
        let mut invited = false;
        loop {
            let all = self.overlords().await?;
            match all.into_iter().find(|one| one.metadata.name == GATEWAY) {
                Some(there) if there.status.state == "Running" => return Ok(there.metadata.uid),
                Some(there) => {
                    // An earlier call may have ended before it wrote the code down.
                    if !invited && there.status.state == "Pending" {
                        let path = format!("/v1/overlords/{}/reset", there.metadata.uid);
                        let code = self
                            .ask("a pairing code", async || {
                                self.client.send::<v1::Message>(Method::PUT, &path, None::<&()>).await
                            })
                            .await?;
                        write_private(&site.dir.join(PAIRING_CODE), &code.msg)?;
                        invited = true;
                    }
                    let words = there.status.health.conditions.first();
                    deadline.note(words.map_or("", |one| one.message.as_str()));
                }
                None => {
                    let path = format!("/v1/overlords/pairing/code?cloudType=maas&name={GATEWAY}");
                    let code = self.client.get::<v1::PairingCode>(&path).await;
                    match code {
                        Ok(code) => {
                            write_private(&site.dir.join(PAIRING_CODE), &code.pairing_code)?;
                            invited = true;
                        }
                        Err(error) if passes(&error) => deadline.note(&error.to_string()),
                        Err(error) => return Err(error.into()),
                    }
                }
            }
            deadline.pause().await.with_context(|| site::tail(&site.dir.join("gateway.log")))?;
        }
    }

    /// Deletes the cloud account, where there is one.
    pub async fn forget_account(&self) -> Result<()> {
        let path = "/v1/cloudaccounts/maas?limit=0";
        let all = async || self.client.get::<v1::List<v1::MaasAccount>>(path).await;
        for one in self.ask("the plane's cloud accounts", all).await?.items {
            let path = format!("/v1/cloudaccounts/maas/{}", one.metadata.uid);
            self.client.call(Method::DELETE, &path, None::<&()>).await?;
        }
        Ok(())
    }

    /// The plane's gateways.
    pub async fn overlords(&self) -> Result<Vec<v1::Overlord>> {
        let all = async || self.client.get::<v1::List<v1::Overlord>>("/v1/overlords").await;
        Ok(self.ask("the plane's gateways", all).await?.items)
    }

    /// Orders the cluster where it is not ordered yet, with all that it needs; its id.
    pub async fn order(&self, site: &Site, bundle: &Bundle, gateway: &str, layers: Layers) -> Result<String> {
        let (account, profile) = (self.account(site, gateway).await?, self.profile(bundle, layers).await?);
        let wanted = wanted(&account, &profile);
        let mut deadline = Deadline::new(START_LIMIT, "the order");
        loop {
            if let Some((uid, state)) = self.find().await? {
                if state != "Deleting" {
                    return Ok(uid);
                }
                narrate::say("  an earlier cluster is still being deleted");
                self.gone(&uid).await?;
            }
            match self.client.create("/v1/spectroclusters/maas", &wanted).await {
                Ok(uid) => return Ok(uid),
                // An answer that was lost is found by the next look.
                Err(error) if passes(&error) => deadline.note(&error.to_string()),
                Err(error) => return Err(error.into()),
            }
            deadline.pause().await?;
        }
    }

    /// Makes the cloud account where there is none; refusals are told at once.
    pub async fn account(&self, site: &Site, gateway: &str) -> Result<String> {
        let mut deadline = Deadline::new(START_LIMIT, "the cloud account");
        let key = fs::read_to_string(site.dir.join("admin.key"))?;
        let account = json!({"metadata": {"name": ACCOUNT, "annotations": {"overlordUid": gateway}},
                             "spec": {"apiEndpoint": maas_url(), "apiKey": key.trim()}});
        loop {
            let path = "/v1/cloudaccounts/maas?limit=0";
            let all = async || self.client.get::<v1::List<v1::MaasAccount>>(path).await;
            let all = self.ask("the plane's cloud accounts", all).await?;
            if let Some(there) = all.items.into_iter().find(|one| one.metadata.name == ACCOUNT) {
                return Ok(there.metadata.uid);
            }
            match self.client.create("/v1/cloudaccounts/maas", &account).await {
                Ok(uid) => return Ok(uid),
                Err(error) if passes(&error) => deadline.note(&error.to_string()),
                Err(error) => return Err(error.into()),
            }
            deadline.pause().await?;
        }
    }

    async fn profile(&self, bundle: &Bundle, layers: Layers) -> Result<String> {
        let version = bundle.components.kubernetes().trim_start_matches('v').to_owned();
        let profile = profile(layers, &version);
        self.ask("the profile", async || {
            let path = "/v1/dashboard/clusterprofiles/metadata";
            let all: v1::ProfileNames = self.client.get(path).await?;
            match all.items.into_iter().find(|one| one.metadata.name == layers.profile()) {
                Some(there) => Ok(there.metadata.uid),
                None => self.client.create("/v1/clusterprofiles?publish=true", &profile).await,
            }
        })
        .await
    }

    /// The cluster's id and state, where it is ordered.
    pub async fn find(&self) -> Result<Option<(String, String)>> {
        let all = async || {
            let path = "/v1/dashboard/spectroclusters/search?limit=0";
            let body = v1::ClusterSearch::default();
            self.client.send::<v1::List<v1::ClusterSummary>>(Method::POST, path, Some(&body)).await
        };
        let all = self.ask("the plane's clusters", all).await?;
        let found = all.items.into_iter().find(|one| one.metadata.name == NAME);
        Ok(found.map(|one| (one.metadata.uid, one.status.state)))
    }

    /// Waits until every machine of the cluster has its node, telling how each stands.
    pub async fn machines(&self, uid: &str) -> Result<Vec<v1::Machine>> {
        let mut deadline = Deadline::new(up::LIMIT, "the machines of the cluster");
        let mut told = BTreeMap::new();
        loop {
            // A plane that is away for a moment comes back.
            match self.look(uid).await {
                Ok((one, machines)) => {
                    tell(&mut told, &one, &machines);
                    let joined = machines.iter().filter(|one| !one.status.node.is_empty()).count();
                    if joined == POOLS.len() && machines.len() == POOLS.len() {
                        return Ok(machines);
                    }
                    deadline.note(&message(&one));
                }
                Err(error) => deadline.note(&error.to_string()),
            }
            deadline.pause().await?;
        }
    }

    /// The cluster and its machines, as the plane tells them.
    pub async fn look(&self, uid: &str) -> Result<(v1::Cluster, Vec<v1::Machine>), Error> {
        let one: v1::Cluster = self.client.get(&format!("/v1/spectroclusters/{uid}")).await?;
        let mut machines = Vec::new();
        for pool in POOLS {
            let path = format!("/v1/cloudconfigs/maas/{uid}/machinePools/{pool}/machines");
            let list: v1::List<v1::Machine> = self.client.get(&path).await?;
            machines.extend(list.items);
        }
        Ok((one, machines))
    }

    /// Has the cluster ordered again, so many times: another key of its account, which is the same one, goes to the
    /// site with it.
    pub async fn order_again(&self, site: &Site, times: u32) -> Result<()> {
        let (uid, _) = self.find().await?.context("there is no cluster")?;
        let all: v1::List<Value> = self.client.get("/v1/cloudaccounts/maas?limit=0").await?;
        let mut account = all.items.into_iter().next().context("there is no cloud account")?;
        let key = fs::read_to_string(site.dir.join("admin.key"))?;
        account["spec"]["apiKey"] = json!(key.trim());
        let path =
            format!("/v1/cloudaccounts/maas/{}", account["metadata"]["uid"].as_str().unwrap_or_default());
        for _ in 0..times {
            self.client.call(Method::PUT, &path, Some(&account)).await?;
            let deadline = Deadline::new(START_LIMIT, "the order to be at the gateway");
            while !self.look(&uid).await?.0.status.spc_apply.can_be_applied {
                deadline.pause().await?;
            }
        }
        Ok(())
    }

    /// How long each order was on its way, in milliseconds: from its acceptance until the gateway had it.
    pub async fn ways(&self) -> Result<Vec<f64>> {
        let (uid, _) = self.find().await?.context("there is no cluster")?;
        let path = format!("/v1/events/components/spectrocluster/{uid}?limit=0");
        let events: v1::List<v1::Event> = self.client.get(&path).await?;
        let (mut ways, mut accepted) = (Vec::new(), None);
        // The latest comes first.
        for event in events.items.iter().rev() {
            let at = event.metadata.creation_timestamp;
            match (event.reason.as_str(), accepted, at) {
                ("Ordered" | "ChangeOrdered", _, at) => accepted = at,
                ("OrderTaken", Some(accepted), Some(at)) => {
                    ways.push(at.duration_since(accepted).as_secs_f64() * 1000.0);
                }
                _ => {}
            }
        }
        Ok(ways)
    }

    /// Waits until the plane calls the cluster Running and every layer of it ready.
    pub async fn running(&self) -> Result<()> {
        let mut deadline = Deadline::new(up::LIMIT, "the plane to call the cluster Running");
        loop {
            if let Some((uid, _)) = self.find().await? {
                match self.look(&uid).await {
                    Ok((one, _)) => {
                        let ready = |pack: &v1::PackStatus| pack.condition.status == "True";
                        if one.status.state == "Running" && one.status.packs.iter().all(ready) {
                            return Ok(());
                        }
                        deadline.note(&message(&one));
                    }
                    Err(error) => deadline.note(&error.to_string()),
                }
            }
            deadline.pause().await?;
        }
    }

    /// kubectl through plane and tunnel, by a kubeconfig of the user's own.
    async fn kubectl(&self, site: &Site, bundle: &Bundle, uid: &str) -> Result<Kubectl> {
        let file = site.dir.join(format!("{NAME}.kubeconfig"));
        let path = format!("/v1/spectroclusters/{uid}/assets/kubeconfigclient");
        let text = self.ask("the kubeconfig", async || self.client.text(&path).await).await?;
        write_private(&file, text.expose())?;
        Kubectl::new(&bundle.components, &file)
    }

    /// Deletes the cluster, where there is one, and waits until its machines are given back.
    pub async fn delete(&self) -> Result<()> {
        let Some((uid, _)) = self.find().await? else { return Ok(()) };
        let path = format!("/v1/spectroclusters/{uid}");
        self.ask("the deletion", async || self.client.call(Method::DELETE, &path, None::<&()>).await).await?;
        self.gone(&uid).await
    }

    async fn gone(&self, uid: &str) -> Result<()> {
        let mut deadline = Deadline::new(DELETE_LIMIT, "the deletion of the cluster");
        let mut told = BTreeMap::new();
        loop {
            match self.look(uid).await {
                Ok((one, _)) if one.status.state == "Deleted" => return Ok(()),
                Ok((one, machines)) => {
                    tell(&mut told, &one, &machines);
                    deadline.note(&message(&one));
                }
                Err(error) if error.code() == Some("ResourceNotFound") => return Ok(()),
                Err(error) => deadline.note(&error.to_string()),
            }
            deadline.pause().await?;
        }
    }
}

/// Whether the same may be answered a moment later.
fn passes(error: &Error) -> bool {
    error.code().is_none_or(|code| code.ends_with("Unavailable"))
}

/// Says how a cluster and its machines stand, when that has changed.
fn tell(told: &mut BTreeMap<String, String>, one: &v1::Cluster, machines: &[v1::Machine]) {
    let mut lines = vec![(NAME.to_owned(), one.status.state.clone())];
    lines.extend(machines.iter().map(|one| {
        let words = [one.status.instance_state.as_str(), one.status.message.as_str()];
        let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
        (one.metadata.name.clone(), words.join(": "))
    }));
    for (name, line) in lines {
        if told.get(&name) != Some(&line) {
            narrate::say(&format!("  {name}: {line}"));
            told.insert(name, line);
        }
    }
}

fn message(one: &v1::Cluster) -> String {
    one.status.conditions.first().map(|one| one.message.clone()).unwrap_or_default()
}

/// Waits until the hello layer runs and answers by its Service, seen through the plane.
pub async fn hello(kubectl: &Kubectl) -> Result<()> {
    const ANSWER: &str = "/api/v1/namespaces/hello/services/hello:80/proxy/";
    let mut deadline = Deadline::new(up::LIMIT, "the hello layer");
    loop {
        let found = kubectl.json(&["get", "deployment", "hello", "-n", "hello"]);
        match found.map(|found| found["status"]["readyReplicas"].as_u64().unwrap_or_default()) {
            Ok(HELLOS) => match kubectl.run(&["get", "--raw", ANSWER]) {
                Ok(_) => return Ok(()),
                Err(error) => deadline.note(&error.to_string()),
            },
            Ok(ready) => deadline.note(&format!("{ready} of {HELLOS} pods are ready")),
            Err(error) => deadline.note(&error.to_string()),
        }
        deadline.pause().await?;
    }
}

/// MAAS's id of the machine that is the control plane.
fn control_plane(machines: &[v1::Machine]) -> Result<String> {
    let control = machines.iter().find(|one| one.metadata.name.contains("control-plane"));
    match control.and_then(|one| one.status.provider_id.rsplit('/').next()).filter(|id| !id.is_empty()) {
        Some(id) => Ok(id.to_owned()),
        None => bail!("the plane names no control plane's machine"),
    }
}

/// One control plane and one worker.
fn wanted(account: &str, profile: &str) -> Value {
    let pool = |name: &str, control: bool, memory: u32| {
        let role = if control { "control-plane" } else { "worker" };
        json!({"cloudConfig": {"azs": [], "instanceType": {"minCPU": 1, "minMemInMB": memory},
                               "resourcePool": "default", "tags": []},
               "poolConfig": {"name": name, "size": 1, "labels": [role], "isControlPlane": control}})
    };
    let [control, workers] = POOLS;
    json!({"metadata": {"name": NAME},
           "spec": {"cloudAccountUid": account, "clusterType": "PureManage",
                    "cloudConfig": {"domain": "maas", "sshKeys": []},
                    "machinepoolconfig": [pool(control, true, 2048), pool(workers, false, 1024)],
                    "profiles": [{"uid": profile}]}})
}

/// A whole profile of what every site has.
fn profile(layers: Layers, kubernetes: &str) -> Value {
    let pack = |name: &str, uid: &str, layer: &str, tag: &str| json!({"name": name, "uid": uid, "type": "spectro", "layer": layer, "tag": tag, "values": ""});
    let mut packs = vec![
        pack("debian-maas", "5eed00000000000000000101", "os", "12"),
        pack("kubernetes", "5eed00000000000000000102", "k8s", kubernetes),
        pack("cni-bessemer", "5eed00000000000000000103", "cni", "1.0.0"),
    ];
    if layers == Layers::Hello {
        packs.push(pack("hello", "5eed00000000000000000104", "addon", "1.0.0"));
    }
    json!({"metadata": {"name": layers.profile()},
           "spec": {"version": "1.0.0", "template": {"type": "cluster", "cloudType": "maas", "packs": packs}}})
}
