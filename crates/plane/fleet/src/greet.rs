//! Asking gateways that come what they are, and writing down when they were there.

use std::{collections::HashMap, time::Duration};

use jiff::Timestamp;
use plane_model::Overlord;
use store::{Batch, CommitError};
use tokio::time::timeout;
use tunnel::{Actor, Link};

use crate::Fleet;

/// What is still there is written down so often.
const BEAT: Duration = Duration::from_mins(1);
/// What went wrong is tried again after this.
const AGAIN: Duration = Duration::from_secs(2);
const PRINCIPAL: &str = "plane:fleet";

impl Fleet {
    /// Goes on for as long as the plane runs.
    pub async fn greet(self) {
        let mut changes = self.links.changes();
        let mut greeted = HashMap::new();
        loop {
            let (there, mut pause) = (self.links.all(), BEAT);
            greeted.retain(|gateway, _| there.iter().any(|link| link.identity.gateway == *gateway));
            for link in there {
                let key = (link.since, Timestamp::now().as_second() / BEAT.as_secs().cast_signed());
                if greeted.get(&link.identity.gateway) == Some(&key) {
                    continue;
                }
                if self.note(&link).await {
                    greeted.insert(link.identity.gateway.clone(), key);
                } else {
                    pause = AGAIN;
                }
            }
            let _ = timeout(pause, changes.changed()).await;
        }
    }

    /// Whether what it said is written down.
    async fn note(&self, link: &Link) -> bool {
        let (tenant, uid) = (&link.identity.tenant, &link.identity.gateway);
        let actor = Actor { name: PRINCIPAL.to_owned(), tenant: tenant.clone(), person: None };
        let about = match self.about(&actor, uid).await {
            Ok(about) => about,
            Err(error) => {
                tracing::warn!(%error, gateway = uid, "a gateway did not say what it is");
                return false;
            }
        };
        let Some(stored) = self.overlord(tenant, uid) else { return false };
        let changed = Overlord {
            sealing_key: Some(about.sealing_key),
            software: Some(about.software),
            seen: Some(Timestamp::now()),
            ..stored.value.clone()
        };
        let batch = Batch::new(PRINCIPAL, "overlord.seen").update(tenant, uid, stored.version, &changed);
        match self.store.commit(batch).await {
            Ok(_) => true,
            Err(CommitError::Conflict { .. }) => false,
            Err(error) => {
                tracing::error!(%error, gateway = uid, "a gateway's record could not be written");
                false
            }
        }
    }
}
