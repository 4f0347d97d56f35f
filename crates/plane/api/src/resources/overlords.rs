//! Gateways, which Palette calls overlords. They are the tenant's, and seen in all its projects.

use std::sync::Arc;

use fleet::PairError;
use jiff::Timestamp;
use plane_client::v1;
use plane_model::{Overlord, Pairing, claim};
use store::Stored;

use super::{show, take};
use crate::{
    call::{Call, Caller},
    lists,
    reply::{Answer, ApiError, Reply},
    route::{
        Access::{InProject, InTenant},
        Resource::PrivateGateway,
        Route, Verb, route,
    },
};

pub fn routes() -> Vec<Route> {
    vec![
        route!(GET "/v1/overlords", InProject(PrivateGateway, Verb::List), "All gateways.", list, 200: v1::List<v1::Overlord>),
        route!(GET "/v1/overlords/pairing/code", InTenant(PrivateGateway, Verb::Create), "A new gateway's record, and the code to pair it with.", code, 200: v1::PairingCode),
        route!(GET "/v1/overlords/{uid}", InProject(PrivateGateway, Verb::Get), "One of them.", read, 200: v1::Overlord),
        route!(PUT "/v1/overlords/{uid}/metadata", InTenant(PrivateGateway, Verb::Update), "Changes its name and labels.", rename, takes v1::MetaUpdate, 204),
        route!(PUT "/v1/overlords/{uid}/reset", InTenant(PrivateGateway, Verb::Update), "Takes its pairing back; the message is a new code.", reset, 200: v1::Message),
        route!(DELETE "/v1/overlords/{uid}", InTenant(PrivateGateway, Verb::Delete), "Deletes it, where nothing uses it.", delete, 200: v1::Message),
    ]
}

async fn list(call: Call) -> Answer {
    let caller = call.caller()?;
    let all = call.state.store.list::<Overlord>(&caller.tenant);
    let named =
        |one: &&Arc<Stored<Overlord>>| call.query("name").is_none_or(|name| one.value.meta.name == name);
    let shown = all.iter().filter(named).map(|one| show_overlord(&call, caller, one)).collect();
    lists::part(&call, shown)
}

async fn code(call: Call) -> Answer {
    let caller = call.caller()?;
    let name = call.query("name").map(take::name).transpose()?;
    let (_, code) =
        call.state.fleet.invite(&caller.principal(), &caller.tenant, name).await.map_err(refused)?;
    Reply::of(&v1::PairingCode { pairing_code: code.expose() })
}

async fn read(call: Call) -> Answer {
    let caller = call.caller()?;
    Reply::of(&show_overlord(&call, caller, &*find(&call, caller)?))
}

async fn rename(call: Call) -> Answer {
    let (caller, wanted) = (call.caller()?, call.json::<v1::MetaUpdate>()?);
    let found = find(&call, caller)?;
    let meta = take::meta(&wanted.metadata, Some(&found.value.meta), Timestamp::now())?;
    let changed = Overlord { meta, ..found.value.clone() };
    let batch = caller
        .batch("privateGateway.update")
        .update(&caller.tenant, &found.id, found.version, &changed)
        .unclaim(&caller.tenant, claim::OVERLORD, &found.value.meta.name, &found.id)
        .claim(&caller.tenant, claim::OVERLORD, &changed.meta.name, &found.id);
    call.commit(batch).await?;
    Ok(Reply::Empty)
}

async fn reset(call: Call) -> Answer {
    let caller = call.caller()?;
    let uid = &find(&call, caller)?.id;
    let code = call.state.fleet.reset(&caller.principal(), &caller.tenant, uid).await.map_err(refused)?;
    Reply::of(&v1::Message { msg: code.expose() })
}

async fn delete(call: Call) -> Answer {
    let caller = call.caller()?;
    let found = find(&call, caller)?;
    call.state.fleet.dismiss(&caller.principal(), &caller.tenant, &found.id).await.map_err(refused)?;
    Reply::of(&v1::Message { msg: format!("the gateway {} is deleted", found.value.meta.name) })
}

/// A gateway of the caller's tenant.
pub fn find(call: &Call, caller: &Caller) -> Result<Arc<Stored<Overlord>>, ApiError> {
    by_uid(call, caller, call.capture(0))
}

/// A gateway of the caller's tenant.
pub fn by_uid(call: &Call, caller: &Caller, uid: &str) -> Result<Arc<Stored<Overlord>>, ApiError> {
    let found = call.state.store.get::<Overlord>(&caller.tenant, uid);
    found.ok_or_else(|| ApiError::not_found("gateway", uid))
}

fn refused(error: PairError) -> ApiError {
    match error {
        PairError::TooMany => ApiError::conflict("TooManyPairingCodes", error.to_string()),
        PairError::Taken(_) => ApiError::conflict("ResourceAlreadyExists", error.to_string()),
        PairError::Used(_) => ApiError::conflict("ResourceInUse", error.to_string()),
        PairError::Unknown => ApiError::not_found("gateway", ""),
        PairError::Store(reason) => {
            tracing::error!(%reason, "the store could not write");
            ApiError::unavailable("StoreUnavailable", "the plane cannot write just now: try again")
        }
    }
}

fn show_overlord(call: &Call, caller: &Caller, one: &Stored<Overlord>) -> v1::Overlord {
    let (link, now) = (call.state.fleet.connected(&caller.tenant, &one.id), Timestamp::now());
    let condition = |kind: &str, message: String| v1::Condition { kind: kind.to_owned(), message };
    let (state, conditions) = match (&one.value.pairing, &link) {
        (Pairing::Waiting { until, .. }, _) if *until < now => (
            "Pending",
            vec![condition("Paired", format!("the pairing code ended at {until:.0}: ask for a new one"))],
        ),
        (Pairing::Waiting { until, .. }, _) => (
            "Pending",
            vec![condition("Paired", format!("not paired yet; the code is good until {until:.0}"))],
        ),
        (_, Some(link)) => (
            "Running",
            vec![condition("Connected", format!("connected since {:.0} from {}", link.since, link.peer))],
        ),
        (_, None) => {
            let since = one
                .value
                .seen
                .map_or_else(|| "it was never seen".to_owned(), |seen| format!("last seen at {seen:.0}"));
            ("Down", vec![condition("Connected", format!("not connected: {since}"))])
        }
    };
    v1::Overlord {
        kind: "maas".to_owned(),
        metadata: show::meta(
            &one.value.meta,
            &one.id,
            &[("scope", "tenant".to_owned()), ("tenantUid", caller.tenant.clone())],
        ),
        spec: v1::OverlordSpec {
            tenant_uid: caller.tenant.clone(),
            is_system: one.value.system,
            is_self_hosted: !one.value.system,
            ip_address: link.as_ref().map(|link| link.peer.clone()).unwrap_or_default(),
        },
        status: v1::OverlordStatus {
            state: state.to_owned(),
            is_active: matches!(one.value.pairing, Pairing::Paired { .. }),
            is_ready: link.is_some(),
            health: v1::Health {
                agent_version: one.value.software.clone().unwrap_or_default(),
                last_heart_beat_timestamp: if link.is_some() { Some(now) } else { one.value.seen },
                state: if link.is_some() { "Healthy" } else { "UnHealthy" }.to_owned(),
                conditions,
            },
        },
    }
}
