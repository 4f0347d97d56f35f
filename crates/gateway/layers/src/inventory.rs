//! What layers have installed, written down in the cluster: a `ConfigMap` with an entry for each layer.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client, ResourceExt as _,
    api::{Patch, PatchParams, PostParams},
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{Reference, Release};

const NAMESPACE: &str = "kube-system";
const NAME: &str = "bessemer-layers";

/// What a layer has installed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Installed {
    /// Of what was installed as a whole; none while that is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Its objects, those that are to go among them, in the order in which they are applied.
    #[serde(default)]
    pub objects: Vec<Reference>,
    /// Where a chart installed them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<Release>,
    /// How many layers are below it.
    #[serde(default)]
    pub place: usize,
}

/// What all layers of a cluster have installed.
pub struct Inventory {
    api: Api<ConfigMap>,
    entries: BTreeMap<String, Installed>,
}

impl Inventory {
    /// As the cluster has it.
    pub async fn read(client: &Client) -> Result<Self, kube::Error> {
        let api: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
        let there = if let Some(there) = api.get_opt(NAME).await? {
            there
        } else {
            let metadata = kube::api::ObjectMeta { name: Some(NAME.to_owned()), ..Default::default() };
            let empty = ConfigMap { metadata, ..ConfigMap::default() };
            api.create(&PostParams::default(), &empty).await?
        };
        let name = there.name_any();
        let entry = |(layer, text): (String, String)| match serde_json::from_str(&text) {
            Ok(installed) => Some((layer, installed)),
            Err(error) => {
                tracing::warn!(layer, %error, map = name, "an entry of the inventory cannot be read");
                None
            }
        };
        let entries = there.data.unwrap_or_default().into_iter().filter_map(entry).collect();
        Ok(Self { api, entries })
    }

    /// What a layer has installed.
    pub fn get(&self, layer: &str) -> Option<&Installed> {
        self.entries.get(layer)
    }

    /// Layers besides these, the topmost first.
    pub fn others(&self, wanted: &[&str]) -> Vec<(String, Installed)> {
        let mut others: Vec<(String, Installed)> = self
            .entries
            .iter()
            .filter(|(name, _)| !wanted.contains(&name.as_str()))
            .map(|(name, installed)| (name.clone(), installed.clone()))
            .collect();
        others.sort_by_key(|(_, installed)| std::cmp::Reverse(installed.place));
        others
    }

    /// Writes down what a layer has installed, or is about to.
    pub async fn put(&mut self, layer: &str, installed: Installed) -> Result<(), kube::Error> {
        if self.entries.get(layer) == Some(&installed) {
            return Ok(());
        }
        let text = serde_json::to_string(&installed).map_err(kube::Error::SerdeError)?;
        self.patch(json!({ "data": { layer: text } })).await?;
        self.entries.insert(layer.to_owned(), installed);
        Ok(())
    }

    /// Forgets a layer that is gone.
    pub async fn forget(&mut self, layer: &str) -> Result<(), kube::Error> {
        self.patch(json!({ "data": { layer: null } })).await?;
        self.entries.remove(layer);
        Ok(())
    }

    async fn patch(&self, change: serde_json::Value) -> Result<(), kube::Error> {
        self.api.patch(NAME, &PatchParams::default(), &Patch::Merge(change)).await.map(drop)
    }
}
