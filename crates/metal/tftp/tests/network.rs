//! A client of our own behind a network that loses, doubles and reorders, in simulated time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::time::{Duration, Instant};

use bytes::Bytes;
use proptest::{collection::vec, prelude::*};
use tftp::{Ended, Packet, Request, TRIES, Transfer};

/// What the network does to a packet.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Arrives,
    Lost,
    Doubled,
}

/// A plain client after RFC 1350 and 7440: takes blocks in order, acknowledges at window ends and on gaps.
struct Client {
    block_size: usize,
    window: u64,
    got: Vec<u8>,
    next: u64,
    since_ack: u64,
    finished: bool,
}

impl Client {
    fn receive(&mut self, packet: &Bytes) -> Option<Packet> {
        match Packet::parse(packet).unwrap() {
            Packet::OptionAck(options) => {
                for (name, value) in options {
                    match name.as_str() {
                        "blksize" => self.block_size = value.parse().unwrap(),
                        "windowsize" => self.window = value.parse().unwrap(),
                        _ => {}
                    }
                }
                (self.next == 1).then_some(Packet::Ack(0))
            }
            Packet::Data(block, data) if block == self.next as u16 => {
                self.got.extend_from_slice(&data);
                self.next += 1;
                self.since_ack += 1;
                self.finished |= data.len() < self.block_size;
                (self.finished || self.since_ack >= self.window).then(|| self.ack())
            }
            // The last block again: the acknowledgement was lost.
            Packet::Data(block, _) if block == (self.next - 1) as u16 => {
                (self.since_ack == 0).then(|| self.ack())
            }
            // Older ones again.
            Packet::Data(block, _) if (self.next as u16).wrapping_sub(block) < 1000 => None,
            // A gap.
            Packet::Data(..) => Some(self.ack()),
            other => panic!("{other:?}"),
        }
    }

    fn ack(&mut self) -> Packet {
        self.since_ack = 0;
        Packet::Ack((self.next - 1) as u16)
    }
}

/// Runs a transfer; returns how it ended, what arrived, and how many packets the server sent.
fn run(content: &Bytes, request: &Request, mut fate: impl FnMut() -> Fate) -> (Ended, Vec<u8>, usize) {
    let mut now = Instant::now();
    let mut to_client = Vec::new();
    let mut transfer = Transfer::begin(content.clone(), request, now, &mut to_client);
    let mut client =
        Client { block_size: 512, window: 1, got: Vec::new(), next: 1, since_ack: 0, finished: false };
    let mut count = 0;
    loop {
        let mut to_server = Vec::new();
        for packet in to_client.drain(..) {
            count += 1;
            let copies = match fate() {
                Fate::Arrives => 1,
                Fate::Lost => 0,
                Fate::Doubled => 2,
            };
            for _ in 0..copies {
                to_server.extend(client.receive(&packet));
            }
        }
        for packet in to_server {
            if fate() != Fate::Lost {
                transfer.receive(&packet.encode(), now, &mut to_client);
            }
        }
        if let Some(ended) = transfer.ended() {
            return (ended.clone(), client.got, count);
        }
        if to_client.is_empty() {
            assert!(transfer.deadline() > now, "time goes on");
            now = transfer.deadline();
            transfer.poll(now, &mut to_client);
            // The client is tired of waiting, too.
            if client.next > 1 && fate() != Fate::Lost {
                transfer.receive(&client.ack().encode(), now, &mut to_client);
            }
        }
    }
}

fn request(options: &[(&str, usize)]) -> Request {
    let options = options.iter().map(|(name, value)| ((*name).to_owned(), value.to_string())).collect();
    Request { path: "f".to_owned(), mode: "octet".to_owned(), options }
}

fn content(len: usize) -> Bytes {
    (0..len).map(|n| (n / 251 + n) as u8).collect()
}

proptest! {
    /// Whatever the network does, what the client has is a beginning of the file, and all of it if it says so.
    #[test]
    fn arrives_whole(
        len in 0usize..40_000,
        block_size in 8usize..2000,
        window in 1usize..20,
        fates in vec(prop_oneof![6 => Just(Fate::Arrives), 1 => Just(Fate::Lost), 1 => Just(Fate::Doubled)], 1..200),
    ) {
        let content = content(len);
        let mut at = 0;
        let (ended, got, _) = run(&content, &request(&[("blksize", block_size), ("windowsize", window)]), || {
            at += 1;
            fates[at % fates.len()]
        });
        prop_assert!(content.starts_with(&got));
        match ended {
            Ended::Done => prop_assert_eq!(got.len(), content.len()),
            Ended::GivenUp { acknowledged, blocks } => prop_assert!(acknowledged < blocks),
            Ended::Stopped { .. } => prop_assert!(false, "the client never stops"),
        }
    }

    /// Duplicates do not multiply.
    #[test]
    fn no_sorcerers_apprentice(len in 0usize..100_000, window in 1usize..32) {
        let content = content(len);
        let blocks = len / 512 + 1;
        let (ended, got, sent) = run(&content, &request(&[("windowsize", window)]), || Fate::Doubled);
        prop_assert_eq!(ended, Ended::Done);
        prop_assert_eq!(got.len(), len);
        // Each window may be asked for again once; the option answer and the last block come on top.
        prop_assert!(sent <= 4 * blocks + 2 * window + 4, "{} packets for {} blocks", sent, blocks);
    }

    #[test]
    fn any_bytes_from_the_client(packets in vec(vec(any::<u8>(), 0..20), 0..50), kinds in vec(0u8..7, 50)) {
        let now = Instant::now();
        let mut out = Vec::new();
        let mut transfer = Transfer::begin(content(5000), &request(&[("windowsize", 4)]), now, &mut out);
        for (packet, kind) in packets.into_iter().zip(kinds) {
            let bytes: Vec<u8> = [0, kind].into_iter().chain(packet).collect();
            transfer.receive(&bytes, now, &mut out);
            transfer.poll(now + Duration::from_secs(9), &mut out);
        }
    }
}

#[test]
fn block_numbers_wrap() {
    let content = content(70_000 * 8 + 3);
    let (ended, got, _) = run(&content, &request(&[("blksize", 8), ("windowsize", 60)]), || Fate::Arrives);
    assert_eq!(ended, Ended::Done);
    assert!(got == content);
}

#[test]
fn a_silent_client_is_given_up() {
    let begun = Instant::now();
    let (mut now, mut out) = (begun, Vec::new());
    let mut transfer = Transfer::begin(content(10), &request(&[]), now, &mut out);
    while transfer.ended().is_none() {
        now = transfer.deadline();
        transfer.poll(now, &mut out);
    }
    assert_eq!(transfer.ended(), Some(&Ended::GivenUp { acknowledged: 0, blocks: 1 }));
    assert_eq!(out.len(), TRIES as usize);
    assert!((Duration::from_secs(20)..Duration::from_mins(1)).contains(&(now - begun)), "{:?}", now - begun);
}

#[test]
fn options_are_answered() {
    let mut out = Vec::new();
    let wanted =
        request(&[("tsize", 0), ("blksize", 9000), ("multicast", 1), ("timeout", 3), ("windowsize", 500)]);
    Transfer::begin(content(12345), &wanted, Instant::now(), &mut out);
    let told = [("tsize", "12345"), ("blksize", "1468"), ("timeout", "3"), ("windowsize", "64")];
    let told = told.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    assert_eq!(Packet::parse(&out[0]), Ok(Packet::OptionAck(told)));
}
