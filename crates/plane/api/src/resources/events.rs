//! Events: what happened to clusters, latest first.

use plane_client::v1;
use plane_model::{Cluster, Event, Events, Severity};
use store::Stored;

use super::clusters;
use crate::{
    call::Call,
    lists,
    reply::{Answer, ApiError},
    route::{Access::InProject, Resource, Route, Verb, route},
};

/// The only kind of objects that have events; Palette's name of it.
const KIND: &str = "spectrocluster";

pub fn routes() -> Vec<Route> {
    vec![
        route!(GET "/v1/events/components", InProject(Resource::Cluster, Verb::List), "What happened to all clusters.", all, 200: v1::List<v1::Event>),
        route!(GET "/v1/events/components/{objectKind}/{objectUid}", InProject(Resource::Cluster, Verb::Get), "What happened to one: kind `spectrocluster`.", of_one, 200: v1::List<v1::Event>),
    ]
}

async fn all(call: Call) -> Answer {
    let caller = call.caller()?;
    let clusters = call.state.store.list::<Cluster>(&caller.tenant);
    let seen = clusters.iter().filter(|cluster| caller.sees(&cluster.value.owner));
    let mut events: Vec<v1::Event> = seen.flat_map(|cluster| of(&call, &caller.tenant, cluster)).collect();
    events.sort_by_key(|event| std::cmp::Reverse(event.metadata.creation_timestamp));
    lists::part(&call, events)
}

async fn of_one(call: Call) -> Answer {
    let caller = call.caller()?;
    let (kind, uid) = (call.capture(0), call.capture(1));
    if !kind.eq_ignore_ascii_case(KIND) {
        return Err(ApiError::not_found("kind of objects with events", kind));
    }
    let cluster = clusters::by_uid(&call, caller, uid)?;
    lists::part(&call, of(&call, &caller.tenant, &cluster))
}

fn of(call: &Call, tenant: &str, cluster: &Stored<Cluster>) -> Vec<v1::Event> {
    let events = call.state.store.get::<Events>(tenant, &cluster.id);
    let all = events.iter().flat_map(|events| events.value.all.iter().enumerate().rev());
    all.map(|(number, event)| shown(cluster, number, event)).collect()
}

fn shown(cluster: &Stored<Cluster>, number: usize, event: &Event) -> v1::Event {
    let name = &cluster.value.meta.name;
    let (component, host) = event.by.split_once(':').unwrap_or((&event.by, ""));
    v1::Event {
        metadata: v1::Meta {
            name: format!("{name}.{number}"),
            creation_timestamp: Some(event.at),
            ..v1::Meta::default()
        },
        involved_object: v1::ClusterRef {
            kind: KIND.to_owned(),
            name: name.clone(),
            uid: cluster.id.clone(),
        },
        reason: event.reason.clone(),
        message: event.message.clone(),
        severity: match event.severity {
            Severity::Info => "Info",
            Severity::Warning => "Warning",
        }
        .to_owned(),
        source: v1::EventSource { component: component.to_owned(), host: host.to_owned() },
    }
}
