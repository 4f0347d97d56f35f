//! A whole region on loopback, with simulated machines behind virtual BMCs: everything but firmware and disks is real.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod figures;
mod full;
mod hostile;
mod kill;
mod libmaas;
mod life;
mod luck;
mod node;
mod scripts;
mod site;
