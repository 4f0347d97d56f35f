//! What happened to an object, phase by phase.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How many entries a timeline keeps; the oldest go first.
const KEPT: usize = 128;

/// The phases an object went through, oldest first, at most one of them open (the last).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timeline {
    entries: Vec<Entry>,
}

/// One phase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its name, such as `commissioning` or `writing disk`.
    pub phase: String,
    /// When it began.
    pub started: Timestamp,
    /// When it ended; `None` while it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    /// The latest sentence about it; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// How it stands.
    pub outcome: PhaseOutcome,
}

/// How a phase stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PhaseOutcome {
    /// Still open.
    Running,
    /// Ended well.
    Ok,
    /// Ended badly; the detail says why.
    Failed,
}

impl Entry {
    /// How long it took, or has taken up to `now`.
    pub fn duration(&self, now: Timestamp) -> Duration {
        elapsed(self.started, self.ended.unwrap_or(now))
    }
}

impl Timeline {
    /// All entries, oldest first.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The open phase.
    pub fn open(&self) -> Option<&Entry> {
        self.entries.last().filter(|entry| entry.ended.is_none())
    }

    /// Begins a phase. An open one ends well at the same moment, so phases that only begin add up without gaps;
    /// beginning the phase that is open already changes nothing, so a step may be taken twice.
    ///
    /// A clock that went back is not believed: no phase starts before the one before it ended.
    pub fn begin(&mut self, phase: impl Into<String>, now: Timestamp) {
        let phase = phase.into();
        if self.open().is_some_and(|open| open.phase == phase) {
            return;
        }
        self.close(now, None, PhaseOutcome::Ok);
        let started = self.entries.last().and_then(|last| last.ended).map_or(now, |ended| ended.max(now));
        let surplus = (self.entries.len() + 1).saturating_sub(KEPT);
        self.entries.drain(..surplus);
        self.entries.push(Entry {
            phase,
            started,
            ended: None,
            detail: String::new(),
            outcome: PhaseOutcome::Running,
        });
    }

    /// Says something about the open phase, such as its progress; nothing without one.
    pub fn note(&mut self, detail: impl Into<String>) {
        if let Some(open) = self.entries.last_mut().filter(|entry| entry.ended.is_none()) {
            open.detail = detail.into();
        }
    }

    /// Ends the open phase well; nothing without one.
    pub fn finish(&mut self, now: Timestamp, detail: impl Into<String>) {
        self.close(now, Some(detail.into()), PhaseOutcome::Ok);
    }

    /// Ends the open phase badly; nothing without one.
    pub fn fail(&mut self, now: Timestamp, detail: impl Into<String>) {
        self.close(now, Some(detail.into()), PhaseOutcome::Failed);
    }

    fn close(&mut self, now: Timestamp, detail: Option<String>, outcome: PhaseOutcome) {
        let Some(open) = self.entries.last_mut().filter(|entry| entry.ended.is_none()) else { return };
        open.ended = Some(now.max(open.started));
        open.outcome = outcome;
        if let Some(detail) = detail {
            open.detail = detail;
        }
    }
}

fn elapsed(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    proptest! {
        /// Whatever is called and however the clock jumps: bounded, in order, one open at most, and it stays so stored.
        #[test]
        fn always_well_formed(calls in proptest::collection::vec((0u8..4, 0u8..5, 0i64..1000), 0..400)) {
            let mut line = Timeline::default();
            for (call, phase, second) in calls {
                match call {
                    0 | 1 => line.begin(format!("phase {phase}"), at(second)),
                    2 => line.finish(at(second), "done"),
                    _ => line.fail(at(second), "broken"),
                }
            }
            prop_assert!(line.entries().len() <= KEPT);
            for pair in line.entries().windows(2) {
                prop_assert!(pair[0].ended.unwrap() <= pair[1].started);
            }
            for entry in line.entries() {
                prop_assert_eq!(entry.ended.is_none(), entry.outcome == PhaseOutcome::Running);
                prop_assert!(entry.ended.is_none_or(|ended| ended >= entry.started));
            }
            let stored = serde_json::to_string(&line).unwrap();
            prop_assert_eq!(serde_json::from_str::<Timeline>(&stored).unwrap(), line);
        }

        /// Phases that only begin account for all of the time.
        #[test]
        fn phases_add_up(gaps in proptest::collection::vec(1i64..100, 1..50)) {
            let (mut line, mut now) = (Timeline::default(), 0);
            for (phase, gap) in gaps.iter().enumerate() {
                line.begin(phase.to_string(), at(now));
                line.begin(phase.to_string(), at(now + gap / 2));
                now += gap;
            }
            let sum: Duration = line.entries().iter().map(|entry| entry.duration(at(now))).sum();
            prop_assert_eq!(sum.as_secs(), now.unsigned_abs());
        }
    }

    #[test]
    fn a_failure_keeps_its_sentence() {
        let mut line = Timeline::default();
        line.fail(at(1), "nothing is open");
        assert!(line.entries().is_empty());
        line.begin("deploying", at(1));
        line.note("40 %");
        assert_eq!(line.open().unwrap().detail, "40 %");
        line.fail(at(9), "the disk is full");
        let entry = &line.entries()[0];
        assert_eq!((entry.outcome, entry.detail.as_str()), (PhaseOutcome::Failed, "the disk is full"));
        assert!(line.open().is_none());
    }
}
