//! Conditions as Cluster API's v1beta2 contract wants them.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// What a condition says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// `True`, `False` or `Unknown`.
    pub status: &'static str,
    /// One word for programs.
    pub reason: &'static str,
    /// A sentence for people.
    pub message: String,
}

impl Verdict {
    /// It is so.
    pub fn yes(reason: &'static str, message: impl Into<String>) -> Self {
        Self { status: "True", reason, message: message.into() }
    }

    /// It is not so.
    pub fn no(reason: &'static str, message: impl Into<String>) -> Self {
        Self { status: "False", reason, message: message.into() }
    }

    /// Nobody can tell.
    pub fn unknown(reason: &'static str, message: impl Into<String>) -> Self {
        Self { status: "Unknown", reason, message: message.into() }
    }
}

/// Longest message that the API takes, in characters.
const MESSAGE_LIMIT: usize = 32768;

/// Sets a condition; the time of its last change moves only where its status changes.
pub fn set(all: &mut Vec<Condition>, kind: &str, verdict: &Verdict, generation: Option<i64>, now: Timestamp) {
    let message = verdict.message.chars().take(MESSAGE_LIMIT).collect();
    if let Some(known) = all.iter_mut().find(|condition| condition.type_ == kind) {
        if known.status != verdict.status {
            known.last_transition_time = to_second(now);
        }
        verdict.status.clone_into(&mut known.status);
        verdict.reason.clone_into(&mut known.reason);
        known.message = message;
        known.observed_generation = generation;
        return;
    }
    all.push(Condition {
        type_: kind.to_owned(),
        status: verdict.status.to_owned(),
        reason: verdict.reason.to_owned(),
        message,
        observed_generation: generation,
        last_transition_time: to_second(now),
    });
}

/// `Ready`, as the summary of others: one that is missing is not reported yet.
pub fn ready(all: &[Condition], kinds: &[&str]) -> Verdict {
    let mut lines = Vec::new();
    let (mut issues, mut unknown) = (false, false);
    for kind in kinds {
        let (status, words) = match all.iter().find(|condition| condition.type_ == *kind) {
            Some(known) if known.message.is_empty() => (known.status.as_str(), known.reason.as_str()),
            Some(known) => (known.status.as_str(), known.message.as_str()),
            None => ("Unknown", "Condition not yet reported"),
        };
        match status {
            "True" => continue,
            "False" => issues = true,
            _ => unknown = true,
        }
        lines.push(format!("* {kind}: {words}"));
    }
    let message = lines.join("\n");
    match (issues, unknown) {
        (true, _) => Verdict::no("IssuesReported", message),
        (_, true) => Verdict::unknown("UnknownReported", message),
        _ => Verdict::yes("InfoReported", message),
    }
}

/// Whether reconciling is paused.
pub fn paused(is: bool) -> Verdict {
    if is { Verdict::yes("Paused", "") } else { Verdict::no("NotPaused", "") }
}

/// The API server keeps seconds only; more would make every comparison a difference.
fn to_second(now: Timestamp) -> Time {
    Time(Timestamp::from_second(now.as_second()).unwrap_or(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_moves_with_the_status_only() {
        let mut all = Vec::new();
        let (early, late) = (Timestamp::from_second(10).unwrap(), Timestamp::from_second(20).unwrap());
        set(&mut all, "A", &Verdict::no("X", "x"), Some(1), early);
        set(&mut all, "A", &Verdict::no("Y", "y"), Some(2), late);
        assert_eq!((all[0].last_transition_time.0, all[0].reason.as_str()), (early, "Y"));
        set(&mut all, "A", &Verdict::yes("Z", ""), Some(2), late);
        assert_eq!((all.len(), all[0].last_transition_time.0), (1, late));
    }

    #[test]
    fn ready_sums_up() {
        let mut all = Vec::new();
        assert_eq!(ready(&all, &["A"]).status, "Unknown");
        set(&mut all, "A", &Verdict::yes("X", ""), None, Timestamp::UNIX_EPOCH);
        assert_eq!(ready(&all, &["A"]).reason, "InfoReported");
        set(&mut all, "B", &Verdict::no("Y", "why"), None, Timestamp::UNIX_EPOCH);
        assert_eq!(
            ready(&all, &["A", "B", "C"]),
            Verdict::no("IssuesReported", "* B: why\n* C: Condition not yet reported")
        );
    }
}
