//! Whether packs make a profile.

use std::{collections::BTreeSet, fmt};

use serde::{Deserialize, Serialize};

use crate::references;

/// What a pack is a layer of; named as Palette names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Layer {
    /// The kernel.
    #[serde(rename = "kernel")]
    Kernel,
    /// The operating system.
    #[serde(rename = "os")]
    Os,
    /// Kubernetes.
    #[serde(rename = "k8s")]
    Kubernetes,
    /// The network plugin.
    #[serde(rename = "cni")]
    Cni,
    /// Storage.
    #[serde(rename = "csi")]
    Csi,
    /// Anything on top.
    #[serde(rename = "addon")]
    Addon,
}

/// What a profile is of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProfileType {
    /// A whole cluster.
    #[default]
    #[serde(rename = "cluster")]
    Cluster,
    /// Operating system, Kubernetes and networks.
    #[serde(rename = "infra")]
    Infra,
    /// What comes on top.
    #[serde(rename = "add-on")]
    Addon,
    /// Palette's own.
    #[serde(rename = "system")]
    System,
}

/// As much of a profile's pack as is checked.
#[derive(Debug, Clone, Copy)]
pub struct Part<'p> {
    /// Its name in the profile.
    pub name: &'p str,
    /// Its layer.
    pub layer: Layer,
    /// Its texts: values and manifests.
    pub texts: &'p [&'p str],
}

/// What is wrong with a profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Two packs of one name.
    Twice(String),
    /// A layer that may be there once only.
    Layers(Layer),
    /// A layer that is needed.
    Missing(Layer),
    /// A layer that add-on profiles have none of.
    Infra(String),
    /// Variables that the profile does not define.
    Undefined(Vec<String>),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Twice(name) => {
                write!(f, "two packs are named {name}: give one of them another name, such as {name}--2")
            }
            Self::Layers(layer) => write!(f, "a profile has one {} layer", layer.name()),
            Self::Missing(layer) => write!(f, "the profile has no {} layer", layer.name()),
            Self::Infra(name) => write!(f, "an add-on profile has add-ons only, and {name} is none"),
            Self::Undefined(names) => write!(f, "the profile defines no variable {}", names.join(", ")),
        }
    }
}

impl Layer {
    /// Palette's name of it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Os => "os",
            Self::Kubernetes => "k8s",
            Self::Cni => "cni",
            Self::Csi => "csi",
            Self::Addon => "addon",
        }
    }
}

/// What is wrong with a profile of these packs and variables.
pub fn check(kind: ProfileType, parts: &[Part<'_>], variables: &BTreeSet<String>) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut names = BTreeSet::new();
    faults.extend(
        parts.iter().filter(|part| !names.insert(part.name)).map(|part| Fault::Twice(part.name.to_owned())),
    );
    let count = |layer| parts.iter().filter(|part| part.layer == layer).count();
    if kind == ProfileType::Addon {
        let infra = parts.iter().filter(|part| part.layer != Layer::Addon);
        faults.extend(infra.map(|part| Fault::Infra(part.name.to_owned())));
    } else {
        for layer in [Layer::Os, Layer::Kubernetes, Layer::Cni] {
            match count(layer) {
                0 => faults.push(Fault::Missing(layer)),
                1 => {}
                _ => faults.push(Fault::Layers(layer)),
            }
        }
    }
    let used = parts.iter().flat_map(|part| part.texts).flat_map(|text| references(text).variables);
    let undefined: BTreeSet<String> = used.filter(|name| !variables.contains(name)).collect();
    if !undefined.is_empty() {
        faults.push(Fault::Undefined(undefined.into_iter().collect()));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part<'p>(name: &'p str, layer: Layer, texts: &'p [&'p str]) -> Part<'p> {
        Part { name, layer, texts }
    }

    #[test]
    fn a_cluster_has_its_layers_once() {
        let all =
            [part("os", Layer::Os, &[]), part("k", Layer::Kubernetes, &[]), part("cni", Layer::Cni, &[])];
        assert_eq!(check(ProfileType::Cluster, &all, &BTreeSet::new()), []);
        assert_eq!(check(ProfileType::Infra, &all[..2], &BTreeSet::new()), [Fault::Missing(Layer::Cni)]);
        let twice = [all[0], all[1], all[2], part("cni", Layer::Cni, &[])];
        let faults = check(ProfileType::Cluster, &twice, &BTreeSet::new());
        assert_eq!(faults, [Fault::Twice("cni".into()), Fault::Layers(Layer::Cni)]);
    }

    #[test]
    fn variables_are_defined_and_addons_are_addons() {
        let texts = ["x: {{.spectro.var.b}}", "{{.spectro.var.a}} {{.spectro.macro.m}}"];
        let all = [part("x", Layer::Addon, &texts), part("os", Layer::Os, &[])];
        let faults = check(ProfileType::Addon, &all, &["a".to_owned()].into());
        assert_eq!(faults, [Fault::Infra("os".into()), Fault::Undefined(vec!["b".into()])]);
    }
}
