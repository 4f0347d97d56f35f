//! A region for one test: an HTTP server of a few lines whose answers the test writes.
#![allow(dead_code)] // Each test file uses its part.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use agent_protocol::{ImageFormat, Install};
use bessemer_agent::client::Patience;
use sha2::{Digest as _, Sha256};

/// One request.
#[derive(Debug, Clone)]
pub struct Request {
    pub line: String,
    pub headers: HashMap<String, String>,
    pub body: String,
}

/// One answer.
pub struct Answer {
    pub head: String,
    pub body: Vec<u8>,
    /// Closes the connection after this many bytes of the body.
    pub cut: Option<usize>,
}

pub fn answer(status: &str, body: impl Into<Vec<u8>>) -> Answer {
    let body = body.into();
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    Answer { head, body, cut: None }
}

/// Serves `bytes` with ranges as the request asks.
pub fn ranged(request: &Request, bytes: &[u8]) -> Answer {
    let from = request
        .headers
        .get("range")
        .map(|range| range.trim_start_matches("bytes=").trim_end_matches('-').parse::<usize>().unwrap());
    match from {
        Some(from) => answer("206 Partial Content", &bytes[from..]),
        None => answer("200 OK", bytes),
    }
}

/// A server on loopback that lives as long as the test's process; every request goes to `script`.
pub struct Server {
    pub url: String,
    pub requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    pub fn start(script: impl FnMut(&Request) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        let mut script = script;
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let _ = serve(&stream.unwrap(), &mut script, &seen);
            }
        });
        Self { url, requests }
    }

    pub fn seen(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

fn serve(
    stream: &TcpStream,
    script: &mut impl FnMut(&Request) -> Answer,
    seen: &Mutex<Vec<Request>>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut headers = HashMap::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let Some((name, value)) = header.trim().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let mut body = Vec::new();
    assert!(!headers.contains_key("transfer-encoding"), "the agent sends bodies of known length");
    let len = headers.get("content-length").map_or(0, |len| len.parse().unwrap());
    reader.take(len).read_to_end(&mut body)?;
    let request = Request {
        line: line.trim().trim_end_matches(" HTTP/1.1").to_owned(),
        headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    seen.lock().unwrap().push(request.clone());
    let answer = script(&request);
    let mut out = stream;
    out.write_all(answer.head.as_bytes())?;
    out.write_all(&answer.body[..answer.cut.unwrap_or(answer.body.len())])?;
    stream.shutdown(Shutdown::Both)
}

/// Patience for tests: an unreachable region is given up after seconds.
pub fn hasty() -> Patience {
    Patience {
        limit: Duration::from_secs(5),
        first: Duration::from_millis(1),
        longest: Duration::from_millis(20),
    }
}

/// An installation of `packed`, which unpacks to `raw_size` bytes.
pub fn installation(url: &str, packed: &[u8], raw_size: u64, format: ImageFormat) -> Install {
    Install {
        url: format!("{url}/image"),
        sha256: hex::encode(Sha256::digest(packed)),
        size: packed.len() as u64,
        raw_size,
        format,
        disk: "vda".to_owned(),
        files: Vec::new(),
        then: agent_protocol::AfterInstall::Restart,
    }
}

/// Bytes that don't compress and aren't zero.
pub fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut byte = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8 | 1
    };
    (0..len).map(|_| byte()).collect()
}
