//! Nonces of accepted calls.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Mutex, PoisonError},
};

use sha2::{Digest, Sha256};

use crate::OAuthError;

/// Seconds that a timestamp may be old.
pub const WINDOW: i64 = 300;
/// Nonces kept at most: 3,500 calls a second over [`WINDOW`].
const MOST_NONCES: usize = 1 << 20;

/// Nonces of accepted calls, each kept until its timestamp is too old to be accepted again; in memory only, so that
/// reading never writes to a store.
#[derive(Debug, Default)]
pub struct Nonces(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    until: HashMap<[u8; 16], i64>,
    swept: i64,
}

impl Nonces {
    /// Refuses what was seen before.
    pub(crate) fn note(&self, of: (&str, &str, &str), given: i64, now: i64) -> Result<(), OAuthError> {
        let digest = Sha256::digest(format!("{}\0{}\0{}", of.0, of.1, of.2));
        let mut mark = [0; 16];
        mark.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if now >= seen.swept.saturating_add(WINDOW / 5) || seen.until.len() >= MOST_NONCES {
            seen.until.retain(|_, until| *until >= now);
            seen.swept = now;
        }
        let full = seen.until.len() >= MOST_NONCES;
        match seen.until.entry(mark) {
            Entry::Occupied(_) => Err(OAuthError::Replayed(of.2.to_owned())),
            Entry::Vacant(_) if full => Err(OAuthError::Busy),
            Entry::Vacant(free) => {
                free.insert(given.max(now).saturating_add(WINDOW));
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_forgotten_only_when_its_timestamp_is() {
        let nonces = Nonces::default();
        let note = |given, now| nonces.note(("k", "t", "n"), given, now);
        assert_eq!(note(2000, 1000), Ok(()));
        assert!(note(2000, 2000 + WINDOW).is_err());
        assert_eq!(note(2000 + 2 * WINDOW, 2000 + 2 * WINDOW), Ok(()));
    }
}
