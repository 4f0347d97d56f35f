//! The control socket: HTTP and JSON on `DIR/lab.sock`.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bmc::{Fault, Reset};
use serde::Deserialize;

use crate::lab::Lab;
use crate::machine::Machine;
use crate::uplink::Uplink;
use crate::{Cable, PowerAction, RackError, Rules, Status, tool};

pub(crate) fn router(lab: Arc<Lab>) -> Router {
    Router::new()
        .route("/status", get(status))
        .route("/machines/{name}/power", post(power))
        .route("/machines/{name}/fault", post(fault))
        .route("/machines/{name}/cable", post(cable))
        .route("/programs/{name}/kill", post(kill))
        .route("/uplink/cable", post(uplink_cable))
        .route("/uplink/rules", post(uplink_rules))
        .route("/shutdown", post(shutdown))
        .with_state(lab)
}

async fn status(State(lab): State<Arc<Lab>>) -> Json<Status> {
    Json(lab.status())
}

#[derive(Deserialize)]
struct PowerBody {
    action: PowerAction,
}

async fn power(
    State(lab): State<Arc<Lab>>,
    Path(name): Path<String>,
    Json(body): Json<PowerBody>,
) -> Response {
    let Some(machine) = find(&lab, &name) else { return no_machine(&name) };
    let reset = match body.action {
        PowerAction::On => Reset::On,
        PowerAction::Off => Reset::ForceOff,
        PowerAction::Cycle => Reset::ForceRestart,
    };
    match bmc::Machine::reset(machine.as_ref(), reset).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

#[derive(Deserialize)]
struct FaultBody {
    fault: Fault,
}

async fn fault(
    State(lab): State<Arc<Lab>>,
    Path(name): Path<String>,
    Json(body): Json<FaultBody>,
) -> Response {
    let Some(machine) = find(&lab, &name) else { return no_machine(&name) };
    machine.faults().set(body.fault);
    StatusCode::NO_CONTENT.into_response()
}

#[derive(Deserialize)]
struct CableBody {
    cable: Cable,
}

async fn cable(
    State(lab): State<Arc<Lab>>,
    Path(name): Path<String>,
    Json(body): Json<CableBody>,
) -> Response {
    let Some(machine) = find(&lab, &name) else { return no_machine(&name) };
    match machine.set_cable(body.cable).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

#[derive(Deserialize)]
struct KillBody {
    away_seconds: f64,
}

async fn kill(State(lab): State<Arc<Lab>>, Path(name): Path<String>, Json(body): Json<KillBody>) -> Response {
    let Ok(away) = Duration::try_from_secs_f64(body.away_seconds) else {
        return (StatusCode::BAD_REQUEST, "away_seconds is no time").into_response();
    };
    match lab.programs.iter().find(|program| program.status().name == name) {
        Some(program) => {
            program.kill(away);
            StatusCode::NO_CONTENT.into_response()
        }
        None => (StatusCode::NOT_FOUND, format!("no program is named `{name}`")).into_response(),
    }
}

async fn uplink_cable(State(lab): State<Arc<Lab>>, Json(body): Json<CableBody>) -> Response {
    change(&lab, move |uplink| uplink.set_cable(body.cable)).await
}

async fn uplink_rules(State(lab): State<Arc<Lab>>, Json(rules): Json<Rules>) -> Response {
    change(&lab, move |uplink| uplink.set_rules(&rules)).await
}

async fn change(lab: &Lab, work: impl FnOnce(&Uplink) -> Result<(), RackError> + Send + 'static) -> Response {
    let Some(uplink) = lab.uplink.clone() else {
        return (StatusCode::NOT_FOUND, "the lab has no cloud").into_response();
    };
    match tool::blocking(move || work(&uplink)).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn shutdown(State(lab): State<Arc<Lab>>) -> StatusCode {
    lab.stop.notify_one();
    StatusCode::ACCEPTED
}

fn find<'a>(lab: &'a Lab, name: &str) -> Option<&'a Arc<Machine>> {
    lab.machines.iter().find(|machine| machine.name() == name)
}

fn no_machine(name: &str) -> Response {
    (StatusCode::NOT_FOUND, format!("no machine is named `{name}`")).into_response()
}
