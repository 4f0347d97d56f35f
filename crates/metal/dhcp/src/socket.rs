//! The socket of one interface.

use std::{io, net::Ipv4Addr, os::fd::OwnedFd};

use rustix::net::{self, AddressFamily, SocketFlags, SocketType, sockopt};
use tokio::net::UdpSocket;

/// Where servers and relays listen.
pub const SERVER_PORT: u16 = 67;
/// Bytes of messages that may wait to be read: of some thousands of machines that are switched on at once. The system's
/// usual 200 KiB hold 160 messages, and all others then have to ask again.
const RECEIVE_BUFFER: usize = 4 << 20;
/// Where clients listen.
pub const CLIENT_PORT: u16 = 68;

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another DHCP server runs on this interface.
    #[error(
        "UDP port {port} is taken on {interface}: another DHCP server runs there (see `ss -lunp 'sport = :{port}'`); stop it, or turn DHCP off for this network"
    )]
    Taken {
        /// The interface.
        interface: String,
        /// The port.
        port: u16,
    },
    /// No right to do this.
    #[error(
        "may not listen on UDP port {port} of {interface}: run as root, or grant CAP_NET_BIND_SERVICE and CAP_NET_RAW"
    )]
    Forbidden {
        /// The interface.
        interface: String,
        /// The port.
        port: u16,
    },
    /// No such interface.
    #[error("there is no network interface {interface}: `ip -br link` lists those there are")]
    NoInterface {
        /// The interface.
        interface: String,
    },
    /// Anything else.
    #[error("cannot listen for DHCP on {interface}")]
    Io {
        /// The interface.
        interface: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// A socket for [`Service::run`](crate::Service::run), which hears and speaks on one interface only. Port
/// [`SERVER_PORT`] but in tests.
///
/// # Errors
/// [`BindError`] says what stands in the way.
pub fn bind(interface: &str, port: u16) -> Result<UdpSocket, BindError> {
    open(interface, port).map_err(|source| {
        let interface = interface.to_owned();
        match source.kind() {
            io::ErrorKind::AddrInUse => BindError::Taken { interface, port },
            io::ErrorKind::PermissionDenied => BindError::Forbidden { interface, port },
            _ if source.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error()) => {
                BindError::NoInterface { interface }
            }
            _ => BindError::Io { interface, source },
        }
    })
}

/// The device comes before the port: servers on several interfaces then share port 67, and one that is there
/// already on this interface is noticed.
fn open(interface: &str, port: u16) -> io::Result<UdpSocket> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket: OwnedFd = net::socket_with(AddressFamily::INET, SocketType::DGRAM, flags, None)?;
    let socket = UdpSocket::from_std(socket.into())?;
    socket.bind_device(Some(interface.as_bytes()))?;
    socket.set_broadcast(true)?;
    // Without CAP_NET_ADMIN the system's limit (net.core.rmem_max) holds, which is better than nothing.
    if sockopt::set_socket_recv_buffer_size_force(&socket, RECEIVE_BUFFER).is_err() {
        sockopt::set_socket_recv_buffer_size(&socket, RECEIVE_BUFFER)?;
    }
    net::bind(&socket, &std::net::SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port))?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_is_named() {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: needs root");
            return;
        }
        let first = bind("lo", 0).unwrap();
        let port = first.local_addr().unwrap().port();
        let error = bind("lo", port).unwrap_err();
        assert!(matches!(&error, BindError::Taken { interface, port: p } if interface == "lo" && *p == port));
        assert!(error.to_string().contains("another DHCP server"));
        assert!(matches!(bind("no-such0", 0), Err(BindError::NoInterface { .. })));
    }
}
