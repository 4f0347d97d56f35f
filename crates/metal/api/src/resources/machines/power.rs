//! Power types and parameters, as they are sent and shown.

use std::collections::BTreeMap;

use ::power::types;
use model::{Machine, Power};
use secrets::Secret;
use serde_json::{Map, Value};

use api_call::{Call, Faults};

/// How power is switched, as sent on top of what there `was`. What the power type does not know is left out, unless
/// `power_parameters_skip_check` says that nothing is to be looked at.
pub fn power(call: &Call, was: Option<&Power>, faults: &mut Faults) -> Power {
    let mut power = was.cloned().unwrap_or(Power { kind: String::new(), parameters: BTreeMap::new() });
    let sent = sent(call, faults);
    let kind = call.param("power_type");
    if kind.is_none() && sent.is_empty() {
        return power;
    }
    if let Some(kind) = kind.filter(|kind| *kind != power.kind) {
        kind.clone_into(&mut power.kind);
        power.parameters.clear();
    }
    if power.kind.is_empty() {
        // Parameters of nothing are kept by nobody.
        return power;
    }
    power.parameters.extend(sent);
    match types::kind(&power.kind) {
        Err(sentence) => faults.add("power_type", sentence),
        Ok(_) if call.flag("power_parameters_skip_check") => {}
        Ok(kind) => {
            power.parameters.retain(|name, _| kind.row().fields.iter().any(|field| field.name == *name));
            check(kind, &power.parameters, faults);
        }
    }
    power
}

fn check(kind: types::Kind, parameters: &BTreeMap<String, Secret>, faults: &mut Faults) {
    let mut wrong = types::faults(kind, |name| parameters.get(name).map(Secret::expose));
    if wrong.is_empty()
        && let Err(error) = ::power::driver(kind, parameters, &::power::Node::default())
    {
        wrong.push(error.to_string());
    }
    for sentence in wrong {
        faults.add("power_parameters", sentence);
    }
}

/// What was sent: an object as JSON, and fields of their own.
fn sent(call: &Call, faults: &mut Faults) -> BTreeMap<String, Secret> {
    let mut sent = BTreeMap::new();
    if let Some(text) = call.param("power_parameters").filter(|text| !text.trim().is_empty()) {
        match serde_json::from_str::<BTreeMap<String, Value>>(text) {
            Ok(object) => sent.extend(
                object
                    .into_iter()
                    .filter(|(_, value)| !value.is_null())
                    .map(|(name, value)| (name, stored(&value))),
            ),
            Err(_) => faults.add("power_parameters", "Failed to parse JSON power_parameters"),
        }
    }
    for param in &call.form {
        if let (Some(name), Some(value)) = (param.name.strip_prefix("power_parameters_"), &param.text)
            && name != "skip_check"
        {
            let values =
                if types::takes_several(name) { call.form.all(&param.name).join(",") } else { value.clone() };
            sent.insert(name.to_owned(), Secret::new(values));
        }
    }
    sent
}

/// A value as text; several with commas between.
fn stored(value: &Value) -> Secret {
    match value {
        Value::String(text) => Secret::from(text.as_str()),
        Value::Array(values) => {
            Secret::new(values.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","))
        }
        other => Secret::new(other.to_string()),
    }
}

/// Power parameters with their secrets: for administrators.
pub fn exposed(machine: &Machine) -> Value {
    let power = &machine.power;
    let shown =
        |(name, value): (&String, &Secret)| (name.clone(), types::shown(&power.kind, name, value.expose()));
    Value::Object(power.parameters.iter().map(shown).collect::<Map<_, _>>())
}
