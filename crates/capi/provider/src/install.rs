//! What a management cluster needs to have for the provider.

use capi_types::{GROUP, VERSION, crds};
use k8s_openapi::{
    ByteString,
    api::{
        admissionregistration::v1::{
            RuleWithOperations, ServiceReference, ValidatingWebhook, ValidatingWebhookConfiguration,
            WebhookClientConfig,
        },
        rbac::v1::{ClusterRole, PolicyRule},
    },
};
use kube::core::ObjectMeta;
use serde_json::Value;

use crate::webhook::path;

/// Kinds in lower case, and their plurals.
const KINDS: [(&str, &str); 3] = [
    ("maascluster", "maasclusters"),
    ("maasmachine", "maasmachines"),
    ("maasmachinetemplate", "maasmachinetemplates"),
];

/// Where webhooks are reached.
#[derive(Debug, Clone)]
pub enum Reach {
    /// By the Service `capmaas-webhook-service`, as where the provider runs in Pods.
    Service,
    /// By a URL such as `https://127.0.0.1:9443`, as where it is a process of an engine.
    Url {
        /// Without a path.
        base: String,
        /// PEM certificates that the API server trusts for it.
        ca_bundle: Vec<u8>,
    },
}

/// Definitions, role and webhooks, as JSON documents to be applied in this order.
pub fn manifests(reach: &Reach) -> Result<Vec<Value>, serde_json::Error> {
    let definitions = crds().into_iter().map(serde_json::to_value);
    let others = [serde_json::to_value(cluster_role()), serde_json::to_value(webhook_configurations(reach))];
    definitions.chain(others).collect()
}

/// What the provider may do in the management cluster, and no more.
pub fn cluster_role() -> ClusterRole {
    let rule = |group: &str, resources: &[&str], verbs: &[&str]| PolicyRule {
        api_groups: Some(vec![group.to_owned()]),
        resources: Some(texts(resources)),
        verbs: texts(verbs),
        ..PolicyRule::default()
    };
    ClusterRole {
        metadata: named("capmaas-manager-role"),
        rules: Some(vec![
            rule(GROUP, &["maasclusters", "maasmachines"], &["get", "list", "watch", "patch"]),
            rule(GROUP, &["maasclusters/status", "maasmachines/status"], &["patch"]),
            rule(GROUP, &["maasclusters/finalizers", "maasmachines/finalizers"], &["update"]),
            rule("cluster.x-k8s.io", &["clusters", "machines"], &["get", "list", "watch"]),
            // Bootstrap data and kubeconfigs, one by one, by their names: nothing is listed or watched.
            rule("", &["secrets"], &["get"]),
            rule("events.k8s.io", &["events"], &["create", "patch"]),
        ]),
        ..ClusterRole::default()
    }
}

/// Which changes the API server asks the provider about.
pub fn webhook_configurations(reach: &Reach) -> ValidatingWebhookConfiguration {
    let webhooks = KINDS.map(|(kind, plural)| ValidatingWebhook {
        name: format!("v{kind}.kb.io"),
        admission_review_versions: texts(&["v1"]),
        side_effects: "None".to_owned(),
        failure_policy: Some("Fail".to_owned()),
        timeout_seconds: Some(10),
        client_config: client(reach, path(kind)),
        rules: Some(vec![RuleWithOperations {
            api_groups: Some(texts(&[GROUP])),
            api_versions: Some(texts(&[VERSION])),
            operations: Some(texts(&["UPDATE"])),
            resources: Some(texts(&[plural])),
            scope: None,
        }]),
        ..ValidatingWebhook::default()
    });
    ValidatingWebhookConfiguration {
        metadata: named("capmaas-validating-webhook-configuration"),
        webhooks: Some(webhooks.into()),
    }
}

fn client(reach: &Reach, path: String) -> WebhookClientConfig {
    match reach {
        Reach::Service => WebhookClientConfig {
            service: Some(ServiceReference {
                name: "capmaas-webhook-service".to_owned(),
                namespace: "capmaas-system".to_owned(),
                path: Some(path),
                port: None,
            }),
            ..WebhookClientConfig::default()
        },
        Reach::Url { base, ca_bundle } => WebhookClientConfig {
            url: Some(format!("{}{path}", base.trim_end_matches('/'))),
            ca_bundle: Some(ByteString(ca_bundle.clone())),
            service: None,
        },
    }
}

fn named(name: &str) -> ObjectMeta {
    let label = ("cluster.x-k8s.io/provider".to_owned(), "infrastructure-maas".to_owned());
    ObjectMeta { name: Some(name.to_owned()), labels: Some([label].into()), ..ObjectMeta::default() }
}

fn texts(all: &[&str]) -> Vec<String> {
    all.iter().map(|text| (*text).to_owned()).collect()
}
