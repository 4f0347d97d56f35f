//! HTTP as firmware does it: GET, follow nothing, no cache.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::RackError;
use crate::error::Doing as _;

/// Scripts are short.
const SCRIPT_LIMIT: u64 = 1 << 20;

/// The body of `url` as text.
pub fn text(url: &str) -> Result<String, RackError> {
    let mut text = String::new();
    open(url)?.take(SCRIPT_LIMIT).read_to_string(&mut text).doing(|| format!("fetching {url}"))?;
    Ok(text)
}

/// SHA-256 (hex) and length of the body of `url`.
pub fn digest(url: &str) -> Result<(String, u64), RackError> {
    copy(url, &mut io::sink())
}

/// Saves the body of `url` in `path`; returns its SHA-256 (hex) and length.
pub fn file(url: &str, path: &Path) -> Result<(String, u64), RackError> {
    let mut file = File::create(path).doing(|| format!("creating {}", path.display()))?;
    copy(url, &mut file)
}

fn copy(url: &str, into: &mut impl Write) -> Result<(String, u64), RackError> {
    let mut body = open(url)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    let mut length = 0;
    loop {
        let read = body.read(&mut buffer).doing(|| format!("fetching {url}"))?;
        let chunk = buffer.get(..read).unwrap_or_default();
        if chunk.is_empty() {
            return Ok((hex::encode(hash.finalize()), length));
        }
        hash.update(chunk);
        length += chunk.len() as u64;
        into.write_all(chunk).doing(|| format!("saving {url}"))?;
    }
}

fn open(url: &str) -> Result<impl Read + use<>, RackError> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_connect(Some(Duration::from_secs(10)))
        .timeout_recv_response(Some(Duration::from_secs(30)))
        .max_redirects(0)
        .proxy(None)
        .user_agent("iPXE/1.0 (Bessemer lab)")
        .build()
        .into();
    let response = agent.get(url).call().map_err(|error| RackError::Firmware(format!("{url}: {error}")))?;
    Ok(response.into_body().into_reader())
}
