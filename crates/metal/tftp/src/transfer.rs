//! One file on its way to one client.

use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};

use crate::packet::{ErrorCode, Packet, Request, Tunables};

/// How often a packet is sent before the client is given up.
pub const TRIES: u32 = 6;
/// Longest pause between two tries, unless the client itself asks for a longer one.
const MAX_PAUSE: Duration = Duration::from_secs(8);

/// How a transfer ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// The client has all of the file.
    #[error("done")]
    Done,
    /// The client wants no more; firmware does so after asking for the size.
    #[error("the client stopped the transfer with error {code}: {text}")]
    Stopped {
        /// The client's error code.
        code: u16,
        /// And text.
        text: String,
    },
    /// The client is silent.
    #[error("the client has not answered {TRIES} times; it got {acknowledged} of {blocks} blocks")]
    GivenUp {
        /// Blocks the client has.
        acknowledged: u64,
        /// Blocks of the file.
        blocks: u64,
    },
}

/// The state of one transfer. Every call may put packets into `out`; send them all, in order.
#[derive(Debug)]
pub struct Transfer {
    content: Bytes,
    tunables: Tunables,
    /// Kept until the client has agreed to the options.
    option_ack: Option<Bytes>,
    /// Blocks the client has, from the beginning.
    acknowledged: u64,
    /// Blocks sent at least once since `acknowledged` last moved.
    sent: u64,
    /// Whether the current window was sent again because the client asked: once is enough, or every duplicate
    /// would double the traffic (the "sorcerer's apprentice").
    rewound: bool,
    tries: u32,
    deadline: Instant,
    ended: Option<Ended>,
}

impl Transfer {
    /// Begins to send `content` as the request wants it.
    pub fn begin(content: Bytes, request: &Request, now: Instant, out: &mut Vec<Bytes>) -> Self {
        let (tunables, told) = Tunables::negotiate(request, content.len());
        let option_ack = (!told.is_empty()).then(|| Packet::OptionAck(told).encode());
        let mut transfer = Self {
            content,
            tunables,
            option_ack,
            acknowledged: 0,
            sent: 0,
            rewound: false,
            tries: 0,
            deadline: now,
            ended: None,
        };
        transfer.send(now, out);
        transfer
    }

    /// How the transfer ended, once it has.
    pub fn ended(&self) -> Option<&Ended> {
        self.ended.as_ref()
    }

    /// When [`Transfer::poll`] has something to do, if nothing comes in.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Takes a packet of the client.
    pub fn receive(&mut self, bytes: &[u8], now: Instant, out: &mut Vec<Bytes>) {
        if self.ended.is_some() {
            return;
        }
        match Packet::parse(bytes) {
            Ok(Packet::Ack(block)) => self.acknowledge(block, now, out),
            Ok(Packet::Error(code, text)) => self.ended = Some(Ended::Stopped { code, text }),
            Ok(Packet::Read(_) | Packet::Write | Packet::Data(..) | Packet::OptionAck(_)) => {
                out.push(ErrorCode::Illegal.packet("a transfer is under way here"));
                self.ended = Some(Ended::Stopped { code: 4, text: "unexpected packet".to_owned() });
            }
            // Noise; if it was an acknowledgement the client will repeat it.
            Err(_) => {}
        }
    }

    /// Sends again what was not acknowledged in time.
    pub fn poll(&mut self, now: Instant, out: &mut Vec<Bytes>) {
        if self.ended.is_some() || now < self.deadline {
            return;
        }
        if self.tries >= TRIES {
            let (acknowledged, blocks) = (self.acknowledged, self.blocks());
            self.ended = Some(Ended::GivenUp { acknowledged, blocks });
            return;
        }
        self.sent = self.acknowledged;
        self.send(now, out);
    }

    fn acknowledge(&mut self, block: u16, now: Instant, out: &mut Vec<Bytes>) {
        if self.option_ack.is_some() {
            if block == 0 {
                self.option_ack = None;
                self.tries = 0;
                self.send(now, out);
            }
            return;
        }
        // The window is far smaller than 65536, so the low 16 bits name one block.
        let ahead = u64::from(block.wrapping_sub(self.acknowledged as u16));
        if ahead > self.sent - self.acknowledged {
            return;
        }
        if ahead == 0 {
            // RFC 7440: the first block of the window is lost. With windows of one it is only a duplicate.
            if self.tunables.window > 1 && self.sent > self.acknowledged && !self.rewound {
                self.rewound = true;
                self.sent = self.acknowledged;
                self.send(now, out);
            }
            return;
        }
        self.acknowledged += ahead;
        // What followed the acknowledged block is lost, or was dropped by the client: it goes out again.
        self.sent = self.acknowledged;
        self.rewound = false;
        self.tries = 0;
        if self.acknowledged == self.blocks() {
            self.ended = Some(Ended::Done);
        } else {
            self.send(now, out);
        }
    }

    /// Sends the rest of the window and sets the deadline.
    fn send(&mut self, now: Instant, out: &mut Vec<Bytes>) {
        let pause = self.tunables.timeout.saturating_mul(1 << self.tries.min(TRIES));
        self.deadline = now + pause.min(MAX_PAUSE.max(self.tunables.timeout));
        self.tries += 1;
        if let Some(option_ack) = &self.option_ack {
            out.push(option_ack.clone());
            return;
        }
        let end = self.blocks().min(self.acknowledged + u64::from(self.tunables.window));
        while self.sent < end {
            self.sent += 1;
            out.push(self.block(self.sent));
        }
    }

    fn block(&self, number: u64) -> Bytes {
        let size = usize::from(self.tunables.block_size);
        let start =
            usize::try_from(number - 1).unwrap_or(usize::MAX).saturating_mul(size).min(self.content.len());
        let data = self.content.slice(start..self.content.len().min(start + size));
        let mut packet = BytesMut::with_capacity(4 + data.len());
        packet.put_u16(3);
        packet.put_u16(number as u16);
        packet.put_slice(&data);
        packet.freeze()
    }

    /// The last block is short, if need be empty.
    fn blocks(&self) -> u64 {
        (self.content.len() / usize::from(self.tunables.block_size)) as u64 + 1
    }
}
