//! API keys.

use jiff::{SignedDuration, Timestamp};
use plane_client::v1;
use plane_model::{ApiKey, KeyText, PLANE, User, claim, new_uid};
use store::Stored;

use super::{show, take};
use crate::{
    call::{Call, Caller},
    lists,
    reply::{Answer, ApiError, Reply},
    route::{
        Access::{InTenant, SignedIn},
        Resource, Route, Verb, route,
    },
};
use plane_model::Role;

/// How long a key is good, where nobody says.
const USUAL: SignedDuration = SignedDuration::from_hours(90 * 24);
/// No key is good for longer.
const LONGEST: SignedDuration = SignedDuration::from_hours(366 * 24);

pub fn routes() -> Vec<Route> {
    vec![
        route!(GET "/v1/apiKeys", SignedIn, "One's own API keys; an administrator's are all of the tenant.", list, 200: v1::List<v1::ApiKey>),
        route!(POST "/v1/apiKeys", SignedIn, "Makes one, and tells it once.", create, takes v1::ApiKeyEntity, 201: v1::ApiKeyCreated),
        route!(GET "/v1/apiKeys/{uid}", SignedIn, "One of them.", read, 200: v1::ApiKey),
        route!(PUT "/v1/apiKeys/{uid}/state", SignedIn, "Switches it on or off.", state, takes v1::ApiKeyState, 204),
        route!(DELETE "/v1/apiKeys/{uid}", SignedIn, "Deletes it.", delete, 204),
        route!(GET "/v1/apiKeys/tenant", InTenant(Resource::ApiKey, Verb::List), "All of the tenant. An extension.", list, 200: v1::List<v1::ApiKey>),
    ]
}

async fn list(call: Call) -> Answer {
    let caller = call.caller()?;
    let keys = call.state.store.list::<ApiKey>(&caller.tenant);
    let seen = keys.iter().filter(|key| is_for(caller, &key.value.user));
    let shown = seen.map(|key| show_key(&call, caller, key)).collect();
    lists::part(&call, shown)
}

async fn create(call: Call) -> Answer {
    let (caller, wanted, now) = (call.caller()?, call.json::<v1::ApiKeyEntity>()?, Timestamp::now());
    let user = wanted.spec.user_uid.as_deref().filter(|uid| !uid.is_empty()).unwrap_or(&caller.user);
    if !is_for(caller, user) || call.state.store.get::<User>(&caller.tenant, user).is_none() {
        return Err(ApiError::not_found("user", user));
    }
    let expiry = wanted.spec.expiry.unwrap_or(now + USUAL);
    if expiry <= now || expiry > now + LONGEST {
        return Err(ApiError::bad("spec.expiry: within a year from now"));
    }
    let (uid, key) = (new_uid(), KeyText::random());
    let record = ApiKey {
        meta: take::meta(&wanted.metadata, None, now)?,
        user: user.to_owned(),
        hash: key.hash(),
        expiry,
        active: true,
    };
    let batch = caller.batch("apiKey.create").create(&caller.tenant, &uid, &record).claim(
        PLANE,
        claim::API_KEY,
        &record.hash,
        &format!("{}/{uid}", caller.tenant),
    );
    call.commit(batch).await?;
    Reply::of(&v1::ApiKeyCreated { api_key: key.0, uid })
}

async fn read(call: Call) -> Answer {
    let caller = call.caller()?;
    Reply::of(&show_key(&call, caller, &*find(&call, caller)?))
}

async fn state(call: Call) -> Answer {
    let caller = call.caller()?;
    let key = find(&call, caller)?;
    let changed = ApiKey { active: call.json::<v1::ApiKeyState>()?.is_active, ..key.value.clone() };
    call.commit(caller.batch("apiKey.update").update(&caller.tenant, &key.id, key.version, &changed)).await?;
    Ok(Reply::Empty)
}

async fn delete(call: Call) -> Answer {
    let caller = call.caller()?;
    let key = find(&call, caller)?;
    let batch = caller.batch("apiKey.delete").delete::<ApiKey>(&caller.tenant, &key.id, key.version).unclaim(
        PLANE,
        claim::API_KEY,
        &key.value.hash,
        &format!("{}/{}", caller.tenant, key.id),
    );
    call.commit(batch).await?;
    Ok(Reply::Empty)
}

fn find(call: &Call, caller: &Caller) -> Result<std::sync::Arc<Stored<ApiKey>>, ApiError> {
    let uid = call.capture(0);
    let key =
        call.state.store.get::<ApiKey>(&caller.tenant, uid).filter(|key| is_for(caller, &key.value.user));
    key.ok_or_else(|| ApiError::not_found("API key", uid))
}

/// Whether a user's keys are the caller's to see and change.
fn is_for(caller: &Caller, user: &str) -> bool {
    caller.user == user || caller.rights.role(None) == Some(Role::Admin)
}

fn show_key(call: &Call, caller: &Caller, key: &Stored<ApiKey>) -> v1::ApiKey {
    let user = call.state.store.get::<User>(&caller.tenant, &key.value.user);
    let owner = user.map(|user| v1::KeyOwner {
        uid: user.id.clone(),
        first_name: user.value.first_name.clone(),
        last_name: user.value.last_name.clone(),
        email_id: user.value.meta.name.clone(),
    });
    v1::ApiKey {
        metadata: show::meta(&key.value.meta, &key.id, &[]),
        spec: v1::ApiKeySpec {
            user_uid: Some(key.value.user.clone()),
            expiry: Some(key.value.expiry),
            user: owner,
        },
        status: v1::ApiKeyStatus { is_active: key.value.is_good(Timestamp::now()) },
    }
}
