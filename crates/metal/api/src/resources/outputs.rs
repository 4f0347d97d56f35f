//! Outputs of scripts as MAAS showed them before it knew runs: one list for all nodes. See also the results of a node.

use base64::{Engine, engine::general_purpose::STANDARD};
use model::{Machine, SCOPE, ScriptOutput, ScriptResult, ScriptSet, Stage};
use serde_json::{Value, json};
use store::Stored;

use api_call::{
    Answer, ApiError, Call, Reply,
    machine::visible,
    route::{Resource, restful},
};
use render::network::time;

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

/// Runs in the order in which MAAS lists them.
const STAGES: [Stage; 3] = [Stage::Commissioning, Stage::Installation, Stage::Testing];

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
        let stages = STAGES.into_iter().filter(|one| kind.is_none_or(|kind| kind == one.number()));
        for set in stages.filter_map(|stage| machine.value.newest(stage)) {
            let wanted = set.results.iter().filter(|one| {
                one.outcome.is_final() && (names.is_empty() || names.contains(&one.name.as_str()))
            });
            shown.extend(wanted.map(|result| show(&call, machine, set, result)));
        }
    }
    Ok(Reply::Json(Value::Array(shown)))
}

fn show(call: &Call, machine: &Stored<Machine>, set: &ScriptSet, result: &ScriptResult) -> Value {
    let id = ScriptOutput::id(&machine.id, result.number);
    let output = call.store().get::<ScriptOutput>(SCOPE, &id);
    let output = output.map(|output| output.value.output.clone()).unwrap_or_default();
    json!({
        "created": time(result.created),
        "data": STANDARD.encode(output),
        "id": result.number,
        "name": result.name,
        "node": { "system_id": machine.id },
        "resource_uri": "/MAAS/api/2.0/commissioning-scripts/",
        "result_type": set.stage.number(),
        "script_result": result.exit_status,
        "updated": time(result.ended.unwrap_or(result.created)),
    })
}
