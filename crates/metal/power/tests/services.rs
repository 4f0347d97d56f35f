//! Redfish services that differ: each is an HTTP server that insists on its way.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::sync::{Arc, Mutex};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Response},
    routing::{get, patch, post},
};
use power::{Bmc, Node, Power, types::Kind};
use secrets::Secret;
use serde_json::{Value, json};

/// Why a patch is refused, given its path, `If-Match` and body.
type Insists = fn(&str, Option<&str>, &Value) -> Result<(), (u16, &'static str)>;

/// What a service is like, and what it was told.
#[derive(Clone)]
struct Service(Arc<Inner>);

struct Inner {
    system: Value,
    insists: Insists,
    on: Mutex<bool>,
    /// How often it still says that it is on, once it was switched off.
    lingers: Mutex<u32>,
    told: Mutex<Vec<String>>,
}

impl Service {
    fn new(system: Value, insists: Insists) -> Self {
        let (on, lingers, told) = (Mutex::new(true), Mutex::new(0), Mutex::default());
        Self(Arc::new(Inner { system, insists, on, lingers, told }))
    }

    async fn serve(&self) -> Box<dyn Bmc> {
        let router = Router::new()
            .route("/redfish/v1/Systems/{id}", get(system).patch(change))
            .route("/redfish/v1/Systems/{id}/SD", patch(change))
            .route("/redfish/v1/Systems/{id}/Actions/{action}", post(reset))
            .route("/redfish/v1/Systems/{id}/ResetActionInfo", get(info))
            .with_state(self.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        bmc(&address, "1")
    }

    fn told(&self) -> String {
        self.0.told.lock().unwrap().join(", ")
    }
}

fn bmc(address: &str, node: &str) -> Box<dyn Bmc> {
    let parameters =
        [("power_address", address), ("power_user", "maas"), ("power_pass", "geheim"), ("node_id", node)]
            .map(|(name, value)| (name.to_owned(), Secret::from(value)));
    power::driver(Kind::Redfish, &parameters.into(), &Node::default()).unwrap()
}

async fn system(State(service): State<Service>, Path(_): Path<String>) -> Json<Value> {
    let mut system = service.0.system.clone();
    let mut lingers = service.0.lingers.lock().unwrap();
    let on = *service.0.on.lock().unwrap() || *lingers > 0;
    *lingers = lingers.saturating_sub(1);
    system["PowerState"] = json!(if on { "On" } else { "Off" });
    Json(system)
}

async fn change(
    State(service): State<Service>,
    uri: Uri,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    let tag = headers.get("if-match").map(|tag| tag.to_str().unwrap());
    match (service.0.insists)(uri.path(), tag, &body) {
        Ok(()) => {
            let boot = &body["Boot"]["BootSourceOverrideTarget"];
            service.0.told.lock().unwrap().push(format!("boot {}", boot.as_str().unwrap()));
            StatusCode::NO_CONTENT.into_response()
        }
        Err((status, why)) => (StatusCode::from_u16(status).unwrap(), why).into_response(),
    }
}

async fn reset(State(service): State<Service>, Json(body): Json<Value>) -> StatusCode {
    let kind = body["ResetType"].as_str().unwrap().to_owned();
    *service.0.on.lock().unwrap() = kind != "ForceOff";
    service.0.told.lock().unwrap().push(kind);
    StatusCode::NO_CONTENT
}

async fn info() -> Json<Value> {
    Json(json!({"Parameters": [{"Name": "ResetType", "AllowableValues": ["On", "ForceOff", "PowerCycle"]}]}))
}

fn resets(kinds: &[&str]) -> Value {
    json!({"#ComputerSystem.Reset": {"ResetType@Redfish.AllowableValues": kinds}})
}

#[tokio::test]
async fn one_that_wants_a_strong_tag_and_gives_a_weak_one() {
    let service = Service::new(json!({"@odata.etag": "W/\"17\""}), |_, tag, _| match tag {
        Some("\"17\"") => Ok(()),
        Some(_) => Err((412, "no such tag")),
        None => Err((428, "a precondition is wanted")),
    });
    service.serve().await.boot_network().await.unwrap();
    assert_eq!(service.told(), "boot Pxe, ForceRestart");
}

#[tokio::test]
async fn one_that_wants_a_precondition_and_gives_no_tag() {
    let service = Service::new(json!({}), |_, tag, _| match tag {
        Some("*") => Ok(()),
        _ => Err((400, "Ami.1.0.PreconditionHeaderMissing")),
    });
    service.serve().await.boot_network().await.unwrap();
    assert_eq!(service.told(), "boot Pxe, ForceRestart");
}

#[tokio::test]
async fn one_whose_own_tags_do_not_fit() {
    let service = Service::new(json!({"@odata.etag": "\"17\""}), |_, tag, _| match tag {
        None => Ok(()),
        Some(_) => Err((412, "the resource has changed")),
    });
    service.serve().await.boot_network().await.unwrap();
    assert_eq!(service.told(), "boot Pxe, ForceRestart");
}

#[tokio::test]
async fn one_that_wants_target_and_mode_in_one_request() {
    let wants: Insists = |_, _, body| {
        if body["Boot"]["BootSourceOverrideMode"] == "UEFI" {
            return Ok(());
        }
        Err((400, "The property BootSourceOverrideMode is a required property"))
    };
    // By its maker at once, by its answer at the second try.
    for maker in ["Supermicro", "Contoso"] {
        let system = json!({"Manufacturer": maker, "Boot": {"BootSourceOverrideMode": "UEFI"}});
        let service = Service::new(system, wants);
        service.serve().await.boot_network().await.unwrap();
        assert_eq!(service.told(), "boot Pxe, ForceRestart", "{maker}");
    }
}

#[tokio::test]
async fn one_whose_settings_are_a_resource_of_their_own() {
    let service = Service::new(json!({}), |path, _, _| {
        if path.ends_with("/SD") { Ok(()) } else { Err((400, "Ami.1.0.OperationSupportedInFutureStateURI")) }
    });
    service.serve().await.boot_network().await.unwrap();
    assert_eq!(service.told(), "boot Pxe, ForceRestart");
}

#[tokio::test]
async fn ones_without_a_forced_restart() {
    let takes = |_: &str, _: Option<&str>, _: &Value| Ok(());
    let service = Service::new(json!({"Actions": resets(&["On", "ForceOff", "GracefulRestart"])}), takes);
    *service.0.lingers.lock().unwrap() = 2;
    let bmc = service.serve().await;
    *service.0.lingers.lock().unwrap() = 3;
    bmc.boot_network().await.unwrap();
    assert_eq!(service.told(), "boot Pxe, ForceOff, On", "it was waited for");
    assert_eq!(bmc.state().await, Ok(Power::On));

    let described = json!({"@Redfish.ActionInfo": "/redfish/v1/Systems/1/ResetActionInfo"});
    let service = Service::new(json!({"Actions": {"#ComputerSystem.Reset": described}}), takes);
    service.serve().await.boot_network().await.unwrap();
    assert_eq!(service.told(), "boot Pxe, PowerCycle");
}

/// A service that was taken over must not get the password sent elsewhere.
#[tokio::test]
async fn a_reset_goes_nowhere_else() {
    let target = json!({"target": "http://192.0.2.1/redfish/v1/Systems/1/Actions/ComputerSystem.Reset"});
    let service = Service::new(json!({"Actions": {"#ComputerSystem.Reset": target}}), |_, _, _| Ok(()));
    service.serve().await.boot_network().await.unwrap();
    assert_eq!(service.told(), "boot Pxe, ForceRestart");
}

#[tokio::test]
async fn one_that_takes_nothing_is_not_asked_for_ever() {
    let service = Service::new(json!({"@odata.etag": "W/\"1\""}), |_, _, _| Err((412, "no")));
    let error = service.serve().await.boot_network().await.unwrap_err();
    assert!(error.to_string().contains("412"), "{error}");
    assert_eq!(service.told(), "", "it is not restarted for nothing");
}

#[tokio::test]
async fn which_of_several_has_to_be_named() {
    let members =
        json!({"Members": [{"@odata.id": "/redfish/v1/Systems/a"}, {"@odata.id": "/redfish/v1/Systems/b"}]});
    let router = Router::new()
        .route("/redfish/v1/Systems", get(async move || Json(members)))
        .route("/redfish/v1/Systems/b", get(async || Json(json!({"PowerState": "On"}))));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let error = bmc(&address, "").state().await.unwrap_err().to_string();
    assert!(error.contains("node_id") && error.contains("Systems/a, /redfish/v1/Systems/b"), "{error}");
    assert_eq!(bmc(&address, "b").state().await, Ok(Power::On));
}
