//! One HTTP request from one of the fleet's addresses.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, HeaderValue, RANGE};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use tokio::net::TcpSocket;

use crate::life::{Access, Call, Reply, Verb};

/// Longest time of a request; the region holds a question for a task for 20 s.
const LIMIT: Duration = Duration::from_mins(1);
/// Longest time until a connection is there.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// Largest body that is kept.
const BODY_LIMIT: usize = 1 << 20;

/// Why there was no answer.
#[derive(Debug, thiserror::Error)]
enum NoAnswer {
    #[error("{0} is no URL of an HTTP server by its address")]
    Url(String),
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Http(#[from] hyper::Error),
    #[error(transparent)]
    Request(#[from] hyper::http::Error),
    #[error("took too long")]
    Late,
    #[error("its body is too large")]
    Large,
}

/// Asks, and reads the answer to its end; also how many bytes of bodies came.
pub async fn ask(call: Call, nonce: u64) -> (Reply, u64) {
    let mut bytes = 0;
    let asked = tokio::time::timeout(LIMIT, attempt(&call, nonce, &mut bytes)).await;
    match asked.unwrap_or(Err(NoAnswer::Late)) {
        Ok(reply) => (reply, bytes),
        Err(error) => {
            tracing::debug!(url = call.url, from = %call.from, %error, "no answer");
            (Reply { status: None, body: Bytes::new() }, bytes)
        }
    }
}

async fn attempt(call: &Call, nonce: u64, bytes: &mut u64) -> Result<Reply, NoAnswer> {
    let (to, authority, path) = target(&call.url).ok_or_else(|| NoAnswer::Url(call.url.clone()))?;
    let socket = TcpSocket::new_v4()?;
    // Many connections from few addresses: the port is chosen when the other side is known.
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::from((call.from, 0)))?;
    let stream =
        tokio::time::timeout(CONNECT_LIMIT, socket.connect(to)).await.map_err(|_| NoAnswer::Late)??;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let exchange = async {
        let mut answer = sender.send_request(request(call, nonce, &authority, &path)?).await?;
        let status = answer.status().as_u16();
        let keep = !matches!(call.verb, Verb::Range(..));
        let mut body = Vec::new();
        while let Some(frame) = answer.body_mut().frame().await {
            let Ok(data) = frame?.into_data() else { continue };
            *bytes += u64::try_from(data.len()).unwrap_or(0);
            if keep {
                body.extend_from_slice(&data);
            }
            if body.len() > BODY_LIMIT {
                return Err(NoAnswer::Large);
            }
        }
        Ok(Reply { status: Some(status), body: Bytes::from(body) })
    };
    let mut exchange = std::pin::pin!(exchange);
    tokio::select! {
        reply = &mut exchange => reply,
        // It ends with the answer's last byte, which may still have to be read.
        ended = connection => { ended?; exchange.await }
    }
}

fn request(call: &Call, nonce: u64, authority: &str, path: &str) -> Result<Request<Full<Bytes>>, NoAnswer> {
    let (method, body) = match &call.verb {
        Verb::Get | Verb::Range(..) => (Method::GET, Bytes::new()),
        Verb::Head => (Method::HEAD, Bytes::new()),
        Verb::Post(body) => (Method::POST, body.clone()),
    };
    let mut request = Request::builder().method(method).uri(path).header(HOST, authority);
    request = request.header(CONNECTION, HeaderValue::from_static("close"));
    if let Verb::Post(_) = call.verb {
        request = request.header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    if let Verb::Range(from, to) = call.verb {
        request = request.header(RANGE, format!("bytes={from}-{to}"));
    }
    request = match &call.access {
        Access::Open => request,
        Access::Bearer(token) => request.header(AUTHORIZATION, format!("Bearer {}", token.expose())),
        Access::OAuth(key) => {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            request.header(AUTHORIZATION, oauth::authorization(key, now.as_secs(), &format!("{nonce:x}")))
        }
    };
    Ok(request.body(Full::new(body))?)
}

/// Address, authority and path of a URL; machines here have no name servers, as iPXE's have none of ours.
fn target(url: &str) -> Option<(SocketAddr, String, String)> {
    let url = url::Url::parse(url).ok().filter(|url| url.scheme() == "http")?;
    let address: IpAddr = url.host_str()?.parse().ok()?;
    let to = SocketAddr::new(address, url.port_or_known_default()?);
    let path = url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
    Some((to, to.to_string(), path))
}
