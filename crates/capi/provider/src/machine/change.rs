//! Changes of a `MaasMachine` that are written by compare-and-swap.

use std::collections::BTreeMap;

use capi_types::{
    AGENT_NAME, ALLOCATING, FAILED_MACHINES, MACHINE_FINALIZER, MaasMachine, RELEASE_FAILURES, RELEASING,
};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// What is to be changed in an object; what is not named stays.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Change {
    annotations: BTreeMap<&'static str, Option<String>>,
    finalizers: Option<Vec<String>>,
    spec: Map<String, Value>,
}

impl Change {
    /// The object is kept until its machine is given back.
    pub fn finalizer(object: &MaasMachine) -> Self {
        let mut all = object.metadata.finalizers.clone().unwrap_or_default();
        all.push(MACHINE_FINALIZER.to_owned());
        Self { finalizers: Some(all), ..Self::default() }
    }

    /// The object may go.
    pub fn no_finalizer(object: &MaasMachine) -> Self {
        let mut all = object.metadata.finalizers.clone().unwrap_or_default();
        all.retain(|finalizer| finalizer != MACHINE_FINALIZER);
        Self { finalizers: Some(all), ..Self::default() }
    }

    /// The object's mark in MAAS.
    pub fn mark(mark: String) -> Self {
        Self::default().annotated(AGENT_NAME, Some(mark))
    }

    /// An allocation is begun.
    pub fn allocating(now: Timestamp) -> Self {
        Self::default().annotated(ALLOCATING, Some(now.to_string()))
    }

    /// No allocation is under way: MAAS refused it.
    pub fn not_allocating() -> Self {
        Self::default().annotated(ALLOCATING, None)
    }

    /// This machine is the object's.
    pub fn taken(system_id: &str) -> Self {
        Self::not_allocating().set("systemID", json!(system_id))
    }

    /// The object has no machine any more.
    pub fn lost() -> Self {
        Self::default().set("systemID", Value::Null)
    }

    /// The object's machine failed to deploy: it is given back, and is the last to be taken again.
    pub fn failed(system_id: &str, failed: &[String]) -> Self {
        let mut all: Vec<&str> = failed.iter().map(String::as_str).filter(|id| *id != system_id).collect();
        all.push(system_id);
        Self::releasing(system_id)
            .annotated(FAILED_MACHINES, Some(all.join(",")))
            .set("systemID", Value::Null)
    }

    /// A machine is to be given back.
    pub fn releasing(system_id: &str) -> Self {
        Self::default().annotated(RELEASING, Some(system_id.to_owned())).annotated(RELEASE_FAILURES, None)
    }

    /// It failed once more.
    pub fn release_failed(times: u32) -> Self {
        Self::default().annotated(RELEASE_FAILURES, Some(times.to_string()))
    }

    /// It is given back.
    pub fn released() -> Self {
        Self::default().annotated(RELEASING, None).annotated(RELEASE_FAILURES, None)
    }

    /// What the node and the object are known by, once and for all.
    pub fn provider_id(provider_id: &str, zone: &str) -> Self {
        let change = Self::default().set("providerID", json!(provider_id));
        if zone.is_empty() { change } else { change.set("failureDomain", json!(zone)) }
    }

    /// Whether it gives up on a machine that failed to deploy.
    pub fn is_failure(&self) -> bool {
        self.annotations.contains_key(FAILED_MACHINES)
    }

    fn annotated(mut self, key: &'static str, value: Option<String>) -> Self {
        self.annotations.insert(key, value);
        self
    }

    fn set(mut self, key: &str, value: Value) -> Self {
        self.spec.insert(key.to_owned(), value);
        self
    }

    /// As a JSON merge patch that is refused if `object` is not the newest any more.
    pub fn patch(&self, object: &MaasMachine) -> Value {
        let mut metadata = Map::new();
        if let Some(version) = &object.metadata.resource_version {
            metadata.insert("resourceVersion".to_owned(), json!(version));
        }
        if !self.annotations.is_empty() {
            metadata.insert("annotations".to_owned(), json!(self.annotations));
        }
        if let Some(finalizers) = &self.finalizers {
            metadata.insert("finalizers".to_owned(), json!(finalizers));
        }
        let mut patch = Map::from_iter([("metadata".to_owned(), Value::Object(metadata))]);
        if !self.spec.is_empty() {
            patch.insert("spec".to_owned(), Value::Object(self.spec.clone()));
        }
        Value::Object(patch)
    }
}
