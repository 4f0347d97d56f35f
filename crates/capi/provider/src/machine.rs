//! One machine for one `MaasMachine`: what to do next, decided without doing it.
//!
//! [`plan`] looks at the object as it is stored, at its owners and at what MAAS says, and names one [`Step`]. The
//! controller takes it and looks again. Every step may be taken twice, and the provider may die between any two.
//!
//! **Never two machines.** What is taken is marked by `agent_name`, an id of our own ([`mark`]) that is written to the
//! object first. An allocation is begun only after MAAS listed nothing under that mark and after the intent
//! (`allocating-since`) was written by compare-and-swap. While its answer is unknown, because the provider or the
//! connection died, nothing is allocated for [`SETTLE`]: by then MAAS has listed the machine, or never will.
//!
//! **A provider id never changes.** It is written once a machine is Deployed, and from then on nothing else is ever
//! taken for the object: what is lost is said, and replaced by whoever owns it.
//!
//! **Deletion ends.** It waits for a wiped machine (MAAS says Ready). One that cannot be wiped is marked as broken,
//! which keeps it from everybody else.

mod change;
mod deleting;
mod having;
mod report;
mod seen;

use jiff::{SignedDuration, Timestamp};

pub use change::Change;
pub use having::told;
pub use report::{failed, status};
pub use seen::{Host, Look, Seen};

use crate::conditions::Verdict;
use capi_types::{MaasMachine, core::CLUSTER_NAME_LABEL};

/// How long after its beginning an allocation whose answer was lost may still take a machine. A MAAS was measured at
/// 23 s for an answer under load.
pub const SETTLE: SignedDuration = SignedDuration::from_secs(60);

/// How often giving a machine back is tried before it is marked as broken.
pub const RELEASE_TRIES: u32 = 3;

/// How soon MAAS is asked again while it is at work on a machine.
const AT_WORK: SignedDuration = SignedDuration::from_secs(3);

/// How soon something is looked at again that somebody else has to change, besides the watches.
const IDLE: SignedDuration = SignedDuration::from_mins(5);

/// The one next step.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// The object is not ours to touch, or not yet.
    Leave,
    /// Nothing to do for so long, unless something changes before.
    Wait(SignedDuration),
    /// The object is to be changed, by compare-and-swap.
    Record(Change),
    /// A machine is to be taken: the intent written, then MAAS asked.
    Allocate {
        /// The mark.
        mark: String,
    },
    /// The image is to be written to it.
    Deploy {
        /// The machine.
        system_id: String,
        /// The mark, for a MAAS that allocates on the way.
        mark: Option<String>,
    },
    /// It is to be given back, its disks wiped.
    Release {
        /// The machine.
        system_id: String,
        /// How often that has failed, where it just did: to be written before it is tried again.
        failures: Option<u32>,
    },
    /// It cannot be wiped: it is to be kept from everybody.
    MarkBroken {
        /// The machine.
        system_id: String,
    },
    /// The node gets its provider id.
    NameNode {
        /// Host name of the machine.
        hostname: String,
        /// `maas:///ZONE/SYSTEM_ID`.
        provider_id: String,
    },
    /// Nothing of ours is left in MAAS: the finalizer goes.
    Finish,
}

/// A step, with what is to be said of the machine meanwhile.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The step.
    pub step: Step,
    /// For the condition `MachineDeployed`; `None` where nothing is to be said.
    pub verdict: Option<Verdict>,
}

impl Plan {
    fn quiet(step: Step) -> Self {
        Self { step, verdict: None }
    }

    fn said(step: Step, verdict: Verdict) -> Self {
        Self { step, verdict: Some(verdict) }
    }

    fn record(change: Change) -> Self {
        Self::quiet(Step::Record(change))
    }
}

/// Names the next step.
pub fn plan(seen: &Seen, now: Timestamp) -> Plan {
    if seen.paused() {
        return Plan::quiet(Step::Leave);
    }
    if seen.object.metadata.deletion_timestamp.is_some() {
        return if seen.has_finalizer() { deleting::plan(seen, now) } else { Plan::quiet(Step::Leave) };
    }
    if seen.owner.is_none() || seen.cluster.is_none() {
        return Plan::quiet(Step::Leave);
    }
    if !seen.has_finalizer() {
        return Plan::record(Change::finalizer(&seen.object));
    }
    having::plan(seen, now)
}

/// The mark of an object's machine in MAAS: at most 255 characters, as MAAS takes them.
pub fn mark(cluster_uid: &str, object: &MaasMachine) -> String {
    let name = object.metadata.name.as_deref().unwrap_or_default();
    let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
    let mark = format!("bessemer/{cluster_uid}/{namespace}/{name}");
    if mark.len() <= 255 {
        return mark;
    }
    // Kubernetes names are ASCII, so a byte is a character; the object's UID keeps what is cut apart.
    let uid = object.metadata.uid.as_deref().unwrap_or_default();
    let kept = 254usize.saturating_sub(uid.len());
    format!("{}/{uid}", mark.get(..kept).unwrap_or_default())
}

/// Name of the cluster that an object belongs to, by its label.
pub fn cluster_name(object: &MaasMachine) -> Option<&str> {
    object.metadata.labels.as_ref()?.get(CLUSTER_NAME_LABEL).map(String::as_str)
}
