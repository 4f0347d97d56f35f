//! The real ISC client and a relay, in network namespaces of their own. Needs root, `ip` and `dhclient`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::{
    collections::HashMap,
    fs, io,
    net::{Ipv4Addr, UdpSocket},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        mpsc::{self, Receiver, Sender},
    },
    thread,
    time::{Duration, Instant},
};

use dhcp::{
    Config, Decision, Events, Host, Journal, Lease, LeaseState, Leases, Mac, Message, MessageType, Op,
    Options, Range, Service, Subnet, bind, code,
};
use jiff::SignedDuration;

const LIMIT: Duration = Duration::from_secs(30);
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

/// Two namespaces joined by a cable, `srv` and `cli` being its ends; gone when dropped.
struct Net {
    server: String,
    client: String,
    dir: PathBuf,
    children: Vec<Child>,
}

impl Net {
    /// `None`, and a line that says why, where the test cannot run.
    fn lay(name: &str) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: needs root");
            return None;
        }
        if let Err(error) = Command::new("ip").arg("-V").output() {
            println!("skipped: ip: {error}");
            return None;
        }
        let id = format!("{name}-{}", std::process::id());
        let dir = std::env::temp_dir().join(format!("dhcp-{id}"));
        fs::create_dir_all(&dir).unwrap();
        let net =
            Self { server: format!("dhcps-{id}"), client: format!("dhcpc-{id}"), dir, children: Vec::new() };
        for namespace in [&net.server, &net.client] {
            let made = Command::new("ip").args(["netns", "add", namespace]).output().unwrap();
            if !made.status.success() {
                println!("skipped: no network namespaces: {}", String::from_utf8_lossy(&made.stderr));
                return None;
            }
        }
        let (server, client) = (&net.server, &net.client);
        ip(&format!("link add name srv netns {server} type veth peer name cli netns {client}"));
        ip(&format!("-n {server} addr add {SERVER}/24 dev srv"));
        ip(&format!("-n {server} link set srv up"));
        ip(&format!("-n {client} link set cli up"));
        Some(net)
    }

    /// Runs something on a thread that is in a namespace.
    fn inside<T: Send + 'static>(
        namespace: &str,
        run: impl FnOnce() -> T + Send + 'static,
    ) -> thread::JoinHandle<T> {
        let file = fs::File::open(format!("/run/netns/{namespace}")).unwrap();
        thread::spawn(move || {
            use std::os::fd::AsFd;
            let kind = Some(rustix::thread::LinkNameSpaceType::Network);
            rustix::thread::move_into_link_name_space(file.as_fd(), kind).unwrap();
            run()
        })
    }

    fn dhclient(&self, extra: &[&str]) -> Option<Child> {
        let script = self.dir.join("script");
        let text = "#!/bin/sh\ncase $reason in\n\
            PREINIT) ip link set dev $interface up;;\n\
            BOUND|RENEW|REBIND|REBOOT) ip addr replace $new_ip_address/24 dev $interface; env >$0.new; mv $0.new $0.env;;\n\
            *) ip addr flush dev $interface;;\nesac\n";
        if !script.exists() {
            fs::write(&script, text).unwrap();
            fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        }
        if let Err(error) = Command::new("dhclient").arg("--version").output() {
            println!("skipped: dhclient: {error}");
            return None;
        }
        let file = |name: &str| self.dir.join(name).display().to_string();
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.client, "dhclient", "-4"]).args(extra);
        command.args([
            "-cf",
            "/dev/null",
            "-sf",
            &file("script"),
            "-lf",
            &file("leases"),
            "-pf",
            &file("pid"),
            "cli",
        ]);
        Some(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
        for namespace in [&self.server, &self.client] {
            let _ = Command::new("ip").args(["netns", "del", namespace]).output();
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn ip(args: &str) {
    let done = Command::new("ip").args(args.split_whitespace()).output().unwrap();
    assert!(done.status.success(), "ip {args}: {}", String::from_utf8_lossy(&done.stderr));
}

/// Tells the test what happened, and keeps the journal.
#[derive(Clone)]
struct Watch {
    events: Arc<Mutex<Sender<(MessageType, Decision)>>>,
    journal: Arc<Mutex<Vec<Vec<Lease>>>>,
    slow: Duration,
}

impl Events for Watch {
    fn dhcp(&self, _mac: Mac, message: MessageType, decision: &Decision) {
        let _ = self.events.lock().unwrap().send((message, decision.clone()));
    }
}

impl Journal for Watch {
    async fn record(&self, leases: &[Lease]) -> io::Result<()> {
        tokio::time::sleep(self.slow).await;
        self.journal.lock().unwrap().push(leases.to_vec());
        Ok(())
    }
}

/// Serves in the server's namespace until the returned sender is dropped.
fn serve(
    net: &Net,
    slow: Duration,
) -> (Watch, Receiver<(MessageType, Decision)>, tokio::sync::oneshot::Sender<()>) {
    let mut subnet = Subnet::new("10.77.0.0/24".parse().unwrap(), SERVER);
    subnet.range = Some(Range { first: [10, 77, 0, 20].into(), last: [10, 77, 0, 250].into() });
    subnet.router = Some([10, 77, 0, 254].into());
    subnet.domain = Some("maas".to_owned());
    subnet.search = vec!["maas".to_owned(), "site.example".to_owned()];
    let mut config = Config::new(vec![subnet]);
    config.lease = SignedDuration::from_secs(8);
    let (sender, events) = mpsc::channel();
    let watch = Watch { events: Arc::new(Mutex::new(sender)), journal: Arc::default(), slow };
    let service =
        Service::new(config, Leases::default(), HashMap::<Mac, Host>::new(), watch.clone(), watch.clone());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let (ready, is_ready) = mpsc::channel();
    Net::inside(&net.server, move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let socket = bind("srv", dhcp::SERVER_PORT).unwrap();
            ready.send(()).unwrap();
            tokio::select! {
                _ = service.run(socket) => {}
                _ = stopped => {}
            }
        });
    });
    is_ready.recv_timeout(LIMIT).expect("the server listens");
    (watch, events, stop)
}

/// Waits for an event that is as wanted, and returns what was found in it.
fn until<T>(
    events: &Receiver<(MessageType, Decision)>,
    what: &str,
    wanted: impl Fn(MessageType, &Decision) -> Option<T>,
) -> T {
    let end = Instant::now() + LIMIT;
    let mut seen = Vec::new();
    while let Ok((kind, decision)) = events.recv_timeout(end.saturating_duration_since(Instant::now())) {
        if let Some(found) = wanted(kind, &decision) {
            return found;
        }
        seen.push((kind, decision));
    }
    panic!("waited in vain for {what}; saw {seen:?}");
}

fn granted(kind: MessageType, decision: &Decision) -> Option<Ipv4Addr> {
    match (kind, decision) {
        (MessageType::Request, Decision::Ack(lease)) => Some(lease.ip),
        _ => None,
    }
}

#[test]
fn the_isc_client_gets_renews_and_releases() {
    let Some(mut net) = Net::lay("isc") else { return };
    let (watch, events, _stop) = serve(&net, Duration::ZERO);
    let Some(child) = net.dhclient(&["-d"]) else { return };
    net.children.push(child);
    let first = until(&events, "the lease", granted);
    let again = until(&events, "the renewal", granted);
    assert_eq!(first, again);
    let environment = fs::read_to_string(net.dir.join("script.env")).expect("the client was bound");
    let wanted = [
        format!("new_ip_address={first}"),
        "new_subnet_mask=255.255.255.0".to_owned(),
        "new_routers=10.77.0.254".to_owned(),
        "new_broadcast_address=10.77.0.255".to_owned(),
        "new_domain_name=maas".to_owned(),
        "new_domain_search=maas. site.example.".to_owned(),
        "new_dhcp_lease_time=8".to_owned(),
        format!("new_dhcp_server_identifier={SERVER}"),
    ];
    for line in wanted {
        assert!(environment.lines().any(|have| have == line), "{line} is not in\n{environment}");
    }
    let release = net.dhclient(&["-r"]).unwrap();
    net.children.push(release);
    let released = until(&events, "the release", |_, decision| match decision {
        Decision::Release(lease) => Some(lease.ip),
        _ => None,
    });
    assert_eq!(released, first);
    let end = Instant::now() + LIMIT;
    let last = || watch.journal.lock().unwrap().iter().flatten().last().map(|lease| lease.state);
    while last() != Some(LeaseState::Released) {
        assert!(Instant::now() < end, "the release is in the journal");
        thread::yield_now();
    }
}

/// A relay passes on what a rack says that is switched on all at once.
#[test]
fn a_rack_does_not_wait_in_line_for_the_journal() {
    const MACHINES: u8 = 100;
    let Some(net) = Net::lay("rack") else { return };
    let (watch, _events, _stop) = serve(&net, Duration::from_millis(100));
    ip(&format!("-n {} addr add 10.77.0.2/24 dev cli", net.client));
    let acks = Net::inside(&net.client, || {
        let relay = UdpSocket::bind("10.77.0.2:67").unwrap();
        relay.set_read_timeout(Some(LIMIT)).unwrap();
        for n in 0..MACHINES {
            relay.send_to(&request(n).encode(), (SERVER, 67)).unwrap();
        }
        let mut buffer = [0; 2000];
        (0..MACHINES)
            .map(|_| {
                let len = relay.recv(&mut buffer).expect("all are answered");
                let reply = Message::parse(&buffer[..len]).unwrap();
                assert_eq!(reply.kind(), Some(MessageType::Ack));
                assert_eq!(reply.options.iter().last(), Some((code::RELAY_AGENT, b"\x01\x03swp".as_slice())));
                (reply.mac, reply.yiaddr)
            })
            .collect::<HashMap<_, _>>()
    });
    let acks = acks.join().unwrap();
    assert_eq!(acks.len(), usize::from(MACHINES));
    let journal = watch.journal.lock().unwrap();
    let recorded: HashMap<_, _> = journal.iter().flatten().map(|lease| (lease.mac, lease.ip)).collect();
    assert_eq!(recorded, acks, "what machines were told is in the journal");
    assert!(journal.len() < 50, "{} writes for {MACHINES} leases", journal.len());
}

fn request(n: u8) -> Message {
    let mut options = Options::default();
    options.set(code::MESSAGE_TYPE, [3]);
    options.set(code::SERVER_ID, SERVER.octets());
    options.set(code::REQUESTED_ADDRESS, [10, 77, 0, 20 + n]);
    options.set(code::RELAY_AGENT, *b"\x01\x03swp");
    Message {
        op: Op::Request,
        hops: 1,
        xid: n.into(),
        secs: 0,
        flags: 0,
        ciaddr: Ipv4Addr::UNSPECIFIED,
        yiaddr: Ipv4Addr::UNSPECIFIED,
        siaddr: Ipv4Addr::UNSPECIFIED,
        giaddr: [10, 77, 0, 2].into(),
        mac: Mac([2, 0, 0, 0, 0, n]),
        sname: Vec::new(),
        file: Vec::new(),
        options,
    }
}
