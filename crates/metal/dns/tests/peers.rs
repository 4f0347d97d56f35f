//! Real clients on loopback: dig, and a forwarder that is a second server of ours.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::{
    net::{Ipv4Addr, SocketAddr},
    process::Command,
    sync::Arc,
    time::Duration,
};

use dns::{BindError, Data, Server, Zones, bind, ntp};
use tokio::net::UdpSocket;

fn zones(domain: &str, last: u8, forward_to: Vec<SocketAddr>) -> Zones {
    let mut b = Zones::builder(1, &format!("ns.{domain}")).unwrap();
    b.domain(domain, 30).unwrap().reverse("10.0.0.0/24".parse().unwrap(), 30);
    b.record(&format!("vm1.{domain}"), None, &Data::A(Ipv4Addr::new(10, 0, 0, last))).unwrap();
    for n in 0..200 {
        b.record(&format!("many.{domain}"), None, &Data::A(Ipv4Addr::new(10, 9, 9, n))).unwrap();
    }
    b.forward(forward_to, vec!["127.0.0.0/8".parse().unwrap()]);
    b.build()
}

async fn serve(zones: Zones) -> (Arc<Server>, u16) {
    // A port that is free for TCP may be taken for UDP.
    let sockets = loop {
        match bind("127.0.0.1:0".parse().unwrap()).await {
            Err(BindError::Taken(_)) => {}
            other => break other.unwrap(),
        }
    };
    let port = sockets.local_addr().unwrap().port();
    let server = Arc::new(Server::new(zones));
    tokio::spawn(Arc::clone(&server).run(sockets));
    (server, port)
}

/// dig's output; `None` if it is not installed.
async fn dig(port: u16, args: &str) -> Option<String> {
    let args = format!("@127.0.0.1 -p {port} +time=15 +tries=1 {args}");
    let run = tokio::task::spawn_blocking(move || Command::new("dig").args(args.split_whitespace()).output());
    match tokio::time::timeout(Duration::from_mins(1), run).await.expect("dig ends").unwrap() {
        Ok(output) => Some(String::from_utf8(output.stdout).unwrap()),
        Err(error) => {
            println!("skipped: dig: {error}");
            None
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dig_is_content() {
    let (server, port) = serve(zones("maas", 11, vec![])).await;
    let Some(short) = dig(port, "+short vm1.maas A").await else { return };
    assert_eq!(short, "10.0.0.11\n");
    assert_eq!(dig(port, "+short -x 10.0.0.11").await.unwrap(), "vm1.maas.\n");
    assert_eq!(dig(port, "+tcp +short vm1.maas A").await.unwrap(), "10.0.0.11\n");
    let missing = dig(port, "gone.maas A").await.unwrap();
    assert!(missing.contains("NXDOMAIN") && missing.contains("SOA") && missing.contains(" aa "), "{missing}");
    let other = dig(port, "example.com A").await.unwrap();
    assert!(other.contains("REFUSED"), "{other}");
    let modern = dig(port, "+edns=1 +noednsneg vm1.maas A").await.unwrap();
    assert!(modern.contains("BADVERS"), "{modern}");
    let transfer = dig(port, "maas AXFR").await.unwrap();
    assert!(transfer.contains("failed"), "{transfer}");
    let many = dig(port, "+short many.maas A").await.unwrap();
    assert_eq!(many.lines().count(), 200, "dig comes back by TCP");
    let counts: std::collections::HashMap<_, _> = server.answered().collect();
    assert_eq!((counts["NXDOMAIN"], counts["SERVFAIL"]), (1, 0));
    assert!(counts["NOERROR"] >= 4 && counts["REFUSED"] >= 1, "{counts:?}");
    server.set(zones("maas", 12, vec![]));
    assert_eq!(dig(port, "+short vm1.maas A").await.unwrap(), "10.0.0.12\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_names_come_from_the_forwarders() {
    let (_upstream, upstream) = serve(zones("example", 77, vec![])).await;
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let forwarders = vec![silent.local_addr().unwrap(), ([127, 0, 0, 1], upstream).into()];
    let (_server, port) = serve(zones("maas", 11, forwarders)).await;
    let Some(short) = dig(port, "+short vm1.example A").await else { return };
    assert_eq!(short, "10.0.0.77\n");
    assert_eq!(dig(port, "+tcp +short vm1.example A").await.unwrap(), "10.0.0.77\n");
    assert_eq!(dig(port, "+short many.example A").await.unwrap().lines().count(), 200);
    assert!(dig(port, "gone.example A").await.unwrap().contains("NXDOMAIN"));
    assert_eq!(dig(port, "+short vm1.maas A").await.unwrap(), "10.0.0.11\n");
}

#[tokio::test]
async fn without_a_forwarder_that_answers_it_says_so() {
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let (_server, port) = serve(zones("maas", 11, vec![silent.local_addr().unwrap()])).await;
    let Some(said) = dig(port, "vm1.example A").await else { return };
    assert!(said.contains("SERVFAIL"), "{said}");
}

#[tokio::test]
async fn the_time() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let server = socket.local_addr().unwrap();
    tokio::spawn(ntp::run(socket, ntp::LOCAL_STRATUM));
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut packet = [0; 48];
    packet[0] = 0x23;
    client.send_to(&packet, server).await.unwrap();
    let mut reply = [0; 100];
    let received = tokio::time::timeout(Duration::from_secs(5), client.recv(&mut reply)).await.unwrap();
    assert_eq!(received.unwrap(), 48);
    let told = u32::from_be_bytes(reply[40..44].try_into().unwrap());
    let here = (ntp::NtpTime::from(jiff::Timestamp::now()).0 >> 32) as u32;
    assert!(here.wrapping_sub(told) <= 6, "{told} against {here}");
}

/// ntpdig only asks, and only port 123: on a loopback address that no time server of this machine's minds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ntpdig_is_content() {
    const ADDRESS: &str = "127.0.0.97";
    let socket = match UdpSocket::bind((ADDRESS, ntp::PORT)).await {
        Ok(socket) => socket,
        Err(error) => return println!("skipped: UDP port 123 of {ADDRESS}: {error} (run as root)"),
    };
    tokio::spawn(ntp::run(socket, ntp::LOCAL_STRATUM));
    let run = tokio::task::spawn_blocking(|| {
        Command::new("ntpdig").args(["--json", "--timeout=30", "--samples=2", ADDRESS]).output()
    });
    let output = match tokio::time::timeout(Duration::from_mins(2), run).await.expect("ntpdig ends").unwrap()
    {
        Ok(output) => output,
        Err(error) => return println!("skipped: ntpdig: {error} (Debian: apt-get install ntpsec-ntpdig)"),
    };
    let said = String::from_utf8_lossy(&output.stdout);
    let told: serde_json::Value = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{output:?}"));
    assert!(output.status.success(), "{output:?}");
    assert_eq!((told["ip"].as_str(), told["stratum"].as_u64()), (Some(ADDRESS), Some(10)), "{told}");
    assert_eq!(told["leap"], "no-leap", "{told}");
    // Both clocks are this machine's.
    assert!(told["offset"].as_f64().unwrap().abs() < 1.0, "{told}");
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let (_server, port) = serve(Zones::default()).await;
    let error = bind(([127, 0, 0, 1], port).into()).await.unwrap_err();
    assert!(error.to_string().contains(&format!("port {port} of 127.0.0.1 is taken")), "{error}");
}
