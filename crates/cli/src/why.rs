//! What a machine waits for, or why it failed.

use jiff::{Timestamp, tz::TimeZone};
use maas_client::{Machine, Phase, Status, Why};

use crate::{
    CliError, Global, Session,
    text::{between, clean, clock, span},
};

pub(crate) async fn run(session: &mut Session<'_>, global: &Global, name: &str) -> Result<(), CliError> {
    let client = session.client(global)?;
    let machine = client.find_machine(name).await?;
    let told = client.why(&machine.system_id).await.map_err(CliError::about(name))?;
    let (zone, now) = (session.zone.clone(), Timestamp::now());
    let why = told.clone().unwrap_or_else(|| from_machine(&machine));
    session.show(global.output, &why, || match told {
        Some(why) => render(&machine, &why, now, &zone),
        None => untold(&machine),
    })
}

/// What a machine object alone tells.
fn from_machine(machine: &Machine) -> Why {
    Why {
        system_id: machine.system_id.clone(),
        status_name: machine.status_name.clone(),
        error_description: machine.error_description.clone(),
        ..Why::default()
    }
}

fn render(machine: &Machine, why: &Why, now: Timestamp, zone: &TimeZone) -> String {
    let mut lines = vec![head(machine, &why.status_name)];
    let open = why.timeline.iter().rfind(|phase| phase.ended.is_none());
    lines.extend(open.map(|phase| current(phase, now)));
    if let Some(waiting) = &why.waiting {
        lines.push(format!("  waits  {}", clean(&waiting.reason)));
        if let Some(since) = waiting.since {
            lines.push(format!("  since  {} ({} ago)", clock(since, now, zone), span(between(since, now))));
        }
        lines.extend(waiting.until.map(|until| deadline(until, now, zone)));
    } else if why.status().is_under_way() {
        lines.push("  the region is at work on it and waits for nothing".to_owned());
    }
    lines.extend(failure(machine, why.status(), &why.error_description));
    if lines.len() == 1 {
        lines.push("  nothing is under way".to_owned());
    }
    lines.join("\n")
}

/// The open phase, with how long it has been.
fn current(phase: &Phase, now: Timestamp) -> String {
    let detail = if phase.detail.is_empty() { String::new() } else { format!(": {}", clean(&phase.detail)) };
    format!("  phase  {} for {}{detail}", clean(&phase.phase), span(between(phase.started, now)))
}

fn deadline(until: Timestamp, now: Timestamp, zone: &TimeZone) -> String {
    let at = clock(until, now, zone);
    if until > now {
        format!("  until  {at} (in {}), then it counts as failed", span(between(now, until)))
    } else {
        format!("  until  {at}, which is past: the region is about to give up")
    }
}

/// For a MAAS that does not tell.
fn untold(machine: &Machine) -> String {
    let mut lines = vec![head(machine, &machine.status_name)];
    if machine.status.is_under_way() {
        let said = clean(&machine.status_message);
        lines.push(format!("  last   {}", if said.is_empty() { "nothing was reported" } else { &said }));
        lines.push(
            "  this MAAS does not tell what it waits for; bessemer machine events says more".to_owned(),
        );
    }
    lines.extend(failure(machine, machine.status, &machine.error_description));
    if lines.len() == 1 {
        lines.push("  nothing is under way".to_owned());
    }
    lines.join("\n")
}

fn head(machine: &Machine, status: &str) -> String {
    format!("{} ({}): {}", machine.hostname, machine.system_id, clean(status))
}

fn failure(machine: &Machine, status: Status, why: &str) -> Vec<String> {
    if !status.is_failed() {
        return vec![];
    }
    let why = if why.is_empty() { clean(&machine.status_message) } else { clean(why) };
    let why = if why.is_empty() { "no reason was given".to_owned() } else { why };
    vec![format!("  why    {why}"), format!("  next   {}", remedy(status, &machine.hostname))]
}

/// What to do about a machine that is in a failed state.
pub(crate) fn remedy(status: Status, machine: &str) -> String {
    let again = match status {
        Status::FailedDeployment | Status::FailedReleasing | Status::FailedDiskErasing => {
            format!("bessemer machine release {machine}")
        }
        Status::FailedCommissioning | Status::FailedTesting | Status::Missing => {
            format!("bessemer machine commission {machine}")
        }
        Status::Broken => {
            return format!(
                "mend it, then mark it as fixed; bessemer machine events {machine} says what happened"
            );
        }
        _ => return format!("bessemer machine events {machine} says what happened"),
    };
    format!("mend what it says, then {again}; bessemer machine timeline {machine} says how far it came")
}

#[cfg(test)]
mod tests {
    use super::*;
    use maas_client::Waiting;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_795_000_000 + second).unwrap()
    }

    fn machine(status: Status) -> Machine {
        Machine {
            system_id: "abc123".to_owned(),
            hostname: "node-1".to_owned(),
            status,
            status_name: "Commissioning".to_owned(),
            ..Machine::default()
        }
    }

    fn why(status: &str) -> Why {
        Why { status_name: status.to_owned(), ..Why::default() }
    }

    #[test]
    fn a_wait_has_reason_beginning_and_end() {
        let waiting = Waiting {
            reason: "power is on, waiting for a DHCP request".to_owned(),
            since: Some(at(0)),
            until: Some(at(80)),
        };
        let phase = Phase {
            phase: "firmware".to_owned(),
            started: at(2),
            ended: None,
            detail: String::new(),
            outcome: "running".to_owned(),
            extra: maas_client::Extra::default(),
        };
        let why = Why { waiting: Some(waiting), timeline: vec![phase], ..why("Deploying") };
        assert_eq!(
            render(&machine(Status::Deploying), &why, at(12), &TimeZone::UTC),
            "node-1 (abc123): Deploying\n  \
             phase  firmware for 10s\n  \
             waits  power is on, waiting for a DHCP request\n  \
             since  10:26:40 (12s ago)\n  \
             until  10:28:00 (in 1m 8s), then it counts as failed"
                .replace("10:26:40", &clock(at(0), at(0), &TimeZone::UTC))
                .replace("10:28:00", &clock(at(80), at(0), &TimeZone::UTC))
        );
        let late = render(&machine(Status::Deploying), &why, at(90), &TimeZone::UTC);
        assert!(late.ends_with("which is past: the region is about to give up"), "{late}");
    }

    #[test]
    fn a_failure_has_a_reason_and_a_remedy() {
        let why = Why { error_description: "no DHCP request came".to_owned(), ..why("Failed deployment") };
        assert_eq!(
            render(&machine(Status::FailedDeployment), &why, at(0), &TimeZone::UTC),
            "node-1 (abc123): Failed deployment\n  \
             why    no DHCP request came\n  \
             next   mend what it says, then bessemer machine release node-1; \
             bessemer machine timeline node-1 says how far it came"
        );
    }

    #[test]
    fn nothing_under_way_is_said() {
        let rest = render(&machine(Status::Ready), &why("Ready"), at(0), &TimeZone::UTC);
        assert_eq!(rest, "node-1 (abc123): Ready\n  nothing is under way");
        let working = render(&machine(Status::Releasing), &why("Releasing"), at(0), &TimeZone::UTC);
        assert_eq!(
            working,
            "node-1 (abc123): Releasing\n  the region is at work on it and waits for nothing"
        );
    }

    #[test]
    fn a_maas_that_does_not_tell_gives_its_last_word() {
        assert_eq!(
            untold(&machine(Status::Commissioning)),
            "node-1 (abc123): Commissioning\n  last   nothing was reported\n  \
             this MAAS does not tell what it waits for; bessemer machine events says more"
        );
    }
}
