//! Results of scripts.

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::{Timestamp, tz::TimeZone};
use model::{ScriptOutput, ScriptResult, ScriptSet};
use scripts::Outcome;
use serde_json::{Value, json};

/// A result, and what was printed where that is asked for.
#[derive(Debug)]
pub struct Shown<'a> {
    /// The result.
    pub result: &'a ScriptResult,
    /// What was printed.
    pub output: Option<ScriptOutput>,
}

/// One run of scripts, with these of its results.
pub fn script_set(system_id: &str, set: &ScriptSet, results: &[Shown<'_>]) -> Value {
    let outcome = Outcome::together(set.results.iter().map(|result| result.outcome));
    json!({
        "id": set.number, "system_id": system_id, "type": set.stage.number(), "type_name": set.stage.title(),
        "last_ping": null, "status": number(outcome), "status_name": label(outcome),
        "started": rfc2822(set.started), "ended": set.ended.map(rfc2822),
        "runtime": set.ended.map_or_else(String::new, |ended| runtime(set.started, ended)),
        "results": results.iter().map(script_result).collect::<Vec<_>>(),
        "resource_uri": format!("/MAAS/api/2.0/nodes/{system_id}/results/{}/", set.number),
    })
}

fn script_result(Shown { result, output }: &Shown<'_>) -> Value {
    let latest = result.ended.or(result.started).unwrap_or(result.created);
    let second = |at: Option<Timestamp>| at.map_or_else(|| json!(""), |at| json!(at.as_second()));
    let took = result.started.zip(result.ended);
    let mut shown = json!({
        "id": result.number, "name": result.name, "status": result.outcome.number(),
        "status_name": result.outcome.label(), "exit_status": result.exit_status,
        "created": rfc2822(result.created), "updated": rfc2822(latest),
        "started": result.started.map(rfc2822), "ended": result.ended.map(rfc2822),
        "starttime": second(result.started), "endtime": second(result.ended),
        "runtime": took.map_or_else(String::new, |(started, ended)| runtime(started, ended)),
        "estimated_runtime": "0:00:10", "parameters": result.parameters, "script_id": result.script,
        "script_revision_id": null, "suppressed": result.suppressed,
    });
    if let (Some(output), Some(object)) = (output, shown.as_object_mut()) {
        let printed = STANDARD.encode(&output.output);
        object.insert("output".to_owned(), json!(printed));
        object.insert("stdout".to_owned(), json!(printed));
        object.insert("stderr".to_owned(), json!(""));
        object.insert("result".to_owned(), json!(STANDARD.encode(&output.result)));
    }
    shown
}

/// MAAS's number of what a run came to; -1 where nothing ran.
pub fn number(outcome: Option<Outcome>) -> i16 {
    outcome.map_or(-1, |outcome| outcome.number().into())
}

/// MAAS's name of it.
pub fn label(outcome: Option<Outcome>) -> &'static str {
    outcome.map_or("Unknown", Outcome::label)
}

/// A time as script results show it: `Sun, 22 Nov 2026 08:19:28 +0000`.
pub fn rfc2822(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()
}

fn runtime(started: Timestamp, ended: Timestamp) -> String {
    let seconds = ended.duration_since(started).as_secs().max(0);
    format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}
