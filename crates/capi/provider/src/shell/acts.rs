//! Machines: taking a step.

use capi_types::{ALLOCATING, MaasMachine};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
    runtime::events::EventType,
};
use maas_client::{Constraints, Deploy, Erase, Error as MaasError, MachineFilter, Release};

use super::{Context, Failure, is_conflict};
use crate::{
    Fate, Trouble,
    fit::Wanted,
    image,
    machine::{Change, Seen, Step},
};

/// What to do after a step.
pub enum Done {
    /// Look what it has come to.
    LookAgain,
    /// Look again later.
    Wait(SignedDuration),
    /// Nothing, ever.
    Over,
}

/// How soon a node is looked for again that has not joined yet.
const NODE: SignedDuration = SignedDuration::from_secs(5);

impl Context {
    /// Takes a step.
    pub(super) async fn act(
        &self,
        api: &Api<MaasMachine>,
        seen: &Seen,
        step: &Step,
        now: Timestamp,
    ) -> Result<Done, Failure> {
        let object = &seen.object;
        match step {
            Step::Leave => return Ok(Done::Over),
            Step::Wait(time) => return Ok(Done::Wait(*time)),
            Step::Record(change) => {
                self.record(api, object, change).await?;
                self.tell_of_failure(seen, change).await;
            }
            Step::Allocate { mark } => self.allocate(api, seen, mark, now).await?,
            Step::Deploy { system_id, mark } => self.deploy(seen, system_id, mark.clone()).await?,
            Step::Release { system_id, failures } => {
                if let Some(times) = failures {
                    self.record(api, object, &Change::release_failed(*times)).await?;
                }
                let comment = format!("{} of Cluster API", object.name_any());
                // Wiped even where it is only allocated: a deployment whose answer was lost may be on its way.
                let how = Release { erase: Erase::Quick, comment: Some(comment) };
                match self.maas()?.release(system_id, &how).await {
                    Ok(_) | Err(MaasError::NotFound { .. }) => {}
                    Err(error) => {
                        let trouble = Trouble::from(error);
                        let message = format!("{system_id} cannot be released: {}", trouble.message);
                        return Err(Trouble { message, ..trouble }.into());
                    }
                }
            }
            Step::MarkBroken { system_id } => {
                let words = "its disks could not be wiped after it was a node of a cluster";
                self.maas()?.mark_broken(system_id, words).await?;
                let note = format!("machine {system_id} could not be wiped: it is marked as broken in MAAS");
                self.tell(object, EventType::Warning, "MachineNotWiped", note).await;
            }
            Step::NameNode { hostname, provider_id } => {
                let named = self.name_node(seen, hostname, provider_id).await;
                if let Err(reason) = named {
                    tracing::debug!(machine = %object.name_any(), %reason, "the node has no provider id yet");
                }
                return Ok(Done::Wait(NODE));
            }
            Step::Finish => {
                self.record(api, object, &Change::no_finalizer(object)).await?;
                if let Some(id) = seen.releasing() {
                    let note = format!("Released instance \"{id}\"");
                    self.tell(object, EventType::Normal, "SuccessfulRelease", note).await;
                }
                return Ok(Done::Over);
            }
        }
        Ok(Done::LookAgain)
    }

    /// By compare-and-swap: whoever read an older object is refused.
    async fn record(
        &self,
        api: &Api<MaasMachine>,
        object: &MaasMachine,
        change: &Change,
    ) -> Result<MaasMachine, kube::Error> {
        api.patch(&object.name_any(), &PatchParams::default(), &Patch::Merge(change.patch(object))).await
    }

    async fn tell_of_failure(&self, seen: &Seen, change: &Change) {
        if let (true, Some(host)) = (change.is_failure(), seen.host()) {
            let note = format!("{}: it is given back, another machine is taken", crate::machine::told(host));
            self.tell(&seen.object, EventType::Warning, "MachineDeployFailed", note).await;
        }
    }

    async fn allocate(
        &self,
        api: &Api<MaasMachine>,
        seen: &Seen,
        mark: &str,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let spec = &seen.object.spec;
        let images = self.maas()?.boot_resources().await?;
        if !image::is_there(&spec.image, &images) {
            let words = image::missing(&spec.image, &images);
            return Err(Trouble::of("ImageNotFound", words, SignedDuration::from_secs(30)).into());
        }
        let wanted = Wanted::of(spec, seen.owner.as_ref());
        let failed = seen.failed_machines();
        let chosen = if failed.is_empty() { None } else { self.another(&wanted, &failed).await? };
        let object = self.record(api, &seen.object, &Change::allocating(now)).await?;
        let asked = Constraints {
            system_id: chosen,
            agent_name: Some(mark.to_owned()),
            comment: Some(format!("{} of Cluster API", seen.object.name_any())),
            ..wanted.constraints()
        };
        let Err(error) = self.maas()?.allocate(&asked).await else { return Ok(()) };
        let no_match = matches!(error, MaasError::NoMatch { .. });
        let trouble = Trouble::from(error);
        if trouble.fate == Fate::Unknown {
            return Err(trouble.into());
        }
        self.forget_allocation(api, object).await?;
        if no_match {
            let words = self.unmatched(&wanted).await?;
            return Err(Trouble { message: words, ..trouble }.into());
        }
        Err(trouble.into())
    }

    /// Notes that MAAS refused what `object` says is begun, also where others change the object at the same time:
    /// otherwise its answer would be awaited as if it was lost.
    async fn forget_allocation(
        &self,
        api: &Api<MaasMachine>,
        mut object: MaasMachine,
    ) -> Result<(), kube::Error> {
        loop {
            match self.record(api, &object, &Change::not_allocating()).await {
                Err(error) if is_conflict(&error) => {}
                other => return other.map(drop),
            }
            match api.get_opt(&object.name_any()).await? {
                Some(newer)
                    if newer.annotations().get(ALLOCATING) == object.annotations().get(ALLOCATING) =>
                {
                    object = newer;
                }
                _ => return Ok(()),
            }
        }
    }

    /// A machine that fits and has not failed; `None` where only those are left that have.
    async fn another(&self, wanted: &Wanted, failed: &[String]) -> Result<Option<String>, Trouble> {
        let ready = self.maas()?.machines(&ready_machines(wanted)).await?;
        Ok(wanted.choose(&ready, failed).map(|machine| machine.system_id.clone()))
    }

    /// Why none matched. The whole list of a large MAAS takes minutes, so it is read only where none is Ready at all.
    async fn unmatched(&self, wanted: &Wanted) -> Result<String, Trouble> {
        let ready = MachineFilter { status: vec!["ready".to_owned()], ..MachineFilter::default() };
        let mut machines = self.maas()?.machines(&ready).await?;
        if machines.is_empty() {
            machines = self.maas()?.machines(&MachineFilter::default()).await?;
        }
        Ok(wanted.unmatched(&machines))
    }

    async fn deploy(&self, seen: &Seen, system_id: &str, mark: Option<String>) -> Result<(), Failure> {
        let user_data = self.bootstrap_data(seen).await?;
        // kubelet refuses swap by default; a key that may not set it, or a MAAS that cannot, is no reason not to go on.
        match self.maas()?.set_swap_size(system_id, 0).await {
            Err(error @ (MaasError::Transport { .. } | MaasError::Unavailable { .. })) => {
                return Err(error.into());
            }
            Err(error) => tracing::info!(system_id, %error, "the machine's swap is left as it is"),
            Ok(_) => {}
        }
        let wanted = Deploy {
            distro_series: Some(image::distro_series(&seen.object.spec.image)),
            user_data: Some(user_data),
            agent_name: mark,
            comment: Some(format!("{} of Cluster API", seen.object.name_any())),
        };
        match self.maas()?.deploy(system_id, &wanted).await {
            Ok(_) => Ok(()),
            Err(error) => {
                let trouble = Trouble::from(error);
                let message = format!("{system_id} cannot be deployed: {}", trouble.message);
                Err(Trouble { reason: "MachineDeployFailed", message, ..trouble }.into())
            }
        }
    }

    async fn bootstrap_data(&self, seen: &Seen) -> Result<Vec<u8>, Failure> {
        let bootstrap = seen.owner.as_ref().and_then(|owner| owner.spec.bootstrap.as_ref());
        let name = bootstrap.and_then(|bootstrap| bootstrap.data_secret_name.as_deref()).unwrap_or_default();
        let secrets: Api<Secret> = self.api(&seen.object.namespace().unwrap_or_default());
        let secret = secrets.get_opt(name).await?;
        let value = secret.and_then(|secret| secret.data?.remove("value"));
        if let Some(value) = value {
            return Ok(value.0);
        }
        let words = format!("the Secret {name} with key 'value' (bootstrap data) is not there");
        self.tell(&seen.object, EventType::Warning, "FailedGetBootstrapData", words.clone()).await;
        Err(Trouble::of("WaitingForBootstrapData", words, SignedDuration::from_secs(10)).into())
    }
}

fn ready_machines(wanted: &Wanted) -> MachineFilter {
    MachineFilter {
        status: vec!["ready".to_owned()],
        zone: wanted.zone.iter().cloned().collect(),
        pool: wanted.pool.iter().cloned().collect(),
        ..MachineFilter::default()
    }
}
