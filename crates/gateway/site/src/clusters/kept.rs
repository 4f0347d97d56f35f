//! Orders in the engine: custom resources, one for each cluster, named by its id.

use gateway_protocol::Order;
use k8s_openapi::{
    api::core::v1::Secret, apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams},
    core::GroupVersionKind,
};
use secrets::Secret as Hidden;
use serde_json::{Value, json};

/// Who writes, to the API server.
pub(super) const WRITER: &str = "bessemer-gateway";
const GROUP: &str = "gateway.bessemer.local";
const KIND: &str = "SiteCluster";

/// An order with what was done about it.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) order: Order,
    /// The age of the order whose objects were applied last.
    pub(super) applied: Option<(u64, u64)>,
}

fn resource() -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk(GROUP, "v1", KIND))
}

fn api(client: &Client) -> Api<DynamicObject> {
    Api::all_with(client.clone(), &resource())
}

fn apply() -> PatchParams {
    PatchParams::apply(WRITER).force()
}

/// Makes the kind known to the engine.
pub(super) async fn install(client: &Client) -> Result<(), kube::Error> {
    let plural = resource().plural;
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("{plural}.{GROUP}") },
        "spec": {
            "group": GROUP,
            "scope": "Cluster",
            "names": { "kind": KIND, "listKind": format!("{KIND}List"), "plural": plural, "singular": KIND.to_lowercase() },
            "versions": [{
                "name": "v1",
                "served": true,
                "storage": true,
                "subresources": { "status": {} },
                // Its form is checked by who writes and reads it.
                "schema": { "openAPIV3Schema": { "type": "object", "properties": {
                    "spec": { "type": "object", "x-kubernetes-preserve-unknown-fields": true },
                    "status": { "type": "object", "x-kubernetes-preserve-unknown-fields": true },
                } } },
            }],
        },
    });
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let name = format!("{plural}.{GROUP}");
    definitions.patch(&name, &apply(), &Patch::Apply(&definition)).await.map(drop)
}

/// Keeps an order, where it is newer than what is kept; the generation that is kept then.
pub(super) async fn take(client: &Client, order: &Order) -> Result<u64, kube::Error> {
    let (api, name) = (api(client), order.intent.uid.as_str());
    if let Some(there) = api.get_opt(name).await?.as_ref().and_then(read)
        && there.order.age() >= order.age()
    {
        return Ok(there.order.generation);
    }
    let object = json!({
        "apiVersion": format!("{GROUP}/v1"),
        "kind": KIND,
        "metadata": { "name": name },
        "spec": { "order": order },
    });
    api.patch(name, &apply(), &Patch::Apply(&object)).await?;
    Ok(order.generation)
}

/// All of them.
pub(super) async fn all(client: &Client) -> Result<Vec<Kept>, kube::Error> {
    let all = api(client).list(&ListParams::default()).await?;
    Ok(all.items.iter().filter_map(read).collect())
}

fn read(object: &DynamicObject) -> Option<Kept> {
    let order = object.data.pointer("/spec/order").cloned()?;
    let order = match serde_json::from_value(order) {
        Ok(order) => order,
        Err(error) => {
            tracing::error!(cluster = object.name_any(), %error, "an order cannot be read; is the gateway older than its engine?");
            return None;
        }
    };
    let applied = object.data.pointer("/status/applied").cloned();
    Some(Kept { order, applied: applied.and_then(|age| serde_json::from_value(age).ok()) })
}

/// Notes whose objects were applied.
pub(super) async fn applied(client: &Client, order: &Order) -> Result<(), kube::Error> {
    let status = Patch::Merge(json!({ "status": { "applied": order.age() } }));
    api(client).patch_status(&order.intent.uid, &PatchParams::default(), &status).await.map(drop)
}

/// Forgets an order that is carried out.
pub(super) async fn forget(client: &Client, uid: &str) -> Result<(), kube::Error> {
    match api(client).delete(uid, &DeleteParams::default()).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        other => other.map(drop),
    }
}

/// One of them.
pub(super) async fn one(client: &Client, uid: &str) -> Result<Option<Kept>, kube::Error> {
    Ok(api(client).get_opt(uid).await?.as_ref().and_then(read))
}

/// The kubeconfig of a cluster that is kept.
pub(super) async fn kubeconfig(client: &Client, kept: &Kept) -> Result<Option<Hidden>, kube::Error> {
    let intent = &kept.order.intent;
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &intent.namespace);
    let secret = secrets.get_opt(&format!("{}-kubeconfig", intent.name)).await?;
    let value = secret.and_then(|secret| secret.data?.remove("value"));
    Ok(value.and_then(|value| String::from_utf8(value.0).ok()).map(Hidden::new))
}

/// An object of the kind that a value says it is of.
pub(super) fn api_of(client: &Client, object: &Value, namespace: Option<&str>) -> Api<DynamicObject> {
    let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default();
    let (group, version) = text("apiVersion").split_once('/').unwrap_or(("", text("apiVersion")));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, text("kind")));
    match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    }
}
