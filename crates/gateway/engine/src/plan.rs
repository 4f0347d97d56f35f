//! What the supervisor does next, decided without doing it.
//!
//! Processes stand in stages: a process starts once everything of the stages below is ready, and is asked to end
//! once everything of the stages above is down. [`plan`] looks at all of them and names what to do now and when to
//! look again; the supervisor does that and reports what comes of it. A process that ended comes back after a delay
//! that doubles with each failure in a row ([`BACKOFF`]).

use std::time::{Duration, Instant};

use reconcile::Backoff;

/// How long after its end a process is started again, by the number of failures in a row.
pub const BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(30));
/// A process that was ready for that long has not failed in a row.
pub const STABLE: Duration = Duration::from_mins(1);
/// A running process that has not answered its health check for that long is started anew.
pub const SILENCE_LIMIT: Duration = Duration::from_mins(1);
/// A process that has not ended that long after SIGTERM is killed.
pub const TERM_LIMIT: Duration = Duration::from_secs(10);

/// What is known about one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Its stage.
    pub stage: u8,
    /// What it is doing.
    pub state: State,
}

/// What a process is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It does not run.
    Down {
        /// Failures in a row.
        failures: u32,
        /// When it ended, or when the supervisor began.
        since: Instant,
    },
    /// It runs.
    Up {
        /// Failures in a row before this start.
        failures: u32,
        /// When its health check last answered; its start while it has not.
        heard: Instant,
        /// Since when its health check has answered every time; `None` while it does not.
        ready: Option<Instant>,
    },
    /// It was asked to end.
    Ending {
        /// Failures in a row, this end counted where nobody wanted it.
        failures: u32,
        /// When it was asked.
        asked: Instant,
        /// How.
        how: Ask,
    },
}

/// How a process was asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// By SIGTERM.
    Term,
    /// By SIGKILL.
    Kill,
}

/// What is wanted of all processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// Everything up to this stage runs.
    Run {
        /// The highest stage that may start.
        open: u8,
    },
    /// Nothing runs.
    Stop,
}

/// Something to do to the process with this index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Start it.
    Start(usize),
    /// Send SIGTERM.
    Terminate(usize),
    /// Send SIGKILL.
    Kill(usize),
}

/// What to do now, and when to look again if nothing happens before.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// To do now, in this order.
    pub actions: Vec<Action>,
    /// The next moment at which the plan changes by itself.
    pub look_again: Option<Instant>,
}

impl State {
    /// After a start.
    #[must_use]
    pub fn started(self, now: Instant) -> Self {
        Self::Up { failures: self.failures(), heard: now, ready: None }
    }

    /// After an answer of the health check, good or not.
    #[must_use]
    pub fn heard(self, healthy: Health, now: Instant) -> Self {
        match (self, healthy) {
            (Self::Up { failures, ready, .. }, Health::Good) => {
                Self::Up { failures, heard: now, ready: ready.or(Some(now)) }
            }
            (Self::Up { failures, heard, .. }, Health::Bad) => Self::Up { failures, heard, ready: None },
            (other, _) => other,
        }
    }

    /// After it was asked to end. Where nobody but the supervisor wanted it, for its silence, that is a failure.
    #[must_use]
    pub fn asked(self, how: Ask, now: Instant) -> Self {
        let failures = match self {
            Self::Up { .. } => self.failures_after_end(now),
            _ => self.failures(),
        };
        Self::Ending { failures, asked: now, how }
    }

    /// After its end.
    #[must_use]
    pub fn ended(self, now: Instant) -> Self {
        let failures = match self {
            Self::Up { .. } => self.failures_after_end(now),
            _ => self.failures(),
        };
        Self::Down { failures, since: now }
    }

    /// Whether its health check answers.
    pub fn is_ready(&self) -> bool {
        matches!(self, Self::Up { ready: Some(_), .. })
    }

    /// Whether there is no process.
    pub fn is_down(&self) -> bool {
        matches!(self, Self::Down { .. })
    }

    fn failures(&self) -> u32 {
        match self {
            Self::Down { failures, .. } | Self::Up { failures, .. } | Self::Ending { failures, .. } => {
                *failures
            }
        }
    }

    fn failures_after_end(&self, now: Instant) -> u32 {
        match self {
            Self::Up { ready: Some(since), .. } if now.saturating_duration_since(*since) >= STABLE => 1,
            _ => self.failures().saturating_add(1),
        }
    }
}

/// What a health check said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// The process does its work.
    Good,
    /// It does not, or does not answer.
    Bad,
}

/// Names what to do now.
pub fn plan(processes: &[Seen], goal: Goal, now: Instant) -> Plan {
    let mut plan = Plan::default();
    for (index, process) in processes.iter().enumerate() {
        match (process.state, goal) {
            (State::Down { failures, since }, Goal::Run { open }) => {
                if process.stage <= open && below_are_ready(processes, process.stage) {
                    plan.at(since + BACKOFF.delay(failures, 1.0), now, Action::Start(index));
                }
            }
            (State::Up { heard, .. }, Goal::Run { .. }) => {
                plan.at(heard + SILENCE_LIMIT, now, Action::Terminate(index));
            }
            (State::Up { .. }, Goal::Stop) => {
                if above_are_down(processes, process.stage) {
                    plan.actions.push(Action::Terminate(index));
                }
            }
            (State::Ending { asked, how: Ask::Term, .. }, _) => {
                plan.at(asked + TERM_LIMIT, now, Action::Kill(index));
            }
            (State::Ending { how: Ask::Kill, .. }, _) | (State::Down { .. }, Goal::Stop) => {}
        }
    }
    plan
}

impl Plan {
    /// Does something at a moment: now if that has come, else by looking again then.
    fn at(&mut self, due: Instant, now: Instant, action: Action) {
        if due <= now {
            self.actions.push(action);
        } else {
            self.look_again = Some(self.look_again.map_or(due, |other| other.min(due)));
        }
    }
}

fn below_are_ready(processes: &[Seen], stage: u8) -> bool {
    processes.iter().filter(|other| other.stage < stage).all(|other| other.state.is_ready())
}

fn above_are_down(processes: &[Seen], stage: u8) -> bool {
    processes.iter().filter(|other| other.stage > stage).all(|other| other.state.is_down())
}

#[cfg(test)]
mod tests;
