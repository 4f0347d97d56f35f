//! The packs that are always there.

use crate::{BuiltInChart, Layer};

/// Id of the registry that they are in.
pub const REGISTRY: &str = "5eed00000000000000000001";
/// Its name: Palette's clients fall back to it.
pub const REGISTRY_NAME: &str = "Public Repo";

/// A pack that is always there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pack {
    /// Its id.
    pub uid: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Its name for people.
    pub display_name: &'static str,
    /// What it is a layer of.
    pub layer: Layer,
    /// Of which kind an add-on is.
    pub addon_type: &'static str,
    /// Its version; Kubernetes' is the one of the bundle.
    pub version: &'static str,
    /// What profiles begin with.
    pub values: &'static str,
    /// Where its contents are.
    pub contents: Contents,
}

/// Where a pack's contents are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contents {
    /// It is in the machines' image, or says how they are made.
    Image,
    /// In the bundle of every site, under this name.
    Bundle(&'static str),
    /// A chart.
    Chart(BuiltInChart),
}

/// All of them.
pub const BUILT_IN: [Pack; 4] = [
    Pack {
        uid: "5eed00000000000000000101",
        name: "debian-maas",
        display_name: "Debian (MAAS)",
        layer: Layer::Os,
        addon_type: "",
        version: "12",
        values: "# The image that machines are deployed with: what the site has for this Kubernetes.\n# image: custom/debian-12-kubernetes-1.36.3\n",
        contents: Contents::Image,
    },
    Pack {
        uid: "5eed00000000000000000102",
        name: "kubernetes",
        display_name: "Kubernetes",
        layer: Layer::Kubernetes,
        addon_type: "",
        version: "1.36.3",
        values: "pack:\n  podCIDR: 10.244.0.0/16\n  serviceClusterIpRange: 10.96.0.0/16\n",
        contents: Contents::Image,
    },
    Pack {
        uid: "5eed00000000000000000103",
        name: "cni-bessemer",
        display_name: "Bessemer CNI",
        layer: Layer::Cni,
        addon_type: "",
        version: "1.0.0",
        values: "# It takes the networks of the Kubernetes layer.\n",
        contents: Contents::Bundle("cni"),
    },
    Pack {
        uid: "5eed00000000000000000104",
        name: "hello",
        display_name: "Hello",
        layer: Layer::Addon,
        addon_type: "app services",
        version: "1.0.0",
        values: "pack:\n  namespace: hello\n# charts:\n#   hello:\n#     replicas: 2\n",
        contents: Contents::Chart(BuiltInChart::Hello),
    },
];

/// The pack with this id.
pub fn by_uid(uid: &str) -> Option<&'static Pack> {
    BUILT_IN.iter().find(|pack| pack.uid == uid)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ids_are_unlike_and_look_like_ids() {
        let all: BTreeSet<_> = BUILT_IN.iter().map(|pack| pack.uid).chain([REGISTRY]).collect();
        assert_eq!(all.len(), BUILT_IN.len() + 1);
        assert!(all.iter().all(|uid| uid.len() == 24 && uid.bytes().all(|byte| byte.is_ascii_hexdigit())));
        assert_eq!(by_uid(BUILT_IN[2].uid), Some(&BUILT_IN[2]));
    }
}
