//! The region itself as rack and region controller.

use model::{BootResource, Domain, SCOPE, Setting, Zone};
use serde_json::{Map, Value, json};

use api_call::{
    Answer, ApiError, Call, Reply,
    route::{Resource, named, restful},
};
use render::{
    HARDWARE,
    network::{self, CONTROLLER, put},
};

/// Rack and region controllers: one of each, the region.
pub fn resources() -> Vec<Resource> {
    vec![
        Resource {
            name: "RackControllersHandler",
            path: "rackcontrollers/",
            params: &[],
            ops: vec![
                restful!(GET, User, "Lists the rack controllers: the region.", racks),
                named!(
                    GET,
                    "describe_power_types",
                    User,
                    "Describes the power types with their parameters.",
                    power_types
                ),
                named!(
                    POST,
                    "import_boot_images",
                    Admin,
                    "Answers as MAAS does; the region has its images.",
                    import_all
                ),
            ],
        },
        Resource {
            name: "RackControllerHandler",
            path: "rackcontrollers/{system_id}/",
            params: &["system_id"],
            ops: vec![
                restful!(GET, User, "Reads a rack controller.", rack),
                named!(GET, "list_boot_images", Admin, "Lists the images of a rack controller.", boot_images),
                named!(
                    POST,
                    "import_boot_images",
                    Admin,
                    "Answers as MAAS does; the region has its images.",
                    import
                ),
            ],
        },
        Resource {
            name: "RegionControllersHandler",
            path: "regioncontrollers/",
            params: &[],
            ops: vec![restful!(GET, User, "Lists the region controllers: the region.", regions)],
        },
        Resource {
            name: "RegionControllerHandler",
            path: "regioncontrollers/{system_id}/",
            params: &["system_id"],
            ops: vec![restful!(GET, User, "Reads a region controller.", region)],
        },
    ]
}

/// What a controller's services are called; all of them are this process.
const SERVICES: [&str; 5] = ["dhcpd", "dns_rack", "http", "rackd", "tftp"];

/// What the region is called: the setting `maas_name`, or its first name.
fn name(call: &Call) -> String {
    let set = Setting::of(call.store(), "maas_name");
    let set = set.as_ref().and_then(Value::as_str).filter(|name| !name.is_empty());
    set.unwrap_or(&call.state.settings.maas_name).to_owned()
}

/// The region as controller of this kind (`rack` or `region`).
fn show(call: &Call, kind: &str) -> Value {
    let store = call.store();
    let name = &name(call);
    let zone = store.get::<Zone>(SCOPE, "default");
    let domain = store.get::<Domain>(SCOPE, "0");
    let mut shown = json!({
        "architecture": null,
        "cpu_count": 0,
        "cpu_speed": 0,
        "current_commissioning_result_id": null,
        "current_installation_result_id": null,
        "current_testing_result_id": null,
        "description": "",
        "distro_series": "",
        "domain": domain.map(|domain| network::domain(&domain.value, store)),
        "fqdn": format!("{name}.{}", network::domain_name(store, 0)),
        "hardware_info": HARDWARE.iter().map(|key| ((*key).to_owned(), json!("Unknown"))).collect::<Map<_, _>>(),
        "hardware_uuid": null,
        "hostname": name,
        "interface_set": [],
        "memory": 0,
        "node_type": 4,
        "node_type_name": "Region and rack controller",
        "osystem": "",
        "power_state": "unknown",
        "power_type": "",
        "resource_uri": format!("/MAAS/api/2.0/{kind}controllers/{CONTROLLER}/"),
        "status_action": null,
        "swap_size": null,
        "system_id": CONTROLLER,
        "tag_names": [],
        "version": call.state.settings.version,
        "zone": zone.map(|zone| network::zone(&zone.id, &zone.value)),
    });
    for test in [
        "commissioning",
        "cpu_test",
        "interface_test",
        "memory_test",
        "network_test",
        "other_test",
        "storage_test",
        "testing",
    ] {
        put(&mut shown, &format!("{test}_status"), json!(-1));
        put(&mut shown, &format!("{test}_status_name"), json!("Unknown"));
    }
    if kind == "rack" {
        let services =
            SERVICES.iter().map(|name| json!({"name": name, "status": "running", "status_info": ""}));
        put(&mut shown, "service_set", services.collect());
    }
    shown
}

fn known(call: &Call, class: &str) -> Result<(), ApiError> {
    if call.arg(0) == CONTROLLER { Ok(()) } else { Err(ApiError::NotFound(class.to_owned())) }
}

async fn racks(call: Call) -> Answer {
    Ok(Reply::Json(json!([show(&call, "rack")])))
}

async fn power_types(_call: Call) -> Answer {
    Ok(Reply::Json(power::types::describe(power::is_installed)))
}

async fn rack(call: Call) -> Answer {
    known(&call, "RackController")?;
    Ok(Reply::Json(show(&call, "rack")))
}

async fn regions(call: Call) -> Answer {
    Ok(Reply::Json(json!([show(&call, "region")])))
}

async fn region(call: Call) -> Answer {
    known(&call, "RegionController")?;
    Ok(Reply::Json(show(&call, "region")))
}

async fn boot_images(call: Call) -> Answer {
    known(&call, "RackController")?;
    let mut list = call.store().list::<BootResource>(SCOPE);
    list.retain(|resource| resource.value.newest_complete().is_some());
    let images: Vec<Value> = list
        .iter()
        .map(|resource| {
            let resource = &resource.value;
            let (arch, subarch) =
                resource.architecture.split_once('/').unwrap_or((&resource.architecture, "generic"));
            json!({"architecture": arch, "name": resource.name, "subarches": [subarch]})
        })
        .collect();
    Ok(Reply::Json(json!({"connected": true, "images": images, "status": "synced"})))
}

async fn import_all(_call: Call) -> Answer {
    Ok(Reply::Text("Import of boot images started on all rack controllers".to_owned()))
}

async fn import(call: Call) -> Answer {
    known(&call, "RackController")?;
    Ok(Reply::Text(format!("Import of boot images started on {}", name(&call))))
}
