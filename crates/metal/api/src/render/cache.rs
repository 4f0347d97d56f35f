//! Machines as JSON text, kept until they or what they embed change.
//!
//! Listing machines is what clients do most (some find one machine by listing all), so a list is a
//! concatenation of kept texts; only what changed is rendered again.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use model::Machine;
use store::{Store, Stored};

use super::{
    embedded::{Embedded, Fingerprint},
    machine,
};

/// Machines rendered between two chances for other tasks to run.
const STRIDE: usize = 32;

/// Rendered machines.
#[derive(Debug, Default)]
pub struct MachineCache(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    fingerprint: Fingerprint,
    embedded: Option<Arc<Embedded>>,
    /// Version, and a comma with the JSON behind it.
    texts: HashMap<String, (u64, Bytes)>,
}

impl MachineCache {
    /// What machines embed, as it is now.
    pub fn embedded(&self, store: &Store) -> Arc<Embedded> {
        self.current(store).1
    }

    /// The JSON list of `machines`, in pieces; `of` says how many machines there are in all.
    pub async fn list(&self, store: &Store, machines: &[Arc<Stored<Machine>>], of: usize) -> Vec<Bytes> {
        let (fingerprint, embedded) = self.current(store);
        let mut pieces: Vec<Option<Bytes>> = {
            let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            machines
                .iter()
                .map(|one| {
                    let (version, text) = kept.texts.get(&one.id)?;
                    (*version == one.version && kept.fingerprint == fingerprint).then(|| text.clone())
                })
                .collect()
        };
        let mut fresh = Vec::new();
        for (n, (one, piece)) in
            machines.iter().zip(&mut pieces).filter(|(_, piece)| piece.is_none()).enumerate()
        {
            if n % STRIDE == STRIDE - 1 {
                tokio::task::yield_now().await;
            }
            let text = Bytes::from(format!(",{}", machine::machine(&one.id, &one.value, &embedded)));
            fresh.push((one.id.clone(), (one.version, text.clone())));
            *piece = Some(text);
        }
        self.keep(fingerprint, fresh, of);
        let mut whole = vec![Bytes::from_static(b"[")];
        // The first machine goes without its comma.
        whole.extend(
            pieces
                .into_iter()
                .flatten()
                .enumerate()
                .map(|(n, text)| if n == 0 { text.slice(1..) } else { text }),
        );
        whole.push(Bytes::from_static(b"]"));
        whole
    }

    fn current(&self, store: &Store) -> (Fingerprint, Arc<Embedded>) {
        let fingerprint = Fingerprint::of(store);
        {
            let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if let (true, Some(embedded)) = (kept.fingerprint == fingerprint, &kept.embedded) {
                return (fingerprint, Arc::clone(embedded));
            }
        }
        let embedded = Arc::new(Embedded::of(store));
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // If the store changed since the fingerprint was taken, the next look finds another and renders again.
        *kept = Kept { fingerprint, embedded: Some(Arc::clone(&embedded)), texts: HashMap::new() };
        (fingerprint, embedded)
    }

    fn keep(&self, fingerprint: Fingerprint, fresh: Vec<(String, (u64, Bytes))>, of: usize) {
        if fresh.is_empty() {
            return;
        }
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.fingerprint == fingerprint {
            kept.texts.extend(fresh);
            if kept.texts.len() > 2 * of.max(64) {
                kept.texts.clear(); // mostly deleted machines; the rest comes back as it is asked for
            }
        }
    }
}
