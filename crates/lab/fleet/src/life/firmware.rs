//! From power-on to a kernel or a disk: what firmware with iPXE does.

use std::time::Duration;

use bmc::BootTarget;
use netboot::dhcp::{Answer, Client, Kind, Lease, Question, Speaker};
use netboot::script::{self, Kernel, Variables};
use secrets::Secret;

use super::agent::Agent;
use super::{Access, Action, Call, Reply, State, Turn, Verb};

/// Pause before the boot order is gone through again, when nothing in it starts.
pub(super) const RETRY: Duration = Duration::from_secs(5);
/// Attempts of firmware at a request.
pub(super) const ATTEMPTS: u32 = 5;
/// Scripts that may chain one another.
const CHAIN_LIMIT: u32 = 8;
/// Bytes of kernel and initrd that are read where they are read at all.
const BEGINNING: u64 = 64 << 10;
/// Waits for a DHCP answer, growing as iPXE's do.
const PATIENCE: [Duration; 5] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(4),
    Duration::from_secs(4),
];

/// A question for an address.
#[derive(Debug)]
pub(super) struct Asking {
    transaction: u32,
    tries: usize,
    offer: Option<Lease>,
    then: Then,
}

/// What the address is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    /// iPXE fetches its boot configuration.
    Script,
    /// The ephemeral system's agent says hello.
    Agent,
    /// The installed system's cloud-init begins.
    CloudInit,
}

/// A kernel and its initial RAM disks being fetched.
#[derive(Debug)]
pub(super) struct Loading {
    kernel: Kernel,
    /// How many of them are there.
    done: usize,
}

impl Loading {
    fn url(&self) -> Option<&String> {
        match self.done.checked_sub(1) {
            None => Some(&self.kernel.url),
            Some(initrd) => self.kernel.initrds.get(initrd),
        }
    }
}

impl Turn<'_> {
    pub(super) fn posted(&mut self) {
        match (self.life.hindrance.silent, self.life.first) {
            (true, _) => self.enter(State::Dead),
            (false, BootTarget::Hdd) => self.boot_disk(),
            (false, BootTarget::None | BootTarget::Pxe) => self.discover(Then::Script),
        }
    }

    fn boot_disk(&mut self) {
        self.enter(if self.life.is_installed() { State::SystemStart } else { State::Nothing });
    }

    pub(super) fn discover(&mut self, then: Then) {
        self.life.lots = self.life.lots.wrapping_add(1);
        let lot = self.setting.board.seed.of("transaction", u64::from(self.life.lots));
        let transaction = u32::try_from(lot.below("number", 1 << 32)).unwrap_or(0);
        self.enter(State::Asking(Box::new(Asking { transaction, tries: 0, offer: None, then })));
    }

    /// Sends the present question and waits.
    pub(super) fn ask(&mut self) {
        let State::Asking(asking) = &self.life.state else { return };
        let patience = PATIENCE.get(asking.tries).copied().unwrap_or(RETRY);
        let board = self.setting.board;
        let speaker = if asking.then == Then::Script { Speaker::Ipxe } else { Speaker::System };
        let architecture = board.model().architecture;
        let client = Client { mac: board.mac(0), uuid: board.uuid(), architecture, speaker };
        let question = asking.offer.as_ref().map_or(Question::Discover, Question::Request);
        let packet = client.message(asking.transaction, question, Some(self.setting.relay));
        for _ in 0..=self.life.again {
            if !self.loses() {
                self.actions.push(Action::Dhcp(packet.clone()));
            }
        }
        self.wait(patience);
    }

    pub(super) fn no_answer(&mut self) {
        let State::Asking(asking) = &mut self.life.state else { return };
        asking.tries += 1;
        match (asking.tries < PATIENCE.len(), asking.then) {
            (true, _) => self.begin(),
            (false, Then::Script) => self.network_failed(),
            // A system has nothing else to do than to ask from the start.
            (false, then) => self.discover(then),
        }
    }

    pub(super) fn heard(&mut self, answer: &Answer) {
        if !matches!(self.life.state, State::Asking(_)) || self.loses() {
            return;
        }
        let State::Asking(asking) = &mut self.life.state else { return };
        if answer.transaction != asking.transaction {
            return;
        }
        match (answer.kind, &asking.offer) {
            (Kind::Offer, None) => {
                asking.offer = Some(answer.lease.clone());
                asking.tries = 0;
                self.begin();
            }
            (Kind::Ack, Some(_)) => {
                let then = asking.then;
                self.life.address = Some(answer.lease.address);
                self.addressed(then, &answer.lease);
            }
            (Kind::Nak, Some(_)) => {
                let then = asking.then;
                self.discover(then);
            }
            _ => {}
        }
    }

    fn addressed(&mut self, then: Then, lease: &Lease) {
        match then {
            Then::Script if lease.filename.starts_with("http://") => {
                self.enter(State::Script { url: lease.filename.clone(), hops: 0 });
            }
            Then::Script => self.network_failed(),
            Then::Agent if self.life.hindrance.wrong_order => self.enter(State::Early(0)),
            Then::Agent => self.enter(State::Hello),
            Then::CloudInit if self.life.is_installed() => self.enter(State::CloudInit(0)),
            Then::CloudInit => self.enter(State::Running),
        }
    }

    /// The next device of the boot order.
    fn network_failed(&mut self) {
        if self.life.first == BootTarget::Pxe { self.enter(State::Nothing) } else { self.boot_disk() }
    }

    pub(super) fn scripted(&mut self, reply: &Reply) {
        let State::Script { url, hops } = &self.life.state else { return };
        if !reply.is_success() {
            return self.network_failed();
        }
        let board = self.setting.board;
        let variables = Variables {
            mac: board.boot_mac(),
            uuid: board.uuid().to_string(),
            ip: self.life.address.map(|ip| ip.to_string()).unwrap_or_default(),
        };
        let text = String::from_utf8_lossy(&reply.body);
        let action = script::read(&text, url, &variables).map(|script| script.action);
        match (action, *hops) {
            (Ok(script::Action::Chain(url)), hops) if hops < CHAIN_LIMIT => {
                self.enter(State::Script { url, hops: hops + 1 });
            }
            (Ok(script::Action::Boot(kernel)), _) => {
                self.enter(State::Loading(Box::new(Loading { kernel, done: 0 })));
            }
            (Ok(script::Action::Disk), _) => self.boot_disk(),
            (Ok(script::Action::PowerOff), _) => self.off(),
            (Ok(script::Action::Exit | script::Action::Chain(_)) | Err(_), _) => self.network_failed(),
        }
    }

    pub(super) fn load(&self, loading: &Loading) -> Option<Call> {
        let lot = self.setting.board.seed.of("load", u64::try_from(loading.done).ok()?);
        let verb = if lot.falls("head", 50.0) { Verb::Head } else { Verb::Range(0, BEGINNING - 1) };
        Some(Call { from: self.life.address?, verb, url: loading.url()?.clone(), access: Access::Open })
    }

    pub(super) fn loaded(&mut self, reply: &Reply) {
        let State::Loading(loading) = &mut self.life.state else { return };
        // 416: there is less of it than was asked for.
        if !reply.is_success() && reply.status != Some(416) {
            return self.network_failed();
        }
        loading.done += 1;
        if loading.url().is_some() {
            return self.begin();
        }
        let word = |key: &str| {
            let mut words = loading.kernel.arguments.split_whitespace();
            words.find_map(|word| word.strip_prefix(key)?.strip_prefix('=')).map(str::to_owned)
        };
        let url = word(agent_protocol::cmdline::URL);
        let token = word(agent_protocol::cmdline::TOKEN);
        self.life.agent =
            url.zip(token).map(|(url, token)| Box::new(Agent { url, token: Secret::new(token) }));
        self.enter(State::Kernel);
    }
}
