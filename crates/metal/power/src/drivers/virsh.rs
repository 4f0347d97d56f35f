//! Virtual machines of libvirt, by the program `virsh`.

use std::collections::BTreeMap;

use lifecycle::Power;
use reqwest::Url;

use super::{Parameters, is_host, parameter};
use crate::{
    Bmc, PowerError,
    error::shortened,
    program::{self, Ended, Output},
    types::Program,
};

const VIRSH: Program = Program { name: "virsh", package: "libvirt-clients" };
/// Hypervisors that are spoken to; `test` is libvirt's own pretended one.
const HYPERVISORS: [&str; 3] = ["qemu", "xen", "test"];
/// Ways to them. `ext` is left out: it names a program to run.
const WAYS: [&str; 3] = ["ssh", "tls", "unix"];

/// One virtual machine.
#[derive(Debug, Clone)]
pub struct Virsh {
    /// libvirt's URI.
    uri: String,
    /// Its name or UUID.
    domain: String,
}

impl Virsh {
    pub fn from_parameters(parameters: &Parameters<'_>) -> Result<Self, PowerError> {
        let uri = parameters.text("power_address");
        check(uri).map_err(|why| parameter("power_address", why))?;
        let domain = parameters.text("power_id");
        if domain.is_empty() || domain.chars().any(char::is_control) {
            return Err(parameter("power_id", "it is no name or UUID of a virtual machine"));
        }
        if !parameters.secret("power_pass").is_empty() {
            return Err(parameter(
                "power_pass",
                "the region logs in to hypervisors by its SSH key only: let that in there, and leave this empty",
            ));
        }
        Ok(Self { uri: uri.to_owned(), domain: domain.to_owned() })
    }

    async fn run(&self, command: &str) -> Result<String, PowerError> {
        let arguments = self.arguments(command);
        // SSH asks nobody: a host or a key that it does not know is an error.
        let environment: &[(&str, &[u8])] = &[("SSH_ASKPASS_REQUIRE", b"never")];
        let output = program::run(VIRSH, &self.uri, &arguments, environment).await?;
        match output.ended {
            Ended::Well => Ok(output.text),
            Ended::Badly => Err(refusal(&self.uri, command, &output)),
        }
    }

    /// Values are part of their options, so that none can be taken for one.
    fn arguments(&self, command: &str) -> Vec<String> {
        let (uri, domain) = (&self.uri, &self.domain);
        vec![
            "--quiet".to_owned(),
            format!("--connect={uri}"),
            command.to_owned(),
            format!("--domain={domain}"),
        ]
    }
}

#[async_trait::async_trait]
impl Bmc for Virsh {
    fn address(&self) -> &str {
        &self.uri
    }

    async fn state(&self) -> Result<Power, PowerError> {
        let text = self.run("domstate").await?;
        power(&text).ok_or_else(|| PowerError::Refused {
            address: self.uri.clone(),
            what: "domstate".to_owned(),
            why: format!("virsh wrote: {}", shortened(&text)),
        })
    }

    /// By its own boot order, in which the network is to be first.
    async fn boot_network(&self) -> Result<(), PowerError> {
        match self.state().await? {
            Power::On => self.run("reset").await.map(|_| ()),
            Power::Off => self.run("start").await.map(|_| ()),
        }
    }

    async fn on(&self) -> Result<(), PowerError> {
        match self.state().await? {
            Power::On => Ok(()),
            Power::Off => self.run("start").await.map(|_| ()),
        }
    }

    async fn off(&self) -> Result<(), PowerError> {
        match self.state().await? {
            Power::On => self.run("destroy").await.map(|_| ()),
            Power::Off => Ok(()),
        }
    }
}

/// Whether a URI is one of a hypervisor, without anything that makes libvirt or SSH run a program.
fn check(uri: &str) -> Result<(), String> {
    let url = Url::parse(uri).map_err(|_| "it is no libvirt URI, such as qemu+ssh://user@host/system")?;
    let (hypervisor, way) = url.scheme().split_once('+').unwrap_or((url.scheme(), "unix"));
    if !HYPERVISORS.contains(&hypervisor) || !WAYS.contains(&way) {
        return Err(format!("{} is not spoken here, qemu+ssh, qemu+tls and qemu are", url.scheme()));
    }
    let mut asked: BTreeMap<_, _> = url.query_pairs().collect();
    // As MAAS has it: parameters may name programs.
    if asked.pop_first().is_some() || url.fragment().is_some() {
        return Err("parameters after the path are not taken".to_owned());
    }
    let host = url.host_str().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if !host.is_empty() && !is_host(host) {
        return Err("its host is no host name or IP address".to_owned());
    }
    if way != "unix" && host.is_empty() {
        return Err("it names no host".to_owned());
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    if url.username().starts_with('-') || !url.username().chars().all(plain) || url.password().is_some() {
        return Err("its user is no plain name".to_owned());
    }
    Ok(())
}

fn power(text: &str) -> Option<Power> {
    match text.trim() {
        "shut off" | "crashed" => Some(Power::Off),
        "running" | "idle" | "paused" | "in shutdown" | "pmsuspended" => Some(Power::On),
        _ => None,
    }
}

/// What virsh's complaint means.
fn refusal(uri: &str, command: &str, output: &Output) -> PowerError {
    let address = uri.to_owned();
    let said = |word: &str| output.complaint.contains(word);
    if said("Permission denied") || said("authentication failed") {
        return PowerError::Credentials { address };
    }
    let why = shortened(&output.complaint);
    if said("failed to connect") {
        return PowerError::Unreachable { address, why };
    }
    PowerError::Refused { address, what: command.to_owned(), why }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use secrets::Secret;

    use super::*;
    use crate::types::Kind;

    fn made(uri: &str, domain: &str) -> Result<Virsh, PowerError> {
        let sent = [("power_address", uri), ("power_id", domain)]
            .map(|(name, value)| (name.to_owned(), Secret::from(value)));
        Virsh::from_parameters(&Parameters { kind: Kind::Virsh, sent: &sent.into() })
    }

    #[test]
    fn addresses_of_hypervisors() {
        for uri in [
            "qemu+ssh://ubuntu@10.0.0.5/system",
            "qemu:///system",
            "qemu+tls://host.example:16514/system",
            "qemu+ssh://[fd00::5]/system",
        ] {
            assert!(made(uri, "vm1").is_ok(), "{uri}: {:?}", made(uri, "vm1"));
        }
        for uri in [
            "",
            "10.0.0.5",
            "qemu+ext://host/system?command=/bin/sh",
            "qemu+ssh://host/system?command=/bin/sh",
            "qemu+ssh://host/system?netcat=sh",
            "qemu+ssh://host/system#x",
            "qemu+ssh://-oProxyCommand=sh/system",
            "qemu+ssh://-lroot@host/system",
            "qemu+ssh://user:pass@host/system",
            "qemu+ssh:///system",
            "file:///etc/passwd",
            "--version",
        ] {
            assert!(matches!(made(uri, "vm1"), Err(PowerError::Parameter { .. })), "{uri}");
        }
    }

    proptest! {
        #[test]
        fn no_name_is_taken_for_an_option(domain in "[^\\x00-\\x1f\\x7f]{1,30}") {
            if let Ok(virsh) = made("qemu:///system", &domain) {
                let arguments = virsh.arguments("start");
                prop_assert_eq!(arguments.len(), 4);
                prop_assert_eq!(&arguments[3], &format!("--domain={domain}"));
            }
        }
    }
}
