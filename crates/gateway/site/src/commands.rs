//! What the gateway answers through the tunnel.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use gateway_protocol::{About, Account, LookUp, Problem, path};
use sealing::SealingKey;
use serde::Serialize;

use crate::{SOFTWARE, maas};

/// The routes of `gateway-protocol`. The tunnel has checked the grant before any of them is reached.
pub fn router(key: SealingKey) -> Router {
    Router::new()
        .route(path::ABOUT, get(about))
        .route(path::VALIDATE, post(validate))
        .route(path::LOOK_UP, post(look_up))
        .with_state(Arc::new(key))
}

async fn about(State(key): State<Arc<SealingKey>>) -> Json<About> {
    Json(About { software: SOFTWARE.to_owned(), sealing_key: key.public().clone() })
}

async fn validate(State(key): State<Arc<SealingKey>>, Json(account): Json<Account>) -> Response {
    answer(maas::validate(&account, &key).await)
}

async fn look_up(State(key): State<Arc<SealingKey>>, Json(wanted): Json<LookUp>) -> Response {
    answer(maas::look_up(&wanted.account, wanted.what, &key).await)
}

fn answer(done: Result<impl Serialize, Problem>) -> Response {
    match done {
        Ok(found) => Json(found).into_response(),
        Err(problem) => (StatusCode::UNPROCESSABLE_ENTITY, Json(problem)).into_response(),
    }
}
