//! What gateways tell of their clusters.

use axum::{
    Extension, Json, Router,
    extract::{Path, State},
    http::StatusCode,
    routing::{get, post},
};
use gateway_protocol::{Report, path};
use jiff::Timestamp;
use plane_model::{Cluster, State as ClusterState, claim, record};
use store::{Batch, CommitError};
use tunnel::Identity;

use crate::Fleet;

impl Fleet {
    /// The routes of report connections; the tunnel has put the gateway's identity into every request.
    pub fn reports(&self) -> Router {
        Router::new()
            .route(path::CLUSTERS, post(hear))
            .route(path::CHART, get(chart))
            .with_state(self.clone())
    }
}

/// A chart's archive. The built-in ones are everybody's; there are no others yet.
async fn chart(Path(digest): Path<String>) -> Result<&'static [u8], StatusCode> {
    packs::archive(&digest).map(|archive| archive.bytes.as_slice()).ok_or(StatusCode::NOT_FOUND)
}

async fn hear(
    State(fleet): State<Fleet>,
    Extension(who): Extension<Identity>,
    Json(report): Json<Report>,
) -> StatusCode {
    if fleet.is_replica() && fleet.store.catch_up().await.is_err() {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    loop {
        let stored = fleet.store.get::<Cluster>(&who.tenant, &report.uid);
        // A gateway speaks of its own clusters only.
        let Some(stored) = stored.filter(|cluster| cluster.value.overlord == who.gateway) else {
            return StatusCode::NOT_FOUND;
        };
        let (mut changed, now) = (stored.value.clone(), Timestamp::now());
        if !changed.hear(report.clone(), now) {
            return StatusCode::NO_CONTENT;
        }
        let principal = format!("gateway:{}", who.gateway);
        let batch = Batch::new(principal.clone(), "cluster.reported");
        let place = (stored.id.as_str(), Some(&*stored));
        let mut batch = record(&fleet.store, batch, &who.tenant, place, &changed, &principal, now);
        if changed.state == ClusterState::Deleted {
            let name = format!("{}/{}", changed.owner.word(), changed.meta.name);
            batch = batch.unclaim(&who.tenant, claim::CLUSTER, &name, &stored.id);
        }
        match fleet.store.commit(batch).await {
            Ok(_) => return StatusCode::NO_CONTENT,
            Err(CommitError::Conflict { .. }) => {}
            Err(error) => {
                tracing::error!(%error, cluster = report.uid, "a report could not be written");
                return StatusCode::SERVICE_UNAVAILABLE;
            }
        }
    }
}
