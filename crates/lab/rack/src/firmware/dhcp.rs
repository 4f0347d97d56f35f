//! The firmware's DHCP client: just what a PXE ROM with iPXE asks (RFC 2131, RFC 4578).

use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

use uuid::Uuid;

/// What the firmware is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Our address.
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
#[derive(Debug, Clone, Copy)]
pub struct Client {
    /// Hardware address.
    pub mac: [u8; 6],
    /// SMBIOS UUID (option 97).
    pub uuid: Uuid,
}

const MAGIC: [u8; 4] = [99, 130, 83, 99];
const DISCOVER: u8 = 1;
const OFFER: u8 = 2;
const REQUEST: u8 = 3;
const ACK: u8 = 5;
/// Waits for an answer, growing as iPXE's do.
const PATIENCE: [Duration; 5] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(4),
    Duration::from_secs(4),
];

/// Asks on `device` until someone gives a lease.
///
/// # Errors
/// `TimedOut` when nobody answers; else what the socket said.
pub fn acquire(device: &str, client: Client) -> io::Result<Lease> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 68))?;
    crate::sys::bind_to_device(&socket, device)?;
    socket.set_broadcast(true)?;
    let transaction: u32 = rand::random();
    let offer = exchange(&socket, &client.message(transaction, DISCOVER, None), transaction, OFFER)?;
    exchange(&socket, &client.message(transaction, REQUEST, Some(&offer)), transaction, ACK)
}

fn exchange(socket: &UdpSocket, message: &[u8], transaction: u32, wanted: u8) -> io::Result<Lease> {
    let mut buffer = [0; 1500];
    for patience in PATIENCE {
        // Sending fails while the interface comes up; the next round tries again.
        if let Err(error) = socket.send_to(message, (Ipv4Addr::BROADCAST, 67)) {
            println!("lab firmware: DHCP: {error}");
        }
        let until = Instant::now() + patience;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            socket.set_read_timeout(Some(left))?;
            let Ok((length, _)) = socket.recv_from(&mut buffer) else { break };
            let packet = buffer.get(..length).unwrap_or_default();
            if let Some((kind, lease)) = parse(packet, transaction)
                && kind == wanted
            {
                return Ok(lease);
            }
        }
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, "no DHCP server answered"))
}

impl Client {
    fn message(&self, transaction: u32, kind: u8, offer: Option<&Lease>) -> Vec<u8> {
        let mut out = vec![1, 1, 6, 0];
        out.extend(transaction.to_be_bytes());
        // The broadcast flag: no address to answer to yet.
        out.extend([0, 0, 0x80, 0]);
        out.extend([0; 16]);
        out.extend(self.mac);
        out.extend([0; 10 + 192]);
        out.extend(MAGIC);
        let mut option = |code: u8, value: &[u8]| {
            out.extend([code, u8::try_from(value.len()).unwrap_or(0)]);
            out.extend(value);
        };
        option(53, &[kind]);
        option(57, &1500u16.to_be_bytes());
        let mut hardware = vec![1];
        hardware.extend(self.mac);
        option(61, &hardware);
        option(60, b"PXEClient:Arch:00000:UNDI:002001");
        option(77, b"iPXE");
        option(93, &[0, 0]);
        option(94, &[1, 2, 1]);
        // SMBIOS keeps the first three fields of a UUID little-endian, and firmware sends them so.
        let mut machine = vec![0];
        machine.extend(self.uuid.to_bytes_le());
        option(97, &machine);
        option(55, &[1, 3, 6, 12, 15, 43, 60, 66, 67, 54, 51]);
        if let Some(offer) = offer {
            option(50, &offer.address.octets());
            option(54, &offer.server.octets());
        }
        out.push(255);
        out
    }
}

fn parse(packet: &[u8], transaction: u32) -> Option<(u8, Lease)> {
    let id: [u8; 4] = packet.get(4..8)?.try_into().ok()?;
    if packet.first() != Some(&2) || u32::from_be_bytes(id) != transaction || packet.get(236..240)? != MAGIC {
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
                    53 => kind = value.first().copied(),
                    54 => lease.server = address(value)?,
                    67 => {
                        String::from_utf8_lossy(value).trim_end_matches('\0').clone_into(&mut lease.filename);
                    }
                    _ => {}
                }
            }
        }
    }
    kind.map(|kind| (kind, lease))
}

fn address(bytes: &[u8]) -> Option<Ipv4Addr> {
    <[u8; 4]>::try_from(bytes).ok().map(Ipv4Addr::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn offer() -> Vec<u8> {
        let client = Client { mac: [2; 6], uuid: Uuid::nil() };
        let mut packet = client.message(7, DISCOVER, None);
        packet[0] = 2;
        packet[16..20].copy_from_slice(&[10, 20, 0, 9]);
        packet.truncate(240);
        packet.extend([53, 1, OFFER, 1, 4, 255, 255, 0, 0, 54, 4, 10, 20, 0, 1, 67, 8]);
        packet.extend(b"http://r");
        packet.push(255);
        packet
    }

    #[test]
    fn an_offer_is_read() {
        let (kind, lease) = parse(&offer(), 7).unwrap();
        assert_eq!(kind, OFFER);
        assert_eq!(lease.address, Ipv4Addr::new(10, 20, 0, 9));
        assert_eq!((lease.prefix, lease.filename.as_str()), (16, "http://r"));
        assert_eq!(parse(&offer(), 8), None, "another's transaction");
    }

    proptest! {
        #[test]
        fn no_packet_breaks_it(mut cut in 0usize..300, at in 0usize..300, byte: u8) {
            let mut packet = offer();
            cut = cut.min(packet.len());
            packet.truncate(cut);
            if let Some(slot) = packet.get_mut(at) { *slot = byte; }
            drop(parse(&packet, 7));
        }
    }
}
