//! A DHCP client's half of one exchange, without IO: RFC 2131 messages in IPv4 and UDP headers.

use std::net::Ipv4Addr;

use super::Lease;

/// DHCPREQUESTs without an answer before the exchange starts over.
const REQUESTS: u32 = 4;
/// Bytes before the options: RFC 2131, 2, with the magic cookie.
const FIXED: usize = 240;
/// Marks the options.
const COOKIE: [u8; 4] = [99, 130, 83, 99];

/// What a packet meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// Not for this exchange.
    Nothing,
    /// An offer was taken, or refused by its server: send the next packet now.
    Progress,
    /// The address is ours.
    Lease(Lease),
}

/// Where the exchange is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Discovering,
    Requesting { address: Ipv4Addr, server: Ipv4Addr, unanswered: u32 },
}

/// One attempt to get an address.
#[derive(Debug)]
pub struct Exchange {
    mac: [u8; 6],
    xid: u32,
    state: State,
}

impl Exchange {
    /// An exchange for an interface; `xid` tells its answers from others on the link.
    pub fn new(mac: [u8; 6], xid: u32) -> Self {
        Self { mac, xid, state: State::Discovering }
    }

    /// The message that is sent now, for people.
    pub fn sending(&self) -> &'static str {
        match self.state {
            State::Discovering => "DHCPDISCOVER",
            State::Requesting { .. } => "DHCPREQUEST",
        }
    }

    /// The message that is waited for.
    pub fn missing(&self) -> &'static str {
        match self.state {
            State::Discovering => "DHCPOFFER",
            State::Requesting { .. } => "DHCPACK",
        }
    }

    /// The IPv4 packet to broadcast now, `secs` after the first.
    pub fn packet(&self, secs: u16) -> Vec<u8> {
        let mut message = vec![1, 1, 6, 0];
        message.extend(self.xid.to_be_bytes());
        message.extend(secs.to_be_bytes());
        message.extend([0x80, 0]); // answers by broadcast
        message.extend([0; 16]); // ciaddr, yiaddr, siaddr, giaddr
        message.extend(self.mac);
        message.resize(FIXED - COOKIE.len(), 0); // rest of chaddr, sname, file
        message.extend(COOKIE);
        match self.state {
            State::Discovering => message.extend([53, 1, 1]),
            State::Requesting { address, server, .. } => {
                message.extend([53, 1, 3, 50, 4]);
                message.extend(address.octets());
                message.extend([54, 4]);
                message.extend(server.octets());
            }
        }
        message.extend([55, 3, 1, 3, 51, 255]); // netmask, router, lease time
        message.resize(message.len().max(300), 0); // BOOTP relays want 300
        in_udp(&message)
    }

    /// No answer came in time.
    pub fn silence(&mut self) {
        if let State::Requesting { unanswered, .. } = &mut self.state {
            *unanswered += 1;
            if *unanswered >= REQUESTS {
                self.state = State::Discovering;
            }
        }
    }

    /// Looks at an IPv4 packet from the link.
    pub fn hear(&mut self, packet: &[u8]) -> Heard {
        let Some(message) = udp_to_client(packet).and_then(|message| self.ours(message)) else {
            return Heard::Nothing;
        };
        match (self.state, message.kind) {
            (State::Discovering, 2) => {
                let Some(server) = message.server else { return Heard::Nothing };
                self.state = State::Requesting { address: message.yours, server, unanswered: 0 };
                Heard::Progress
            }
            (State::Requesting { address, server, .. }, 5) if message.yours == address => {
                let prefix = message.netmask.unwrap_or(Ipv4Addr::new(255, 255, 255, 0));
                let prefix = prefix.to_bits().leading_ones() as u8;
                let server = message.server.unwrap_or(server);
                Heard::Lease(Lease { address, prefix, gateway: message.router, server })
            }
            (State::Requesting { server, .. }, 6) if message.server.is_none_or(|by| by == server) => {
                self.state = State::Discovering;
                Heard::Progress
            }
            _ => Heard::Nothing,
        }
    }

    fn ours(&self, bytes: &[u8]) -> Option<Message> {
        let reply = bytes.first() == Some(&2)
            && bytes.get(4..8)? == self.xid.to_be_bytes()
            && bytes.get(28..34)? == self.mac
            && bytes.get(FIXED - COOKIE.len()..FIXED)? == COOKIE;
        if !reply {
            return None;
        }
        let mut message = Message {
            kind: 0,
            yours: address(bytes.get(16..20)?)?,
            server: None,
            netmask: None,
            router: None,
        };
        let mut rest = bytes.get(FIXED..)?;
        while let Some((code, after)) = rest.split_first() {
            match code {
                0 => rest = after,
                255 => break,
                code => {
                    let (len, after) = after.split_first()?;
                    let (value, after) = after.split_at_checked(usize::from(*len))?;
                    match code {
                        1 => message.netmask = address(value),
                        3 => message.router = value.get(..4).and_then(address),
                        53 => message.kind = *value.first()?,
                        54 => message.server = address(value),
                        _ => {}
                    }
                    rest = after;
                }
            }
        }
        Some(message)
    }
}

/// What matters of a server's message.
struct Message {
    kind: u8,
    yours: Ipv4Addr,
    server: Option<Ipv4Addr>,
    netmask: Option<Ipv4Addr>,
    router: Option<Ipv4Addr>,
}

fn address(bytes: &[u8]) -> Option<Ipv4Addr> {
    Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?))
}

/// Payload of an unfragmented UDP packet to port 68. Checksums are not looked at: a virtual link's sender may
/// leave them to hardware that is not there.
fn udp_to_client(packet: &[u8]) -> Option<&[u8]> {
    let first = *packet.first()?;
    let header = usize::from(first & 0xf) * 4;
    let fragment = u16::from_be_bytes(packet.get(6..8)?.try_into().ok()?) & 0x3fff;
    let udp = packet.get(header..)?;
    let to = u16::from_be_bytes(udp.get(2..4)?.try_into().ok()?);
    let len = usize::from(u16::from_be_bytes(udp.get(4..6)?.try_into().ok()?));
    let wanted = first >> 4 == 4 && header >= 20 && packet.get(9) == Some(&17) && fragment == 0 && to == 68;
    if wanted { udp.get(8..len) } else { None }
}

/// Puts a message into UDP 68 → 67 and IPv4 0.0.0.0 → 255.255.255.255. UDP's checksum is optional in IPv4.
fn in_udp(message: &[u8]) -> Vec<u8> {
    let len = message.len() as u16;
    let mut packet = vec![0x45, 0x10];
    packet.extend((len + 28).to_be_bytes());
    packet.extend([0, 0, 0, 0, 64, 17, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255]);
    let sum = checksum(&packet).to_be_bytes();
    if let Some(place) = packet.get_mut(10..12) {
        place.copy_from_slice(&sum);
    }
    packet.extend([0, 68, 0, 67]);
    packet.extend((len + 8).to_be_bytes());
    packet.extend([0, 0]);
    packet.extend(message);
    packet
}

/// The Internet checksum, RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks_exact(2).filter_map(|w| Some(u16::from_be_bytes(w.try_into().ok()?)));
    let sum = words.fold(0_u32, |sum, word| sum + u32::from(word));
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MAC: [u8; 6] = [0x52, 0x54, 0, 1, 2, 3];

    /// A server's answer of `kind` to the packet of a client.
    fn answer(request: &[u8], kind: u8, yours: Ipv4Addr) -> Vec<u8> {
        let mut message = request[28..].to_vec();
        message[0] = 2;
        message[16..20].copy_from_slice(&yours.octets());
        message.truncate(FIXED);
        message.extend([
            53, 1, kind, 0, 54, 4, 10, 0, 0, 1, 1, 4, 255, 255, 240, 0, 3, 8, 10, 0, 0, 2, 10, 0, 0, 3, 255,
        ]);
        let mut packet = in_udp(&message);
        packet[20..24].copy_from_slice(&[0, 67, 0, 68]);
        packet
    }

    #[test]
    fn discover_offer_request_ack() {
        let ours = Ipv4Addr::new(10, 0, 3, 4);
        let mut exchange = Exchange::new(MAC, 7);
        let discover = exchange.packet(0);
        assert_eq!(checksum(&discover[..20]), 0);
        assert_eq!(exchange.hear(&answer(&discover, 2, ours)), Heard::Progress);
        let request = exchange.packet(1);
        assert!(request.windows(6).any(|w| w == [50, 4, 10, 0, 3, 4]));
        let lease = Lease {
            address: ours,
            prefix: 20,
            gateway: Some(Ipv4Addr::new(10, 0, 0, 2)),
            server: Ipv4Addr::new(10, 0, 0, 1),
        };
        assert_eq!(exchange.hear(&answer(&request, 5, ours)), Heard::Lease(lease));
    }

    #[test]
    fn a_refusal_or_a_silent_server_starts_over() {
        let ours = Ipv4Addr::new(10, 0, 3, 4);
        let mut exchange = Exchange::new(MAC, 7);
        let discover = exchange.packet(0);
        exchange.hear(&answer(&discover, 2, ours));
        assert_eq!(exchange.hear(&answer(&discover, 6, ours)), Heard::Progress);
        assert_eq!(exchange.missing(), "DHCPOFFER");
        exchange.hear(&answer(&discover, 2, ours));
        (0..REQUESTS).for_each(|_| exchange.silence());
        assert_eq!(exchange.missing(), "DHCPOFFER");
    }

    #[test]
    fn answers_to_others_are_not_ours() {
        let mut exchange = Exchange::new(MAC, 7);
        let other = Exchange::new(MAC, 8).packet(0);
        assert_eq!(exchange.hear(&answer(&other, 2, Ipv4Addr::LOCALHOST)), Heard::Nothing);
    }

    proptest! {
        /// Anybody on the link may send anything.
        #[test]
        fn hearing_never_panics(noise in proptest::collection::vec(any::<u8>(), 0..600)) {
            let mut exchange = Exchange::new(MAC, 7);
            let _ = exchange.hear(&noise);
            let mut packet = answer(&exchange.packet(0), 2, Ipv4Addr::LOCALHOST);
            packet.truncate(28 + FIXED);
            packet.extend(&noise);
            let len = (packet.len() - 20) as u16;
            packet[24..26].copy_from_slice(&len.to_be_bytes());
            let _ = exchange.hear(&packet);
        }

        /// Cut anywhere, an answer is either understood or not ours.
        #[test]
        fn cut_answers_are_harmless(cut in 0usize..400) {
            let mut exchange = Exchange::new(MAC, 7);
            let packet = answer(&exchange.packet(0), 2, Ipv4Addr::LOCALHOST);
            let _ = exchange.hear(&packet[..cut.min(packet.len())]);
        }
    }
}
