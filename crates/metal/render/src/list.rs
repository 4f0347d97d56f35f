//! A list of machines as JSON text, written as it is read.

use std::{
    mem,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use model::Machine;
use serde_json::Value;
use store::Stored;

use crate::{Embedded, machine};

/// A piece is given away when it is this long.
const PIECE: usize = 64 << 10;
/// More than the longest machine that is usual.
const SLACK: usize = 48 << 10;

/// A list of machines: an iterator of pieces of its JSON text.
///
/// Pieces that have been sent are written anew: memory that goes back to the system has to be cleared and mapped
/// again, which took a third of a list's time. So a list has as many buffers as pieces are under way at once.
#[derive(Debug, Clone)]
pub struct Machines {
    rest: std::vec::IntoIter<Arc<Stored<Machine>>>,
    others: std::vec::IntoIter<Value>,
    embedded: Arc<Embedded>,
    at: At,
    spare: Spare,
}

/// Buffers of pieces that have been sent.
type Spare = Arc<Mutex<Vec<Vec<u8>>>>;

/// A piece under way; its buffer comes back once it has been sent.
struct Piece {
    text: Vec<u8>,
    spare: Spare,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.text
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let mut text = mem::take(&mut self.text);
        text.clear();
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).push(text);
    }
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
        Self {
            rest: machines.into_iter(),
            others: Vec::new().into_iter(),
            embedded: Arc::new(embedded),
            at: At::Start,
            spare: Spare::default(),
        }
    }

    /// With other nodes after the machines.
    #[must_use]
    pub fn and(self, others: Vec<Value>) -> Self {
        Self { others: others.into_iter(), ..self }
    }

    fn piece(&mut self) -> serde_json::Result<Piece> {
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let text = spare.unwrap_or_else(|| Vec::with_capacity(PIECE + SLACK));
        let mut piece = Piece { text, spare: Arc::clone(&self.spare) };
        self.write(&mut piece.text)?;
        Ok(piece)
    }

    fn write(&mut self, piece: &mut Vec<u8>) -> serde_json::Result<()> {
        let mut before = b',';
        if self.at == At::Start {
            self.at = At::Inside;
            before = b'[';
        }
        while piece.len() < PIECE {
            if let Some(next) = self.rest.next() {
                piece.push(before);
                machine(piece, &next.id, &next.value, &self.embedded)?;
            } else if let Some(other) = self.others.next() {
                piece.push(before);
                serde_json::to_writer(&mut *piece, &other)?;
            } else {
                self.at = At::End;
                // Where there is no machine at all, nobody else has opened the list.
                if before == b'[' {
                    piece.push(before);
                }
                piece.push(b']');
                break;
            }
            before = b',';
        }
        Ok(())
    }
}

impl Iterator for Machines {
    type Item = serde_json::Result<Bytes>;

    fn next(&mut self) -> Option<Self::Item> {
        (self.at != At::End).then(|| self.piece().map(Bytes::from_owner))
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

    #[test]
    fn a_list_has_no_more_buffers_than_pieces_under_way() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let store = runtime.block_on(Store::in_memory());
        let one = Arc::new(Stored {
            id: "abc346".to_owned(),
            value: Machine::new("node".to_owned(), Timestamp::UNIX_EPOCH),
            version: 1,
            revision: 1,
        });
        let mut list = Machines::new(vec![one; 1000], Embedded::of(&store));
        let mut sent = 0;
        loop {
            let under_way: Vec<Bytes> = list.by_ref().take(3).map(Result::unwrap).collect();
            assert!(list.spare.lock().unwrap().is_empty() || under_way.len() < 3);
            if under_way.is_empty() {
                break;
            }
            sent += under_way.len();
        }
        assert!(sent > 20, "{sent} pieces are too few to show anything");
        assert_eq!(list.spare.lock().unwrap().len(), 3);
    }
}
