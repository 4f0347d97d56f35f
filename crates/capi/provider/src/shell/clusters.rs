//! Clusters: looking, taking a step, and telling.

use std::sync::Arc;

use capi_types::{
    MaasCluster, MaasMachine,
    core::{CLUSTER_NAME_LABEL, Cluster},
};
use futures_util::{FutureExt, StreamExt, future::join_all};
use jiff::{SignedDuration, Timestamp};
use kube::{
    Api, ResourceExt,
    api::{ListParams, Patch, PatchParams},
    core::PartialObjectMeta,
    runtime::{
        Controller,
        controller::Action,
        reflector::{ObjectRef, Store},
        watcher,
    },
};
use maas_client::DnsResourceForm;
use tokio::sync::watch;

use super::{
    Context, Error, Failure, STEPS, acts::Done, after, again, is_conflict, tell, workload::is_ready,
};
use crate::cluster::{self, ControlPlane, Look, Record, Seen, Step, control_planes, fqdn, plan};

type Meta = PartialObjectMeta<MaasCluster>;

/// Seconds that resolvers keep an address of an API server.
const TTL: u32 = 10;

/// Reconciles clusters until told to stop.
pub async fn run(context: Arc<Context>, mut stop: watch::Receiver<bool>) {
    let controller = Controller::new(context.watched::<MaasCluster>(), watcher::Config::default());
    let store = controller.store();
    controller
        .watches(context.watched_whole::<Cluster>(), watcher::Config::default(), |cluster| {
            let infrastructure = cluster.spec.infrastructure_ref.as_ref()?;
            let namespace = cluster.namespace()?;
            (infrastructure.kind == "MaasCluster")
                .then(|| ObjectRef::<Meta>::new(&infrastructure.name).within(&namespace))
        })
        .watches(context.watched::<MaasMachine>(), watcher::Config::default(), move |machine| {
            of_machine(&store, &machine)
        })
        .graceful_shutdown_on(async move { stop.wait_for(|stop| *stop).map(drop).await })
        .run(reconcile, again, context)
        .for_each(|_| std::future::ready(()))
        .await;
}

fn of_machine(store: &Store<Meta>, machine: &PartialObjectMeta<MaasMachine>) -> Vec<ObjectRef<Meta>> {
    let Some(cluster) = machine.labels().get(CLUSTER_NAME_LABEL) else { return Vec::new() };
    let all = store.state_filter(|object: &Meta| {
        object.metadata.namespace == machine.metadata.namespace
            && object.owner_references().iter().any(|owner| owner.kind == "Cluster" && owner.name == *cluster)
    });
    all.iter().map(|object| ObjectRef::from_obj(object.as_ref())).collect()
}

async fn reconcile(meta: Arc<Meta>, context: Arc<Context>) -> Result<Action, Error> {
    let (name, namespace) = (meta.name_any(), meta.namespace().unwrap_or_default());
    let context = context.within(&namespace).await?;
    let api: Api<MaasCluster> = context.api(&namespace);
    for _ in 0..STEPS {
        let Some(object) = api.get_opt(&name).await? else { return Ok(Action::await_change()) };
        let seen = look(&context, object).await?;
        let now = Timestamp::now();
        let plan = plan(&seen);
        if plan.step == Step::Leave {
            if cluster::is_paused(&seen.object, seen.owner.as_ref()) {
                tell(&api, &seen.object, seen.object.status.as_ref(), &cluster::status(&seen, None, now))
                    .await?;
            }
            return Ok(Action::await_change());
        }
        if plan.verdict.is_some() {
            tell(
                &api,
                &seen.object,
                seen.object.status.as_ref(),
                &cluster::status(&seen, plan.verdict.as_ref(), now),
            )
            .await?;
        }
        match act(&context, &api, &seen, &plan.step).await {
            Ok(Done::LookAgain) => {}
            Ok(Done::Wait(time)) => return Ok(after(time)),
            Ok(Done::Over) => return Ok(Action::await_change()),
            Err(Failure::Kube(error)) if is_conflict(&error) => {}
            Err(Failure::Kube(error)) => return Err(error.into()),
            Err(Failure::Trouble(trouble)) => {
                tracing::info!(cluster = %name, %namespace, reason = trouble.reason, "{}", trouble.message);
                let verdict =
                    crate::conditions::Verdict { reason: "LoadBalancerFailed", ..trouble.verdict() };
                tell(
                    &api,
                    &seen.object,
                    seen.object.status.as_ref(),
                    &cluster::status(&seen, Some(&verdict), now),
                )
                .await?;
                return Ok(after(trouble.retry));
            }
        }
    }
    Ok(after(SignedDuration::from_secs(1)))
}

async fn look(context: &Context, object: MaasCluster) -> Result<Seen, kube::Error> {
    let namespace = object.namespace().unwrap_or_default();
    let owner: Option<Cluster> = context.owner(&object).await?;
    let labelled = object.labels().get(CLUSTER_NAME_LABEL).cloned();
    let machines = match owner.as_ref().map(Cluster::name_any).or(labelled) {
        Some(cluster) => {
            let of_cluster = ListParams::default().labels(&format!("{CLUSTER_NAME_LABEL}={cluster}"));
            context.api::<MaasMachine>(&namespace).list(&of_cluster).await?.items
        }
        None => Vec::new(),
    };
    let mut seen = Seen { object, owner, machines, dns: Look::NotAsked, answering: Vec::new() };
    if cluster::is_paused(&seen.object, seen.owner.as_ref()) || cluster::is_left_alone(&seen.object) {
        return Ok(seen);
    }
    if let Some(name) = fqdn(&seen.object, seen.owner.as_ref()) {
        let asked = match context.maas() {
            Ok(maas) => maas.dns_resources(Some(&name)).await,
            Err(trouble) => {
                seen.dns = Look::Failed(trouble);
                return Ok(seen);
            }
        };
        seen.dns = match asked {
            Ok(all) => Look::Told(all.into_iter().filter(|one| one.id >= 0).map(record).collect()),
            Err(error) => Look::Failed(explained(error, &seen.object.spec.dns_domain)),
        };
    }
    if seen.object.metadata.deletion_timestamp.is_none() {
        seen.answering = answering(context, &seen, &namespace).await?;
    }
    Ok(seen)
}

fn record(resource: maas_client::DnsResource) -> Record {
    let addresses = resource.ip_addresses.into_iter().filter_map(|address| address.ip).collect();
    Record { id: resource.id, addresses }
}

fn explained(error: maas_client::Error, domain: &str) -> crate::Trouble {
    let unknown = matches!(error, maas_client::Error::NotFound { .. });
    let trouble = crate::Trouble::from(error);
    if !unknown {
        return trouble;
    }
    let message =
        format!("MAAS has no DNS domain '{domain}': make it in MAAS, or name another in spec.dnsDomain");
    crate::Trouble { message, ..trouble }
}

/// Which control planes answer, by a look at each.
async fn answering(context: &Context, seen: &Seen, namespace: &str) -> Result<Vec<String>, kube::Error> {
    let Some(owner) = &seen.owner else { return Ok(Vec::new()) };
    let candidates: Vec<String> = control_planes(&seen.machines, &[])
        .into_iter()
        .filter(ControlPlane::is_running)
        .filter_map(|one| one.address)
        .collect();
    if candidates.is_empty() {
        return Ok(Vec::new());
    }
    let Some(config) = context.workload(namespace, &owner.name_any()).await? else { return Ok(Vec::new()) };
    let port = cluster::port(&seen.object, owner);
    let looks = candidates.iter().map(|address| is_ready(&config, address, port));
    let answers = join_all(looks).await;
    Ok(candidates
        .iter()
        .zip(answers)
        .filter(|(_, answers)| *answers)
        .map(|(address, _)| address.clone())
        .collect())
}

async fn act(context: &Context, api: &Api<MaasCluster>, seen: &Seen, step: &Step) -> Result<Done, Failure> {
    let record = async |change: &cluster::Change| {
        let patch = Patch::Merge(change.patch(&seen.object));
        api.patch(&seen.object.name_any(), &PatchParams::default(), &patch).await.map(drop)
    };
    match step {
        Step::Leave => return Ok(Done::Over),
        Step::Wait(time) => return Ok(Done::Wait(*time)),
        Step::Record(change) => record(change).await?,
        Step::CreateName(fqdn) => {
            let wanted = DnsResourceForm {
                fqdn: Some(fqdn.clone()),
                address_ttl: Some(TTL),
                ip_addresses: Some(Vec::new()),
            };
            let made = context.maas()?.create_dns_resource(&wanted).await;
            made.map_err(|error| explained(error, &seen.object.spec.dns_domain))?;
        }
        Step::SetAddresses { id, addresses } => {
            let wanted =
                DnsResourceForm { ip_addresses: Some(addresses.clone()), ..DnsResourceForm::default() };
            context.maas()?.update_dns_resource(*id, &wanted).await?;
        }
        Step::DeleteName(id) => match context.maas()?.delete_dns_resource(*id).await {
            Ok(()) | Err(maas_client::Error::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        },
        Step::Finish => {
            record(&cluster::Change::End).await?;
            return Ok(Done::Over);
        }
    }
    Ok(Done::LookAgain)
}
