//! Clusters: made, read, changed, deleted. What is wanted is recorded; gateways carry it out.

use std::{collections::BTreeMap, sync::Arc};

use ::packs::{ResolveError, resolve};
use fleet::{layer_of, order};
use gateway_protocol::{LayerState, ProblemCode};
use jiff::Timestamp;
use plane_client::v1;
use plane_model::{
    CloudAccount, Cluster, ClusterProfile, Owner, Profile, ProfilePack, State, claim, new_uid, record,
};
use reconcile::Timeline;
use serde_json::{Value, json};
use store::{Batch, Stored};

use super::{accounts, pools, profiles, show, take};
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
    pools::enough(&call, caller, &cluster, &account, &[]).await?;
    cluster.timeline.begin(State::Pending.word(), now);
    let mut batch = caller.batch("cluster.create");
    for found in &used {
        batch = batch.expect::<Profile>(&caller.tenant, &found.id, found.version);
    }
    let batch = batch.expect::<CloudAccount>(&caller.tenant, &account.id, account.version).claim(
        &caller.tenant,
        claim::CLUSTER,
        &unique(&cluster),
        &uid,
    );
    let batch = written(&call, caller, batch, (&uid, None), &cluster);
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
            packs: packs(cluster),
            timeline: phases.collect(),
            endpoint: cluster.report.as_ref().and_then(|report| report.endpoint.clone()),
        },
    })
}

/// How the packs stand whose layers the gateway has told of.
fn packs(cluster: &Cluster) -> Vec<v1::PackStatus> {
    let layers = cluster.report.as_ref().map(|report| report.layers.as_slice()).unwrap_or_default();
    let all =
        cluster.profiles.iter().flat_map(|profile| profile.packs.iter().map(move |pack| (profile, pack)));
    let shown = all.filter_map(|(profile, pack)| {
        let layer = layer_of(pack).and_then(|name| layers.iter().find(|layer| layer.name == name))?;
        let reason = match layer.state {
            LayerState::Waiting => "Waiting",
            LayerState::Installing => "Installing",
            LayerState::Ready => "Ready",
            LayerState::Failed => "Failed",
        };
        Some(v1::PackStatus {
            name: pack.name.clone(),
            kind: pack.kind.clone(),
            version: pack.tag.clone(),
            profile_uid: profile.uid.clone(),
            condition: v1::ClusterCondition {
                kind: "Ready".to_owned(),
                status: if layer.state == LayerState::Ready { "True" } else { "False" }.to_owned(),
                reason: reason.to_owned(),
                message: layer.message.clone(),
            },
        })
    });
    shown.collect()
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
    call.commit(written(&call, caller, caller.batch("cluster.delete"), (&found.id, Some(&found)), &changed))
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

/// Adds a cluster's change to a batch of the caller's.
pub fn written(
    call: &Call,
    caller: &Caller,
    batch: Batch,
    place: (&str, Option<&Stored<Cluster>>),
    after: &Cluster,
) -> Batch {
    let (store, by) = (&call.state.store, caller.principal());
    record(store, batch, &caller.tenant, place, after, &by, Timestamp::now())
}

/// A cluster that the caller sees, by the path.
pub fn find(call: &Call, caller: &Caller) -> Result<Arc<Stored<Cluster>>, ApiError> {
    by_uid(call, caller, call.capture(0))
}

/// A cluster that the caller sees.
pub fn by_uid(call: &Call, caller: &Caller, uid: &str) -> Result<Arc<Stored<Cluster>>, ApiError> {
    let found = call.state.store.get::<Cluster>(&caller.tenant, uid);
    let seen = found.filter(|cluster| caller.sees(&cluster.value.owner));
    seen.ok_or_else(|| ApiError::not_found("cluster", uid))
}

/// Has every cluster of an account ordered again: its orders carry the account's endpoint and key.
pub fn ordered_anew(call: &Call, caller: &Caller, account: &str, mut batch: Batch) -> Batch {
    for one in call.state.store.list::<Cluster>(&caller.tenant) {
        if one.value.account == account && one.value.state != State::Deleted {
            let changed = Cluster { generation: one.value.generation + 1, ..one.value.clone() };
            batch = written(call, caller, batch, (&one.id, Some(&one)), &changed);
        }
    }
    batch
}

/// Names of the clusters that are of something and not deleted.
pub fn of(call: &Call, caller: &Caller, uses: impl Fn(&Cluster) -> bool) -> Vec<String> {
    let all = call.state.store.list::<Cluster>(&caller.tenant);
    let there = all.iter().filter(|one| one.value.state != State::Deleted && uses(&one.value));
    there.map(|one| one.value.meta.name.clone()).collect()
}

pub fn meta(caller: &Caller, found: &Stored<Cluster>) -> v1::Meta {
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
pub fn verify(
    call: &Call,
    uid: &str,
    cluster: &Cluster,
    account: &Stored<CloudAccount>,
) -> Result<(), ApiError> {
    let made = order(uid, cluster, &account.value, call.state.fleet.incarnation());
    made.map(drop).map_err(|problems| ApiError::unfit("InvalidCluster", problems.join("; ")))
}

/// A namespace at the site that no other cluster has, of whatever project.
fn namespace(name: &str, uid: &str) -> String {
    let short: String = name.chars().take(40).collect();
    format!("{}-{}", short.trim_end_matches('-'), uid.get(..8).unwrap_or(uid))
}

fn unique(cluster: &Cluster) -> String {
    format!("{}/{}", cluster.owner.word(), cluster.meta.name)
}
