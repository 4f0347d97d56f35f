//! Ports that the engine keeps to itself.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::EngineError;
use crate::files::{self, Readers};

/// Where free ports are looked for: below the ports that the kernel gives to outgoing connections, so that none of
/// those takes one while its process restarts.
const FIRST: u16 = 20_000;
const LAST: u16 = 31_999;

/// Chooses free loopback ports: those in `file` from an earlier start if they are still free, else others,
/// which are noted there.
pub(crate) fn choose<const N: usize>(file: &Path) -> Result<[u16; N], EngineError> {
    let is_free = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    let noted = files::read_if_there(file)?
        .and_then(|text| serde_json::from_slice::<Vec<u16>>(&text).ok())
        .and_then(|ports| <[u16; N]>::try_from(ports).ok());
    if let Some(ports) = noted.filter(|ports| ports.iter().all(|port| is_free(*port))) {
        return Ok(ports);
    }
    // Engines on one host begin at different places.
    let digest = Sha256::digest(file.as_os_str().as_encoded_bytes());
    let start = digest.iter().fold(0u16, |start, byte| start.wrapping_mul(31).wrapping_add((*byte).into()));
    let ports = pick(start, N, is_free);
    let ports: [u16; N] =
        ports.try_into().map_err(|_| EngineError::Ports { wanted: N, from: FIRST, to: LAST })?;
    files::write(file, format!("{ports:?}").as_bytes(), Readers::Owner)?;
    Ok(ports)
}

/// Fails if nothing can listen there.
pub(crate) fn check(address: SocketAddr) -> Result<(), EngineError> {
    TcpListener::bind(address).map(drop).map_err(|source| EngineError::Address { address, source })
}

/// The first `wanted` free ports, or as many as there are, from a place in the range that follows from `start`.
fn pick(start: u16, wanted: usize, is_free: impl Fn(u16) -> bool) -> Vec<u16> {
    let count = LAST - FIRST + 1;
    let ports = (0..count).map(|step| FIRST + (start % count + step) % count);
    ports.filter(|port| is_free(*port)).take(wanted).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn picks_different_free_ports_of_the_range(start: u16, wanted in 0usize..20, taken in proptest::collection::btree_set(FIRST..=LAST, 0..50)) {
            let ports = pick(start, wanted, |port| !taken.contains(&port));
            let set: BTreeSet<u16> = ports.iter().copied().collect();
            prop_assert_eq!(set.len(), wanted);
            prop_assert!(set.iter().all(|port| (FIRST..=LAST).contains(port) && !taken.contains(port)));
        }
    }

    #[test]
    fn says_when_there_are_none() {
        assert_eq!(pick(7, 3, |port| port < FIRST + 2).len(), 2);
    }

    #[test]
    fn keeps_ports_while_they_are_free() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ports.json");
        let first = choose::<3>(&file).unwrap();
        assert_eq!(choose::<3>(&file).unwrap(), first);
        let _taken = TcpListener::bind((Ipv4Addr::LOCALHOST, first[0])).unwrap();
        assert!(!choose::<3>(&file).unwrap().contains(&first[0]));
    }
}
