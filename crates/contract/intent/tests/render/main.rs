//! Intents and what they render to.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod golden;
mod properties;
mod refused;

use intent::Intent;

/// One control plane and one worker.
fn small() -> Intent {
    Intent::from_json(include_str!("../golden/small.json")).unwrap()
}

/// Three control planes, two worker pools, zones, taints, overrides, an endpoint that somebody else keeps.
fn ha() -> Intent {
    Intent::from_json(include_str!("../golden/ha.json")).unwrap()
}

/// Changes an intent.
type Change = fn(&mut Intent);
