//! IPMI 1.5 and 2.0 over LAN, by the program `ipmitool`.

use lifecycle::Power;
use secrets::Secret;

use super::{Firmware, Node, Parameters, host_and_port, parameter};
use crate::{
    Bmc, PowerError,
    error::shortened,
    program::{self, Ended, Output},
    types::Program,
};

const IPMITOOL: Program = Program { name: "ipmitool", package: "ipmitool" };
/// Bytes of a `K_g` key (IPMI 2.0, 13.33).
const KEY: usize = 20;

/// One machine's BMC.
#[derive(Debug, Clone)]
pub struct Ipmi {
    /// `host` or `host:port`, as it was sent.
    address: String,
    /// Arguments before the command.
    options: Vec<String>,
    password: Secret,
    /// The `K_g` key's bytes, where the BMC has one.
    key: Option<Secret>,
    boot: BootType,
    off: OffMode,
}

/// By which firmware the next start is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BootType {
    Legacy,
    Efi,
}

/// How a machine is switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OffMode {
    /// The power is cut.
    Hard,
    /// The operating system is asked (ACPI).
    Soft,
}

impl Ipmi {
    pub fn from_parameters(parameters: &Parameters<'_>, node: &Node<'_>) -> Result<Self, PowerError> {
        let address = parameters.text("power_address");
        let (host, port) = host_and_port(address).ok_or_else(|| {
            parameter("power_address", "it is no host name or IP address, with a port or without")
        })?;
        let lanplus = parameters.text("power_driver") != "LAN";
        // Asked three times, a second apart: what does not answer is told before the run's deadline.
        let interface = if lanplus { "lanplus" } else { "lan" };
        let mut options = words(&["-I", interface, "-N", "1", "-R", "2", "-H", host]);
        if let Some(port) = port {
            options.extend(["-p".to_owned(), port.to_string()]);
        }
        let user = parameters.text("power_user");
        if !user.is_empty() {
            options.extend(words(&["-U", user]));
        }
        options.extend(words(&["-L", level(parameters.text("privilege_level"))]));
        let suite = parameters.text("cipher_suite_id");
        if lanplus && !suite.is_empty() {
            if !suite.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(parameter("cipher_suite_id", "it is no number"));
            }
            options.extend(words(&["-C", suite]));
        }
        if let Some(oem) = parameters.text("workaround_flags").split(',').find_map(workaround) {
            options.extend(words(&["-o", oem]));
        }
        // The password and the key are read from the environment; -v has it tell why a session is refused.
        options.extend(words(&["-v", "-E"]));
        let key = parameters.secret("k_g");
        let key = if lanplus && !key.is_empty() { Some(key_bytes(&key)?) } else { None };
        if key.is_some() {
            options.push("-K".to_owned());
        }
        let password = parameters.secret("power_pass");
        if password.expose().contains('\0') || user.contains('\0') {
            return Err(parameter("power_pass", "neither it nor power_user may contain a null character"));
        }
        Ok(Self {
            address: address.to_owned(),
            options,
            password,
            key,
            boot: match (parameters.text("power_boot_type"), node.firmware) {
                ("efi", _) | ("auto", Firmware::Uefi) => BootType::Efi,
                _ => BootType::Legacy,
            },
            off: if parameters.text("power_off_mode") == "soft" { OffMode::Soft } else { OffMode::Hard },
        })
    }

    async fn run(&self, command: &[&str]) -> Result<String, PowerError> {
        let arguments = [self.options.clone(), words(command)].concat();
        let mut environment = vec![("IPMITOOL_PASSWORD", self.password.expose().as_bytes())];
        let key = self.key.as_ref().map(latin);
        if let Some(key) = &key {
            environment.push(("IPMI_KGKEY", key));
        }
        let output = program::run(IPMITOOL, &self.address, &arguments, &environment).await?;
        match output.ended {
            Ended::Well => Ok(output.text),
            Ended::Badly => Err(refusal(&self.address, command, &output)),
        }
    }
}

#[async_trait::async_trait]
impl Bmc for Ipmi {
    fn address(&self) -> &str {
        &self.address
    }

    async fn state(&self) -> Result<Power, PowerError> {
        let command = ["chassis", "power", "status"];
        let text = self.run(&command).await?;
        power(&text).ok_or_else(|| PowerError::Refused {
            address: self.address.clone(),
            what: command.join(" "),
            why: format!("ipmitool wrote: {}", shortened(&text)),
        })
    }

    async fn boot_network(&self) -> Result<(), PowerError> {
        let state = self.state().await?;
        // The BMC forgets it again if no start follows within a minute.
        match self.boot {
            BootType::Legacy => self.run(&["chassis", "bootdev", "pxe"]).await?,
            BootType::Efi => self.run(&["chassis", "bootdev", "pxe", "options=efiboot"]).await?,
        };
        let start = match state {
            // Every BMC has a reset, not every one a power cycle (IPMI 2.0, 28.3).
            Power::On => "reset",
            Power::Off => "on",
        };
        self.run(&["chassis", "power", start]).await.map(|_| ())
    }

    async fn on(&self) -> Result<(), PowerError> {
        match self.state().await? {
            Power::On => Ok(()),
            Power::Off => self.run(&["chassis", "power", "on"]).await.map(|_| ()),
        }
    }

    async fn off(&self) -> Result<(), PowerError> {
        let how = match self.off {
            OffMode::Hard => "off",
            OffMode::Soft => "soft",
        };
        match self.state().await? {
            Power::On => self.run(&["chassis", "power", how]).await.map(|_| ()),
            Power::Off => Ok(()),
        }
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// ipmitool's name of a privilege level.
fn level(sent: &str) -> &'static str {
    match sent {
        "USER" => "USER",
        "ADMIN" => "ADMINISTRATOR",
        _ => "OPERATOR",
    }
}

/// What ipmitool calls a workaround of freeipmi, whose names MAAS has. The others are what ipmitool does anyway
/// (`opensesspriv`), or has no name for.
fn workaround(flag: &str) -> Option<&'static str> {
    match flag.trim() {
        "intel20" => Some("intelplus"),
        "supermicro20" => Some("supermicro"),
        _ => None,
    }
}

/// A `K_g` key as sent: its characters, or `0x` and its bytes in hex, as freeipmi has it. One character a byte.
fn key_bytes(sent: &Secret) -> Result<Secret, PowerError> {
    let wrong = |why: &str| parameter("k_g", why);
    let bytes: Vec<u8> = match sent.expose().strip_prefix("0x") {
        None => sent.expose().as_bytes().to_vec(),
        Some(hex) => {
            let byte = |pair: &[u8]| {
                let pair = std::str::from_utf8(pair).ok()?;
                u8::from_str_radix(pair, 16).ok().filter(|_| !pair.starts_with('+') && pair.len() == 2)
            };
            let bytes: Option<Vec<u8>> = hex.as_bytes().chunks(2).map(byte).collect();
            bytes.ok_or_else(|| wrong("after 0x it has two hexadecimal digits a byte"))?
        }
    };
    if bytes.len() > KEY {
        return Err(wrong("it has 20 bytes at most"));
    }
    if bytes.contains(&0) {
        return Err(wrong("ipmitool takes no key with a zero byte"));
    }
    Ok(Secret::new(bytes.into_iter().map(char::from).collect::<String>()))
}

/// The bytes of a key that is kept as one character a byte.
fn latin(key: &Secret) -> Vec<u8> {
    key.expose().chars().filter_map(|c| u8::try_from(c).ok()).collect()
}

fn power(text: &str) -> Option<Power> {
    let state = text.lines().find_map(|line| line.trim().strip_prefix("Chassis Power is "))?;
    match state.trim() {
        "on" => Some(Power::On),
        "off" => Some(Power::Off),
        _ => None,
    }
}

/// What ipmitool's complaint means.
fn refusal(address: &str, command: &[&str], output: &Output) -> PowerError {
    let address = address.to_owned();
    let said = |words: &[&str]| words.iter().any(|word| output.complaint.contains(word));
    // Who does not know a user or finds a key wrong says so, or falls silent in the middle of the greeting.
    if said(&[
        "HMAC is invalid",
        "RAKP",
        "unauthorized name",
        "Invalid user name",
        "Get Session Challenge",
        "Activate Session",
        "Set Session Privilege Level",
    ]) {
        return PowerError::Credentials { address };
    }
    let lines: Vec<&str> = output.complaint.lines().filter(|line| !is_chatter(line)).collect();
    let why = if lines.is_empty() { shortened(&output.text) } else { shortened(&lines.join(" ")) };
    if said(&["Get Auth Capabilities", "Address lookup", "Could not open socket"]) {
        return PowerError::Unreachable { address, why };
    }
    PowerError::Refused { address, what: command.join(" "), why }
}

/// What ipmitool tells of itself where it is asked to tell why.
fn is_chatter(line: &str) -> bool {
    ["Loading IANA", "Running Get", "Invalid completion code", "Discovered IPMB", "Get HPM"]
        .iter()
        .any(|start| line.starts_with(start))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::types::Kind;

    fn made(sent: &[(&str, &str)], firmware: Firmware) -> Result<Ipmi, PowerError> {
        let sent: BTreeMap<String, Secret> =
            sent.iter().map(|(name, value)| ((*name).to_owned(), Secret::from(*value))).collect();
        let parameters = Parameters { kind: Kind::Ipmi, sent: &sent };
        Ipmi::from_parameters(&parameters, &Node { firmware, ..Node::default() })
    }

    #[test]
    fn parameters_become_options() {
        let plain = made(&[("power_address", "10.0.0.5"), ("power_user", "maas")], Firmware::Uefi).unwrap();
        assert_eq!(
            plain.options.join(" "),
            "-I lanplus -N 1 -R 2 -H 10.0.0.5 -U maas -L OPERATOR -C 3 -v -E"
        );
        assert_eq!((plain.boot, plain.off), (BootType::Efi, OffMode::Hard));
        let sent = [
            ("power_address", "[fd00::5]:6230"),
            ("power_driver", "LAN"),
            ("power_boot_type", "legacy"),
            ("privilege_level", "ADMIN"),
            ("workaround_flags", "opensesspriv,intel20"),
            ("power_off_mode", "soft"),
            ("k_g", "of 2.0 only"),
        ];
        let old = made(&sent, Firmware::Uefi).unwrap();
        assert_eq!(
            old.options.join(" "),
            "-I lan -N 1 -R 2 -H fd00::5 -p 6230 -L ADMINISTRATOR -o intelplus -v -E"
        );
        assert_eq!((old.boot, old.off, old.key), (BootType::Legacy, OffMode::Soft, None));
    }

    #[test]
    fn keys_as_text_and_as_hex() {
        let key = |text: &str| made(&[("power_address", "b"), ("k_g", text)], Firmware::Bios);
        assert_eq!(latin(key("geheim").unwrap().key.as_ref().unwrap()), b"geheim");
        assert_eq!(latin(key("0xfF01").unwrap().key.as_ref().unwrap()), [0xff, 1]);
        for wrong in ["0xabc", "0x00", "0xzz", "0x+1", "123456789012345678901"] {
            assert!(matches!(key(wrong), Err(PowerError::Parameter { name: "k_g", .. })), "{wrong}");
        }
    }

    #[test]
    fn complaints_are_told_apart() {
        let said = |complaint: &str| {
            let output = Output { ended: Ended::Badly, text: String::new(), complaint: complaint.to_owned() };
            refusal("b", &["chassis", "power", "status"], &output).word()
        };
        let end = "Error: Unable to establish IPMI v2 / RMCP+ session";
        assert_eq!(said(&format!("> RAKP 2 HMAC is invalid\n{end}")), "credentials");
        assert_eq!(said(&format!("> Error: no response from RAKP 1 message\n{end}")), "credentials");
        assert_eq!(
            said("Activate Session command failed\nError: Unable to establish LAN session"),
            "credentials"
        );
        assert_eq!(said(&format!("Get Auth Capabilities error\n{end}")), "unreachable");
        assert_eq!(said("Address lookup for b failed\nCould not open socket!"), "unreachable");
        assert_eq!(
            said(&format!(
                "Error in open session response message : invalid authentication algorithm\n{end}"
            )),
            "refused"
        );
        assert_eq!(said("Set Chassis Power Control to Up/On failed: Command not supported"), "refused");
    }

    proptest! {
        #[test]
        fn no_secret_is_an_argument(pass in "[a-z]{8,16}", key in "[A-Z]{8,20}", user in "[0-9]{1,9}") {
            let sent = [("power_address", "10.0.0.5"), ("power_user", &user), ("power_pass", &pass), ("k_g", &key)];
            let made = made(&sent, Firmware::Bios).unwrap();
            let options = made.options.join(" ");
            prop_assert!(!options.contains(&pass) && !options.contains(&key), "{}", options);
            let shown = format!("{made:?}");
            prop_assert!(!shown.contains(&pass), "{}", shown);
        }

        #[test]
        fn whatever_is_written_is_a_state_or_none(text in ".{0,60}") {
            if let Some(state) = power(&text) {
                prop_assert!(text.contains("Chassis Power is "), "{:?}", state);
            }
        }
    }
}
