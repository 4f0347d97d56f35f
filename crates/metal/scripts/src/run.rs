//! What one machine is to run of a script.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    metadata::{Parameter, ParameterKind},
    script::Script,
};

/// What a script can be run on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Target {
    /// Disks and interfaces: what `{name}`, `{path}` and the like stand for, by that word. Each has a `name`.
    pub disks: Vec<BTreeMap<&'static str, String>>,
    /// Interfaces.
    pub interfaces: Vec<BTreeMap<&'static str, String>>,
}

/// One run of a script.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The script's name.
    pub script: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// What the parameters were, as results show them.
    pub parameters: Value,
}

/// Why a script cannot be run so (MAAS's words).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParameterError {
    /// A value that must be given.
    #[error("Field is required")]
    Required,
    /// No such disk.
    #[error("Unknown storage device for {0}")]
    Storage(String),
    /// No such interface.
    #[error("Unknown interface for {0}")]
    Interface(String),
    /// No number.
    #[error("Must be an int")]
    Number,
    /// Too little or too much.
    #[error("Must be {0}")]
    Range(String),
    /// None of the choices.
    #[error("Invalid choice")]
    Choice,
    /// Neither yes nor no.
    #[error("must be a boolean")]
    Boolean,
    /// Not an address.
    #[error("Invalid URL")]
    Url,
}

/// What `name` is to run on `target` with `values` of its parameters: once for each disk or interface of those that
/// it is to look at. A script that wants a disk of a machine without any is not run.
///
/// # Errors
/// The parameter, and why its value won't do.
pub fn expand(
    name: &str,
    script: &Script,
    target: &Target,
    values: &BTreeMap<String, String>,
) -> Result<Vec<Run>, (String, ParameterError)> {
    let mut runs = vec![Run { script: name.to_owned(), arguments: Vec::new(), parameters: json!({}) }];
    for (parameter, wanted) in &script.parameters {
        let failed = |error| (parameter.clone(), error);
        let given = values.get(parameter).map(String::as_str).filter(|value| !value.is_empty());
        let choices = choose(parameter, wanted, given, target).map_err(failed)?;
        let Some(choices) = choices else { continue };
        runs = choices
            .iter()
            .flat_map(|choice| runs.iter().map(move |run| with(run, parameter, wanted, choice)))
            .collect();
    }
    Ok(runs)
}

/// One value of a parameter: what its words stand for.
type Chosen = BTreeMap<&'static str, String>;

/// The values of a parameter; `None` where it is left out.
fn choose(
    name: &str,
    wanted: &Parameter,
    given: Option<&str>,
    target: &Target,
) -> Result<Option<Vec<Chosen>>, ParameterError> {
    let default = wanted.default.as_ref().map(|value| match value.as_str() {
        Some(text) => text.to_owned(),
        None => value.to_string(),
    });
    let value = given.map(str::to_owned).or(default);
    let of = |all: &[Chosen], unknown: fn(String) -> ParameterError| {
        let value = value.as_deref().unwrap_or("all");
        if value == "all" {
            return Ok(Some(all.to_vec()));
        }
        value
            .split(',')
            .map(|one| {
                let one = one.trim();
                let known = all.iter().find(|chosen| {
                    chosen.iter().any(|(word, value)| {
                        !value.is_empty() && (value == one || format!("{word}:{value}") == one)
                    })
                });
                known.cloned().ok_or_else(|| unknown(name.to_owned()))
            })
            .collect::<Result<Vec<_>, _>>()
            .map(Some)
    };
    match wanted.kind {
        ParameterKind::Storage => return of(&target.disks, ParameterError::Storage),
        ParameterKind::Interface => return of(&target.interfaces, ParameterError::Interface),
        _ => {}
    }
    let Some(value) = value else {
        return if wanted.required { Err(ParameterError::Required) } else { Ok(None) };
    };
    check(wanted, &value)?;
    Ok(Some(vec![BTreeMap::from([("input", value)])]))
}

fn check(wanted: &Parameter, value: &str) -> Result<(), ParameterError> {
    match wanted.kind {
        ParameterKind::Runtime => {
            let seconds: u64 = value.parse().map_err(|_| ParameterError::Number)?;
            match (wanted.min, wanted.max) {
                (Some(min), _) if seconds < min => Err(ParameterError::Range(format!("greater than {min}"))),
                (_, Some(max)) if seconds > max => Err(ParameterError::Range(format!("less than {max}"))),
                _ => Ok(()),
            }
        }
        ParameterKind::Boolean if !["true", "false"].contains(&value.to_lowercase().as_str()) => {
            Err(ParameterError::Boolean)
        }
        ParameterKind::Url if !value.contains("://") => Err(ParameterError::Url),
        ParameterKind::Choice => {
            let texts = wanted.choices.as_ref().and_then(Value::as_array).into_iter().flatten();
            let is = |choice: &Value| match choice {
                Value::Array(pair) => pair.first().and_then(Value::as_str) == Some(value),
                one => one.as_str() == Some(value),
            };
            texts.into_iter().any(is).then_some(()).ok_or(ParameterError::Choice)
        }
        _ => Ok(()),
    }
}

fn with(run: &Run, parameter: &str, wanted: &Parameter, chosen: &Chosen) -> Run {
    let mut run = run.clone();
    let format = wanted.argument_format.clone().unwrap_or_else(|| match wanted.kind {
        ParameterKind::Storage => format!("--{parameter}={{path}}"),
        ParameterKind::Interface => format!("--{parameter}={{name}}"),
        _ => format!("--{parameter}={{input}}"),
    });
    let filled = chosen.iter().fold(format, |format, (word, value)| {
        let format = format.replace(&format!("{{{word}}}"), value);
        // MAAS knows a disk's path as its input, too.
        if *word == "path" || *word == "name" && !chosen.contains_key("path") {
            format.replace("{input}", value)
        } else {
            format
        }
    });
    run.arguments.extend(filled.split_whitespace().map(str::to_owned));
    if let Some(parameters) = run.parameters.as_object_mut() {
        let shown = match (wanted.kind, chosen.get("input")) {
            (ParameterKind::Password, _) => json!("REDACTED"),
            (_, Some(input)) => json!(input),
            (_, None) => json!(chosen),
        };
        let mut entry = json!({ "type": wanted.kind, "value": shown });
        if let (Some(format), Some(entry)) = (&wanted.argument_format, entry.as_object_mut()) {
            entry.insert("argument_format".to_owned(), json!(format));
        }
        parameters.insert(parameter.to_owned(), entry);
    }
    run
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{metadata, script::Revision};
    use jiff::Timestamp;
    use proptest::prelude::*;

    fn script(parameters: &str) -> Script {
        let text = format!(
            "#!/bin/sh\n# --- Start MAAS 1.0 script metadata ---\n# parameters: {parameters}\n\
             # --- End MAAS 1.0 script metadata ---\n"
        );
        let revision = Revision {
            number: 1,
            comment: String::new(),
            created: Timestamp::UNIX_EPOCH,
            text: text.clone(),
        };
        Script::new(1, &metadata::parse(&text).unwrap(), revision)
    }

    fn disks(names: &[&str]) -> Target {
        let disk = |name: &&str| {
            BTreeMap::from([
                ("name", (*name).to_owned()),
                ("path", format!("/dev/{name}")),
                ("model", "QEMU".to_owned()),
                ("serial", format!("S{name}")),
            ])
        };
        Target { disks: names.iter().map(disk).collect(), interfaces: Vec::new() }
    }

    fn arguments(runs: &[Run]) -> Vec<String> {
        runs.iter().map(|run| run.arguments.join(" ")).collect()
    }

    #[test]
    fn a_script_for_disks_runs_on_each_or_on_those_named() {
        let one = script("{storage: {type: storage}, runtime: {type: runtime, default: 60}}");
        let (target, mut values) = (disks(&["sda", "sdb"]), BTreeMap::new());
        let runs = expand("x", &one, &target, &values).unwrap();
        assert_eq!(arguments(&runs), ["--runtime=60 --storage=/dev/sda", "--runtime=60 --storage=/dev/sdb"]);
        values.insert("storage".to_owned(), "serial:Ssdb".to_owned());
        assert_eq!(
            arguments(&expand("x", &one, &target, &values).unwrap()),
            ["--runtime=60 --storage=/dev/sdb"]
        );
        values.insert("storage".to_owned(), "sdz".to_owned());
        assert_eq!(
            expand("x", &one, &target, &values),
            Err(("storage".to_owned(), ParameterError::Storage("storage".to_owned())))
        );
    }

    #[test]
    fn what_must_be_given_is_asked_for() {
        let one = script("{url: {type: url, argument_format: '-u {input}'}}");
        let none = BTreeMap::new();
        assert_eq!(expand("x", &one, &disks(&[]), &none), Err(("url".to_owned(), ParameterError::Required)));
        let given = BTreeMap::from([("url".to_owned(), "http://a.example/x".to_owned())]);
        assert_eq!(arguments(&expand("x", &one, &disks(&[]), &given).unwrap()), ["-u http://a.example/x"]);
    }

    #[test]
    fn a_password_is_not_shown() {
        let one = script("{pass: {type: password}}");
        let given = BTreeMap::from([("pass".to_owned(), "hunter2".to_owned())]);
        let runs = expand("x", &one, &disks(&[]), &given).unwrap();
        assert!(!runs[0].parameters.to_string().contains("hunter2"));
        assert_eq!(arguments(&runs), ["--pass=hunter2"]);
    }

    proptest! {
        /// Every disk once, whatever their number.
        #[test]
        fn every_disk_is_looked_at_once(count in 0usize..8) {
            let names: Vec<String> = (0..count).map(|n| format!("disk{n}")).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let runs = expand("x", &script("{storage: {type: storage}}"), &disks(&names), &BTreeMap::new()).unwrap();
            prop_assert_eq!(arguments(&runs), names.iter().map(|name| format!("--storage=/dev/{name}")).collect::<Vec<_>>());
        }
    }
}
