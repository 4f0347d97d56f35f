//! DHCP messages of a client: firmware with a PXE ROM and iPXE, or an installed system (RFC 2131, RFC 4578).

use std::net::Ipv4Addr;

use uuid::Uuid;

/// What a client is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Its address.
    pub address: Ipv4Addr,
    /// Length of the subnet's prefix.
    pub prefix: u8,
    /// Default gateway.
    pub router: Option<Ipv4Addr>,
    /// Boot file (option 67 or the header's field): a URL for iPXE.
    pub filename: String,
    /// Who answered (option 54).
    pub server: Ipv4Addr,
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client {
    /// Hardware address.
    pub mac: [u8; 6],
    /// SMBIOS UUID (option 97).
    pub uuid: Uuid,
    /// Client system architecture (option 93): 0 is BIOS, 7 is UEFI for x86-64.
    pub architecture: u16,
    /// What runs on the machine.
    pub speaker: Speaker,
}

/// What runs on a machine that asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaker {
    /// A PXE ROM with iPXE.
    Ipxe,
    /// An operating system.
    System,
}

/// One question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question<'a> {
    /// DISCOVER.
    Discover,
    /// REQUEST of what was offered.
    Request(&'a Lease),
}

/// What an answer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// OFFER.
    Offer,
    /// ACK.
    Ack,
    /// NAK: back to the start.
    Nak,
}

/// A server's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The client's number of the exchange.
    pub transaction: u32,
    /// Whom it is for.
    pub mac: [u8; 6],
    /// What it says.
    pub kind: Kind,
    /// What comes with it.
    pub lease: Lease,
}

const MAGIC: [u8; 4] = [99, 130, 83, 99];

impl Client {
    /// A question as a packet; one that goes through a `relay` agent carries its address.
    pub fn message(&self, transaction: u32, question: Question<'_>, relay: Option<Ipv4Addr>) -> Vec<u8> {
        let mut out = vec![1, 1, 6, u8::from(relay.is_some())];
        out.extend(transaction.to_be_bytes());
        // The broadcast flag: no address to answer to yet.
        out.extend([0, 0, 0x80, 0]);
        out.extend([0; 12]);
        out.extend(relay.unwrap_or(Ipv4Addr::UNSPECIFIED).octets());
        out.extend(self.mac);
        out.extend([0; 10 + 192]);
        out.extend(MAGIC);
        let mut option = |code: u8, value: &[u8]| {
            out.extend([code, u8::try_from(value.len()).unwrap_or(0)]);
            out.extend(value);
        };
        option(53, &[if question == Question::Discover { 1 } else { 3 }]);
        option(57, &1500u16.to_be_bytes());
        let mut hardware = vec![1];
        hardware.extend(self.mac);
        option(61, &hardware);
        if self.speaker == Speaker::Ipxe {
            option(60, format!("PXEClient:Arch:{:05}:UNDI:002001", self.architecture).as_bytes());
            option(77, b"iPXE");
            option(93, &self.architecture.to_be_bytes());
            option(94, &[1, 2, 1]);
            // SMBIOS keeps the first three fields of a UUID little-endian, and firmware sends them so.
            let mut machine = vec![0];
            machine.extend(self.uuid.to_bytes_le());
            option(97, &machine);
        }
        option(55, &[1, 3, 6, 12, 15, 43, 60, 66, 67, 54, 51]);
        if let Question::Request(offer) = question {
            option(50, &offer.address.octets());
            option(54, &offer.server.octets());
        }
        out.push(255);
        out
    }
}

/// Reads a server's answer; `None` where it is none.
pub fn parse(packet: &[u8]) -> Option<Answer> {
    let transaction: [u8; 4] = packet.get(4..8)?.try_into().ok()?;
    if packet.first() != Some(&2) || packet.get(236..240)? != MAGIC {
        return None;
    }
    let file = packet.get(108..236)?;
    let file = file.split(|byte| *byte == 0).next().unwrap_or_default();
    let mut lease = Lease {
        address: address(packet.get(16..20)?)?,
        prefix: 24,
        router: None,
        filename: String::from_utf8_lossy(file).into_owned(),
        server: Ipv4Addr::UNSPECIFIED,
    };
    let mut kind = None;
    let mut rest = packet.get(240..)?;
    while let [code, tail @ ..] = rest {
        match code {
            0 => rest = tail,
            255 => break,
            code => {
                let (length, tail) = tail.split_first()?;
                let (value, tail) = tail.split_at_checked(usize::from(*length))?;
                rest = tail;
                match code {
                    1 => lease.prefix = u8::try_from(address(value)?.to_bits().leading_ones()).ok()?,
                    3 => lease.router = address(value.get(..4)?),
                    53 => kind = kind_of(value),
                    54 => lease.server = address(value)?,
                    67 => {
                        String::from_utf8_lossy(value).trim_end_matches('\0').clone_into(&mut lease.filename);
                    }
                    _ => {}
                }
            }
        }
    }
    let mac = packet.get(28..34)?.try_into().ok()?;
    Some(Answer { transaction: u32::from_be_bytes(transaction), mac, kind: kind?, lease })
}

fn kind_of(value: &[u8]) -> Option<Kind> {
    match value {
        [2] => Some(Kind::Offer),
        [5] => Some(Kind::Ack),
        [6] => Some(Kind::Nak),
        _ => None,
    }
}

fn address(bytes: &[u8]) -> Option<Ipv4Addr> {
    <[u8; 4]>::try_from(bytes).ok().map(Ipv4Addr::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CLIENT: Client = Client { mac: [2; 6], uuid: Uuid::nil(), architecture: 0, speaker: Speaker::Ipxe };

    fn offer() -> Vec<u8> {
        let mut packet = CLIENT.message(7, Question::Discover, None);
        packet[0] = 2;
        packet[16..20].copy_from_slice(&[10, 20, 0, 9]);
        packet.truncate(240);
        packet.extend([53, 1, 2, 1, 4, 255, 255, 0, 0, 54, 4, 10, 20, 0, 1, 67, 8]);
        packet.extend(b"http://r");
        packet.push(255);
        packet
    }

    #[test]
    fn an_offer_is_read() {
        let answer = parse(&offer()).unwrap();
        assert_eq!((answer.kind, answer.transaction, answer.mac), (Kind::Offer, 7, [2; 6]));
        assert_eq!(answer.lease.address, Ipv4Addr::new(10, 20, 0, 9));
        assert_eq!((answer.lease.prefix, answer.lease.filename.as_str()), (16, "http://r"));
        assert_eq!(parse(&CLIENT.message(7, Question::Discover, None)), None, "a question is no answer");
    }

    #[test]
    fn a_relayed_question_names_its_relay() {
        let relay = Ipv4Addr::new(10, 20, 0, 2);
        let packet = CLIENT.message(7, Question::Discover, Some(relay));
        assert_eq!((packet[3], &packet[24..28]), (1, relay.octets().as_slice()));
        let system = Client { speaker: Speaker::System, ..CLIENT };
        let asks_as_ipxe = |packet: &[u8]| packet.windows(4).any(|four| four == b"iPXE");
        assert!(asks_as_ipxe(&packet) && !asks_as_ipxe(&system.message(7, Question::Discover, None)));
    }

    proptest! {
        #[test]
        fn no_packet_breaks_it(mut cut in 0usize..300, at in 0usize..300, byte: u8) {
            let mut packet = offer();
            cut = cut.min(packet.len());
            packet.truncate(cut);
            if let Some(slot) = packet.get_mut(at) { *slot = byte; }
            drop(parse(&packet));
        }
    }
}
