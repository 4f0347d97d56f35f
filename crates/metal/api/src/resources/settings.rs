//! Settings by name (`maas/`). They are kept and answered; the region documents which ones it follows.

use std::time::Duration;

use model::{SCOPE, Setting};
use serde_json::{Value, json};

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
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// A text with this default.
    Text(&'static str),
    /// A text that is `null` until it is set.
    Unset,
    /// Yes or no.
    Flag(bool),
    /// A whole number.
    Number(u64),
    /// One of these; the first is the default.
    Choice(&'static [&'static str]),
}

use Kind::{Choice, Flag, Number, Text, Unset};

/// MAAS 3.7's settings in its order, with its defaults.
const SETTINGS: [(&str, Kind); 66] = [
    ("maas_name", Text("")),
    ("theme", Text("")),
    ("kernel_opts", Unset),
    ("enable_http_proxy", Flag(true)),
    ("maas_proxy_port", Number(8000)),
    ("use_peer_proxy", Flag(false)),
    ("prefer_v4_proxy", Flag(false)),
    ("http_proxy", Unset),
    ("default_dns_ttl", Number(30)),
    ("upstream_dns", Unset),
    ("dnssec_validation", Choice(&["auto", "yes", "no"])),
    ("maas_internal_domain", Text("maas-internal")),
    ("dns_trusted_acl", Unset),
    ("ntp_servers", Text("ntp.ubuntu.com")),
    ("ntp_external_only", Flag(false)),
    ("allow_only_trusted_transfers", Flag(false)),
    ("remote_syslog", Unset),
    ("maas_syslog_port", Number(5247)),
    ("network_discovery", Choice(&["enabled", "disabled"])),
    ("active_discovery_interval", Number(10800)),
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
    ("max_node_commissioning_results", Number(10)),
    ("max_node_testing_results", Number(10)),
    ("max_node_installation_results", Number(3)),
    ("max_node_release_results", Number(3)),
    ("subnet_ip_exhaustion_threshold_count", Number(16)),
    ("release_notifications", Flag(true)),
    ("use_rack_proxy", Flag(true)),
    ("node_timeout", Number(30)),
    ("prometheus_enabled", Flag(false)),
    ("prometheus_push_gateway", Unset),
    ("prometheus_push_interval", Number(60)),
    ("promtail_enabled", Flag(false)),
    ("promtail_port", Number(5238)),
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
    ("tls_cert_expiration_notification_interval", Number(30)),
    ("session_length", Number(1_209_600)),
    ("auto_vlan_creation", Flag(true)),
];

impl Kind {
    fn default(self) -> Value {
        match self {
            Text(text) => json!(text),
            Unset => Value::Null,
            Flag(flag) => json!(flag),
            Number(number) => json!(number),
            Choice(choices) => json!(choices.first()),
        }
    }

    /// Reads what was sent.
    fn parse(self, text: &str) -> Result<Value, String> {
        match self {
            Text(_) | Unset => Ok(json!(text)),
            Flag(_) => Ok(json!(is_true(text))),
            Number(_) => {
                text.trim().parse::<u64>().map(Value::from).map_err(|_| "Enter a whole number.".to_owned())
            }
            Choice(choices) if choices.contains(&text) => Ok(json!(text)),
            Choice(_) => Err(format!("Select a valid choice. {text} is not one of the available choices.")),
        }
    }
}

/// The setting that the call names.
fn named_setting(call: &Call) -> Result<(&'static str, Kind), ApiError> {
    let Some(name) = call.param("name").filter(|name| !name.is_empty()) else {
        return Err(ApiError::Bad("No provided name!".to_owned()));
    };
    SETTINGS.into_iter().find(|(known, _)| *known == name).ok_or_else(|| {
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
    let stored = call.store().get::<Setting>(SCOPE, name).map(|setting| setting.value.value.clone());
    Ok(Reply::PlainJson(stored.unwrap_or_else(|| match name {
        "maas_name" => json!(call.state.settings.maas_name),
        _ => kind.default(),
    })))
}

async fn set(call: Call) -> Answer {
    let (name, kind) = named_setting(&call)?;
    let sent = call.param("value").unwrap_or_default();
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
