//! Cloud accounts. What a caller sends of a key is sealed to the account's gateway at once, and kept in no other form.

use std::sync::Arc;

use fleet::AskError;
use gateway_protocol::{Account, MAAS_KEY, ProblemCode};
use jiff::Timestamp;
use plane_client::v1;
use plane_model::{CloudAccount, Overlord, claim, new_uid};
use sealing::Sealed;
use secrets::{ApiKey, Secret};
use store::Stored;

use super::{clusters, overlords, show, take};
use crate::{
    call::{Call, Caller},
    lists,
    reply::{Answer, ApiError, Reply},
    route::{
        Access::InProject,
        Resource::{self, PrivateGateway},
        Route, Verb, route,
    },
};

pub fn routes() -> Vec<Route> {
    vec![
        route!(POST "/v1/overlords/maas/{uid}/account/validate", InProject(PrivateGateway, Verb::Get), "Tries a MAAS account through a gateway.", validate, takes v1::MaasAccountToValidate, 204),
        route!(POST "/v1/clouds/maas/account/validate", InProject(PrivateGateway, Verb::Get), "Tries a MAAS account that the plane itself reaches, through its system private gateway.", validate_here, takes v1::MaasAccountSpec, 204),
        route!(GET "/v1/cloudaccounts/maas", InProject(Resource::CloudAccount, Verb::List), "All MAAS accounts.", list, 200: v1::List<v1::MaasAccount>),
        route!(POST "/v1/cloudaccounts/maas", InProject(Resource::CloudAccount, Verb::Create), "Makes one, having tried it.", create, takes v1::MaasAccount, 201: v1::Uid),
        route!(GET "/v1/cloudaccounts/maas/{uid}", InProject(Resource::CloudAccount, Verb::Get), "One of them.", read, 200: v1::MaasAccount),
        route!(PUT "/v1/cloudaccounts/maas/{uid}", InProject(Resource::CloudAccount, Verb::Update), "Changes it, having tried it.", update, takes v1::MaasAccount, 204),
        route!(DELETE "/v1/cloudaccounts/maas/{uid}", InProject(Resource::CloudAccount, Verb::Delete), "Deletes it.", delete, 204),
    ]
}

async fn validate(call: Call) -> Answer {
    let (caller, wanted) = (call.caller()?, call.json::<v1::MaasAccountToValidate>()?);
    let overlord = overlords::find(&call, caller)?;
    let key = seal(&overlord, &wanted.account.api_key)?;
    try_it(&call, caller, &overlord, &wanted.account.api_endpoint, &key).await?;
    Ok(Reply::Empty)
}

async fn validate_here(call: Call) -> Answer {
    let (caller, wanted) = (call.caller()?, call.json::<v1::MaasAccountSpec>()?);
    let all = call.state.store.list::<Overlord>(&caller.tenant);
    let system = all.into_iter().find(|one| one.value.system).ok_or_else(|| {
        ApiError::bad(
            "this plane has no system private gateway: name a gateway, as in /v1/overlords/maas/{uid}/account/validate",
        )
    })?;
    let key = seal(&system, &wanted.api_key)?;
    try_it(&call, caller, &system, &wanted.api_endpoint, &key).await?;
    Ok(Reply::Empty)
}

async fn list(call: Call) -> Answer {
    let caller = call.caller()?;
    let all = call.state.store.list::<CloudAccount>(&caller.tenant);
    let seen = all.iter().filter(|one| caller.sees(&one.value.owner));
    let shown = seen.map(|one| show_account(caller, one)).collect();
    lists::part(&call, shown)
}

async fn create(call: Call) -> Answer {
    let (caller, wanted) = (call.caller()?, call.json::<v1::MaasAccount>()?);
    let meta = take::meta(&wanted.metadata, None, Timestamp::now())?;
    let overlord = overlord_of(&call, caller, &wanted)?;
    let key = seal(&overlord, &wanted.spec.api_key)?;
    try_it(&call, caller, &overlord, &wanted.spec.api_endpoint, &key).await?;
    let account = CloudAccount {
        meta,
        owner: caller.owner(),
        overlord: overlord.id.clone(),
        endpoint: wanted.spec.api_endpoint,
        key,
        preferred_subnets: wanted.spec.preferred_subnets,
        extra: wanted.spec.extra,
    };
    let uid = new_uid();
    let batch = caller
        .batch("cloudaccount.create")
        // A gateway that is deleted meanwhile has no accounts.
        .expect::<Overlord>(&caller.tenant, &overlord.id, current(&call, caller, &overlord.id))
        .create(&caller.tenant, &uid, &account)
        .claim(&caller.tenant, claim::ACCOUNT, &unique(&account), &uid);
    let revision = call.commit(batch).await?;
    Ok(Reply::Made(uid, revision))
}

async fn read(call: Call) -> Answer {
    let caller = call.caller()?;
    Reply::of(&show_account(caller, &*find(&call, caller, call.capture(0))?))
}

async fn update(call: Call) -> Answer {
    let (caller, wanted) = (call.caller()?, call.json::<v1::MaasAccount>()?);
    let found = find(&call, caller, call.capture(0))?;
    caller.may_change(&found.value.owner)?;
    let meta = take::meta(&wanted.metadata, Some(&found.value.meta), Timestamp::now())?;
    let named = wanted.metadata.annotations.iter().flatten().any(|(key, _)| key == OVERLORD);
    let overlord = if named {
        overlord_of(&call, caller, &wanted)?
    } else {
        overlords::by_uid(&call, caller, &found.value.overlord)?
    };
    let used = clusters::of(&call, caller, |cluster| cluster.account == found.id);
    if overlord.id != found.value.overlord && !used.is_empty() {
        let message = format!("clusters run by its gateway: it is kept while there are {}", used.join(", "));
        return Err(ApiError::conflict("ResourceInUse", message));
    }
    let same_place = found.value.endpoint == wanted.spec.api_endpoint && found.value.overlord == overlord.id;
    let key = match (wanted.spec.api_key.is_empty(), same_place) {
        // Answers show no key, so clients that send back what they read send none.
        (true, true) => found.value.key.clone(),
        // Else whoever may change an account could have its key sent to a place of their own.
        (true, false) => {
            return Err(ApiError::bad("spec.apiKey: give the key again where endpoint or gateway change"));
        }
        (false, _) => seal(&overlord, &wanted.spec.api_key)?,
    };
    try_it(&call, caller, &overlord, &wanted.spec.api_endpoint, &key).await?;
    let changed = CloudAccount {
        meta,
        owner: found.value.owner.clone(),
        overlord: overlord.id.clone(),
        endpoint: wanted.spec.api_endpoint,
        key,
        preferred_subnets: wanted.spec.preferred_subnets,
        extra: wanted.spec.extra,
    };
    let mut batch =
        caller.batch("cloudaccount.update").update(&caller.tenant, &found.id, found.version, &changed);
    if found.value.meta.name != changed.meta.name {
        batch = batch.unclaim(&caller.tenant, claim::ACCOUNT, &unique(&found.value), &found.id).claim(
            &caller.tenant,
            claim::ACCOUNT,
            &unique(&changed),
            &found.id,
        );
    }
    if changed.key != found.value.key || changed.endpoint != found.value.endpoint {
        batch = clusters::ordered_anew(&call, caller, &found.id, batch);
    }
    call.commit(batch).await?;
    Ok(Reply::Empty)
}

async fn delete(call: Call) -> Answer {
    let caller = call.caller()?;
    let found = find(&call, caller, call.capture(0))?;
    caller.may_change(&found.value.owner)?;
    let users = clusters::of(&call, caller, |cluster| cluster.account == found.id);
    if !users.is_empty() {
        let message = format!("clusters have machines of it: delete them first: {}", users.join(", "));
        return Err(ApiError::conflict("ResourceInUse", message));
    }
    let batch = caller
        .batch("cloudaccount.delete")
        .delete::<CloudAccount>(&caller.tenant, &found.id, found.version)
        .unclaim(&caller.tenant, claim::ACCOUNT, &unique(&found.value), &found.id);
    call.commit(batch).await?;
    Ok(Reply::Empty)
}

/// Annotation that names an account's gateway.
const OVERLORD: &str = "overlordUid";

/// An account that the caller sees.
pub fn find(call: &Call, caller: &Caller, uid: &str) -> Result<Arc<Stored<CloudAccount>>, ApiError> {
    let found = call.state.store.get::<CloudAccount>(&caller.tenant, uid);
    let seen = found.filter(|account| caller.sees(&account.value.owner));
    seen.ok_or_else(|| ApiError::not_found("cloud account", uid))
}

/// What a gateway is told of an account.
pub fn at_site(account: &CloudAccount) -> Account {
    Account { endpoint: account.endpoint.clone(), key: account.key.clone() }
}

/// Why a site gave nothing, to a caller.
pub fn refused(error: AskError) -> ApiError {
    match error {
        AskError::Link(error) => ApiError::unavailable(
            "GatewayUnavailable",
            format!("{error}: look at it with `bessemer gateway status` at the site, then try again"),
        ),
        AskError::Odd(_) => ApiError::unavailable("GatewayUnavailable", error.to_string()),
        AskError::Problem(problem) => {
            let code = match problem.code {
                ProblemCode::Unauthorized => "MaasUnauthorized",
                ProblemCode::Forbidden => "MaasForbidden",
                ProblemCode::Unreachable => "MaasUnreachable",
                ProblemCode::Sealed => "AccountSealedElsewhere",
                ProblemCode::Invalid => "InvalidRequest",
                ProblemCode::Maas => "MaasRefused",
                ProblemCode::NotFound => "ResourceNotFound",
                ProblemCode::Engine => return ApiError::unavailable("GatewayUnavailable", problem.message),
            };
            ApiError::unfit(code, problem.message)
        }
    }
}

fn overlord_of(
    call: &Call,
    caller: &Caller,
    wanted: &v1::MaasAccount,
) -> Result<Arc<Stored<Overlord>>, ApiError> {
    let uid = wanted.metadata.annotations.as_ref().and_then(|all| all.get(OVERLORD));
    let uid = uid.filter(|uid| !uid.is_empty()).ok_or_else(|| {
        ApiError::bad("metadata.annotations.overlordUid: name the gateway that reaches the MAAS")
    })?;
    overlords::by_uid(call, caller, uid)
}

fn seal(overlord: &Stored<Overlord>, key: &Secret) -> Result<Sealed, ApiError> {
    // A key of a wrong form is refused here: it would not even be sent.
    key.expose().parse::<ApiKey>().map_err(|error| ApiError::bad(format!("spec.apiKey: {error}")))?;
    let to = overlord.value.sealing_key.as_ref().ok_or_else(|| {
        ApiError::unavailable(
            "GatewayUnavailable",
            "the gateway has not been connected yet: start it, then try again",
        )
    })?;
    to.seal(key, MAAS_KEY).map_err(|error| ApiError::bad(format!("spec.apiKey: {error}")))
}

async fn try_it(
    call: &Call,
    caller: &Caller,
    overlord: &Stored<Overlord>,
    endpoint: &str,
    key: &Sealed,
) -> Result<(), ApiError> {
    let account = Account { endpoint: endpoint.to_owned(), key: key.clone() };
    let fleet = &call.state.fleet;
    let tried = fleet.validate(&caller.actor(), &overlord.id, &account).await.map_err(refused)?;
    if overlord.value.system {
        let probed = fleet.probe(&caller.actor(), &overlord.id, &account).await.map_err(refused)?;
        let closed: Vec<&str> =
            probed.ways.iter().filter(|way| way.open == Some(false)).map(|way| way.what.as_str()).collect();
        if !closed.is_empty() {
            let message = format!(
                "the system private gateway needs more ways to the site; closed: {}. Open them, or put a private cloud \
                 gateway at the site, which needs none",
                closed.join("; ")
            );
            return Err(ApiError::unfit("SiteUnreachable", message));
        }
        for way in probed.ways.iter().filter(|way| way.open.is_none()) {
            tracing::warn!(gateway = overlord.id, way = way.what, "nobody can tell whether this way is open");
        }
    }
    tracing::info!(gateway = overlord.id, user = tried.user, version = tried.version, "a MAAS account works");
    Ok(())
}

/// The version of a gateway's record now; it changes by itself, with every beat.
fn current(call: &Call, caller: &Caller, uid: &str) -> u64 {
    call.state.store.get::<Overlord>(&caller.tenant, uid).map_or(0, |one| one.version)
}

fn unique(account: &CloudAccount) -> String {
    format!("{}/{}", account.owner.word(), account.meta.name)
}

fn show_account(caller: &Caller, one: &Stored<CloudAccount>) -> v1::MaasAccount {
    let mut own = show::whose(caller, &one.value.owner);
    own.push((OVERLORD, one.value.overlord.clone()));
    v1::MaasAccount {
        metadata: show::meta(&one.value.meta, &one.id, &own),
        spec: v1::MaasAccountSpec {
            api_endpoint: one.value.endpoint.clone(),
            api_key: Secret::default(),
            preferred_subnets: one.value.preferred_subnets.clone(),
            extra: one.value.extra.clone(),
        },
    }
}
