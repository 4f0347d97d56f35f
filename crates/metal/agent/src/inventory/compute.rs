//! CPUs and memory.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::tree::Tree;

/// One block of `/proc/cpuinfo`.
type Block = BTreeMap<String, String>;

/// `resources.cpu`.
pub fn cpu(tree: &Tree) -> Value {
    let text = tree.text("proc/cpuinfo").unwrap_or_default();
    let blocks: Vec<Block> = text.split("\n\n").map(block).filter(|b| b.contains_key("processor")).collect();
    let mut sockets: BTreeMap<u64, BTreeMap<u64, Vec<u64>>> = BTreeMap::new();
    for block in &blocks {
        let id = number(block, "processor").unwrap_or(0);
        let topology = |file: &str| tree.number(&format!("sys/devices/system/cpu/cpu{id}/topology/{file}"));
        let socket = number(block, "physical id").or_else(|| topology("physical_package_id")).unwrap_or(0);
        let core = number(block, "core id").or_else(|| topology("core_id")).unwrap_or(id);
        sockets.entry(socket).or_default().entry(core).or_default().push(id);
    }
    let first = blocks.first().cloned().unwrap_or_default();
    let field = |key: &str| first.get(key).cloned().unwrap_or_default();
    let mhz = tree
        .number("sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq")
        .map(|khz| khz / 1000)
        .or_else(|| field("cpu MHz").split('.').next()?.parse().ok())
        .unwrap_or(0);
    let list: Vec<Value> = sockets
        .iter()
        .map(|(socket, cores)| {
            let cores: Vec<Value> = cores
                .iter()
                .map(|(core, threads)| {
                    let threads: Vec<Value> = threads
                        .iter()
                        .zip(0..)
                        .map(|(id, thread)| {
                            json!({ "id": id, "thread": thread, "online": true, "numa_node": numa_of_cpu(tree, *id) })
                        })
                        .collect();
                    json!({ "core": core, "die": 0, "threads": threads, "frequency": mhz })
                })
                .collect();
            json!({
                "name": field("model name"),
                "vendor": field("vendor_id"),
                "socket": socket,
                "frequency": mhz,
                "frequency_turbo": mhz,
                "cores": cores,
            })
        })
        .collect();
    let architecture = rustix::system::uname().machine().to_string_lossy().into_owned();
    json!({ "architecture": architecture, "total": blocks.len(), "sockets": list })
}

/// `resources.memory`.
pub fn memory(tree: &Tree) -> Value {
    let text = tree.text("proc/meminfo").unwrap_or_default();
    let all = meminfo(&text);
    let field = |key: &str| all.get(key).copied().unwrap_or(0);
    let usable = field("MemTotal") * 1024;
    // What is plugged in, with what the kernel keeps for itself; where the two don't fit together (another
    // kernel's sysfs), what can be used is what there is.
    let total = plugged(tree).filter(|size| (usable..usable + usable / 4 + (128 << 20)).contains(size));
    let total = total.unwrap_or(usable);
    let page = field("Hugepagesize") * 1024;
    let (huge, huge_free) = (field("HugePages_Total") * page, field("HugePages_Free") * page);
    let node = json!({
        "numa_node": 0, "total": total, "used": total - (field("MemFree") * 1024).min(total),
        "hugepages_total": huge, "hugepages_used": huge - huge_free.min(huge),
    });
    json!({
        "nodes": [node],
        "total": total,
        "used": total - (field("MemAvailable") * 1024).min(total),
        "hugepages_size": page,
        "hugepages_total": huge,
        "hugepages_used": huge - huge_free.min(huge),
    })
}

fn plugged(tree: &Tree) -> Option<u64> {
    let size = tree.text("sys/devices/system/memory/block_size_bytes")?;
    let size = u64::from_str_radix(&size, 16).ok()?;
    let names = tree.names("sys/devices/system/memory");
    let blocks = names.iter().filter(|name| {
        name.strip_prefix("memory").is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    });
    let online = |name: &&String| {
        tree.text(&format!("sys/devices/system/memory/{name}/state")).as_deref() == Some("online")
    };
    size.checked_mul(blocks.filter(online).count() as u64)
}

fn numa_of_cpu(tree: &Tree, cpu: u64) -> u64 {
    let names = tree.names(&format!("sys/devices/system/cpu/cpu{cpu}"));
    names.iter().find_map(|name| name.strip_prefix("node")?.parse().ok()).unwrap_or(0)
}

fn block(text: &str) -> Block {
    let pairs = text.lines().filter_map(|line| line.split_once(':'));
    pairs.map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned())).collect()
}

fn number(block: &Block, key: &str) -> Option<u64> {
    block.get(key)?.parse().ok()
}

fn meminfo(text: &str) -> BTreeMap<&str, u64> {
    text.lines()
        .filter_map(|line| {
            let (key, value) = line.split_once(':')?;
            Some((key, value.split_whitespace().next()?.parse().ok()?))
        })
        .collect()
}
