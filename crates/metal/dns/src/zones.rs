//! What is served: zones, their names and records.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use hickory_proto::rr::{
    Name, RData, Record, RecordType,
    rdata::{A, AAAA, CNAME, MX, NS, PTR, SOA, SRV, TXT},
};
use ipnet::IpNet;

/// Content of a record. Names are absolute, with or without the dot at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// An IPv4 address.
    A(Ipv4Addr),
    /// An IPv6 address.
    Aaaa(Ipv6Addr),
    /// Another name of this name; must be alone.
    Cname(String),
    /// Text.
    Txt(String),
    /// Where a service runs.
    Srv {
        /// Lowest first.
        priority: u16,
        /// Share among equal priorities.
        weight: u16,
        /// TCP or UDP port.
        port: u16,
        /// The host.
        target: String,
    },
    /// Where mail goes.
    Mx {
        /// Lowest first.
        preference: u16,
        /// The host.
        exchange: String,
    },
    /// A name server; below the top of a zone it hands the name over to that server.
    Ns(String),
    /// The name of an address.
    Ptr(String),
}

/// Why zones cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ZoneError {
    /// Not a domain name.
    #[error("`{0}` is not a domain name: labels have 1 to 63 bytes, all of it at most 253")]
    Name(String),
    /// The name is in none of the zones.
    #[error("`{0}` is in no zone served here: add its domain first")]
    NoZone(String),
    /// A CNAME and something else.
    #[error("`{0}` has a CNAME record, which must be its only one: remove the other records or the CNAME")]
    CnameNotAlone(String),
}

/// A complete set of zones; immutable, so that it can be swapped.
#[derive(Debug, Clone, Default)]
pub struct Zones {
    by_origin: BTreeMap<Name, Zone>,
    forward: Vec<SocketAddr>,
    forward_for: Vec<IpNet>,
}

#[derive(Debug, Clone)]
pub(crate) struct Zone {
    pub soa: Record,
    ttl: u32,
    /// In canonical order: what is below a name follows it.
    names: BTreeMap<Name, Vec<Record>>,
}

impl Zones {
    /// Begins a set of zones. The serial has to grow with each set; the server's name goes into SOA and NS records.
    ///
    /// # Errors
    /// [`ZoneError::Name`] if the server's name is none.
    pub fn builder(serial: u32, server: &str) -> Result<Builder, ZoneError> {
        Ok(Builder { serial, server: name(server)?, zones: Self::default() })
    }

    /// The zone a name is in: the longest that fits.
    pub(crate) fn find(&self, name: &Name) -> Option<&Zone> {
        let mut at = name.clone();
        loop {
            if let Some(zone) = self.by_origin.get(&at) {
                return Some(zone);
            }
            if at.is_root() {
                return None;
            }
            at = at.base_name();
        }
    }

    /// Forwarders for a client; none if it may not use them.
    pub(crate) fn forwarders(&self, client: IpAddr) -> &[SocketAddr] {
        let client = client.to_canonical();
        let may = self.forward_for.iter().any(|net| net.contains(&client));
        if may { &self.forward } else { &[] }
    }
}

impl Zone {
    pub fn records(&self, name: &Name) -> Option<&[Record]> {
        self.names.get(name).map(Vec::as_slice)
    }

    /// Whether the name is only a step on the way to others: it exists, without records.
    pub fn has_below(&self, name: &Name) -> bool {
        self.names.range(name..).next().is_some_and(|(next, _)| name.zone_of(next))
    }

    /// The name servers that this zone hands the name over to.
    pub fn delegation(&self, name: &Name) -> Option<impl Iterator<Item = &Record>> {
        let mut at = name.clone();
        let mut found = None;
        // The highest delegation counts.
        while at != self.soa.name && !at.is_root() {
            if let Some(records) = self.records(&at)
                && records.iter().any(|record| record.record_type() == RecordType::NS)
            {
                found = Some(records);
            }
            at = at.base_name();
        }
        found.map(|records| records.iter().filter(|record| record.record_type() == RecordType::NS))
    }
}

/// Collects [`Zones`].
#[derive(Debug)]
pub struct Builder {
    serial: u32,
    server: Name,
    zones: Zones,
}

impl Builder {
    /// Adds a domain; records without a TTL of their own live `ttl` seconds.
    ///
    /// # Errors
    /// [`ZoneError::Name`] if the domain is no domain name.
    pub fn domain(&mut self, domain: &str, ttl: u32) -> Result<&mut Self, ZoneError> {
        let origin = name(domain)?;
        Ok(self.zone(origin, ttl))
    }

    /// Adds the reverse zones of a network; [`Builder::build`] fills them from the address records. They lie on
    /// whole labels: a /22 is four zones, a /26 is served as its /24.
    pub fn reverse(&mut self, net: IpNet, ttl: u32) -> &mut Self {
        for origin in reverse_zones(net) {
            self.zone(origin, ttl);
        }
        self
    }

    /// Relays queries outside the zones to these servers, tried in order, for clients in these networks.
    pub fn forward(&mut self, servers: Vec<SocketAddr>, clients: Vec<IpNet>) -> &mut Self {
        self.zones.forward = servers;
        self.zones.forward_for = clients;
        self
    }

    /// Adds a record.
    ///
    /// # Errors
    /// [`ZoneError`] says what is wrong with it; the other records are not affected.
    pub fn record(&mut self, owner: &str, ttl: Option<u32>, data: &Data) -> Result<&mut Self, ZoneError> {
        let text = owner;
        let owner = name(owner)?;
        let origin = self.zones.find(&owner).map(|zone| zone.soa.name.clone());
        let zone = origin.and_then(|origin| self.zones.by_origin.get_mut(&origin));
        let Some(zone) = zone else { return Err(ZoneError::NoZone(text.to_owned())) };
        let record = Record::from_rdata(owner.clone(), ttl.unwrap_or(zone.ttl), rdata(data)?);
        let have = zone.names.get(&owner).map(Vec::as_slice).unwrap_or_default();
        let has_cname = have.iter().any(|other| other.record_type() == RecordType::CNAME);
        if have.iter().any(|other| other.data == record.data) {
            return Ok(self);
        }
        if has_cname || (record.record_type() == RecordType::CNAME && !have.is_empty()) {
            return Err(ZoneError::CnameNotAlone(text.to_owned()));
        }
        zone.names.entry(owner).or_default().push(record);
        Ok(self)
    }

    /// The zones, with the names of addresses filled in.
    pub fn build(mut self) -> Zones {
        let pointers: Vec<(Name, Name)> = self.zones.by_origin.values().flat_map(Zone::pointers).collect();
        for (owner, target) in pointers {
            let origin = self.zones.find(&owner).map(|zone| zone.soa.name.clone());
            if let Some(zone) = origin.and_then(|origin| self.zones.by_origin.get_mut(&origin)) {
                let record = Record::from_rdata(owner.clone(), zone.ttl, RData::PTR(PTR(target)));
                zone.names.entry(owner).or_default().push(record);
            }
        }
        self.zones
    }

    fn zone(&mut self, origin: Name, ttl: u32) -> &mut Self {
        let person = name("hostmaster").unwrap_or_default();
        let person = person.append_domain(&origin).unwrap_or_else(|_| origin.clone());
        // Refresh, retry and expiry as MAAS has them.
        let soa = SOA::new(self.server.clone(), person, self.serial, 600, 1800, 604_800, ttl);
        let soa = Record::from_rdata(origin.clone(), ttl, RData::SOA(soa));
        let server = Record::from_rdata(origin.clone(), ttl, RData::NS(NS(self.server.clone())));
        let names = BTreeMap::from([(origin.clone(), vec![soa.clone(), server])]);
        self.zones.by_origin.entry(origin).or_insert(Zone { soa, ttl, names });
        self
    }
}

impl Zone {
    /// Owner and target of the PTR records that this zone's addresses mean.
    fn pointers(&self) -> impl Iterator<Item = (Name, Name)> {
        self.names.values().flatten().filter_map(|record| {
            let address = match &record.data {
                RData::A(A(ip)) => Name::from(*ip),
                RData::AAAA(AAAA(ip)) => Name::from(*ip),
                _ => return None,
            };
            Some((address, record.name.clone()))
        })
    }
}

fn rdata(data: &Data) -> Result<RData, ZoneError> {
    Ok(match data {
        Data::A(ip) => RData::A(A(*ip)),
        Data::Aaaa(ip) => RData::AAAA(AAAA(*ip)),
        Data::Cname(target) => RData::CNAME(CNAME(name(target)?)),
        Data::Txt(text) => RData::TXT(TXT::from_bytes(text.as_bytes().chunks(255).collect())),
        Data::Srv { priority, weight, port, target } => {
            RData::SRV(SRV::new(*priority, *weight, *port, name(target)?))
        }
        Data::Mx { preference, exchange } => RData::MX(MX::new(*preference, name(exchange)?)),
        Data::Ns(target) => RData::NS(NS(name(target)?)),
        Data::Ptr(target) => RData::PTR(PTR(name(target)?)),
    })
}

/// An absolute name in lower case.
fn name(text: &str) -> Result<Name, ZoneError> {
    let wrong = |_| ZoneError::Name(text.to_owned());
    if text.is_empty() {
        return Err(ZoneError::Name(text.to_owned()));
    }
    let mut name = Name::from_utf8(text).map_err(wrong)?.to_lowercase();
    name.set_fqdn(true);
    Ok(name)
}

fn reverse_zones(net: IpNet) -> Vec<Name> {
    // An octet or a nibble is a label.
    let (bits, longest) = if net.addr().is_ipv4() { (8, 24) } else { (4, 128) };
    let len = net.prefix_len().next_multiple_of(bits).clamp(bits, longest);
    let zones: Vec<IpNet> = if len < net.prefix_len() {
        IpNet::new(net.addr(), len).into_iter().collect()
    } else {
        net.subnets(len).into_iter().flatten().collect()
    };
    // The labels of the network part, and the two of the suffix.
    let labels = usize::from(len / bits) + 2;
    zones.into_iter().map(|zone| Name::from(zone.network()).trim_to(labels)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zones(net: &str) -> Vec<String> {
        reverse_zones(net.parse().unwrap()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn reverse_zones_lie_on_labels() {
        assert_eq!(zones("10.20.0.0/16"), ["20.10.in-addr.arpa."]);
        assert_eq!(zones("10.20.30.0/24"), ["30.20.10.in-addr.arpa."]);
        assert_eq!(zones("10.20.30.64/26"), ["30.20.10.in-addr.arpa."]);
        assert_eq!(zones("10.20.4.0/23"), ["4.20.10.in-addr.arpa.", "5.20.10.in-addr.arpa."]);
        assert_eq!(zones("10.0.0.0/8"), ["10.in-addr.arpa."]);
        assert_eq!(zones("fd00:1::/32"), ["1.0.0.0.0.0.d.f.ip6.arpa."]);
        assert_eq!(zones("fd00::/7").len(), 2);
    }

    #[test]
    fn mistakes_are_named() {
        let mut builder = Zones::builder(1, "ns.maas").unwrap();
        builder.domain("maas", 30).unwrap();
        let web = Data::A([10, 0, 0, 1].into());
        assert_eq!(
            builder.record("web.other", None, &web).unwrap_err(),
            ZoneError::NoZone("web.other".into())
        );
        let long = "x".repeat(64) + ".maas";
        assert_eq!(builder.record(&long, None, &web).unwrap_err(), ZoneError::Name(long));
        builder.record("web.maas", None, &web).unwrap().record("web.maas.", None, &web).unwrap();
        let alias = Data::Cname("a.maas".into());
        assert_eq!(
            builder.record("web.maas", None, &alias).unwrap_err(),
            ZoneError::CnameNotAlone("web.maas".into())
        );
    }
}
