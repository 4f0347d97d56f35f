//! The clusters that are made: whether their API servers answer, and the provider ids of their nodes.

use std::time::Duration;

use axum::http;
use capi_types::core::Cluster;
use k8s_openapi::api::core::v1::{Node, Secret};
use kube::{
    Api, Client, Config, ResourceExt,
    api::{ListParams, Patch, PatchParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::json;

use super::Context;
use crate::machine::Seen;

/// Longest time for one answer of a cluster that may not be there.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why a cluster's own API cannot be used now; nothing to be alarmed about while it is being made.
#[derive(Debug, thiserror::Error)]
pub enum Unreached {
    /// Its kubeconfig is not there yet, or cannot be used.
    #[error("the Secret {0}-kubeconfig is not there yet or holds no usable kubeconfig")]
    NoKubeconfig(String),
    /// It did not answer, or refused.
    #[error(transparent)]
    Api(#[from] kube::Error),
    /// The machine has not joined yet.
    #[error("no node is called {0}")]
    NoNode(String),
    /// It has another id, and that is for good.
    #[error("node {node} has the provider id {found}, which cannot be changed")]
    OtherId {
        /// The node.
        node: String,
        /// Its id.
        found: String,
    },
}

impl Context {
    /// How a cluster's API is reached; `None` while it has no kubeconfig.
    pub(super) async fn workload(
        &self,
        namespace: &str,
        cluster: &str,
    ) -> Result<Option<Config>, kube::Error> {
        let name = format!("{cluster}-kubeconfig");
        let secret = self.api::<Secret>(namespace).get_opt(&name).await?;
        let value = secret.and_then(|secret| secret.data?.remove("value"));
        let text = value.and_then(|value| String::from_utf8(value.0).ok());
        let Some(kubeconfig) = text.and_then(|text| Kubeconfig::from_yaml(&text).ok()) else {
            return Ok(None);
        };
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.ok();
        Ok(config.map(|mut config| {
            config.connect_timeout = Some(PATIENCE);
            config.read_timeout = Some(PATIENCE);
            config.write_timeout = Some(PATIENCE);
            config
        }))
    }

    /// Gives the object's node its provider id, unless it has it.
    pub(super) async fn name_node(
        &self,
        seen: &Seen,
        hostname: &str,
        provider_id: &str,
    ) -> Result<(), Unreached> {
        let cluster = seen.cluster.as_ref().map(Cluster::name_any).unwrap_or_default();
        let namespace = seen.object.namespace().unwrap_or_default();
        let config = self.workload(&namespace, &cluster).await?.ok_or(Unreached::NoKubeconfig(cluster))?;
        let nodes: Api<Node> = Api::all(Client::try_from(config)?);
        let node = find(&nodes, hostname).await?.ok_or_else(|| Unreached::NoNode(hostname.to_owned()))?;
        match node.spec.as_ref().and_then(|spec| spec.provider_id.clone()).filter(|id| !id.is_empty()) {
            Some(found) if found == provider_id => Ok(()),
            Some(found) => Err(Unreached::OtherId { node: node.name_any(), found }),
            None => {
                let patch = Patch::Merge(json!({ "spec": { "providerID": provider_id } }));
                nodes.patch(&node.name_any(), &PatchParams::default(), &patch).await?;
                Ok(())
            }
        }
    }
}

/// Whether the API server at an address answers `/readyz`, by the certificates of its cluster.
pub async fn is_ready(config: &Config, address: &str, port: i32) -> bool {
    let host = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
    let Ok(url) = format!("https://{host}:{port}").parse() else { return false };
    let mut config = config.clone();
    // Its certificate holds for the cluster's name, whichever of the machines answers.
    config.tls_server_name = config.tls_server_name.or_else(|| config.cluster_url.host().map(str::to_owned));
    config.cluster_url = url;
    let (Ok(client), Ok(request)) =
        (Client::try_from(config), http::Request::get("/readyz").body(Vec::new()))
    else {
        return false;
    };
    matches!(tokio::time::timeout(PATIENCE, client.request_text(request)).await, Ok(Ok(_)))
}

/// By the host's name, its first part, or as the first part of a node's.
async fn find(nodes: &Api<Node>, hostname: &str) -> Result<Option<Node>, kube::Error> {
    let hostname = hostname.to_lowercase();
    let short = hostname.split('.').next().unwrap_or_default();
    for name in [hostname.as_str(), short] {
        if let Some(node) = nodes.get_opt(name).await? {
            return Ok(Some(node));
        }
    }
    let prefix = format!("{hostname}.");
    let all = nodes.list(&ListParams::default()).await?;
    Ok(all.into_iter().find(|node| node.name_any().to_lowercase().starts_with(&prefix)))
}
