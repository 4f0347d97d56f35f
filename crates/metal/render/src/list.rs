//! A list of machines as JSON text, written as it is read.

use std::sync::Arc;

use bytes::Bytes;
use model::Machine;
use store::Stored;

use crate::{Embedded, machine};

/// A piece is given away when it is this long.
const PIECE: usize = 64 << 10;
/// More than the longest machine that is usual.
const SLACK: usize = 48 << 10;

/// A list of machines: an iterator of pieces of its JSON text.
#[derive(Debug, Clone)]
pub struct Machines {
    rest: std::vec::IntoIter<Arc<Stored<Machine>>>,
    embedded: Arc<Embedded>,
    at: At,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Start,
    Inside,
    End,
}

impl Machines {
    /// These machines, in this order.
    pub fn new(machines: Vec<Arc<Stored<Machine>>>, embedded: Embedded) -> Self {
        Self { rest: machines.into_iter(), embedded: Arc::new(embedded), at: At::Start }
    }

    fn piece(&mut self) -> serde_json::Result<Vec<u8>> {
        let mut piece = Vec::with_capacity(PIECE + SLACK);
        let mut before = b',';
        if self.at == At::Start {
            self.at = At::Inside;
            before = b'[';
        }
        while piece.len() < PIECE {
            let Some(next) = self.rest.next() else {
                self.at = At::End;
                // Where there is no machine at all, nobody else has opened the list.
                if before == b'[' {
                    piece.push(before);
                }
                piece.push(b']');
                break;
            };
            piece.push(before);
            before = b',';
            serde_json::to_writer(&mut piece, &machine(&next.id, &next.value, &self.embedded))?;
        }
        Ok(piece)
    }
}

impl Iterator for Machines {
    type Item = serde_json::Result<Bytes>;

    fn next(&mut self) -> Option<Self::Item> {
        (self.at != At::End).then(|| self.piece().map(Bytes::from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use serde_json::Value;
    use store::Store;

    #[test]
    fn lists_of_any_length_are_json_in_pieces() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let store = runtime.block_on(Store::in_memory());
        for count in [0, 1, 2, 100] {
            let one = |n: u64| Stored {
                id: format!("{n:06}"),
                value: Machine::new(format!("node-{n}"), Timestamp::UNIX_EPOCH),
                version: 1,
                revision: n,
            };
            let machines = (0..count).map(|n| Arc::new(one(n))).collect();
            let pieces: Vec<Bytes> =
                Machines::new(machines, Embedded::of(&store)).collect::<Result<_, _>>().unwrap();
            assert!(pieces.iter().rev().skip(1).all(|piece| piece.len() >= PIECE));
            let list: Vec<Value> = serde_json::from_slice(&pieces.concat()).unwrap();
            let names: Vec<_> = list.iter().map(|one| one["hostname"].as_str().unwrap()).collect();
            assert_eq!(names, (0..count).map(|n| format!("node-{n}")).collect::<Vec<_>>());
        }
    }
}
