//! Machine pools of clusters: read, added, changed, taken away.

use std::sync::Arc;

use gateway_protocol::{ClusterMachine, Found, What};
use plane_client::v1;
use plane_model::{CloudAccount, Cluster, is_control_plane};
use serde_json::{Map, Value, json};
use store::Stored;

use super::{
    accounts,
    clusters::{find, meta, verify, written},
};
use crate::{
    call::{Call, Caller},
    lists,
    reply::{Answer, ApiError, Reply},
    route::{Access::InProject, Resource, Route, Verb, route},
};

pub fn routes() -> Vec<Route> {
    vec![
        route!(GET "/v1/cloudconfigs/maas/{uid}", InProject(Resource::Cluster, Verb::Get), "A cluster's machines as they should be.", cloud_config, 200: v1::CloudConfig),
        route!(POST "/v1/cloudconfigs/maas/{uid}/machinePools", InProject(Resource::Cluster, Verb::Update), "Adds a pool of workers.", add, takes serde_json::Value, 201: v1::Uid),
        route!(PUT "/v1/cloudconfigs/maas/{uid}/machinePools/{poolName}", InProject(Resource::Cluster, Verb::Update), "Changes a pool, such as its size.", update, takes serde_json::Value, 204),
        route!(DELETE "/v1/cloudconfigs/maas/{uid}/machinePools/{poolName}", InProject(Resource::Cluster, Verb::Update), "Takes a pool of workers away; its machines are drained, wiped and given back.", remove, 204),
        route!(GET "/v1/cloudconfigs/maas/{uid}/machinePools/{poolName}/machines", InProject(Resource::Cluster, Verb::Get), "Machines of a pool.", machines, 200: v1::List<v1::Machine>),
    ]
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

async fn add(call: Call) -> Answer {
    let (caller, wanted) = (call.caller()?, call.json::<Value>()?);
    let found = find(&call, caller)?;
    let name = name(&wanted).to_owned();
    if is_control_plane(&wanted) {
        return Err(ApiError::bad("poolConfig: a cluster has one control plane; add pools of workers"));
    }
    if found.value.pools.iter().any(|pool| self::name(pool) == name) {
        return Err(ApiError::conflict("ResourceAlreadyExists", format!("there is a pool {name} already")));
    }
    let mut pools = found.value.pools.clone();
    pools.push(wanted);
    let revision = change(&call, caller, &found, pools).await?;
    Ok(Reply::Made(name, revision))
}

async fn update(call: Call) -> Answer {
    let (caller, wanted) = (call.caller()?, call.json::<Value>()?);
    let found = find(&call, caller)?;
    let there = call.capture(1);
    if name(&wanted) != there {
        return Err(ApiError::bad(format!("poolConfig.name: a pool keeps its name, which is {there}")));
    }
    let mut pools = found.value.pools.clone();
    let place = pools.iter_mut().find(|pool| name(pool) == there);
    let place = place.ok_or_else(|| ApiError::not_found("machine pool", there))?;
    let before = std::mem::replace(place, wanted);
    if is_control_plane(place) != is_control_plane(&before) {
        return Err(ApiError::bad("poolConfig.isControlPlane: a pool keeps its role"));
    }
    if is_control_plane(place) && size(place) < size(&before) {
        return Err(ApiError::bad("poolConfig.size: a control plane is not made smaller"));
    }
    change(&call, caller, &found, pools).await?;
    Ok(Reply::Empty)
}

async fn remove(call: Call) -> Answer {
    let caller = call.caller()?;
    let found = find(&call, caller)?;
    let gone = call.capture(1);
    let mut pools = found.value.pools.clone();
    let pool = pools.iter().find(|pool| name(pool) == gone);
    if is_control_plane(pool.ok_or_else(|| ApiError::not_found("machine pool", gone))?) {
        return Err(ApiError::bad("a cluster keeps its control plane: delete the cluster instead"));
    }
    pools.retain(|pool| name(pool) != gone);
    change(&call, caller, &found, pools).await?;
    Ok(Reply::Empty)
}

/// Records that a cluster is to have these pools, where it can; the revision of the batch.
async fn change(
    call: &Call,
    caller: &Caller,
    found: &Arc<Stored<Cluster>>,
    pools: Vec<Value>,
) -> Result<u64, ApiError> {
    caller.may_change(&found.value.owner)?;
    if found.value.deleted.is_some() {
        return Err(ApiError::conflict("ClusterDeleting", "the cluster is being deleted"));
    }
    let account = call.state.store.get::<CloudAccount>(&caller.tenant, &found.value.account);
    let account = account.ok_or_else(|| ApiError::not_found("cloud account", &found.value.account))?;
    let mut changed = found.value.clone();
    changed.pools = pools;
    changed.generation += 1;
    verify(call, &found.id, &changed, &account)?;
    enough(call, caller, &changed, &account, &found.value.pools).await?;
    let batch = caller.batch("cluster.update");
    call.commit(written(call, caller, batch, (&found.id, Some(found)), &changed)).await
}

async fn machines(call: Call) -> Answer {
    let caller = call.caller()?;
    let found = find(&call, caller)?;
    let cluster = &found.value;
    let wanted = call.capture(1);
    let pool = cluster.pools.iter().find(|pool| name(pool) == wanted);
    let control = is_control_plane(pool.ok_or_else(|| ApiError::not_found("machine pool", wanted))?);
    let deployment = format!("{}-{wanted}", cluster.meta.name);
    let of_pool = |machine: &&ClusterMachine| {
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

/// Refuses pools that are larger than what is free, where the gateway can tell now; `before` are the pools that the
/// cluster has already.
pub async fn enough(
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

fn name(pool: &Value) -> &str {
    pool.pointer("/poolConfig/name").and_then(Value::as_str).unwrap_or_default()
}
