//! The answer to a client, and where it goes.

use std::net::{Ipv4Addr, SocketAddrV4};

use jiff::SignedDuration;

use crate::{
    boot,
    config::{Config, Subnet},
    decide::Decision,
    message::{FIXED_LEN, Message, MessageType, Op},
    options::{Options, code},
    snippet::Setting,
    socket::{CLIENT_PORT, SERVER_PORT},
};

/// What every client takes (RFC 2131): 576 bytes with IP and UDP.
const LEAST_MAX_LEN: usize = 576 - 28;
/// What fits an Ethernet frame.
const MOST_MAX_LEN: usize = 1500 - 28;

/// The answer that a decision means; `None` if it means none. `extra` options of this client come before those of its
/// subnet.
pub fn reply(message: &Message, decision: &Decision, config: &Config, extra: &[Setting]) -> Option<Message> {
    let subnet = config.subnet_of(message)?;
    let mut answer = Message {
        op: Op::Reply,
        hops: 0,
        secs: 0,
        ciaddr: Ipv4Addr::UNSPECIFIED,
        sname: Vec::new(),
        file: Vec::new(),
        options: Options::default(),
        ..message.clone()
    };
    answer.yiaddr = Ipv4Addr::UNSPECIFIED;
    answer.siaddr = Ipv4Addr::UNSPECIFIED;
    match decision {
        Decision::Offer(lease) => {
            head(&mut answer, MessageType::Offer, subnet);
            answer.yiaddr = lease.ip;
            times(&mut answer, config.lease_time(message));
            settings(&mut answer, message, subnet, lease.hostname.as_deref());
        }
        Decision::Ack(lease) => {
            head(&mut answer, MessageType::Ack, subnet);
            answer.ciaddr = message.ciaddr;
            answer.yiaddr = lease.ip;
            times(&mut answer, lease.duration());
            settings(&mut answer, message, subnet, lease.hostname.as_deref());
        }
        Decision::Inform => {
            head(&mut answer, MessageType::Ack, subnet);
            answer.ciaddr = message.ciaddr;
            settings(&mut answer, message, subnet, None);
        }
        Decision::Nak(why) => {
            head(&mut answer, MessageType::Nak, subnet);
            answer.options.set(code::TEXT, why.to_string());
            if !message.giaddr.is_unspecified() {
                answer.ask_for_broadcast();
            }
        }
        Decision::Ignore(_) | Decision::Release(_) | Decision::Decline(_) => return None,
    }
    if !matches!(decision, Decision::Nak(_)) {
        for (code, value) in extra {
            answer.options.set(*code, value.as_slice());
        }
    }
    close(&mut answer, message);
    Some(answer)
}

/// Where an answer goes. Clients without an address are reached by broadcast, which all of them take: unicast
/// to a machine that cannot yet answer ARP would need a raw socket.
pub fn destination(message: &Message, answer: &Message) -> SocketAddrV4 {
    if !message.giaddr.is_unspecified() {
        SocketAddrV4::new(message.giaddr, SERVER_PORT)
    } else if answer.kind() == Some(MessageType::Nak) || message.ciaddr.is_unspecified() {
        SocketAddrV4::new(Ipv4Addr::BROADCAST, CLIENT_PORT)
    } else {
        SocketAddrV4::new(message.ciaddr, CLIENT_PORT)
    }
}

fn head(answer: &mut Message, kind: MessageType, subnet: &Subnet) {
    answer.options.set(code::MESSAGE_TYPE, [kind as u8]);
    answer.options.set(code::SERVER_ID, subnet.server.octets());
}

fn times(answer: &mut Message, lease: SignedDuration) {
    let lease = u32::try_from(lease.as_secs()).unwrap_or(0);
    answer.options.set(code::LEASE_TIME, lease.to_be_bytes());
    answer.options.set(code::RENEWAL_TIME, (lease / 2).to_be_bytes());
    answer.options.set(code::REBINDING_TIME, (lease / 8 * 7 + lease % 8 * 7 / 8).to_be_bytes());
}

/// Options in the order of their weight: what does not fit is dropped from the end.
fn settings(answer: &mut Message, client: &Message, subnet: &Subnet, hostname: Option<&str>) {
    let options = &mut answer.options;
    options.set(code::SUBNET_MASK, subnet.cidr.netmask().octets());
    if let Some(router) = subnet.router {
        options.set(code::ROUTER, router.octets());
    }
    if let Some(loader) = boot::loader(client, subnet) {
        answer.siaddr = subnet.server;
        if loader.over_http {
            options.set(code::VENDOR_CLASS, *b"HTTPClient");
        }
        options.set(code::BOOT_FILE, loader.file.as_bytes());
        options.set(code::TFTP_SERVER_NAME, subnet.server.to_string());
        // Firmware of before option 67 reads the field; a URL too long for it is in the option.
        if loader.file.len() < 128 {
            answer.file = loader.file.into_bytes();
        }
    }
    list(options, code::DNS_SERVER, &subnet.dns);
    options.set(code::BROADCAST_ADDRESS, subnet.cidr.broadcast().octets());
    if let Some(hostname) = hostname {
        options.set(code::HOST_NAME, hostname);
    }
    if let Some(domain) = &subnet.domain {
        options.set(code::DOMAIN_NAME, domain.as_str());
    }
    if subnet.mtu != 1500 {
        options.set(code::INTERFACE_MTU, subnet.mtu.to_be_bytes());
    }
    list(options, code::NTP_SERVER, &subnet.ntp);
    let search: Vec<u8> = subnet.search.iter().filter_map(|domain| labels(domain)).flatten().collect();
    if !search.is_empty() {
        options.set(code::DOMAIN_SEARCH, search);
    }
}

fn list(options: &mut Options, code: u8, addresses: &[Ipv4Addr]) {
    if !addresses.is_empty() {
        options.set(code, addresses.iter().flat_map(Ipv4Addr::octets).collect::<Vec<_>>());
    }
}

/// A domain in DNS wire form (RFC 3397, uncompressed); `None` if it is not one.
pub(crate) fn labels(domain: &str) -> Option<Vec<u8>> {
    let mut wire = Vec::with_capacity(domain.len() + 2);
    for label in domain.trim_end_matches('.').split('.') {
        let len = u8::try_from(label.len()).ok().filter(|len| (1..=63).contains(len))?;
        wire.push(len);
        wire.extend_from_slice(label.as_bytes());
    }
    wire.push(0);
    Some(wire)
}

/// Echoes what must be echoed, and keeps to the size the client takes.
fn close(answer: &mut Message, client: &Message) {
    let takes = client.options.get(code::MAX_MESSAGE_SIZE).and_then(|v| <[u8; 2]>::try_from(v).ok());
    // The option counts the IP and UDP headers (RFC 2132, 9.10).
    let limit = takes.map_or(0, |v| usize::from(u16::from_be_bytes(v)).saturating_sub(28));
    let limit = limit.clamp(LEAST_MAX_LEN, MOST_MAX_LEN);
    let mut echo = Options::default();
    // The client identifier for RFC 6842; relay information last of all, for RFC 3046.
    for code in [code::CLIENT_ID, code::RELAY_AGENT] {
        if let Some(value) = client.options.get(code) {
            echo.set(code, value);
        }
    }
    while FIXED_LEN + answer.options.encoded_len() + echo.encoded_len() + 1 > limit {
        // Never the message type and server identifier.
        if answer.options.iter().count() <= 2 || answer.options.pop().is_none() {
            break;
        }
    }
    for (code, value) in echo.iter() {
        answer.options.set(code, value);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{
        decide::Refusal,
        lease::{Lease, LeaseState},
        mac::Mac,
    };
    use jiff::Timestamp;

    pub(crate) fn request() -> Message {
        Message {
            op: Op::Request,
            hops: 0,
            xid: 7,
            secs: 3,
            flags: 0,
            ciaddr: Ipv4Addr::UNSPECIFIED,
            yiaddr: Ipv4Addr::UNSPECIFIED,
            siaddr: Ipv4Addr::UNSPECIFIED,
            giaddr: Ipv4Addr::UNSPECIFIED,
            mac: Mac([0x52, 0x54, 0, 0, 0, 1]),
            sname: Vec::new(),
            file: Vec::new(),
            options: Options::default(),
        }
    }

    fn config() -> Config {
        let mut subnet = Subnet::new("10.0.0.0/24".parse().unwrap(), "10.0.0.1".parse().unwrap());
        subnet.router = Some([10, 0, 0, 254].into());
        subnet.dns = vec![[10, 0, 0, 1].into(), [10, 0, 0, 2].into()];
        subnet.ntp = vec![[10, 0, 0, 1].into()];
        subnet.domain = Some("maas".to_owned());
        subnet.search = vec!["maas".to_owned(), "a.example".to_owned(), "..".to_owned()];
        subnet.mtu = 9000;
        Config::new(vec![subnet])
    }

    fn lease() -> Lease {
        Lease {
            ip: [10, 0, 0, 9].into(),
            mac: request().mac,
            hostname: Some("vm1".to_owned()),
            state: LeaseState::Bound,
            since: Timestamp::UNIX_EPOCH,
            until: Timestamp::UNIX_EPOCH + SignedDuration::from_secs(600),
        }
    }

    #[test]
    fn an_ack_carries_all_options() {
        let answer = reply(&request(), &Decision::Ack(lease()), &config(), &[]).unwrap();
        let want: [(u8, &[u8]); 15] = [
            (53, &[5]),
            (54, &[10, 0, 0, 1]),
            (51, &[0, 0, 2, 88]),
            (58, &[0, 0, 1, 44]),
            (59, &[0, 0, 2, 13]),
            (1, &[255, 255, 255, 0]),
            (3, &[10, 0, 0, 254]),
            (6, &[10, 0, 0, 1, 10, 0, 0, 2]),
            (28, &[10, 0, 0, 255]),
            (12, b"vm1"),
            (15, b"maas"),
            (26, &[35, 40]),
            (42, &[10, 0, 0, 1]),
            (119, b"\x04maas\0\x01a\x07example\0"),
            (66, b"10.0.0.1"),
        ];
        for (code, value) in want {
            assert_eq!(answer.options.get(code), Some(value), "option {code}");
        }
        assert_eq!((answer.yiaddr, answer.siaddr), ([10, 0, 0, 9].into(), [10, 0, 0, 1].into()));
        assert_eq!(answer.file, b"undionly.kpxe");
        assert_eq!(answer.xid, 7);
        assert_eq!(Message::parse(&answer.encode()), Ok(answer));
    }

    #[test]
    fn echoes_and_sizes() {
        let mut message = request();
        message.options.set(code::RELAY_AGENT, [1, 2, 3]);
        message.options.set(code::CLIENT_ID, [9; 7]);
        let mut config = config();
        config.subnets[0].search = vec!["x".repeat(60) + "." + &"y".repeat(60); 3];
        let answer = reply(&message, &Decision::Ack(lease()), &config, &[]).unwrap();
        assert_eq!(answer.options.iter().last(), Some((code::RELAY_AGENT, [1, 2, 3].as_slice())));
        assert_eq!(answer.options.get(code::CLIENT_ID), Some([9; 7].as_slice()));
        assert!(answer.encode().len() <= LEAST_MAX_LEN);
        assert_eq!(answer.options.get(code::DOMAIN_SEARCH), None, "too long for a small client");
        message.options.set(code::MAX_MESSAGE_SIZE, 1500u16.to_be_bytes());
        let answer = reply(&message, &Decision::Ack(lease()), &config, &[]).unwrap();
        assert!(answer.options.get(code::DOMAIN_SEARCH).is_some());
    }

    #[test]
    fn where_answers_go() {
        let config = config();
        let to = |message: &Message, decision: &Decision| {
            destination(message, &reply(message, decision, &config, &[]).unwrap()).to_string()
        };
        let nak = Decision::Nak(Refusal::Taken([10, 0, 0, 9].into()));
        let mut message = request();
        assert_eq!(to(&message, &Decision::Ack(lease())), "255.255.255.255:68");
        message.ciaddr = [10, 0, 0, 9].into();
        assert_eq!(to(&message, &Decision::Ack(lease())), "10.0.0.9:68");
        assert_eq!(to(&message, &Decision::Inform), "10.0.0.9:68");
        assert_eq!(to(&message, &nak), "255.255.255.255:68");
        message.giaddr = [10, 0, 0, 3].into();
        assert_eq!(to(&message, &Decision::Ack(lease())), "10.0.0.3:67");
        assert!(reply(&message, &nak, &config, &[]).unwrap().wants_broadcast());
    }
}
