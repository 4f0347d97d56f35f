//! The Redfish service of one machine.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};
use subtle::ConstantTimeEq as _;

use crate::{
    BootOverride, BootTarget, Fault, Faults, Machine, MachineError, OverrideMode, PowerState, Reset,
    host_logger,
};

/// Who the machine says it is.
#[derive(Debug, Clone)]
pub struct Identity {
    /// SMBIOS system UUID; what the region matches BMC and machine by.
    pub uuid: uuid::Uuid,
    /// Name for people.
    pub name: String,
    /// Manufacturer, such as `Bessemer`.
    pub manufacturer: String,
    /// Model.
    pub model: String,
    /// Serial number.
    pub serial: String,
}

/// The one account of a BMC.
#[derive(Clone)]
pub struct Credentials {
    /// User name.
    pub username: String,
    /// Password.
    pub password: String,
}

/// A BMC: a machine, an account, and its faults.
#[derive(Clone)]
pub struct Bmc {
    pub(crate) machine: Arc<dyn Machine>,
    identity: Arc<Identity>,
    credentials: Arc<Credentials>,
    faults: Faults,
}

impl Bmc {
    /// A BMC in front of `machine`.
    pub fn new(
        machine: Arc<dyn Machine>,
        identity: Identity,
        credentials: Credentials,
        faults: Faults,
    ) -> Self {
        Self { machine, identity: Arc::new(identity), credentials: Arc::new(credentials), faults }
    }

    /// Everything under `/redfish`.
    pub fn router(self) -> Router {
        let open = Router::new()
            .route("/redfish", get(versions))
            .route("/redfish/v1", get(root))
            .route("/redfish/v1/", get(root));
        let closed = Router::new()
            .route("/redfish/v1/Systems", get(async || collection("ComputerSystem", "/redfish/v1/Systems")))
            .route("/redfish/v1/Systems/1", get(system).patch(change_system))
            .route("/redfish/v1/Systems/1/Actions/ComputerSystem.Reset", post(reset))
            .route("/redfish/v1/Chassis", get(async || collection("Chassis", "/redfish/v1/Chassis")))
            .route("/redfish/v1/Chassis/1", get(chassis))
            .route("/redfish/v1/Managers", get(async || collection("Manager", "/redfish/v1/Managers")))
            .route("/redfish/v1/Managers/1", get(manager))
            .route("/redfish/v1/SessionService", get(session_service))
            .merge(host_logger::routes())
            .route_layer(from_fn_with_state(self.clone(), authenticate));
        open.merge(closed)
            .fallback(async || missing())
            .layer(from_fn_with_state(self.clone(), misbehave))
            .with_state(self)
    }

    fn knows(&self, headers: &HeaderMap) -> bool {
        let given = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"))
            .and_then(|(_, text)| STANDARD.decode(text.trim()).ok());
        let wanted = format!("{}:{}", self.credentials.username, self.credentials.password);
        given.is_some_and(|given| bool::from(given.as_slice().ct_eq(wanted.as_bytes())))
    }

    async fn reported_power(&self) -> PowerState {
        if self.faults.get() == Fault::Lying { PowerState::Off } else { self.machine.power_state().await }
    }
}

async fn misbehave(State(bmc): State<Bmc>, request: Request, next: Next) -> Response {
    match bmc.faults.get() {
        Fault::Refuse => {
            failure(StatusCode::SERVICE_UNAVAILABLE, "Base.1.0.ServiceTemporarilyUnavailable", "try later")
        }
        Fault::Hang => std::future::pending().await,
        Fault::None | Fault::WrongAuth | Fault::Lying => next.run(request).await,
    }
}

async fn authenticate(State(bmc): State<Bmc>, request: Request, next: Next) -> Response {
    if bmc.faults.get() != Fault::WrongAuth && bmc.knows(request.headers()) {
        return next.run(request).await;
    }
    let mut refused =
        failure(StatusCode::UNAUTHORIZED, "Base.1.0.NoValidSession", "user name or password is wrong");
    refused.headers_mut().insert(
        header::WWW_AUTHENTICATE,
        HeaderValue::from_static("Basic realm=\"Redfish\", charset=\"UTF-8\""),
    );
    refused
}

async fn versions() -> Response {
    answer(&json!({"v1": "/redfish/v1/"}))
}

async fn root(State(bmc): State<Bmc>) -> Response {
    answer(&json!({
        "@odata.id": "/redfish/v1/",
        "@odata.type": "#ServiceRoot.v1_5_0.ServiceRoot",
        "Id": "RootService",
        "Name": "Bessemer lab BMC",
        "RedfishVersion": "1.6.0",
        "UUID": bmc.identity.uuid,
        "Systems": link("/redfish/v1/Systems"),
        "Chassis": link("/redfish/v1/Chassis"),
        "Managers": link("/redfish/v1/Managers"),
        "SessionService": link("/redfish/v1/SessionService"),
    }))
}

fn collection(of: &str, path: &str) -> Response {
    answer(&json!({
        "@odata.id": path,
        "@odata.type": format!("#{of}Collection.{of}Collection"),
        "Name": format!("{of} collection"),
        "Members@odata.count": 1,
        "Members": [link(&format!("{path}/1"))],
    }))
}

async fn system(State(bmc): State<Bmc>) -> Response {
    let boot = bmc.machine.boot_override().await;
    let tag = etag(boot);
    let who = &bmc.identity;
    let body = json!({
        "@odata.id": "/redfish/v1/Systems/1",
        "@odata.type": "#ComputerSystem.v1_10_0.ComputerSystem",
        "@odata.etag": tag,
        "Id": "1",
        "Name": who.name,
        "UUID": who.uuid,
        "Manufacturer": who.manufacturer,
        "Model": who.model,
        "SerialNumber": who.serial,
        "SystemType": "Physical",
        "Status": {"State": "Enabled", "Health": "OK"},
        "PowerState": bmc.reported_power().await,
        "Boot": {
            "BootSourceOverrideEnabled": boot.mode,
            "BootSourceOverrideTarget": boot.target,
            "BootSourceOverrideTarget@Redfish.AllowableValues": ["None", "Pxe", "Hdd"],
        },
        "LogServices": link(host_logger::SERVICES),
        "Links": {"Chassis": [link("/redfish/v1/Chassis/1")], "ManagedBy": [link("/redfish/v1/Managers/1")]},
        "Actions": {"#ComputerSystem.Reset": {
            "target": "/redfish/v1/Systems/1/Actions/ComputerSystem.Reset",
            "ResetType@Redfish.AllowableValues": Reset::ALL,
        }},
    });
    let mut response = answer(&body);
    if let Ok(value) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(header::ETAG, value);
    }
    response
}

/// The part of a system that can be changed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SystemPatch {
    #[serde(rename = "Boot")]
    boot: BootPatch,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BootPatch {
    #[serde(rename = "BootSourceOverrideEnabled")]
    mode: Option<OverrideMode>,
    #[serde(rename = "BootSourceOverrideTarget")]
    target: Option<BootTarget>,
    /// Accepted and ignored: these machines start by BIOS.
    #[serde(rename = "BootSourceOverrideMode")]
    _firmware: Option<Value>,
}

async fn change_system(State(bmc): State<Bmc>, headers: HeaderMap, body: String) -> Response {
    let now = bmc.machine.boot_override().await;
    let expected = headers.get(header::IF_MATCH).and_then(|value| value.to_str().ok());
    if expected.is_some_and(|tag| tag != "*" && tag != etag(now)) {
        return failure(
            StatusCode::PRECONDITION_FAILED,
            "Base.1.0.PreconditionFailed",
            "the system has changed",
        );
    }
    let patch = match serde_json::from_str::<SystemPatch>(&body) {
        Ok(patch) => patch.boot,
        Err(error) => return failure(StatusCode::BAD_REQUEST, "Base.1.0.MalformedJSON", &error.to_string()),
    };
    let wanted =
        BootOverride { mode: patch.mode.unwrap_or(now.mode), target: patch.target.unwrap_or(now.target) };
    obeyed(bmc.machine.set_boot_override(wanted).await)
}

#[derive(Deserialize)]
struct ResetBody {
    #[serde(rename = "ResetType")]
    reset: Reset,
}

async fn reset(State(bmc): State<Bmc>, body: String) -> Response {
    match serde_json::from_str::<ResetBody>(&body) {
        Ok(body) => obeyed(bmc.machine.reset(body.reset).await),
        Err(error) => {
            failure(StatusCode::BAD_REQUEST, "Base.1.0.ActionParameterNotSupported", &error.to_string())
        }
    }
}

async fn chassis(State(bmc): State<Bmc>) -> Response {
    answer(&json!({
        "@odata.id": "/redfish/v1/Chassis/1",
        "@odata.type": "#Chassis.v1_10_0.Chassis",
        "Id": "1",
        "Name": bmc.identity.name,
        "ChassisType": "RackMount",
        "Manufacturer": bmc.identity.manufacturer,
        "PowerState": bmc.reported_power().await,
        "Links": {"ComputerSystems": [link("/redfish/v1/Systems/1")]},
    }))
}

async fn manager(State(bmc): State<Bmc>) -> Response {
    answer(&json!({
        "@odata.id": "/redfish/v1/Managers/1",
        "@odata.type": "#Manager.v1_5_0.Manager",
        "Id": "1",
        "Name": format!("BMC of {}", bmc.identity.name),
        "ManagerType": "BMC",
        "FirmwareVersion": env!("CARGO_PKG_VERSION"),
        "Links": {"ManagerForServers": [link("/redfish/v1/Systems/1")]},
    }))
}

async fn session_service() -> Response {
    answer(&json!({
        "@odata.id": "/redfish/v1/SessionService",
        "@odata.type": "#SessionService.v1_1_6.SessionService",
        "Id": "SessionService",
        "Name": "Session service",
        "ServiceEnabled": false,
    }))
}

fn obeyed(outcome: Result<(), MachineError>) -> Response {
    match outcome {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => failure(StatusCode::INTERNAL_SERVER_ERROR, "Base.1.0.GeneralError", &error.to_string()),
    }
}

/// Strong tag over what PATCH can change.
fn etag(boot: BootOverride) -> String {
    format!("\"{:?}-{:?}\"", boot.mode, boot.target)
}

pub(crate) fn link(path: &str) -> Value {
    json!({"@odata.id": path})
}

pub(crate) fn answer(body: &Value) -> Response {
    (StatusCode::OK, [("odata-version", "4.0")], axum::Json(body)).into_response()
}

pub(crate) fn missing() -> Response {
    failure(StatusCode::NOT_FOUND, "Base.1.0.ResourceMissingAtURI", "no such resource")
}

pub(crate) fn failure(status: StatusCode, code: &str, message: &str) -> Response {
    let body = json!({"error": {
        "code": code,
        "message": message,
        "@Message.ExtendedInfo": [{"MessageId": code, "Message": message, "Severity": "Critical"}],
    }});
    (status, [("odata-version", "4.0")], axum::Json(body)).into_response()
}
