//! The shell around the machines' lives: it carries events in and actions out.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bmc::{PowerState, Reset};
use netboot::dhcp;
use tokio::net::UdpSocket;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::board::Board;
use crate::durations::Durations;
use crate::http;
use crate::life::{Action, Event, Hindrance, Life, Luck, Phase, Setting};
use crate::options::Options;
use crate::rules::{Rules, matches_name};
use crate::seed::Seed;
use crate::status::{Counts, MachineStatus, PhaseTimes};
use crate::timers::Timers;

/// Where DHCP servers and relay agents listen.
const DHCP_PORT: u16 = 67;

/// All machines, and what they share.
#[derive(Debug)]
pub struct Fleet {
    machines: Vec<Machine>,
    /// The rules in force.
    pub rules: Mutex<Rules>,
    /// What it was made of.
    pub options: Options,
    timers: Timers,
    relay: UdpSocket,
    figures: Figures,
}

/// One machine.
#[derive(Debug)]
pub struct Machine {
    /// Its body.
    pub board: Board,
    now: Mutex<Now>,
}

#[derive(Debug)]
struct Now {
    life: Life,
    since: Instant,
    /// The request that is under way.
    call: Option<AbortHandle>,
}

#[derive(Debug, Default)]
struct Figures {
    times: Mutex<BTreeMap<Phase, Durations>>,
    sent: AtomicU64,
    received: AtomicU64,
    requests: AtomicU64,
    unanswered: AtomicU64,
    bytes: AtomicU64,
    bmc: AtomicU64,
}

/// The rules' say in a machine's life.
struct RuleLuck<'a> {
    rules: &'a Mutex<Rules>,
    board: &'a Board,
}

impl Luck for RuleLuck<'_> {
    fn start(&mut self) -> Hindrance {
        lock(self.rules).at_start(self.board)
    }

    fn dies(&mut self, phase: Phase) -> bool {
        lock(self.rules).at_phase(self.board, phase)
    }
}

impl Fleet {
    /// A fleet whose DHCP relay agent speaks through `relay`; every machine is off.
    pub fn new(options: Options, relay: UdpSocket) -> Self {
        let seed = Seed::new(options.seed);
        let now = Instant::now();
        let machine = |number| Machine {
            board: Board::new(seed, number, &options.vendors),
            now: Mutex::new(Now { life: Life::default(), since: now, call: None }),
        };
        let machines = (0..options.machines).map(machine).collect();
        let (timers, figures) = (Timers::default(), Figures::default());
        Self { machines, rules: Mutex::new(Rules::new(seed)), options, timers, relay, figures }
    }

    /// Carries timers and packets to the machines, for ever.
    pub async fn run(self: Arc<Self>) {
        tokio::join!(self.wake(), self.listen());
    }

    async fn wake(self: &Arc<Self>) {
        loop {
            let (machine, step) = self.timers.next().await;
            self.feed(machine, Event::Timer(step));
        }
    }

    async fn listen(self: &Arc<Self>) {
        let mut buffer = [0; 2048];
        loop {
            match self.relay.recv_from(&mut buffer).await {
                Ok((length, _)) => {
                    self.figures.received.fetch_add(1, Ordering::Relaxed);
                    if let Some(answer) = dhcp::parse(buffer.get(..length).unwrap_or_default()) {
                        self.feed(Board::number_of(answer.mac), Event::Dhcp(answer));
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "the DHCP relay agent cannot receive");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
        }
    }

    /// An event for a machine, and what it does then.
    fn feed(self: &Arc<Self>, number: u32, event: Event) {
        let Some(machine) = self.machine(number) else { return };
        let mut now = lock(&machine.now);
        let before = now.life.phase();
        let setting = Setting {
            board: &machine.board,
            compression: self.options.compression,
            image: &self.options.image,
            relay: self.options.network.fleet,
        };
        let mut luck = RuleLuck { rules: &self.rules, board: &machine.board };
        let actions = now.life.on(setting, &mut luck, event);
        let after = now.life.phase();
        if after != before {
            let spent = now.since.elapsed();
            now.since = Instant::now();
            lock(&self.figures.times).entry(before).or_default().add(spent);
            tracing::debug!(machine = machine.board.name, ?before, ?after, "phase");
        }
        for action in actions {
            self.act(number, &mut now, action);
        }
    }

    fn act(self: &Arc<Self>, number: u32, now: &mut Now, action: Action) {
        match action {
            Action::Timer { step, after } => self.timers.add(Instant::now() + after, number, step),
            Action::Dhcp(packet) => {
                let region = SocketAddr::from((self.options.network.region.addr(), DHCP_PORT));
                self.figures.sent.fetch_add(1, Ordering::Relaxed);
                // What the socket does not take is lost, as on any wire: machines ask again.
                if let Err(error) = self.relay.try_send_to(&packet, region) {
                    tracing::debug!(%error, "packet lost");
                }
            }
            Action::Http { step, call } => {
                let fleet = self.clone();
                let nonce = fleet.figures.requests.fetch_add(1, Ordering::Relaxed);
                let task = tokio::spawn(async move {
                    let (reply, bytes) = http::ask(call, nonce).await;
                    fleet.figures.bytes.fetch_add(bytes, Ordering::Relaxed);
                    fleet.figures.unanswered.fetch_add(u64::from(reply.status.is_none()), Ordering::Relaxed);
                    fleet.feed(number, Event::Answer(step, reply));
                });
                now.call = Some(task.abort_handle());
            }
            Action::HangUp => {
                if let Some(call) = now.call.take() {
                    call.abort();
                }
            }
        }
    }

    /// A machine by its number.
    pub fn machine(&self, number: u32) -> Option<&Machine> {
        self.machines.get(usize::try_from(number).ok()?)
    }

    /// A machine by its name.
    pub fn named(&self, name: &str) -> Option<&Machine> {
        self.machine(name.strip_prefix('m')?.parse().ok()?).filter(|machine| machine.board.name == name)
    }

    /// Switches a machine.
    pub fn reset(self: &Arc<Self>, number: u32, reset: Reset) {
        self.feed(number, Event::Reset(reset));
    }

    /// Switches every machine whose name is like the pattern; answers how many those are.
    pub fn reset_all(self: &Arc<Self>, pattern: &str, reset: Reset) -> usize {
        let named = self.machines.iter().filter(|machine| matches_name(pattern, &machine.board.name));
        named.map(|machine| self.reset(machine.board.number, reset)).count()
    }

    /// What a machine's BMC does about a request.
    pub fn bmc_fault(&self, board: &Board) -> bmc::Fault {
        self.figures.bmc.fetch_add(1, Ordering::Relaxed);
        lock(&self.rules).at_request(board)
    }

    /// URL of a machine's BMC.
    pub fn bmc_url(&self, board: &Board) -> String {
        format!("https://{}/{}", self.options.network.fleet, board.name)
    }

    /// Every machine.
    pub fn machines(&self) -> &[Machine] {
        &self.machines
    }

    /// A machine as it stands.
    pub fn status(&self, machine: &Machine) -> MachineStatus {
        let (board, now) = (&machine.board, lock(&machine.now));
        MachineStatus {
            name: board.name.clone(),
            vendor: board.vendor,
            mac: board.boot_mac(),
            uuid: board.uuid(),
            serial: board.serial(),
            bmc: self.bmc_url(board),
            power: now.life.power(),
            phase: now.life.phase(),
            seconds: now.since.elapsed().as_secs_f64(),
            address: now.life.address(),
            installed: now.life.is_installed(),
        }
    }

    /// What the fleet has done until now.
    pub fn counts(&self) -> Counts {
        let mut phases = BTreeMap::new();
        let mut on = 0;
        for machine in &self.machines {
            let now = lock(&machine.now);
            *phases.entry(now.life.phase()).or_default() += 1;
            on += u64::from(now.life.power() == PowerState::On);
        }
        let times = lock(&self.figures.times);
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            machines: self.options.machines,
            on,
            phases,
            times: times.iter().map(|(phase, times)| (*phase, PhaseTimes::of(times))).collect(),
            dhcp_sent: count(&self.figures.sent),
            dhcp_received: count(&self.figures.received),
            requests: count(&self.figures.requests),
            unanswered: count(&self.figures.unanswered),
            bytes: count(&self.figures.bytes),
            bmc_requests: count(&self.figures.bmc),
        }
    }
}

impl Machine {
    /// Looks at its life.
    pub fn look<T>(&self, look: impl FnOnce(&mut Life) -> T) -> T {
        look(&mut lock(&self.now).life)
    }
}

/// The socket of the relay agent.
pub async fn relay(address: Ipv4Addr) -> std::io::Result<UdpSocket> {
    let socket = UdpSocket::bind((address, DHCP_PORT)).await?;
    // A whole fleet may be answered at once.
    rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, 8 << 20)?;
    rustix::net::sockopt::set_socket_send_buffer_size(&socket, 4 << 20)?;
    Ok(socket)
}

/// What a lock guards, whoever died holding it.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
