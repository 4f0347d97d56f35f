//! The answer to a query, from the zones alone.

use std::net::IpAddr;

use hickory_proto::{
    op::{Edns, Message, MessageType, Metadata, OpCode, ResponseCode},
    rr::{DNSClass, Name, RData, Record, RecordType},
};

use crate::zones::Zones;

/// Most that is sent by UDP, whatever the client takes: larger ones get lost on the way (DNS flag day 2020).
pub const MAX_UDP: u16 = 1232;
/// Steps of a CNAME chain that are followed.
const MAX_CHAIN: usize = 8;

/// How a query came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// In a datagram: the answer may have to be cut.
    Udp,
    /// In a stream.
    Tcp,
}

/// Who asks, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asker {
    /// How.
    pub transport: Transport,
    /// From where: some may use the forwarders.
    pub address: IpAddr,
}

/// What to do about a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Send this.
    Reply(Vec<u8>),
    /// Ask the forwarders.
    Forward,
    /// Nothing: this was no query.
    Drop,
}

/// Answers a query; any bytes are safe.
pub fn answer(query: &[u8], zones: &Zones, asker: Asker) -> Answer {
    // Never answer an answer: two servers would talk for ever.
    let &[id_high, id_low, flags, ..] = query else { return Answer::Drop };
    if query.len() < 12 || flags & 0x80 != 0 {
        return Answer::Drop;
    }
    let Ok(query) = Message::from_vec(query) else {
        let id = u16::from_be_bytes([id_high, id_low]);
        return finish(&Message::error_msg(id, OpCode::Query, ResponseCode::FormErr), 512);
    };
    let mut reply = Message::new(query.metadata.id, MessageType::Response, query.metadata.op_code);
    reply.metadata = Metadata::response_from_request(&query.metadata);
    reply.add_queries(query.queries.iter().cloned());
    if query.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(MAX_UDP);
        reply.set_edns(edns);
    }
    let forwarders = !zones.forwarders(asker.address).is_empty();
    reply.metadata.recursion_available = forwarders;
    reply.metadata.response_code = match (&query.queries[..], query.metadata.op_code) {
        _ if query.edns.as_ref().is_some_and(|edns| edns.version() != 0) => ResponseCode::BADVERS,
        (_, op_code) if op_code != OpCode::Query => ResponseCode::NotImp,
        ([question], _) => match question.query_type() {
            RecordType::AXFR | RecordType::IXFR => ResponseCode::Refused,
            _ if question.query_class() != DNSClass::IN => ResponseCode::Refused,
            _ if zones.find(question.name()).is_some() => {
                resolve(zones, question.name(), question.query_type(), &mut reply)
            }
            _ if forwarders && query.metadata.recursion_desired => return Answer::Forward,
            _ => ResponseCode::Refused,
        },
        _ => ResponseCode::FormErr,
    };
    let limit = match asker.transport {
        Transport::Udp => query.edns.as_ref().map_or(512, |edns| edns.max_payload().clamp(512, MAX_UDP)),
        Transport::Tcp => u16::MAX,
    };
    finish(&reply, limit)
}

/// An answer that only says that something went wrong.
pub(crate) fn failure(query: &[u8]) -> Option<Vec<u8>> {
    let query = Message::from_vec(query).ok()?;
    let mut reply = Message::new(query.metadata.id, MessageType::Response, query.metadata.op_code);
    reply.metadata = Metadata::response_from_request(&query.metadata);
    reply.metadata.recursion_available = true;
    reply.metadata.response_code = ResponseCode::ServFail;
    reply.add_queries(query.queries);
    reply.to_vec().ok()
}

fn finish(reply: &Message, limit: u16) -> Answer {
    let fits = |bytes: &Vec<u8>| bytes.len() <= usize::from(limit);
    let whole = reply.to_vec().ok().filter(fits);
    whole.or_else(|| reply.truncate().to_vec().ok()).map_or(Answer::Drop, Answer::Reply)
}

fn resolve(zones: &Zones, asked: &Name, kind: RecordType, reply: &mut Message) -> ResponseCode {
    reply.metadata.authoritative = true;
    let mut name = asked.clone();
    for step in 0..MAX_CHAIN {
        // A chain that leaves the zones is for the client to follow.
        let Some(zone) = zones.find(&name) else { break };
        if let Some(servers) = zone.delegation(&name) {
            reply.metadata.authoritative = step > 0;
            reply.authorities.extend(servers.cloned());
            add_addresses(zones, reply);
            break;
        }
        let Some(records) = zone.records(&name) else {
            reply.add_authority(zone.soa.clone());
            return if zone.has_below(&name) { ResponseCode::NoError } else { ResponseCode::NXDomain };
        };
        // RFC 8482: one kind of record is enough of an answer to ANY.
        let wanted =
            if kind == RecordType::ANY { records.first().map(Record::record_type) } else { Some(kind) };
        let mut found: Vec<Record> =
            records.iter().filter(|r| Some(r.record_type()) == wanted).cloned().collect();
        if !found.is_empty() {
            // Each client another one first, without a state to keep.
            let first = usize::from(reply.metadata.id) % found.len();
            found.rotate_left(first);
            reply.answers.extend(found);
            add_addresses(zones, reply);
            break;
        }
        let alias = records.iter().find_map(|record| match &record.data {
            RData::CNAME(target) => Some((record, target.0.clone())),
            _ => None,
        });
        let Some((record, target)) = alias else {
            reply.add_authority(zone.soa.clone());
            break;
        };
        reply.add_answer(record.clone());
        name = target;
    }
    ResponseCode::NoError
}

/// The addresses of the hosts that the reply names, to save the client a query.
fn add_addresses(zones: &Zones, reply: &mut Message) {
    let hosts: Vec<Name> = reply
        .answers
        .iter()
        .chain(&reply.authorities)
        .filter_map(|record| match &record.data {
            RData::NS(host) => Some(host.0.clone()),
            RData::MX(mail) => Some(mail.exchange.clone()),
            RData::SRV(service) => Some(service.target.clone()),
            _ => None,
        })
        .collect();
    for host in hosts {
        let records = zones.find(&host).and_then(|zone| zone.records(&host)).unwrap_or_default();
        let addresses =
            records.iter().filter(|r| matches!(r.record_type(), RecordType::A | RecordType::AAAA));
        reply.additionals.extend(addresses.cloned());
    }
}
