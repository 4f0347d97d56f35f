//! Four-message DHCP exchanges with a whole region, each lease in its store on disk before it is acknowledged.
//!
//! It runs in a network namespace of its own: this program starts itself again in one. The region listens at one
//! end of a cable, clients broadcast at the other, a window of them at once as when a rack is powered on.

use std::{
    collections::HashMap,
    env, fs,
    net::{Ipv4Addr, UdpSocket},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use dhcp::{Mac, Message, MessageType, Op, Options, code};
use rustix::net::sockopt;

use super::{
    Figure,
    rig::{Rig, built, network, program},
};
use crate::{shell, up};

/// Set in the namespace; the figure is printed there as one number.
const INSIDE: &str = "BESSEMER_BENCH_NAMESPACE";
/// The region's end of the cable, and the clients'.
const CABLE: [&str; 2] = ["bench-r", "bench-c"];
/// Machines that boot.
const CLIENTS: u32 = 20_000;
/// At once.
const WINDOW: usize = 128;
/// A client asks again after this silence, as all do.
const AGAIN: Duration = Duration::from_secs(1);
/// All of them are served by then.
const LIMIT: Duration = Duration::from_mins(2);

/// Exchanges a second.
pub fn figures() -> Result<Vec<Figure>> {
    if env::var_os(INSIDE).is_some() {
        return Ok(vec![Figure::new("dhcp.exchanges", inside()?, "1/s")]);
    }
    program()?;
    let myself = env::current_exe()?;
    let out = Command::new("unshare")
        .arg("--net")
        .arg(myself)
        .args(["bench", "dhcp", "--output", "json"])
        .env(INSIDE, "1")
        .current_dir(shell::root())
        .stderr(std::process::Stdio::inherit())
        .output()
        .context("cannot start unshare")?;
    if !out.status.success() {
        bail!("the benchmark failed in its network namespace; it needs root");
    }
    let figure: serde_json::Value = serde_json::from_slice(&out.stdout)?;
    let value = figure.get("value").and_then(serde_json::Value::as_f64).context("no figure")?;
    Ok(vec![Figure::new("dhcp.exchanges", value, "1/s")])
}

fn inside() -> Result<f64> {
    let [ours, theirs] = CABLE;
    let address = format!("{}/16", network().address);
    shell::output("ip", &["link", "set", "lo", "up"])?;
    shell::output("ip", &["link", "add", ours, "type", "veth", "peer", "name", theirs])?;
    for end in CABLE {
        shell::output("ip", &["link", "set", end, "up"])?;
        // Both ends are this host: what comes from its own address is no forgery here.
        fs::write(format!("/proc/sys/net/ipv4/conf/{end}/accept_local"), "1")?;
        fs::write(format!("/proc/sys/net/ipv4/conf/{end}/rp_filter"), "0")?;
    }
    fs::write("/proc/sys/net/ipv4/conf/all/rp_filter", "0")?;
    shell::output("ip", &["address", "add", &address, "dev", ours])?;
    let rig = Rig::new()?;
    up::runtime()?.block_on(async {
        rig.store().await?.close().await;
        anyhow::Ok(())
    })?;
    let region = rig.start(&built(), Some(ours), None)?;
    let took = clients(&client(theirs)?)?;
    drop(region); // kill -9: what was acknowledged is in the store
    let kept = up::runtime()?
        .block_on(async { anyhow::Ok(rig.store().await?.list::<model::Lease>(model::SCOPE).len()) })?;
    if kept != CLIENTS as usize {
        bail!("{CLIENTS} leases were acknowledged, {kept} are in the store");
    }
    Ok(f64::from(CLIENTS) / took.as_secs_f64())
}

fn client(interface: &str) -> Result<UdpSocket> {
    let runtime = up::runtime()?;
    let _context = runtime.enter();
    let socket = dhcp::bind(interface, dhcp::CLIENT_PORT)?.into_std()?;
    socket.set_nonblocking(false)?;
    socket.set_read_timeout(Some(Duration::from_millis(50)))?;
    sockopt::set_socket_recv_buffer_size_force(&socket, 4 << 20)?;
    Ok(socket)
}

/// What a client said last, and when.
struct Said {
    message: Message,
    at: Instant,
}

/// Every client gets its address; how long that took.
fn clients(socket: &UdpSocket) -> Result<Duration> {
    let began = Instant::now();
    let mut waiting: HashMap<u32, Said> = HashMap::new();
    let mut fresh = 0..CLIENTS;
    let mut buffer = [0; 2048];
    let say = |message: Message| {
        socket.send_to(&message.encode(), (Ipv4Addr::BROADCAST, dhcp::SERVER_PORT))?;
        anyhow::Ok(Said { message, at: Instant::now() })
    };
    loop {
        while waiting.len() < WINDOW
            && let Some(xid) = fresh.next()
        {
            waiting.insert(xid, say(discover(xid))?);
        }
        if waiting.is_empty() {
            return Ok(began.elapsed());
        }
        if began.elapsed() > LIMIT {
            bail!("{} clients were not served in {LIMIT:?}", waiting.len() + fresh.len());
        }
        match socket.recv_from(&mut buffer) {
            Ok((len, _)) => {
                let Ok(answer) = Message::parse(buffer.get(..len).unwrap_or_default()) else { continue };
                match answer.kind() {
                    Some(MessageType::Ack) => drop(waiting.remove(&answer.xid)),
                    Some(MessageType::Offer) if waiting.contains_key(&answer.xid) => {
                        waiting.insert(answer.xid, say(request(&answer))?);
                    }
                    _ => {}
                }
            }
            Err(_) => {
                for said in waiting.values_mut().filter(|said| said.at.elapsed() > AGAIN) {
                    *said = say(said.message.clone())?;
                }
            }
        }
    }
}

fn discover(xid: u32) -> Message {
    let [_, _, a, b] = xid.to_be_bytes();
    let mut options = Options::default();
    options.set(code::MESSAGE_TYPE, [MessageType::Discover as u8]);
    Message {
        op: Op::Request,
        hops: 0,
        xid,
        secs: 0,
        flags: 0x8000,
        ciaddr: Ipv4Addr::UNSPECIFIED,
        yiaddr: Ipv4Addr::UNSPECIFIED,
        siaddr: Ipv4Addr::UNSPECIFIED,
        giaddr: Ipv4Addr::UNSPECIFIED,
        mac: Mac([0x52, 0x54, 0, 1, a, b]),
        sname: Vec::new(),
        file: Vec::new(),
        options,
    }
}

fn request(offer: &Message) -> Message {
    let mut message = discover(offer.xid);
    message.options.set(code::MESSAGE_TYPE, [MessageType::Request as u8]);
    message.options.set(code::REQUESTED_ADDRESS, offer.yiaddr.octets());
    message.options.set(code::SERVER_ID, offer.options.get(code::SERVER_ID).unwrap_or_default());
    message
}
