//! The firmware of namespace machines: what a PXE ROM with iPXE and a disk boot loader do, played.

mod cpio;
mod dhcp;
mod fetch;

use std::path::{Path, PathBuf};
use std::time::Duration;

use bmc::BootTarget;
use netboot::dhcp::{Client, Lease, Speaker};
use netboot::script;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use self::script::OnFailure;
use crate::RackError;
use crate::disk;
use crate::tool;

pub(crate) use cpio::unpack;

/// How many scripts may chain one another before the firmware calls it a loop.
const CHAIN_LIMIT: usize = 8;
/// Pause before the boot order is tried again, when nothing in it starts.
const RETRY: Duration = Duration::from_secs(5);
/// Pause of a script that begins again.
const AGAIN: Duration = Duration::from_secs(2);
/// The only interface of a machine.
pub(crate) const INTERFACE: &str = "eth0";

/// The machine whose firmware runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Board {
    /// MAC address of its interface, lower case with colons.
    pub mac: String,
    /// SMBIOS UUID.
    pub uuid: Uuid,
    /// Its disk.
    pub disk: PathBuf,
    /// Folder for what the firmware fetches.
    pub scratch: PathBuf,
    /// What comes first in the boot order.
    pub first: BootTarget,
}

/// What the firmware found to start.
#[derive(Debug, Clone)]
pub(crate) enum Found {
    /// An initial RAM disk, fetched.
    Network {
        /// The archives, in order.
        initrds: Vec<PathBuf>,
        /// Kernel command line.
        cmdline: String,
    },
    /// An installed system.
    Disk(disk::Root),
    /// Nothing: a script said to switch off.
    PowerOff,
}

/// Goes through the boot order until something starts, for ever if need be, as firmware does.
pub(crate) fn post(board: &Board) -> Found {
    say(&format!("machine {}, interface {}", board.uuid, board.mac));
    loop {
        let order: &[BootTarget] = match board.first {
            BootTarget::Hdd => &[BootTarget::Hdd],
            BootTarget::None | BootTarget::Pxe => &[BootTarget::Pxe, BootTarget::Hdd],
        };
        for device in order {
            let attempt = if *device == BootTarget::Hdd { from_disk(board) } else { from_network(board) };
            match attempt {
                Ok(Some(found)) => return found,
                Ok(None) => say("leaving the network boot; next device"),
                Err(error) => say(&error.to_string()),
            }
        }
        say(&format!("nothing to start; trying again in {} s", RETRY.as_secs()));
        std::thread::sleep(RETRY);
    }
}

fn from_disk(board: &Board) -> Result<Option<Found>, RackError> {
    let root = disk::find_root(&board.disk)?;
    say(&format!("starting the disk: root partition {} at byte {}", root.number, root.offset));
    Ok(Some(Found::Disk(root)))
}

fn from_network(board: &Board) -> Result<Option<Found>, RackError> {
    let mac = mac_bytes(&board.mac)?;
    let client = Client { mac, uuid: board.uuid, architecture: 0, speaker: Speaker::Ipxe };
    tool::run(&format!("ip link set {INTERFACE} up"))?;
    say("DHCP ...");
    let lease =
        dhcp::acquire(INTERFACE, client).map_err(|error| RackError::Firmware(format!("DHCP: {error}")))?;
    say(&format!(
        "address {}/{} from {}, file {}",
        lease.address, lease.prefix, lease.server, lease.filename
    ));
    configure(&lease)?;
    let outcome = follow(board, &lease);
    // The system that starts finds its card as after a reset: down, without addresses of either family.
    tool::run(&format!("ip -4 addr flush dev {INTERFACE}"))?;
    tool::run(&format!("ip link set {INTERFACE} down"))?;
    outcome
}

fn configure(lease: &Lease) -> Result<(), RackError> {
    tool::run(&format!("ip -4 addr flush dev {INTERFACE}"))?;
    tool::run(&format!("ip addr add {}/{} dev {INTERFACE}", lease.address, lease.prefix))?;
    if let Some(router) = lease.router {
        tool::run(&format!("ip route replace default via {router}"))?;
    }
    Ok(())
}

fn follow(board: &Board, lease: &Lease) -> Result<Option<Found>, RackError> {
    let variables = script::Variables {
        mac: board.mac.clone(),
        uuid: board.uuid.to_string(),
        ip: lease.address.to_string(),
    };
    let mut url = lease.filename.clone();
    if !url.starts_with("http://") {
        return Err(RackError::Firmware(format!("DHCP names no HTTP boot file for iPXE, but `{url}`")));
    }
    let mut on_failure = OnFailure::GiveUp;
    let mut chained = 0;
    while chained < CHAIN_LIMIT {
        say(&url);
        let script = match read(&url, &variables) {
            Err(error) if on_failure == OnFailure::Again => {
                again(&error);
                continue;
            }
            read => read?,
        };
        on_failure = script.on_failure;
        match script.action {
            script::Action::Chain(next) => {
                url = next;
                chained += 1;
            }
            script::Action::Boot(kernel) => match load(board, &kernel) {
                Err(error) if on_failure == OnFailure::Again => again(&error),
                loaded => return loaded.map(Some),
            },
            script::Action::Disk => return from_disk(board),
            script::Action::PowerOff => return Ok(Some(Found::PowerOff)),
            script::Action::Exit => return Ok(None),
        }
    }
    Err(RackError::Firmware(format!("{url}: more than {CHAIN_LIMIT} scripts chain one another")))
}

fn read(url: &str, variables: &script::Variables) -> Result<script::Script, RackError> {
    script::read(&fetch::text(url)?, url, variables)
        .map_err(|error| RackError::Firmware(format!("{url}: {error}")))
}

/// The pause before a script begins again.
fn again(error: &RackError) {
    say(&format!("{error}; trying again in {} s", AGAIN.as_secs()));
    std::thread::sleep(AGAIN);
}

/// Fetches a kernel (for its digest: this host's own runs) and its initial RAM disks.
fn load(board: &Board, kernel: &script::Kernel) -> Result<Found, RackError> {
    let (digest, size) = fetch::digest(&kernel.url)?;
    say(&format!("{} ({size} bytes, sha256 {digest})", kernel.url));
    let mut initrds = Vec::new();
    for (index, url) in kernel.initrds.iter().enumerate() {
        let path = board.scratch.join(format!("initrd-{index}"));
        let (digest, size) = fetch::file(url, &path)?;
        say(&format!("{url} ({size} bytes, sha256 {digest})"));
        initrds.push(path);
    }
    Ok(Found::Network { initrds, cmdline: kernel.arguments.clone() })
}

fn mac_bytes(text: &str) -> Result<[u8; 6], RackError> {
    hex::decode(text.replace(':', ""))
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| RackError::Options(format!("`{text}` is not a MAC address")))
}

/// One line on the machine's console.
fn say(line: &str) {
    println!("lab firmware: {line}");
}

/// Unpacks initial RAM disks, one after the other, as the kernel does.
pub(crate) fn unpack_all(initrds: &[PathBuf], into: &Path) -> Result<(), RackError> {
    use crate::error::Doing as _;
    for path in initrds {
        let bytes = std::fs::read(path).doing(|| format!("reading {}", path.display()))?;
        unpack(&bytes, into).doing(|| format!("unpacking {}", path.display()))?;
    }
    Ok(())
}
