//! What the core answers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::net::{IpAddr, Ipv4Addr};

use dns::{Answer, Asker, Data, Transport, Zones, answer};
use hickory_proto::{
    op::{Edns, Message, OpCode, Query, ResponseCode},
    rr::{Name, RecordType},
};
use proptest::{collection::vec, prelude::*};

fn zones() -> Zones {
    let mut b = Zones::builder(7, "ns.maas").unwrap();
    b.domain("maas", 30).unwrap().reverse("10.0.0.0/24".parse().unwrap(), 30);
    let a = |n| Data::A(Ipv4Addr::new(10, 0, 0, n));
    b.record("ns.maas", None, &a(1)).unwrap();
    b.record("vm1.maas", Some(5), &a(11)).unwrap();
    b.record("VM1.maas", Some(5), &Data::Aaaa("fd00::11".parse().unwrap())).unwrap();
    b.record("www.maas", None, &Data::Cname("vm1.maas".into())).unwrap();
    b.record("out.maas", None, &Data::Cname("example.com".into())).unwrap();
    b.record("loop.maas", None, &Data::Cname("loop2.maas".into())).unwrap();
    b.record("loop2.maas", None, &Data::Cname("loop.maas".into())).unwrap();
    b.record("nowhere.maas", None, &Data::Cname("gone.maas".into())).unwrap();
    b.record("a.deep.name.maas", None, &Data::Txt("x".repeat(300))).unwrap();
    b.record("sub.maas", None, &Data::Ns("ns.sub.maas".into())).unwrap();
    b.record("ns.sub.maas", None, &a(53)).unwrap();
    b.record("maas", None, &Data::Mx { preference: 10, exchange: "vm1.maas".into() }).unwrap();
    let srv = Data::Srv { priority: 1, weight: 2, port: 6443, target: "vm1.maas".into() };
    b.record("_k8s._tcp.maas", None, &srv).unwrap();
    for n in 0..120 {
        b.record("many.maas", None, &a(n + 100)).unwrap();
    }
    b.forward(vec!["192.0.2.1:53".parse().unwrap()], vec!["10.0.0.0/24".parse().unwrap()]);
    b.build()
}

const MACHINE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 9));
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 9));

fn query(name: &str, kind: RecordType) -> Message {
    let mut query = Message::query();
    query.metadata.id = 4660;
    query.metadata.recursion_desired = true;
    query.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    query
}

fn ask_with(query: &Message, transport: Transport, address: IpAddr) -> Answer {
    answer(&query.to_vec().unwrap(), &zones(), Asker { transport, address })
}

fn reply(answer: Answer) -> Message {
    let Answer::Reply(bytes) = answer else { panic!("{answer:?}") };
    Message::from_vec(&bytes).unwrap()
}

fn ask(name: &str, kind: RecordType) -> Message {
    let reply = reply(ask_with(&query(name, kind), Transport::Udp, MACHINE));
    assert_eq!(reply.metadata.id, 4660);
    assert_eq!(reply.queries.len(), 1);
    reply
}

fn answers(name: &str, kind: RecordType) -> Vec<String> {
    ask(name, kind)
        .answers
        .iter()
        .map(|r| format!("{} {} {} {}", r.name, r.ttl, r.record_type(), r.data))
        .collect()
}

#[test]
fn records() {
    assert_eq!(answers("vm1.maas.", RecordType::A), ["vm1.maas. 5 A 10.0.0.11"]);
    assert_eq!(answers("vM1.MAAS.", RecordType::AAAA), ["vm1.maas. 5 AAAA fd00::11"]);
    let chain = ["www.maas. 30 CNAME vm1.maas.", "vm1.maas. 5 A 10.0.0.11"];
    assert_eq!(answers("www.maas.", RecordType::A), chain);
    assert_eq!(answers("www.maas.", RecordType::CNAME), chain[..1]);
    assert_eq!(answers("_k8s._tcp.maas.", RecordType::SRV), ["_k8s._tcp.maas. 30 SRV 1 2 6443 vm1.maas."]);
    assert_eq!(ask("_k8s._tcp.maas.", RecordType::SRV).additionals.len(), 2);
    assert_eq!(answers("maas.", RecordType::MX), ["maas. 30 MX 10 vm1.maas."]);
    assert_eq!(answers("maas.", RecordType::NS), ["maas. 30 NS ns.maas."]);
    let soa = "maas. 30 SOA ns.maas. hostmaster.maas. 7 600 1800 604800 30";
    assert_eq!(answers("maas.", RecordType::SOA), [soa]);
    assert_eq!(
        answers("11.0.0.10.in-addr.arpa.", RecordType::PTR),
        ["11.0.0.10.in-addr.arpa. 30 PTR vm1.maas."]
    );
    assert_eq!(answers("out.maas.", RecordType::A), ["out.maas. 30 CNAME example.com."]);
    assert!(ask("vm1.maas.", RecordType::A).metadata.authoritative);
    assert_eq!(answers("vm1.maas.", RecordType::ANY).len(), 1);
    assert!(answers("loop.maas.", RecordType::A).len() <= 8);
}

#[test]
fn names_that_are_not() {
    let verdict = |name: &str, kind| {
        let reply = ask(name, kind);
        assert_eq!(reply.authorities.len(), 1, "{name}");
        assert_eq!(reply.authorities[0].record_type(), RecordType::SOA);
        reply.metadata.response_code
    };
    assert_eq!(verdict("gone.maas.", RecordType::A), ResponseCode::NXDomain);
    assert_eq!(verdict("99.0.0.10.in-addr.arpa.", RecordType::PTR), ResponseCode::NXDomain);
    assert_eq!(verdict("nowhere.maas.", RecordType::A), ResponseCode::NXDomain);
    assert_eq!(verdict("vm1.maas.", RecordType::TXT), ResponseCode::NoError);
    assert_eq!(verdict("deep.name.maas.", RecordType::A), ResponseCode::NoError);
    assert_eq!(verdict("name.maas.", RecordType::A), ResponseCode::NoError);
}

#[test]
fn delegated_names() {
    let reply = ask("x.y.sub.maas.", RecordType::A);
    assert!(!reply.metadata.authoritative);
    assert_eq!(reply.authorities[0].record_type(), RecordType::NS);
    assert_eq!(reply.additionals.len(), 1, "with the server's address");
}

#[test]
fn refusals() {
    let code = |query: &Message, from| {
        let refused = reply(ask_with(query, Transport::Udp, from));
        refused.metadata.response_code
    };
    assert_eq!(code(&query("example.com.", RecordType::A), STRANGER), ResponseCode::Refused);
    assert_eq!(ask_with(&query("example.com.", RecordType::A), Transport::Udp, MACHINE), Answer::Forward);
    let mut iterative = query("example.com.", RecordType::A);
    iterative.metadata.recursion_desired = false;
    assert_eq!(code(&iterative, MACHINE), ResponseCode::Refused);
    assert_eq!(code(&query("maas.", RecordType::AXFR), MACHINE), ResponseCode::Refused);
    let mut update = query("maas.", RecordType::SOA);
    update.metadata.op_code = OpCode::Update;
    assert_eq!(code(&update, MACHINE), ResponseCode::NotImp);
    let mut modern = query("vm1.maas.", RecordType::A);
    let mut edns = Edns::new();
    edns.set_version(1);
    modern.set_edns(edns);
    assert_eq!(u16::from(code(&modern, MACHINE)), 16, "BADVERS; TSIG's BADSIG has the same number");
    let mut two = query("vm1.maas.", RecordType::A);
    two.add_query(Query::query(Name::from_ascii("vm1.maas.").unwrap(), RecordType::AAAA));
    assert_eq!(code(&two, MACHINE), ResponseCode::FormErr);
}

#[test]
fn what_does_not_fit_is_cut() {
    let size = |payload: Option<u16>, transport| {
        let mut query = query("many.maas.", RecordType::A);
        if let Some(payload) = payload {
            let mut edns = Edns::new();
            edns.set_max_payload(payload);
            query.set_edns(edns);
        }
        let Answer::Reply(bytes) = ask_with(&query, transport, MACHINE) else { panic!() };
        let reply = Message::from_vec(&bytes).unwrap();
        assert_eq!(reply.edns.is_some(), payload.is_some());
        (bytes.len(), reply.metadata.truncation, reply.answers.len())
    };
    let (len, cut, _) = size(None, Transport::Udp);
    assert!(cut && len <= 512);
    let (len, cut, _) = size(Some(65535), Transport::Udp);
    assert!(cut && len <= 1232);
    assert!(matches!(size(None, Transport::Tcp), (_, false, 120)));
}

proptest! {
    #[test]
    fn any_bytes(bytes in vec(any::<u8>(), 0..300), stranger: bool) {
        let address = if stranger { STRANGER } else { MACHINE };
        let _ = answer(&bytes, &zones(), Asker { transport: Transport::Udp, address });
    }

    /// Bytes that get further: a good question, changed and extended.
    #[test]
    fn nearly_queries(
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        tail in vec(any::<u8>(), 0..60),
        counts in any::<[u8; 3]>(),
    ) {
        let mut bytes = query("www.maas.", RecordType::A).to_vec().unwrap();
        bytes.extend(tail);
        for (at, count) in [7, 9, 11].into_iter().zip(counts) {
            bytes[at] = count % 4;
        }
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Answer::Reply(reply) = answer(&bytes, &zones(), Asker { transport: Transport::Udp, address: MACHINE }) {
            prop_assert!(reply.len() <= 1232);
            prop_assert_eq!(&reply[..2], &bytes[..2]);
            prop_assert!(reply[2] & 0x80 != 0);
        }
    }
}
