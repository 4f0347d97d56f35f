//! The admin API: HTTP and JSON on loopback.
//!
//! | request | body | answer |
//! |---|---|---|
//! | `GET /counts` | – | [`Counts`](crate::Counts) |
//! | `GET /machines?name=PATTERN&phase=PHASE` | – | [`MachineStatus`](crate::MachineStatus), a list |
//! | `POST /power` | `{"machines": PATTERN, "action": "on" \| "off" \| "cycle"}` | `{"machines": how many}` |
//! | `GET /rules` | – | [`RuleStatus`](crate::RuleStatus), a list |
//! | `POST /rules` | [`Rule`] | `{"id": its number}` |
//! | `DELETE /rules/ID` | – | 204, or 404 |

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use bmc::Reset;
use serde::{Deserialize, Serialize};

use crate::fleet::{Fleet, lock};
use crate::life::Phase;
use crate::rules::{Rule, RuleStatus, matches_name};
use crate::status::{Counts, MachineStatus};

/// The admin API of a fleet.
pub fn router(fleet: Arc<Fleet>) -> Router {
    Router::new()
        .route("/counts", get(counts))
        .route("/machines", get(machines))
        .route("/power", post(power))
        .route("/rules", get(rules).post(add))
        .route("/rules/{id}", delete(remove))
        .with_state(fleet)
}

/// A finger on the power buttons of some machines.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Press {
    /// Machines by name; `*` stands for any characters, `?` for one.
    pub machines: String,
    /// What it does.
    pub action: PowerAction,
}

/// What a finger does on a power button.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PowerAction {
    /// Switch on.
    On,
    /// Cut the power.
    Off,
    /// Cut the power and switch on again.
    Cycle,
}

/// How many machines something concerned.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Concerned {
    pub machines: usize,
}

/// The number of a new rule.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Added {
    pub id: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Filter {
    name: Option<String>,
    phase: Option<Phase>,
}

async fn counts(State(fleet): State<Arc<Fleet>>) -> Json<Counts> {
    Json(fleet.counts())
}

async fn machines(State(fleet): State<Arc<Fleet>>, Query(filter): Query<Filter>) -> Json<Vec<MachineStatus>> {
    let named = |name: &str| filter.name.as_ref().is_none_or(|pattern| matches_name(pattern, name));
    let all = fleet.machines().iter().filter(|machine| named(&machine.board.name));
    let all = all.map(|machine| fleet.status(machine));
    Json(all.filter(|machine| filter.phase.is_none_or(|phase| machine.phase == phase)).collect())
}

async fn power(State(fleet): State<Arc<Fleet>>, Json(press): Json<Press>) -> Json<Concerned> {
    let reset = match press.action {
        PowerAction::On => Reset::On,
        PowerAction::Off => Reset::ForceOff,
        PowerAction::Cycle => Reset::ForceRestart,
    };
    Json(Concerned { machines: fleet.reset_all(&press.machines, reset) })
}

async fn rules(State(fleet): State<Arc<Fleet>>) -> Json<Vec<RuleStatus>> {
    Json(lock(&fleet.rules).list())
}

async fn add(State(fleet): State<Arc<Fleet>>, Json(rule): Json<Rule>) -> Json<Added> {
    Json(Added { id: lock(&fleet.rules).add(rule) })
}

async fn remove(State(fleet): State<Arc<Fleet>>, Path(id): Path<u64>) -> Response {
    match lock(&fleet.rules).remove(id) {
        Some(_) => StatusCode::NO_CONTENT.into_response(),
        None => (StatusCode::NOT_FOUND, format!("no rule has the number {id}\n")).into_response(),
    }
}
