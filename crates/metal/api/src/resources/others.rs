//! What MAAS has and this region has none of: lists that are empty, as MAAS's are when nothing was made.

use serde_json::json;

use api_call::{
    Answer, ApiError, Call, Reply,
    route::{Resource, restful},
};

const EMPTY: [(&str, &str); 12] = [
    ("DevicesHandler", "devices/"),
    ("DHCPSnippetsHandler", "dhcp-snippets/"),
    ("FilesHandler", "files/"),
    ("LicenseKeysHandler", "license-keys/"),
    ("NetworksHandler", "networks/"),
    ("NotificationsHandler", "notifications/"),
    ("PackageRepositoriesHandler", "package-repositories/"),
    ("PodsHandler", "pods/"),
    ("VmHostsHandler", "vm-hosts/"),
    ("VmClustersHandler", "vm-clusters/"),
    ("VirtualMachinesHandler", "virtual-machines/"),
    ("SSLKeysHandler", "account/prefs/sslkeys/"),
];

/// Empty lists.
pub fn resources() -> Vec<Resource> {
    let mut all: Vec<Resource> = EMPTY
        .into_iter()
        .map(|(name, path)| Resource {
            name,
            path,
            params: &[],
            ops: vec![restful!(GET, User, "Lists none: this is not supported yet.", none)],
        })
        .collect();
    all.extend([
        Resource {
            name: "DeviceHandler",
            path: "devices/{system_id}/",
            params: &["system_id"],
            ops: vec![restful!(GET, User, "Finds none: this is not supported yet.", no_device)],
        },
        Resource {
            name: "DHCPSnippetHandler",
            path: "dhcp-snippets/{id}/",
            params: &["id"],
            ops: vec![restful!(GET, User, "Finds none: this is not supported yet.", no_snippet)],
        },
        // MAAS refuses these to everybody but administrators, with words of their own.
        Resource {
            name: "BootSourcesHandler",
            path: "boot-sources/",
            params: &[],
            ops: vec![restful!(GET, Anonymous, "Lists none: images are uploaded.", boot_sources)],
        },
        Resource {
            name: "BootSourceHandler",
            path: "boot-sources/{id}/",
            params: &["id"],
            ops: vec![restful!(GET, Anonymous, "Finds none: images are uploaded.", no_boot_source)],
        },
        Resource {
            name: "BootSourceSelectionsHandler",
            path: "boot-sources/{boot_source_id}/selections/",
            params: &["boot_source_id"],
            ops: vec![restful!(GET, Anonymous, "Finds none: images are uploaded.", no_boot_source)],
        },
        Resource {
            name: "CommissioningResultsHandler",
            path: "commissioning-results/",
            params: &[],
            ops: vec![restful!(GET, User, "Lists none: see the results of a machine.", none)],
        },
        Resource {
            name: "InstallationResultsHandler",
            path: "installation-results/",
            params: &[],
            ops: vec![restful!(GET, User, "Lists none: see the results of a machine.", none)],
        },
    ]);
    all
}

async fn none(_: Call) -> Answer {
    Ok(Reply::Json(json!([])))
}

async fn no_device(_: Call) -> Answer {
    Err(ApiError::NotFound("Device".to_owned()))
}

async fn no_snippet(_: Call) -> Answer {
    Err(ApiError::NotFound("DHCPSnippet".to_owned()))
}

fn sources_allowed(call: &Call) -> Result<(), ApiError> {
    if call.admin() {
        Ok(())
    } else {
        Err(ApiError::Forbidden("User is not allowed access to this API.".to_owned()))
    }
}

async fn boot_sources(call: Call) -> Answer {
    sources_allowed(&call)?;
    none(call).await
}

async fn no_boot_source(call: Call) -> Answer {
    sources_allowed(&call)?;
    Err(ApiError::NotFound("BootSource".to_owned()))
}
