//! What the gateway answers through the tunnel.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
    routing::{get, post, put},
};
use gateway_protocol::{About, Account, LookUp, Order, Problem, ProblemCode, path};
use sealing::SealingKey;
use serde::Serialize;

use crate::{Clusters, SOFTWARE, maas, probe};

/// What the routes share.
#[derive(Debug)]
struct Site {
    key: SealingKey,
    clusters: Option<Clusters>,
}

/// The routes of `gateway-protocol`. The tunnel has checked the grant before any of them is reached.
pub fn router(key: SealingKey, clusters: Option<Clusters>) -> Router {
    Router::new()
        .route(path::ABOUT, get(about))
        .route(path::VALIDATE, post(validate))
        .route(path::PROBE, post(probe))
        .route(path::LOOK_UP, post(look_up))
        .route(path::CLUSTERS, put(order))
        .route(path::KUBECONFIG, get(kubeconfig))
        .with_state(Arc::new(Site { key, clusters }))
}

async fn about(State(site): State<Arc<Site>>) -> Json<About> {
    Json(About { software: SOFTWARE.to_owned(), sealing_key: site.key.public().clone() })
}

async fn validate(State(site): State<Arc<Site>>, Json(account): Json<Account>) -> Response {
    answer(maas::validate(&account, &site.key).await)
}

async fn probe(State(site): State<Arc<Site>>, Json(account): Json<Account>) -> Response {
    match site.clusters() {
        Ok(clusters) => answer(probe::probe(&account, &site.key, clusters).await),
        Err(problem) => answer(Err::<(), _>(problem)),
    }
}

async fn look_up(State(site): State<Arc<Site>>, Json(wanted): Json<LookUp>) -> Response {
    answer(maas::look_up(&wanted.account, wanted.what, &site.key).await)
}

async fn order(State(site): State<Arc<Site>>, Json(order): Json<Order>) -> Response {
    match site.clusters() {
        Ok(clusters) => answer(clusters.take(&order).await),
        Err(problem) => answer(Err::<(), _>(problem)),
    }
}

async fn kubeconfig(State(site): State<Arc<Site>>, Path(uid): Path<String>) -> Response {
    match site.clusters() {
        Ok(clusters) => answer(clusters.kubeconfig(&uid).await),
        Err(problem) => answer(Err::<(), _>(problem)),
    }
}

impl Site {
    fn clusters(&self) -> Result<&Clusters, Problem> {
        self.clusters.as_ref().ok_or_else(|| Problem {
            code: ProblemCode::Engine,
            message: "the gateway has no engine: give its configuration a bundle".to_owned(),
        })
    }
}

fn answer(done: Result<impl Serialize, Problem>) -> Response {
    match done {
        Ok(found) => Json(found).into_response(),
        Err(problem) => (StatusCode::UNPROCESSABLE_ENTITY, Json(problem)).into_response(),
    }
}
