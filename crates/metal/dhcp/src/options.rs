//! Options of a message (RFC 2132), with long ones split and joined as RFC 3396 says.

/// Option numbers that this server reads or writes.
pub mod code {
    #![allow(missing_docs)] // The names are those of RFC 2132 and its successors.
    pub const SUBNET_MASK: u8 = 1;
    pub const ROUTER: u8 = 3;
    pub const DNS_SERVER: u8 = 6;
    pub const HOST_NAME: u8 = 12;
    pub const DOMAIN_NAME: u8 = 15;
    pub const INTERFACE_MTU: u8 = 26;
    pub const BROADCAST_ADDRESS: u8 = 28;
    pub const NTP_SERVER: u8 = 42;
    pub const REQUESTED_ADDRESS: u8 = 50;
    pub const LEASE_TIME: u8 = 51;
    pub const OVERLOAD: u8 = 52;
    pub const MESSAGE_TYPE: u8 = 53;
    pub const SERVER_ID: u8 = 54;
    pub const TEXT: u8 = 56;
    pub const MAX_MESSAGE_SIZE: u8 = 57;
    pub const RENEWAL_TIME: u8 = 58;
    pub const REBINDING_TIME: u8 = 59;
    pub const VENDOR_CLASS: u8 = 60;
    pub const CLIENT_ID: u8 = 61;
    pub const TFTP_SERVER_NAME: u8 = 66;
    pub const BOOT_FILE: u8 = 67;
    pub const USER_CLASS: u8 = 77;
    pub const RELAY_AGENT: u8 = 82;
    pub const ARCHITECTURE: u8 = 93;
    pub const DOMAIN_SEARCH: u8 = 119;
    pub const IPXE: u8 = 175;
    pub const END: u8 = 255;
}

/// Options in the order of their first appearance, each number once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options(Vec<(u8, Vec<u8>)>);

impl Options {
    /// The value of an option.
    pub fn get(&self, code: u8) -> Option<&[u8]> {
        self.0.iter().find(|(have, _)| *have == code).map(|(_, value)| value.as_slice())
    }

    /// Sets an option, in its old place if it had one. Pad (0) and End (255) carry no value and are not kept.
    pub fn set(&mut self, code: u8, value: impl Into<Vec<u8>>) {
        if matches!(code, 0 | code::END) {
            return;
        }
        let value = value.into();
        match self.0.iter_mut().find(|(have, _)| *have == code) {
            Some((_, old)) => *old = value,
            None => self.0.push((code, value)),
        }
    }

    /// Removes the option that was added last.
    pub(crate) fn pop(&mut self) -> Option<(u8, Vec<u8>)> {
        self.0.pop()
    }

    pub(crate) fn take(&mut self, code: u8) -> Option<Vec<u8>> {
        let at = self.0.iter().position(|(have, _)| *have == code)?;
        Some(self.0.remove(at).1)
    }

    /// All options.
    pub fn iter(&self) -> impl Iterator<Item = (u8, &[u8])> {
        self.0.iter().map(|(code, value)| (*code, value.as_slice()))
    }

    /// Reads one options field, joining what is split. `None` if an option is cut off.
    pub(crate) fn read(&mut self, mut field: &[u8]) -> Option<()> {
        while let Some((&code, rest)) = field.split_first() {
            field = rest;
            match code {
                0 => continue,
                code::END => break,
                _ => {}
            }
            let (&len, rest) = field.split_first()?;
            let (value, rest) = rest.split_at_checked(usize::from(len))?;
            field = rest;
            match self.0.iter_mut().find(|(have, _)| *have == code) {
                Some((_, old)) => old.extend_from_slice(value),
                None => self.0.push((code, value.to_vec())),
            }
        }
        Some(())
    }

    /// Appends all options, without End.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        for (code, value) in &self.0 {
            let mut part = |bytes: &[u8]| {
                out.extend_from_slice(&[*code, u8::try_from(bytes.len()).unwrap_or(u8::MAX)]);
                out.extend_from_slice(bytes);
            };
            if value.is_empty() {
                part(&[]);
            }
            value.chunks(255).for_each(part);
        }
    }

    pub(crate) fn encoded_len(&self) -> usize {
        self.0.iter().map(|(_, value)| value.len() + 2 * value.len().div_ceil(255).max(1)).sum()
    }
}
