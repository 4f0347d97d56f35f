//! Whatever is done to a machine's interfaces, and in whatever order, they stay a network that can be configured.

use std::{cell::Cell, collections::BTreeMap};

use jiff::Timestamp;
use lifecycle::Status;
use model::{IpRange, LinkMode, Machine, Nic, NicKind, RangeKind, Subnet, Vlan, children};
use proptest::prelude::*;

use super::{
    change::{self, Around, New},
    links,
    wanted::{BondWanted, Sent, Wanted},
};
use api_call::ApiError;

fn vlan(number: u64, fabric: u64, vid: u16) -> (u64, Vlan) {
    let vlan = Vlan {
        number,
        fabric,
        vid,
        name: None,
        description: String::new(),
        mtu: 1500,
        dhcp_on: false,
        space: None,
    };
    (number, vlan)
}

fn subnet(number: u64, vlan: u64, gateway: Option<&str>) -> (u64, Subnet) {
    let subnet = Subnet {
        number,
        name: format!("net{number}"),
        description: String::new(),
        cidr: format!("10.0.{number}.0/24").parse().unwrap(),
        vlan,
        gateway: gateway.map(|ip| ip.parse().unwrap()),
        dns_servers: Vec::new(),
        managed: true,
        allow_dns: true,
        allow_proxy: true,
        rdns_mode: 2,
    };
    (number, subnet)
}

/// Two fabrics: the VLANs 1 (untagged), 2 and 3 in one, 4 (untagged) and 5 in the other. Four ports.
struct World {
    machine: Machine,
    next: Cell<u64>,
}

impl World {
    fn new(status: Status) -> Self {
        let mut machine = Machine::new("m1".to_owned(), Timestamp::UNIX_EPOCH);
        machine.status = status;
        machine.nics = [Some(1), Some(1), None, Some(4)]
            .into_iter()
            .zip(0..)
            .map(|(vlan, n)| Nic {
                vlan,
                boot: n == 0,
                ..Nic::physical(n + 1, &format!("eth{n}"), &format!("52:54:00:00:00:0{n}"))
            })
            .collect();
        Self { machine, next: Cell::new(100) }
    }

    fn on<T>(&mut self, act: impl FnOnce(&mut Machine, &Around<'_>) -> T) -> T {
        let number = || {
            self.next.set(self.next.get() + 1);
            self.next.get()
        };
        let stranger = |mac: &str| (mac == "52:54:00:00:00:ff").then(|| "eth0 (physical) on m2".to_owned());
        let around = Around {
            node: "abc346 (m1.maas)".to_owned(),
            vlans: BTreeMap::from([
                vlan(1, 0, 0),
                vlan(2, 0, 10),
                vlan(3, 0, 20),
                vlan(4, 1, 0),
                vlan(5, 1, 30),
            ]),
            subnets: BTreeMap::from([
                subnet(1, 1, Some("10.0.1.1")),
                subnet(2, 2, None),
                subnet(4, 4, Some("10.0.4.1")),
                subnet(5, 1, Some("10.0.5.1")),
            ]),
            stranger: &stranger,
            number: &number,
        };
        act(&mut self.machine, &around)
    }

    fn create(&mut self, new: New, wanted: &Wanted) -> Result<u64, ApiError> {
        self.on(|machine, around| change::create(machine, new, wanted, around))
    }

    fn link(&mut self, number: u64, wanted: &links::Wanted) -> Result<(), ApiError> {
        let range = IpRange {
            number: 1,
            subnet: 1,
            kind: RangeKind::Dynamic,
            start: "10.0.1.100".parse().unwrap(),
            end: "10.0.1.120".parse().unwrap(),
            comment: String::new(),
            user: None,
        };
        self.on(|machine, around| {
            let nic = change::find(&machine.nics, number).ok_or_else(change::missing)?.clone();
            let plan = links::plan(machine, &nic, wanted, &[range], around)?;
            plan.clear(machine.nics.iter_mut().find(|nic| nic.number == number).unwrap());
            plan.carry_out(machine, number, plan.ip, around)
        })
    }

    fn named(&self, name: &str) -> &Nic {
        self.machine.nics.iter().find(|nic| nic.name == name).unwrap_or_else(|| panic!("no {name}"))
    }
}

fn parents(parents: &[u64]) -> Wanted {
    Wanted { parents: Some(parents.to_vec()), ..Wanted::default() }
}

fn bond(name: &str, of: &[u64]) -> Wanted {
    Wanted { name: Some(name.to_owned()), ..parents(of) }
}

fn to(mode: &str, subnet: u64) -> links::Wanted {
    links::Wanted { mode: mode.to_owned(), subnet: Some(Ok(subnet)), ..links::Wanted::default() }
}

#[track_caller]
fn refused<T: std::fmt::Debug>(answer: Result<T, ApiError>, field: &str, words: &str) {
    assert_eq!(answer.unwrap_err(), ApiError::field(field, words));
}

#[test]
fn a_bond_takes_the_place_of_its_ports() {
    let mut world = World::new(Status::Ready);
    world.link(1, &to("AUTO", 1)).unwrap();
    let number = world.create(New::Bond, &bond("bond0", &[1, 2])).unwrap();
    let made = world.named("bond0");
    assert_eq!((made.mac.as_str(), made.vlan, &made.parents), ("52:54:00:00:00:00", Some(1), &vec![1, 2]));
    assert_eq!(made.links[0].mode, LinkMode::LinkUp);
    assert!(world.named("eth0").links.is_empty());
    refused(
        world.link(2, &to("auto", 1)),
        "bond",
        "Cannot link interface(eth1) when interface is in a bond(bond0).",
    );
    refused(world.create(New::Bond, &bond("bond1", &[2, 3])), "parents", "Interfaces already in-use: eth1.");
    // What is made of it has its name and MAC address, also once they change.
    world.create(New::Vlan, &Wanted { vlan: Sent::Value(2), ..parents(&[number]) }).unwrap();
    let renamed = Wanted {
        name: Some("lag".to_owned()),
        mac: Some("52:54:00:00:00:aa".to_owned()),
        ..Wanted::default()
    };
    world.on(|machine, around| change::update(machine, number, &renamed, around)).unwrap();
    assert_eq!(world.named("lag.10").mac, "52:54:00:00:00:aa");
    // A port that leaves is up by itself; with the last, the bond and all above it is gone.
    world.on(|machine, around| change::delete(machine, 1, around)).unwrap();
    assert_eq!(world.named("lag").parents, [2]);
    world.on(|machine, around| change::delete(machine, 2, around)).unwrap();
    assert_eq!(world.machine.nics.iter().map(|nic| nic.name.as_str()).collect::<Vec<_>>(), ["eth2", "eth3"]);
}

#[test]
fn refusals_have_the_words_of_maas() {
    let mut world = World::new(Status::Ready);
    let bonds = world.create(New::Bond, &bond("bond0", &[])).unwrap_err();
    assert_eq!(bonds, ApiError::field("parents", "A bond interface must have one or more parents."));
    refused(
        world.create(New::Bond, &bond("bond0", &[1, 4])),
        "parents",
        "All parents must belong to the same VLAN.",
    );
    refused(
        world.create(New::Bond, &bond("eth3", &[1, 2])),
        "name",
        "Node abc346 (m1.maas) already has an interface named 'eth3'.",
    );
    let port = |mac: &str| Wanted { mac: Some(mac.to_owned()), ..Wanted::default() };
    refused(
        world.create(New::Physical, &port("52:54:00:00:00:01")),
        "mac_address",
        "This MAC address is already in use by eth1 (physical) on m1.",
    );
    refused(
        world.create(New::Physical, &port("52:54:00:00:00:ff")),
        "mac_address",
        "This MAC address is already in use by eth0 (physical) on m2.",
    );
    refused(world.create(New::Physical, &Wanted::default()), "mac_address", "This field is required.");
    let tagged = |vlan: u64, parent: u64| Wanted { vlan: Sent::Value(vlan), ..parents(&[parent]) };
    refused(
        world.create(New::Vlan, &tagged(1, 1)),
        "vlan",
        "A VLAN interface can only belong to a tagged VLAN.",
    );
    refused(
        world.create(New::Vlan, &tagged(5, 1)),
        "vlan",
        "A VLAN interface can only belong to a tagged VLAN on the same fabric as its parent interface.",
    );
    refused(
        world.create(New::Vlan, &parents(&[1])),
        "vlan",
        "A VLAN interface must be connected to a tagged VLAN.",
    );
    let vlan = world.create(New::Vlan, &tagged(2, 1)).unwrap();
    refused(
        world.create(New::Vlan, &tagged(3, vlan)),
        "parent",
        "A VLAN interface can't have another VLAN interface as parent.",
    );
    let bridge = world.create(New::Bridge, &parents(&[1])).unwrap();
    assert_eq!(world.named("br-eth0").number, bridge);
    refused(
        world.create(New::Bridge, &parents(&[bridge])),
        "parent",
        "A bridge interface can't have another bridge interface as parent.",
    );
    refused(
        world.create(New::Bridge, &bond("br1", &[1])),
        "parent",
        "A bridge interface can't have a parent that is already in a bond or a bridge.",
    );
    refused(
        world.link(3, &to("sideways", 1)),
        "mode",
        "'sideways' is not a valid mode.  It should be one of: 'auto', 'dhcp', 'static', 'link_up'.",
    );
    refused(
        world.link(2, &to("auto", 2)),
        "subnet",
        "Select a valid choice. That choice is not one of the available choices.",
    );
    let at = |ip: &str| links::Wanted { ip: Some(ip.parse().unwrap()), ..to("static", 1) };
    refused(
        world.link(2, &at("10.9.9.9")),
        "ip_address",
        "IP address is not in the given subnet 'net1:10.0.1.0/24(vid=0)'.",
    );
    refused(
        world.link(2, &at("10.0.1.101")),
        "ip_address",
        "IP address is inside a dynamic range 10.0.1.100 to 10.0.1.120.",
    );
    world.link(2, &to("dhcp", 1)).unwrap();
    refused(
        world.link(2, &to("dhcp", 1)),
        "mode",
        "Interface is already set to DHCP from 'net1:10.0.1.0/24(vid=0)'.",
    );
    let gone = world.on(|machine, around| links::unlink(machine, 2, "7", around));
    let only = world.named("eth1").links[0].number;
    refused(gone, "id", &format!("'7' is not a valid id.  It should be one of: '{only}'."));
    let none = world.on(|machine, around| links::set_default_gateway(machine, 3, "", around));
    refused(none, "__all__", "This interface has no usable gateways.");
}

#[test]
fn the_default_gateway_is_the_chosen_one_or_a_guess() {
    let mut world = World::new(Status::Ready);
    world.link(4, &to("static", 4)).unwrap();
    world.link(1, &to("auto", 1)).unwrap();
    world.link(2, &to("auto", 5)).unwrap();
    let gateway = |subnet: u64| {
        let ip = format!("10.0.{subnet}.1").parse().unwrap();
        Some(model::Gateway { ip, managed: true })
    };
    let guess = |world: &World| world.machine.default_route(gateway).unwrap().1.ip.to_string();
    assert_eq!(guess(&world), "10.0.1.1", "of the boot interface");
    let bond = world.create(New::Bond, &bond("bond0", &[2])).unwrap();
    world.link(bond, &to("auto", 5)).unwrap();
    assert_eq!(guess(&world), "10.0.5.1", "bonds come first");
    world.on(|machine, around| links::set_default_gateway(machine, 4, "", around)).unwrap();
    assert_eq!(guess(&world), "10.0.4.1");
    let link = world.named("eth3").links[0].number.to_string();
    world.on(|machine, around| links::unlink(machine, 4, &link, around)).unwrap();
    assert_eq!((guess(&world).as_str(), world.machine.default_gateway), ("10.0.5.1", None));
}

#[test]
fn a_bridge_of_whoever_allocated_the_machine_takes_its_parents_links() {
    let mut world = World::new(Status::Allocated);
    world.link(1, &to("auto", 1)).unwrap();
    world.create(New::Bridge, &parents(&[1])).unwrap();
    let bridge = world.named("br-eth0");
    assert_eq!((bridge.links[0].mode, bridge.links.len()), (LinkMode::Auto, 1));
    assert!(world.named("eth0").links.is_empty());
}

#[derive(Debug, Clone)]
enum Step {
    Create(New, Wanted, Vec<usize>),
    Update(usize, Wanted, Option<Vec<usize>>),
    Delete(usize),
    Link(usize, links::Wanted),
    Unlink(usize, usize),
    Disconnect(usize),
    Gateway(usize),
    Restore,
}

fn some_vlan() -> impl Strategy<Value = Sent<u64>> {
    prop_oneof![
        3 => Just(Sent::Absent),
        1 => Just(Sent::Empty),
        4 => (1u64..=6).prop_map(Sent::Value),
    ]
}

fn some_wanted() -> impl Strategy<Value = Wanted> {
    let names = prop::sample::select(vec![None, None, Some("bond0"), Some("br0"), Some("eth1"), Some("lan")]);
    let macs = prop::sample::select(vec![
        None,
        None,
        Some("52:54:00:00:00:01"),
        Some("52:54:00:00:00:a1"),
        Some("52:54:00:00:00:ff"),
    ]);
    (names, macs, some_vlan(), any::<bool>()).prop_map(|(name, mac, vlan, miimon)| Wanted {
        name: name.map(str::to_owned),
        mac: mac.map(str::to_owned),
        vlan,
        bond: BondWanted { miimon: miimon.then_some(7), ..BondWanted::default() },
        ..Wanted::default()
    })
}

fn some_link() -> impl Strategy<Value = links::Wanted> {
    let modes = prop::sample::select(vec!["auto", "dhcp", "static", "link_up"]);
    (modes, prop::option::of(1u64..=6), 2u8..20, any::<bool>(), any::<bool>()).prop_map(
        |(mode, subnet, last, force, default_gateway)| links::Wanted {
            mode: mode.to_owned(),
            subnet: subnet.map(Ok),
            ip: subnet.map(|net| format!("10.0.{net}.{last}").parse().unwrap()),
            force,
            default_gateway,
        },
    )
}

fn some_step() -> impl Strategy<Value = Step> {
    let which = 0usize..8;
    let several = prop::collection::vec(0usize..8, 0..3);
    let kinds = prop::sample::select(vec![New::Physical, New::Bond, New::Bridge, New::Vlan]);
    prop_oneof![
        12 => (kinds, some_wanted(), several.clone()).prop_map(|(new, wanted, of)| Step::Create(new, wanted, of)),
        8 => (which.clone(), some_wanted(), prop::option::of(several))
            .prop_map(|(which, wanted, of)| Step::Update(which, wanted, of)),
        2 => which.clone().prop_map(Step::Delete),
        20 => (which.clone(), some_link()).prop_map(|(which, link)| Step::Link(which, link)),
        3 => (which.clone(), 0usize..3).prop_map(|(which, link)| Step::Unlink(which, link)),
        2 => which.clone().prop_map(Step::Disconnect),
        5 => which.prop_map(Step::Gateway),
        1 => Just(Step::Restore),
    ]
}

impl World {
    /// Ports of one VLAN of which nothing is made.
    fn bondable(&self, most: usize) -> Vec<u64> {
        let nics = &self.machine.nics;
        let mut free =
            nics.iter().filter(|nic| nic.is_physical() && children(nics, nic.number).next().is_none());
        let vlan = free.clone().next().and_then(|nic| nic.vlan);
        free.by_ref().filter(|nic| nic.vlan == vlan).take(most).map(|nic| nic.number).collect()
    }

    fn take(&mut self, step: &Step) -> Result<(), ApiError> {
        let numbers: Vec<u64> = self.machine.nics.iter().map(|nic| nic.number).collect();
        let at = |which: usize| numbers.get(which).copied().unwrap_or(99);
        let of = |which: &[usize]| {
            let mut all: Vec<u64> = which.iter().map(|which| at(*which)).collect();
            all.dedup();
            all
        };
        match step {
            Step::Create(new, wanted, parents) => {
                let mut wanted =
                    Wanted { parents: (*new != New::Physical).then(|| of(parents)), ..wanted.clone() };
                if let (New::Bridge | New::Vlan, Some(parents)) = (new, &mut wanted.parents) {
                    parents.truncate(1);
                }
                // Most VLAN interfaces are tagged ones of their parents' fabrics.
                if *new == New::Vlan && wanted.vlan != Sent::Empty {
                    let parent = wanted.parents.iter().flatten().next().copied().unwrap_or_default();
                    let vlan = change::find(&self.machine.nics, parent).and_then(|nic| nic.vlan);
                    wanted.vlan = Sent::Value(if vlan.is_some_and(|vlan| vlan > 3) { 5 } else { 3 });
                }
                // Half of the bonds are of ports that can be bonded.
                if *new == New::Bond && wanted.vlan == Sent::Absent {
                    wanted.name.get_or_insert_with(|| "bond7".to_owned());
                    wanted.parents = Some(self.bondable(parents.len()));
                }
                self.create(*new, &wanted).map(drop)
            }
            Step::Update(which, wanted, parents) => {
                let wanted = Wanted { parents: parents.as_ref().map(|which| of(which)), ..wanted.clone() };
                self.on(|machine, around| change::update(machine, at(*which), &wanted, around))
            }
            Step::Delete(which) => self.on(|machine, around| change::delete(machine, at(*which), around)),
            Step::Link(which, link) => {
                let vlan = self.machine.nics.get(*which).and_then(|nic| nic.vlan);
                // Half of the links are to where the interface is.
                let fitting = match (link.subnet, vlan) {
                    (Some(Ok(1 | 3 | 5)), Some(1)) => Some(if link.force { 5 } else { 1 }),
                    (Some(Ok(1 | 3 | 5)), Some(2)) => Some(2_u8),
                    (Some(Ok(1 | 3 | 5)), Some(4)) => Some(4),
                    _ => None,
                };
                let link = match fitting {
                    Some(subnet) => {
                        let ip = link.ip.map(|ip| [10, 0, subnet, ip.octets()[3]].into());
                        links::Wanted { subnet: Some(Ok(u64::from(subnet))), ip, ..link.clone() }
                    }
                    None => link.clone(),
                };
                self.link(at(*which), &link)
            }
            Step::Unlink(which, link) => {
                let nic = self.machine.nics.get(*which);
                let link = nic.and_then(|nic| nic.links.get(*link)).map_or(7, |link| link.number).to_string();
                self.on(|machine, around| links::unlink(machine, at(*which), &link, around))
            }
            Step::Disconnect(which) => {
                self.on(|machine, around| links::disconnect(machine, at(*which), around))
            }
            Step::Gateway(which) => {
                self.on(|machine, around| links::set_default_gateway(machine, at(*which), "", around))
            }
            Step::Restore => {
                self.on(change::restore);
                Ok(())
            }
        }
    }

    /// Says what does not hold.
    fn fault(&mut self) -> Option<String> {
        self.on(|machine, around| {
            let nics = &machine.nics;
            let fabric = |vlan: Option<u64>| around.vlans.get(&vlan?).map(|vlan| vlan.fabric);
            let mut links: Vec<u64> = machine.links().map(|(_, link)| link.number).collect();
            links.sort_unstable();
            if links.windows(2).any(|two| two[0] == two[1]) {
                return Some("two links have a number".to_owned());
            }
            if machine.default_gateway.is_some_and(|chosen| !links.contains(&chosen)) {
                return Some("the default gateway's link is gone".to_owned());
            }
            nics.iter().find_map(|nic| {
                let parents: Vec<&Nic> =
                    nic.parents.iter().filter_map(|number| change::find(nics, *number)).collect();
                let above = |nic: &Nic| children(nics, nic.number).collect::<Vec<_>>();
                let same = |a: &Nic, b: &Nic| a.number == b.number || a.name == b.name;
                let wrong = if nics.iter().filter(|other| same(nic, other)).count() != 1 {
                    "is there twice"
                } else if parents.len() != nic.parents.len() {
                    "is made of nothing"
                } else if depth(nics, nic, 0) > 4 {
                    "is made of itself"
                } else if nic.vlan.is_some_and(|vlan| !around.vlans.contains_key(&vlan)) {
                    "is in no VLAN that there is"
                } else if nic.links.iter().any(|link| {
                    let subnet = link.subnet.map(|number| &around.subnets[&number]);
                    subnet.is_some_and(|subnet| Some(subnet.vlan) != nic.vlan)
                }) {
                    "is linked to another VLAN"
                } else if nic.links.iter().filter(|link| link.mode == LinkMode::Dhcp).count() > 1 {
                    "asks for DHCP twice"
                } else if nic.links.len() > 1 && nic.links.iter().any(|link| link.mode == LinkMode::LinkUp) {
                    "is up without an address, and with one"
                } else {
                    match &nic.kind {
                        NicKind::Physical if !parents.is_empty() => "is a port with parents",
                        NicKind::Bond(_)
                            if parents.is_empty()
                                || parents.iter().any(|parent| {
                                    !parent.is_physical()
                                        || parent.vlan != nic.vlan
                                        || above(parent).len() != 1
                                        || !parent.links.is_empty()
                                }) =>
                        {
                            "is a bond of what is no port of its own"
                        }
                        NicKind::Bridge(_)
                            if parents.len() != 1
                                || matches!(parents[0].kind, NicKind::Bridge(_))
                                || parents[0].vlan != nic.vlan =>
                        {
                            "is a bridge of the wrong thing"
                        }
                        NicKind::Vlan
                            if parents.len() != 1
                                || parents[0].kind == NicKind::Vlan
                                || parents[0].mac != nic.mac
                                || !nic.name.starts_with(&format!("{}.", parents[0].name))
                                || around.vlans[&nic.vlan.unwrap()].vid == 0
                                || parents[0].vlan.is_some()
                                    && fabric(parents[0].vlan) != fabric(nic.vlan) =>
                        {
                            "is a VLAN interface of the wrong thing"
                        }
                        _ => return None,
                    }
                };
                Some(format!("{} {wrong}", nic.name))
            })
        })
    }
}

fn depth(nics: &[Nic], nic: &Nic, at: u8) -> u8 {
    let below = nic.parents.iter().filter_map(|number| change::find(nics, *number));
    if at > 6 { at } else { below.map(|parent| depth(nics, parent, at + 1)).max().unwrap_or(at) }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Every order of operations leaves a network that can be configured; what is refused changes nothing.
    #[test]
    fn interfaces_stay_consistent(
        allocated in any::<bool>(),
        steps in prop::collection::vec(some_step(), 1..25),
    ) {
        let mut world = World::new(if allocated { Status::Allocated } else { Status::Ready });
        for step in &steps {
            let before = world.machine.clone();
            let done = world.take(step);
            if done.is_err() {
                prop_assert_eq!(&world.machine, &before, "{:?} was refused", step);
            }
            let fault = world.fault();
            prop_assert!(fault.is_none(), "{}, after {:?} of {:#?}", fault.unwrap(), step, before.nics);
        }
    }
}

/// The property above says something only if the steps are mostly possible, and some are refused.
#[test]
fn the_steps_of_the_property_are_taken() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let mut taken: BTreeMap<String, [usize; 2]> = BTreeMap::new();
    for _ in 0..300 {
        let mut world = World::new(Status::Ready);
        let steps = prop::collection::vec(some_step(), 25).new_tree(&mut runner).unwrap().current();
        for step in steps {
            let name = match &step {
                Step::Create(new, ..) => format!("{new:?}"),
                other => format!("{other:?}").chars().take_while(|c| c.is_alphanumeric()).collect(),
            };
            let refused = usize::from(world.take(&step).is_err());
            taken.entry(name).or_default()[refused] += 1;
        }
    }
    for (name, [taken, refused]) in &taken {
        assert!(
            *taken >= 20 && (*refused >= 20 || name == "Restore"),
            "{name}: {taken} taken, {refused} refused"
        );
    }
    assert_eq!(taken.len(), 11, "{taken:?}");
}
