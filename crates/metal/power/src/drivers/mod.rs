//! The drivers, and making one from what is stored of a machine.

use std::{collections::BTreeMap, time::Duration};

use lifecycle::Power;
use secrets::Secret;
use tokio::time::{Instant, sleep};

use crate::{
    Bmc, PowerError, pace,
    types::{Kind, mac},
};

mod body;
mod ipmi;
mod manual;
pub mod redfish;
mod virsh;
mod wake_on_lan;
mod webhook;

/// What a driver is told of a machine beside its power parameters.
#[derive(Debug, Clone, Copy, Default)]
pub struct Node<'a> {
    /// How it starts, where that is known.
    pub firmware: Firmware,
    /// PEM of the CAs that its BMC is trusted by, instead of the public ones.
    pub ca: Option<&'a [u8]>,
}

/// How a machine starts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Firmware {
    /// By a BIOS, or it isn't known.
    #[default]
    Bios,
    /// By UEFI.
    Uefi,
}

/// The driver of a machine. Does nothing yet: so it also tells whether the parameters are any good.
///
/// # Errors
/// [`PowerError::Parameter`] where they are not.
pub fn driver(
    kind: Kind,
    parameters: &BTreeMap<String, Secret>,
    node: &Node<'_>,
) -> Result<Box<dyn Bmc>, PowerError> {
    let parameters = Parameters { kind, sent: parameters };
    Ok(match kind {
        Kind::Manual => Box::new(manual::Manual),
        Kind::Redfish => Box::new(redfish::Redfish::from_parameters(&parameters, node)?),
        Kind::Ipmi => Box::new(ipmi::Ipmi::from_parameters(&parameters, node)?),
        Kind::Webhook => Box::new(webhook::Webhook::from_parameters(&parameters)?),
        Kind::Virsh => Box::new(virsh::Virsh::from_parameters(&parameters)?),
        Kind::WakeOnLan => Box::new(wake_on_lan::WakeOnLan::from_parameters(&parameters)?),
    })
}

/// A machine's parameters, with the defaults of its power type.
#[derive(Debug, Clone, Copy)]
struct Parameters<'a> {
    kind: Kind,
    sent: &'a BTreeMap<String, Secret>,
}

impl<'a> Parameters<'a> {
    fn text(&self, name: &str) -> &'a str {
        let sent = self.sent.get(name).map(Secret::expose).filter(|value| !value.is_empty());
        let field = || self.kind.row().fields.iter().find(|field| field.name == name);
        sent.or_else(|| Some(field()?.default)).unwrap_or_default()
    }

    fn secret(&self, name: &str) -> Secret {
        Secret::from(self.text(name))
    }

    fn mac(&self, name: &'static str) -> Result<[u8; 6], PowerError> {
        mac(self.text(name)).ok_or_else(|| parameter(name, "it is no MAC address"))
    }
}

/// Asks a BMC that was told to switch off until it says so, soon and then less often; whether it did within `limit`.
///
/// # Errors
/// Why it could not be asked.
pub(crate) async fn goes_off(bmc: &dyn Bmc, limit: Duration) -> Result<bool, PowerError> {
    let until = Instant::now() + limit;
    for asked in 0.. {
        if bmc.state().await? == Power::Off {
            return Ok(true);
        }
        let pause = pace::confirm_again(asked);
        if Instant::now() + pause > until {
            break;
        }
        sleep(pause).await;
    }
    Ok(false)
}

fn parameter(name: &'static str, why: impl Into<String>) -> PowerError {
    PowerError::Parameter { name, why: why.into() }
}

/// A host name or an IP address: nothing that a program could take for an option, or a shell for anything.
fn is_host(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-.:_%".contains(c);
    !text.is_empty() && text.len() <= 253 && !text.starts_with('-') && text.chars().all(plain)
}

/// A host and a port, where one is named: `host`, `host:port`, an IPv6 address, or that in brackets with a port.
fn host_and_port(text: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']')?;
            let port = after.strip_prefix(':');
            if port.is_none() && !after.is_empty() {
                return None;
            }
            (host, port)
        }
        None if text.matches(':').count() == 1 => {
            let (host, port) = text.split_once(':')?;
            (host, Some(port))
        }
        None => (text, None),
    };
    let port = port.map(str::parse::<u16>).transpose().ok()?.filter(|port| *port > 0);
    is_host(host).then_some((host, port))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::types::ALL;

    #[test]
    fn hosts_and_ports() {
        assert_eq!(host_and_port("10.0.0.5"), Some(("10.0.0.5", None)));
        assert_eq!(host_and_port("bmc-5.example:6230"), Some(("bmc-5.example", Some(6230))));
        assert_eq!(host_and_port("fd00::5"), Some(("fd00::5", None)));
        assert_eq!(host_and_port("[fd00::5]:623"), Some(("fd00::5", Some(623))));
        for wrong in ["", "-x", "a b", "host:", "host:70000", "[fd00::5]x", "$(id)", "a;b", "[fd00::5"] {
            assert_eq!(host_and_port(wrong), None, "{wrong}");
        }
    }

    proptest! {
        /// Whatever is stored, making a driver ends with one or with a sentence.
        #[test]
        fn any_parameters_make_a_driver_or_a_sentence(values in proptest::collection::vec(".{0,20}", 12)) {
            for known in ALL {
                let sent: BTreeMap<String, Secret> = known
                    .fields
                    .iter()
                    .zip(&values)
                    .map(|(field, value)| (field.name.to_owned(), Secret::from(value.as_str())))
                    .collect();
                if let Err(error) = driver(known.kind, &sent, &Node::default()) {
                    prop_assert!(!error.is_of_the_bmc(), "{}", error);
                }
            }
        }
    }
}
