//! The wire format: what is written can be read, and no bytes do harm.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::{collections::HashMap, fs, net::Ipv4Addr};

use dhcp::{Config, Host, Leases, Mac, Message, Op, Options, ParseError, Range, Subnet, code, decide, reply};
use jiff::Timestamp;
use proptest::{collection::vec, prelude::*};

fn text(most: usize) -> impl Strategy<Value = Vec<u8>> {
    vec(1u8..=255, 0..=most)
}

prop_compose! {
    fn options()(pairs in vec((1u8..=254, vec(any::<u8>(), 0..600)), 0..12)) -> Options {
        let mut options = Options::default();
        for (code, value) in pairs {
            if code != code::OVERLOAD {
                options.set(code, value);
            }
        }
        options
    }
}

prop_compose! {
    fn message()(
        op in prop_oneof![Just(Op::Request), Just(Op::Reply)],
        (hops, xid, secs, flags) in any::<(u8, u32, u16, u16)>(),
        (ciaddr, yiaddr, siaddr, giaddr) in any::<(Ipv4Addr, Ipv4Addr, Ipv4Addr, Ipv4Addr)>(),
        mac in any::<[u8; 6]>(),
        sname in text(64),
        file in text(128),
        options in options(),
    ) -> Message {
        let mac = Mac(mac);
        Message { op, hops, xid, secs, flags, ciaddr, yiaddr, siaddr, giaddr, mac, sname, file, options }
    }
}

/// Everything the server does with a packet.
fn serve(bytes: &[u8]) -> Result<(), ParseError> {
    let message = Message::parse(bytes)?;
    assert_eq!(Message::parse(&message.encode()).as_ref(), Ok(&message), "what was read can be written");
    let mut subnet = Subnet::new("10.0.0.0/24".parse().unwrap(), "10.0.0.1".parse().unwrap());
    subnet.range = Some(Range { first: [10, 0, 0, 100].into(), last: [10, 0, 0, 200].into() });
    let config = Config::new(vec![subnet]);
    let hosts = HashMap::<Mac, Host>::new();
    let decision = decide(&message, &config, &hosts, &Leases::default(), Timestamp::UNIX_EPOCH);
    if let Some(answer) = reply(&message, &decision, &config, &[]) {
        assert_eq!(Message::parse(&answer.encode()), Ok(answer));
    }
    Ok(())
}

proptest! {
    #[test]
    fn roundtrip(message in message()) {
        prop_assert_eq!(Message::parse(&message.encode()), Ok(message));
    }

    #[test]
    fn any_bytes(bytes in vec(any::<u8>(), 0..1000)) {
        let _ = serve(&bytes);
    }

    /// Bytes that get past the fixed part.
    #[test]
    fn any_options(head in message(), kind in 0u8..10, tail in vec(any::<u8>(), 0..600)) {
        let mut head = head;
        head.op = Op::Request;
        head.options = Options::default();
        let mut bytes = head.encode();
        bytes.truncate(240);
        bytes.extend([53, 1, kind]);
        bytes.extend(tail);
        let _ = serve(&bytes);
    }

    #[test]
    fn cut_anywhere(message in message(), at in any::<prop::sample::Index>()) {
        let bytes = message.encode();
        let _ = serve(&bytes[..at.index(bytes.len())]);
    }
}

#[test]
fn overloaded_fields_are_options() {
    let mut message = Message::parse(&fs::read("tests/corpus/overload-all").unwrap()).unwrap();
    assert_eq!(message.options.get(60), Some(b"PXEClient".as_slice()), "split over three fields");
    assert_eq!(message.options.get(code::OVERLOAD), None);
    assert!(message.file.is_empty() && message.sname.is_empty());
    message.options.set(1, []);
    assert_eq!(Message::parse(&message.encode()), Ok(message));
}

/// Malformed packets, each named for what is wrong with it.
#[test]
fn corpus() {
    let verdict = |name: &str| serve(&fs::read(format!("tests/corpus/{name}")).unwrap());
    assert_eq!(verdict("empty"), Err(ParseError::Short(0)));
    assert_eq!(verdict("header-cut"), Err(ParseError::Short(100)));
    assert_eq!(verdict("magic-cut"), Err(ParseError::Short(239)));
    assert_eq!(verdict("magic-wrong"), Err(ParseError::Magic));
    assert_eq!(verdict("bootp-op-3"), Err(ParseError::Op(3)));
    assert_eq!(verdict("hlen-16"), Err(ParseError::Hardware(1, 16)));
    assert_eq!(verdict("infiniband"), Err(ParseError::Hardware(32, 0)));
    assert_eq!(verdict("option-without-length"), Err(ParseError::Truncated));
    assert_eq!(verdict("option-too-long"), Err(ParseError::Truncated));
    assert_eq!(verdict("overload-file-cut"), Err(ParseError::Truncated));
    let fine = [
        "no-options",
        "no-end",
        "bytes-after-end",
        "type-twice",
        "type-empty",
        "arch-one-byte",
        "arch-empty",
        "requested-three-bytes",
        "max-size-zero",
        "overload-all",
        "relay-empty",
        "hostname-not-utf8",
    ];
    for name in fine {
        assert_eq!(verdict(name), Ok(()), "{name}");
    }
}
