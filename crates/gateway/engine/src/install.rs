//! Installing Cluster API in the engine's Kubernetes API: everything by server-side apply, at each start.

use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use kube::runtime::wait::{await_condition, conditions};
use kube::{Client, ResourceExt as _};
use serde_json::Value;

use crate::EngineError;
use crate::manifests::{Objects, name};

/// The field manager of what the engine applies.
const MANAGER: &str = "bessemer-engine";
/// Requests at a time.
const AT_ONCE: usize = 8;
/// How long the API may take to serve a new kind.
const ESTABLISHED_LIMIT: Duration = Duration::from_secs(30);

/// Applies all objects, and waits until the new kinds are served.
pub(crate) async fn install(client: &Client, objects: &Objects) -> Result<(), EngineError> {
    let first = objects.definitions.iter().chain(&objects.basics).chain(&objects.webhooks);
    apply_all(client, first).await?;
    // Collected, as a stream over closures with borrowed arguments is not `Send`.
    let waits: Vec<_> =
        objects.definitions.iter().map(|definition| established(client, name(definition))).collect();
    stream::iter(waits).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
    apply_all(client, objects.inventory.iter()).await
}

async fn apply_all<'a>(client: &Client, objects: impl Iterator<Item = &'a Value>) -> Result<(), EngineError> {
    let requests: Vec<_> = objects.map(|object| apply(client, object)).collect();
    stream::iter(requests).buffer_unordered(AT_ONCE).try_collect::<()>().await
}

async fn apply(client: &Client, object: &Value) -> Result<(), EngineError> {
    let doing = |what: &str| format!("apply {what}");
    let object: DynamicObject = serde_json::from_value(object.clone())
        .map_err(kube::Error::SerdeError)
        .map_err(EngineError::api(doing("a manifest")))?;
    let name = object.name_any();
    let types = object.types.clone().unwrap_or_default();
    let (group, version) = types.api_version.split_once('/').unwrap_or(("", &types.api_version));
    // All kinds here have regular plurals.
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &types.kind));
    let api: Api<DynamicObject> = match object.namespace() {
        Some(namespace) => Api::namespaced_with(client.clone(), &namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    api.patch(&name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(&object))
        .await
        .map_err(EngineError::api(doing(&format!("{} {name}", types.kind))))?;
    Ok(())
}

async fn established(client: &Client, name: &str) -> Result<(), EngineError> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let wait = await_condition(api, name, conditions::is_crd_established());
    let failed = |source: std::io::Error| {
        EngineError::api(format!("see {name} established"))(kube::Error::Service(source.into()))
    };
    match tokio::time::timeout(ESTABLISHED_LIMIT, wait).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(failed(std::io::Error::other(error))),
        Err(late) => Err(failed(late.into())),
    }
}
