//! Faults by rule: which, whom they strike, and how often.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::board::Board;
use crate::life::{Hindrance, Phase};
use crate::seed::Seed;
use crate::vendor::Vendor;

/// A way for a machine or its BMC to fail.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Fault {
    /// It is on and never asks for an address. Struck at a start.
    Silent,
    /// Its own times are longer. Struck at a start.
    Slow {
        /// So many times.
        factor: f64,
    },
    /// Its agent asks for a task and reports before it says hello. Struck at a start.
    WrongOrder,
    /// DHCP packets, hello and reports come twice. Struck at a start.
    Duplicates,
    /// DHCP packets are lost, either way. Struck at a start.
    DhcpLoss {
        /// So many of a hundred.
        percent: f64,
    },
    /// On entering this phase everything stops until the power is switched. Struck there.
    Dies {
        /// Which.
        phase: Phase,
    },
    /// The BMC says Off while the machine is on. Struck at a request.
    BmcLies,
    /// The BMC answers 503. Struck at a request.
    BmcRefuses,
    /// The BMC takes requests and never answers. Struck at a request.
    BmcHangs,
    /// The BMC knows another password. Struck at a request.
    WrongPassword,
}

/// A fault, and whom it strikes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Which.
    pub fault: Fault,
    /// Machines by name; `*` stands for any characters, `?` for one.
    #[serde(default = "all")]
    pub machines: String,
    /// Machines of one vendor only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor: Option<Vendor>,
    /// So many of a hundred of those, drawn by the fleet's seed.
    #[serde(default = "hundred")]
    pub percent: f64,
    /// How often it strikes each machine; none: whenever it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
}

/// A rule in force.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RuleStatus {
    /// Its number.
    pub id: u64,
    /// The rule.
    pub rule: Rule,
    /// How often it has struck.
    pub struck: u64,
    /// How many machines.
    pub machines: u64,
}

fn all() -> String {
    "*".to_owned()
}

const fn hundred() -> f64 {
    100.0
}

impl Rule {
    /// A rule for every machine.
    pub fn new(fault: Fault) -> Self {
        Self { fault, machines: all(), vendor: None, percent: hundred(), times: None }
    }

    /// For machines whose names are like this.
    #[must_use]
    pub fn on(self, machines: impl Into<String>) -> Self {
        Self { machines: machines.into(), ..self }
    }

    /// So often for each machine.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        Self { times: Some(times), ..self }
    }
}

/// The rules in force.
#[derive(Debug)]
pub struct Rules {
    seed: Seed,
    last: u64,
    held: BTreeMap<u64, Held>,
}

#[derive(Debug)]
struct Held {
    rule: Rule,
    /// Strikes by machine.
    struck: HashMap<u32, u32>,
}

impl Rules {
    /// No rules; shares are drawn from `seed`.
    pub fn new(seed: Seed) -> Self {
        Self { seed, last: 0, held: BTreeMap::new() }
    }

    /// Adds a rule; answers its number.
    pub fn add(&mut self, rule: Rule) -> u64 {
        self.last += 1;
        self.held.insert(self.last, Held { rule, struck: HashMap::new() });
        self.last
    }

    /// Removes a rule; `None` where there is none of the number.
    pub fn remove(&mut self, id: u64) -> Option<Rule> {
        self.held.remove(&id).map(|held| held.rule)
    }

    /// The rules, and how often they struck.
    pub fn list(&self) -> Vec<RuleStatus> {
        let status = |(id, held): (&u64, &Held)| RuleStatus {
            id: *id,
            rule: held.rule.clone(),
            struck: held.struck.values().map(|times| u64::from(*times)).sum(),
            machines: u64::try_from(held.struck.len()).unwrap_or(u64::MAX),
        };
        self.held.iter().map(status).collect()
    }

    /// What is in a machine's way at a start.
    pub fn at_start(&mut self, board: &Board) -> Hindrance {
        let mut hindrance = Hindrance::default();
        self.strike(board, |fault| {
            match fault {
                Fault::Silent => hindrance.silent = true,
                Fault::Slow { factor } => hindrance.slow = hindrance.slow.max(factor),
                Fault::WrongOrder => hindrance.wrong_order = true,
                Fault::Duplicates => hindrance.twice = true,
                Fault::DhcpLoss { percent } => hindrance.dhcp_loss = hindrance.dhcp_loss.max(percent),
                _ => return Struck::No,
            }
            Struck::Yes
        });
        hindrance
    }

    /// Whether a machine dies on entering a phase.
    pub fn at_phase(&mut self, board: &Board, phase: Phase) -> bool {
        let mut dies = false;
        self.strike(board, |fault| match fault {
            Fault::Dies { phase: of } if of == phase => {
                dies = true;
                Struck::Yes
            }
            _ => Struck::No,
        });
        dies
    }

    /// What a machine's BMC does about a request.
    pub fn at_request(&mut self, board: &Board) -> bmc::Fault {
        let mut found = bmc::Fault::None;
        self.strike(board, |fault| {
            let of = match fault {
                Fault::BmcLies => bmc::Fault::Lying,
                Fault::BmcRefuses => bmc::Fault::Refuse,
                Fault::BmcHangs => bmc::Fault::Hang,
                Fault::WrongPassword => bmc::Fault::WrongAuth,
                _ => return Struck::No,
            };
            if found != bmc::Fault::None {
                return Struck::No;
            }
            found = of;
            Struck::Yes
        });
        found
    }

    /// Offers each fault that may strike a machine now; counts those that do.
    fn strike(&mut self, board: &Board, mut offer: impl FnMut(Fault) -> Struck) {
        for (id, held) in &mut self.held {
            let times = held.struck.get(&board.number).copied().unwrap_or(0);
            let may = held.rule.times.is_none_or(|most| times < most)
                && held.rule.vendor.is_none_or(|vendor| vendor == board.vendor)
                && matches_name(&held.rule.machines, &board.name)
                && self
                    .seed
                    .of("rule", *id)
                    .of("machine", u64::from(board.number))
                    .falls("share", held.rule.percent);
            if may && offer(held.rule.fault) == Struck::Yes {
                held.struck.insert(board.number, times.saturating_add(1));
            }
        }
    }
}

/// Whether an offered fault was one that strikes now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Struck {
    Yes,
    No,
}

/// Whether a name is like a pattern: `*` stands for any characters, `?` for one.
pub fn matches_name(pattern: &str, name: &str) -> bool {
    let Some(first) = pattern.chars().next() else { return name.is_empty() };
    let rest = pattern.get(first.len_utf8()..).unwrap_or_default();
    let mut letters = name.chars();
    match first {
        '*' => {
            let starts = name.char_indices().map(|(at, _)| at).chain([name.len()]);
            rest.is_empty() || starts.filter_map(|at| name.get(at..)).any(|tail| matches_name(rest, tail))
        }
        '?' => letters.next().is_some() && matches_name(rest, letters.as_str()),
        letter => letters.next() == Some(letter) && matches_name(rest, letters.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board(number: u32) -> Board {
        Board::new(Seed::new(1), number, &Vendor::ALL)
    }

    #[test]
    fn names_by_pattern() {
        for (pattern, name) in [("*", "m00017"), ("m000*", "m00017"), ("m0001?", "m00017"), ("*17", "m00017")]
        {
            assert!(matches_name(pattern, name), "{pattern}");
        }
        for (pattern, name) in [("", "m"), ("m", "m1"), ("?", ""), ("*8", "m00017")] {
            assert!(!matches_name(pattern, name), "{pattern}");
        }
    }

    #[test]
    fn a_rule_strikes_whom_and_as_often_as_it_says() {
        let mut rules = Rules::new(Seed::new(1));
        let silent = rules.add(Rule::new(Fault::Silent).on("m00000").times(2));
        let strikes: Vec<bool> = (0..4).map(|_| rules.at_start(&board(0)).silent).collect();
        assert_eq!(strikes, [true, true, false, false]);
        assert!(!rules.at_start(&board(1)).silent);
        let listed = rules.list();
        assert_eq!((listed[0].id, listed[0].struck, listed[0].machines), (silent, 2, 1));
        assert!(rules.remove(silent).is_some() && rules.remove(silent).is_none());

        rules.add(Rule { percent: 30.0, ..Rule::new(Fault::Dies { phase: Phase::Loading }) });
        let dead =
            |rules: &mut Rules| (0..1000).filter(|n| rules.at_phase(&board(*n), Phase::Loading)).count();
        let first = dead(&mut rules);
        assert!((250..350).contains(&first), "{first}");
        assert_eq!(dead(&mut rules), first, "the same machines");
        assert!(!rules.at_phase(&board(0), Phase::Kernel));
        assert_eq!(rules.at_request(&board(0)), bmc::Fault::None);
        rules.add(Rule::new(Fault::BmcLies).times(1));
        assert_eq!(rules.at_request(&board(0)), bmc::Fault::Lying);
        assert_eq!(rules.at_request(&board(0)), bmc::Fault::None);
    }

    #[test]
    fn a_rule_as_json() {
        let rule: Rule =
            serde_json::from_str(r#"{"fault": {"kind": "dies", "phase": "cloud_init"}}"#).unwrap();
        assert_eq!(rule, Rule::new(Fault::Dies { phase: Phase::CloudInit }));
        assert!(serde_json::from_str::<Rule>(r#"{"fault": {"kind": "silent"}, "machine": "m1"}"#).is_err());
    }
}
