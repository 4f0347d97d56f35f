//! Clusters: made, read, changed, deleted. What is wanted is recorded; gateways carry it out.

use std::{collections::BTreeMap, sync::Arc};

use ::packs::{ResolveError, resolve};
use fleet::order;
use gateway_protocol::{Found, ProblemCode, What};
use jiff::Timestamp;
use plane_client::v1;
use plane_model::{
    CloudAccount, Cluster, ClusterProfile, Owner, Profile, ProfilePack, State, claim, is_control_plane,
    new_uid,
};
use reconcile::Timeline;
use serde_json::{Map, Value, json};
use store::Stored;

use super::{accounts, profiles, show, take};
use crate::{
    call::{Call, Caller},
    kubernetes, lists,
    reply::{Answer, ApiError, Reply},
    route::{Access::InProject, Resource, Route, Verb, route},
};

pub fn routes() -> Vec<Route> {
    vec![
        route!(POST "/v1/spectroclusters/maas", InProject(Resource::Cluster, Verb::Create), "Orders a cluster.", create, takes v1::ClusterEntity, 201: v1::Uid),
        route!(GET "/v1/spectroclusters/{uid}", InProject(Resource::Cluster, Verb::Get), "One of them.", read, 200: v1::Cluster),
        route!(DELETE "/v1/spectroclusters/{uid}", InProject(Resource::Cluster, Verb::Delete), "Has it deleted, its machines wiped and given back.", delete, 204),
        route!(GET "/v1/dashboard/spectroclusters/{uid}/overview", InProject(Resource::Cluster, Verb::Get), "How it is.", overview, 200: v1::ClusterOverview),
        route!(POST "/v1/dashboard/spectroclusters/search", InProject(Resource::Cluster, Verb::List), "Clusters; a filter by `clusterName` is taken.", search, takes v1::ClusterSearch, 200: v1::List<v1::ClusterSummary>),
        route!(GET "/v1/spectroclusters/{uid}/assets/adminKubeconfig", InProject(Resource::Cluster, Verb::Delete), "Its administrator's kubeconfig.", kubeconfig, 200),
        route!(GET "/v1/spectroclusters/{uid}/assets/kubeconfig", InProject(Resource::Cluster, Verb::Delete), "Its administrator's kubeconfig; with `frp=true`, the caller's own.", either_kubeconfig, 200),
        route!(GET "/v1/spectroclusters/{uid}/assets/kubeconfigclient", InProject(Resource::Cluster, Verb::Get), "The caller's own kubeconfig: it leads through the plane, as who the caller is, for hours.", own_kubeconfig, 200),
        route!(GET "/v1/spectroclusters/{uid}/assets/frpKubeconfig", InProject(Resource::Cluster, Verb::Get), "The same.", own_kubeconfig, 200),
        route!(GET "/v1/spectroclusters/{uid}/features/backup", InProject(Resource::Cluster, Verb::Get), "Its backups; there are none.", no_backup, 200),
        route!(GET "/v1/spectroclusters/{uid}/features/complianceScan", InProject(Resource::Cluster, Verb::Get), "Its scans; there are none.", no_asset, 200),
        route!(GET "/v1/spectroclusters/{uid}/config/rbacs", InProject(Resource::Cluster, Verb::Get), "Its role bindings; there are none.", nothing, 200: v1::Empty),
        route!(GET "/v1/spectroclusters/{uid}/config/namespaces", InProject(Resource::Cluster, Verb::Get), "Its namespaces; there are none.", nothing, 200: v1::Empty),
        route!(GET "/v1/cloudconfigs/maas/{uid}", InProject(Resource::Cluster, Verb::Get), "A cluster's machines as they should be.", cloud_config, 200: v1::CloudConfig),
        route!(PUT "/v1/cloudconfigs/maas/{uid}/machinePools/{poolName}", InProject(Resource::Cluster, Verb::Update), "Changes a pool, such as its size.", change_pool, takes serde_json::Value, 204),
        route!(GET "/v1/cloudconfigs/maas/{uid}/machinePools/{poolName}/machines", InProject(Resource::Cluster, Verb::Get), "Machines of a pool.", machines, 200: v1::List<v1::Machine>),
    ]
}

async fn create(call: Call) -> Answer {
    let (caller, wanted, now) = (call.caller()?, call.json::<v1::ClusterEntity>()?, Timestamp::now());
    let meta = take::meta(&wanted.metadata, None, now)?;
    let account = accounts::find(&call, caller, &wanted.spec.cloud_account_uid)?;
    let uid = new_uid();
    let mut cluster = Cluster {
        namespace: namespace(&meta.name, &uid),
        meta,
        owner: caller.owner(),
        account: account.id.clone(),
        overlord: account.value.overlord.clone(),
        generation: 1,
        cloud_config: wanted.spec.cloud_config,
        pools: wanted.spec.machine_pool_config,
        extra: wanted.spec.extra,
        profiles: Vec::new(),
        state: State::Pending,
        taken: 0,
        report: None,
        waiting: String::new(),
        timeline: Timeline::default(),
        deleted: None,
    };
    let mut used = Vec::new();
    for one in &wanted.spec.profiles {
        let found = profiles::by_uid(&call, caller, &one.uid)?;
        cluster.profiles.push(profile(one, &found, &cluster, &uid)?);
        used.push(found);
    }
    let infra = cluster.profiles.iter().filter(|one| one.kind != "add-on").count();
    if infra != 1 {
        return Err(ApiError::bad(format!(
            "spec.profiles: one cluster or infra profile, not {infra}, and any number of add-on profiles"
        )));
    }
    verify(&call, &uid, &cluster, &account)?;
    enough(&call, caller, &cluster, &account, &[]).await?;
    cluster.timeline.begin(State::Pending.word(), now);
    let mut batch = caller.batch("cluster.create");
    for found in &used {
        batch = batch.expect::<Profile>(&caller.tenant, &found.id, found.version);
    }
    let batch = batch
        .expect::<CloudAccount>(&caller.tenant, &account.id, account.version)
        .create(&caller.tenant, &uid, &cluster)
        .claim(&caller.tenant, claim::CLUSTER, &unique(&cluster), &uid);
    let revision = call.commit(batch).await?;
    Ok(Reply::Made(uid, revision))
}

async fn read(call: Call) -> Answer {
    let caller = call.caller()?;
    let found = find(&call, caller)?;
    let cluster = &found.value;
    let template = |one: &ClusterProfile| v1::ClusterProfileTemplate {
        uid: one.uid.clone(),
        name: one.name.clone(),
        profile_version: one.version.clone(),
        kind: one.kind.clone(),
        cloud_type: "maas".to_owned(),
        packs: one.packs.iter().map(profiles::shown).collect(),
    };
    let text = |key: &str| cluster.extra.get(key).and_then(Value::as_str).map(str::to_owned);
    let ready = cluster.is_healthy();
    let phases = cluster.timeline.entries().iter().map(|entry| v1::Phase {
        phase: entry.phase.clone(),
        started: entry.started,
        ended: entry.ended,
        detail: entry.detail.clone(),
    });
    Reply::of(&v1::Cluster {
        metadata: meta(caller, &found),
        spec: v1::ClusterSpec {
            cloud_type: "maas".to_owned(),
            cloud_config_ref: v1::ClusterRef {
                kind: "maas".to_owned(),
                name: cluster.meta.name.clone(),
                uid: found.id.clone(),
            },
            cluster_type: text("clusterType").unwrap_or_else(|| "PureManage".to_owned()),
            cluster_profile_templates: cluster.profiles.iter().map(template).collect(),
            cluster_config: cluster.extra.get("clusterConfig").cloned().unwrap_or_else(|| json!({})),
        },
        status: v1::ClusterStatus {
            state: cluster.state.word().to_owned(),
            conditions: vec![v1::ClusterCondition {
                kind: "Ready".to_owned(),
                status: if ready { "True" } else { "False" }.to_owned(),
                reason: cluster.state.word().to_owned(),
                message: cluster.message().to_owned(),
            }],
            spc_apply: v1::SpcApply { can_be_applied: cluster.taken == cluster.generation },
            timeline: phases.collect(),
            endpoint: cluster.report.as_ref().and_then(|report| report.endpoint.clone()),
        },
    })
}

async fn delete(call: Call) -> Answer {
    let caller = call.caller()?;
    let found = find(&call, caller)?;
    caller.may_change(&found.value.owner)?;
    if found.value.deleted.is_some() {
        return Ok(Reply::Empty);
    }
    let now = Timestamp::now();
    let mut changed = found.value.clone();
    changed.generation += 1;
    (changed.deleted, changed.state) = (Some(now), State::Deleting);
    changed.timeline.begin(State::Deleting.word(), now);
    call.commit(caller.batch("cluster.delete").update(&caller.tenant, &found.id, found.version, &changed))
        .await?;
    Ok(Reply::Empty)
}

async fn overview(call: Call) -> Answer {
    let caller = call.caller()?;
    let found = find(&call, caller)?;
    Reply::of(&v1::ClusterOverview { metadata: meta(caller, &found), status: health(&found.value) })
}

async fn search(call: Call) -> Answer {
    let (caller, wanted) = (call.caller()?, call.json::<v1::ClusterSearch>()?);
    let name = name_in(&wanted.filter);
    let all = call.state.store.list::<Cluster>(&caller.tenant);
    let found = all.iter().filter(|one| {
        caller.sees(&one.value.owner)
            && one.value.state != State::Deleted
            && name.as_deref().is_none_or(|name| one.value.meta.name == name)
    });
    let shown =
        found.map(|one| v1::ClusterSummary { metadata: meta(caller, one), status: health(&one.value) });
    lists::part(&call, shown.collect())
}

/// The value that a search wants `clusterName` to be, wherever it stands in the filter.
fn name_in(filter: &Value) -> Option<String> {
    match filter {
        Value::Object(fields) if fields.get("property").and_then(Value::as_str) == Some("clusterName") => {
            let value = filter
                .pointer("/condition/string/match/values/0")
                .or_else(|| filter.pointer("/condition/string/value"));
            value.and_then(Value::as_str).map(str::to_owned)
        }
        Value::Object(fields) => fields.values().find_map(name_in),
        Value::Array(items) => items.iter().find_map(name_in),
        _ => None,
    }
}

async fn kubeconfig(call: Call) -> Answer {
    let caller = call.caller()?;
    let found = find(&call, caller)?;
    let cluster = &found.value;
    let asked = call.state.fleet.kubeconfig(&caller.actor(), &cluster.overlord, &found.id).await;
    match asked {
        Ok(kubeconfig) => Ok(Reply::File(format!("{}.kubeconfig", cluster.meta.name), kubeconfig.text)),
        Err(fleet::AskError::Problem(problem)) if problem.code == ProblemCode::NotFound => {
            Err(ApiError { message: problem.message, ..ApiError::not_found("kubeconfig", &found.id) })
        }
        Err(error) => Err(accounts::refused(error)),
    }
}

async fn either_kubeconfig(call: Call) -> Answer {
    if call.query("frp") == Some("true") { own_kubeconfig(call).await } else { kubeconfig(call).await }
}

async fn own_kubeconfig(call: Call) -> Answer {
    let caller = call.caller()?;
    let found = find(&call, caller)?;
    let cluster = &found.value;
    if cluster.report.as_ref().is_none_or(|report| report.endpoint.is_none()) {
        let message = "the cluster has no API yet: its control plane is not there".to_owned();
        return Err(ApiError { message, ..ApiError::not_found("kubeconfig", &found.id) });
    }
    let text = kubernetes::kubeconfig(&call, caller, &cluster.meta.name, &found.id)?;
    Ok(Reply::File(format!("{}.kubeconfig", cluster.meta.name), text))
}

async fn no_asset(call: Call) -> Answer {
    let found = find(&call, call.caller()?)?;
    Err(ApiError::not_found("such asset of cluster", &found.id))
}

async fn no_backup(call: Call) -> Answer {
    let found = find(&call, call.caller()?)?;
    let message = format!("the cluster {} has no backups", found.value.meta.name);
    Err(ApiError { code: "BackupNotConfigured", message, ..ApiError::not_found("backup of", &found.id) })
}

async fn nothing(call: Call) -> Answer {
    find(&call, call.caller()?)?;
    Reply::of(&v1::Empty::default())
}

async fn cloud_config(call: Call) -> Answer {
    let caller = call.caller()?;
    let found = find(&call, caller)?;
    let cluster = &found.value;
    let account = call.state.store.get::<CloudAccount>(&caller.tenant, &cluster.account);
    Reply::of(&v1::CloudConfig {
        kind: "maas".to_owned(),
        metadata: meta(caller, &found),
        spec: v1::CloudConfigSpec {
            cloud_account_ref: v1::ClusterRef {
                kind: "cloudaccount".to_owned(),
                name: account.map(|account| account.value.meta.name.clone()).unwrap_or_default(),
                uid: cluster.account.clone(),
            },
            cluster_config: cluster.cloud_config.clone(),
            machine_pool_config: cluster.pools.iter().map(shown_pool).collect(),
        },
    })
}

/// `poolConfig` and `cloudConfig` as one, with what clients read without a look.
fn shown_pool(sent: &Value) -> Map<String, Value> {
    let mut shown = Map::new();
    for part in ["poolConfig", "cloudConfig"] {
        shown.extend(sent.get(part).and_then(Value::as_object).cloned().unwrap_or_default());
    }
    shown.entry("instanceType").or_insert_with(|| json!({}));
    shown.entry("minSize").or_insert_with(|| json!(0));
    shown.entry("maxSize").or_insert_with(|| json!(0));
    shown.entry("updateStrategy").or_insert_with(|| json!({ "type": "RollingUpdateScaleOut" }));
    if let Some(Value::Object(network)) = shown.get_mut("network") {
        let parent = network.get("parentPoolUid").cloned().unwrap_or_else(|| json!(""));
        network.entry("parentPoolRef").or_insert_with(|| json!({ "uid": parent }));
    }
    shown
}

async fn change_pool(call: Call) -> Answer {
    let (caller, wanted) = (call.caller()?, call.json::<Value>()?);
    let found = find(&call, caller)?;
    caller.may_change(&found.value.owner)?;
    if found.value.deleted.is_some() {
        return Err(ApiError::conflict("ClusterDeleting", "the cluster is being deleted"));
    }
    let account = call.state.store.get::<CloudAccount>(&caller.tenant, &found.value.account);
    let account = account.ok_or_else(|| ApiError::not_found("cloud account", &found.value.account))?;
    let name = call.capture(1);
    let named = |pool: &Value| pool.pointer("/poolConfig/name").and_then(Value::as_str) == Some(name);
    if !named(&wanted) {
        return Err(ApiError::bad(format!("poolConfig.name: a pool keeps its name, which is {name}")));
    }
    let mut changed = found.value.clone();
    let place = changed.pools.iter_mut().find(|pool| named(pool));
    let place = place.ok_or_else(|| ApiError::not_found("machine pool", name))?;
    let before = size(place);
    *place = wanted;
    if is_control_plane(place) && size(place) < before {
        return Err(ApiError::bad("poolConfig.size: a control plane is not made smaller"));
    }
    changed.generation += 1;
    verify(&call, &found.id, &changed, &account)?;
    enough(&call, caller, &changed, &account, &found.value.pools).await?;
    call.commit(caller.batch("cluster.update").update(&caller.tenant, &found.id, found.version, &changed))
        .await?;
    Ok(Reply::Empty)
}

async fn machines(call: Call) -> Answer {
    let caller = call.caller()?;
    let found = find(&call, caller)?;
    let cluster = &found.value;
    let name = call.capture(1);
    let pool = cluster
        .pools
        .iter()
        .find(|pool| pool.pointer("/poolConfig/name").and_then(Value::as_str) == Some(name));
    let control = is_control_plane(pool.ok_or_else(|| ApiError::not_found("machine pool", name))?);
    let deployment = format!("{}-{name}", cluster.meta.name);
    let of_pool = |machine: &&gateway_protocol::ClusterMachine| {
        if control {
            machine.control_plane
        } else {
            machine.pool == deployment || machine.pool.starts_with(&format!("{deployment}-"))
        }
    };
    let all = cluster.report.iter().flat_map(|report| &report.machines).filter(of_pool);
    let shown = all.map(|one| v1::Machine {
        metadata: v1::Meta { name: one.name.clone(), uid: one.name.clone(), ..v1::Meta::default() },
        status: v1::MachineStatus {
            instance_state: one.phase.clone(),
            ready: one.ready,
            addresses: one.addresses.clone(),
            node: one.node.clone().unwrap_or_default(),
            provider_id: one.provider_id.clone().unwrap_or_default(),
            message: one.message.clone(),
            maintenance_status: json!({ "action": "", "state": "", "message": "" }),
        },
    });
    lists::part(&call, shown.collect())
}

/// A cluster that the caller sees, by the path.
fn find(call: &Call, caller: &Caller) -> Result<Arc<Stored<Cluster>>, ApiError> {
    let uid = call.capture(0);
    let found = call.state.store.get::<Cluster>(&caller.tenant, uid);
    let seen = found.filter(|cluster| caller.sees(&cluster.value.owner));
    seen.ok_or_else(|| ApiError::not_found("cluster", uid))
}

/// Names of the clusters that are of something and not deleted.
pub fn of(call: &Call, caller: &Caller, uses: impl Fn(&Cluster) -> bool) -> Vec<String> {
    let all = call.state.store.list::<Cluster>(&caller.tenant);
    let there = all.iter().filter(|one| one.value.state != State::Deleted && uses(&one.value));
    there.map(|one| one.value.meta.name.clone()).collect()
}

fn meta(caller: &Caller, found: &Stored<Cluster>) -> v1::Meta {
    let mut own = show::whose(caller, &found.value.owner);
    own.push(("overlordUid", found.value.overlord.clone()));
    show::meta(&found.value.meta, &found.id, &own)
}

fn health(cluster: &Cluster) -> v1::ClusterOverviewStatus {
    let state = match cluster.state {
        State::Running if cluster.is_healthy() => "Healthy",
        State::Running => "UnHealthy",
        _ => "Unknown",
    };
    let conditions = match cluster.message() {
        "" => Vec::new(),
        message => vec![v1::Condition { kind: "Ready".to_owned(), message: message.to_owned() }],
    };
    v1::ClusterOverviewStatus {
        state: cluster.state.word().to_owned(),
        health: v1::ClusterHealth { state: state.to_owned(), conditions },
    }
}

/// A profile as a cluster gets it: packs with the cluster's own values, variables resolved.
fn profile(
    wanted: &v1::ClusterProfileRef,
    found: &Stored<Profile>,
    cluster: &Cluster,
    uid: &str,
) -> Result<ClusterProfile, ApiError> {
    let profile = &found.value;
    let name = &profile.meta.name;
    let published = profile
        .published
        .as_ref()
        .ok_or_else(|| ApiError::bad(format!("the profile {name} is not published")))?;
    let mut values: BTreeMap<&str, &str> = BTreeMap::new();
    for variable in &profile.variables {
        let text = |key: &str| variable.get(key).and_then(Value::as_str);
        if let (Some(name), Some(value)) = (text("name"), text("defaultValue")) {
            values.insert(name, value);
        }
    }
    for one in &wanted.variables {
        let known = profile
            .variables
            .iter()
            .any(|variable| variable.get("name").and_then(Value::as_str) == Some(&one.name));
        if !known {
            return Err(ApiError::bad(format!("the profile {name} has no variable {}", one.name)));
        }
        values.insert(&one.name, &one.value);
    }
    let project = match &cluster.owner {
        Owner::Project(uid) => uid.as_str(),
        Owner::Tenant => "",
    };
    let value = |path: &str| match path.split_once('.') {
        Some(("var", name)) => values.get(name).map(|value| (*value).to_owned()),
        Some(("system", "cluster.name")) => Some(cluster.meta.name.clone()),
        Some(("system", "cluster.uid")) => Some(uid.to_owned()),
        Some(("system", "project.uid")) => Some(project.to_owned()),
        Some(("system", "clusterprofile.name")) => Some(name.clone()),
        Some(("system", "clusterprofile.version")) => Some(profile.version.clone()),
        _ => None,
    };
    let mut packs = published.clone();
    for sent in &wanted.pack_values {
        let pack = packs.iter_mut().find(|pack| pack.name == sent.name);
        let pack =
            pack.ok_or_else(|| ApiError::bad(format!("the profile {name} has no pack {}", sent.name)))?;
        overridden(pack, sent);
    }
    for pack in &mut packs {
        let unknown =
            |error: ResolveError| ApiError::bad(format!("pack {} of the profile {name}: {error}", pack.name));
        pack.values = resolve(&pack.values, value).map_err(unknown)?;
        let unknown =
            |error: ResolveError| ApiError::bad(format!("a manifest of the profile {name}: {error}"));
        for manifest in &mut pack.manifests {
            manifest.content = resolve(&manifest.content, value).map_err(unknown)?;
        }
    }
    Ok(ClusterProfile {
        uid: found.id.clone(),
        name: name.clone(),
        version: profile.version.clone(),
        kind: profile.kind.clone(),
        packs,
    })
}

fn overridden(pack: &mut ProfilePack, sent: &v1::PackInput) {
    if !sent.values.is_empty() {
        pack.values.clone_from(&sent.values);
    }
    for manifest in &sent.manifests {
        let there =
            pack.manifests.iter_mut().find(|one| one.uid == manifest.uid || one.name == manifest.name);
        if let Some(there) = there {
            there.content.clone_from(&manifest.content);
        }
    }
}

/// Refuses what no gateway could carry out, in sentences.
fn verify(call: &Call, uid: &str, cluster: &Cluster, account: &Stored<CloudAccount>) -> Result<(), ApiError> {
    let made = order(uid, cluster, &account.value, call.state.fleet.incarnation());
    made.map(drop).map_err(|problems| ApiError::unfit("InvalidCluster", problems.join("; ")))
}

/// Refuses pools that are larger than what is free, where the gateway can tell now; `before` are the pools that the
/// cluster has already.
async fn enough(
    call: &Call,
    caller: &Caller,
    cluster: &Cluster,
    account: &Stored<CloudAccount>,
    before: &[Value],
) -> Result<(), ApiError> {
    let site = accounts::at_site(&account.value);
    let found =
        call.state.fleet.look_up(&caller.actor(), &account.value.overlord, site, What::Machines).await;
    // A site that is away is no reason to refuse: the order waits for it.
    let Ok(Found::Machines(machines)) = found else { return Ok(()) };
    let free: Vec<_> = machines.iter().filter(|machine| machine.free).collect();
    for pool in &cluster.pools {
        let name = pool.pointer("/poolConfig/name").and_then(Value::as_str).unwrap_or_default();
        let had =
            before.iter().find(|one| one.pointer("/poolConfig/name") == pool.pointer("/poolConfig/name"));
        let more = size(pool).saturating_sub(had.map_or(0, size));
        let fit = free.iter().filter(|machine| fits(pool, machine)).count();
        if usize::try_from(more).is_ok_and(|more| more > fit) {
            return Err(ApiError::unfit(
                "InsufficientMachines",
                format!(
                    "pool {name} needs {more} more machines; {fit} of the {} that are free fit it: ask for less of them, or release or add machines",
                    free.len()
                ),
            ));
        }
    }
    let more: u64 = cluster.pools.iter().map(size).sum::<u64>().saturating_sub(before.iter().map(size).sum());
    if usize::try_from(more).is_ok_and(|more| more > free.len()) {
        return Err(ApiError::unfit(
            "InsufficientMachines",
            format!("the cluster needs {more} more machines, and {} are free", free.len()),
        ));
    }
    Ok(())
}

fn fits(pool: &Value, machine: &gateway_protocol::Machine) -> bool {
    let at = |pointer: &str| pool.pointer(pointer);
    let number = |pointer: &str| at(pointer).and_then(Value::as_u64).unwrap_or(0);
    let texts = |pointer: &str| -> Vec<&str> {
        at(pointer).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
    };
    let zones = texts("/cloudConfig/azs");
    let resource_pool = at("/cloudConfig/resourcePool").and_then(Value::as_str).unwrap_or_default();
    machine.cpus >= number("/cloudConfig/instanceType/minCPU")
        && machine.memory_mib >= number("/cloudConfig/instanceType/minMemInMB")
        && (zones.is_empty() || zones.contains(&machine.zone.as_str()))
        && (resource_pool.is_empty() || resource_pool == machine.pool)
        && texts("/cloudConfig/tags").iter().all(|tag| machine.tags.iter().any(|one| one == tag))
}

fn size(pool: &Value) -> u64 {
    pool.pointer("/poolConfig/size").and_then(Value::as_u64).unwrap_or(0)
}

/// A namespace at the site that no other cluster has, of whatever project.
fn namespace(name: &str, uid: &str) -> String {
    let short: String = name.chars().take(40).collect();
    format!("{}-{}", short.trim_end_matches('-'), uid.get(..8).unwrap_or(uid))
}

fn unique(cluster: &Cluster) -> String {
    format!("{}/{}", cluster.owner.word(), cluster.meta.name)
}
