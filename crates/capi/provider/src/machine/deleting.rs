//! A machine that is not wanted any more.

use jiff::Timestamp;

use super::{AT_WORK, Change, Host, Look, Plan, RELEASE_TRIES, SETTLE, Seen, Step, having::told};
use crate::conditions::Verdict;

/// Names the next step of an object that is being deleted.
pub fn plan(seen: &Seen, now: Timestamp) -> Plan {
    if nothing_was_begun(seen) {
        return Plan::quiet(Step::Finish);
    }
    let (marked, named) = match &seen.maas {
        Look::Told { marked, named } => (marked.as_slice(), named.as_ref()),
        Look::Failed(trouble) => return Plan::said(Step::Wait(trouble.retry), trouble.in_the_dark()),
    };
    if let Some(id) = seen.releasing() {
        let host = marked.iter().chain(named).find(|host| host.system_id == id);
        if let Some(host) = host.filter(|host| is_ours(seen, host, marked) || host.is_leaving())
            && let Some(plan) = leave(seen, host)
        {
            return plan;
        }
    }
    // What is held still, whichever way it came to be.
    let held = marked.iter().chain(named).find(|host| {
        Some(host.system_id.as_str()) != seen.releasing() && host.is_held() && is_ours(seen, host, marked)
    });
    if let Some(host) = held {
        return Plan::record(Change::releasing(&host.system_id));
    }
    // Released by hand, and not wiped yet.
    if let Some(host) = named.filter(|host| host.is_being_wiped()) {
        return wiping(host);
    }
    match seen.allocating() {
        Some(since) if now.duration_since(since) < SETTLE => Plan::said(
            Step::Wait(AT_WORK),
            Verdict::no(
                "Deleting",
                "the answer to an allocation was lost: it is awaited, so that none is forgotten",
            ),
        ),
        _ => Plan::quiet(Step::Finish),
    }
}

/// Nothing can be in MAAS for an object that never wrote a mark nor named a machine.
fn nothing_was_begun(seen: &Seen) -> bool {
    seen.mark().is_none() && seen.system_id().is_none() && seen.releasing().is_none()
}

/// Whether a machine is the object's: by the mark; by its id where another provider made it, which leaves none.
fn is_ours(seen: &Seen, host: &Host, marked: &[Host]) -> bool {
    match seen.mark() {
        Some(_) => marked.iter().any(|marked| marked.system_id == host.system_id),
        None => seen.system_id() == Some(host.system_id.as_str()),
    }
}

/// The next step to give a machine back; `None` once it is.
fn leave(seen: &Seen, host: &Host) -> Option<Plan> {
    let failures = seen.release_failures();
    if host.is_being_wiped() {
        Some(wiping(host))
    } else if host.has_failed_to_leave() && failures >= RELEASE_TRIES {
        Some(Plan::said(
            Step::MarkBroken { system_id: host.system_id.clone() },
            Verdict::no(
                "MachineNotWiped",
                format!("{}: it is marked as broken, so that nobody gets its data", told(host)),
            ),
        ))
    } else if host.is_held() || host.has_failed_to_leave() {
        Some(Plan::said(
            Step::Release {
                system_id: host.system_id.clone(),
                failures: host.has_failed_to_leave().then_some(failures + 1),
            },
            Verdict::no("Deleting", format!("{}: it is given back and wiped", told(host))),
        ))
    } else {
        None
    }
}

fn wiping(host: &Host) -> Plan {
    Plan::said(
        Step::Wait(AT_WORK),
        Verdict::no("Deleting", format!("{}: waiting until it is wiped", told(host))),
    )
}
