//! Which loader a client gets.

use crate::{config::Subnet, message::Message, options::code};

/// What a client boots.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Loader {
    /// File name by TFTP, or URL.
    pub file: String,
    /// UEFI HTTP boot takes only answers that call themselves `HTTPClient`.
    pub over_http: bool,
}

/// The loader for a client; `None` for an architecture without one.
pub(crate) fn loader(client: &Message, subnet: &Subnet) -> Option<Loader> {
    let by_tftp = |file: &str| Some(Loader { file: file.to_owned(), over_http: false });
    if is_ipxe(client) {
        return Some(Loader { file: format!("{}/ipxe.cfg", subnet.boot_url), over_http: false });
    }
    match client.options.get(code::ARCHITECTURE) {
        // A client may list several architectures; the first is the one it runs now (RFC 4578).
        None | Some([0, 0, ..]) => by_tftp("undionly.kpxe"),
        Some([0, 7 | 9, ..]) => by_tftp("ipxe.efi"),
        Some([0, 16, ..]) => Some(Loader { file: format!("{}/ipxe.efi", subnet.boot_url), over_http: true }),
        Some(_) => None,
    }
}

/// iPXE sends its user class bare; RFC 3004 wants a length before it. Either will do.
fn is_ipxe(client: &Message) -> bool {
    client.options.get(code::IPXE).is_some()
        || matches!(client.options.get(code::USER_CLASS), Some(b"iPXE" | b"\x04iPXE"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Options, reply::tests::request};

    #[test]
    fn by_class_and_architecture() {
        let subnet = Subnet::new("10.0.0.0/24".parse().unwrap(), "10.0.0.1".parse().unwrap());
        let file = |options: &[(u8, &[u8])]| {
            let mut client = request();
            client.options = Options::default();
            for (code, value) in options {
                client.options.set(*code, *value);
            }
            loader(&client, &subnet).map(|l| (l.file, l.over_http))
        };
        let plain = |name: &str| Some((name.to_owned(), false));
        assert_eq!(file(&[(93, &[0, 0])]), plain("undionly.kpxe"));
        assert_eq!(file(&[]), plain("undionly.kpxe"));
        assert_eq!(file(&[(93, &[0, 7])]), plain("ipxe.efi"));
        assert_eq!(file(&[(93, &[0, 9])]), plain("ipxe.efi"));
        assert_eq!(file(&[(93, &[0, 16])]), Some(("http://10.0.0.1:5248/ipxe.efi".to_owned(), true)));
        assert_eq!(file(&[(93, &[0, 11])]), None);
        assert_eq!(file(&[(93, &[0])]), None);
        for class in [b"iPXE".as_slice(), b"\x04iPXE"] {
            assert_eq!(file(&[(93, &[0, 7]), (77, class)]), plain("http://10.0.0.1:5248/ipxe.cfg"));
        }
        assert_eq!(file(&[(93, &[0, 0]), (175, &[])]), plain("http://10.0.0.1:5248/ipxe.cfg"));
    }
}
