//! The core of machines against a MAAS in memory, with the provider dying before and after every call, calls that
//! are carried out long after their answer was given up, machines that fail to deploy or to be wiped, and people who
//! release machines by hand.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use capi_types::{
    CLUSTER_UID, Lxd, MaasMachine, MaasMachineSpec, StaticIp,
    core::{Bootstrap, Cluster, ClusterInitialization, ClusterStatus, Machine},
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use maas_client::Status;
use proptest::prelude::*;
use provider::machine::{Change, Host, Look, SETTLE, Seen, Step, plan, status};
use serde_json::Value;

/// Long enough for anything that ends at all, in steps.
const ENOUGH: usize = 600;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    /// All goes well.
    None,
    /// The provider dies before its nth call from now.
    Before(u8),
    /// It dies after that call was carried out.
    After(u8),
    /// That call is carried out so many seconds later, and its answer is lost.
    Late(u8, u8),
}

#[derive(Debug, Clone)]
enum Event {
    Reconcile(Fault),
    Pass(u8),
    Delete,
    ReleaseByHand,
}

/// A machine of the simulated MAAS.
#[derive(Debug, Clone)]
struct Box {
    host: Host,
    mark: String,
    /// When it gets into another state.
    due: Option<(Timestamp, Status)>,
    fails_to_deploy: bool,
    wipes_that_fail: u8,
    written: bool,
}

#[derive(Debug, Clone, PartialEq)]
enum Call {
    Allocate(String),
    Deploy(String),
    Release(String),
    MarkBroken(String),
}

struct World {
    now: Timestamp,
    object: Option<MaasMachine>,
    version: u64,
    boxes: Vec<Box>,
    late: Vec<(Timestamp, Call)>,
    /// Whether MAAS forgets a mark at release or only once it is wiped.
    forgets_early: bool,
    provider_id: Option<String>,
    fault: Fault,
}

/// The provider has died.
struct Died;

impl World {
    fn new(failing: &[bool], wipes: &[u8], forgets_early: bool) -> Self {
        let boxes = failing.iter().zip(wipes).enumerate().map(|(number, (failing, wipes))| Box {
            host: Host {
                system_id: format!("aaaaa{number}"),
                hostname: format!("node-{number}"),
                status: Status::Ready,
                zone: "east".to_owned(),
                ..Host::default()
            },
            mark: String::new(),
            due: None,
            fails_to_deploy: *failing,
            wipes_that_fail: *wipes,
            written: false,
        });
        let mut object =
            MaasMachine::new("m", MaasMachineSpec { image: "os/series".to_owned(), ..Default::default() });
        object.metadata.namespace = Some("n".to_owned());
        object.metadata.resource_version = Some("0".to_owned());
        Self {
            now: Timestamp::from_second(1_000_000).unwrap(),
            object: Some(object),
            version: 0,
            boxes: boxes.collect(),
            late: Vec::new(),
            forgets_early,
            provider_id: None,
            fault: Fault::None,
        }
    }

    fn seen(&self) -> Option<Seen> {
        let object = self.object.clone()?;
        let there = ClusterInitialization { infrastructure_provisioned: Some(true), ..Default::default() };
        let cluster =
            Cluster { status: Some(ClusterStatus { initialization: Some(there) }), ..Cluster::default() };
        let mut owner = Machine::default();
        owner.spec.bootstrap = Some(Bootstrap { data_secret_name: Some("s".to_owned()) });
        let mut seen = Seen {
            object,
            owner: Some(owner),
            cluster: Some(cluster),
            cluster_uid: Some(CLUSTER_UID.to_owned()),
            dns: Vec::new(),
            maas: Look::Told { marked: Vec::new(), named: None },
        };
        let hosts = |wanted: &dyn Fn(&Box) -> bool| -> Vec<Host> {
            self.boxes.iter().filter(|one| wanted(one)).map(|one| one.host.clone()).collect()
        };
        let id = seen.releasing().or(seen.system_id()).map(str::to_owned);
        let mark = seen.mark().map(str::to_owned);
        seen.maas = Look::Told {
            marked: mark.map(|mark| hosts(&|one| one.mark == mark)).unwrap_or_default(),
            named: id.and_then(|id| hosts(&|one| one.host.system_id == id).pop()),
        };
        Some(seen)
    }

    /// Takes steps until there is nothing to do, or the provider dies. Returns for how long to wait.
    fn reconcile(&mut self, fault: Fault) -> SignedDuration {
        self.fault = fault;
        for _ in 0..16 {
            let Some(seen) = self.seen() else { return SignedDuration::from_secs(1) };
            let plan = plan(&seen, self.now);
            if plan.verdict.is_some() {
                let told = status(&seen, plan.verdict.as_ref(), self.now);
                self.object.as_mut().unwrap().status = Some(told);
            }
            if let Step::Wait(time) = plan.step {
                return time;
            }
            let done = self.act(&seen, &plan.step);
            self.check();
            if done.is_err() || matches!(plan.step, Step::NameNode { .. } | Step::Leave) {
                break;
            }
        }
        SignedDuration::from_secs(1)
    }

    fn act(&mut self, seen: &Seen, step: &Step) -> Result<(), Died> {
        match step {
            Step::Record(change) => self.record(&seen.object, change),
            Step::Allocate { mark } => {
                self.record(&seen.object, &Change::allocating(self.now))?;
                let object = self.object.clone().unwrap();
                if !self.call(Call::Allocate(mark.clone()))? {
                    self.record(&object, &Change::not_allocating())?;
                }
                Ok(())
            }
            Step::Deploy { system_id, .. } => self.call(Call::Deploy(system_id.clone())).map(drop),
            Step::Release { system_id, failures } => {
                if let Some(times) = failures {
                    self.record(&seen.object, &Change::release_failed(*times))?;
                }
                self.call(Call::Release(system_id.clone())).map(drop)
            }
            Step::MarkBroken { system_id } => self.call(Call::MarkBroken(system_id.clone())).map(drop),
            Step::Finish => self.record(&seen.object, &Change::no_finalizer(&seen.object)),
            Step::NameNode { .. } | Step::Leave | Step::Wait(_) => Ok(()),
        }
    }

    /// What is to become of this call.
    fn fate(&mut self) -> Fault {
        let (now, next) = match self.fault {
            Fault::Before(0) | Fault::After(0) | Fault::Late(0, _) => (self.fault, Fault::None),
            Fault::Before(n) => (Fault::None, Fault::Before(n - 1)),
            Fault::After(n) => (Fault::None, Fault::After(n - 1)),
            Fault::Late(n, seconds) => (Fault::None, Fault::Late(n - 1, seconds)),
            Fault::None => (Fault::None, Fault::None),
        };
        self.fault = next;
        now
    }

    fn record(&mut self, read: &MaasMachine, change: &Change) -> Result<(), Died> {
        let fate = self.fate();
        if matches!(fate, Fault::Before(_)) {
            return Err(Died);
        }
        let stored = self.object.as_ref().unwrap();
        let patch = change.patch(read);
        if patch["metadata"]["resourceVersion"].as_str() != stored.metadata.resource_version.as_deref() {
            // Refused: somebody else was quicker.
            return Ok(());
        }
        let mut value = serde_json::to_value(stored).unwrap();
        merge(&mut value, &patch);
        let mut object: MaasMachine = serde_json::from_value(value).unwrap();
        self.version += 1;
        object.metadata.resource_version = Some(self.version.to_string());
        let gone = object.metadata.deletion_timestamp.is_some()
            && object.metadata.finalizers.iter().flatten().next().is_none();
        self.object = (!gone).then_some(object);
        if fate == Fault::None { Ok(()) } else { Err(Died) }
    }

    fn call(&mut self, call: Call) -> Result<bool, Died> {
        match self.fate() {
            Fault::Before(_) => Err(Died),
            Fault::Late(_, seconds) => {
                let due = self.now + SignedDuration::from_secs(i64::from(seconds));
                self.late.push((due, call));
                Err(Died)
            }
            Fault::After(_) => {
                self.carry_out(&call);
                Err(Died)
            }
            Fault::None => Ok(self.carry_out(&call)),
        }
    }

    /// As MAAS does; false where it refuses.
    fn carry_out(&mut self, call: &Call) -> bool {
        let (now, forgets_early) = (self.now, self.forgets_early);
        let after = |seconds| now + SignedDuration::from_secs(seconds);
        let found = match call {
            Call::Allocate(_) => self.boxes.iter_mut().find(|one| one.host.status == Status::Ready),
            Call::Deploy(id) | Call::Release(id) | Call::MarkBroken(id) => {
                self.boxes.iter_mut().find(|one| one.host.system_id == *id)
            }
        };
        let Some(one) = found else { return false };
        match (call, one.host.status) {
            (Call::Allocate(mark), _) => {
                one.host.status = Status::Allocated;
                one.mark.clone_from(mark);
            }
            (Call::Deploy(_), Status::Allocated) => {
                one.written = true;
                one.host.status = Status::Deploying;
                let end = if one.fails_to_deploy { Status::FailedDeployment } else { Status::Deployed };
                one.due = Some((after(5), end));
            }
            (Call::Release(_), _) if one.host.is_held() || one.host.has_failed_to_leave() => {
                if forgets_early {
                    one.mark.clear();
                }
                one.host.status = Status::DiskErasing;
                let fails = one.wipes_that_fail > 0;
                one.wipes_that_fail = one.wipes_that_fail.saturating_sub(1);
                one.due = Some((after(5), if fails { Status::FailedDiskErasing } else { Status::Ready }));
                one.written = one.written && fails;
            }
            (Call::MarkBroken(_), _) => {
                one.host.status = Status::Broken;
                one.mark.clear();
                one.due = None;
            }
            _ => return false,
        }
        true
    }

    fn pass(&mut self, time: SignedDuration) {
        let end = self.now + time;
        while self.now < end {
            self.now += SignedDuration::from_secs(1);
            let now = self.now;
            for one in &mut self.boxes {
                if let Some((due, state)) = one.due
                    && due <= now
                {
                    one.host.status = state;
                    one.due = None;
                    if state == Status::Ready {
                        one.mark.clear();
                    }
                }
            }
            let (due, late) = std::mem::take(&mut self.late).into_iter().partition(|(due, _)| *due <= now);
            self.late = late;
            let due: Vec<_> = due;
            for (_, call) in due {
                self.carry_out(&call);
            }
            self.check();
        }
    }

    /// What must hold whenever anybody looks.
    fn check(&mut self) {
        let held = self.boxes.iter().filter(|one| !one.mark.is_empty() && one.host.is_held()).count();
        assert!(held <= 1, "{held} machines are held: {:#?}", self.boxes);
        for one in &self.boxes {
            assert!(!(one.written && one.host.status == Status::Ready), "not wiped: {one:?}");
        }
        let found = self.object.as_ref().and_then(|object| object.spec.provider_id.clone());
        if let Some(before) = &self.provider_id
            && let Some(found) = &found
        {
            assert_eq!(before, found, "a provider id has changed");
        }
        self.provider_id = self.provider_id.take().or(found);
    }

    fn happen(&mut self, event: &Event) {
        match event {
            Event::Reconcile(fault) => drop(self.reconcile(*fault)),
            Event::Pass(seconds) => self.pass(SignedDuration::from_secs(i64::from(*seconds))),
            Event::Delete => {
                let now = Time(self.now);
                match &mut self.object {
                    Some(object) if object.metadata.finalizers.iter().flatten().next().is_some() => {
                        self.version += 1;
                        object.metadata.resource_version = Some(self.version.to_string());
                        object.metadata.deletion_timestamp.get_or_insert(now);
                    }
                    object => *object = None,
                }
            }
            Event::ReleaseByHand => {
                let held =
                    self.boxes.iter().find(|one| one.host.is_held()).map(|one| one.host.system_id.clone());
                if let Some(id) = held {
                    self.carry_out(&Call::Release(id));
                }
            }
        }
        self.check();
    }

    /// Lets the provider work undisturbed until `done`.
    fn settle(&mut self, done: impl Fn(&Self) -> bool) -> bool {
        for _ in 0..ENOUGH {
            if done(self) {
                return true;
            }
            let wait = self.reconcile(Fault::None);
            self.pass(wait.min(SignedDuration::from_secs(30)));
        }
        done(self)
    }
}

/// RFC 7386.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let target = target.as_object_mut().unwrap();
    for (key, value) in patch {
        if value.is_null() {
            target.remove(key);
        } else {
            merge(target.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

fn any_fault() -> impl Strategy<Value = Fault> {
    // Later than that, MAAS is not at work on a call any more.
    let latest = u8::try_from(SETTLE.as_secs()).unwrap() - 1;
    prop_oneof![
        2 => Just(Fault::None),
        2 => (0u8..6).prop_map(Fault::Before),
        2 => (0u8..6).prop_map(Fault::After),
        2 => ((0u8..6), (1..latest)).prop_map(|(n, seconds)| Fault::Late(n, seconds)),
    ]
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => any_fault().prop_map(Event::Reconcile),
        6 => (1u8..90).prop_map(Event::Pass),
        1 => Just(Event::ReleaseByHand),
    ]
}

fn any_world() -> impl Strategy<Value = (Vec<bool>, Vec<u8>, bool)> {
    let failing = proptest::collection::vec(proptest::bool::weighted(0.3), 4);
    (failing, proptest::collection::vec(0u8..6, 4), any::<bool>())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// One machine at most, one provider id for good, and never a machine that was not wiped: whatever happens.
    /// Then, undisturbed, deletion ends with nothing held.
    #[test]
    fn whatever_crashes_where(
        (failing, wipes, forgets) in any_world(),
        before in proptest::collection::vec(any_event(), 0..25),
        after in proptest::collection::vec(any_event(), 0..25),
    ) {
        let mut world = World::new(&failing, &wipes, forgets);
        for event in before.iter().chain([&Event::Delete]).chain(&after) {
            world.happen(event);
        }
        prop_assert!(world.settle(|world| world.object.is_none()), "deletion does not end: {:#?}", world.boxes);
        world.pass(SETTLE);
        let left: Vec<_> = world.boxes.iter().filter(|one| one.host.is_held()).collect();
        prop_assert!(left.is_empty(), "held for nobody: {left:#?}");
    }

    /// Undisturbed, the machine becomes Deployed with a provider id as long as one is there that can.
    #[test]
    fn a_machine_comes_of_it((mut failing, wipes, forgets) in any_world(), faults in proptest::collection::vec(any_fault(), 0..20)) {
        failing[0] = false;
        let mut world = World::new(&failing, &wipes, forgets);
        for fault in faults {
            world.happen(&Event::Reconcile(fault));
            world.happen(&Event::Pass(3));
        }
        let deployed = |world: &World| {
            let status = world.object.as_ref().and_then(|object| object.status.clone()).unwrap_or_default();
            status.ready && status.initialization.and_then(|all| all.provisioned) == Some(true)
        };
        prop_assert!(world.settle(deployed), "{:#?} {:#?}", world.object, world.boxes);
        prop_assert!(world.provider_id.as_ref().is_some_and(|id| id.starts_with("maas:///east/aaaaa")));
    }
}

/// An object as the existing provider leaves it behind: ids, but no mark of ours.
fn taken_over(state: Status, deleted: bool) -> World {
    let mut world = World::new(&[false, false], &[0, 0], true);
    world.boxes[0].host.status = state;
    let object = world.object.as_mut().unwrap();
    object.metadata.finalizers = Some(vec![capi_types::MACHINE_FINALIZER.to_owned()]);
    object.metadata.deletion_timestamp = deleted.then_some(Time(world.now));
    object.spec.system_id = Some("aaaaa0".to_owned());
    object.spec.provider_id = Some("maas:///west/aaaaa0".to_owned());
    world
}

#[test]
fn a_node_of_another_provider_is_taken_over_untouched() {
    let mut world = taken_over(Status::Deployed, false);
    world.reconcile(Fault::None);
    let object = world.object.clone().unwrap();
    // Not even the zone in the provider id, which is another one now.
    assert_eq!(object.spec.provider_id.as_deref(), Some("maas:///west/aaaaa0"));
    assert!(object.status.unwrap().ready);
    assert_eq!(world.boxes[0].host.status, Status::Deployed);
    assert_eq!(world.version, 0, "nothing but its status is written");
}

#[test]
fn what_is_lost_is_said_and_never_replaced_in_place() {
    for state in [Status::Ready, Status::FailedDeployment, Status::Releasing, Status::Broken] {
        let mut world = taken_over(state, false);
        let provisioned = capi_types::Initialization { provisioned: Some(true) };
        let status =
            capi_types::MaasMachineStatus { initialization: Some(provisioned), ..Default::default() };
        world.object.as_mut().unwrap().status = Some(status);
        world.reconcile(Fault::None);
        let status = world.object.clone().unwrap().status.unwrap();
        assert_eq!(status.conditions[0].reason, "MachineTerminatedReason", "{state:?}");
        assert!(!status.ready && status.initialization.unwrap().provisioned == Some(true));
        assert_eq!(world.boxes[0].host.status, state, "nothing is done to it");
        assert_eq!(world.boxes[1].host.status, Status::Ready);
    }
}

#[test]
fn a_machine_of_another_provider_is_given_back_and_wiped() {
    let mut world = taken_over(Status::Deployed, true);
    world.boxes[0].written = true;
    assert!(world.settle(|world| world.object.is_none()));
    assert_eq!(world.boxes[0].host.status, Status::Ready);
}

/// What is accepted for older objects' sake but not done is said, by its field, and takes no machine.
#[test]
fn what_is_not_supported_is_named() {
    let lxd = Lxd { enabled: Some(true), ..Lxd::default() };
    for (field, spec) in [
        ("spec.lxd.enabled", MaasMachineSpec { lxd: Some(lxd), ..Default::default() }),
        ("spec.deployInMemory", MaasMachineSpec { deploy_in_memory: Some(true), ..Default::default() }),
        ("spec.staticIP", MaasMachineSpec { static_ip: Some(StaticIp::default()), ..Default::default() }),
    ] {
        let mut world = World::new(&[false], &[0], false);
        world.object.as_mut().unwrap().spec = MaasMachineSpec { image: "os/series".to_owned(), ..spec };
        world.reconcile(Fault::None);
        let conditions = world.object.as_ref().unwrap().status.as_ref().unwrap().conditions.clone();
        let deployed = conditions.iter().find(|condition| condition.type_ == "MachineDeployed").unwrap();
        assert_eq!((deployed.status.as_str(), deployed.reason.as_str()), ("False", "NotSupported"));
        assert!(deployed.message.contains(field), "{}", deployed.message);
        assert!(world.boxes.iter().all(|one| one.host.status == Status::Ready), "{field} takes no machine");
    }
    let mut world = World::new(&[false], &[0], false);
    world.object.as_mut().unwrap().spec.deploy_in_memory = Some(false);
    world.reconcile(Fault::None);
    assert_ne!(world.boxes[0].host.status, Status::Ready);
}
