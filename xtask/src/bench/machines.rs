//! `GET machines/`, as clients send it, to the last byte.

use std::{
    fmt::Write as _,
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use disks::{Content, Disk};
use jiff::Timestamp;
use lifecycle::Status;
use model::{Link, LinkMode, Machine, Machines, Nic, Power, SCOPE, setup::AdminKey};
use reqwest::{Client, header::AUTHORIZATION};
use store::{Batch, Store};

use super::{
    Figure,
    rig::{Rig, program},
};
use crate::up;

/// MAAS on the same kind of machine: documents of the same size, to the last byte.
const PEER: &str = "recorded:maas-3.7.3";
/// How many machines, how often, and the peer's seconds.
const SIZES: [(u32, usize, Option<f64>); 3] =
    [(100, 30, Some(6.3)), (1000, 30, Some(64.9)), (10_000, 5, None)];
/// Most milliseconds that 1,000 machines may take.
const LIMIT_MS: f64 = 100.0;
/// Machines written at once.
const BATCH: u32 = 500;
const DISKS: u32 = 6;
const NICS: u32 = 5;
/// Addresses of a NIC: so many that a machine's JSON is as long as MAAS's.
const LINKS: u32 = 7;
/// MAAS's takes 42 kB.
const LEAST_BYTES: f64 = 40_000.0;

/// Lists of each size.
pub fn figures() -> Result<Vec<Figure>> {
    let program = program()?;
    let runtime = up::runtime()?;
    let mut figures = Vec::new();
    for (count, times, peer) in SIZES {
        let rig = Rig::new()?;
        runtime.block_on(async {
            let store = rig.store().await?;
            fill(&store, count).await?;
            store.close().await;
            anyhow::Ok(())
        })?;
        let region = rig.start(&program, None, None)?;
        let url = format!("http://{}/MAAS/api/2.0/machines/", region.api);
        let before = region.settled()?;
        let lists = runtime.block_on(async {
            let client = Client::new();
            let mut lists = Vec::new();
            for n in 0..=times {
                lists.push(list(&client, &url, &rig.key, n).await?);
            }
            anyhow::Ok(lists)
        })?;
        let (first, warm) = lists.split_first().context("no list was read")?;
        let mut seconds: Vec<f64> = warm.iter().map(|list| list.0.as_secs_f64()).collect();
        seconds.sort_by(f64::total_cmp);
        let figure =
            |name: &str, value, unit| Figure::new(format!("machines-list.{count}.{name}"), value, unit);
        let time = |name: &str, seconds: f64| {
            let figure = figure(name, seconds * 1e3, "ms");
            match peer {
                Some(peer) => figure.against(PEER, peer * 1e3),
                None => figure,
            }
        };
        let p99 = time("p99", percentile(&seconds, 99));
        let bytes = f64::from(u32::try_from(first.1)?) / f64::from(count);
        if bytes < LEAST_BYTES {
            bail!("a machine's JSON has {bytes:.0} bytes, MAAS's 42 kB: the comparison would be unfair");
        }
        figures.extend([
            figure("bytes-each", bytes, "B"),
            time("first", first.0.as_secs_f64()),
            time("p50", percentile(&seconds, 50)),
            if count == 1000 { p99.at_most(LIMIT_MS) } else { p99 },
            figure("resident-before", before, "MiB"),
            figure("resident-after", region.resident()?, "MiB"),
        ]);
    }
    Ok(figures)
}

/// Reads the list once: how long it took, and how long it is.
async fn list(client: &Client, url: &str, key: &AdminKey, nonce: usize) -> Result<(Duration, usize)> {
    let (consumer, token, secret) = (&key.consumer, &key.token, key.secret.expose());
    let now = Timestamp::now().as_second();
    let mut header = String::from("OAuth oauth_version=\"1.0\", oauth_signature_method=\"PLAINTEXT\"");
    write!(header, ", oauth_consumer_key=\"{consumer}\", oauth_token=\"{token}\"")?;
    write!(header, ", oauth_signature=\"%26{secret}\", oauth_nonce=\"{nonce}\", oauth_timestamp=\"{now}\"")?;
    let began = Instant::now();
    let mut answer = client.get(url).header(AUTHORIZATION, header).send().await?.error_for_status()?;
    let mut bytes = 0;
    while let Some(chunk) = answer.chunk().await? {
        bytes += chunk.len();
    }
    Ok((began.elapsed(), bytes))
}

/// The value that `percent` of `sorted` do not exceed.
fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

async fn fill(store: &Store, count: u32) -> Result<()> {
    let (now, machines) = (Timestamp::now(), Machines::new(store.clone()));
    for from in (0..count).step_by(BATCH as usize) {
        let mut batch = Batch::new("bench", "machine.fill");
        for n in from..count.min(from + BATCH) {
            let id = format!("{n:06}");
            let mut machine = machine(n, now);
            model::lay_out(&machines, &mut machine);
            batch = batch.claim(SCOPE, "hostname", &machine.hostname, &id);
            for nic in &machine.nics {
                batch = batch.claim(SCOPE, "mac", &nic.mac, &id);
            }
            batch = batch.create(SCOPE, &id, &machine);
        }
        store.commit(batch).await?;
    }
    Ok(())
}

/// A machine as a rack has them.
fn machine(n: u32, now: Timestamp) -> Machine {
    let mut machine = Machine::new(format!("node-{n}"), now);
    machine.status = Status::Ready;
    machine.power = Power { kind: "manual".to_owned(), parameters: [].into() };
    "off".clone_into(&mut machine.power_state);
    machine.hardware_uuid = Some(format!("6f0b1c7e-3c0a-4a53-9d5e-0000{n:08x}"));
    (machine.cpu_count, machine.cpu_speed, machine.memory) = (64, 3200, 262_144);
    machine.tags = ["rack-a", "nvme", "sriov"].map(str::to_owned).to_vec();
    machine.nics = (0..NICS).map(|i| nic(n, i)).collect();
    machine.storage.disks = (0..DISKS).map(|i| disk(n, i)).collect();
    machine
}

fn nic(n: u32, i: u32) -> Nic {
    let number = u64::from(n * NICS + i) + 1;
    let mac = (n * 8 + i).to_be_bytes().map(|byte| format!("{byte:02x}"));
    let link = |k: u32| Link {
        number: number * u64::from(LINKS) + u64::from(k),
        mode: LinkMode::Static,
        subnet: Some(1),
        ip: Some(Ipv4Addr::from_bits(0x0a14_0100 + ((n * NICS + i) * LINKS + k) % 0x7000)),
    };
    Nic {
        vlan: Some(5001),
        boot: i == 0,
        link_speed: 25_000,
        interface_speed: 25_000,
        vendor: "Mellanox Technologies".to_owned(),
        product: "MT27800 Family [ConnectX-5]".to_owned(),
        tags: vec!["sriov".to_owned()],
        links: (0..LINKS).map(link).collect(),
        ..Nic::physical(number, &format!("enp{i}s0f0"), &format!("52:54:{}", mac.join(":")))
    }
}

fn disk(n: u32, i: u32) -> Disk {
    Disk {
        number: u64::from(n * DISKS + i) + 1,
        name: format!("nvme{i}n1"),
        model: "SAMSUNG MZQL23T8HCLS-00A07".to_owned(),
        serial: format!("S64HNE0R{n:06}{i}"),
        id_path: format!("/dev/disk/by-id/nvme-SAMSUNG_MZQL23T8HCLS-00A07_S64HNE0R{n:06}{i}"),
        size: 3_840_755_982_336,
        block_size: 512,
        tags: vec!["ssd".to_owned()],
        firmware: "GDC5602Q".to_owned(),
        boot: i == 0,
        content: Content::default(),
    }
}
