//! What is installed in the Kubernetes API: the modules' manifests, fitted to processes instead of Pods.
//!
//! The modules' own files are written for kustomize, cert-manager and Services. Here the same objects get the same
//! names, labels and permissions, webhooks are called by URL, and each manager is a user with a client certificate
//! instead of a service account.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Map, Value, json};

/// The label by which clusterctl knows the objects of providers.
const CLUSTERCTL: &str = "clusterctl.cluster.x-k8s.io";
/// The label that names an object's provider.
const PROVIDER: &str = "cluster.x-k8s.io/provider";

/// A part of Cluster API that has its own manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Module {
    /// Its folder in the bundle.
    pub folder: &'static str,
    /// Its manager: the program, the process and the user.
    pub manager: &'static str,
    /// Its provider label.
    pub label: &'static str,
    /// Before each name of cluster-wide objects.
    pub prefix: &'static str,
    /// The namespace that clusterctl gives it.
    pub namespace: &'static str,
    /// What clusterctl calls its type.
    pub kind: &'static str,
    /// What clusterctl calls it.
    pub name: &'static str,
    /// The label of roles that its manager gets too, as of providers that are installed later.
    pub aggregate: Option<&'static str>,
    /// Whether its CRDs say which contract their versions keep.
    pub has_contract: bool,
}

/// The modules of the bundle.
pub(crate) const MODULES: [Module; 3] = [
    Module {
        folder: "core",
        manager: "capi-core-manager",
        label: "cluster-api",
        prefix: "capi-",
        namespace: "capi-system",
        kind: "CoreProvider",
        name: "cluster-api",
        aggregate: Some("cluster.x-k8s.io/aggregate-to-manager"),
        has_contract: false,
    },
    Module {
        folder: "bootstrap",
        manager: "capi-kubeadm-bootstrap-manager",
        label: "bootstrap-kubeadm",
        prefix: "capi-kubeadm-bootstrap-",
        namespace: "capi-kubeadm-bootstrap-system",
        kind: "BootstrapProvider",
        name: "kubeadm",
        aggregate: None,
        has_contract: true,
    },
    Module {
        folder: "control-plane",
        manager: "capi-kubeadm-control-plane-manager",
        label: "control-plane-kubeadm",
        prefix: "capi-kubeadm-control-plane-",
        namespace: "capi-kubeadm-control-plane-system",
        kind: "ControlPlaneProvider",
        name: "kubeadm",
        aggregate: Some("kubeadm.controlplane.cluster.x-k8s.io/aggregate-to-manager"),
        has_contract: true,
    },
];

/// Our own provider, by the same scheme.
pub(crate) const MAAS: Module = Module {
    folder: "",
    manager: "provider",
    label: "infrastructure-maas",
    prefix: "capmaas-",
    namespace: "capmaas-system",
    kind: "InfrastructureProvider",
    name: "maas",
    aggregate: None,
    has_contract: false,
};

/// Where a module's webhooks are served.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Webhooks<'a> {
    /// Port on 127.0.0.1.
    pub port: u16,
    /// The authority that signed the serving certificate, PEM.
    pub authority: &'a str,
}

/// Objects to apply, in this order: what the others need comes first.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Objects {
    /// Custom resource definitions.
    pub definitions: Vec<Value>,
    /// Namespaces, roles, bindings.
    pub basics: Vec<Value>,
    /// Webhook configurations.
    pub webhooks: Vec<Value>,
    /// clusterctl's inventory; needs a definition.
    pub inventory: Vec<Value>,
}

/// Fits a module's documents. Kinds that mean nothing without Pods are left out.
pub(crate) fn fit(
    module: &Module,
    documents: Vec<Value>,
    webhooks: Option<Webhooks<'_>>,
    version: &str,
    into: &mut Objects,
) {
    let aggregated = format!("{}aggregated-manager-role", module.prefix);
    for mut document in documents {
        label(&mut document, module);
        match document.get("kind").and_then(Value::as_str) {
            Some("CustomResourceDefinition") => {
                define(&mut document, module, webhooks);
                into.definitions.push(document);
            }
            Some("MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration") => {
                if let Some(webhooks) = webhooks {
                    rename(&mut document, module);
                    for webhook in list(&mut document, "webhooks") {
                        by_url(webhook.get_mut("clientConfig"), webhooks);
                    }
                    into.webhooks.push(document);
                }
            }
            // Aggregated roles are made below.
            Some("ClusterRole") if document.get("aggregationRule").is_none() => {
                rename(&mut document, module);
                let role = name(&document).to_owned();
                if let Some(aggregate) = module.aggregate {
                    set_label(&mut document, aggregate, "true");
                }
                into.basics.push(document);
                into.basics.push(binding(module, &role));
            }
            _ => {}
        }
    }
    if let Some(aggregate) = module.aggregate {
        let mut role = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": aggregated},
            "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {aggregate: "true"}}]},
        });
        label(&mut role, module);
        into.basics.push(role);
        into.basics.push(binding(module, &aggregated));
    }
    into.basics.push(json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": module.namespace, "labels": labels(module)},
    }));
    into.inventory.push(inventory(module, version));
}

/// What does not belong to one module: the definition of clusterctl's inventory, and what
/// kube-controller-manager's few controllers may do under its own name.
pub(crate) fn common(into: &mut Objects) {
    into.definitions.push(json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "providers.clusterctl.cluster.x-k8s.io", "labels": {CLUSTERCTL: "", "clusterctl.cluster.x-k8s.io/core": "inventory"}},
        "spec": {
            "group": "clusterctl.cluster.x-k8s.io",
            "names": {"categories": ["cluster-api"], "kind": "Provider", "listKind": "ProviderList", "plural": "providers", "singular": "provider"},
            "scope": "Namespaced",
            "versions": [{
                "name": "v1alpha3",
                "served": true,
                "storage": true,
                "additionalPrinterColumns": [
                    {"name": "Type", "type": "string", "jsonPath": ".type"},
                    {"name": "Provider", "type": "string", "jsonPath": ".providerName"},
                    {"name": "Version", "type": "string", "jsonPath": ".version"},
                ],
                "schema": {"openAPIV3Schema": {
                    "type": "object",
                    "properties": {
                        "providerName": {"type": "string"},
                        "type": {"type": "string"},
                        "version": {"type": "string"},
                        "watchedNamespace": {"type": "string"},
                    },
                }},
            }],
        },
    }));
    for controller in
        ["generic-garbage-collector", "namespace-controller", "clusterrole-aggregation-controller"]
    {
        into.basics.push(json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": format!("bessemer:{controller}")},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": format!("system:controller:{controller}")},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "system:kube-controller-manager"}],
        }));
    }
}

/// The user that a module's manager is.
pub(crate) fn user(module: &Module) -> String {
    format!("bessemer:{}", module.manager)
}

fn define(definition: &mut Value, module: &Module, webhooks: Option<Webhooks<'_>>) {
    if module.has_contract {
        for contract in ["v1beta1", "v1beta2"] {
            set_label(definition, &format!("cluster.x-k8s.io/{contract}"), contract);
        }
    }
    let versions = definition.pointer("/spec/versions").and_then(Value::as_array).map_or(0, Vec::len);
    let (Some(webhooks), true) = (webhooks, versions > 1) else { return };
    let mut client = json!({"url": "/convert"});
    by_url(Some(&mut client), webhooks);
    if let Some(spec) = definition.get_mut("spec").and_then(Value::as_object_mut) {
        spec.insert(
            "conversion".into(),
            json!({
                "strategy": "Webhook",
                "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": client},
            }),
        );
    }
}

/// Points a webhook's client configuration at the manager's process.
fn by_url(client: Option<&mut Value>, webhooks: Webhooks<'_>) {
    let Some(client) = client else { return };
    let path = client.pointer("/service/path").or_else(|| client.get("url")).and_then(Value::as_str);
    let url = format!("https://127.0.0.1:{}{}", webhooks.port, path.unwrap_or("/"));
    *client = json!({"url": url, "caBundle": BASE64.encode(webhooks.authority)});
}

fn binding(module: &Module, role: &str) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": format!("bessemer:{role}"), "labels": labels(module)},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user(module)}],
    })
}

fn inventory(module: &Module, version: &str) -> Value {
    let mut labels = labels(module);
    labels.insert("clusterctl.cluster.x-k8s.io/core".into(), "inventory".into());
    json!({
        "apiVersion": "clusterctl.cluster.x-k8s.io/v1alpha3",
        "kind": "Provider",
        "metadata": {"name": module.label, "namespace": module.namespace, "labels": labels},
        "providerName": module.name,
        "type": module.kind,
        "version": version,
    })
}

fn labels(module: &Module) -> Map<String, Value> {
    Map::from_iter([(CLUSTERCTL.to_owned(), json!("")), (PROVIDER.to_owned(), json!(module.label))])
}

fn label(document: &mut Value, module: &Module) {
    for (key, value) in labels(module) {
        set_label(document, &key, value.as_str().unwrap_or_default());
    }
}

fn set_label(document: &mut Value, key: &str, value: &str) {
    let Some(metadata) = document.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    let labels = metadata.entry("labels").or_insert_with(|| json!({}));
    if let Some(labels) = labels.as_object_mut() {
        labels.insert(key.to_owned(), value.into());
    }
}

/// An object's name.
pub(crate) fn name(document: &Value) -> &str {
    document.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default()
}

/// Puts the module's prefix before the name, unless it is there.
fn rename(document: &mut Value, module: &Module) {
    if let Some(Value::String(name)) = document.pointer_mut("/metadata/name")
        && !name.starts_with(module.prefix)
    {
        name.insert_str(0, module.prefix);
    }
}

fn list<'a>(document: &'a mut Value, key: &str) -> impl Iterator<Item = &'a mut Value> {
    document.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEBHOOKS: Webhooks<'_> = Webhooks { port: 20_001, authority: "pem" };

    fn fitted(document: Value) -> Objects {
        let mut objects = Objects::default();
        fit(&MODULES[2], vec![document], Some(WEBHOOKS), "v1.14.2", &mut objects);
        objects
    }

    #[test]
    fn webhooks_are_called_by_url() {
        let objects = fitted(json!({
            "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": "validating-webhook-configuration"},
            "webhooks": [{"name": "a", "clientConfig": {"service": {"name": "webhook-service", "namespace": "system", "path": "/validate-it"}}}],
        }));
        let webhook = &objects.webhooks[0];
        assert_eq!(name(webhook), "capi-kubeadm-control-plane-validating-webhook-configuration");
        assert_eq!(
            webhook["webhooks"][0]["clientConfig"],
            json!({"url": "https://127.0.0.1:20001/validate-it", "caBundle": "cGVt"})
        );
    }

    #[test]
    fn definitions_say_their_contract_and_convert_where_there_are_versions_to_convert() {
        let definition = |versions: Value| json!({"kind": "CustomResourceDefinition", "metadata": {"name": "x"}, "spec": {"versions": versions}});
        let two = fitted(definition(json!([{"name": "v1beta1"}, {"name": "v1beta2"}])));
        let labels = &two.definitions[0]["metadata"]["labels"];
        assert_eq!(labels["cluster.x-k8s.io/v1beta2"], "v1beta2");
        assert_eq!(labels[PROVIDER], "control-plane-kubeadm");
        let client = &two.definitions[0]["spec"]["conversion"]["webhook"]["clientConfig"];
        assert_eq!(client["url"], "https://127.0.0.1:20001/convert");
        let one = fitted(definition(json!([{"name": "v1beta2"}])));
        assert_eq!(one.definitions[0]["spec"].get("conversion"), None);
    }

    #[test]
    fn managers_are_users_bound_to_their_roles() {
        let objects = fitted(json!({
            "kind": "ClusterRole", "metadata": {"name": "manager-role"}, "rules": [],
        }));
        let bound: Vec<&Value> = objects
            .basics
            .iter()
            .filter(|o| o["kind"] == "ClusterRoleBinding")
            .map(|o| &o["roleRef"]["name"])
            .collect();
        assert_eq!(
            bound,
            ["capi-kubeadm-control-plane-manager-role", "capi-kubeadm-control-plane-aggregated-manager-role"]
        );
        let role = objects.basics.iter().find(|o| o["rules"].is_array()).unwrap();
        assert_eq!(
            role["metadata"]["labels"]["kubeadm.controlplane.cluster.x-k8s.io/aggregate-to-manager"],
            "true"
        );
        assert!(objects.basics.iter().all(|o| !o.to_string().contains("ServiceAccount")));
    }

    #[test]
    fn what_needs_pods_is_left_out() {
        let objects = fitted(json!({"kind": "Deployment", "metadata": {"name": "controller-manager"}}));
        assert!(objects.definitions.is_empty() && objects.webhooks.is_empty());
        assert!(objects.basics.iter().all(|o| o["kind"] != "Deployment"));
    }
}
