//! Machines: looking, and telling.

use std::sync::Arc;

use capi_types::{
    CLUSTER_UID, MaasCluster, MaasMachine,
    core::{CLUSTER_NAME_LABEL, Cluster, Machine},
};
use futures_util::{FutureExt, StreamExt};
use jiff::Timestamp;
use kube::{
    Api, ResourceExt,
    core::PartialObjectMeta,
    runtime::{
        Controller,
        controller::Action,
        reflector::{ObjectRef, Store},
        watcher,
    },
};
use maas_client::MachineFilter;
use tokio::sync::watch;

use super::{Context, Error, Failure, STEPS, acts::Done, after, again, is_conflict, tell};
use crate::{
    Trouble,
    machine::{self, Host, Look, Seen, Step, plan},
};

type Meta = PartialObjectMeta<MaasMachine>;

/// Reconciles machines until told to stop.
pub async fn run(context: Arc<Context>, mut stop: watch::Receiver<bool>) {
    let controller = Controller::new(context.watched::<MaasMachine>(), watcher::Config::default());
    let store = controller.store();
    controller
        .watches(context.watched_whole::<Machine>(), watcher::Config::default(), |machine| {
            let infrastructure = machine.spec.infrastructure_ref.as_ref()?;
            let namespace = machine.namespace()?;
            (infrastructure.kind == "MaasMachine")
                .then(|| ObjectRef::<Meta>::new(&infrastructure.name).within(&namespace))
        })
        .watches(context.watched_whole::<Cluster>(), watcher::Config::default(), move |cluster| {
            of_cluster(&store, &cluster)
        })
        .graceful_shutdown_on(async move { stop.wait_for(|stop| *stop).map(drop).await })
        .run(reconcile, again, context)
        .for_each(|_| std::future::ready(()))
        .await;
}

fn of_cluster(store: &Store<Meta>, cluster: &Cluster) -> Vec<ObjectRef<Meta>> {
    let (name, namespace) = (cluster.metadata.name.as_deref(), cluster.metadata.namespace.as_deref());
    let all = store.state_filter(|machine: &Meta| {
        machine.metadata.namespace.as_deref() == namespace
            && machine.labels().get(CLUSTER_NAME_LABEL).map(String::as_str) == name
    });
    all.iter().map(|machine| ObjectRef::from_obj(machine.as_ref())).collect()
}

async fn reconcile(meta: Arc<Meta>, context: Arc<Context>) -> Result<Action, Error> {
    let (name, namespace) = (meta.name_any(), meta.namespace().unwrap_or_default());
    let context = context.within(&namespace).await?;
    let api: Api<MaasMachine> = context.api(&namespace);
    for _ in 0..STEPS {
        let Some(object) = api.get_opt(&name).await? else { return Ok(Action::await_change()) };
        let seen = look(&context, object).await?;
        let now = Timestamp::now();
        let plan = plan(&seen, now);
        let taken = match &plan.step {
            Step::Leave => {
                // Said even of what is left alone: that it is paused.
                if seen.paused() {
                    tell(&api, &seen.object, seen.object.status.as_ref(), &machine::status(&seen, None, now))
                        .await?;
                }
                return Ok(Action::await_change());
            }
            step => {
                if plan.verdict.is_some() {
                    tell(
                        &api,
                        &seen.object,
                        seen.object.status.as_ref(),
                        &machine::status(&seen, plan.verdict.as_ref(), now),
                    )
                    .await?;
                }
                context.act(&api, &seen, step, now).await
            }
        };
        match taken {
            Ok(Done::LookAgain) => {}
            Ok(Done::Wait(time)) => return Ok(after(time)),
            Ok(Done::Over) => return Ok(Action::await_change()),
            Err(Failure::Kube(error)) if is_conflict(&error) => {}
            Err(Failure::Kube(error)) => return Err(error.into()),
            Err(Failure::Trouble(trouble)) => {
                tracing::info!(machine = %name, %namespace, reason = trouble.reason, "{}", trouble.message);
                tell(&api, &seen.object, seen.object.status.as_ref(), &machine::failed(&seen, &trouble, now))
                    .await?;
                return Ok(after(trouble.retry));
            }
        }
    }
    Ok(after(jiff::SignedDuration::from_secs(1)))
}

async fn look(context: &Context, object: MaasMachine) -> Result<Seen, kube::Error> {
    let namespace = object.namespace().unwrap_or_default();
    let owner: Option<Machine> = context.owner(&object).await?;
    let cluster =
        match owner.as_ref().map(|owner| owner.spec.cluster_name.as_str()).or(machine::cluster_name(&object))
        {
            Some(name) if !name.is_empty() => context.api::<Cluster>(&namespace).get_opt(name).await?,
            _ => None,
        };
    let infrastructure = cluster.as_ref().and_then(|cluster| cluster.spec.infrastructure_ref.as_ref());
    let maas_cluster = match infrastructure {
        Some(reference) if reference.kind == "MaasCluster" => {
            context.api::<MaasCluster>(&namespace).get_opt(&reference.name).await?
        }
        _ => None,
    };
    let annotation = |cluster: &MaasCluster| cluster.annotations().get(CLUSTER_UID).cloned();
    let network = maas_cluster.as_ref().and_then(|cluster| cluster.status.as_ref()?.network.as_ref());
    let mut seen = Seen {
        dns: network.map(|network| network.addresses.clone()).unwrap_or_default(),
        cluster_uid: maas_cluster.as_ref().and_then(annotation),
        object,
        owner,
        cluster,
        maas: Look::Told { marked: Vec::new(), named: None },
    };
    if !seen.paused() {
        seen.maas = ask(context, &seen).await.unwrap_or_else(Look::Failed);
    }
    Ok(seen)
}

/// What MAAS has under the object's mark, and the machine that it names or is giving back.
async fn ask(context: &Context, seen: &Seen) -> Result<Look, Trouble> {
    let maas = context.maas()?;
    let mut marked = Vec::new();
    if let Some(mark) = seen.mark() {
        let filter = MachineFilter { agent_name: Some(mark.to_owned()), ..MachineFilter::default() };
        marked = maas.machines(&filter).await?.into_iter().map(Host::from).collect();
    }
    let named = match seen.releasing().or(seen.system_id()) {
        None => None,
        Some(id) => match marked.iter().find(|host| host.system_id == id) {
            Some(host) => Some(host.clone()),
            None => match maas.machine(id).await {
                Ok(machine) => Some(machine.into()),
                Err(maas_client::Error::NotFound { .. }) => None,
                Err(other) => return Err(other.into()),
            },
        },
    };
    Ok(Look::Told { marked, named })
}
