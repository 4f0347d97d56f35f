//! What the values of the lower layers say.

use serde::Deserialize;

/// As much of the Kubernetes layer's values as is understood.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks {
    /// Addresses of pods, such as `10.244.0.0/16`.
    pub pods: Option<String>,
    /// Addresses of Services.
    pub services: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Values {
    image: Option<String>,
    pack: Pack,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Pack {
    #[serde(rename = "podCIDR")]
    pod_cidr: Option<String>,
    service_cluster_ip_range: Option<String>,
}

/// Why values could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("its values are no YAML that is understood: {0}")]
pub struct ValuesError(pub(crate) String);

/// The networks that the Kubernetes layer's values name.
///
/// # Errors
/// [`ValuesError`]
pub fn networks(values: &str) -> Result<Networks, ValuesError> {
    let pack = read(values)?.pack;
    Ok(Networks { pods: pack.pod_cidr, services: pack.service_cluster_ip_range })
}

/// The MAAS image that the operating system layer's values name; else the one that the site builds for this version
/// of Kubernetes.
///
/// # Errors
/// [`ValuesError`]
pub fn image(values: &str, kubernetes: &str) -> Result<String, ValuesError> {
    let usual = || format!("custom/debian-12-kubernetes-{}", kubernetes.trim_start_matches('v'));
    Ok(read(values)?.image.unwrap_or_else(usual))
}

fn read(values: &str) -> Result<Values, ValuesError> {
    let read: Option<Values> =
        serde_yaml_ng::from_str(values).map_err(|error| ValuesError(error.to_string()))?;
    Ok(read.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BUILT_IN;

    #[test]
    fn what_the_built_in_packs_begin_with_is_understood() {
        let [os, kubernetes, ..] = BUILT_IN;
        assert_eq!(image(os.values, "v1.36.3").unwrap(), "custom/debian-12-kubernetes-1.36.3");
        assert_eq!(networks(kubernetes.values).unwrap().pods.unwrap(), "10.244.0.0/16");
    }

    #[test]
    fn values_of_ones_own() {
        assert_eq!(
            image("image: custom/mine-1.36.3 # ours\nother: {}\n", "1.36.3").unwrap(),
            "custom/mine-1.36.3"
        );
        assert_eq!(networks("").unwrap(), Networks::default());
        assert!(networks("pack: [").is_err());
    }
}
