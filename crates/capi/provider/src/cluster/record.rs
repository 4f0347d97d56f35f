//! Which addresses the API server's name has.

use capi_types::MaasMachine;
use capi_types::core::CONTROL_PLANE_LABEL;
use jiff::Timestamp;

/// A machine of the control plane.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ControlPlane {
    /// When its object was made; the oldest is the first to enter.
    pub made: Timestamp,
    /// Name of its object.
    pub name: String,
    /// Its address, once it has one.
    pub address: Option<String>,
    /// How far it is.
    pub phase: Phase,
}

/// How far a control plane is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Not on its way yet, or failed.
    Absent,
    /// Deploying or Deployed.
    Running,
    /// Its API server answers.
    Answering,
    /// On its way out.
    Leaving,
}

impl ControlPlane {
    /// Whether its API server may answer.
    pub fn is_running(&self) -> bool {
        matches!(self.phase, Phase::Running | Phase::Answering)
    }
}

/// The control planes among a cluster's machines, oldest first.
pub fn control_planes(machines: &[MaasMachine], answering: &[String]) -> Vec<ControlPlane> {
    let mut all: Vec<_> = machines
        .iter()
        .filter(|machine| {
            machine.metadata.labels.as_ref().is_some_and(|labels| labels.contains_key(CONTROL_PLANE_LABEL))
        })
        .map(|machine| control_plane(machine, answering))
        .collect();
    all.sort();
    all
}

fn control_plane(machine: &MaasMachine, answering: &[String]) -> ControlPlane {
    let status = machine.status.clone().unwrap_or_default();
    let address =
        status.addresses.into_iter().find(|entry| entry.kind == "InternalIP").map(|entry| entry.address);
    let answers = address.as_ref().is_some_and(|address| answering.contains(address));
    let phase = match status.machine_state.as_deref() {
        _ if machine.metadata.deletion_timestamp.is_some() => Phase::Leaving,
        _ if answers => Phase::Answering,
        Some("Deploying" | "Deployed") => Phase::Running,
        _ => Phase::Absent,
    };
    ControlPlane {
        made: machine.metadata.creation_timestamp.as_ref().map(|time| time.0).unwrap_or_default(),
        name: machine.metadata.name.clone().unwrap_or_default(),
        address,
        phase,
    }
}

/// What a record is to hold that holds `current`.
///
/// Those that answer. If none does, it stays as it is while any of its addresses is a control plane's; else the first
/// that is on its way enters, because kubeadm needs the name before anything can answer. It never becomes empty.
pub fn addresses(current: &[String], all: &[ControlPlane]) -> Vec<String> {
    let of =
        |phase: Phase| all.iter().filter(move |one| one.phase == phase).filter_map(|one| one.address.clone());
    let mut answering: Vec<String> = of(Phase::Answering).collect();
    if !answering.is_empty() {
        answering.sort();
        answering.dedup();
        return answering;
    }
    let known = |address: &String| {
        all.iter().any(|one| one.phase != Phase::Absent && one.address.as_ref() == Some(address))
    };
    if current.iter().any(known) {
        return current.to_vec();
    }
    of(Phase::Running).next().map_or_else(|| current.to_vec(), |first| vec![first])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_control_plane() -> impl Strategy<Value = ControlPlane> {
        let phase = prop_oneof![
            Just(Phase::Absent),
            Just(Phase::Running),
            Just(Phase::Answering),
            Just(Phase::Leaving)
        ];
        (0i64..5, proptest::option::of(0u8..6), phase).prop_map(|(made, address, phase)| ControlPlane {
            made: Timestamp::from_second(made).unwrap(),
            name: format!("cp-{made}"),
            address: address.map(|last| format!("10.0.0.{last}")),
            phase,
        })
    }

    fn texts(numbers: Vec<u8>) -> Vec<String> {
        numbers.into_iter().map(|last| format!("10.0.0.{last}")).collect()
    }

    proptest! {
        /// A record that has addresses keeps some, whatever happens to the machines.
        #[test]
        fn never_becomes_empty(current in proptest::collection::vec(0u8..6, 1..4), all in proptest::collection::vec(any_control_plane(), 0..5)) {
            prop_assert!(!addresses(&texts(current), &all).is_empty());
        }

        /// As soon as a control plane with an address is on its way, there is one.
        #[test]
        fn the_first_enters_while_deploying(mut all in proptest::collection::vec(any_control_plane(), 0..5)) {
            all.sort();
            let wanted = all.iter().any(|one| one.address.is_some() && matches!(one.phase, Phase::Running | Phase::Answering));
            prop_assert_eq!(!addresses(&[], &all).is_empty(), wanted);
        }

        /// While any answers, exactly those that answer are in it.
        #[test]
        fn then_those_that_answer(current in proptest::collection::vec(0u8..6, 0..4), all in proptest::collection::vec(any_control_plane(), 0..5)) {
            let mut answering: Vec<_> = all.iter().filter(|one| one.phase == Phase::Answering).filter_map(|one| one.address.clone()).collect();
            answering.sort();
            answering.dedup();
            prop_assume!(!answering.is_empty());
            prop_assert_eq!(addresses(&texts(current), &all), answering);
        }

        /// What was decided is not decided otherwise a moment later.
        #[test]
        fn is_settled_by_one_write(current in proptest::collection::vec(0u8..6, 0..4), all in proptest::collection::vec(any_control_plane(), 0..5)) {
            let once = addresses(&texts(current), &all);
            prop_assert_eq!(addresses(&once, &all), once);
        }
    }
}
