//! One machine's life as a state machine: an event comes in, actions go out; no IO, no clock, no lots but the seed's.
//!
//! A machine waits for one thing at a time: a timer, an HTTP answer, or a DHCP answer with a timer beside it. Each
//! wait has a number, its step; what comes for an older step comes too late and changes nothing. So power can be cut
//! at any moment, and events may come twice or not at all.
//!
//! | module | part of a life |
//! |---|---|
//! | [`firmware`] | power-on, DHCP, iPXE's scripts, kernel and initrd |
//! | [`agent`] | hello, tasks, reports |
//! | [`system`] | the installed system: cloud-init |

mod agent;
mod firmware;
mod system;
#[cfg(test)]
mod tests;

use std::net::Ipv4Addr;
use std::time::Duration;

use bmc::{BootOverride, BootTarget, PowerState, Reset};
use bytes::Bytes;
use netboot::dhcp;
use secrets::{ApiKey, Secret};
use serde::{Deserialize, Serialize};

use crate::board::Board;
use crate::options::Image;

use agent::{Agent, End, Reading};
use firmware::{Asking, Loading, Then};
use system::Source;

/// Longest pause between two attempts at a request.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Pause after the first failed attempt.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Attempts before a program that runs on the machine gives up: some ten minutes.
const ATTEMPTS: u32 = 120;

/// What surrounds a machine.
#[derive(Debug, Clone, Copy)]
pub struct Setting<'a> {
    /// Its body.
    pub board: &'a Board,
    /// By how much its own times (firmware, kernel, tests, erasing) are shortened.
    pub compression: f64,
    /// How it reads images.
    pub image: &'a Image,
    /// The DHCP relay agent that its packets go through.
    pub relay: Ipv4Addr,
}

/// Where a machine is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Power is off.
    Off,
    /// The firmware tests itself.
    Post,
    /// It asks for an address.
    Dhcp,
    /// It fetches its boot configuration.
    Config,
    /// It fetches kernel and initrd.
    Loading,
    /// The kernel starts.
    Kernel,
    /// The agent says hello.
    Hello,
    /// The agent has nothing to do.
    Waiting,
    /// The agent tests.
    Testing,
    /// The agent writes an image.
    Installing,
    /// The agent erases.
    Erasing,
    /// The agent reports.
    Reporting,
    /// The installed system starts.
    System,
    /// cloud-init fetches and reports.
    CloudInit,
    /// The installed system runs.
    Running,
    /// It is on and nothing moves.
    Dead,
}

impl Phase {
    /// Every phase, in the order of a life.
    pub const ALL: [Self; 16] = [
        Self::Off,
        Self::Post,
        Self::Dhcp,
        Self::Config,
        Self::Loading,
        Self::Kernel,
        Self::Hello,
        Self::Waiting,
        Self::Testing,
        Self::Installing,
        Self::Erasing,
        Self::Reporting,
        Self::System,
        Self::CloudInit,
        Self::Running,
        Self::Dead,
    ];
}

/// What happens to a machine.
#[derive(Debug, Clone)]
pub enum Event {
    /// Its BMC, or a finger on its button.
    Reset(Reset),
    /// A timer of this step has run down.
    Timer(u32),
    /// A DHCP server says something.
    Dhcp(dhcp::Answer),
    /// The request of this step was answered.
    Answer(u32, Reply),
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status; `None` where there was no answer.
    pub status: Option<u16>,
    /// The body, where it was to be kept.
    pub body: Bytes,
}

impl Reply {
    const fn is_success(&self) -> bool {
        matches!(self.status, Some(200..300))
    }

    /// Whether another attempt may end otherwise.
    const fn passes(&self) -> bool {
        matches!(self.status, None | Some(408 | 429 | 500..))
    }
}

/// What a machine does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Wakes up later.
    Timer {
        /// For this step.
        step: u32,
        /// From now.
        after: Duration,
    },
    /// Sends a packet to the DHCP servers, through the relay agent.
    Dhcp(Vec<u8>),
    /// Asks by HTTP.
    Http {
        /// For this step.
        step: u32,
        /// What.
        call: Call,
    },
    /// Is interested no more in what it asked for.
    HangUp,
}

/// An HTTP request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// From which of the fleet's addresses.
    pub from: Ipv4Addr,
    /// What is to be done.
    pub verb: Verb,
    /// URL.
    pub url: String,
    /// Who asks.
    pub access: Access,
}

/// What a request does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verb {
    /// GET; the body comes back.
    Get,
    /// HEAD.
    Head,
    /// GET of bytes from the first number to the second, included; they are read and dropped.
    Range(u64, u64),
    /// POST of JSON; the body comes back.
    Post(Bytes),
}

/// How a request shows who asks.
#[derive(Debug, Clone, PartialEq)]
pub enum Access {
    /// It does not.
    Open,
    /// A token.
    Bearer(Secret),
    /// OAuth.
    OAuth(ApiKey),
}

impl Eq for Access {}

/// What stands in the way of a machine from one start to the next.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Hindrance {
    /// It never gets as far as the network.
    pub silent: bool,
    /// Its own times are so many times longer; below 1 counts as 1.
    pub slow: f64,
    /// Its agent asks and reports before it says hello.
    pub wrong_order: bool,
    /// It says everything twice.
    pub twice: bool,
    /// So many of a hundred DHCP packets are lost, either way.
    pub dhcp_loss: f64,
}

/// What may go wrong.
pub trait Luck {
    /// A machine starts: what is in its way.
    fn start(&mut self) -> Hindrance;
    /// Whether it dies on entering this phase.
    fn dies(&mut self, phase: Phase) -> bool;
}

/// A machine's life until now.
#[derive(Debug)]
pub struct Life {
    state: State,
    /// The wait that is under way.
    step: u32,
    /// Attempts at the present state's request.
    tries: u32,
    /// Requests of the present state that are to be made once more.
    again: u32,
    /// Lots drawn.
    lots: u32,
    over: BootOverride,
    first: BootTarget,
    hindrance: Hindrance,
    address: Option<Ipv4Addr>,
    agent: Option<Box<Agent>>,
    /// What is on the disk: how the installed system finds its data source.
    disk: Option<Box<Source>>,
}

#[derive(Debug)]
enum State {
    Off,
    Post,
    Asking(Box<Asking>),
    /// Nothing to start; the boot order is gone through again.
    Nothing,
    Script {
        url: String,
        hops: u32,
    },
    Loading(Box<Loading>),
    Kernel,
    /// What the agent should not say before hello: so many of it are said.
    Early(u32),
    Hello,
    Task,
    Pause(Duration),
    Work(Box<agent_protocol::Assignment>),
    Reading(Box<Reading>),
    /// What is to be said, the next thing last.
    Report(Vec<agent_protocol::Report>, End),
    SystemStart,
    CloudInit(usize),
    Running,
    Dead,
}

impl Default for Life {
    fn default() -> Self {
        Self {
            state: State::Off,
            step: 0,
            tries: 0,
            again: 0,
            lots: 0,
            over: BootOverride::default(),
            first: BootTarget::None,
            hindrance: Hindrance::default(),
            address: None,
            agent: None,
            disk: None,
        }
    }
}

impl Life {
    /// Takes in an event; what the machine does next.
    pub fn on(&mut self, setting: Setting<'_>, luck: &mut dyn Luck, event: Event) -> Vec<Action> {
        let mut turn = Turn { life: self, setting, luck, actions: Vec::new() };
        match event {
            Event::Reset(reset) => turn.reset(reset),
            Event::Timer(step) if step == turn.life.step => turn.timer(),
            Event::Answer(step, reply) if step == turn.life.step => turn.answered(&reply),
            Event::Dhcp(answer) => turn.heard(&answer),
            Event::Timer(_) | Event::Answer(..) => {}
        }
        turn.actions
    }

    /// Where it is.
    pub fn phase(&self) -> Phase {
        match &self.state {
            State::Off => Phase::Off,
            State::Post | State::Nothing => Phase::Post,
            State::Asking(_) => Phase::Dhcp,
            State::Script { .. } => Phase::Config,
            State::Loading(_) => Phase::Loading,
            State::Kernel => Phase::Kernel,
            State::Early(_) | State::Hello => Phase::Hello,
            State::Task | State::Pause(_) => Phase::Waiting,
            State::Work(assignment) => match assignment.task {
                agent_protocol::Task::Erase { .. } => Phase::Erasing,
                _ => Phase::Testing,
            },
            State::Reading(_) => Phase::Installing,
            State::Report(..) => Phase::Reporting,
            State::SystemStart => Phase::System,
            State::CloudInit(_) => Phase::CloudInit,
            State::Running => Phase::Running,
            State::Dead => Phase::Dead,
        }
    }

    /// Whether it is on.
    pub fn power(&self) -> PowerState {
        if matches!(self.state, State::Off) { PowerState::Off } else { PowerState::On }
    }

    /// Its address, while it has one.
    pub const fn address(&self) -> Option<Ipv4Addr> {
        self.address
    }

    /// Whether a system is on its disk.
    pub const fn is_installed(&self) -> bool {
        self.disk.is_some()
    }

    /// The boot override as it stands.
    pub const fn boot_override(&self) -> BootOverride {
        self.over
    }

    /// Replaces the boot override.
    pub const fn set_boot_override(&mut self, wanted: BootOverride) {
        self.over = wanted;
    }
}

/// One event being taken in.
struct Turn<'a> {
    life: &'a mut Life,
    setting: Setting<'a>,
    luck: &'a mut dyn Luck,
    actions: Vec<Action>,
}

impl Turn<'_> {
    fn reset(&mut self, reset: Reset) {
        match (reset, self.life.power()) {
            (Reset::On, PowerState::On) | (Reset::ForceOff | Reset::GracefulShutdown, PowerState::Off) => {}
            (Reset::On, PowerState::Off) => self.start(),
            (Reset::ForceRestart, _) => {
                self.off();
                self.start();
            }
            (Reset::ForceOff | Reset::GracefulShutdown, PowerState::On) => self.off(),
        }
    }

    fn off(&mut self) {
        self.actions.push(Action::HangUp);
        self.life.state = State::Off;
        self.life.step = self.life.step.wrapping_add(1);
        self.life.address = None;
        self.life.agent = None;
    }

    fn start(&mut self) {
        self.life.hindrance = self.luck.start();
        self.life.first = self.life.over.effective();
        self.life.over = self.life.over.after_start();
        self.enter(State::Post);
    }

    /// A restart that the machine itself wants: the boot order holds, without an override.
    fn restart(&mut self) {
        self.actions.push(Action::HangUp);
        self.life.address = None;
        self.life.agent = None;
        self.start();
    }

    /// On to another state, and into its wait; luck may end it here.
    fn enter(&mut self, state: State) {
        let before = self.life.phase();
        self.life.state = state;
        (self.life.tries, self.life.again) = (0, u32::from(self.life.hindrance.twice));
        let phase = self.life.phase();
        if phase != before && phase != Phase::Dead && self.luck.dies(phase) {
            self.actions.push(Action::HangUp);
            self.life.state = State::Dead;
        }
        self.begin();
    }

    /// Begins the present state's wait, for the first time or again.
    fn begin(&mut self) {
        let own = |seconds: f64| Duration::from_secs_f64(seconds);
        match &self.life.state {
            State::Off | State::Running | State::Dead => self.life.step = self.life.step.wrapping_add(1),
            State::Post => self.wait_own(self.setting.board.post()),
            State::Nothing => self.wait(firmware::RETRY),
            State::Asking(_) => self.ask(),
            State::Kernel => self.wait_own(own(20.0)),
            State::Pause(pause) => self.wait(*pause),
            State::Work(assignment) => match assignment.task {
                agent_protocol::Task::Erase { .. } => self.wait_own(own(30.0)),
                _ => self.wait_own(own(40.0)),
            },
            State::SystemStart => self.wait_own(own(30.0)),
            State::Reading(reading) if !reading.asks() => self.wait_own(self.setting.image.pause()),
            State::Script { .. }
            | State::Loading(_)
            | State::Early(_)
            | State::Hello
            | State::Task
            | State::Reading(_)
            | State::Report(..)
            | State::CloudInit(_) => self.call(),
        }
    }

    fn timer(&mut self) {
        match &mut self.life.state {
            State::Off | State::Running | State::Dead => {}
            State::Post => self.posted(),
            State::Nothing => self.discover(Then::Script),
            State::Asking(_) => self.no_answer(),
            State::Kernel => self.discover(Then::Agent),
            State::Pause(_) => self.enter(State::Task),
            State::Work(_) => self.worked(),
            State::SystemStart => self.discover(Then::CloudInit),
            State::Reading(reading) if !reading.asks() => {
                reading.go_on();
                self.begin();
            }
            // A pause after a request that failed.
            State::Script { .. }
            | State::Loading(_)
            | State::Early(_)
            | State::Hello
            | State::Task
            | State::Reading(_)
            | State::Report(..)
            | State::CloudInit(_) => self.call(),
        }
    }

    fn answered(&mut self, reply: &Reply) {
        if reply.passes() {
            return self.failed();
        }
        match &self.life.state {
            State::Script { .. } => self.scripted(reply),
            State::Loading(_) => self.loaded(reply),
            State::Early(said) => {
                let said = said + 1;
                self.enter(if said < agent::EARLY { State::Early(said) } else { State::Hello });
            }
            State::Hello | State::Task => self.assigned(reply),
            State::Reading(_) => self.read(reply),
            State::Report(..) => self.reported(reply),
            State::CloudInit(_) => self.told(reply),
            _ => {}
        }
    }

    /// A request failed for now.
    fn failed(&mut self) {
        self.life.tries += 1;
        let firmware = matches!(self.life.state, State::Script { .. } | State::Loading(_));
        if self.life.tries >= if firmware { firmware::ATTEMPTS } else { ATTEMPTS } {
            return self.restart();
        }
        let pause = FIRST_PAUSE.saturating_mul(1 << self.life.tries.min(8)).min(LONGEST_PAUSE);
        self.wait(pause);
    }

    fn call(&mut self) {
        let call = match &self.life.state {
            State::Script { url, .. } => self.get(url.clone()),
            State::Loading(loading) => self.load(loading),
            State::CloudInit(at) => self.cloud_init(*at),
            _ => self.agent_call(),
        };
        // Without an address, a token or a data source there is nobody to ask.
        match call {
            Some(call) => {
                self.life.step = self.life.step.wrapping_add(1);
                self.actions.push(Action::Http { step: self.life.step, call });
            }
            None => self.restart(),
        }
    }

    fn get(&self, url: String) -> Option<Call> {
        Some(Call { from: self.life.address?, verb: Verb::Get, url, access: Access::Open })
    }

    /// Waits for the time that something takes on the machine itself.
    fn wait_own(&mut self, time: Duration) {
        let factor = self.life.hindrance.slow.max(1.0) / self.setting.compression.max(1.0);
        self.wait(time.mul_f64(factor));
    }

    fn wait(&mut self, after: Duration) {
        self.life.step = self.life.step.wrapping_add(1);
        self.actions.push(Action::Timer { step: self.life.step, after });
    }

    /// Whether a packet is lost on its way.
    fn loses(&mut self) -> bool {
        self.life.lots = self.life.lots.wrapping_add(1);
        let lot = self.setting.board.seed.of("packet", u64::from(self.life.lots));
        lot.falls("lost", self.life.hindrance.dhcp_loss)
    }
}
