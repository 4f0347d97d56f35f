//! Fields that forms have in common.

use model::SCOPE;
use store::Document;

use api_call::{Call, Faults, is_true};

/// A number for a new document whose ids are numbers; creating it may still conflict.
pub fn next_id<T: Document>(call: &Call) -> u64 {
    let all = call.store().list::<T>(SCOPE);
    all.iter().filter_map(|one| one.id.parse::<u64>().ok()).max().unwrap_or(0) + 1
}

/// Sets a text to what was sent, if anything was.
pub fn text(call: &Call, name: &str, field: &mut String) {
    if let Some(sent) = call.param(name) {
        sent.trim().clone_into(field);
    }
}

/// Sets a yes-or-no to what was sent, if anything was.
pub fn flag(call: &Call, name: &str, field: &mut bool) {
    if let Some(sent) = call.param(name) {
        *field = is_true(sent);
    }
}

/// Sets a list to what was sent, repeated or with commas, if anything was; MAAS's spellings of nothing empty it.
pub fn list(call: &Call, name: &str, field: &mut Vec<String>) {
    let sent = call.all(name);
    if sent.is_empty() {
        return;
    }
    let words = sent.into_iter().flat_map(|value| value.split(',')).map(str::trim);
    *field = words.filter(|word| !["", "None", "[]"].contains(word)).map(str::to_owned).collect();
}

/// Says so where a text that must be there is empty.
pub fn needed(faults: &mut Faults, name: &str, text: &str) {
    if text.is_empty() {
        faults.add(name, "This field is required.");
    }
}

/// Says so where a text is none of those that there are.
pub fn choice(faults: &mut Faults, name: &str, text: &str, known: &[&str]) {
    if !known.contains(&text) {
        faults.add(name, format!("Select a valid choice. {text} is not one of the available choices."));
    }
}
