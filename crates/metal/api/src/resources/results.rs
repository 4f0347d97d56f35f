//! What scripts came to on a machine.

use api_call::{
    Answer, ApiError, Call, Faults, Reply,
    machine::{load, load_as_admin},
    route::{Resource, named, restful},
};
use model::{Machine, SCOPE, ScriptOutput, ScriptResult, ScriptSet, Stage, ops::OpError};
use render::script::{Shown, script_set};
use scripts::{Hardware, kind::Choice};
use serde_json::{Value, json};
use store::Stored;

use super::machines::refused;

/// Results by machine.
pub fn resources() -> [Resource; 2] {
    [
        Resource {
            name: "NodeScriptResultsHandler",
            path: "nodes/{system_id}/results/",
            params: &["system_id"],
            ops: vec![restful!(
                GET,
                User,
                "Lists script results: `type`, `hardware_type`, `include_output`, `filters`.",
                list
            )],
        },
        Resource {
            name: "NodeScriptResultHandler",
            path: "nodes/{system_id}/results/{id}/",
            params: &["system_id", "id"],
            ops: vec![
                restful!(
                    GET,
                    User,
                    "Reads script results, by number or `current-commissioning`, `current-testing`, `current-installation`.",
                    read
                ),
                restful!(PUT, Admin, "Sets `suppressed`: whether failures of `filters` are ignored.", update),
                restful!(DELETE, Admin, "Deletes results and what they printed.", delete),
                named!(GET, "download", User, "What was printed, as text: `filters`, `output`.", download),
            ],
        },
    ]
}

async fn list(call: Call) -> Answer {
    let machine = load(&call)?;
    let wanted = match call.param("type").filter(|text| !text.is_empty()) {
        Some(text) => {
            Some(Stage::read(text).ok_or_else(|| ApiError::Bad(format!("Unknown result type: {text}")))?)
        }
        None => None,
    };
    let only = Only::of(&call)?;
    let mut sets: Vec<&ScriptSet> =
        machine.value.results.iter().filter(|set| wanted.is_none_or(|stage| set.stage == stage)).collect();
    sets.sort_by_key(|set| std::cmp::Reverse(set.number));
    Ok(Reply::Json(sets.into_iter().map(|set| shown(&call, &machine.id, set, &only)).collect()))
}

async fn read(call: Call) -> Answer {
    let machine = load(&call)?;
    let set = find(&call, &machine.value)?;
    Ok(Reply::Json(shown(&call, &machine.id, set, &Only::of(&call)?)))
}

async fn update(call: Call) -> Answer {
    let only = Only::of(&call)?;
    let suppressed = match call.param("suppressed").map(str::to_lowercase).as_deref() {
        Some("true" | "1") => true,
        Some("false" | "0") => false,
        _ => return Err(ApiError::field("suppressed", "Must be one of: true, false")),
    };
    let machine = changed(&call, "results.update", |machine, number| {
        let results =
            machine.results.iter_mut().filter(|set| set.number == number).flat_map(|set| &mut set.results);
        results.filter(|result| only.takes(result)).for_each(|result| result.suppressed = suppressed);
        Vec::new()
    })
    .await?;
    Ok(Reply::Json(shown(&call, &machine.id, find(&call, &machine.value)?, &Only::of(&call)?)))
}

async fn delete(call: Call) -> Answer {
    changed(&call, "results.delete", |machine, number| {
        let mut gone = Vec::new();
        machine.results.retain(|set| {
            if set.number == number {
                gone.extend(set.results.iter().map(|result| result.number));
            }
            set.number != number
        });
        gone
    })
    .await?;
    Ok(Reply::NoContent)
}

async fn download(call: Call) -> Answer {
    let machine = load(&call)?;
    let set = find(&call, &machine.value)?;
    let only = Only::of(&call)?;
    let texts = set.results.iter().filter(|result| only.takes(result)).map(|result| {
        let output = output(&call, &machine.id, result);
        let text = if call.param("output") == Some("result") { output.result } else { output.output };
        if set.results.len() == 1 { text } else { format!("# {}\n{text}", result.name) }
    });
    Ok(Reply::Text(texts.collect::<Vec<_>>().join("\n")))
}

/// Changes the set that the path names; answers the machine as it is then. `change` gets the set's number, and
/// answers the results whose outputs go.
async fn changed(
    call: &Call,
    action: &str,
    mut change: impl FnMut(&mut Machine, u64) -> Vec<u64>,
) -> Result<std::sync::Arc<Stored<Machine>>, ApiError> {
    let seen = load_as_admin(call)?;
    let number = find(call, &seen.value)?.number;
    let by = format!("user:{}", call.user());
    let machines = &call.state.machines;
    let done = machines.change(&by, action, &seen.id, |machine, batch| {
        let gone = change(machine, number);
        Ok::<_, OpError>(ScriptOutput::forget(call.store(), &seen.id, &gone, batch))
    });
    done.await.map_err(refused)
}

/// Which results of a set.
struct Only<'c> {
    names: Vec<&'c str>,
    hardware: Option<Hardware>,
}

impl<'c> Only<'c> {
    fn of(call: &'c Call) -> Result<Self, ApiError> {
        let names = call.all("filters").into_iter().flat_map(|names| names.split(',')).map(str::trim);
        let mut faults = Faults::default();
        let hardware = call.param("hardware_type").filter(|text| !text.is_empty());
        let known = hardware.and_then(Hardware::read);
        if hardware.is_some() && known.is_none() {
            faults.add("hardware_type", "Select a valid choice.");
        }
        faults.check()?;
        Ok(Self { names: names.filter(|name| !name.is_empty()).collect(), hardware: known })
    }

    fn takes(&self, result: &ScriptResult) -> bool {
        let named = |word: &&str| *word == result.name || *word == result.number.to_string();
        self.hardware.is_none_or(|hardware| result.hardware == hardware)
            && (self.names.is_empty() || self.names.iter().any(named))
    }
}

fn shown(call: &Call, system_id: &str, set: &ScriptSet, only: &Only<'_>) -> Value {
    let with = call.flag("include_output");
    let results = set
        .results
        .iter()
        .filter(|result| only.takes(result))
        .map(|result| Shown { result, output: with.then(|| output(call, system_id, result)) });
    json!(script_set(system_id, set, &results.collect::<Vec<_>>()))
}

fn output(call: &Call, system_id: &str, result: &ScriptResult) -> ScriptOutput {
    let id = ScriptOutput::id(system_id, result.number);
    call.store().get::<ScriptOutput>(SCOPE, &id).map(|output| output.value.clone()).unwrap_or_default()
}

fn find<'m>(call: &Call, machine: &'m Machine) -> Result<&'m ScriptSet, ApiError> {
    let wanted = call.arg(1);
    let found = match wanted.strip_prefix("current-") {
        Some(stage) => Stage::read(stage).and_then(|stage| machine.newest(stage)),
        None => machine.results.iter().find(|set| set.number.to_string() == wanted),
    };
    found.ok_or_else(|| ApiError::NotFound("ScriptSet".to_owned()))
}
