//! The event log.

use std::sync::Arc;

use jiff::tz::TimeZone;
use model::{Event, Level, Machine, SCOPE};
use serde_json::{Value, json};
use store::Stored;

use api_call::{
    Answer, ApiError, Call, Reply, mac,
    route::{Resource, named},
};

const DEFAULT_LIMIT: usize = 100;
const LIMIT: usize = 1000;

/// Events.
pub fn resources() -> Vec<Resource> {
    vec![Resource {
        name: "EventsHandler",
        path: "events/",
        params: &[],
        ops: vec![named!(
            GET,
            "query",
            User,
            "Lists events, newest first: `id`, `hostname`, `mac_address`, `zone`, `agent_name`, `owner`, `level`, `limit`, `before`, `after`.",
            query
        )],
    }]
}

async fn query(call: Call) -> Answer {
    let least = level(call.param("level").unwrap_or("INFO"))?;
    let limit = match call.param("limit") {
        Some(text) => whole(text, "limit")?,
        None => DEFAULT_LIMIT,
    };
    if limit > LIMIT {
        return Err(ApiError::Bad(format!(
            "Requested number of events {limit} is greater than limit: {LIMIT}"
        )));
    }
    let before: Option<u64> = call.param("before").map(|text| whole(text, "before")).transpose()?;
    let after: Option<u64> = call.param("after").map(|text| whole(text, "after")).transpose()?;
    let meant = |event: &Arc<Stored<Event>>| {
        event.value.level >= least
            && before.is_none_or(|before| event.value.number < before)
            && after.is_none_or(|after| event.value.number > after)
            && of_machine(&call, &event.value)
    };
    let all = call.store().list::<Event>(SCOPE);
    // Ids sort: oldest first. `after` wants those that follow it, else the newest are wanted.
    let mut found: Vec<_> = if after.is_some() {
        let mut found: Vec<_> = all.into_iter().filter(meant).take(limit).collect();
        found.reverse();
        found
    } else {
        all.into_iter().rev().filter(meant).take(limit).collect()
    };
    found.shrink_to_fit();
    let mut same = form_urlencoded::Serializer::new("op=query".to_owned());
    for param in call.query.iter().filter(|param| !["before", "after"].contains(&param.name.as_str())) {
        same.append_pair(&param.name, param.text.as_deref().unwrap_or_default());
    }
    let base = format!("/MAAS/api/2.0/events/?{}", same.finish());
    let newest = found.first().map(|event| format!("{base}&after={}", event.value.number));
    let oldest = found.last().map(|event| format!("{base}&before={}", event.value.number));
    let events: Vec<Value> = found.iter().map(|event| shown(&call, &event.value)).collect();
    Ok(Reply::Json(json!({
        "count": events.len(), "events": events, "next_uri": newest.unwrap_or(base), "prev_uri": oldest,
    })))
}

fn shown(call: &Call, event: &Event) -> Value {
    let machine = call.state.machines.get(&event.system_id);
    json!({
        "id": event.number, "node": event.system_id,
        "hostname": machine.map_or_else(String::new, |machine| machine.value.hostname.clone()),
        "created": event.created.to_zoned(TimeZone::UTC).strftime("%a, %d %b. %Y %H:%M:%S").to_string(),
        "level": event.level, "type": event.kind, "description": event.description,
        "username": event.user.as_deref().unwrap_or("unknown"),
    })
}

fn of_machine(call: &Call, event: &Event) -> bool {
    let ids = call.all("id");
    if !ids.is_empty() && !ids.contains(&event.system_id.as_str()) {
        return false;
    }
    let is = |name: &str, matches: &dyn Fn(&Machine, &str) -> bool| {
        let wanted = call.all(name);
        wanted.is_empty()
            || call
                .state
                .machines
                .get(&event.system_id)
                .is_some_and(|machine| wanted.iter().any(|one| matches(&machine.value, one)))
    };
    let owner = call.all("owner");
    is("hostname", &|machine, name| machine.hostname == name)
        && is("zone", &|machine, zone| machine.zone == zone)
        && is("agent_name", &|machine, agent| machine.agent_name == agent)
        && is("mac_address", &|machine, text| {
            mac(text).is_some_and(|mac| machine.nics.iter().any(|nic| nic.mac == mac))
        })
        && (owner.is_empty() || event.user.as_deref().is_some_and(|user| owner.contains(&user)))
}

fn level(name: &str) -> Result<Level, ApiError> {
    serde_json::from_value(json!(name)).map_err(|_| ApiError::Bad(format!("Unrecognised log level: {name}")))
}

fn whole<T: std::str::FromStr>(text: &str, name: &str) -> Result<T, ApiError> {
    text.parse().map_err(|_| ApiError::field(name, "Please enter an integer value"))
}
