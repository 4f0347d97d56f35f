//! Bringing orders to the gateways that are to carry them out.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use plane_model::{CloudAccount, Cluster, Events, PLANE, State, Tenant, record};
use store::{Batch, CommitError, Document as _, Stored, Watch, WatchEnd};
use tokio::{sync::watch, time::timeout};
use tunnel::{Actor, AskError as LinkError};

use crate::{Fleet, order};

/// What was not brought is tried again after this, also where nothing has changed.
const AGAIN: Duration = Duration::from_secs(1);
/// How long the record of a deleted cluster stays.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(72);
const PRINCIPAL: &str = "plane:fleet";

impl Fleet {
    /// Goes on for as long as the plane runs.
    pub async fn fulfil(self) {
        let (mut changes, mut links) = (self.store.watch(0), self.links.changes());
        loop {
            for tenant in self.store.list::<Tenant>(PLANE) {
                for cluster in self.store.list::<Cluster>(&tenant.id) {
                    self.bring(&tenant.id, &cluster).await;
                }
            }
            match timeout(AGAIN, news(&mut changes, &mut links)).await {
                Ok(Err(WatchEnd::Closed)) => return,
                // Everything is looked at anyway.
                Ok(Err(WatchEnd::Compacted { .. })) => changes = self.store.watch(0),
                Ok(Ok(())) | Err(_) => {}
            }
        }
    }

    async fn bring(&self, tenant: &str, stored: &Arc<Stored<Cluster>>) {
        let cluster = &stored.value;
        if cluster.state == State::Deleted {
            if cluster.deleted.is_some_and(|at| Timestamp::now().duration_since(at) > REMEMBERED) {
                let mut batch = Batch::new(PRINCIPAL, "cluster.forget");
                batch = batch.delete::<Cluster>(tenant, &stored.id, stored.version);
                if let Some(events) = self.store.get::<Events>(tenant, &stored.id) {
                    batch = batch.delete::<Events>(tenant, &stored.id, events.version);
                }
                let _ = self.store.commit(batch).await;
            }
            return;
        }
        if cluster.taken >= cluster.generation {
            return;
        }
        // The replica to which its gateway is connected does it.
        if self.elsewhere(tenant, &cluster.overlord).is_some() && self.links.get(&cluster.overlord).is_none()
        {
            return;
        }
        let mut changed = cluster.clone();
        match self.order_of(tenant, stored).await {
            Ok(taken) => {
                changed.taken = taken;
                changed.waiting.clear();
            }
            Err(reason) => changed.waiting = reason,
        }
        if changed == *cluster {
            return;
        }
        let (batch, place) =
            (Batch::new(PRINCIPAL, "cluster.ordered"), (stored.id.as_str(), Some(&**stored)));
        let batch = record(&self.store, batch, tenant, place, &changed, PRINCIPAL, Timestamp::now());
        match self.store.commit(batch).await {
            // Changed meanwhile: that comes as a change of its own.
            Ok(_) | Err(CommitError::Conflict { .. }) => {}
            Err(error) => {
                tracing::error!(%error, cluster = stored.id, "a cluster's record could not be written");
            }
        }
    }

    /// Gives the order; the generation that the gateway has then, or why it has not.
    async fn order_of(&self, tenant: &str, stored: &Stored<Cluster>) -> Result<u64, String> {
        let cluster = &stored.value;
        if self.connected(tenant, &cluster.overlord).is_none() {
            return Err(LinkError::Away.to_string());
        }
        let account = self.store.get::<CloudAccount>(tenant, &cluster.account);
        let account = account.ok_or("its cloud account is gone")?;
        let order =
            order(&stored.id, cluster, &account.value, self.incarnation).map_err(|all| all.join("; "))?;
        let actor = Actor { name: PRINCIPAL.to_owned(), tenant: tenant.to_owned(), person: None };
        let taken = self.give(&actor, &cluster.overlord, &order).await.map_err(|error| error.to_string())?;
        Ok(taken.generation)
    }
}

/// Until a cluster's record or a gateway's connection has changed.
async fn news(changes: &mut Watch, links: &mut watch::Receiver<u64>) -> Result<(), WatchEnd> {
    loop {
        tokio::select! {
            change = changes.next() => if &*change?.kind == Cluster::KIND { return Ok(()) },
            _ = links.changed() => return Ok(()),
        }
    }
}
