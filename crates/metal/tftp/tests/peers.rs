//! Real clients on loopback: tftp-hpa and curl.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::{net::IpAddr, process::Command, time::Duration};

use bytes::Bytes;
use tftp::{BindError, Files, Packet, Request, Service, bind};
use tokio::net::UdpSocket;

struct OneFile(Bytes);

impl Files for OneFile {
    async fn open(&self, path: &str, client: IpAddr) -> Option<Bytes> {
        assert!(client.is_loopback());
        (path == "boot/ipxe.efi").then(|| self.0.clone())
    }
}

fn content() -> Bytes {
    (0..1_000_003u32).map(|n| (n % 253) as u8).collect()
}

/// A server on a free port; it ends with the test's runtime.
async fn serve(transfers: usize) -> u16 {
    let socket = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let port = socket.local_addr().unwrap().port();
    tokio::spawn(async move { Service::new(OneFile(content()), transfers).run(socket).await });
    port
}

/// Runs a client; `None` if it is not installed.
async fn client(program: &str, args: Vec<String>) -> Option<std::process::Output> {
    let program = program.to_owned();
    let run = tokio::task::spawn_blocking(move || Command::new(program).args(args).output());
    match tokio::time::timeout(Duration::from_mins(1), run).await.expect("the client ends").unwrap() {
        Ok(output) => Some(output),
        Err(error) => {
            println!("skipped: {error}");
            None
        }
    }
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn curl_gets_the_file() {
    let port = serve(8).await;
    for options in ["", "--tftp-blksize 1024", "--tftp-blksize 8192", "--tftp-no-options"] {
        let url = format!("-sS --max-time 30 {options} tftp://127.0.0.1:{port}/boot/ipxe.efi");
        let Some(output) = client("curl", words(&url)).await else { return };
        assert!(output.status.success(), "{options}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stdout == content(), "{options}");
    }
    let missing = words(&format!("-sS --max-time 30 tftp://127.0.0.1:{port}/nothing"));
    let Some(output) = client("curl", missing).await else { return };
    assert_eq!(output.status.code(), Some(68), "curl's code for a TFTP file that is not there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tftp_hpa_gets_the_file() {
    let port = serve(8).await;
    let target = std::env::temp_dir().join(format!("tftp-peer-{}-{port}", std::process::id()));
    for mode in ["binary", "ascii"] {
        let args = format!("-4 127.0.0.1 {port} -m {mode} -c get /boot/ipxe.efi {}", target.display());
        let Some(output) = client("tftp", words(&args)).await else { return };
        let got = std::fs::read(&target).unwrap_or_default();
        let _ = std::fs::remove_file(&target);
        assert!(output.status.success());
        if mode == "binary" {
            assert!(got == content(), "{output:?}");
        }
    }
    let args = format!("-4 127.0.0.1 {port} -m binary -c put /dev/null x");
    let Some(output) = client("tftp", words(&args)).await else { return };
    let said = [output.stdout, output.stderr].concat();
    assert!(String::from_utf8_lossy(&said).contains("read-only"), "{}", String::from_utf8_lossy(&said));
}

/// Sends a request from a socket and returns the first answer and whether it came from a new port.
async fn ask(port: u16, packet: Packet) -> Option<(Packet, bool)> {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(&packet.encode(), ("127.0.0.1", port)).await.unwrap();
    let mut buffer = [0; 2048];
    let received = tokio::time::timeout(Duration::from_secs(5), socket.recv_from(&mut buffer)).await.ok()?;
    let (len, from) = received.unwrap();
    Some((Packet::parse(&buffer[..len]).unwrap(), from.port() != port))
}

fn read(path: &str) -> Packet {
    Packet::Read(Request { path: path.to_owned(), mode: "octet".to_owned(), options: Vec::new() })
}

#[tokio::test]
async fn refusals() {
    let port = serve(8).await;
    assert!(matches!(ask(port, Packet::Write).await, Some((Packet::Error(2, _), _))));
    assert!(matches!(ask(port, read("/../etc/passwd")).await, Some((Packet::Error(2, _), _))));
    assert!(matches!(ask(port, read("nothing")).await, Some((Packet::Error(1, _), true))));
    assert!(matches!(ask(port, read("boot/ipxe.efi")).await, Some((Packet::Data(1, _), true))));
    let mail = Request { path: "x".to_owned(), mode: "mail".to_owned(), options: Vec::new() };
    assert!(matches!(ask(port, Packet::Read(mail)).await, Some((Packet::Error(4, _), _))));
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let taken = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr();
    let held = UdpSocket::bind(taken.unwrap()).await.unwrap();
    let error = bind(held.local_addr().unwrap()).await.unwrap_err();
    assert!(matches!(error, BindError::Taken(_)), "{error}");
    assert!(error.to_string().contains(&held.local_addr().unwrap().port().to_string()));
}
