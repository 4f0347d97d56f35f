//! Results of scripts.

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::{Timestamp, tz::TimeZone};
use model::{Machine, ScriptResult, ScriptSet};
use serde_json::{Value, json};

/// One run of scripts; outputs only if asked for.
pub fn script_set(system_id: &str, set: &ScriptSet, outputs: bool) -> Value {
    let status = set_status(set);
    let results: Vec<Value> = set.results.iter().map(|result| script_result(result, outputs)).collect();
    json!({
        "id": set.number, "system_id": system_id, "type": set.kind, "type_name": kind_name(set.kind),
        "last_ping": null, "status": status, "status_name": status_name(status),
        "started": rfc2822(set.started), "ended": set.ended.map(rfc2822),
        "runtime": set.ended.map_or_else(String::new, |ended| runtime(set.started, ended)),
        "results": results,
        "resource_uri": format!("/MAAS/api/2.0/nodes/{system_id}/results/{}/", set.number),
    })
}

fn script_result(result: &ScriptResult, outputs: bool) -> Value {
    let mut shown = json!({
        "id": result.number, "name": result.name, "status": result.status,
        "status_name": status_name(i16::from(result.status)), "exit_status": result.exit_status,
        "created": rfc2822(result.started), "updated": rfc2822(result.ended.unwrap_or(result.started)),
        "started": rfc2822(result.started), "ended": result.ended.map(rfc2822),
        "starttime": result.started.as_second(), "endtime": result.ended.map(Timestamp::as_second),
        "runtime": result.ended.map_or_else(String::new, |ended| runtime(result.started, ended)),
        "estimated_runtime": "0:00:10", "parameters": {}, "script_id": null, "script_revision_id": null,
        "suppressed": false,
    });
    if let (true, Some(object)) = (outputs, shown.as_object_mut()) {
        let output = STANDARD.encode(&result.output);
        object.insert("output".to_owned(), json!(output));
        object.insert("stdout".to_owned(), json!(output));
        object.insert("stderr".to_owned(), json!(""));
        object.insert("result".to_owned(), json!(""));
    }
    shown
}

/// The newest run of a kind.
pub fn newest(machine: &Machine, kind: u8) -> Option<&ScriptSet> {
    machine.results.iter().filter(|set| set.kind == kind).max_by_key(|set| set.number)
}

/// MAAS's status of a run: what is still to do, else what failed, else passed; -1 where nothing ran.
pub fn set_status(set: &ScriptSet) -> i16 {
    let has = |status: u8| set.results.iter().any(|result| result.status == status);
    [1, 0, 3, 4, 5, 6, 2].into_iter().find(|status| has(*status)).map_or(-1, i16::from)
}

/// The name of a script status.
pub const fn status_name(status: i16) -> &'static str {
    match status {
        0 => "Pending",
        1 => "Running",
        2 => "Passed",
        3 => "Failed",
        4 => "Timed out",
        5 => "Aborted",
        6 => "Degraded",
        7 => "Installing dependencies",
        8 => "Failed installing dependencies",
        9 => "Skipped",
        _ => "Unknown",
    }
}

const fn kind_name(kind: u8) -> &'static str {
    match kind {
        0 => "Commissioning",
        1 => "Installation",
        2 => "Testing",
        _ => "Release",
    }
}

/// A time as script results show it: `Sun, 22 Nov 2026 08:19:28 +0000`.
pub fn rfc2822(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()
}

fn runtime(from: Timestamp, to: Timestamp) -> String {
    let seconds = to.duration_since(from).as_secs().max(0);
    format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}
