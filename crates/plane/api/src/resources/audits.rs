//! Audits: every batch that was written in a tenant, the latest first.

use jiff::Timestamp;
use plane_client::v1;
use plane_model::User;
use store::{Audit, Touched};

use crate::{
    call::{Call, Caller},
    lists,
    reply::{Answer, ApiError},
    route::{Access::InTenant, Resource, Route, Verb, route},
};

/// So many batches are looked through, of all tenants.
const LOOKED_THROUGH: u32 = 20_000;

pub fn routes() -> Vec<Route> {
    vec![
        route!(GET "/v1/audits", InTenant(Resource::Audit, Verb::List), "What was changed, by whom; filters `userUid`, `resourceKind`, `resourceUid`, `actionType`, `startTime`, `endTime`.", list, 200: v1::List<v1::Audit>),
        route!(GET "/v1/audits/{uid}", InTenant(Resource::Audit, Verb::Get), "One of them.", read, 200: v1::Audit),
    ]
}

async fn list(call: Call) -> Answer {
    let (from, until) = (time(&call, "startTime")?, time(&call, "endTime")?);
    let mut all = all(&call).await?;
    let is = |wanted: &str, value: &str| call.query(wanted).is_none_or(|wanted| wanted == value);
    all.retain(|audit| {
        let (at, spec) = (audit.metadata.creation_timestamp, &audit.spec);
        from.is_none_or(|from| at >= Some(from))
            && until.is_none_or(|until| at <= Some(until))
            && is("userUid", &spec.actor.user.uid)
            && is("resourceKind", &spec.resource.kind)
            && is("resourceUid", &spec.resource.uid)
            && is("actionType", &spec.action_type)
    });
    lists::part(&call, all)
}

async fn read(call: Call) -> Answer {
    let wanted = call.capture(0);
    let found = all(&call).await?.into_iter().find(|audit| audit.metadata.uid == wanted);
    crate::reply::Reply::of(&found.ok_or_else(|| ApiError::not_found("audit", wanted))?)
}

async fn all(call: &Call) -> Result<Vec<v1::Audit>, ApiError> {
    let caller = call.caller()?;
    let read = call.state.store.audit(LOOKED_THROUGH).await.map_err(|error| {
        tracing::error!(%error, "the audit could not be read");
        ApiError::unavailable("StoreUnavailable", "the audit cannot be read just now: try again")
    })?;
    let mut shown: Vec<v1::Audit> = read.iter().filter_map(|audit| shown(call, caller, audit)).collect();
    shown.sort_by_key(|audit| std::cmp::Reverse(audit.metadata.creation_timestamp));
    Ok(shown)
}

/// An audit as it is shown; none where it is another tenant's.
fn shown(call: &Call, caller: &Caller, audit: &Audit) -> Option<v1::Audit> {
    let (kind, uid) = audit.touched.iter().find_map(|touched| match touched {
        Touched::Document { scope, kind, id, .. } if **scope == *caller.tenant => Some((kind, id)),
        _ => None,
    })?;
    let (part, name) = audit.principal.split_once(':').unwrap_or((&audit.principal, ""));
    let mut actor = v1::AuditActor::default();
    match part {
        "user" => {
            let user = call.state.store.get::<User>(&caller.tenant, name);
            let email_id = user.map(|user| user.value.meta.name.clone()).unwrap_or_default();
            "user".clone_into(&mut actor.actor_type);
            actor.user = v1::AuditUser { uid: name.to_owned(), email_id };
        }
        "gateway" => (actor.actor_type, actor.service_name) = ("service".to_owned(), audit.principal.clone()),
        _ => (actor.actor_type, actor.service_name) = ("system".to_owned(), audit.principal.clone()),
    }
    let action = match audit.action.rsplit('.').next().unwrap_or_default() {
        known @ ("create" | "update" | "delete" | "publish") => known,
        _ => "action",
    };
    Some(v1::Audit {
        metadata: v1::Meta {
            uid: audit.revision.to_string(),
            creation_timestamp: Some(audit.at),
            ..v1::Meta::default()
        },
        spec: v1::AuditSpec {
            action_msg: audit.action.clone(),
            action_type: action.to_owned(),
            actor,
            resource: v1::AuditResource { kind: kind.to_string(), uid: uid.to_string() },
        },
    })
}

fn time(call: &Call, name: &str) -> Result<Option<Timestamp>, ApiError> {
    let parse =
        |text: &str| text.parse().map_err(|_| ApiError::bad(format!("{name} is a time, not {text:?}")));
    call.query(name).map(parse).transpose()
}
