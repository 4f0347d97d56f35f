//! The firmware's DHCP client: the socket on the machine's interface, and patience.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

use netboot::dhcp::{Client, Kind, Lease, Question, parse};

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
    let message = client.message(transaction, Question::Discover, None);
    let offer = exchange(&socket, &message, transaction, Kind::Offer)?;
    let message = client.message(transaction, Question::Request(&offer), None);
    exchange(&socket, &message, transaction, Kind::Ack)
}

fn exchange(socket: &UdpSocket, message: &[u8], transaction: u32, wanted: Kind) -> io::Result<Lease> {
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
            if let Some(answer) = parse(buffer.get(..length).unwrap_or_default())
                && (answer.transaction, answer.kind) == (transaction, wanted)
            {
                return Ok(answer.lease);
            }
        }
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, "no DHCP server answered"))
}
