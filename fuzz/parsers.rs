//! What is done with bytes that anybody may send: one function for each parser. A panic is a finding.
//!
//! The fuzz targets call these; so does `xtask/tests/corpora.rs`, with every file of the corpora.

use std::net::{IpAddr, Ipv4Addr};

use api_call::Params;

mod services;

pub use services::{boot_path, metadata, report};

/// A message to the DHCP server, the decision about it, and the answer.
pub fn dhcp(bytes: &[u8]) {
    let Ok(message) = dhcp::Message::parse(bytes) else { return };
    assert_eq!(
        dhcp::Message::parse(&message.encode()).as_ref(),
        Ok(&message),
        "what was read can be written"
    );
    let net = "10.0.0.0/24".parse().expect("a network");
    let mut subnet = dhcp::Subnet::new(net, Ipv4Addr::new(10, 0, 0, 1));
    subnet.range = Some(dhcp::Range { first: [10, 0, 0, 100].into(), last: [10, 0, 0, 200].into() });
    let config = dhcp::Config::new(vec![subnet]);
    let hosts = std::collections::HashMap::<dhcp::Mac, dhcp::Host>::new();
    let now = Default::default();
    let decision = dhcp::decide(&message, &config, &hosts, &dhcp::Leases::default(), now);
    if let Some(answer) = dhcp::reply(&message, &decision, &config, &[]) {
        assert_eq!(dhcp::Message::parse(&answer.encode()), Ok(answer));
    }
}

/// A packet to the agent's DHCP client, in both of its states.
pub fn dhcp_reply(bytes: &[u8]) {
    let mut exchange = bessemer_agent::net::dhcp::Exchange::new([0x52, 0x54, 0, 1, 2, 3], 7);
    for _ in 0..3 {
        let _ = exchange.hear(bytes);
        let _ = exchange.packet(1);
    }
}

/// A query to the DNS server.
pub fn dns(bytes: &[u8]) {
    let zones = zones();
    for transport in [dns::Transport::Udp, dns::Transport::Tcp] {
        let asker = dns::Asker { transport, address: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 9)) };
        if let dns::Answer::Reply(answer) = dns::answer(bytes, &zones, asker) {
            let limit = if transport == dns::Transport::Udp { usize::from(dns::MAX_UDP) } else { 65_535 };
            assert!(answer.len() <= limit, "{} bytes", answer.len());
        }
    }
}

/// A question to the NTP server.
pub fn ntp(bytes: &[u8]) {
    let _ = dns::ntp::answer(bytes, dns::ntp::NtpTime(1), dns::ntp::NtpTime(2), dns::ntp::LOCAL_STRATUM);
}

/// An `Authorization` header.
pub fn oauth(bytes: &[u8]) {
    let Ok(header) = std::str::from_utf8(bytes) else { return };
    let Some(signed) = oauth::Signed::from_header(header) else { return };
    let subject = oauth::Subject {
        method: "GET",
        host: "region:5240",
        path: "/MAAS/api/2.0/machines/",
        sent: &[("status", "ready")],
    };
    let nonces = oauth::Nonces::default();
    let first = signed.verify("secret", &subject, &nonces, 1_795_336_600);
    let again = signed.verify("secret", &subject, &nonces, 1_795_336_600);
    assert!(first.is_err() || again.is_err(), "a nonce was accepted twice");
    let _ = signed.plaintext();
}

/// Parameters of a call: query, form and JSON.
pub fn params(bytes: &[u8]) {
    for params in [Some(Params::urlencoded(bytes)), Params::json(bytes).ok()].into_iter().flatten() {
        read(&params);
    }
}

/// A multipart body behind a line with its content type.
pub fn multipart(bytes: &[u8]) {
    let Some((kind, body)) = split_line(bytes) else { return };
    let whole = Params::multipart(kind, body.to_vec().into());
    if let Ok(params) = services::wait(whole) {
        read(&params);
    }
}

fn read(params: &Params) {
    for name in params.names() {
        let _ = (params.get(name), params.all(name), params.bytes(name));
    }
    let _ = oauth::Signed::from_pairs(params.texts());
}

/// The first line as text, and the rest.
fn split_line(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let (line, rest) = bytes.split_at(end);
    Some((std::str::from_utf8(line).ok()?, rest.split_at(1).1))
}

/// What the agent says that the machine has.
pub fn inventory(bytes: &[u8]) {
    let Ok(inventory) = serde_json::from_slice(bytes) else { return };
    let mut machine = model::Machine::new("m".to_owned(), Default::default());
    let mut numbers = 1..;
    let mut absorb = |machine: &mut model::Machine| {
        let number = || numbers.next().expect("they do not end");
        model::absorb(machine, &inventory, "52:54:00:00:00:01", Some(5001), number);
    };
    absorb(&mut machine);
    let first = machine.clone();
    absorb(&mut machine);
    assert_eq!(machine, first, "the same inventory changes nothing");
    let numbers: std::collections::HashSet<u64> = machine
        .nics
        .iter()
        .map(|nic| nic.number)
        .chain(machine.storage.disks.iter().map(|disk| disk.number))
        .collect();
    assert_eq!(
        numbers.len(),
        machine.nics.len() + machine.storage.disks.len(),
        "each has a number of its own"
    );
}

/// What the region tells the agent to do.
pub fn assignment(bytes: &[u8]) {
    let Ok(assignment) = serde_json::from_slice::<agent_protocol::Assignment>(bytes) else { return };
    let text = serde_json::to_vec(&assignment).expect("what was read can be written");
    assert_eq!(serde_json::from_slice::<agent_protocol::Assignment>(&text).ok(), Some(assignment));
}

/// The kernel command line that the agent is booted with.
pub fn cmdline(bytes: &[u8]) {
    let Ok(line) = std::str::from_utf8(bytes) else { return };
    let _ = bessemer_agent::cmdline::parse(line);
}

/// The beginning of an image on a disk that is a little larger: its partition table.
pub fn table(bytes: &[u8]) {
    use bessemer_agent::{disk::Disk, table};
    const DISK: u64 = 4 << 20;
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), bytes).expect("written");
    file.as_file().set_len(DISK).expect("as long as a disk");
    let disk = Disk::open(file.path()).expect("opened");
    let before = table::read(&disk).expect("a file is read");
    table::fit(&disk, bytes.len() as u64).expect("a file is written");
    let after = table::read(&disk).expect("a file is read");
    assert!(after.iter().all(|one| one.start + one.len <= DISK), "{after:?}");
    assert!(table::root(&before).is_none() || table::root(&after).is_some(), "{before:?} became {after:?}");
}

/// What a Redfish service answers.
pub fn redfish(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let answer = power::answer::read(text);
    let _ = (
        power::answer::members(&answer).count(),
        power::answer::uuid(&answer),
        power::answer::power(&answer),
    );
    let mut found = power::ConsoleLines::default();
    for _ in 0..3 {
        let next = power::answer::console_page(&answer, 0, "/log", &mut found);
        assert!(found.lines.len() <= power::CONSOLE_LINES, "{} lines", found.lines.len());
        assert!(next.is_none_or(|next| next.starts_with("/log?")), "the password goes nowhere else");
    }
}

/// A packet to the TFTP server.
pub fn tftp(bytes: &[u8]) {
    let Ok(packet) = tftp::Packet::parse(bytes) else { return };
    if !matches!(packet, tftp::Packet::Write) {
        assert_eq!(
            tftp::Packet::parse(&packet.encode()).as_ref(),
            Ok(&packet),
            "what was read can be written"
        );
    }
    if let tftp::Packet::Read(request) = packet {
        if let Some(path) = request.clean_path() {
            assert!(!path.starts_with('/') && path.split('/').all(|part| part != ".."), "{path}");
        }
        let content = vec![7; 5000].into();
        let mut sent = Vec::new();
        let _ = tftp::Transfer::begin(content, &request, std::time::Instant::now(), &mut sent);
    }
}

fn zones() -> dns::Zones {
    let mut zones = dns::Zones::builder(7, "ns.maas").expect("a name");
    zones.domain("maas", 30).expect("a name");
    let records = [
        ("ns.maas", dns::Data::A(Ipv4Addr::new(10, 0, 0, 1))),
        ("www.maas", dns::Data::Cname("ns.maas".to_owned())),
        ("loop.maas", dns::Data::Cname("loop.maas".to_owned())),
        ("text.maas", dns::Data::Txt("x".repeat(300))),
    ];
    for (owner, data) in records {
        zones.record(owner, None, &data).expect("a record");
    }
    zones.build()
}

/// What a gateway says first, and what a plane answers: a length and JSON.
pub fn hello(bytes: &[u8]) {
    services::wait(async {
        let (mut asked, mut answered) = (bytes, bytes);
        if let Ok(hello) = tunnel::hello::read::<tunnel::hello::Hello>(&mut asked).await {
            let mut written = Vec::new();
            tunnel::hello::write(&mut written, &hello).await.expect("what was read can be written");
            let again = tunnel::hello::read::<tunnel::hello::Hello>(&mut written.as_slice()).await;
            assert_eq!(again.expect("and read again").versions, hello.versions);
        }
        let _ = tunnel::hello::read::<tunnel::hello::Answer>(&mut answered).await;
    });
}

/// A grant: as the text that a request carries, and as what a signed one says.
pub fn grant(bytes: &[u8]) {
    static PLANE: std::sync::OnceLock<(tunnel::Signer, tunnel::Verifier)> = std::sync::OnceLock::new();
    let (signer, verifier) = PLANE.get_or_init(|| {
        let signer = tunnel::Signer::generate().expect("a key");
        let who = tunnel::Identity { gateway: "g".to_owned(), tenant: "t".to_owned() };
        let verifier = tunnel::Verifier::new(who, signer.public()).expect("its own key");
        (signer, verifier)
    });
    let now = std::time::SystemTime::now().try_into().expect("a time");
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    assert!(verifier.check(text, "GET", "/", now).is_err(), "nobody else signs for the plane");
    if let Ok(said) = serde_json::from_str::<tunnel::Grant>(text)
        && let Ok(token) = signer.sign(&said)
        && let Ok(granted) = verifier.check(&token, "GET", "/", now)
    {
        assert_eq!((granted.aud.as_str(), granted.tenant.as_str()), ("g", "t"));
    }
}

/// A pairing code, as somebody pastes it.
pub fn pairing_code(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(code) = text.parse::<tunnel::PairingCode>() {
        assert_eq!(code.expose().parse(), Ok(code));
    }
}
