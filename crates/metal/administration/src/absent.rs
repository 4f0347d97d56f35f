//! What MAAS has and this region has none of: lists that are empty, as MAAS's are when nothing was made, and refusals
//! to make any.

use serde_json::Value;

use api_call::{
    Answer, ApiError, Call, Reply,
    route::{Resource, restful},
};

/// Names in `describe/`, and paths.
const HOSTS: [(&str, &str); 4] = [
    ("PodsHandler", "pods/"),
    ("VirtualMachinesHandler", "virtual-machines/"),
    ("VmClustersHandler", "vm-clusters/"),
    ("VmHostsHandler", "vm-hosts/"),
];

/// Empty lists, and items that are never found.
pub fn resources() -> Vec<Resource> {
    let mut all: Vec<Resource> = HOSTS
        .into_iter()
        .map(|(name, path)| Resource {
            name,
            path,
            params: &[],
            ops: vec![
                restful!(GET, User, "Lists none: this region has no such thing.", none),
                restful!(POST, Admin, "Not here: this region has no such thing.", no_virtual_machines),
            ],
        })
        .collect();
    all.extend([
        Resource {
            name: "LicenseKeysHandler",
            path: "license-keys/",
            params: &[],
            ops: vec![
                restful!(GET, Admin, "Lists none: this region has no such thing.", none),
                restful!(POST, Admin, "Not here: this region has no such thing.", no_license_keys),
            ],
        },
        Resource {
            name: "LicenseKeyHandler",
            path: "license-key/{osystem}/{distro_series}",
            params: &["osystem", "distro_series"],
            ops: vec![restful!(GET, Admin, "Finds none: this region has no such thing.", no_license_key)],
        },
        Resource {
            name: "PodHandler",
            path: "pods/{id}/",
            params: &["id"],
            ops: vec![restful!(GET, User, "Finds none: this region has no such thing.", no_host)],
        },
        Resource {
            name: "VmHostHandler",
            path: "vm-hosts/{id}/",
            params: &["id"],
            ops: vec![restful!(GET, User, "Finds none: this region has no such thing.", no_host)],
        },
    ]);
    all
}

async fn none(_: Call) -> Answer {
    Ok(Reply::Json(Value::Array(Vec::new())))
}

async fn no_virtual_machines(_: Call) -> Answer {
    let words = "Virtual machines and their hosts are not supported: this region deploys physical machines.";
    Err(ApiError::NotImplemented(words.to_owned()))
}

async fn no_license_keys(_: Call) -> Answer {
    Err(ApiError::NotImplemented("License keys are not supported: no image here needs one.".to_owned()))
}

async fn no_license_key(_: Call) -> Answer {
    Err(ApiError::NotFound("LicenseKey".to_owned()))
}

async fn no_host(_: Call) -> Answer {
    Err(ApiError::NotFound("Pod".to_owned()))
}
