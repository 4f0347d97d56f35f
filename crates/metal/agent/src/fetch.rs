//! A file of the region, in pieces: hashed on the way, and continued by a range request where a connection broke.

use std::io::Read as _;

use sha2::{Digest as _, Sha256};

use crate::client::{Backoff, Region, passing};

/// Bytes fetched at once.
const PIECE: usize = 256 * 1024;

/// What is fetched.
#[derive(Debug, Clone, Copy)]
pub struct Remote<'a> {
    /// Where it is.
    pub url: &'a str,
    /// Its length.
    pub size: u64,
}

/// Whether the taker of pieces wants more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// The next one.
    More,
    /// None: it has failed, or has what it wants.
    Enough,
}

/// The server's answer is not the file.
#[derive(Debug, thiserror::Error)]
#[error("{url}: {what}; check the file on the region")]
pub struct FetchError {
    /// Where it is fetched.
    pub url: String,
    /// What is wrong.
    pub what: String,
}

/// Fetches a file piece by piece; answers its SHA-256, any hash where the taker had enough early.
///
/// # Errors
/// [`FetchError`], once repeating is of no use.
pub fn fetch(
    remote: &Remote<'_>,
    region: &Region,
    take: &mut dyn FnMut(Vec<u8>) -> Taken,
) -> Result<String, FetchError> {
    let mut download = Download { remote: *remote, region, hash: Sha256::new(), at: 0 };
    let mut backoff = Backoff::new(region.patience());
    while download.at < remote.size {
        let before = download.at;
        match download.connection(take)? {
            Flow::Done => break,
            Flow::Broken(why) => {
                if download.at > before {
                    backoff = Backoff::new(region.patience());
                }
                let why = format!("it broke off at byte {} of {}: {why}", download.at, remote.size);
                backoff
                    .pause(&format!("{}: {why}", remote.url))
                    .map_err(|waited| download.error(format!("{why}, and nothing came for {waited:.0?}")))?;
            }
        }
    }
    Ok(hex::encode(download.hash.finalize()))
}

struct Download<'a> {
    remote: Remote<'a>,
    region: &'a Region,
    hash: Sha256,
    at: u64,
}

/// How a connection ended.
enum Flow {
    Done,
    Broken(String),
}

impl Download<'_> {
    fn connection(&mut self, take: &mut dyn FnMut(Vec<u8>) -> Taken) -> Result<Flow, FetchError> {
        let size = self.remote.size;
        let answer = match self.region.open(self.remote.url, self.at) {
            Ok(answer) => answer,
            Err(error) => return Ok(Flow::Broken(error.to_string())),
        };
        let status = answer.status();
        if passing(status) {
            return Ok(Flow::Broken(status.to_string()));
        }
        // A server without ranges starts over; what is already here is read again and dropped.
        let mut skip = match status.as_u16() {
            206 => 0,
            200 => self.at,
            _ => return Err(self.error(format!("the server answers {status}"))),
        };
        let start = self.at - skip;
        if let Some(len) = answer.body().content_length().filter(|len| start + len != size) {
            return Err(self.error(format!("the server has {} bytes, {size} were announced", start + len)));
        }
        let mut body = answer.into_body().into_with_config().limit(u64::MAX).reader();
        while self.at < size {
            let mut piece = vec![0; PIECE];
            let len = match body.read(&mut piece) {
                Ok(0) => return Ok(Flow::Broken("the connection ended".to_owned())),
                Ok(len) => len,
                Err(error) => return Ok(Flow::Broken(error.to_string())),
            };
            piece.truncate(len);
            let dropped = skip.min(len as u64);
            skip -= dropped;
            piece.drain(..usize::try_from(dropped).unwrap_or(len));
            piece.truncate(usize::try_from(size - self.at).unwrap_or(usize::MAX));
            self.hash.update(&piece);
            self.at += piece.len() as u64;
            if !piece.is_empty() && take(piece) == Taken::Enough {
                return Ok(Flow::Done);
            }
        }
        Ok(Flow::Done)
    }

    fn error(&self, what: String) -> FetchError {
        FetchError { url: self.remote.url.to_owned(), what }
    }
}
