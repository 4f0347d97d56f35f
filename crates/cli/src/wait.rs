//! Following a machine until what was asked for is done, has failed, or takes too long.

use std::time::Duration;

use jiff::Timestamp;
use maas_client::{Client, Machine, Phase, Status, Why};

use crate::{
    CliError, Session,
    progress::Progress,
    text::{between, clean, span, table},
    why::remedy,
};

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// A deployment.
    Deployed,
    /// A release.
    Released,
    /// A commissioning.
    Commissioned,
    /// Tests.
    Tested,
    /// Rescue mode.
    Rescue,
    /// The end of rescue mode.
    Rescued,
}

/// How a machine stands towards a goal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// On its way.
    Going,
    /// There.
    Reached,
    /// It failed, or somebody led it elsewhere.
    Lost,
}

impl Goal {
    fn standing(self, status: Status) -> Standing {
        match (self, status) {
            (Self::Deployed, Status::Deploying)
            | (Self::Released, Status::Releasing | Status::DiskErasing)
            | (Self::Commissioned, Status::Commissioning | Status::Testing)
            | (Self::Tested, Status::Testing)
            | (Self::Rescue, Status::EnteringRescueMode)
            | (Self::Rescued, Status::ExitingRescueMode) => Standing::Going,
            (Self::Deployed, Status::Deployed)
            | (Self::Released, Status::Ready | Status::New)
            | (Self::Commissioned, Status::Ready)
            | (Self::Rescue, Status::RescueMode) => Standing::Reached,
            // What it was before, which may have been a failure.
            (Self::Tested, status) if status != Status::FailedTesting => Standing::Reached,
            (Self::Rescued, status) if status != Status::FailedExitingRescueMode => Standing::Reached,
            _ => Standing::Lost,
        }
    }

    /// Whether a phase of this name begins the work.
    fn begins_with(self, phase: &str) -> bool {
        self.standing(Status::from_label(phase).unwrap_or_default()) == Standing::Going
    }
}

/// What was seen of a machine at one look.
#[derive(Debug, Clone, Default, PartialEq)]
struct Look {
    status: Status,
    status_name: String,
    phase: String,
    since: Option<Timestamp>,
    reason: String,
    failure: String,
    timeline: Vec<Phase>,
}

impl From<Why> for Look {
    fn from(why: Why) -> Self {
        let open = why.timeline.iter().rfind(|phase| phase.ended.is_none());
        let detail = open.map(|phase| phase.detail.clone()).unwrap_or_default();
        let waiting = why.waiting.as_ref().map(|waiting| waiting.reason.clone()).unwrap_or_default();
        let reason = match (waiting.is_empty(), detail.is_empty()) {
            (false, false) if waiting != detail => format!("{waiting} ({detail})"),
            (true, _) => detail,
            _ => waiting,
        };
        Self {
            status: why.status(),
            phase: open.map_or_else(|| why.status_name.clone(), |phase| phase.phase.clone()),
            since: open.map(|phase| phase.started),
            reason,
            status_name: why.status_name,
            failure: why.error_description,
            timeline: why.timeline,
        }
    }
}

impl From<&Machine> for Look {
    fn from(machine: &Machine) -> Self {
        Self {
            status: machine.status,
            status_name: machine.status_name.clone(),
            phase: machine.status_name.clone(),
            since: None,
            reason: machine.status_message.clone(),
            failure: machine.error_description.clone(),
            timeline: vec![],
        }
    }
}

/// Follows `machine` to its goal and shows the way on the error output. Answers the machine as it is then.
pub(crate) async fn follow(
    session: &mut Session<'_>,
    client: &Client,
    machine: &Machine,
    goal: Goal,
    limit: Duration,
) -> Result<Machine, CliError> {
    let (name, interrupt, pause) = (machine.hostname.clone(), session.interrupt.clone(), session.pause);
    let mut line = Progress::new(session.err, session.screen);
    let mut last = Look::from(machine);
    let ended = tokio::select! {
        ended = tokio::time::timeout(limit, watch(client, machine, goal, pause, &mut line, &mut last)) => Some(ended),
        () = interrupt.wait() => None,
    };
    line.clear()?;
    let status = last.status_name.clone();
    match ended {
        None => Err(CliError::Interrupted { machine: name, status }),
        Some(Err(_)) => {
            let reason =
                if last.reason.is_empty() { "it does not say why".to_owned() } else { clean(&last.reason) };
            Err(CliError::WaitTimeout { machine: name, status, waited: span(limit), reason })
        }
        Some(Ok(Err(error))) => Err(error),
        Some(Ok(Ok(Standing::Lost))) => {
            let why = [&last.failure, &last.reason]
                .into_iter()
                .map(|text| clean(text))
                .find(|text| !text.is_empty());
            let why = why.unwrap_or_else(|| "somebody else led it there".to_owned());
            Err(CliError::WaitFailed { next: remedy(last.status, &name), machine: name, status, why })
        }
        Some(Ok(Ok(_))) => {
            let summary = phases(goal, &last.timeline);
            if !summary.is_empty() {
                session.remark(&summary)?;
            }
            Ok(client.machine(&machine.system_id).await?)
        }
    }
}

/// Looks until the machine is no longer on its way. A region that does not answer is asked on.
async fn watch(
    client: &Client,
    machine: &Machine,
    goal: Goal,
    pause: Duration,
    line: &mut Progress<'_>,
    last: &mut Look,
) -> Result<Standing, CliError> {
    let start = Timestamp::now();
    loop {
        let now = Timestamp::now();
        match look(client, &machine.system_id).await {
            Ok(seen) => *last = seen,
            Err(error) if error.is_temporary() => {
                let text = format!("{}  {error}; trying again", machine.hostname);
                line.update(&text, "unreachable")?;
                tokio::time::sleep(pause).await;
                continue;
            }
            Err(error) => return Err(CliError::about(&machine.hostname)(error)),
        }
        match goal.standing(last.status) {
            Standing::Going => {
                let text = format!("{}  {}", machine.hostname, progress(last, start, now));
                line.update(&text, &gist(last))?;
            }
            standing => return Ok(standing),
        }
        tokio::time::sleep(pause).await;
    }
}

async fn look(client: &Client, system_id: &str) -> Result<Look, maas_client::Error> {
    match client.why(system_id).await? {
        Some(why) => Ok(why.into()),
        None => Ok(Look::from(&client.machine(system_id).await?)),
    }
}

/// `1m 12s  writing disk 34s: 40 %`
fn progress(look: &Look, start: Timestamp, now: Timestamp) -> String {
    let seconds = look.since.map(|since| between(since, now).as_secs()).filter(|seconds| *seconds > 0);
    let phase =
        seconds.map_or_else(String::new, |seconds| format!(" {}", span(Duration::from_secs(seconds))));
    let reason = if look.reason.is_empty() { String::new() } else { format!(": {}", look.reason) };
    format!("{}  {}{phase}{reason}", span(between(start, now)), look.phase)
}

/// What has to change for a new line: not a number.
fn gist(look: &Look) -> String {
    let reason: String =
        look.reason.chars().filter(|letter| !letter.is_ascii_digit() && *letter != '.').collect();
    format!("{} {reason}", look.phase)
}

/// How long each phase of the last work took.
fn phases(goal: Goal, timeline: &[Phase]) -> String {
    let Some(first) = timeline.iter().rposition(|phase| goal.begins_with(&phase.phase)) else {
        return String::new();
    };
    let rows = timeline
        .iter()
        .skip(first)
        .filter_map(|phase| Some([phase.phase.clone(), span(between(phase.started, phase.ended?))]));
    table(["phase", "took"], rows.collect(), "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use maas_client::Waiting;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn phase(name: &str, from: i64, to: Option<i64>, detail: &str) -> Phase {
        Phase {
            phase: name.to_owned(),
            started: at(from),
            ended: to.map(at),
            detail: detail.to_owned(),
            outcome: String::new(),
            extra: maas_client::Extra::default(),
        }
    }

    #[test]
    fn every_state_stands_somewhere() {
        use Standing::{Going, Lost, Reached};
        for (goal, going, reached) in
            [(Goal::Deployed, [9, 9], 6), (Goal::Released, [12, 14], 4), (Goal::Commissioned, [1, 21], 4)]
        {
            for number in 0..25 {
                let expected = match number {
                    n if going.contains(&n) => Going,
                    n if n == reached || (goal == Goal::Released && n == 0) => Reached,
                    _ => Lost,
                };
                assert_eq!(goal.standing(Status::from(number)), expected, "{goal:?} {number}");
            }
        }
    }

    #[test]
    fn a_line_has_the_phase_its_time_and_the_reason() {
        let why = Why {
            status_name: "Deploying".to_owned(),
            waiting: Some(Waiting { reason: "writing the image".to_owned(), since: None, until: None }),
            timeline: vec![phase("Deploying", 0, Some(30), ""), phase("writing", 30, None, "40 %")],
            ..Why::default()
        };
        let look = Look::from(why);
        assert_eq!(progress(&look, at(0), at(72)), "1m 12s  writing 42s: writing the image (40 %)");
        let later = Look { reason: "writing the image (41.5 %)".to_owned(), ..look.clone() };
        assert_eq!(gist(&look), gist(&later));
        let other = Look { reason: "restarting".to_owned(), ..look.clone() };
        assert_ne!(gist(&look), gist(&other));
    }

    #[test]
    fn the_summary_is_of_the_last_work_only() {
        let timeline = [
            phase("Deploying", 0, Some(10), ""),
            phase("Deploying", 100, Some(104), ""),
            phase("firmware", 104, Some(118), ""),
            phase("cloud-init", 118, None, ""),
        ];
        assert_eq!(phases(Goal::Deployed, &timeline), "PHASE      TOOK\nDeploying  4s\nfirmware   14s");
        assert_eq!(phases(Goal::Released, &timeline), "");
    }
}
