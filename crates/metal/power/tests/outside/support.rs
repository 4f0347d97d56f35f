use std::{
    collections::BTreeMap,
    fs,
    net::{TcpListener, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use power::{Bmc, Firmware, Node, Power, PowerError, types::Kind};
use secrets::Secret;

/// Long enough for a busy machine; nothing here takes it where all is well.
pub const LIMIT: Duration = Duration::from_secs(90);

/// Whether all these programs are there; says which is not.
pub fn have(programs: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap();
    for program in programs {
        if !std::env::split_paths(&path).any(|folder| folder.join(program).is_file()) {
            println!("left out: {program} is not installed");
            return false;
        }
    }
    true
}

pub fn bmc(kind: Kind, parameters: &[(&str, &str)]) -> Box<dyn Bmc> {
    on_firmware(kind, parameters, Firmware::Bios)
}

pub fn on_firmware(kind: Kind, parameters: &[(&str, &str)], firmware: Firmware) -> Box<dyn Bmc> {
    let parameters: BTreeMap<String, Secret> =
        parameters.iter().map(|(name, value)| ((*name).to_owned(), Secret::from(*value))).collect();
    power::driver(kind, &parameters, &Node { firmware, ca: None }).unwrap()
}

/// Asks until the BMC says so.
pub async fn comes(bmc: &dyn Bmc, wanted: Power) {
    let began = Instant::now();
    loop {
        let state = bmc.state().await;
        if state == Ok(wanted) {
            return;
        }
        assert!(began.elapsed() < LIMIT, "it is still {state:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Asks until the BMC answers at all: it has just been started.
pub async fn answers(bmc: &dyn Bmc) -> Power {
    let began = Instant::now();
    loop {
        match bmc.state().await {
            Ok(power) => return power,
            Err(error) => assert!(began.elapsed() < LIMIT, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A program that is ended with its test.
pub struct Running(Child);

impl Running {
    pub fn start(command: &mut Command, log: &Path) -> Self {
        let log = fs::File::create(log).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        Self(command.spawn().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A UDP port of loopback that nobody has.
pub fn udp_port() -> u16 {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The same of TCP.
pub fn tcp_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A BMC that takes packets and never answers.
pub fn silent() -> (UdpSocket, String) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap().to_string();
    (socket, address)
}

pub fn word<T>(done: Result<T, PowerError>) -> &'static str {
    done.err().map_or("ok", |error| error.word())
}

/// The Python of an environment with pyghmi and sushy-tools, made in the target's folder by the first test that
/// wants it. `None`, with the reason printed, where it can't be made.
pub fn python() -> Option<PathBuf> {
    // As they were judged; a change of them is a change of the tests.
    const PACKAGES: [&str; 3] = ["pyghmi==1.6.19", "sushy-tools==2.2.0", "bcrypt==5.0.0"];
    if !have(&["python3"]) {
        return None;
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bmc-python");
    fs::create_dir_all(&folder).unwrap();
    // One test makes it, whichever process it is in; the others wait.
    let lock = fs::File::create(folder.join("lock")).unwrap();
    lock.lock().unwrap();
    let (python, done) = (folder.join("venv/bin/python"), folder.join("done"));
    if fs::read_to_string(&done).is_ok_and(|made| made == PACKAGES.join(" ")) {
        return Some(python);
    }
    let made = run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(folder.join("venv")))
        && run(Command::new(&python)
            .args(["-m", "pip", "install", "--quiet", "--retries", "1"])
            .args(PACKAGES));
    if !made {
        println!("left out: {} cannot be installed from PyPI", PACKAGES.join(", "));
        return None;
    }
    fs::write(&done, PACKAGES.join(" ")).unwrap();
    Some(python)
}

fn run(command: &mut Command) -> bool {
    let output = command.stdin(Stdio::null()).output().unwrap();
    if !output.status.success() {
        println!("{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    output.status.success()
}
