//! What is used and free in a subnet: pure arithmetic on ranges of addresses.

use std::{collections::BTreeMap, net::Ipv4Addr};

use ipnet::Ipv4Net;

/// Addresses from `first` to `last` that have the same purposes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stretch {
    /// First address.
    pub first: Ipv4Addr,
    /// Last address.
    pub last: Ipv4Addr,
    /// MAAS's words for what they are for, sorted; `unused` alone for free ones.
    pub purposes: Vec<&'static str>,
}

impl Stretch {
    /// How many addresses.
    pub fn len(&self) -> u64 {
        u64::from(u32::from(self.last)) - u64::from(u32::from(self.first)) + 1
    }

    fn is_free(&self) -> bool {
        self.purposes == [UNUSED]
    }
}

/// A use of the addresses from the first to the second.
pub type Use = (Ipv4Addr, Ipv4Addr, &'static str);

const UNUSED: &str = "unused";

/// A subnet's assignable addresses, divided where their purposes change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage(Vec<Stretch>);

/// Divides the assignable addresses of `net` by `uses`, which may overlap and reach out of it.
pub fn usage(net: Ipv4Net, uses: &[Use]) -> Usage {
    let (low, high) = bounds(net);
    let (low, high) = (u64::from(u32::from(low)), u64::from(u32::from(high)));
    // At each address where something changes: which purposes begin and end there.
    let mut changes: BTreeMap<u64, Vec<(&'static str, bool)>> = BTreeMap::from([(low, Vec::new())]);
    for (first, last, purpose) in uses {
        let first = u64::from(u32::from(*first)).max(low);
        let last = u64::from(u32::from(*last)).min(high);
        if first <= last {
            changes.entry(first).or_default().push((purpose, true));
            changes.entry(last + 1).or_default().push((purpose, false));
        }
    }
    let mut open: BTreeMap<&'static str, usize> = BTreeMap::new();
    let mut stretches: Vec<Stretch> = Vec::new();
    let ends: Vec<u64> = changes.keys().skip(1).copied().chain([high + 1]).collect();
    for ((start, at), end) in changes.into_iter().zip(ends) {
        for (purpose, begins) in at {
            let count = open.entry(purpose).or_default();
            *count = if begins { *count + 1 } else { count.saturating_sub(1) };
        }
        open.retain(|_, count| *count > 0);
        if start > high {
            break;
        }
        let purposes: Vec<_> = if open.is_empty() { vec![UNUSED] } else { open.keys().copied().collect() };
        let last = address(end - 1);
        match stretches.last_mut() {
            Some(before) if before.purposes == purposes => before.last = last,
            _ => stretches.push(Stretch { first: address(start), last, purposes }),
        }
    }
    Usage(stretches)
}

impl Usage {
    /// Every stretch, used and free, in order.
    pub fn all(&self) -> &[Stretch] {
        &self.0
    }

    /// What is used.
    pub fn used(&self) -> impl Iterator<Item = &Stretch> {
        self.0.iter().filter(|stretch| !stretch.is_free())
    }

    /// What is free.
    pub fn free(&self) -> impl Iterator<Item = &Stretch> {
        self.0.iter().filter(|stretch| stretch.is_free())
    }

    /// What an address is for; empty if it is not in the subnet.
    pub fn purposes(&self, ip: Ipv4Addr) -> &[&'static str] {
        self.0.iter().find(|s| (s.first..=s.last).contains(&ip)).map_or(&[], |stretch| &stretch.purposes)
    }
}

/// First and last assignable address: without network and broadcast address where there are such.
pub fn bounds(net: Ipv4Net) -> (Ipv4Addr, Ipv4Addr) {
    let (network, broadcast) = (u32::from(net.network()), u32::from(net.broadcast()));
    let edge = u32::from(net.prefix_len() < 31);
    (Ipv4Addr::from(network + edge), Ipv4Addr::from(broadcast - edge))
}

fn address(number: u64) -> Ipv4Addr {
    Ipv4Addr::from(u32::try_from(number).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ip(last: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 99, 0, last)
    }

    #[test]
    fn adjacent_uses_of_one_purpose_are_one_stretch() {
        let net = "10.99.0.0/24".parse().unwrap();
        let uses = [(ip(2), ip(2), "dns-server"), (ip(3), ip(3), "dns-server"), (ip(0), ip(0), "outside")];
        let found = usage(net, &uses);
        let stretch =
            |first, last, purpose| Stretch { first: ip(first), last: ip(last), purposes: vec![purpose] };
        assert_eq!(
            found.all(),
            [stretch(1, 1, "unused"), stretch(2, 3, "dns-server"), stretch(4, 254, "unused"),]
        );
    }

    proptest! {
        /// Every assignable address is in exactly one stretch, with the purposes of the uses that cover it.
        #[test]
        fn stretches_cover_the_subnet(
            prefix in 24u8..=32,
            uses in prop::collection::vec((any::<u8>(), any::<u8>(), prop::sample::select(vec!["a", "b", "c"])), 0..12),
        ) {
            let net = Ipv4Net::new(ip(0), prefix).unwrap();
            let uses: Vec<Use> = uses.into_iter().map(|(a, b, p)| (ip(a.min(b)), ip(a.max(b)), p)).collect();
            let found = usage(net, &uses);
            let (low, high) = bounds(net);
            let mut next = u32::from(low);
            for stretch in found.all() {
                prop_assert_eq!(u32::from(stretch.first), next);
                next = u32::from(stretch.last) + 1;
                for at in u32::from(stretch.first)..next {
                    let at = Ipv4Addr::from(at);
                    let mut want: Vec<_> = uses.iter().filter(|u| u.0 <= at && at <= u.1).map(|u| u.2).collect();
                    want.sort_unstable();
                    want.dedup();
                    if want.is_empty() { want.push("unused"); }
                    prop_assert_eq!(&stretch.purposes, &want);
                }
            }
            prop_assert_eq!(next, u32::from(high) + 1);
        }
    }
}
