//! The program: PID 1 of the ephemeral system, `modprobe` for its kernel, or a look at a host's inventory.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use agent_protocol::Hello;
use bessemer_agent::client::{Patience, Region};
use bessemer_agent::log::say;
use bessemer_agent::modules::{self, Modules};
use bessemer_agent::tree::Tree;
use bessemer_agent::work::Bench;
use bessemer_agent::{boot, cmdline, inventory, net, work};

/// How long drivers may take to show the interface that booted.
const INTERFACE_LIMIT: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    let mut arguments = std::env::args();
    let name = arguments.next().unwrap_or_default();
    if name.ends_with("/modprobe") {
        return if modules::modprobe(arguments) { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    if std::process::id() == 1 {
        boot::catch_panics();
        match serve() {
            Ok(end) => boot::leave(end),
            Err(error) => boot::fatal(error),
        }
    }
    if arguments.next().as_deref() == Some("inventory") {
        let inventory = inventory::collect(&Tree::new("/"), &inventory::Addresses::new());
        let printed = writeln!(std::io::stdout(), "{inventory:#}");
        return if printed.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    eprintln!(
        "bessemer-agent {} is PID 1 of a machine that boots over the network; on other systems only \
         `bessemer-agent inventory` works, which prints the inventory it would report",
        env!("CARGO_PKG_VERSION")
    );
    ExitCode::FAILURE
}

fn serve() -> Result<work::End, Box<dyn std::error::Error>> {
    let mut modules = boot::prepare();
    let version = env!("CARGO_PKG_VERSION");
    say(format_args!("bessemer-agent {version}"));
    let tree = Tree::new("/");
    let attempt = cmdline::parse(&std::fs::read_to_string("/proc/cmdline")?)?;
    let interface = interface(&tree, attempt.boot_mac.as_deref(), modules.as_mut())?;
    let lease = net::connect(&interface)?;
    say(format_args!("{}: {lease}", interface.name));
    let addresses = [(interface.name.clone(), vec![(lease.address, lease.prefix)])].into();
    let inventory = inventory::collect(&tree, &addresses);
    let bench = Bench { dev: "/dev".into(), disks: inventory::disk_names(&tree) };
    let hello = Hello {
        agent_version: version.to_owned(),
        boot_mac: interface.mac,
        uuid: inventory::system_uuid(&tree),
        inventory,
    };
    let region = Region::new(&attempt.url, &attempt.token, Patience::default());
    Ok(work::run(&region, &hello, &bench)?)
}

/// The interface that booted, once its driver has shown it.
fn interface(
    tree: &Tree,
    mac: Option<&str>,
    mut modules: Option<&mut Modules>,
) -> Result<net::Interface, net::NetError> {
    let limit = Instant::now() + INTERFACE_LIMIT;
    loop {
        match net::find(tree, mac) {
            Err(_) if Instant::now() < limit => {}
            found => return found,
        }
        std::thread::sleep(Duration::from_millis(100));
        if let Some(modules) = modules.as_deref_mut() {
            modules.load_for_hardware(tree);
        }
    }
}
