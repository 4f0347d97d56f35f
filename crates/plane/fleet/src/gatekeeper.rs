//! Who may come in by the tunnel.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use plane_model::{Attempt, Overlord, PLANE, Pairing, claim, of_tenant};
use secrets::Secret;
use store::{Batch, CommitError};
use tunnel::{
    Fingerprint, Gatekeeper, Identity,
    hello::{Refusal, RefusalCode},
};

use crate::Fleet;

/// When a gateway is to come again, while the store cannot be written.
const LATER: Duration = Duration::from_secs(5);

#[async_trait]
impl Gatekeeper for Fleet {
    async fn pair(&self, code: &Secret, key: Fingerprint) -> Result<Identity, Refusal> {
        let unknown = || {
            Refusal::new(
                RefusalCode::CodeUnknown,
                "the plane has not given out this code, or its gateway was deleted: ask for a new one",
            )
        };
        self.catch_up().await?;
        let owner =
            self.store.holder(PLANE, claim::PAIRING_CODE, &Pairing::code_of(code)).ok_or_else(unknown)?;
        let (tenant, uid) = of_tenant(&owner).ok_or_else(unknown)?;
        let identity = Identity { gateway: uid.to_owned(), tenant: tenant.to_owned() };
        self.change(&identity, "overlord.pair", |overlord| {
            match overlord.pairing.attempt(key, Timestamp::now()) {
                Attempt::Pairs(pairing) => {
                    overlord.pairing = pairing;
                    Ok(true)
                }
                Attempt::Again => Ok(false),
                Attempt::Expired(until) => Err(Refusal::new(
                    RefusalCode::CodeExpired,
                    format!("the code ended at {until}: ask for a new one"),
                )),
                Attempt::Used => {
                    let reason =
                        "another gateway was paired by this code: ask for a new one, and look who used it";
                    Err(Refusal::new(RefusalCode::CodeUsed, reason))
                }
            }
        })
        .await?;
        tracing::info!(gateway = uid, tenant, "a gateway is paired");
        Ok(identity)
    }

    async fn admit(&self, who: &Identity, key: Fingerprint, epoch: Option<u64>) -> Result<(), Refusal> {
        self.catch_up().await?;
        self.change(who, "overlord.epoch", |overlord| {
            if !overlord.is_paired_with(key) {
                let reason = "the gateway was paired anew, or its pairing was reset: pair it with a new code";
                return Err(Refusal::new(RefusalCode::Revoked, reason));
            }
            match epoch {
                Some(epoch) if epoch < overlord.epoch => {
                    let reason =
                        "a newer start of this gateway is connected: two of them run with the same data";
                    Err(Refusal::new(RefusalCode::Fenced, reason))
                }
                Some(epoch) if epoch > overlord.epoch => {
                    overlord.epoch = epoch;
                    Ok(true)
                }
                _ => Ok(false),
            }
        })
        .await
    }

    fn incarnation(&self) -> u64 {
        self.incarnation
    }
}

impl Fleet {
    /// What was written at another replica counts here: a gateway pairs at one and connects to another.
    async fn catch_up(&self) -> Result<(), Refusal> {
        if !self.is_replica() {
            return Ok(());
        }
        self.store.catch_up().await.map_err(|error| {
            tracing::error!(%error, "the store could not be read");
            Refusal::later("the plane cannot read its database just now", LATER)
        })
    }

    /// Changes a gateway's record, deciding again where somebody else was faster; `decide` says whether it changed.
    async fn change(
        &self,
        who: &Identity,
        action: &str,
        decide: impl Fn(&mut Overlord) -> Result<bool, Refusal>,
    ) -> Result<(), Refusal> {
        loop {
            let stored = self.overlord(&who.tenant, &who.gateway).ok_or_else(|| {
                Refusal::new(
                    RefusalCode::Revoked,
                    "the gateway's record is gone from the plane: pair it with a new code",
                )
            })?;
            let mut overlord = stored.value.clone();
            if !decide(&mut overlord)? {
                return Ok(());
            }
            let principal = format!("gateway:{}", who.gateway);
            let batch =
                Batch::new(principal, action).update(&who.tenant, &who.gateway, stored.version, &overlord);
            match self.store.commit(batch).await {
                Ok(_) => return Ok(()),
                Err(CommitError::Conflict { .. }) => {}
                Err(error) => {
                    tracing::error!(%error, gateway = who.gateway, "a gateway's record could not be written");
                    return Err(Refusal::later("the plane cannot write just now", LATER));
                }
            }
        }
    }
}
