//! Whatever happens to a machine, in any order.

use super::*;
use crate::seed::Seed;
use crate::vendor::Vendor;
use agent_protocol::{AfterInstall, Assignment, FileToWrite, ImageFormat, Install, Parallel, Script, Task};
use netboot::dhcp::{Answer, Kind, Lease};
use proptest::prelude::*;

#[derive(Debug, Default, Clone)]
struct Fixed {
    hindrance: Hindrance,
    dies: Option<Phase>,
}

impl Luck for Fixed {
    fn start(&mut self) -> Hindrance {
        self.hindrance
    }

    fn dies(&mut self, phase: Phase) -> bool {
        self.dies == Some(phase)
    }
}

/// A machine with a region that answers as it should, and what was said.
struct World {
    board: Board,
    image: Image,
    life: Life,
    luck: Fixed,
    /// What the agent is told next.
    tasks: Vec<Task>,
    /// What the firmware is told.
    script: &'static str,
    /// What was said, in order; for each HTTP request its last word.
    said: Vec<String>,
    waiting: Vec<Action>,
}

const SCRIPT: &str = "#!ipxe\nkernel http://10.0.0.1/boot/t/vmlinuz bessemer.url=http://10.0.0.1 bessemer.token=t\n\
                      initrd http://10.0.0.1/boot/t/initrd\nboot\n";
const DISK: &str = "#!ipxe\nsanboot --no-describe --drive 0x80\n";
const SOURCE: &str = "datasource_list: [MAAS]\ndatasource:\n  MAAS:\n    metadata_url: http://10.0.0.1/MAAS/metadata/\n    \
                      consumer_key: c\n    token_key: t\n    token_secret: s\nreporting:\n  maas:\n    \
                      endpoint: http://10.0.0.1/MAAS/metadata/status/x\n";

fn install() -> Task {
    let file = FileToWrite { path: "/etc/cloud/x".to_owned(), content: SOURCE.to_owned(), mode: 0o600 };
    Task::Install(Box::new(Install {
        url: "http://10.0.0.1/images/t/f".to_owned(),
        sha256: String::new(),
        size: 100 << 20,
        raw_size: 100 << 20,
        format: ImageFormat::Raw,
        disk: "nvme0n1".to_owned(),
        files: vec![file],
        then: AfterInstall::Restart,
    }))
}

fn tests() -> Task {
    let script = Script {
        result: 1,
        name: "bessemer-cpu".to_owned(),
        text: None,
        arguments: Vec::new(),
        timeout_s: 60,
        parallel: Parallel::Alone,
    };
    Task::Run { scripts: vec![script], system: None }
}

impl World {
    fn new(tasks: Vec<Task>) -> Self {
        let image = Image { most_bytes: 4 << 10, part_bytes: 1 << 10, rate: 1 << 20 };
        Self {
            board: Board::new(Seed::new(3), 5, &[Vendor::Whitebox]),
            image,
            life: Life::default(),
            luck: Fixed::default(),
            tasks,
            script: SCRIPT,
            said: Vec::new(),
            waiting: Vec::new(),
        }
    }

    fn feed(&mut self, event: Event) {
        let setting = Setting {
            board: &self.board,
            compression: 10.0,
            image: &self.image,
            relay: Ipv4Addr::new(10, 0, 0, 2),
        };
        for action in self.life.on(setting, &mut self.luck, event) {
            match &action {
                Action::HangUp => self.waiting.retain(|waiting| matches!(waiting, Action::Timer { .. })),
                Action::Dhcp(_) => self.said.push("dhcp".to_owned()),
                Action::Http { call, .. } => {
                    self.said.push(call.url.rsplit('/').next().unwrap_or_default().to_owned());
                }
                Action::Timer { .. } => {}
            }
            if action != Action::HangUp {
                self.waiting.push(action);
            }
        }
    }

    /// The region, or the clock, does what the oldest action waits for; `None` where nothing does.
    fn go_on(&mut self) -> Option<()> {
        // Timers run down last, as if everybody answered at once.
        let at = self.waiting.iter().position(|action| !matches!(action, Action::Timer { .. })).unwrap_or(0);
        (at < self.waiting.len()).then_some(())?;
        let event = match self.waiting.remove(at) {
            Action::Timer { step, .. } => Event::Timer(step),
            Action::Dhcp(packet) => Event::Dhcp(self.offer(&packet)),
            Action::Http { step, call } => Event::Answer(step, self.serve(&call)),
            Action::HangUp => return Some(()),
        };
        self.feed(event);
        Some(())
    }

    /// On until the machine does nothing more.
    fn settle(&mut self) {
        for _ in 0..2000 {
            if self.go_on().is_none()
                || matches!(self.life.phase(), Phase::Off | Phase::Running | Phase::Dead)
            {
                return;
            }
        }
        panic!("{:?} after 2000 events: {:?}", self.life.phase(), self.said);
    }

    fn offer(&self, packet: &[u8]) -> Answer {
        let discover = packet[242] == 1;
        let lease = Lease {
            address: Ipv4Addr::new(10, 0, 0, 9),
            prefix: 24,
            router: None,
            filename: "http://10.0.0.1/ipxe.cfg".to_owned(),
            server: Ipv4Addr::new(10, 0, 0, 1),
        };
        let transaction = u32::from_be_bytes(packet[4..8].try_into().unwrap());
        let kind = if discover { Kind::Offer } else { Kind::Ack };
        Answer { transaction, mac: self.board.mac(0), kind, lease }
    }

    fn serve(&mut self, call: &Call) -> Reply {
        let body = match call.url.rsplit('/').next().unwrap() {
            "ipxe.cfg" => "#!ipxe\nchain http://10.0.0.1/ipxe.cfg-${mac:hexhyp}\n".to_owned(),
            name if name.starts_with("ipxe.cfg-") => self.script.to_owned(),
            "hello" | "task" => {
                let task = if self.tasks.is_empty() { Task::PowerOff } else { self.tasks.remove(0) };
                serde_json::to_string(&Assignment { id: "a".to_owned(), task }).unwrap()
            }
            _ => String::new(),
        };
        Reply { status: Some(200), body: Bytes::from(body) }
    }
}

#[test]
fn a_machine_that_is_not_known_boots_says_hello_and_goes_off() {
    let mut world = World::new(vec![Task::Wait { retry_ms: 1 }, tests()]);
    world.feed(Event::Reset(Reset::On));
    assert_eq!((world.life.phase(), world.life.power()), (Phase::Post, PowerState::On));
    world.settle();
    assert_eq!(world.life.phase(), Phase::Off);
    let mac = format!("ipxe.cfg-{}", world.board.boot_mac().replace(':', "-"));
    let wanted = [
        "dhcp", "dhcp", "ipxe.cfg", &mac, "vmlinuz", "initrd", "dhcp", "dhcp", "hello", "task", "report",
        "report", "task", "report",
    ];
    assert_eq!(world.said, wanted);
}

#[test]
fn an_installed_machine_starts_from_its_disk_and_reads_its_data() {
    let mut world = World::new(vec![install(), Task::Restart]);
    world.feed(Event::Reset(Reset::On));
    while !world.life.is_installed() {
        world.go_on().unwrap();
    }
    world.script = DISK;
    world.settle();
    assert_eq!(world.life.phase(), Phase::Running);
    let count = |name: &str| world.said.iter().filter(|said| *said == name).count();
    assert_eq!((count("f"), count("user-data"), count("instance-id"), count("x")), (4, 1, 1, 6));
    // The next power-on goes the same way, and its disk is still there.
    world.feed(Event::Reset(Reset::ForceRestart));
    world.settle();
    assert_eq!(world.life.phase(), Phase::Running);
    world.script = SCRIPT;
    world.tasks = vec![Task::Erase { mode: agent_protocol::EraseMode::Quick, disks: Vec::new() }];
    world.feed(Event::Reset(Reset::ForceRestart));
    world.settle();
    assert_eq!((world.life.phase(), world.life.is_installed()), (Phase::Off, false));
}

#[test]
fn an_image_is_read_from_its_beginning_to_its_end() {
    let mut world = World::new(vec![install(), Task::Restart]);
    world.feed(Event::Reset(Reset::On));
    let mut ranges = Vec::new();
    while !world.life.is_installed() {
        world.go_on().unwrap();
        for action in &world.waiting {
            if let Action::Http { call: Call { verb: Verb::Range(from, to), url, .. }, .. } = action
                && url.ends_with("/f")
            {
                ranges.push((*from, *to));
            }
        }
    }
    ranges.dedup();
    assert_eq!((ranges[0], *ranges.last().unwrap()), ((0, 1023), ((100 << 20) - 1024, (100 << 20) - 1)));
    assert_eq!(ranges.len(), 4);
}

#[test]
fn hindrances_do_what_they_say() {
    let silent = Hindrance { silent: true, ..Hindrance::default() };
    let mut world = World::new(vec![]);
    world.luck.hindrance = silent;
    world.feed(Event::Reset(Reset::On));
    world.settle();
    assert_eq!((world.life.phase(), world.said.len()), (Phase::Dead, 0));

    let mut world = World::new(vec![tests()]);
    world.luck.hindrance = Hindrance { twice: true, wrong_order: true, ..Hindrance::default() };
    world.feed(Event::Reset(Reset::On));
    world.settle();
    assert_eq!(world.life.phase(), Phase::Off);
    let hello = world.said.iter().position(|said| said == "hello").unwrap();
    assert_eq!(&world.said[hello - 2..hello + 2], ["task", "report", "hello", "hello"]);

    let mut world = World::new(vec![]);
    world.luck.hindrance = Hindrance { dhcp_loss: 100.0, ..Hindrance::default() };
    world.feed(Event::Reset(Reset::On));
    for _ in 0..50 {
        world.go_on().unwrap();
    }
    assert!(world.said.is_empty(), "{:?}", world.said);
}

fn resets() -> impl Strategy<Value = Reset> {
    proptest::sample::select(Reset::ALL.to_vec())
}

/// What may come: the answer to something asked, an old event again, garbage, power.
#[derive(Debug, Clone)]
enum Happening {
    GoOn,
    Reset(Reset),
    Old(u32),
    Status(Option<u16>),
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let status =
        proptest::option::of(proptest::sample::select(vec![200u16, 204, 401, 403, 404, 409, 500, 503]));
    let one = prop_oneof![
        12 => Just(Happening::GoOn),
        1 => resets().prop_map(Happening::Reset),
        1 => (0u32..40).prop_map(Happening::Old),
        2 => status.prop_map(Happening::Status),
    ];
    proptest::collection::vec(one, 0..120)
}

proptest! {
    /// Whatever comes, a machine that is on waits for something or is done, one that is off does nothing, and it
    /// can always be switched.
    #[test]
    fn nothing_breaks_a_life(happenings in happenings(), dies in proptest::option::of(proptest::sample::select(Phase::ALL.to_vec()))) {
        let mut world = World::new(vec![install(), Task::Restart, tests()]);
        world.luck.dies = dies;
        world.feed(Event::Reset(Reset::On));
        for happening in happenings {
            match happening {
                Happening::GoOn => drop(world.go_on()),
                Happening::Reset(reset) => world.feed(Event::Reset(reset)),
                Happening::Old(back) => {
                    let step = world.life.step.wrapping_sub(1 + back);
                    let before = format!("{:?}", world.life);
                    world.feed(Event::Timer(step));
                    world.feed(Event::Answer(step, Reply { status: Some(200), body: Bytes::new() }));
                    prop_assert_eq!(before, format!("{:?}", world.life), "what comes too late changes nothing");
                }
                Happening::Status(status) => {
                    let step = world.life.step;
                    world.feed(Event::Answer(step, Reply { status, body: Bytes::from_static(b"?") }));
                }
            }
            let waits = world.waiting.iter().any(|action| match action {
                Action::Timer { step, .. } | Action::Http { step, .. } => *step == world.life.step,
                _ => false,
            });
            let rests = matches!(world.life.phase(), Phase::Off | Phase::Running | Phase::Dead);
            prop_assert!(waits || rests, "{:?} waits for nothing", world.life);
        }
        world.feed(Event::Reset(Reset::ForceOff));
        prop_assert_eq!(world.life.power(), PowerState::Off);
        let said = world.said.len();
        while world.go_on().is_some() {}
        prop_assert_eq!(said, world.said.len(), "a machine without power says nothing");
    }

    /// The same seed gives the same life, to the last packet and pause.
    #[test]
    fn a_life_is_drawn_from_its_seed(loss in 0.0f64..60.0) {
        let live = || {
            let mut world = World::new(vec![tests()]);
            world.luck.hindrance = Hindrance { dhcp_loss: loss, ..Hindrance::default() };
            world.feed(Event::Reset(Reset::On));
            let mut seen = Vec::new();
            for _ in 0..60 {
                seen.push(format!("{:?}", world.waiting));
                if world.go_on().is_none() { break }
            }
            seen
        };
        prop_assert_eq!(live(), live());
    }
}
