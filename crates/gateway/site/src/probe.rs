//! The ways that a gateway needs which is not at the site: to the MAAS, to its DNS, to the machines, and back.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use gateway_protocol::{Account, Probed, Problem, ProblemCode, Way};
use hickory_proto::{
    op::{Message, MessageType, OpCode, Query},
    rr::{Name, RecordType},
};
use sealing::SealingKey;
use tokio::{
    net::{TcpStream, UdpSocket, lookup_host},
    time::timeout,
};
use url::Url;

use crate::{Clusters, maas};

/// How long each way may take.
const LIMIT: Duration = Duration::from_secs(3);
/// Where clusters' API servers listen.
const KUBERNETES: u16 = 6443;
const DNS: u16 = 53;

/// Tries them, for an account that is known to work: that the MAAS answers was a question of its own.
pub async fn probe(account: &Account, key: &SealingKey, clusters: &Clusters) -> Result<Probed, Problem> {
    let client = maas::client(account, key)?;
    let invalid = |message: &str| Problem { code: ProblemCode::Invalid, message: message.to_owned() };
    let url = Url::parse(&account.endpoint).map_err(|_| invalid("the endpoint is no URL"))?;
    let host = url.host_str().ok_or_else(|| invalid("the endpoint names no host"))?.to_owned();
    let region = address(&host).await.ok_or_else(|| invalid("the endpoint's host has no address"))?;
    let server = clusters.dns().unwrap_or(region);
    let (dns, kubernetes) = tokio::join!(dns(server), reaches(SocketAddr::new(region, KUBERNETES)));
    let mut ways = vec![
        Way { what: format!("UDP {DNS} from the gateway to {server}, the site's DNS"), open: Some(dns) },
        Way {
            what: format!(
                "TCP {KUBERNETES} from the gateway to {region} and the machines' subnets, clusters' APIs"
            ),
            open: Some(kubernetes),
        },
    ];
    if let Some(registry) = clusters.registry_address() {
        let (to, port) = (registry.ip().to_string(), registry.port());
        let open = client.reach(&to, port).await.unwrap_or(None);
        ways.push(Way {
            what: format!("TCP {port} from the site's machines to {to}, the gateway's registry"),
            open,
        });
    }
    Ok(Probed { ways })
}

async fn address(host: &str) -> Option<IpAddr> {
    lookup_host((host, 0)).await.ok()?.next().map(|address| address.ip())
}

/// Whether a port answers, be it with a refusal: the way is open then.
async fn reaches(to: SocketAddr) -> bool {
    match timeout(LIMIT, TcpStream::connect(to)).await {
        Ok(Ok(_)) => true,
        Ok(Err(error)) => error.kind() == std::io::ErrorKind::ConnectionRefused,
        Err(_) => false,
    }
}

/// Whether a DNS server answers anything at all.
async fn dns(server: IpAddr) -> bool {
    let asked = async {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await.ok()?;
        socket.connect((server, DNS)).await.ok()?;
        socket.send(&question()?).await.ok()?;
        let mut answer = [0; 512];
        socket.recv(&mut answer).await.ok().filter(|length| *length >= 12)
    };
    matches!(timeout(LIMIT, asked).await, Ok(Some(_)))
}

/// Who is responsible for the root: every server says something to that.
fn question() -> Option<Vec<u8>> {
    let mut message = Message::new(rand::random(), MessageType::Query, OpCode::Query);
    message.add_query(Query::query(Name::root(), RecordType::SOA));
    message.to_vec().ok()
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_refusal_is_an_open_way_and_silence_is_none() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        assert!(reaches(address).await);
        drop(listener);
        assert!(reaches(address).await);
        assert!(!dns("127.0.3.200".parse().unwrap()).await);
        assert_eq!(Message::from_vec(&question().unwrap()).unwrap().queries.len(), 1);
    }
}
