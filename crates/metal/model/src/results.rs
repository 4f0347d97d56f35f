//! What scripts came to on a machine.

use std::collections::BTreeMap;

use jiff::Timestamp;
use scripts::{
    Hardware, INVENTORY, Kind, Outcome, Script, Target,
    run::{ParameterError, expand},
};
use secrets::Secret;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use store::{Batch, Document, Store};

use crate::{Machine, SCOPE};

/// Runs of each stage that are kept of a machine (MAAS: `max_node_commissioning_results`).
const KEPT: usize = 10;
/// Characters that are kept of one output: its beginning and its end.
const OUTPUT: usize = 64 << 10;

/// When scripts ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// While the machine was commissioned.
    Commissioning,
    /// While it was deployed.
    Installation,
    /// While it was tested.
    Testing,
    /// While it was given back.
    Release,
}

impl Stage {
    /// MAAS's number.
    pub const fn number(self) -> u8 {
        match self {
            Self::Commissioning => 0,
            Self::Installation => 1,
            Self::Testing => 2,
            Self::Release => 3,
        }
    }

    /// MAAS's title.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Commissioning => "Commissioning",
            Self::Installation => "Installation",
            Self::Testing => "Testing",
            Self::Release => "Release",
        }
    }

    /// The stage of a number or word.
    pub fn read(text: &str) -> Option<Self> {
        [Self::Commissioning, Self::Installation, Self::Testing, Self::Release]
            .into_iter()
            .find(|stage| stage.title().eq_ignore_ascii_case(text) || text.parse() == Ok(stage.number()))
    }
}

/// Results of one run of scripts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScriptSet {
    /// Number, unique within the machine.
    pub number: u64,
    /// When they ran.
    pub stage: Stage,
    /// When it was asked for.
    pub started: Timestamp,
    /// When the last of them ended.
    pub ended: Option<Timestamp>,
    /// Results.
    pub results: Vec<ScriptResult>,
}

/// Result of one script. What it printed is a [`ScriptOutput`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScriptResult {
    /// Number, unique within the machine.
    pub number: u64,
    /// The script's name.
    pub name: String,
    /// The script's number, where it is one of the region's.
    pub script: Option<u64>,
    /// What it is about.
    pub hardware: Hardware,
    /// How it stands.
    pub outcome: Outcome,
    /// Exit status.
    pub exit_status: Option<i32>,
    /// Its arguments; parameters may be passwords.
    pub arguments: Vec<Secret>,
    /// Its parameters, as people see them.
    pub parameters: Value,
    /// When it was asked for.
    pub created: Timestamp,
    /// When it began.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// Whether a failure is to be ignored.
    pub suppressed: bool,
}

/// What a script printed; id: [`ScriptOutput::id`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScriptOutput {
    /// Both outputs as they came.
    pub output: String,
    /// What it left in `$RESULT_PATH`.
    pub result: String,
}

impl Document for ScriptOutput {
    const KIND: &'static str = "script-output";
}

impl ScriptOutput {
    /// The id of the output of a machine's result.
    pub fn id(system_id: &str, result: u64) -> String {
        format!("{system_id}:{result}")
    }

    /// An output, cut to what is kept.
    pub fn new(output: &str, result: &str) -> Self {
        Self { output: cut(output), result: cut(result) }
    }

    /// Adds its writing to a batch.
    pub fn keep(&self, store: &Store, system_id: &str, result: u64, batch: Batch) -> Batch {
        let id = Self::id(system_id, result);
        match store.get::<Self>(SCOPE, &id) {
            Some(old) => batch.update(SCOPE, &id, old.version, self),
            None => batch.create(SCOPE, &id, self),
        }
    }

    /// Adds the deletion of outputs to a batch.
    pub fn forget(store: &Store, system_id: &str, results: &[u64], batch: Batch) -> Batch {
        results.iter().fold(batch, |batch, result| {
            let id = Self::id(system_id, *result);
            match store.get::<Self>(SCOPE, &id) {
                Some(old) => batch.delete::<Self>(SCOPE, &id, old.version),
                None => batch,
            }
        })
    }
}

/// The beginning and the end, where both together are too long.
fn cut(text: &str) -> String {
    let length = text.chars().count();
    let Some(surplus) = length.checked_sub(OUTPUT).filter(|surplus| *surplus > 0) else {
        return text.to_owned();
    };
    let head: String = text.chars().take(OUTPUT / 2).collect();
    let tail: String = text.chars().skip(length - OUTPUT / 2).collect();
    format!("{head}\n… {surplus} characters left out …\n{tail}")
}

/// What a machine is to run while it is commissioned or tested.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Wanted {
    /// Names and tags of commissioning scripts.
    pub commissioning: Chosen,
    /// Names and tags of tests.
    pub testing: Chosen,
    /// Values of their parameters: by name, or by the script's name, `_` and name.
    pub values: BTreeMap<String, Secret>,
}

/// Which scripts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Chosen {
    /// Those that MAAS takes where nobody says: every commissioning script, tests that are tagged `commissioning`.
    #[default]
    Usual,
    /// Those with these names, numbers or tags; none of them: no scripts.
    Named(Vec<String>),
}

impl Chosen {
    /// Reads what clients send: absent or empty is usual, `none` is none.
    pub fn read<'a>(sent: impl Iterator<Item = &'a str>) -> Self {
        let words: Vec<String> = sent
            .flat_map(|words| words.split(','))
            .map(|word| word.trim().to_owned())
            .filter(|word| !word.is_empty())
            .collect();
        match words.as_slice() {
            [] => Self::Usual,
            [none] if none == "none" => Self::Named(Vec::new()),
            _ => Self::Named(words),
        }
    }

    fn takes(&self, name: &str, script: &Script) -> bool {
        match self {
            Self::Usual => {
                script.kind == Kind::Commissioning || script.tags.iter().any(|tag| tag == "commissioning")
            }
            Self::Named(words) => words.iter().any(|word| script.is_meant_by(name, word)),
        }
    }
}

/// A parameter whose value won't do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{parameter}: {why}")]
pub struct BadParameter {
    /// Which.
    pub parameter: String,
    /// Why.
    pub why: ParameterError,
}

impl Machine {
    /// The newest run of a stage.
    pub fn newest(&self, stage: Stage) -> Option<&ScriptSet> {
        self.results.iter().filter(|set| set.stage == stage).max_by_key(|set| set.number)
    }

    /// What is still to run of a stage, in order.
    pub fn to_run(&self, stage: Stage) -> impl Iterator<Item = &ScriptResult> {
        let results = self.newest(stage).map(|set| set.results.as_slice()).unwrap_or_default();
        results.iter().filter(|result| !result.outcome.is_final())
    }

    /// The result with this number.
    pub fn result_mut(&mut self, number: u64) -> Option<&mut ScriptResult> {
        self.results.iter_mut().flat_map(|set| &mut set.results).find(|result| result.number == number)
    }

    /// Records what is to run of a stage, as a new set, or in the place of the newest while nothing of that has begun.
    /// Answers the numbers of results that went, whose outputs go too.
    ///
    /// # Errors
    /// [`BadParameter`]; nothing is changed then.
    pub fn plan_scripts(
        &mut self,
        stage: Stage,
        known: &[(String, Script)],
        wanted: &Wanted,
        now: Timestamp,
    ) -> Result<Vec<u64>, BadParameter> {
        let (kind, chosen) = match stage {
            Stage::Testing => (Kind::Testing, &wanted.testing),
            _ => (Kind::Commissioning, &wanted.commissioning),
        };
        let target = self.target();
        let mut runs = Vec::new();
        let inventory = |name: &str| stage == Stage::Commissioning && name == INVENTORY;
        for (name, script) in known {
            if script.kind != kind || !(chosen.takes(name, script) || inventory(name)) {
                continue;
            }
            let values = script.parameters.keys().filter_map(|parameter| {
                let own = wanted.values.get(&format!("{name}_{parameter}"));
                let value = own.or_else(|| wanted.values.get(parameter))?;
                Some((parameter.clone(), value.expose().to_owned()))
            });
            let more = expand(name, script, &target, &values.collect())
                .map_err(|(parameter, why)| BadParameter { parameter, why })?;
            runs.extend(more.into_iter().map(|run| (run, script)));
        }
        let fresh = |set: &ScriptSet| {
            set.ended.is_none() && set.results.iter().all(|result| result.outcome == Outcome::Pending)
        };
        let mut gone = Vec::new();
        if let Some(unbegun) = self.newest(stage).filter(|set| fresh(set)).map(|set| set.number) {
            self.forget_set(unbegun, &mut gone);
        }
        if runs.is_empty() {
            return Ok(gone);
        }
        let mut number = self.next_result();
        let set = ScriptSet {
            number,
            stage,
            started: now,
            ended: None,
            results: runs
                .into_iter()
                .map(|(run, script)| {
                    number += 1;
                    ScriptResult {
                        number,
                        name: run.script,
                        script: Some(script.number),
                        hardware: script.hardware,
                        outcome: Outcome::Pending,
                        exit_status: None,
                        arguments: run.arguments.into_iter().map(Secret::new).collect(),
                        parameters: run.parameters,
                        created: now,
                        started: None,
                        ended: None,
                        suppressed: false,
                    }
                })
                .collect(),
        };
        self.results.push(set);
        while self.results.iter().filter(|set| set.stage == stage).count() > KEPT {
            let Some(oldest) =
                self.results.iter().filter(|set| set.stage == stage).map(|set| set.number).min()
            else {
                break;
            };
            self.forget_set(oldest, &mut gone);
        }
        Ok(gone)
    }

    /// Records how a result stands now; one that is final already stays so. Answers whether anything changed.
    pub fn note_result(
        &mut self,
        number: u64,
        outcome: Outcome,
        exit_status: Option<i32>,
        now: Timestamp,
    ) -> bool {
        let Some(set) =
            self.results.iter_mut().find(|set| set.results.iter().any(|one| one.number == number))
        else {
            return false;
        };
        let Some(result) = set.results.iter_mut().find(|one| one.number == number && !one.outcome.is_final())
        else {
            return false;
        };
        if result.outcome == outcome {
            return false;
        }
        result.outcome = outcome;
        result.exit_status = exit_status;
        result.started.get_or_insert(now);
        if outcome.is_final() {
            result.ended = Some(now);
        }
        if set.results.iter().all(|one| one.outcome.is_final()) {
            set.ended = Some(now);
        }
        true
    }

    /// Gives up what has not ended.
    pub fn abort_scripts(&mut self, now: Timestamp) {
        let open: Vec<u64> = self
            .results
            .iter()
            .flat_map(|set| &set.results)
            .filter(|result| !result.outcome.is_final())
            .map(|result| result.number)
            .collect();
        for number in open {
            self.note_result(number, Outcome::Aborted, None, now);
        }
    }

    /// Adds results that the agent tells of at the end of a task.
    pub fn keep_results(
        &mut self,
        stage: Stage,
        results: impl Iterator<Item = (String, Outcome)>,
        now: Timestamp,
    ) -> Vec<u64> {
        let first = self.next_result();
        let started = self.flow.since;
        let results: Vec<ScriptResult> = results
            .zip(first + 1..)
            .map(|((name, outcome), number)| ScriptResult {
                number,
                name,
                script: None,
                hardware: Hardware::Storage,
                outcome,
                exit_status: Some(i32::from(outcome.is_bad())),
                arguments: Vec::new(),
                parameters: serde_json::json!({}),
                created: started,
                started: Some(started),
                ended: Some(now),
                suppressed: false,
            })
            .collect();
        let numbers = results.iter().map(|result| result.number).collect();
        if !results.is_empty() {
            self.results.push(ScriptSet { number: first, stage, started, ended: Some(now), results });
        }
        numbers
    }

    /// The worst that is not to be ignored of a stage's newest run: what must keep the machine from going on.
    pub fn bad_result(&self, stage: Stage) -> Option<&ScriptResult> {
        self.newest(stage)?.results.iter().find(|result| result.outcome.is_bad() && !result.suppressed)
    }

    fn forget_set(&mut self, number: u64, gone: &mut Vec<u64>) {
        self.results.retain(|set| {
            let stays = set.number != number;
            if !stays {
                gone.extend(set.results.iter().map(|result| result.number));
            }
            stays
        });
    }

    fn next_result(&self) -> u64 {
        let results = self.results.iter().flat_map(|set| &set.results).map(|result| result.number);
        self.results.iter().map(|set| set.number).chain(results).max().unwrap_or(0) + 1
    }

    fn target(&self) -> Target {
        let disks = self.storage.disks.iter().map(|disk| {
            BTreeMap::from([
                ("name", disk.name.clone()),
                ("path", format!("/dev/{}", disk.name)),
                ("model", disk.model.clone()),
                ("serial", disk.serial.clone()),
            ])
        });
        let interfaces = self.nics.iter().map(|nic| {
            BTreeMap::from([
                ("name", nic.name.clone()),
                ("mac_address", nic.mac.clone()),
                ("vendor", nic.vendor.clone()),
                ("product", nic.product.clone()),
            ])
        });
        Target { disks: disks.collect(), interfaces: interfaces.collect() }
    }
}

impl crate::Machines {
    /// Every script by name: the agent's own, then those that users keep.
    pub fn scripts(&self) -> Vec<(String, Script)> {
        let kept = self.store().list::<Script>(SCOPE);
        scripts::built_in()
            .map(|(name, script)| (name.to_owned(), script.clone()))
            .chain(kept.iter().map(|script| (script.id.clone(), script.value.clone())))
            .collect()
    }
}

/// Reads results; those that a version before wrote in another form are forgotten.
pub(crate) fn readable<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<ScriptSet>, D::Error> {
    let sets = Vec::<Value>::deserialize(from)?;
    Ok(sets.into_iter().filter_map(|set| serde_json::from_value(set).ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(names: &[&str]) -> Machine {
        let mut machine = Machine::new("m".to_owned(), Timestamp::UNIX_EPOCH);
        let disk = |(name, number): (&&str, u64)| disks::Disk {
            number,
            name: (*name).to_owned(),
            size: 1,
            ..disks::Disk::default()
        };
        machine.storage.disks = names.iter().zip(1..).map(disk).collect();
        machine
    }

    fn known() -> Vec<(String, Script)> {
        scripts::built_in().map(|(name, script)| (name.to_owned(), script.clone())).collect()
    }

    fn names(machine: &Machine, stage: Stage) -> Vec<String> {
        let said = |result: &ScriptResult| {
            let arguments: Vec<&str> = result.arguments.iter().map(Secret::expose).collect();
            format!("{} {}", result.name, arguments.join(" ")).trim().to_owned()
        };
        machine.to_run(stage).map(said).collect()
    }

    #[test]
    fn disks_that_commissioning_finds_are_tested_too() {
        let (mut one, now) = (machine(&[]), Timestamp::UNIX_EPOCH);
        let wanted = Wanted::default();
        one.plan_scripts(Stage::Testing, &known(), &wanted, now).unwrap();
        assert_eq!(names(&one, Stage::Testing), ["bessemer-cpu", "bessemer-memory"]);
        one.storage = machine(&["vda", "vdb"]).storage;
        let gone = one.plan_scripts(Stage::Testing, &known(), &wanted, now).unwrap();
        assert_eq!(gone.len(), 2);
        assert_eq!(
            names(&one, Stage::Testing),
            ["bessemer-cpu", "bessemer-memory", "bessemer-disk vda", "bessemer-disk vdb"]
        );
        // What has begun stays.
        let first = one.to_run(Stage::Testing).next().unwrap().number;
        assert!(one.note_result(first, Outcome::Passed, Some(0), now));
        assert!(!one.note_result(first, Outcome::Failed, Some(1), now));
        assert!(one.plan_scripts(Stage::Testing, &known(), &wanted, now).unwrap().is_empty());
        assert_eq!(one.results.len(), 2);
    }

    #[test]
    fn none_is_none_and_the_inventory_is_always_taken() {
        let (mut one, now) = (machine(&["vda"]), Timestamp::UNIX_EPOCH);
        let none = || Chosen::read(["none"].into_iter());
        let wanted = Wanted { commissioning: none(), testing: none(), values: BTreeMap::new() };
        one.plan_scripts(Stage::Commissioning, &known(), &wanted, now).unwrap();
        one.plan_scripts(Stage::Testing, &known(), &wanted, now).unwrap();
        assert_eq!(names(&one, Stage::Commissioning), [INVENTORY]);
        assert!(one.newest(Stage::Testing).is_none());
        assert_eq!(
            Chosen::read(["", "cpu,memory"].into_iter()),
            Chosen::Named(vec!["cpu".to_owned(), "memory".to_owned()])
        );
    }

    #[test]
    fn old_runs_go_with_their_outputs() {
        let (mut one, now) = (machine(&[]), Timestamp::UNIX_EPOCH);
        let mut gone = Vec::new();
        for _ in 0..KEPT + 2 {
            gone.extend(one.plan_scripts(Stage::Testing, &known(), &Wanted::default(), now).unwrap());
            one.abort_scripts(now);
        }
        assert_eq!((one.results.len(), gone.len()), (KEPT, 4));
        assert!(one.results.iter().all(|set| set.ended.is_some()));
    }

    #[test]
    fn a_long_output_keeps_both_ends() {
        let kept = ScriptOutput::new(&format!("begin{}end", "x".repeat(OUTPUT)), "");
        assert!(kept.output.starts_with("begin") && kept.output.ends_with("end"));
        assert!(kept.output.contains("8 characters left out"), "{:.60}", kept.output);
    }
}
