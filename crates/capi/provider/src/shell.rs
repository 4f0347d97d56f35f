//! The controllers: they look, ask the cores, and do the one step that these name.

mod acts;
mod clusters;
mod credentials;
mod machines;
mod workload;

use std::{fmt::Debug, sync::Arc, time::Duration};

use capi_types::{MaasCluster, MaasMachine};
use jiff::SignedDuration;
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{ListParams, Patch, PatchParams},
    core::{NamespaceResourceScope, PartialObjectMeta},
    runtime::{
        controller::Action,
        events::{Event, EventType, Recorder},
    },
};
use serde::{Serialize, de::DeserializeOwned};

pub use clusters::run as run_clusters;
pub use credentials::{CREDENTIALS, Sites};
pub use machines::run as run_machines;

use crate::Trouble;

/// Steps that one look may lead to; more of them are another look's, so that no object keeps the others waiting.
const STEPS: usize = 16;

/// What every reconciliation uses. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    /// The management cluster.
    pub kube: Client,
    /// The MAASes.
    pub sites: Arc<Sites>,
    /// The MAAS of the namespace at hand.
    pub maas: Result<maas_client::Client, Trouble>,
    /// Only objects of this namespace, where given.
    pub namespace: Option<String>,
    /// Writes events.
    pub recorder: Recorder,
}

/// Why a reconciliation could not end well: it is tried again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The management cluster refused or did not answer.
    #[error(transparent)]
    Kube(#[from] kube::Error),
}

/// Why a step was not taken.
enum Failure {
    /// Something to be said in a condition.
    Trouble(Trouble),
    /// The management cluster's; a conflict means that somebody else has changed the object since it was read.
    Kube(kube::Error),
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

impl From<maas_client::Error> for Failure {
    fn from(error: maas_client::Error) -> Self {
        Self::Trouble(error.into())
    }
}

impl From<kube::Error> for Failure {
    fn from(error: kube::Error) -> Self {
        Self::Kube(error)
    }
}

impl Context {
    /// The same for the objects of a namespace: with its MAAS.
    async fn within(&self, namespace: &str) -> Result<Self, kube::Error> {
        Ok(Self { maas: self.sites.of(&self.kube, namespace).await?, ..self.clone() })
    }

    /// The MAAS of the namespace at hand.
    fn maas(&self) -> Result<&maas_client::Client, Trouble> {
        self.maas.as_ref().map_err(Clone::clone)
    }

    /// Objects of a kind in all that is watched; their metadata are all that is kept of them.
    fn watched<K>(&self) -> Api<PartialObjectMeta<K>>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        match &self.namespace {
            Some(namespace) => Api::namespaced(self.kube.clone(), namespace),
            None => Api::all(self.kube.clone()),
        }
    }

    /// As [`Context::watched`], whole.
    fn watched_whole<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        match &self.namespace {
            Some(namespace) => Api::namespaced(self.kube.clone(), namespace),
            None => Api::all(self.kube.clone()),
        }
    }

    /// Reads one object of each kind that the controllers are about, to see that it can be done.
    pub async fn read(&self) -> Result<(), kube::Error> {
        let one = ListParams::default().limit(1);
        self.watched::<MaasCluster>().list(&one).await?;
        self.watched::<MaasMachine>().list(&one).await?;
        Ok(())
    }

    fn api<K>(&self, namespace: &str) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.kube.clone(), namespace)
    }

    /// The object that owns `child`, by an owner reference of its kind.
    async fn owner<K>(&self, child: &impl ResourceExt) -> Result<Option<K>, kube::Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
    {
        let group = |version: &str| version.split('/').next() == Some(&K::group(&()));
        let named = child
            .owner_references()
            .iter()
            .find(|owner| owner.kind == K::kind(&()) && group(&owner.api_version))
            .map(|owner| owner.name.clone());
        match (named, child.namespace()) {
            (Some(name), Some(namespace)) => self.api::<K>(&namespace).get_opt(&name).await,
            _ => Ok(None),
        }
    }

    /// Writes an event; one that cannot be written is only a line in the log.
    async fn tell(
        &self,
        object: &impl Resource<DynamicType = ()>,
        kind: EventType,
        reason: &str,
        note: String,
    ) {
        let event = Event {
            type_: kind,
            reason: reason.to_owned(),
            note: Some(note.chars().take(1000).collect()),
            action: "Reconcile".to_owned(),
            secondary: None,
        };
        if let Err(error) = self.recorder.publish(&event, &object.object_ref(&())).await {
            tracing::debug!(%error, reason, "an event could not be written");
        }
    }
}

/// Writes an object's status, if it is another than `before`.
async fn tell<K, S>(api: &Api<K>, object: &K, before: Option<&S>, status: &S) -> Result<(), kube::Error>
where
    K: Resource + Clone + DeserializeOwned + Debug,
    S: Serialize + PartialEq,
{
    if before == Some(status) {
        return Ok(());
    }
    let patch = Patch::Merge(serde_json::json!({ "status": status }));
    match api.patch_status(&object.name_any(), &PatchParams::default(), &patch).await {
        // It went meanwhile.
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        other => other.map(drop),
    }
}

/// When an object whose reconciliation failed is looked at again.
fn again<K>(_: Arc<K>, error: &Error, _: Arc<Context>) -> Action {
    let Error::Kube(error) = error;
    if is_conflict(error) {
        return Action::requeue(Duration::from_millis(200));
    }
    tracing::warn!(%error, "the management cluster did not answer as it should");
    Action::requeue(Duration::from_secs(5))
}

fn is_conflict(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 409)
}

fn after(time: SignedDuration) -> Action {
    Action::requeue(Duration::try_from(time).unwrap_or(Duration::from_secs(1)))
}
