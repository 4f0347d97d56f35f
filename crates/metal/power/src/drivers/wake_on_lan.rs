//! Wake on LAN: the magic packet (AMD, Magic Packet Technology, 1995) that a NIC switches its machine on by.
//!
//! Nothing answers, and nothing can be switched off. A machine that is on does not notice.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tokio::net::UdpSocket;

use super::{Parameters, Power, parameter};
use crate::{Bmc, PowerError, types::Kind};

/// The discard service's: what others send to.
const PORT: u16 = 9;

/// A machine that wakes up by its MAC address.
#[derive(Debug, Clone)]
pub struct WakeOnLan {
    mac: [u8; 6],
    to: SocketAddr,
    address: String,
}

impl WakeOnLan {
    pub fn from_parameters(parameters: &Parameters<'_>) -> Result<Self, PowerError> {
        let text = parameters.text("power_address");
        let to = text.parse().or_else(|_| text.parse().map(|ip: IpAddr| SocketAddr::new(ip, PORT)));
        let to = to.map_err(|_| parameter("power_address", "it is no IP address, with a port or without"))?;
        Ok(Self { mac: parameters.mac("mac_address")?, to, address: text.to_owned() })
    }

    async fn wake(&self) -> Result<(), PowerError> {
        let unreachable = |error: std::io::Error| PowerError::Unreachable {
            address: self.address.clone(),
            why: error.to_string(),
        };
        let from: SocketAddr = match self.to {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (std::net::Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(from).await.map_err(unreachable)?;
        socket.set_broadcast(true).map_err(unreachable)?;
        // A packet may be lost, and nothing tells.
        for _ in 0..3 {
            socket.send_to(&packet(self.mac), self.to).await.map_err(unreachable)?;
        }
        Ok(())
    }
}

#[async_trait::async_trait]
impl Bmc for WakeOnLan {
    fn address(&self) -> &str {
        &self.address
    }

    async fn state(&self) -> Result<Power, PowerError> {
        Err(PowerError::Unable { kind: Kind::WakeOnLan, what: "tell whether the machine is on" })
    }

    async fn boot_network(&self) -> Result<(), PowerError> {
        self.wake().await
    }

    async fn on(&self) -> Result<(), PowerError> {
        self.wake().await
    }

    async fn off(&self) -> Result<(), PowerError> {
        Err(PowerError::Unable { kind: Kind::WakeOnLan, what: "switch off" })
    }
}

/// Six bytes of ones, and the MAC address sixteen times.
fn packet(mac: [u8; 6]) -> Vec<u8> {
    [vec![0xff; 6], mac.repeat(16)].concat()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use secrets::Secret;

    use crate::{Node, PowerError, driver, types::Kind};

    fn sent(mac: &str, address: &str) -> BTreeMap<String, Secret> {
        [("mac_address", mac), ("power_address", address)]
            .map(|(name, value)| (name.to_owned(), Secret::from(value)))
            .into()
    }

    #[tokio::test]
    async fn the_packet_arrives_and_nothing_else_can_be_done() {
        let nic = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = nic.local_addr().unwrap().to_string();
        let bmc = driver(Kind::WakeOnLan, &sent("52-54-00-AA-00-01", &address), &Node::default()).unwrap();
        bmc.boot_network().await.unwrap();
        let mut packet = [0; 200];
        let (length, _) = nic.recv_from(&mut packet).await.unwrap();
        assert_eq!(length, 102);
        assert_eq!(packet[..6], [0xff; 6]);
        assert_eq!(packet[6..102], [0x52, 0x54, 0, 0xaa, 0, 1].repeat(16)[..]);
        assert!(matches!(bmc.off().await, Err(PowerError::Unable { .. })));
        assert!(matches!(bmc.state().await, Err(PowerError::Unable { .. })));
    }

    #[test]
    fn odd_addresses_are_refused() {
        for (mac, address) in [("zz", "10.0.0.255"), ("52:54:00:aa:00:01", "broadcast")] {
            let made = driver(Kind::WakeOnLan, &sent(mac, address), &Node::default());
            assert!(matches!(made.err(), Some(PowerError::Parameter { .. })), "{mac} {address}");
        }
        assert!(driver(Kind::WakeOnLan, &sent("525400aa0001", ""), &Node::default()).is_ok(), "broadcast");
    }
}
