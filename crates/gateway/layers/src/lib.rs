//! What is installed in a cluster, layer by layer.
//!
//! A layer is manifests, which are applied by server-side apply, or a Helm chart, which helm installs. [`bring`] takes
//! a cluster one step closer to the layers that it should have and says how each stands. A layer is installed once all
//! those below it are healthy. What a layer has no more is deleted, and so is a layer that is wanted no more.
//!
//! What a layer has installed is written down in the cluster itself, before it is installed ([`inventory`]): whoever
//! goes on after a crash, or from another place, knows what is there. A step may be cut off anywhere and taken again.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)
)]

mod chart;
mod health;
mod inventory;
mod kinds;
mod manifests;

use gateway_protocol::{ClusterLayer, LayerState};
use sha2::{Digest as _, Sha256};

pub use chart::{Chart, Helm, HelmError};
pub use health::{Health, health};

use chart::Release;
use inventory::{Installed, Inventory};
use kinds::{Kinds, Reference};

/// Something that is to be installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Unique in the cluster: a DNS label.
    pub name: String,
    /// What it is.
    pub content: Content,
}

/// What a layer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// YAML documents that are Kubernetes objects; namespaced ones name their namespace.
    Manifests(String),
    /// A Helm chart.
    Chart(Chart),
}

/// A cluster, with what layers are brought there.
#[derive(Clone)]
pub struct Cluster {
    /// Its API, with an administrator's credentials.
    pub client: kube::Client,
    /// The same for charts.
    pub helm: Helm,
}

/// Takes a cluster one step closer to the layers that it should have, the lowest first; how each stands.
///
/// # Errors
/// Where the cluster's API does not answer. What it refuses is the standing of a layer.
pub async fn bring(cluster: &Cluster, wanted: &[Layer]) -> Result<Vec<ClusterLayer>, kube::Error> {
    let mut inventory = Inventory::read(&cluster.client).await?;
    let mut kinds = Kinds::new(&cluster.client);
    let mut standings = Vec::new();
    let mut below: Option<&str> = None;
    for (place, layer) in wanted.iter().enumerate() {
        let mut step = Step { cluster, inventory: &mut inventory, kinds: &mut kinds, layer, place };
        let (state, message) = match below {
            Some(name) if !step.is_installed() => (LayerState::Waiting, format!("waits for layer {name}")),
            _ => step.take().await?,
        };
        if state != LayerState::Ready && below.is_none() {
            below = Some(&layer.name);
        }
        standings.push(ClusterLayer { name: layer.name.clone(), state, message });
    }
    let names: Vec<&str> = wanted.iter().map(|layer| layer.name.as_str()).collect();
    for (name, installed) in inventory.others(&names) {
        match take_away(cluster, &mut kinds, &installed).await? {
            Ok(()) => inventory.forget(&name).await?,
            Err(why) => tracing::warn!(layer = name, why, "a layer cannot be taken away"),
        }
    }
    Ok(standings)
}

/// The next step of one layer.
struct Step<'s> {
    cluster: &'s Cluster,
    inventory: &'s mut Inventory,
    kinds: &'s mut Kinds,
    layer: &'s Layer,
    place: usize,
}

impl Step<'_> {
    /// Whether all of it was installed, as it is now.
    fn is_installed(&self) -> bool {
        let digest = self.layer.digest();
        self.inventory.get(&self.layer.name).is_some_and(|there| there.digest.as_ref() == Some(&digest))
    }

    async fn take(&mut self) -> Result<(LayerState, String), kube::Error> {
        if !self.is_installed() {
            let done = match &self.layer.content {
                Content::Manifests(text) => self.apply(text).await?,
                Content::Chart(chart) => self.install(chart).await?,
            };
            if let Err(why) = done {
                return Ok((LayerState::Failed, why));
            }
        }
        self.look().await
    }

    async fn apply(&mut self, text: &str) -> Result<Result<(), String>, kube::Error> {
        let objects = match manifests::read(text) {
            Ok(objects) => objects,
            Err(why) => return Ok(Err(why)),
        };
        let mut before = self.there();
        if let Some(release) = before.release.take() {
            // It was a chart.
            if let Err(error) = self.cluster.helm.uninstall(&release).await {
                return Ok(Err(error.to_string()));
            }
            before.objects.clear();
        }
        let wanted: Vec<Reference> = objects.iter().map(Reference::of).collect();
        let gone: Vec<Reference> =
            before.objects.iter().filter(|one| !wanted.contains(one)).cloned().collect();
        let (digest, place) = (Some(self.layer.digest()), self.place);
        let all = wanted.iter().chain(&gone).cloned().collect();
        self.note(Installed { digest: None, objects: all, release: None, place }).await?;
        if let Err(why) = manifests::apply(self.kinds, &objects).await? {
            return Ok(Err(why));
        }
        if let Err(why) = manifests::delete(self.kinds, &gone).await? {
            return Ok(Err(why));
        }
        self.note(Installed { digest, objects: wanted, release: None, place }).await.map(Ok)
    }

    async fn install(&mut self, chart: &Chart) -> Result<Result<(), String>, kube::Error> {
        let before = self.there();
        let release = Release { name: chart.release.clone(), namespace: chart.namespace.clone() };
        if before.release.as_ref() != Some(&release) {
            // It was something else.
            if let Err(why) = take_away(self.cluster, self.kinds, &before).await? {
                return Ok(Err(why));
            }
        }
        let objects = if before.release.as_ref() == Some(&release) { before.objects } else { Vec::new() };
        let place = self.place;
        let note = |digest, objects| Installed { digest, objects, release: Some(release.clone()), place };
        self.note(note(None, objects)).await?;
        let manifest = match self.cluster.helm.install(chart, &release).await {
            Ok(manifest) => manifest,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let objects = match manifests::read(&manifest) {
            Ok(objects) => objects,
            Err(why) => return Ok(Err(why)),
        };
        let mut references = Vec::new();
        for object in &objects {
            let mut reference = Reference::of(object);
            if reference.namespace.is_none() && self.kinds.is_namespaced(&reference).await? {
                reference.namespace = Some(release.namespace.clone());
            }
            references.push(reference);
        }
        self.note(note(Some(self.layer.digest()), references)).await.map(Ok)
    }

    /// How all of it does.
    async fn look(&mut self) -> Result<(LayerState, String), kube::Error> {
        let installed = self.there();
        let mut coming = None;
        for reference in &installed.objects {
            let Some(object) = self.kinds.get(reference).await? else {
                // Somebody deleted it: the next step installs the layer again.
                self.note(Installed { digest: None, ..installed.clone() }).await?;
                return Ok((LayerState::Installing, format!("{reference} is not there")));
            };
            match health(&object) {
                Health::Good => {}
                Health::Coming(why) => {
                    coming.get_or_insert(format!("{reference}: {why}"));
                }
                Health::Bad(why) => return Ok((LayerState::Failed, format!("{reference}: {why}"))),
            }
        }
        Ok(coming.map_or((LayerState::Ready, String::new()), |why| (LayerState::Installing, why)))
    }

    fn there(&self) -> Installed {
        self.inventory.get(&self.layer.name).cloned().unwrap_or_default()
    }

    async fn note(&mut self, installed: Installed) -> Result<(), kube::Error> {
        self.inventory.put(&self.layer.name, installed).await
    }
}

async fn take_away(
    cluster: &Cluster,
    kinds: &mut Kinds,
    installed: &Installed,
) -> Result<Result<(), String>, kube::Error> {
    match &installed.release {
        Some(release) => {
            Ok(cluster.helm.uninstall(release).await.map_err(|error: HelmError| error.to_string()))
        }
        None => manifests::delete(kinds, &installed.objects).await,
    }
}

impl Layer {
    /// Of all that it is.
    fn digest(&self) -> String {
        let mut digest = Sha256::new();
        let mut part = |text: &str| {
            digest.update((text.len() as u64).to_le_bytes());
            digest.update(text);
        };
        match &self.content {
            Content::Manifests(text) => part(text),
            Content::Chart(chart) => {
                for text in [&chart.digest, &chart.release, &chart.namespace, &chart.values] {
                    part(text);
                }
            }
        }
        hex::encode(digest.finalize())
    }
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("helm", &self.helm).finish_non_exhaustive()
    }
}
