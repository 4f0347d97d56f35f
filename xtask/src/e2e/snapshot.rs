//! Everything that a region and its lab hold, in a form that can be compared.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    process::{Command, Stdio},
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::{host, site::Site};

/// Lists of the API by kind of document.
const LISTS: [(&str, &str); 17] = [
    ("boot-resources", "boot-resources/"),
    ("dnsresources", "dnsresources/?all=true"),
    ("dnsresourcerecords", "dnsresourcerecords/"),
    ("domains", "domains/"),
    ("fabrics", "fabrics/"),
    ("ipaddresses", "ipaddresses/?all=true"),
    ("ipranges", "ipranges/"),
    ("machines", "machines/"),
    ("nodes", "nodes/"),
    ("resourcepools", "resourcepools/"),
    ("scripts", "scripts/"),
    ("spaces", "spaces/"),
    ("sshkeys", "account/prefs/sshkeys/"),
    ("subnets", "subnets/"),
    ("tags", "tags/"),
    ("users", "users/"),
    ("zones", "zones/"),
];
/// Keys whose values tell what happened and when, not what there is.
const TIMES: [&str; 4] = ["created", "updated", "last_deployed", "current_installation_result_id"];

/// Lines by kind.
#[derive(Debug, PartialEq, Eq)]
pub struct Snapshot(BTreeMap<String, BTreeSet<String>>);

impl Snapshot {
    /// Takes one.
    pub async fn take(site: &Site) -> Result<Self> {
        let status = site.lab.status().await?;
        let mut kinds: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut keep = |kind: &str, lines: Vec<String>| {
            kinds.insert(kind.to_owned(), numbered(lines));
        };
        for (kind, path) in LISTS {
            keep(kind, documents(&ask(site, path)?));
        }
        for subnet in site.region.subnets().await? {
            let leases = ask(site, &format!("subnets/{}/?op=ip_addresses", subnet.id))?;
            keep(&format!("addresses of {}", subnet.cidr), documents(&leases));
        }
        for machine in site.region.machines(&maas_client::MachineFilter::default()).await? {
            let reverse = machine.ip_addresses.iter().map(|ip| vec!["-x", ip.as_str()]);
            let mut answers = Vec::new();
            for question in [vec![machine.fqdn.as_str(), "A"], vec![machine.fqdn.as_str(), "AAAA"]]
                .into_iter()
                .chain(reverse)
            {
                answers.extend(dig(&status.netns, &question)?);
            }
            keep(&format!("DNS of {}", machine.fqdn), answers);
        }
        keep("files", host::files(&site.dir));
        for (kind, lines) in host::held(&status.name, &site.dir) {
            let named = lines.into_iter().map(|line| without_number(kind, &line)).collect();
            keep(kind, named);
        }
        Ok(Self(kinds))
    }

    /// How many of each kind.
    pub fn counts(&self) -> String {
        let counts: Vec<String> = self.0.iter().map(|(kind, all)| format!("{kind} {}", all.len())).collect();
        counts.join(", ")
    }

    /// What `after` has that this has not (`+`), and the other way round (`-`).
    pub fn differences(&self, after: &Self) -> Vec<String> {
        let (none, mut found) = (BTreeSet::new(), Vec::new());
        let kinds: BTreeSet<&String> = self.0.keys().chain(after.0.keys()).collect();
        for kind in kinds {
            let (old, new) = (self.0.get(kind).unwrap_or(&none), after.0.get(kind).unwrap_or(&none));
            found.extend(old.difference(new).map(|line| format!("- {kind}: {line}")));
            found.extend(new.difference(old).map(|line| format!("+ {kind}: {line}")));
        }
        found
    }
}

/// Equal lines stay apart: the second of them says so.
fn numbered(lines: Vec<String>) -> BTreeSet<String> {
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    let mut numbered = BTreeSet::new();
    for line in lines {
        let count = seen.entry(line.clone()).or_default();
        *count += 1;
        numbered.insert(if *count == 1 { line } else { format!("{line} ({count})") });
    }
    numbered
}

/// A process by what it is, a loop device by its file: their numbers are chance.
fn without_number(kind: &str, line: &str) -> String {
    let rest = line.split_once(' ').map_or(line, |(_, rest)| rest);
    if matches!(kind, "process" | "loop device") { rest.to_owned() } else { line.to_owned() }
}

/// One line for each document of a list, without its times.
fn documents(list: &Value) -> Vec<String> {
    let all = list.as_array().cloned().unwrap_or_else(|| vec![list.clone()]);
    all.into_iter().map(|document| without_times(document).to_string()).collect()
}

fn without_times(value: Value) -> Value {
    match value {
        Value::Object(map) => map
            .into_iter()
            .filter(|(key, _)| !TIMES.contains(&key.as_str()))
            .map(|(key, value)| (key, without_times(value)))
            .collect(),
        Value::Array(all) => all.into_iter().map(without_times).collect(),
        other => other,
    }
}

/// What the region's DNS answers, asked inside the site.
pub fn dig(netns: &str, question: &[&str]) -> Result<Vec<String>> {
    let fixed = ["netns", "exec", netns, "dig", "@10.20.0.1", "+noall", "+answer", "+tries=3", "+time=2"];
    let text = crate::shell::output("ip", &[&fixed, question].concat())?;
    Ok(text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect())
}

/// A list that the typed client has no operation for, or of which it would lose keys. The key goes by standard
/// input, so that it is in no list of processes.
fn ask(site: &Site, path: &str) -> Result<Value> {
    let key = std::fs::read_to_string(site.dir.join("admin.key"))?;
    let mut parts = key.trim().split(':');
    let mut part = || parts.next().unwrap_or_default();
    let (consumer, token, secret) = (part(), part(), part());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let config = format!(
        "url = \"http://{}/MAAS/api/2.0/{path}\"\nheader = \"Authorization: OAuth oauth_version=1.0, \
         oauth_signature_method=PLAINTEXT, oauth_consumer_key={consumer}, oauth_token={token}, \
         oauth_signature=%26{secret}, oauth_nonce={}, oauth_timestamp={now}\"\n",
        site.api,
        secrets::random_token(12)
    );
    let mut curl = Command::new("curl")
        .args(["-sS", "--fail-with-body", "--noproxy", "*", "--max-time", "30", "-K", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start curl")?;
    curl.stdin.take().context("curl takes no input")?.write_all(config.as_bytes())?;
    let out = curl.wait_with_output()?;
    let text = String::from_utf8_lossy(&out.stdout);
    ensure!(out.status.success(), "GET {path}: {text}");
    serde_json::from_str(&text).with_context(|| format!("GET {path}: {text}"))
}
