//! The message format of RFC 2131, section 2.

use std::net::Ipv4Addr;

use crate::{
    mac::Mac,
    options::{Options, code},
};

const MAGIC: [u8; 4] = [99, 130, 83, 99];
const ETHERNET: u8 = 1;
const BROADCAST: u16 = 0x8000;
/// Bytes up to the options.
pub(crate) const FIXED_LEN: usize = 240;
/// BOOTP's size; some clients drop anything shorter.
const MIN_LEN: usize = 300;

/// A DHCP message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Direction.
    pub op: Op,
    /// Relays passed so far.
    pub hops: u8,
    /// The client's transaction.
    pub xid: u32,
    /// Seconds since the client began.
    pub secs: u16,
    /// Raw flags; see [`Message::wants_broadcast`].
    pub flags: u16,
    /// The address the client has and can answer for.
    pub ciaddr: Ipv4Addr,
    /// The address the client is given.
    pub yiaddr: Ipv4Addr,
    /// The server to boot from.
    pub siaddr: Ipv4Addr,
    /// The relay, on the client's side.
    pub giaddr: Ipv4Addr,
    /// The client's Ethernet address.
    pub mac: Mac,
    /// Server name, at most 64 bytes, no NUL.
    pub sname: Vec<u8>,
    /// Boot file, at most 128 bytes, no NUL.
    pub file: Vec<u8>,
    /// The options.
    pub options: Options,
}

/// Direction of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// From a client.
    Request,
    /// From a server.
    Reply,
}

/// What a message says (option 53).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageType {
    /// A client looks for servers.
    Discover = 1,
    /// A server has an address for it.
    Offer,
    /// The client takes an offer, or confirms or extends what it has.
    Request,
    /// The client found its address in use.
    Decline,
    /// The server grants.
    Ack,
    /// The server refuses: the client must start again.
    Nak,
    /// The client gives its address back.
    Release,
    /// The client has an address and wants only the options.
    Inform,
}

/// Why bytes are not a DHCP message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Shorter than the fixed part.
    #[error("{0} bytes are too short for a DHCP message")]
    Short(usize),
    /// Neither request nor reply.
    #[error("operation {0} is neither request nor reply")]
    Op(u8),
    /// Not Ethernet.
    #[error("hardware type {0} with {1}-byte addresses is not Ethernet")]
    Hardware(u8, u8),
    /// Not DHCP but plain BOOTP, or something else.
    #[error("the magic cookie of DHCP is missing")]
    Magic,
    /// An option runs over the end of its field.
    #[error("an option runs over the end of the message")]
    Truncated,
}

impl Message {
    /// Reads a message; any bytes are safe.
    ///
    /// # Errors
    /// [`ParseError`] says why the bytes are not a DHCP message over Ethernet.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        let short = ParseError::Short(bytes.len());
        let mut rest = bytes;
        let [op, htype, hlen, hops] = take(&mut rest).ok_or(short)?;
        let op = match op {
            1 => Op::Request,
            2 => Op::Reply,
            other => return Err(ParseError::Op(other)),
        };
        if (htype, hlen) != (ETHERNET, 6) {
            return Err(ParseError::Hardware(htype, hlen));
        }
        let xid = u32::from_be_bytes(take(&mut rest).ok_or(short)?);
        let secs = u16::from_be_bytes(take(&mut rest).ok_or(short)?);
        let flags = u16::from_be_bytes(take(&mut rest).ok_or(short)?);
        let mut address = || take::<4>(&mut rest).map(Ipv4Addr::from).ok_or(short);
        let (ciaddr, yiaddr, siaddr, giaddr) = (address()?, address()?, address()?, address()?);
        let mac = Mac(take(&mut rest).ok_or(short)?);
        take::<10>(&mut rest).ok_or(short)?; // the rest of `chaddr`
        let sname = take::<64>(&mut rest).ok_or(short)?;
        let file = take::<128>(&mut rest).ok_or(short)?;
        if take(&mut rest).ok_or(short)? != MAGIC {
            return Err(ParseError::Magic);
        }
        let mut options = Options::default();
        options.read(rest).ok_or(ParseError::Truncated)?;
        // RFC 3396: the options field first, then `file`, then `sname`.
        let overload = options.take(code::OVERLOAD).and_then(|v| v.first().copied()).unwrap_or(0);
        let (in_file, in_sname) = (overload & 1 != 0, overload & 2 != 0);
        if in_file {
            options.read(&file).ok_or(ParseError::Truncated)?;
        }
        if in_sname {
            options.read(&sname).ok_or(ParseError::Truncated)?;
        }
        let _ = options.take(code::OVERLOAD);
        Ok(Self {
            op,
            hops,
            xid,
            secs,
            flags,
            ciaddr,
            yiaddr,
            siaddr,
            giaddr,
            mac,
            sname: if in_sname { Vec::new() } else { text(&sname) },
            file: if in_file { Vec::new() } else { text(&file) },
            options,
        })
    }

    /// The message as bytes, padded to 300. Names that do not fit their field are cut.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(MIN_LEN.max(FIXED_LEN + self.options.encoded_len() + 1));
        out.extend_from_slice(&[if self.op == Op::Request { 1 } else { 2 }, ETHERNET, 6, self.hops]);
        out.extend_from_slice(&self.xid.to_be_bytes());
        out.extend_from_slice(&self.secs.to_be_bytes());
        out.extend_from_slice(&self.flags.to_be_bytes());
        for address in [self.ciaddr, self.yiaddr, self.siaddr, self.giaddr] {
            out.extend_from_slice(&address.octets());
        }
        field(&mut out, &self.mac.0, 16);
        field(&mut out, &self.sname, 64);
        field(&mut out, &self.file, 128);
        out.extend_from_slice(&MAGIC);
        self.options.write(&mut out);
        out.push(code::END);
        if out.len() < MIN_LEN {
            out.resize(MIN_LEN, 0);
        }
        out
    }

    /// What the message says; `None` for plain BOOTP.
    pub fn kind(&self) -> Option<MessageType> {
        use MessageType as T;
        Some(match self.options.get(code::MESSAGE_TYPE)? {
            [1] => T::Discover,
            [2] => T::Offer,
            [3] => T::Request,
            [4] => T::Decline,
            [5] => T::Ack,
            [6] => T::Nak,
            [7] => T::Release,
            [8] => T::Inform,
            _ => return None,
        })
    }

    /// Whether the client cannot take unicast before it has its address.
    pub fn wants_broadcast(&self) -> bool {
        self.flags & BROADCAST != 0
    }

    pub(crate) fn ask_for_broadcast(&mut self) {
        self.flags |= BROADCAST;
    }

    /// An option that holds one address.
    pub fn address(&self, code: u8) -> Option<Ipv4Addr> {
        <[u8; 4]>::try_from(self.options.get(code)?).ok().map(Ipv4Addr::from)
    }

    /// Whether the vendor class (option 60) begins with `prefix`.
    pub fn vendor_is(&self, prefix: &str) -> bool {
        self.options.get(code::VENDOR_CLASS).is_some_and(|class| class.starts_with(prefix.as_bytes()))
    }

    /// The host name the client gives itself, if it is one.
    pub fn host_name(&self) -> Option<String> {
        let name = std::str::from_utf8(self.options.get(code::HOST_NAME)?).ok()?.trim_end_matches('\0');
        let fits = (1..=255).contains(&name.len())
            && name.split('.').all(|label| (1..=63).contains(&label.len()))
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.');
        fits.then(|| name.to_owned())
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(*head)
}

fn text(field: &[u8]) -> Vec<u8> {
    field.iter().copied().take_while(|byte| *byte != 0).collect()
}

fn field(out: &mut Vec<u8>, value: &[u8], size: usize) {
    let end = out.len() + size;
    out.extend(value.iter().take(size));
    out.resize(end, 0);
}
