//! Clusters.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use clap::{Args, Subcommand};
use jiff::Timestamp;
use plane_client::{Client, Method, v1};
use secrets::Secret;
use serde_json::Value;

use super::{client, document, uid_of};
use crate::{
    CliError, Global, Session,
    text::{between, fields, span, table},
};

/// Commands on clusters. CLUSTER is a name or an id.
#[derive(Debug, Subcommand)]
pub enum ClusterCommand {
    /// Show them
    List,
    /// Show one with its phases and machines
    Show {
        /// The cluster
        cluster: String,
    },
    /// Order one
    Create {
        /// YAML or JSON, as `POST /v1/spectroclusters/maas` takes it; `-` is the standard input. Accounts and profiles
        /// may be named by name
        #[arg(short, long, value_name = "FILE")]
        file: PathBuf,
        /// Follow it.
        #[command(flatten)]
        wait: Wait,
    },
    /// Make a pool larger or smaller
    Scale {
        /// The cluster
        cluster: String,
        /// The pool
        pool: String,
        /// Number of machines
        size: u32,
    },
    /// Write a kubeconfig to the standard output: your own, good for hours, which leads through the plane
    Kubeconfig {
        /// The cluster
        cluster: String,
        /// An administrator's instead, good without the plane and at the site only
        #[arg(long)]
        admin: bool,
    },
    /// Have one deleted, its machines wiped and given back
    Delete {
        /// The cluster
        cluster: String,
        /// Follow it.
        #[command(flatten)]
        wait: Wait,
    },
}

/// Following what was ordered.
#[derive(Debug, Clone, Copy, Args)]
pub struct Wait {
    /// Follow it to its end; Ctrl-C stops following only
    #[arg(long)]
    wait: bool,
    /// How long to follow it, in minutes
    #[arg(long, default_value_t = 60, value_name = "MINUTES")]
    timeout: u64,
}

/// Runs a command on clusters.
pub async fn run(
    session: &mut Session<'_>,
    global: &Global,
    command: ClusterCommand,
) -> Result<(), CliError> {
    let client = client(session, global)?;
    match command {
        ClusterCommand::List => {
            let all = all(&client).await?;
            session.show(global.output, &all, || {
                let row = |one: &v1::ClusterSummary| {
                    let conditions = &one.status.health.conditions;
                    [
                        one.metadata.name.clone(),
                        one.status.state.clone(),
                        one.status.health.state.clone(),
                        conditions.first().map(|one| one.message.clone()).unwrap_or_default(),
                        one.metadata.uid.clone(),
                    ]
                };
                let none = "There are no clusters; bessemer cluster create -f FILE orders one.";
                table(["name", "state", "health", "", "uid"], all.iter().map(row).collect(), none)
            })
        }
        ClusterCommand::Show { cluster } => {
            let uid = find(&client, &cluster).await?;
            let one: v1::Cluster = client.get(&format!("/v1/spectroclusters/{uid}")).await?;
            let machines = machines(&client, &uid).await?;
            let object = serde_json::json!({"cluster": one, "machines": machines});
            session.show(global.output, &object, || shown(&one, &machines))
        }
        ClusterCommand::Create { file, wait } => {
            let mut wanted: v1::ClusterEntity = document(session, &file)?;
            named(&client, &mut wanted).await?;
            let uid = client.create("/v1/spectroclusters/maas", &wanted).await?;
            let name = wanted.metadata.name;
            if wait.wait {
                follow(session, &client, &uid, &name, wait, |one| {
                    one.is_some_and(|one| one.status.state == "Running" && is_ready(one))
                })
                .await?;
            }
            let object = serde_json::json!({"name": name, "uid": uid});
            session.show(global.output, &object, || format!("ordered cluster {name} ({uid})"))
        }
        ClusterCommand::Scale { cluster, pool, size } => {
            let uid = find(&client, &cluster).await?;
            let config: v1::CloudConfig = client.get(&format!("/v1/cloudconfigs/maas/{uid}")).await?;
            let is = |one: &&v1::Extra| one.get("name").and_then(Value::as_str) == Some(&pool);
            let there = config.spec.machine_pool_config.iter().find(is);
            let mut there = there.cloned().ok_or(CliError::Unknown { kind: "pool", name: pool.clone() })?;
            there.insert("size".to_owned(), Value::from(size));
            let mut cloud = v1::Extra::new();
            for key in ["azs", "instanceType", "resourcePool", "tags", "useLxdVm", "network"] {
                if let Some(value) = there.remove(key) {
                    cloud.insert(key.to_owned(), value);
                }
            }
            let body = serde_json::json!({"poolConfig": there, "cloudConfig": cloud});
            let path = format!("/v1/cloudconfigs/maas/{uid}/machinePools/{pool}");
            client.call(Method::PUT, &path, Some(&body)).await?;
            session.remark(&format!("pool {pool} of {cluster} is to have {size} machines"))
        }
        ClusterCommand::Kubeconfig { cluster, admin } => {
            let text = if admin {
                let uid = find(&client, &cluster).await?;
                client.text(&format!("/v1/spectroclusters/{uid}/assets/adminKubeconfig")).await?
            } else {
                own_kubeconfig(&client, &cluster).await?
            };
            Ok(write!(session.out, "{}", text.expose())?)
        }
        ClusterCommand::Delete { cluster, wait } => {
            let uid = find(&client, &cluster).await?;
            client.call(Method::DELETE, &format!("/v1/spectroclusters/{uid}"), None::<&()>).await?;
            if wait.wait {
                follow(session, &client, &uid, &cluster, wait, |one| {
                    one.is_none_or(|one| one.status.state == "Deleted")
                })
                .await?;
                return session.remark(&format!("cluster {cluster} is deleted"));
            }
            session.remark(&format!("cluster {cluster} is being deleted"))
        }
    }
}

/// The caller's own kubeconfig.
pub async fn own_kubeconfig(client: &Client, cluster: &str) -> Result<Secret, CliError> {
    let uid = find(client, cluster).await?;
    Ok(client.text(&format!("/v1/spectroclusters/{uid}/assets/kubeconfigclient")).await?)
}

async fn all(client: &Client) -> Result<Vec<v1::ClusterSummary>, CliError> {
    let body = v1::ClusterSearch::default();
    let path = "/v1/dashboard/spectroclusters/search?limit=0";
    let list: v1::List<v1::ClusterSummary> = client.send(Method::POST, path, Some(&body)).await?;
    Ok(list.items)
}

/// The id of a cluster.
pub async fn find(client: &Client, wanted: &str) -> Result<String, CliError> {
    let all = all(client).await?;
    uid_of("cluster", wanted, all.iter().map(|one| &one.metadata))
}

/// Ids in the place of names of account and profiles.
async fn named(client: &Client, wanted: &mut v1::ClusterEntity) -> Result<(), CliError> {
    let accounts: v1::List<v1::MaasAccount> = client.get("/v1/cloudaccounts/maas?limit=0").await?;
    let account = &wanted.spec.cloud_account_uid;
    wanted.spec.cloud_account_uid =
        uid_of("account", account, accounts.items.iter().map(|one| &one.metadata))?;
    let profiles: v1::ProfileNames = client.get("/v1/dashboard/clusterprofiles/metadata").await?;
    for profile in &mut wanted.spec.profiles {
        profile.uid = uid_of("profile", &profile.uid, profiles.items.iter().map(|one| &one.metadata))?;
    }
    Ok(())
}

/// The machines of all pools.
pub async fn machines(client: &Client, uid: &str) -> Result<Vec<v1::Machine>, CliError> {
    let config: v1::CloudConfig = client.get(&format!("/v1/cloudconfigs/maas/{uid}")).await?;
    let mut all = Vec::new();
    for pool in &config.spec.machine_pool_config {
        let name = pool.get("name").and_then(Value::as_str).unwrap_or_default();
        let path = format!("/v1/cloudconfigs/maas/{uid}/machinePools/{name}/machines?limit=0");
        let list: v1::List<v1::Machine> = client.get(&path).await?;
        all.extend(list.items);
    }
    Ok(all)
}

fn shown(one: &v1::Cluster, machines: &[v1::Machine]) -> String {
    let profiles = one.spec.cluster_profile_templates.iter();
    let profiles: Vec<String> = profiles.map(|one| format!("{}@{}", one.name, one.profile_version)).collect();
    let about = fields(&[
        ("name", one.metadata.name.clone()),
        ("uid", one.metadata.uid.clone()),
        ("state", one.status.state.clone()),
        ("endpoint", one.status.endpoint.clone().unwrap_or_default()),
        ("profiles", profiles.join(", ")),
        ("", message(one)),
    ]);
    let now = Timestamp::now();
    let phase = |phase: &v1::Phase| {
        let took = span(between(phase.started, phase.ended.unwrap_or(now)));
        [phase.phase.clone(), took, phase.detail.clone()]
    };
    let phases = table(["phase", "took", ""], one.status.timeline.iter().map(phase).collect(), "");
    let row = |one: &v1::Machine| {
        let ready = if one.status.ready { "ready" } else { "" };
        [
            one.metadata.name.clone(),
            one.status.instance_state.clone(),
            ready.to_owned(),
            one.status.node.clone(),
            address(&one.status.addresses),
            one.status.message.clone(),
        ]
    };
    let headers = ["machine", "phase", "", "node", "address", ""];
    let machines = table(headers, machines.iter().map(row).collect(), "It has no machines yet.");
    let layer = |pack: &v1::PackStatus| {
        [
            pack.name.clone(),
            pack.version.clone(),
            pack.condition.reason.to_lowercase(),
            pack.condition.message.clone(),
        ]
    };
    let layers = one.status.packs.iter().map(layer).collect();
    let layers = table(["layer", "version", "", ""], layers, "Nothing is installed in it yet.");
    format!("{about}\n\n{phases}\n\n{machines}\n\n{layers}")
}

/// Names are Cluster API's addresses, too, and not those by which people reach a machine.
fn address(all: &[String]) -> String {
    let number = all.iter().find(|one| one.parse::<std::net::IpAddr>().is_ok());
    number.or(all.first()).cloned().unwrap_or_default()
}

fn message(one: &v1::Cluster) -> String {
    one.status.conditions.first().map(|one| one.message.clone()).unwrap_or_default()
}

fn is_ready(one: &v1::Cluster) -> bool {
    one.status.conditions.iter().all(|condition| condition.status == "True")
}

/// Tells each change until the end; what is gone is `None`.
async fn follow(
    session: &mut Session<'_>,
    client: &Client,
    uid: &str,
    name: &str,
    wait: Wait,
    ended: impl Fn(Option<&v1::Cluster>) -> bool,
) -> Result<(), CliError> {
    let (began, limit) = (Instant::now(), Duration::from_secs(wait.timeout.saturating_mul(60)));
    let mut told = String::new();
    loop {
        let seen = match client.get::<v1::Cluster>(&format!("/v1/spectroclusters/{uid}")).await {
            Ok(one) => Some(one),
            Err(error) if error.code() == Some("ResourceNotFound") => None,
            // A plane that is away for a moment comes back.
            Err(error)
                if began.elapsed() < limit
                    && error.code().is_none_or(|code| code.ends_with("Unavailable")) =>
            {
                tokio::time::sleep(session.pause).await;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let line = seen.as_ref().map_or_else(
            || "gone".to_owned(),
            |one| format!("{}: {}", one.status.state, message(one)).trim_end_matches([':', ' ']).to_owned(),
        );
        if told != line {
            session.remark(&format!("{name}  {}  {line}", span(began.elapsed())))?;
            told.clone_from(&line);
        }
        if ended(seen.as_ref()) {
            return Ok(());
        }
        if began.elapsed() > limit {
            let (state, reason) =
                seen.map(|one| (one.status.state.clone(), message(&one))).unwrap_or_default();
            return Err(CliError::ClusterWait {
                cluster: name.to_owned(),
                state,
                waited: span(began.elapsed()),
                reason,
            });
        }
        let interrupt = session.interrupt.clone();
        tokio::select! {
            () = tokio::time::sleep(session.pause) => {}
            () = interrupt.wait() => return Err(CliError::ClusterInterrupted(name.to_owned())),
        }
    }
}
