//! What is done with bytes that anybody may send: one function for each parser. A panic is a finding.
//!
//! The fuzz targets call these; so does `xtask/tests/corpora.rs`, with every file of the corpora.

use std::net::{IpAddr, Ipv4Addr};

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
    if let Some(answer) = dhcp::reply(&message, &decision, &config) {
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
    let Some(signed) = maas_api::oauth::Signed::from_header(header) else { return };
    let (method, params) = (Default::default(), maas_api::params::Params::default());
    let subject = maas_api::oauth::Subject {
        method: &method,
        host: "region:5240",
        path: "/MAAS/api/2.0/machines/",
        query: &params,
        form: &params,
    };
    let nonces = maas_api::oauth::Nonces::default();
    let first = signed.verify("secret", &subject, &nonces, 1_795_336_600);
    let again = signed.verify("secret", &subject, &nonces, 1_795_336_600);
    assert!(first.is_err() || again.is_err(), "a nonce was accepted twice");
}

/// Parameters of a call: query, form and JSON.
pub fn params(bytes: &[u8]) {
    use maas_api::params::Params;
    for params in [Some(Params::urlencoded(bytes)), Params::json(bytes).ok()].into_iter().flatten() {
        for name in params.names() {
            let (_, _) = (params.get(name), params.all(name));
        }
        let _ = maas_api::oauth::Signed::from_params(&params);
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
