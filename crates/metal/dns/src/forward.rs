//! Relaying a query to other servers.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    time::timeout,
};

use crate::answer::Transport;

/// How long one server may take.
const LIMIT: Duration = Duration::from_secs(2);

/// Asks the servers in order, the way the client asked us: an answer cut short by UDP is handed on as it is, and
/// the client comes back by TCP. `None` if none of them answers.
pub(crate) async fn forward(query: &[u8], transport: Transport, servers: &[SocketAddr]) -> Option<Vec<u8>> {
    let client_id = *query.first_chunk::<2>()?;
    // A number and a port that nobody can guess keep forged answers out.
    let id = (RandomState::new().build_hasher().finish() as u16).to_be_bytes();
    let mut query = query.to_vec();
    set_id(&mut query, id);
    for server in servers {
        let asked = async {
            match transport {
                Transport::Udp => by_udp(&query, *server).await,
                Transport::Tcp => by_tcp(&query, *server).await,
            }
        };
        match timeout(LIMIT, asked).await {
            Ok(Ok(mut reply)) => {
                set_id(&mut reply, client_id);
                return Some(reply);
            }
            Ok(Err(error)) => tracing::debug!(%server, %error, "the forwarder failed"),
            Err(_) => tracing::debug!(%server, "the forwarder is silent"),
        }
    }
    None
}

async fn by_udp(query: &[u8], server: SocketAddr) -> io::Result<Vec<u8>> {
    let any: SocketAddr =
        if server.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    socket.send(query).await?;
    let mut buffer = vec![0; 65_536];
    loop {
        let len = socket.recv(&mut buffer).await?;
        let reply = buffer.get(..len).unwrap_or_default();
        if answers(reply, query) {
            return Ok(reply.to_vec());
        }
    }
}

async fn by_tcp(query: &[u8], server: SocketAddr) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    write_framed(&mut stream, query).await?;
    let reply = read_framed(&mut stream).await?;
    if answers(&reply, query) {
        Ok(reply)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidData, "the answer is to another query"))
    }
}

/// Reads one message of a stream.
pub(crate) async fn read_framed(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let len = stream.read_u16().await?;
    let mut message = vec![0; usize::from(len)];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

/// Writes one message to a stream.
pub(crate) async fn write_framed(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let len = u16::try_from(message.len()).map_err(|_| io::Error::other("the message is too long"))?;
    let mut framed = Vec::with_capacity(2 + message.len());
    framed.extend_from_slice(&len.to_be_bytes());
    framed.extend_from_slice(message);
    stream.write_all(&framed).await
}

fn set_id(message: &mut [u8], id: [u8; 2]) {
    if let Some(place) = message.first_chunk_mut() {
        *place = id;
    }
}

/// Whether a reply is to this query: number, direction and question agree.
fn answers(reply: &[u8], query: &[u8]) -> bool {
    let is_reply = reply.get(2).is_some_and(|flags| flags & 0x80 != 0);
    let same_question = match (question(reply), question(query)) {
        (Some(reply), Some(query)) => reply.eq_ignore_ascii_case(query),
        _ => false,
    };
    is_reply && reply.get(..2) == query.get(..2) && same_question
}

/// The first question: name, type and class.
fn question(message: &[u8]) -> Option<&[u8]> {
    let body = message.get(12..)?;
    let mut end = 0;
    loop {
        let label = usize::from(*body.get(end)?);
        end += 1 + label;
        match label {
            0 => return body.get(..end + 4),
            1..=63 => {}
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};

    proptest! {
        #[test]
        fn any_bytes(reply in vec(any::<u8>(), 0..80), query in vec(any::<u8>(), 0..80)) {
            let _ = answers(&reply, &query);
        }
    }
}
