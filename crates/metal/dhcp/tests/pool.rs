//! What must hold whatever the machines do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::{collections::HashMap, net::Ipv4Addr};

use dhcp::{
    Config, DECLINE_HOLD, Decision, Host, Ignored, LeaseState, Leases, Mac, Message, NoAddress, Op, Options,
    Range, Refusal, Subnet, code, decide,
};
use jiff::{SignedDuration, Timestamp};
use proptest::{collection::vec, prelude::*};

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

fn mac(n: u8) -> Mac {
    Mac([0x52, 0x54, 0, 0, 0, n])
}

fn ip(n: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, n)
}

/// A range of four addresses.
fn config() -> Config {
    let mut subnet = Subnet::new("10.0.0.0/24".parse().unwrap(), SERVER);
    subnet.range = Some(Range { first: ip(10), last: ip(13) });
    let mut relayed = Subnet::new("10.0.9.0/24".parse().unwrap(), SERVER);
    relayed.range = Some(Range { first: [10, 0, 9, 10].into(), last: [10, 0, 9, 20].into() });
    Config::new(vec![subnet, relayed])
}

fn message(n: u8, kind: u8) -> Message {
    let mut options = Options::default();
    options.set(code::MESSAGE_TYPE, [kind]);
    Message {
        op: Op::Request,
        hops: 0,
        xid: 1,
        secs: 0,
        flags: 0,
        ciaddr: Ipv4Addr::UNSPECIFIED,
        yiaddr: Ipv4Addr::UNSPECIFIED,
        siaddr: Ipv4Addr::UNSPECIFIED,
        giaddr: Ipv4Addr::UNSPECIFIED,
        mac: mac(n),
        sname: Vec::new(),
        file: Vec::new(),
        options,
    }
}

/// What a machine says.
#[derive(Debug, Clone, Copy)]
enum Say {
    Discover,
    Select(Ipv4Addr),
    Reboot(Ipv4Addr),
    Renew(Ipv4Addr),
    Release(Ipv4Addr),
    Decline(Ipv4Addr),
}

impl Say {
    fn by(self, n: u8) -> Message {
        let with = |kind, option: u8, ip: Ipv4Addr| {
            let mut m = message(n, kind);
            m.options.set(option, ip.octets());
            m
        };
        match self {
            Self::Discover => message(n, 1),
            Self::Select(ip) => {
                let mut m = with(3, code::REQUESTED_ADDRESS, ip);
                m.options.set(code::SERVER_ID, SERVER.octets());
                m
            }
            Self::Reboot(ip) => with(3, code::REQUESTED_ADDRESS, ip),
            Self::Renew(ip) => Message { ciaddr: ip, ..message(n, 3) },
            Self::Release(ip) => Message { ciaddr: ip, ..message(n, 7) },
            Self::Decline(ip) => with(4, code::REQUESTED_ADDRESS, ip),
        }
    }
}

/// A server under test, with its own clock.
struct World {
    config: Config,
    hosts: HashMap<Mac, Host>,
    leases: Leases,
    now: Timestamp,
}

impl World {
    fn new() -> Self {
        Self {
            config: config(),
            hosts: HashMap::new(),
            leases: Leases::default(),
            now: Timestamp::from_second(1_700_000_000).unwrap(),
        }
    }

    fn say(&mut self, n: u8, what: Say) -> Decision {
        self.hear(&what.by(n))
    }

    fn hear(&mut self, message: &Message) -> Decision {
        let decision = decide(message, &self.config, &self.hosts, &self.leases, self.now);
        self.leases.apply(&decision);
        decision
    }

    fn wait(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
    }

    fn fix(&mut self, n: u8, at: Ipv4Addr) {
        self.hosts.insert(mac(n), Host { ip: Some(at), hostname: None });
    }

    /// Discovers and takes what is offered.
    fn boot(&mut self, n: u8) -> Ipv4Addr {
        let Decision::Offer(offer) = self.say(n, Say::Discover) else { panic!("no offer to {n}") };
        let Decision::Ack(lease) = self.say(n, Say::Select(offer.ip)) else { panic!("no ack to {n}") };
        assert_eq!(lease.ip, offer.ip);
        lease.ip
    }
}

fn any_say() -> impl Strategy<Value = Say> {
    let any_ip = || (8u8..16).prop_map(ip);
    prop_oneof![
        4 => Just(Say::Discover),
        4 => any_ip().prop_map(Say::Select),
        2 => any_ip().prop_map(Say::Reboot),
        2 => any_ip().prop_map(Say::Renew),
        1 => any_ip().prop_map(Say::Release),
        1 => any_ip().prop_map(Say::Decline),
    ]
}

proptest! {
    /// Nobody is granted or offered an address that another machine was granted, or that was found in use,
    /// whatever is said, restarted and configured in between.
    #[test]
    fn no_address_twice(steps in vec((0u8..7, any_say(), 0i64..400, any::<Option<(u8, u8)>>(), 0u8..10), 1..80)) {
        let mut world = World::new();
        let mut granted: HashMap<Ipv4Addr, (Option<Mac>, Timestamp)> = HashMap::new();
        for (n, what, wait, fix, restart) in steps {
            world.wait(wait);
            if let Some((who, at)) = fix {
                world.hosts.remove(&mac(who % 7));
                if at % 2 == 0 {
                    let at = ip(10 + at % 6);
                    world.hosts.retain(|_, host| host.ip != Some(at));
                    world.fix(who % 7, at);
                }
            }
            if restart == 0 {
                // Offers are not in the journal.
                let journal: Vec<_> =
                    world.leases.iter().filter(|l| l.state != LeaseState::Offered).cloned().collect();
                world.leases = Leases::restore(journal);
            }
            match world.say(n, what) {
                Decision::Offer(lease) | Decision::Ack(lease) => {
                    let allowed = world.config.subnets[0].range.unwrap().contains(lease.ip)
                        || world.hosts.get(&mac(n)).is_some_and(|h| h.ip == Some(lease.ip));
                    prop_assert!(allowed, "{} was given to {}", lease.ip, lease.mac);
                    if let Some((by, until)) = granted.get(&lease.ip) {
                        let fixed = world.hosts.get(&mac(n)).is_some_and(|h| h.ip == Some(lease.ip));
                        let mine = *by == Some(mac(n)) || (by.is_none() && fixed);
                        prop_assert!(mine || *until <= world.now, "{} is {by:?}'s, given to {}", lease.ip, lease.mac);
                    }
                    if lease.state == LeaseState::Bound {
                        granted.insert(lease.ip, (Some(mac(n)), lease.until));
                    }
                }
                Decision::Release(lease) => {
                    prop_assert_eq!(lease.mac, mac(n));
                    granted.remove(&lease.ip);
                }
                Decision::Decline(lease) => {
                    granted.insert(lease.ip, (None, world.now + DECLINE_HOLD));
                }
                Decision::Nak(_) | Decision::Ignore(_) | Decision::Inform => {}
            }
        }
    }

    /// A machine that comes back gets its old address as long as nobody needed it.
    #[test]
    fn the_same_address_again(order in Just([1u8, 2, 3, 4]).prop_shuffle(), wait in 0i64..100_000) {
        let mut world = World::new();
        let first = order.map(|n| world.boot(n));
        world.wait(wait);
        let mut again = order;
        again.reverse();
        let mut second = again.map(|n| world.boot(n));
        second.reverse();
        prop_assert_eq!(first, second);
    }
}

#[test]
fn a_full_pool_says_so_and_the_longest_unused_goes_first() {
    let mut world = World::new();
    let addresses: Vec<_> = (1..=4)
        .map(|n| {
            world.wait(10);
            world.boot(n)
        })
        .collect();
    let full = world.say(5, Say::Discover);
    let Decision::Ignore(Ignored::NoAddress(NoAddress::Exhausted { next, .. })) = full else {
        panic!("{full:?}")
    };
    assert_eq!(next, Some(world.now + SignedDuration::from_secs(570)));
    world.wait(700);
    assert_eq!(world.boot(5), addresses[0]);
    assert_eq!(world.boot(6), addresses[1]);
}

#[test]
fn fixed_hosts() {
    let mut world = World::new();
    world.fix(1, ip(50));
    world.fix(2, ip(11));
    assert_eq!(world.boot(1), ip(50));
    for n in 3..=5 {
        assert_ne!(world.boot(n), ip(11), "a fixed address is kept out of the pool");
    }
    assert_eq!(world.boot(2), ip(11));
    assert!(matches!(
        world.say(2, Say::Decline(ip(11))),
        Decision::Ignore(Ignored::FixedAddressInUse { .. })
    ));
}

/// Enlisted with an address of the pool, then given a fixed one: the running system keeps what it has, the next
/// boot moves.
#[test]
fn a_fixed_address_counts_from_the_next_boot() {
    let mut world = World::new();
    let old = world.boot(1);
    world.fix(1, ip(50));
    assert!(matches!(world.say(1, Say::Renew(old)), Decision::Ack(lease) if lease.ip == old));
    assert_eq!(world.say(1, Say::Reboot(old)), Decision::Nak(Refusal::Moved { wanted: old, has: ip(50) }));
    assert_eq!(world.boot(1), ip(50));
}

#[test]
fn a_fixed_address_waits_for_its_holder() {
    let mut world = World::new();
    let held = world.boot(1);
    world.fix(2, held);
    let told = world.say(2, Say::Discover);
    assert!(
        matches!(told, Decision::Ignore(Ignored::FixedAddressLeased { by, .. }) if by == mac(1)),
        "{told:?}"
    );
    assert_eq!(world.say(1, Say::Renew(held)), Decision::Nak(Refusal::Taken(held)));
    world.wait(601);
    assert_eq!(world.boot(2), held);
}

#[test]
fn init_reboot() {
    let mut world = World::new();
    let elsewhere = Ipv4Addr::new(192, 168, 1, 5);
    assert_eq!(world.say(1, Say::Reboot(elsewhere)), Decision::Nak(Refusal::WrongSubnet(elsewhere)));
    assert_eq!(world.say(1, Say::Reboot(ip(12))), Decision::Ignore(Ignored::UnknownAddress { ip: ip(12) }));
    let mine = world.boot(1);
    world.wait(10_000);
    assert!(matches!(world.say(1, Say::Reboot(mine)), Decision::Ack(lease) if lease.ip == mine));
    assert_eq!(world.say(2, Say::Reboot(mine)), Decision::Nak(Refusal::Taken(mine)));
}

#[test]
fn firmware_gets_a_short_lease() {
    let mut world = World::new();
    let mut m = Say::Select(ip(10)).by(1);
    m.options.set(code::VENDOR_CLASS, *b"PXEClient:Arch:00000:UNDI:002001");
    let Decision::Ack(lease) = world.hear(&m) else { panic!() };
    assert_eq!(lease.duration(), SignedDuration::from_secs(30));
    let Decision::Ack(lease) = world.say(1, Say::Renew(ip(10))) else { panic!() };
    assert_eq!(lease.duration(), SignedDuration::from_secs(600));
}

#[test]
fn relays_and_other_servers() {
    let mut world = World::new();
    let relayed = Message { giaddr: [10, 0, 9, 2].into(), ..Say::Discover.by(1) };
    assert!(matches!(world.hear(&relayed), Decision::Offer(lease) if lease.ip.octets()[2] == 9));
    let stray = Message { giaddr: [10, 7, 7, 7].into(), ..Say::Discover.by(1) };
    assert!(matches!(world.hear(&stray), Decision::Ignore(Ignored::UnknownSubnet { .. })));
    let renewal = Say::Renew([10, 0, 9, 12].into()).by(2);
    assert!(matches!(world.hear(&renewal), Decision::Ack(lease) if lease.ip.octets()[2] == 9));
    let mut other = Say::Select(ip(10)).by(1);
    other.options.set(code::SERVER_ID, [10, 0, 0, 77]);
    assert!(matches!(world.hear(&other), Decision::Ignore(Ignored::OtherServer { .. })));
    assert_eq!(world.hear(&message(3, 8)), Decision::Inform);
}

#[test]
fn a_declined_address_is_put_aside() {
    let mut world = World::new();
    let bad = world.boot(1);
    assert!(matches!(world.say(2, Say::Decline(bad)), Decision::Ignore(Ignored::NotHeld { .. })));
    assert!(matches!(world.say(1, Say::Decline(bad)), Decision::Decline(_)));
    for n in 1..=3 {
        assert_ne!(world.boot(n), bad);
    }
    assert!(matches!(world.say(4, Say::Discover), Decision::Ignore(Ignored::NoAddress(_))));
    world.wait(601);
    assert_eq!(world.boot(4), bad);
}
