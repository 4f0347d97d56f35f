//! What a replica of the plane does for the others: it says which gateways are connected to it.
//!
//! Each connection is written down once, when it comes: so the last one that is written down is the newest, and a
//! replica whose own was overwritten closes it. A replica that dies leaves what it wrote; who asks it then is told that
//! it does not answer, until its gateways have found another one, which they do by themselves.

use std::{collections::HashMap, time::Duration};

use jiff::Timestamp;
use plane_model::{Overlord, PLANE, Pairing, Presence, Tenant};
use store::{Batch, CommitError, Document as _, WatchEnd};
use tokio::time::timeout;
use tunnel::Link;

use crate::Fleet;

/// What could not be written is tried again after this.
const AGAIN: Duration = Duration::from_secs(1);
const PRINCIPAL: &str = "plane:fleet";

impl Fleet {
    /// Goes on for as long as the plane runs; ends at once where there are no other replicas.
    pub async fn attend(self) {
        let Some(here) = self.replica.clone() else { return };
        let (mut changes, mut links) = (self.store.watch(0), self.links.changes());
        // The connections that were written down, by gateway.
        let mut written: HashMap<String, Timestamp> = HashMap::new();
        loop {
            self.round(&here, &mut written).await;
            let news = async {
                loop {
                    tokio::select! {
                        change = changes.next() => match change {
                            Ok(change) if [Presence::KIND, Overlord::KIND].contains(&&*change.kind) => return Ok(()),
                            Ok(_) => {}
                            Err(end) => return Err(end),
                        },
                        _ = links.changed() => return Ok(()),
                    }
                }
            };
            match timeout(AGAIN, news).await {
                Ok(Err(WatchEnd::Closed)) => return,
                Ok(Err(WatchEnd::Compacted { .. })) => changes = self.store.watch(0),
                Ok(Ok(())) | Err(_) => {}
            }
        }
    }

    async fn round(&self, here: &str, written: &mut HashMap<String, Timestamp>) {
        let links = self.links.all();
        written.retain(|gateway, since| {
            links.iter().any(|link| link.identity.gateway == *gateway && link.since == *since)
        });
        for link in &links {
            let (tenant, gateway) = (&link.identity.tenant, &link.identity.gateway);
            let record = self.overlord(tenant, gateway);
            if !record.is_some_and(|record| matches!(record.value.pairing, Pairing::Paired { .. })) {
                tracing::info!(gateway, "its pairing was taken back at another replica");
                self.links.close(gateway);
            } else if !written.contains_key(gateway) {
                if self.write(here, link).await {
                    written.insert(gateway.clone(), link.since);
                }
            } else if self.elsewhere(tenant, gateway).is_some() {
                tracing::info!(gateway, "it is connected to another replica now");
                self.links.close(gateway);
            }
        }
        for tenant in self.store.list::<Tenant>(PLANE) {
            for presence in self.store.list::<Presence>(&tenant.id) {
                let gone = presence.value.replica == here && self.links.get(&presence.id).is_none();
                if gone {
                    let batch = Batch::new(PRINCIPAL, "overlord.gone");
                    let batch = batch.delete::<Presence>(&tenant.id, &presence.id, presence.version);
                    told(&presence.id, self.store.commit(batch).await);
                }
            }
        }
    }

    async fn write(&self, here: &str, link: &Link) -> bool {
        let (tenant, gateway) = (&link.identity.tenant, &link.identity.gateway);
        let presence = Presence { replica: here.to_owned(), peer: link.peer.clone(), since: link.since };
        let batch = Batch::new(PRINCIPAL, "overlord.here");
        let batch = match self.store.get::<Presence>(tenant, gateway) {
            Some(known) => batch.update(tenant, gateway, known.version, &presence),
            None => batch.create(tenant, gateway, &presence),
        };
        told(gateway, self.store.commit(batch).await)
    }
}

/// Whether it is written; what is not is tried again in the next round.
fn told(gateway: &str, done: Result<u64, CommitError>) -> bool {
    match done {
        Ok(_) => true,
        Err(CommitError::Conflict { .. }) => false,
        Err(error) => {
            tracing::error!(%error, gateway, "where a gateway is could not be written");
            false
        }
    }
}
