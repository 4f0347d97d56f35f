//! `MaasMachineTemplate`: what machines of a pool are made from.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::MaasMachineSpec;

/// A template.
#[derive(Debug, Clone, Default, PartialEq, CustomResource, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "infrastructure.cluster.x-k8s.io",
    version = "v1beta1",
    kind = "MaasMachineTemplate",
    plural = "maasmachinetemplates",
    namespaced,
    derive = "Default",
    derive = "PartialEq",
    category = "cluster-api",
    shortname = "maasmt",
    doc = "What MaasMachines of a pool are made from.",
    printcolumn = r#"{"name":"Image","type":"string","jsonPath":".spec.template.spec.image"}"#,
    printcolumn = r#"{"name":"CPU","type":"integer","jsonPath":".spec.template.spec.minCPU"}"#,
    printcolumn = r#"{"name":"Memory","type":"integer","jsonPath":".spec.template.spec.minMemory"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
pub struct MaasMachineTemplateSpec {
    /// It.
    pub template: TemplateBody,
}

/// The body of a template.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TemplateBody {
    /// The spec that each machine gets.
    pub spec: MaasMachineSpec,
}
