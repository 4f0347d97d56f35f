//! The link between a site and the cloud beside it: one cable, and what may pass.

use std::fs;
use std::path::{Path, PathBuf};

use ipnet::Ipv4Net;

use crate::error::Doing as _;
use crate::netns::{self, BRIDGE};
use crate::options::Cloud;
use crate::{Cable, RackError, Rules, tool};

/// Both ends of the link, each in its namespace.
const LINK: &str = "uplink";

/// A link that is there. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Uplink {
    site: String,
    /// The rules, as nft was given them.
    file: PathBuf,
}

impl Uplink {
    /// Makes the cloud and the link, and routes between their networks; the rules are in force before anything passes.
    pub(crate) fn make(lab: &str, dir: &Path, cloud: &Cloud, subnet: Ipv4Net) -> Result<Self, RackError> {
        let (site, beyond) = (netns::site(lab), netns::cloud(lab));
        let site_end = cloud.site_end().unwrap_or(cloud.subnet);
        tool::run(&format!("ip netns add {beyond}"))?;
        tool::run(&format!("ip -n {beyond} link set lo up"))?;
        tool::run(&format!("ip -n {site} link add {LINK} type veth peer name {LINK} netns {beyond}"))?;
        let uplink = Self { site: site.clone(), file: dir.join("uplink.nft") };
        uplink.set_rules(&cloud.rules)?;
        for (end, address) in [(&site, site_end), (&beyond, cloud.subnet)] {
            tool::run(&format!("ip -n {end} addr add {address} dev {LINK}"))?;
            tool::run(&format!("ip -n {end} link set {LINK} up"))?;
        }
        tool::run(&format!("ip -n {beyond} route add {} via {}", subnet.trunc(), site_end.addr()))?;
        netns::inside(&site, || fs::write("/proc/sys/net/ipv4/ip_forward", "1"))
            .doing(|| format!("switching on routing in {site}"))?;
        Ok(uplink)
    }

    /// Plugs the cable in, or pulls it.
    pub(crate) fn set_cable(&self, cable: Cable) -> Result<(), RackError> {
        let state = match cable {
            Cable::Plugged => "up",
            Cable::Pulled => "down",
        };
        tool::run(&format!("ip -n {} link set {LINK} {state}", self.site)).map(drop)
    }

    /// Puts other rules in force, for connections that are open too.
    pub(crate) fn set_rules(&self, rules: &Rules) -> Result<(), RackError> {
        fs::write(&self.file, ruleset(rules)).doing(|| format!("writing {}", self.file.display()))?;
        let file = self.file.display().to_string();
        tool::run_words(&["ip", "netns", "exec", &self.site, "nft", "-f", &file]).map(drop)
    }
}

/// The rules, for nft: all in the site's namespace, through which everything passes. Answers pass by the ports of
/// what they answer, so that a port that is closed also ends what was open.
fn ruleset(rules: &Rules) -> String {
    let ways = [("to-cloud", "from-cloud", &rules.to_cloud), ("to-site", "from-site", &rules.to_site)];
    let chains: String = ways
        .into_iter()
        .map(|(there, back, ports)| {
            let rule = |protocol: &str, direction: &str, ports: &[String]| {
                format!("    {protocol} {direction} {{ {} }} accept\n", ports.join(", "))
            };
            let tcp: Vec<String> = ports.iter().map(u16::to_string).collect();
            let udp: Vec<String> = tcp.iter().filter(|port| *port == "53").cloned().collect();
            let chain = |name: &str, direction: &str, established: &str| {
                let mut rules = String::new();
                for (protocol, ports) in [("tcp", &tcp), ("udp", &udp)] {
                    if !ports.is_empty() {
                        rules.push_str(&rule(&format!("{established}{protocol}"), direction, ports));
                    }
                }
                format!("  chain {name} {{\n{rules}  }}\n")
            };
            chain(there, "dport", "") + &chain(back, "sport", "ct state established,related ")
        })
        .collect();
    let pass = |word: &str, chains: [&str; 2]| {
        chains.map(|chain| format!("    {word} \"{LINK}\" jump {chain}\n")).concat()
            + &format!("    {word} \"{LINK}\" drop\n")
    };
    let outwards = pass("oifname", ["to-cloud", "from-site"]);
    let inwards = pass("iifname", ["to-site", "from-cloud"]);
    format!(
        "table inet {LINK}\ndelete table inet {LINK}\ntable inet {LINK} {{\n{chains}\
         \x20 chain output {{\n    type filter hook output priority 0; policy accept;\n{outwards}  }}\n\
         \x20 chain input {{\n    type filter hook input priority 0; policy accept;\n{inwards}  }}\n\
         \x20 chain forward {{\n    type filter hook forward priority 0; policy drop;\n\
         \x20   iifname \"{BRIDGE}\" oifname \"{BRIDGE}\" accept\n{outwards}{inwards}  }}\n}}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_named_ports_pass() {
        let text = ruleset(&Rules { to_cloud: vec![443], to_site: vec![53, 5240] });
        let chain = |name: &str| {
            let body = text.split(&format!("chain {name} {{\n")).nth(1).unwrap();
            body.split("  }\n").next().unwrap().trim().to_owned()
        };
        assert_eq!(chain("to-cloud"), "tcp dport { 443 } accept");
        assert_eq!(chain("from-cloud"), "ct state established,related tcp sport { 443 } accept");
        assert_eq!(chain("to-site"), "tcp dport { 53, 5240 } accept\n    udp dport { 53 } accept");
        assert!(chain("forward").contains("policy drop") && chain("input").ends_with("drop"));
        let nothing = ruleset(&Rules::default());
        assert!(!nothing.contains("dport") && !nothing.contains("sport"));
    }
}
