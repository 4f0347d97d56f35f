//! Objects of whatever kind, by what the cluster says of its kinds.

use std::{collections::HashMap, fmt};

use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject},
    core::GroupVersionKind,
    discovery::{ApiCapabilities, Scope, pinned_kind},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Names an object of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reference {
    /// Group and version.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Namespace; none: it is in none, or its manifest names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
}

/// What a cluster knows of kinds; asked once each.
pub struct Kinds {
    client: Client,
    known: HashMap<(String, String), Option<(ApiResource, ApiCapabilities)>>,
}

impl Reference {
    /// Of an object.
    pub fn of(object: &Value) -> Self {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        Self {
            api_version: text("/apiVersion").unwrap_or_default(),
            kind: text("/kind").unwrap_or_default(),
            namespace: text("/metadata/namespace"),
            name: text("/metadata/name").unwrap_or_default(),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}

impl Kinds {
    /// Nothing is known yet.
    pub fn new(client: &Client) -> Self {
        Self { client: client.clone(), known: HashMap::new() }
    }

    /// Where objects like this one are; none where the cluster does not know the kind.
    pub async fn api(&mut self, of: &Reference) -> Result<Option<Api<DynamicObject>>, kube::Error> {
        let Some((resource, about)) = self.kind(of).await? else { return Ok(None) };
        let client = self.client.clone();
        let namespace = of.namespace.as_deref().unwrap_or("default");
        Ok(Some(match about.scope {
            Scope::Cluster => Api::all_with(client, &resource),
            Scope::Namespaced => Api::namespaced_with(client, namespace, &resource),
        }))
    }

    /// Whether such objects are in namespaces.
    pub async fn is_namespaced(&mut self, of: &Reference) -> Result<bool, kube::Error> {
        Ok(self.kind(of).await?.is_some_and(|(_, about)| about.scope == Scope::Namespaced))
    }

    /// The object, where it is there.
    pub async fn get(&mut self, of: &Reference) -> Result<Option<Value>, kube::Error> {
        let Some(api) = self.api(of).await? else { return Ok(None) };
        let found = api.get_opt(&of.name).await?;
        let Some(object) = found else { return Ok(None) };
        let mut object = serde_json::to_value(object).map_err(kube::Error::SerdeError)?;
        if let Value::Object(fields) = &mut object {
            fields.insert("kind".to_owned(), of.kind.clone().into());
        }
        Ok(Some(object))
    }

    async fn kind(&mut self, of: &Reference) -> Result<Option<(ApiResource, ApiCapabilities)>, kube::Error> {
        let key = (of.api_version.clone(), of.kind.clone());
        if let Some(Some(known)) = self.known.get(&key) {
            return Ok(Some(known.clone()));
        }
        let (group, version) = of.api_version.split_once('/').unwrap_or(("", &of.api_version));
        let kind = GroupVersionKind::gvk(group, version, &of.kind);
        let found = match pinned_kind(&self.client, &kind).await {
            Ok(found) => Some(found),
            // Its definition may be on its way.
            Err(kube::Error::Discovery(_)) => None,
            Err(kube::Error::Api(status)) if status.code == 404 => None,
            Err(error) => return Err(error),
        };
        self.known.insert(key, found.clone());
        Ok(found)
    }
}
