//! Pairing codes: a gateway's record begins with one.

use jiff::Timestamp;
use plane_model::{CloudAccount, Overlord, PLANE, Pairing, claim, new_uid};
use secrets::random_token;
use store::{Batch, CommitError, Stored};
use tunnel::PairingCode;

use crate::Fleet;

/// Codes that wait at a time, for a tenant.
const WAITING: usize = 100;

/// Name of the gateway in the plane's own process.
const SYSTEM: &str = "System Private Gateway";

/// Why a gateway's record was not made or changed.
#[derive(Debug, thiserror::Error)]
pub enum PairError {
    /// Codes are a way to guess.
    #[error("{WAITING} gateways wait to be paired already: pair or delete some")]
    TooMany,
    /// The name.
    #[error("a gateway is named {0} already")]
    Taken(String),
    /// Not there, or not the caller's.
    #[error("there is no such gateway")]
    Unknown,
    /// It is needed.
    #[error("{0} use the gateway: delete or move them first")]
    Used(String),
    /// The store.
    #[error(transparent)]
    Store(CommitError),
}

impl Fleet {
    /// A new gateway's record and the code to pair it with, shown once. Records whose code ran out go.
    ///
    /// # Errors
    /// [`PairError`]
    pub async fn invite(
        &self,
        principal: &str,
        tenant: &str,
        name: Option<&str>,
    ) -> Result<(String, PairingCode), PairError> {
        let now = Timestamp::now();
        let all = self.store.list::<Overlord>(tenant);
        let waits = |until: &Timestamp| *until >= now;
        let waiting = all
            .iter()
            .filter(|one| matches!(&one.value.pairing, Pairing::Waiting { until, .. } if waits(until)));
        if waiting.count() >= WAITING {
            return Err(PairError::TooMany);
        }
        let (uid, code) = (new_uid(), PairingCode::random(self.authority.fingerprint()));
        let name = name.map_or_else(|| format!("gateway-{}", random_token(3)), str::to_owned);
        let overlord = Overlord::waiting(&name, &code.secret, now);
        let mut batch = Batch::new(principal, "overlord.invite");
        let old = |one: &&std::sync::Arc<Stored<Overlord>>| matches!(&one.value.pairing, Pairing::Waiting { until, .. } if !waits(until));
        for one in all.iter().filter(old) {
            batch = forget(batch, tenant, one);
        }
        let batch = batch.create(tenant, &uid, &overlord).claim(tenant, claim::OVERLORD, &name, &uid).claim(
            PLANE,
            claim::PAIRING_CODE,
            overlord.pairing.code(),
            &format!("{tenant}/{uid}"),
        );
        self.commit(batch).await?;
        Ok((uid, code))
    }

    /// Whether a gateway in a plane's own process was paired.
    pub fn has_system(&self, tenant: &str) -> bool {
        let all = self.store.list::<Overlord>(tenant);
        all.iter().any(|one| one.value.system && matches!(one.value.pairing, Pairing::Paired { .. }))
    }

    /// A code for the gateway in the plane's own process; its record is made where there is none.
    ///
    /// # Errors
    /// [`PairError`]
    pub async fn invite_system(&self, principal: &str, tenant: &str) -> Result<PairingCode, PairError> {
        let all = self.store.list::<Overlord>(tenant);
        if let Some(known) = all.iter().find(|one| one.value.system) {
            return self.reset(principal, tenant, &known.id).await;
        }
        let (uid, code) = (new_uid(), PairingCode::random(self.authority.fingerprint()));
        let waiting = Overlord::waiting(SYSTEM, &code.secret, Timestamp::now());
        let overlord = Overlord { system: true, ..waiting };
        let batch = Batch::new(principal, "overlord.invite")
            .create(tenant, &uid, &overlord)
            .claim(tenant, claim::OVERLORD, SYSTEM, &uid)
            .claim(PLANE, claim::PAIRING_CODE, overlord.pairing.code(), &format!("{tenant}/{uid}"));
        self.commit(batch).await?;
        Ok(code)
    }

    /// Takes a gateway's pairing back: it is to be paired by a new code.
    ///
    /// # Errors
    /// [`PairError`]
    pub async fn reset(&self, principal: &str, tenant: &str, uid: &str) -> Result<PairingCode, PairError> {
        let stored = self.overlord(tenant, uid).ok_or(PairError::Unknown)?;
        let code = PairingCode::random(self.authority.fingerprint());
        let fresh = Overlord::waiting(&stored.value.meta.name, &code.secret, Timestamp::now());
        let changed = Overlord { pairing: fresh.pairing, sealing_key: None, ..stored.value.clone() };
        let owner = format!("{tenant}/{uid}");
        let batch = Batch::new(principal, "overlord.reset")
            .update(tenant, uid, stored.version, &changed)
            .unclaim(PLANE, claim::PAIRING_CODE, stored.value.pairing.code(), &owner)
            .claim(PLANE, claim::PAIRING_CODE, changed.pairing.code(), &owner);
        self.commit(batch).await?;
        self.links.close(uid);
        Ok(code)
    }

    /// Deletes a gateway's record and ends its connection.
    ///
    /// # Errors
    /// [`PairError`]
    pub async fn dismiss(&self, principal: &str, tenant: &str, uid: &str) -> Result<(), PairError> {
        let stored = self.overlord(tenant, uid).ok_or(PairError::Unknown)?;
        let accounts = self.store.list::<CloudAccount>(tenant);
        let users: Vec<_> = accounts
            .iter()
            .filter(|account| account.value.overlord == uid)
            .map(|account| format!("cloud account {}", account.value.meta.name))
            .collect();
        if !users.is_empty() {
            return Err(PairError::Used(users.join(", ")));
        }
        self.commit(forget(Batch::new(principal, "overlord.delete"), tenant, &stored)).await?;
        self.links.close(uid);
        Ok(())
    }

    async fn commit(&self, batch: Batch) -> Result<(), PairError> {
        match self.store.commit(batch).await {
            Ok(_) => Ok(()),
            Err(CommitError::Taken { name, .. }) => Err(PairError::Taken(name)),
            Err(error) => Err(PairError::Store(error)),
        }
    }
}

fn forget(batch: Batch, tenant: &str, one: &Stored<Overlord>) -> Batch {
    let uid = &one.id;
    batch
        .delete::<Overlord>(tenant, uid, one.version)
        .unclaim(tenant, claim::OVERLORD, &one.value.meta.name, uid)
        .unclaim(PLANE, claim::PAIRING_CODE, one.value.pairing.code(), &format!("{tenant}/{uid}"))
}
