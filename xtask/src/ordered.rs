//! The cluster that `up` makes: ordered at the plane, through its gateway.
#![allow(clippy::indexing_slicing, reason = "of a JSON value: what is missing reads as null")]

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use plane_client::{Auth, Client, Method, Options, v1};
use secrets::Secret;
use serde_json::{Value, json};

use crate::{
    cluster::Deadline,
    kubectl::Kubectl,
    narrate,
    roles::{PAIRING_CODE, PLANE_API, maas_url, write_private},
    site::{self, Bundle, Site},
    up,
};

/// The cluster that `up` makes.
pub const NAME: &str = "demo";
/// The gateway, the cloud account and the profile that it has.
const GATEWAY: &str = "site";
const ACCOUNT: &str = "rack";
const PROFILE: &str = "plain";
/// How long a plane may take to answer, and a gateway to connect.
const START_LIMIT: Duration = Duration::from_mins(1);
/// How long `down` waits for a cluster's end.
const DELETE_LIMIT: Duration = Duration::from_mins(10);
/// Pods of the hello layer.
const HELLOS: u64 = 2;

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

    /// Pairs the site's gateway where it is not, and waits until it is connected; its id.
    pub async fn gateway(&self, site: &Site) -> Result<String> {
        let mut deadline = Deadline::new(START_LIMIT, "the gateway");
        let mut invited = false;
        loop {
            match self.the_gateway().await? {
                Some(there) if there.status.state == "Running" => return Ok(there.metadata.uid),
                Some(there) => {
                    deadline.note(
                        &there
                            .status
                            .health
                            .conditions
                            .first()
                            .map(|one| one.message.clone())
                            .unwrap_or_default(),
                    );
                    // An earlier call may have ended before it wrote the code down.
                    if !invited && there.status.state == "Pending" {
                        let path = format!("/v1/overlords/{}/reset", there.metadata.uid);
                        let code: v1::Message = self.client.send(Method::PUT, &path, None::<&()>).await?;
                        write_private(&site.dir.join(PAIRING_CODE), &code.msg)?;
                        invited = true;
                    }
                }
                None => {
                    let path = format!("/v1/overlords/pairing/code?cloudType=maas&name={GATEWAY}");
                    let code: v1::PairingCode = self.client.get(&path).await?;
                    write_private(&site.dir.join(PAIRING_CODE), &code.pairing_code)?;
                    invited = true;
                }
            }
            deadline.pause().await.with_context(|| site::tail(&site.dir.join("engine.log")))?;
        }
    }

    async fn the_gateway(&self) -> Result<Option<v1::Overlord>> {
        let all: v1::List<v1::Overlord> = self.client.get("/v1/overlords").await?;
        Ok(all.items.into_iter().find(|one| one.metadata.name == GATEWAY))
    }

    /// What the plane knows of its gateways, for `up`'s last line.
    pub async fn gateways(&self) -> Result<Vec<Value>> {
        let all: v1::List<v1::Overlord> = self.client.get("/v1/overlords").await?;
        let about = |one: &v1::Overlord| json!({"name": one.metadata.name, "uid": one.metadata.uid, "state": one.status.state});
        Ok(all.items.iter().map(about).collect())
    }

    /// Orders the cluster where it is not ordered yet, with all that it needs; its id.
    pub async fn order(&self, site: &Site, bundle: &Bundle, gateway: &str) -> Result<String> {
        if let Some(uid) = self.find().await? {
            let one: v1::Cluster = self.client.get(&format!("/v1/spectroclusters/{uid}")).await?;
            if one.status.state != "Deleting" {
                return Ok(uid);
            }
            narrate::say("  an earlier cluster is still being deleted");
            self.gone(&uid).await?;
        }
        let (account, profile) = (self.account(site, gateway).await?, self.profile(bundle).await?);
        let mut deadline = Deadline::new(START_LIMIT, "the order");
        loop {
            match self.client.create("/v1/spectroclusters/maas", &cluster(&account, &profile)).await {
                Ok(uid) => return Ok(uid),
                // The site may have lost sight of a machine for a moment.
                Err(error) if error.code().is_none_or(|code| code.ends_with("Unavailable")) => {
                    deadline.note(&error.to_string());
                }
                Err(error) => return Err(error.into()),
            }
            deadline.pause().await?;
        }
    }

    async fn account(&self, site: &Site, gateway: &str) -> Result<String> {
        let all: v1::List<v1::MaasAccount> = self.client.get("/v1/cloudaccounts/maas?limit=0").await?;
        if let Some(there) = all.items.into_iter().find(|one| one.metadata.name == ACCOUNT) {
            return Ok(there.metadata.uid);
        }
        let key = fs::read_to_string(site.dir.join("admin.key"))?;
        let account = json!({"metadata": {"name": ACCOUNT, "annotations": {"overlordUid": gateway}},
                             "spec": {"apiEndpoint": maas_url(), "apiKey": key.trim()}});
        Ok(self.client.create("/v1/cloudaccounts/maas", &account).await?)
    }

    async fn profile(&self, bundle: &Bundle) -> Result<String> {
        let all: v1::ProfileNames = self.client.get("/v1/dashboard/clusterprofiles/metadata").await?;
        if let Some(there) = all.items.into_iter().find(|one| one.metadata.name == PROFILE) {
            return Ok(there.metadata.uid);
        }
        let version = bundle.components.kubernetes().trim_start_matches('v').to_owned();
        Ok(self.client.create("/v1/clusterprofiles?publish=true", &profile(&version)).await?)
    }

    /// The cluster's id, where it is ordered.
    pub async fn find(&self) -> Result<Option<String>> {
        let path = "/v1/dashboard/spectroclusters/search?limit=0";
        let all: v1::List<v1::ClusterSummary> =
            self.client.send(Method::POST, path, Some(&v1::ClusterSearch::default())).await?;
        let found = all.items.into_iter().find(|one| one.metadata.name == NAME);
        Ok(found.map(|one| one.metadata.uid))
    }

    /// Waits until every machine of the cluster has its node, telling how each stands.
    pub async fn machines(&self, uid: &str) -> Result<Vec<v1::Machine>> {
        let mut deadline = Deadline::new(up::LIMIT, "the machines of the cluster");
        let mut told = std::collections::BTreeMap::new();
        loop {
            // A plane that is away for a moment comes back.
            match self.look(uid).await {
                Ok((one, machines)) => {
                    let message = message(&one);
                    let mut lines = vec![(NAME.to_owned(), format!("{}: {message}", one.status.state))];
                    lines.extend(machines.iter().map(|one| {
                        let status = &one.status;
                        (one.metadata.name.clone(), format!("{}: {}", status.instance_state, status.message))
                    }));
                    for (name, line) in lines {
                        let line = line.trim_end_matches([':', ' ']).to_owned();
                        if told.get(&name) != Some(&line) {
                            narrate::say(&format!("  {name}: {line}"));
                            told.insert(name, line);
                        }
                    }
                    if machines.len() == 2 && machines.iter().all(|one| !one.status.node.is_empty()) {
                        return Ok(machines);
                    }
                    deadline.note(&message);
                }
                Err(error) => deadline.note(&error.to_string()),
            }
            deadline.pause().await?;
        }
    }

    async fn look(&self, uid: &str) -> Result<(v1::Cluster, Vec<v1::Machine>)> {
        let one: v1::Cluster = self.client.get(&format!("/v1/spectroclusters/{uid}")).await?;
        let mut machines = Vec::new();
        for pool in ["control", "workers"] {
            let path = format!("/v1/cloudconfigs/maas/{uid}/machinePools/{pool}/machines");
            let list: v1::List<v1::Machine> = self.client.get(&path).await?;
            machines.extend(list.items);
        }
        Ok((one, machines))
    }

    /// kubectl through plane and tunnel, by a kubeconfig of the user's own.
    pub async fn kubectl(&self, site: &Site, bundle: &Bundle, uid: &str) -> Result<Kubectl> {
        let file = site.dir.join(format!("{NAME}.kubeconfig"));
        let text = self.client.text(&format!("/v1/spectroclusters/{uid}/assets/kubeconfigclient")).await?;
        write_private(&file, text.expose())?;
        Kubectl::new(&bundle.components, &file)
    }

    /// Deletes the cluster, where there is one, and waits until its machines are given back.
    pub async fn delete(&self) -> Result<()> {
        let Some(uid) = self.find().await? else { return Ok(()) };
        self.client.call(Method::DELETE, &format!("/v1/spectroclusters/{uid}"), None::<&()>).await?;
        self.gone(&uid).await
    }

    async fn gone(&self, uid: &str) -> Result<()> {
        let mut deadline = Deadline::new(DELETE_LIMIT, "the deletion of the cluster");
        loop {
            match self.client.get::<v1::Cluster>(&format!("/v1/spectroclusters/{uid}")).await {
                Ok(one) if one.status.state == "Deleted" => return Ok(()),
                Ok(one) => deadline.note(&message(&one)),
                Err(error) if error.code() == Some("ResourceNotFound") => return Ok(()),
                Err(error) => deadline.note(&error.to_string()),
            }
            deadline.pause().await?;
        }
    }
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

fn message(one: &v1::Cluster) -> String {
    one.status.conditions.first().map(|one| one.message.clone()).unwrap_or_default()
}

/// MAAS's id of a machine that is a control plane.
pub fn control_plane(machines: &[v1::Machine]) -> Result<&str> {
    let control = machines.iter().find(|one| one.metadata.name.contains("control-plane"));
    let id = control.and_then(|one| one.status.provider_id.rsplit('/').next());
    match id.filter(|id| !id.is_empty()) {
        Some(id) => Ok(id),
        None => bail!("the plane names no control plane's machine"),
    }
}

fn cluster(account: &str, profile: &str) -> Value {
    let pool = |name: &str, control: bool, memory: u32| {
        let role = if control { "control-plane" } else { "worker" };
        json!({"cloudConfig": {"azs": [], "instanceType": {"minCPU": 1, "minMemInMB": memory},
                               "resourcePool": "default", "tags": []},
               "poolConfig": {"name": name, "size": 1, "labels": [role], "isControlPlane": control}})
    };
    json!({"metadata": {"name": NAME},
           "spec": {"cloudAccountUid": account, "clusterType": "PureManage",
                    "cloudConfig": {"domain": "maas", "sshKeys": []},
                    "machinepoolconfig": [pool("control", true, 2048), pool("workers", false, 1024)],
                    "profiles": [{"uid": profile}]}})
}

/// A whole profile of what every site has.
fn profile(kubernetes: &str) -> Value {
    let pack = |name: &str, uid: &str, layer: &str, tag: &str| json!({"name": name, "uid": uid, "type": "spectro", "layer": layer, "tag": tag, "values": ""});
    json!({"metadata": {"name": PROFILE},
           "spec": {"version": "1.0.0", "template": {"type": "cluster", "cloudType": "maas", "packs": [
               pack("debian-maas", "5eed00000000000000000101", "os", "12"),
               pack("kubernetes", "5eed00000000000000000102", "k8s", kubernetes),
               pack("cni-bessemer", "5eed00000000000000000103", "cni", "1.0.0"),
               pack("hello", "5eed00000000000000000104", "addon", "1.0.0")]}}})
}

/// The plane of the lab in a folder, where both answer.
pub async fn there(dir: &Path) -> Option<Plane> {
    let site = Site::join(dir).await.ok()?;
    site.forward(PLANE_API).await.ok()?;
    Plane::join(&site).await.ok()
}
