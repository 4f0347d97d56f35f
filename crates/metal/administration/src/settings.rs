//! Settings by name (`maas/`). All are kept and answered; the region follows `maas_name`, `default_dns_ttl` and
//! `upstream_dns`.

use std::{net::IpAddr, ops::RangeInclusive, time::Duration};

use model::{SCOPE, Setting};
use serde_json::{Value, json};

use super::repositories;
use api_call::{
    Answer, ApiError, Call, Reply,
    edit::edit,
    is_true,
    route::{Resource, named},
};

/// The settings.
pub fn resources() -> Vec<Resource> {
    vec![Resource {
        name: "MaasHandler",
        path: "maas/",
        params: &[],
        ops: vec![
            named!(GET, "get_config", User, "Reads the setting `name`.", get),
            named!(POST, "set_config", Admin, "Sets the setting `name` to `value`.", set),
            named!(
                GET,
                "reach",
                Admin,
                "Whether this region can open a TCP connection to `host` and `port` (an extension of Bessemer).",
                reach
            ),
        ],
    }]
}

/// What a setting may be.
#[derive(Debug, Clone)]
enum Kind {
    /// A text with this default.
    Text(&'static str),
    /// A text that is `null` until it is set.
    Unset,
    /// Yes or no.
    Flag(bool),
    /// A whole number in these limits.
    Number(u64, RangeInclusive<u64>),
    /// One of these; the first is the default.
    Choice(&'static [&'static str]),
    /// Addresses between blanks or commas, `null` until they are set.
    Addresses,
    /// Networks, names or addresses between blanks or commas, `null` until they are set.
    Hosts,
    /// A URL, `null` until it is set.
    Url,
    /// A port of MAAS's services.
    Port(u64),
    /// The address of a package repository.
    Repository,
}

use Kind::{Addresses, Choice, Flag, Hosts, Number, Port, Repository, Text, Unset, Url};

/// Any number.
const ANY: RangeInclusive<u64> = 0..=u64::MAX;
/// Any number but nought.
const SOME: RangeInclusive<u64> = 1..=u64::MAX;

/// MAAS 3.7's settings in its order, with its defaults.
static SETTINGS: [(&str, Kind); 66] = [
    ("maas_name", Text("")),
    ("theme", Text("")),
    ("kernel_opts", Unset),
    ("enable_http_proxy", Flag(true)),
    ("maas_proxy_port", Port(8000)),
    ("use_peer_proxy", Flag(false)),
    ("prefer_v4_proxy", Flag(false)),
    ("http_proxy", Url),
    ("default_dns_ttl", Number(30, 1..=2_147_483_647)),
    ("upstream_dns", Addresses),
    ("dnssec_validation", Choice(&["auto", "yes", "no"])),
    ("maas_internal_domain", Text("maas-internal")),
    ("dns_trusted_acl", Hosts),
    ("ntp_servers", Text("ntp.ubuntu.com")),
    ("ntp_external_only", Flag(false)),
    ("allow_only_trusted_transfers", Flag(false)),
    ("remote_syslog", Unset),
    ("maas_syslog_port", Port(5247)),
    ("network_discovery", Choice(&["enabled", "disabled"])),
    ("active_discovery_interval", Number(10800, ANY)),
    ("default_boot_interface_link_type", Choice(&["auto", "dhcp", "link_up"])),
    ("default_osystem", Text("ubuntu")),
    ("default_distro_series", Text("noble")),
    ("default_min_hwe_kernel", Text("")),
    ("enable_kernel_crash_dump", Flag(false)),
    ("default_storage_layout", Choice(&["flat", "lvm", "bcache", "vmfs6", "vmfs7", "custom", "blank"])),
    ("commissioning_distro_series", Text("noble")),
    ("enable_third_party_drivers", Flag(true)),
    ("windows_kms_host", Unset),
    ("enable_disk_erasing_on_release", Flag(false)),
    ("disk_erase_with_secure_erase", Flag(true)),
    ("disk_erase_with_quick_erase", Flag(false)),
    ("boot_images_auto_import", Flag(true)),
    ("boot_images_no_proxy", Flag(false)),
    ("curtin_verbose", Flag(true)),
    ("force_v1_network_yaml", Flag(false)),
    ("enable_analytics", Flag(true)),
    ("completed_intro", Flag(false)),
    ("max_node_commissioning_results", Number(10, SOME)),
    ("max_node_testing_results", Number(10, SOME)),
    ("max_node_installation_results", Number(3, SOME)),
    ("max_node_release_results", Number(3, SOME)),
    ("subnet_ip_exhaustion_threshold_count", Number(16, SOME)),
    ("release_notifications", Flag(true)),
    ("use_rack_proxy", Flag(true)),
    ("node_timeout", Number(30, SOME)),
    ("prometheus_enabled", Flag(false)),
    ("prometheus_push_gateway", Unset),
    ("prometheus_push_interval", Number(60, ANY)),
    ("promtail_enabled", Flag(false)),
    ("promtail_port", Number(5238, 1..=65_535)),
    ("enlist_commissioning", Flag(true)),
    ("maas_auto_ipmi_user", Text("maas")),
    ("maas_auto_ipmi_user_privilege_level", Choice(&["ADMIN", "OPERATOR", "USER"])),
    ("maas_auto_ipmi_k_g_bmc_key", Text("")),
    ("maas_auto_ipmi_cipher_suite_id", Text("3")),
    ("maas_auto_ipmi_workaround_flags", Unset),
    ("vcenter_server", Text("")),
    ("vcenter_username", Text("")),
    ("vcenter_password", Text("")),
    ("vcenter_datacenter", Text("")),
    ("hardware_sync_interval", Text("15m")),
    ("tls_cert_expiration_notification_enabled", Flag(false)),
    ("tls_cert_expiration_notification_interval", Number(30, 1..=90)),
    ("session_length", Number(1_209_600, 10..=1_209_600)),
    ("auto_vlan_creation", Flag(true)),
];

/// Where packages come from: settings of old that are repositories now.
static REPOSITORIES: [(&str, Kind); 2] = [("main_archive", Repository), ("ports_archive", Repository)];

impl Kind {
    fn default(&self) -> Value {
        match self {
            Text(text) => json!(text),
            Unset | Addresses | Hosts | Url | Repository => Value::Null,
            Flag(flag) => json!(flag),
            Number(number, _) | Port(number) => json!(number),
            Choice(choices) => json!(choices.first()),
        }
    }

    /// Reads what was sent.
    fn parse(&self, text: &str) -> Result<Value, String> {
        let trimmed = text.trim();
        match self {
            Text(_) | Unset | Repository => Ok(json!(text)),
            Flag(_) => Ok(json!(is_true(text))),
            Number(_, limits) => {
                let number: u64 = trimmed.parse().map_err(|_| "Enter a whole number.".to_owned())?;
                if number < *limits.start() {
                    Err(format!("Ensure this value is greater than or equal to {}.", limits.start()))
                } else if number > *limits.end() {
                    Err(format!("Ensure this value is less than or equal to {}.", limits.end()))
                } else {
                    Ok(json!(number))
                }
            }
            Port(own) => port(trimmed, *own).map(Value::from),
            Choice(choices) if choices.contains(&text) => Ok(json!(text)),
            Choice(_) => Err(format!("Select a valid choice. {text} is not one of the available choices.")),
            Addresses => all(trimmed, |word| {
                word.parse::<IpAddr>().map(|_| ()).map_err(|_| {
                    format!("Invalid IP address: {word}; provide a list of space-separated IP addresses")
                })
            }),
            Hosts => all(trimmed, |word| {
                let fine = word.chars().all(|c| c.is_ascii_alphanumeric() || ".:/-_".contains(c));
                if fine { Ok(()) } else { Err(format!("Invalid ACL: {word}")) }
            }),
            Url if trimmed.is_empty() => Ok(json!("")),
            Url => match url::Url::parse(trimmed) {
                Ok(url) if ["http", "https"].contains(&url.scheme()) && url.has_host() => Ok(json!(trimmed)),
                _ => Err("Enter a valid url (e.g. http://host.example.com).".to_owned()),
            },
        }
    }
}

/// Words between blanks or commas, each checked, with one blank between them.
fn all(text: &str, check: impl Fn(&str) -> Result<(), String>) -> Result<Value, String> {
    let words: Vec<&str> = api_call::words(text).collect();
    words.iter().try_for_each(|word| check(word))?;
    Ok(json!(words.join(" ")))
}

/// A port that a service may be moved to from its `own`: none that MAAS itself or the system needs.
fn port(text: &str, own: u64) -> Result<u64, String> {
    let number: u64 = text.parse().map_err(|_| "Enter a whole number.".to_owned())?;
    match number {
        65_536.. => Err("Unable to change port number. Port number is not between 0 - 65535.".to_owned()),
        _ if number == own => Ok(number),
        0..=1023 => {
            Err("Unable to change port number. Port number is reserved for system services.".to_owned())
        }
        5240..=5270 | 3128 => {
            Err("Unable to change port number. Port number is reserved for MAAS services.".to_owned())
        }
        _ => Ok(number),
    }
}

/// The setting that the call names.
fn named_setting(call: &Call) -> Result<(&'static str, &'static Kind), ApiError> {
    let Some(name) = call.param("name").filter(|name| !name.is_empty()) else {
        return Err(ApiError::Bad("No provided name!".to_owned()));
    };
    let name = if name == "ntp_server" { "ntp_servers" } else { name };
    let known = SETTINGS.iter().chain(&REPOSITORIES).find(|(known, _)| *known == name);
    known.map(|(name, kind)| (*name, kind)).ok_or_else(|| {
        let names: Vec<_> = SETTINGS.iter().map(|(name, _)| *name).collect();
        let names = names.join(", ");
        ApiError::field(name, format!("{name} is not a valid config setting (valid settings are: {names})."))
    })
}

/// How long a connection may take.
const REACH: Duration = Duration::from_secs(3);

/// The way back from a site: whether what is far away can be reached from here.
async fn reach(call: Call) -> Answer {
    let host = call.param("host").unwrap_or_default().to_owned();
    let port = call.param("port").and_then(|port| port.parse::<u16>().ok());
    let port = port.ok_or_else(|| ApiError::field("port", "Enter a whole number."))?;
    let tried = tokio::time::timeout(REACH, tokio::net::TcpStream::connect((host.as_str(), port))).await;
    let reached = match tried {
        Ok(Ok(_)) => true,
        // Something there has said no: the way is open.
        Ok(Err(error)) => error.kind() == std::io::ErrorKind::ConnectionRefused,
        Err(_) => false,
    };
    Ok(Reply::Json(json!({ "reached": reached })))
}

async fn get(call: Call) -> Answer {
    let (name, kind) = named_setting(&call)?;
    if matches!(kind, Repository) {
        return Ok(Reply::PlainJson(json!(repositories::address(&call, name)?)));
    }
    Ok(Reply::PlainJson(Setting::of(call.store(), name).unwrap_or_else(|| match name {
        "maas_name" => json!(call.state.settings.maas_name),
        _ => kind.default(),
    })))
}

async fn set(call: Call) -> Answer {
    let (name, kind) = named_setting(&call)?;
    if matches!(kind, Repository) {
        return repositories::set_address(&call, name).await;
    }
    let Some(sent) = call.param("value") else { return Err(ApiError::Bad("No provided value!".to_owned())) };
    let value = kind.parse(sent).map_err(|words| ApiError::field(name, words))?;
    edit(&call, "setting.set", |batch| {
        let setting = Setting { value: value.clone() };
        let batch = match call.store().get::<Setting>(SCOPE, name) {
            Some(seen) => batch.update(SCOPE, name, seen.version, &setting),
            None => batch.create(SCOPE, name, &setting),
        };
        Ok((batch, Reply::Ok))
    })
    .await
}
