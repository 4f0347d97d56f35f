//! Packets of RFC 1350, and the options of RFC 2347-2349 and 7440.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};

/// Largest block this server sends: an Ethernet frame without IP, UDP and TFTP headers.
pub const MAX_BLOCK_SIZE: u16 = 1468;
/// Largest window this server grants, in blocks.
pub const MAX_WINDOW: u16 = 64;

/// A packet, as far as a server of files reads or writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet {
    /// A client wants a file.
    Read(Request),
    /// A client wants to write a file.
    Write,
    /// A block of the file, counted from 1 and wrapping to 0.
    Data(u16, Bytes),
    /// Everything up to this block has arrived.
    Ack(u16),
    /// The transfer is over.
    Error(u16, String),
    /// The options as the server grants them.
    OptionAck(Vec<(String, String)>),
}

/// What a client asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// The file name as sent.
    pub path: String,
    /// `octet`, `netascii` or something else, in lower case.
    pub mode: String,
    /// Options, names in lower case, in the order they were sent.
    pub options: Vec<(String, String)>,
}

/// Error codes of RFC 1350 and 2347 that this server sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorCode {
    /// See the text.
    Undefined = 0,
    /// There is no such file.
    NotFound = 1,
    /// Not allowed.
    AccessViolation = 2,
    /// The packet makes no sense here.
    Illegal = 4,
}

impl ErrorCode {
    /// The packet that says so.
    pub fn packet(self, text: &str) -> Bytes {
        Packet::Error(self as u16, text.to_owned()).encode()
    }
}

/// Why bytes are not a TFTP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Too short for its kind, or a text without an end.
    #[error("the packet is cut off")]
    Truncated,
    /// Not one of RFC 1350's.
    #[error("{0} is no TFTP operation")]
    Operation(u16),
    /// File names and options are ASCII; UTF-8 is taken as well.
    #[error("a text of the packet is not UTF-8")]
    Text,
}

impl Packet {
    /// Reads a packet; any bytes are safe.
    ///
    /// # Errors
    /// [`ParseError`] says why the bytes are no packet.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        let (operation, mut rest) = number(bytes)?;
        Ok(match operation {
            1 => {
                let path = text(&mut rest)?;
                let mode = text(&mut rest)?.to_ascii_lowercase();
                Self::Read(Request { path, mode, options: options(rest)? })
            }
            2 => Self::Write,
            3 => {
                let (block, data) = number(rest)?;
                Self::Data(block, Bytes::copy_from_slice(data))
            }
            4 => Self::Ack(number(rest)?.0),
            5 => {
                let (code, text) = number(rest)?;
                let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
                Self::Error(code, String::from_utf8_lossy(text).into_owned())
            }
            6 => Self::OptionAck(options(rest)?),
            other => return Err(ParseError::Operation(other)),
        })
    }

    /// The packet as bytes.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        match self {
            Self::Read(request) => {
                out.put_u16(1);
                put_text(&mut out, &request.path);
                put_text(&mut out, &request.mode);
                put_options(&mut out, &request.options);
            }
            Self::Write => out.put_slice(b"\0\x02\0octet\0"),
            Self::Data(block, data) => {
                out.reserve(4 + data.len());
                out.put_u16(3);
                out.put_u16(*block);
                out.put_slice(data);
            }
            Self::Ack(block) => {
                out.put_u16(4);
                out.put_u16(*block);
            }
            Self::Error(code, message) => {
                out.put_u16(5);
                out.put_u16(*code);
                put_text(&mut out, message);
            }
            Self::OptionAck(options) => {
                out.put_u16(6);
                put_options(&mut out, options);
            }
        }
        out.freeze()
    }
}

impl Request {
    /// The path below the root, without empty and `.` components; `None` if it leads out of it. Firmware sends
    /// backslashes and leading slashes.
    pub fn clean_path(&self) -> Option<String> {
        let parts = self.path.split(['/', '\\']).filter(|part| !matches!(*part, "" | "."));
        let clean: Vec<_> = parts.collect();
        let inside = !clean.is_empty() && !clean.contains(&"..") && !self.path.chars().any(char::is_control);
        inside.then(|| clean.join("/"))
    }
}

/// What client and server agree on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tunables {
    /// Bytes in a block.
    pub block_size: u16,
    /// Blocks in flight.
    pub window: u16,
    /// Silence before a packet is sent again for the first time.
    pub timeout: Duration,
}

impl Tunables {
    /// What is granted of a request's options for a file of `size` bytes, and what the client is told. Options that
    /// are unknown or make no sense are left out, as RFC 2347 says.
    pub(crate) fn negotiate(request: &Request, size: usize) -> (Self, Vec<(String, String)>) {
        let mut granted = Self { block_size: 512, window: 1, timeout: Duration::from_secs(1) };
        let mut told: Vec<(String, String)> = Vec::new();
        for (name, value) in &request.options {
            if told.iter().any(|(have, _)| have == name) {
                continue;
            }
            let Ok(number) = value.parse::<u64>() else { continue };
            let answer = match (name.as_str(), u16::try_from(number)) {
                ("blksize", Ok(size @ 8..=65464)) => {
                    granted.block_size = size.min(MAX_BLOCK_SIZE);
                    granted.block_size.to_string()
                }
                ("windowsize", Ok(window @ 1..)) => {
                    granted.window = window.min(MAX_WINDOW);
                    granted.window.to_string()
                }
                ("timeout", Ok(seconds @ 1..=255)) => {
                    granted.timeout = Duration::from_secs(seconds.into());
                    value.clone()
                }
                ("tsize", _) => size.to_string(),
                _ => continue,
            };
            told.push((name.clone(), answer));
        }
        (granted, told)
    }
}

fn number(bytes: &[u8]) -> Result<(u16, &[u8]), ParseError> {
    let (number, rest) = bytes.split_first_chunk::<2>().ok_or(ParseError::Truncated)?;
    Ok((u16::from_be_bytes(*number), rest))
}

fn text(rest: &mut &[u8]) -> Result<String, ParseError> {
    let end = rest.iter().position(|byte| *byte == 0).ok_or(ParseError::Truncated)?;
    let (text, tail) = rest.split_at_checked(end).ok_or(ParseError::Truncated)?;
    *rest = tail.get(1..).unwrap_or_default();
    std::str::from_utf8(text).map(str::to_owned).map_err(|_| ParseError::Text)
}

/// Pairs up to the end; some firmware pads the packet with NUL bytes, which are an empty name.
fn options(mut rest: &[u8]) -> Result<Vec<(String, String)>, ParseError> {
    let mut pairs = Vec::new();
    while rest.first().is_some_and(|byte| *byte != 0) {
        let name = text(&mut rest)?.to_ascii_lowercase();
        pairs.push((name, text(&mut rest)?));
    }
    Ok(pairs)
}

fn put_text(out: &mut BytesMut, text: &str) {
    out.put_slice(text.as_bytes());
    out.put_u8(0);
}

fn put_options(out: &mut BytesMut, options: &[(String, String)]) {
    for (name, value) in options {
        put_text(out, name);
        put_text(out, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};

    proptest! {
        #[test]
        fn any_bytes(bytes in vec(any::<u8>(), 0..600), operation in 0u8..8) {
            let _ = Packet::parse(&bytes);
            let with_head: Vec<u8> = [0, operation].into_iter().chain(bytes).collect();
            if let Ok(packet) = Packet::parse(&with_head) {
                prop_assert_eq!(Packet::parse(&packet.encode()), Ok(packet));
            }
        }

        /// What is granted is never more than asked for or allowed.
        #[test]
        fn grants(options in vec(("(blksize|windowsize|timeout|tsize|x)", "[0-9]{0,6}|-1"), 0..6)) {
            let request = Request { options: options.clone(), ..Request::default() };
            let (granted, told) = Tunables::negotiate(&request, 7);
            prop_assert!((8..=MAX_BLOCK_SIZE).contains(&granted.block_size));
            prop_assert!((1..=MAX_WINDOW).contains(&granted.window));
            prop_assert!(told.iter().all(|(name, _)| options.iter().any(|(asked, _)| asked == name)));
        }
    }

    #[test]
    fn paths() {
        let clean = |path: &str| Request { path: path.to_owned(), ..Request::default() }.clean_path();
        assert_eq!(clean("/ipxe.efi").as_deref(), Some("ipxe.efi"));
        assert_eq!(clean("\\boot//./x").as_deref(), Some("boot/x"));
        for wrong in ["", "/", "..", "/../etc/passwd", "a/../../b", "a\\..\\b", "a\nb"] {
            assert_eq!(clean(wrong), None, "{wrong:?}");
        }
    }
}
