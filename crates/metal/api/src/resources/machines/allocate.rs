//! Allocation: the first Ready machine that matches and that nobody else takes meanwhile.

use lifecycle::Status;
use model::ops::OpError;
use serde_json::{Map, Value, json};
use store::CommitError;

use super::{Filter, constraints, python, rendered, storage, with};
use api_call::{Answer, ApiError, Call, Params, Reply};

/// Parameters that are no constraints.
const OTHER: [&str; 8] =
    ["agent_name", "comment", "bridge_all", "bridge_type", "bridge_stp", "bridge_fd", "dry_run", "verbose"];

pub async fn allocate(call: Call) -> Answer {
    let sent = if call.form.names().is_empty() { &call.query } else { &call.form };
    let filter = Filter::parse(sent, &OTHER, call.store())?;
    let mut candidates: Vec<_> = call
        .state
        .machines
        .all()
        .into_iter()
        .filter(|machine| machine.value.status == Status::Ready && filter.takes(machine))
        .collect();
    // The smallest that will do, so that the large ones are there for those who need them.
    candidates.sort_by_key(|machine| (machine.value.cpu_count, machine.value.memory));
    for candidate in candidates {
        let taken = if call.flag("dry_run") {
            candidate
        } else {
            let agent_name = call.param("agent_name").unwrap_or_default();
            match call.state.machines.allocate(&call.actor(), &candidate.id, agent_name).await {
                Ok(taken) => taken,
                // Somebody else was faster: the next one.
                Err(
                    OpError::NotFound
                    | OpError::Illegal(_)
                    | OpError::State(_)
                    | OpError::Forbidden(_)
                    | OpError::Store(CommitError::Conflict { .. }),
                ) => continue,
                Err(error) => return Err(error.into()),
            }
        };
        let wanted = sent.get("storage").and_then(storage::parse);
        let storage = wanted.as_ref().and_then(|wanted| storage::fit(wanted, &taken.value)).map(|fit| {
            let by_label: Map<String, Value> =
                fit.into_iter().map(|(label, disk)| (label, json!([disk.number]))).collect();
            Value::Object(by_label)
        });
        let by_type = constraints(call.flag("verbose"), storage);
        return Ok(Reply::Json(with(rendered(&call, &taken), "constraints_by_type", by_type)));
    }
    Err(ApiError::Conflict(nothing(&call, sent, &filter)))
}

/// MAAS's words where nothing matches.
fn nothing(call: &Call, sent: &Params, filter: &Filter) -> String {
    if let Some(system_id) = call.param("system_id") {
        format!("No machine with system ID {system_id} available.")
    } else if filter.resolved.is_empty() {
        "No machine available.".to_owned()
    } else {
        format!(
            "No available machine matches constraints: {} (resolved to \"{}\")",
            python(sent),
            filter.resolved.join(" ")
        )
    }
}
