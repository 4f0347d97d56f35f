//! The one next step of a machine, decided without doing it.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{Flow, Status};

/// How long a machine may take from power-on to its first DHCP request.
pub const DHCP_LIMIT: SignedDuration = SignedDuration::from_secs(80);
/// How long it may take from there to its boot configuration.
pub const CONFIG_LIMIT: SignedDuration = SignedDuration::from_secs(60);
/// How long from there until the agent says hello (kernel and initrd are fetched in between).
pub const HELLO_LIMIT: SignedDuration = SignedDuration::from_mins(5);
/// How long the agent may be silent while it works.
pub const SILENCE_LIMIT: SignedDuration = SignedDuration::from_mins(5);
/// How long the installed system may take to fetch its user-data.
pub const FIRST_BOOT_LIMIT: SignedDuration = SignedDuration::from_mins(15);
/// How long the agent may take to switch the machine off.
pub const AGENT_OFF_LIMIT: SignedDuration = SignedDuration::from_secs(30);
/// How long a BMC may take to confirm that the power is off.
pub const POWER_OFF_LIMIT: SignedDuration = SignedDuration::from_mins(2);
/// Power attempts before the state is given up.
pub const POWER_ATTEMPTS: u32 = 5;

/// Power state of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Power {
    /// Drawing power.
    On,
    /// Confirmed off by the BMC.
    Off,
}

/// What is known about a machine.
#[derive(Debug, Clone, Copy)]
pub struct Observed<'a> {
    /// Its state.
    pub status: Status,
    /// What has happened since it entered it.
    pub flow: &'a Flow,
    /// The state that follows when what is under way is done.
    pub next: Status,
    /// Power as the BMC last reported it.
    pub power: Option<Power>,
    /// Whether a BMC is known that can be told anything.
    pub bmc: Bmc,
}

/// What is known about a machine's BMC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bmc {
    /// It can be told to switch and to answer.
    Known,
    /// It can be told to switch on, and nothing else (wake on LAN).
    OnOnly,
    /// There is none, or a person does its work (MAAS's `manual`).
    Manual,
}

/// The one next step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Restart into a boot over the network; from off, switch on.
    BootNetwork,
    /// Switch on, from the disk.
    PowerOn,
    /// Switch off.
    PowerOff,
    /// Ask the BMC whether the power is off; an error after `until`.
    ConfirmOff {
        /// When waiting longer is an error.
        until: Timestamp,
    },
    /// Go on to another state.
    Move(Status),
    /// Give up: on to the failed state, for this reason.
    Fail(String),
    /// Nothing to do before `until`.
    Wait {
        /// What is waited for, for people.
        reason: String,
        /// When waiting longer is an error.
        until: Timestamp,
    },
    /// Nothing is under way.
    Rest,
}

/// Names the next step of a machine.
pub fn plan(seen: &Observed<'_>, now: Timestamp) -> Step {
    if let (Some(why), true) = (&seen.flow.failure, seen.status.failed().is_some()) {
        return Step::Fail(why.clone());
    }
    match seen.status {
        Status::Commissioning => task(seen, now, "running commissioning scripts"),
        Status::Testing => task(seen, now, "running the tests"),
        Status::EnteringRescueMode => task(seen, now, "starting the rescue system"),
        Status::ExitingRescueMode if seen.next == Status::Deployed => restart_from_disk(seen, now),
        Status::ExitingRescueMode | Status::Releasing => off_then_on_to(seen, now),
        Status::Deploying => match (seen.flow.user_data, seen.flow.done) {
            (Some(_), _) => Step::Move(Status::Deployed),
            (None, Some(written)) => wait(
                "the disk is written; waiting for the installed system to fetch its user-data",
                written.max(seen.flow.last_sign()) + FIRST_BOOT_LIMIT,
                now,
                "the installed system has not fetched its user-data: look at its console, cloud-init may not have reached the metadata service",
            ),
            (None, None) => ephemeral(seen, now, "writing the image"),
        },
        Status::DiskErasing => match seen.flow.done {
            // The agent switches the machine off when it is done; the BMC confirms, or does it.
            Some(done) if now >= done + AGENT_OFF_LIMIT && seen.flow.powered <= Some(done) => {
                match (seen.bmc, seen.power) {
                    (Bmc::Known, Some(Power::On) | None) => try_power(seen, now, Step::PowerOff),
                    _ => off_then_on_to(seen, now),
                }
            }
            Some(_) => off_then_on_to(seen, now),
            None => ephemeral(seen, now, "erasing the disks"),
        },
        _ => rest(seen, now),
    }
}

/// Nothing is under way; where somebody gave it up, the machine is switched off, if its BMC does so.
fn rest(seen: &Observed<'_>, now: Timestamp) -> Step {
    match (seen.flow.stop, seen.bmc, seen.power) {
        (Some(_), Bmc::Known, Some(Power::On) | None) if seen.flow.power_failures < POWER_ATTEMPTS => {
            match seen.flow.powered {
                None => try_power(seen, now, Step::PowerOff),
                Some(powered) if now < powered + POWER_OFF_LIMIT => {
                    Step::ConfirmOff { until: powered + POWER_OFF_LIMIT }
                }
                Some(_) => Step::Rest,
            }
        }
        _ => Step::Rest,
    }
}

/// What the agent does in the ephemeral system, and then the next state.
fn task(seen: &Observed<'_>, now: Timestamp, what: &str) -> Step {
    match seen.flow.done {
        Some(_) => Step::Move(seen.next),
        None => ephemeral(seen, now, what),
    }
}

/// Off, confirmed, and on again; where no BMC is known, the agent does it.
fn restart_from_disk(seen: &Observed<'_>, now: Timestamp) -> Step {
    let started = match seen.bmc {
        // What the agent says meanwhile does not count: it is being switched off.
        Bmc::Known => seen.flow.done.filter(|done| seen.flow.powered == Some(*done)),
        Bmc::Manual | Bmc::OnOnly => seen.flow.done,
    };
    match (seen.bmc, started) {
        (_, Some(_)) => Step::Move(seen.next),
        (Bmc::Manual | Bmc::OnOnly, None) => wait(
            "waiting for the agent to restart the machine",
            seen.flow.since + AGENT_OFF_LIMIT,
            now,
            "no BMC is known, and the agent did not answer: restart the machine by hand",
        ),
        (Bmc::Known, None) => match off(seen, now) {
            None => try_power(seen, now, Step::PowerOn),
            Some(step) => step,
        },
    }
}

/// From power-on to the end of what the agent is to do.
fn ephemeral(seen: &Observed<'_>, now: Timestamp, task: &str) -> Step {
    let flow = seen.flow;
    if flow.hello.is_some() {
        return wait(
            task,
            flow.last_sign() + SILENCE_LIMIT,
            now,
            &format!("the agent fell silent while {task}: look at the machine's console"),
        );
    }
    let Some(powered) = flow.powered else { return power(seen, now) };
    // Whoever fetched a configuration has an address, even if the DHCP request went unrecorded.
    match (flow.dhcp.or(flow.config), flow.config) {
        (None, _) => wait(
            "power is on, waiting for a DHCP request",
            powered + DHCP_LIMIT,
            now,
            "power is on, no DHCP request came: is the NIC first in the boot order, and its cable in this network?",
        ),
        (Some(dhcp), None) => wait(
            "it has an address, waiting for it to fetch its boot configuration",
            dhcp + CONFIG_LIMIT,
            now,
            "it has an address but never fetched its boot configuration: can it reach port 69 and 5248 of the region?",
        ),
        (Some(_), Some(config)) => wait(
            "the ephemeral system is loading",
            config.max(flow.last_sign()) + HELLO_LIMIT,
            now,
            "it fetched its boot configuration, but the agent never said hello: look at the machine's console",
        ),
    }
}

fn power(seen: &Observed<'_>, now: Timestamp) -> Step {
    match seen.bmc {
        Bmc::Manual => wait(
            "no BMC is known: switch the machine on by hand, booting over the network",
            seen.flow.since + SignedDuration::from_mins(30),
            now,
            "no BMC is known and nobody switched the machine on",
        ),
        Bmc::Known | Bmc::OnOnly => try_power(seen, now, Step::BootNetwork),
    }
}

fn off_then_on_to(seen: &Observed<'_>, now: Timestamp) -> Step {
    match seen.bmc {
        // As MAAS has it: who cannot be asked is believed to be off.
        Bmc::Manual | Bmc::OnOnly => Step::Move(seen.next),
        Bmc::Known => off(seen, now).unwrap_or(Step::Move(seen.next)),
    }
}

/// What is to be done until the BMC says that the power is off; `None` when it has.
fn off(seen: &Observed<'_>, now: Timestamp) -> Option<Step> {
    match seen.power {
        Some(Power::Off) => None,
        _ if seen.flow.powered.is_none() || seen.flow.power_failures > 0 => {
            Some(try_power(seen, now, Step::PowerOff))
        }
        _ => Some(
            match wait(
                "",
                seen.flow.last_sign() + POWER_OFF_LIMIT,
                now,
                "the BMC has not confirmed that the power is off: check its address and credentials, then try again",
            ) {
                Step::Wait { until, .. } => Step::ConfirmOff { until },
                too_late => too_late,
            },
        ),
    }
}

/// A power step, not too often and not for ever.
fn try_power(seen: &Observed<'_>, now: Timestamp, step: Step) -> Step {
    let error = seen.flow.power_error.as_deref().unwrap_or("no answer");
    match (seen.flow.power_failures, seen.flow.power_retry) {
        (failures, _) if failures >= POWER_ATTEMPTS => {
            Step::Fail(format!("the BMC failed {failures} times, last with: {error}"))
        }
        (_, Some(retry)) if retry > now => {
            Step::Wait { reason: format!("trying the BMC again, which failed with: {error}"), until: retry }
        }
        _ => step,
    }
}

fn wait(reason: &str, until: Timestamp, now: Timestamp, too_late: &str) -> Step {
    if now >= until {
        Step::Fail(too_late.to_owned())
    } else {
        Step::Wait { reason: reason.to_owned(), until }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Moves;
    use proptest::prelude::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(secs)
    }

    fn flows() -> impl Strategy<Value = Flow> {
        let maybe = || proptest::option::of(0i64..4000);
        (maybe(), maybe(), maybe(), maybe(), maybe(), maybe(), 0u32..8).prop_map(
            |(powered, dhcp, config, hello, done, user_data, power_failures)| Flow {
                powered: powered.map(at),
                dhcp: dhcp.map(at),
                config: config.map(at),
                hello: hello.map(at),
                done: done.map(at),
                user_data: user_data.map(at),
                power_failures,
                ..Flow::start(at(0))
            },
        )
    }

    fn seen(status: Status, flow: &Flow, power: Option<Power>) -> Observed<'_> {
        let next = match status {
            Status::Testing => Status::Allocated,
            Status::EnteringRescueMode => Status::RescueMode,
            Status::ExitingRescueMode => Status::Deployed,
            _ => Status::Ready,
        };
        Observed { status, flow, next, power, bmc: Bmc::Known }
    }

    proptest! {
        /// Whatever was seen, a planned move is one that MAAS knows, and every wait is in the future.
        #[test]
        fn moves_are_legal_and_waits_end(flow in flows(), status in 0i64..23, on in any::<Option<bool>>(), now in 0i64..5000, stop in any::<bool>()) {
            let flow = Flow { stop: stop.then(|| at(0)), ..flow };
            let status = Status::from(status);
            let power = on.map(|on| if on { Power::On } else { Power::Off });
            match plan(&seen(status, &flow, power), at(now)) {
                Step::Move(to) => prop_assert!(status.may_become(to)),
                Step::Fail(why) => { prop_assert!(status.failed().is_some()); prop_assert!(!why.is_empty()); }
                Step::Wait { until, .. } | Step::ConfirmOff { until } => prop_assert!(until > at(now)),
                _ => {}
            }
        }

        /// A machine whose disks were to be erased never becomes Ready before they are.
        #[test]
        fn ready_means_erased(flow in flows(), now in 0i64..5000) {
            let flow = Flow { done: None, ..flow };
            let step = plan(&seen(Status::DiskErasing, &flow, Some(Power::Off)), at(now));
            prop_assert_ne!(step, Step::Move(Status::Ready));
        }

        /// Nobody who is at rest is switched, unless something was given up; and nobody is switched on then.
        #[test]
        fn rest_is_rest(flow in flows(), status in 0i64..23, on in any::<Option<bool>>(), now in 0i64..5000, stop in any::<bool>()) {
            let status = Status::from(status);
            prop_assume!(status.failed().is_none());
            let flow = Flow { stop: stop.then(|| at(0)), ..flow };
            let power = on.map(|on| if on { Power::On } else { Power::Off });
            let step = plan(&seen(status, &flow, power), at(now));
            let off = stop && power != Some(Power::Off) && matches!(step, Step::PowerOff | Step::ConfirmOff { .. } | Step::Wait { .. });
            prop_assert!(step == Step::Rest || off, "{step:?}");
        }
    }

    /// What only switches on is switched on, and never told or asked anything else.
    #[test]
    fn what_only_switches_on_is_told_nothing_else() {
        let flow = Flow::start(at(0));
        for power in [None, Some(Power::On), Some(Power::Off)] {
            let seen = |status| Observed { bmc: Bmc::OnOnly, ..seen(status, &flow, power) };
            assert_eq!(plan(&seen(Status::Deploying), at(1)), Step::BootNetwork);
            assert_eq!(plan(&seen(Status::Releasing), at(1)), Step::Move(Status::Ready));
            let flow = Flow { done: Some(at(5)), ..flow.clone() };
            let erased = Observed { bmc: Bmc::OnOnly, ..self::seen(Status::DiskErasing, &flow, power) };
            assert_eq!(plan(&erased, at(100)), Step::Move(Status::Ready));
        }
    }

    #[test]
    fn a_machine_that_never_boots_is_named_within_90_seconds() {
        let flow = Flow { powered: Some(at(5)), ..Flow::start(at(0)) };
        let step = plan(&seen(Status::Deploying, &flow, Some(Power::On)), at(90));
        assert!(matches!(step, Step::Fail(why) if why.contains("DHCP")));
    }

    /// A deployed machine that leaves rescue mode is off for a moment, and then boots its disk.
    #[test]
    fn a_rescued_machine_is_switched_off_and_on() {
        let mut flow = Flow::start(at(0));
        let step = |flow: &Flow, power| plan(&seen(Status::ExitingRescueMode, flow, Some(power)), at(10));
        assert_eq!(step(&flow, Power::On), Step::PowerOff);
        flow.powered = Some(at(2));
        flow.done = Some(at(1)); // its agent has left, which says nothing of its power
        assert!(matches!(step(&flow, Power::On), Step::ConfirmOff { .. }));
        assert_eq!(step(&flow, Power::Off), Step::PowerOn);
        (flow.powered, flow.done) = (Some(at(3)), Some(at(3)));
        assert_eq!(step(&flow, Power::On), Step::Move(Status::Deployed));
    }
}
