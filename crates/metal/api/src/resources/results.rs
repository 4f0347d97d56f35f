//! Outputs of scripts as MAAS showed them before it knew runs: one list for all nodes. See also the results of a node.

use base64::{Engine, engine::general_purpose::STANDARD};
use model::{Machine, ScriptResult, ScriptSet};
use serde_json::{Value, json};
use store::Stored;

use super::machines::visible;
use api_call::{
    Answer, ApiError, Call, Reply,
    route::{Resource, restful},
};
use render::{network::time, script::newest};

/// The same list at both paths.
pub fn resources() -> Vec<Resource> {
    ["installation-results/", "commissioning-results/"]
        .into_iter()
        .map(|path| Resource {
            name: "NodeResultsHandler",
            path,
            params: &[],
            ops: vec![restful!(
                GET,
                User,
                "Lists outputs of the newest runs; filters: `system_id`, `name`, `result_type`.",
                list
            )],
        })
        .collect()
}

/// Kinds of runs in the order in which MAAS lists them: commissioning, installation, testing.
const KINDS: [u8; 3] = [0, 1, 2];
/// Status of a script that has ended: passed, failed, timed out, aborted.
const ENDED: [u8; 4] = [2, 3, 4, 5];

async fn list(call: Call) -> Answer {
    let ids = call.query.all("system_id");
    let names = call.query.all("name");
    let kind = match call.query.get("result_type").filter(|text| !text.is_empty()) {
        Some(text) => Some(
            text.parse::<u8>()
                .map_err(|_| ApiError::field("result_type", "Please enter an integer value"))?,
        ),
        None => None,
    };
    let machines = call.state.machines.all();
    let meant = machines
        .iter()
        .filter(|one| visible(&call, &one.value) && (ids.is_empty() || ids.contains(&one.id.as_str())));
    let mut shown = Vec::new();
    for machine in meant {
        let sets = KINDS.into_iter().filter(|one| kind.is_none_or(|kind| kind == *one));
        for set in sets.filter_map(|kind| newest(&machine.value, kind)) {
            let wanted = set.results.iter().filter(|one| {
                ENDED.contains(&one.status) && (names.is_empty() || names.contains(&one.name.as_str()))
            });
            shown.extend(wanted.map(|result| show(machine, set, result)));
        }
    }
    Ok(Reply::Json(Value::Array(shown)))
}

fn show(machine: &Stored<Machine>, set: &ScriptSet, result: &ScriptResult) -> Value {
    json!({
        "created": time(result.started),
        "data": STANDARD.encode(&result.output),
        "id": result.number,
        "name": result.name,
        "node": { "system_id": machine.id },
        "resource_uri": "/MAAS/api/2.0/commissioning-scripts/",
        "result_type": set.kind,
        "script_result": result.exit_status,
        "updated": time(result.ended.unwrap_or(result.started)),
    })
}
