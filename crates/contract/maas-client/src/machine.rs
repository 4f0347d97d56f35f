//! The machine object, as far as clients look at it; the rest is in `extra`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Domain, Extra, Status, Subnet, Vlan, tolerant::null_is_default};

/// A machine.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Machine {
    /// Six characters.
    pub system_id: String,
    /// Without domain.
    pub hostname: String,
    /// With domain.
    pub fqdn: String,
    /// The domain.
    pub domain: Option<Domain>,
    /// State by number.
    pub status: Status,
    /// State in words.
    #[serde(deserialize_with = "null_is_default")]
    pub status_name: String,
    /// The last thing that happened.
    #[serde(deserialize_with = "null_is_default")]
    pub status_message: String,
    /// Why it is broken or failed.
    #[serde(deserialize_with = "null_is_default")]
    pub error_description: String,
    /// `on`, `off`, `unknown`, `error`.
    #[serde(deserialize_with = "null_is_default")]
    pub power_state: String,
    /// Driver, such as `redfish`.
    #[serde(deserialize_with = "null_is_default")]
    pub power_type: String,
    /// Who has it.
    pub owner: Option<String>,
    /// Keys and values that its owner set.
    #[serde(deserialize_with = "null_is_default")]
    pub owner_data: BTreeMap<String, String>,
    /// Whether it refuses to be changed.
    pub locked: bool,
    /// Such as `amd64/generic`.
    #[serde(deserialize_with = "null_is_default")]
    pub architecture: String,
    /// Number of CPU threads.
    #[serde(deserialize_with = "null_is_default")]
    pub cpu_count: u64,
    /// MiB.
    #[serde(deserialize_with = "null_is_default")]
    pub memory: u64,
    /// Of all disks, in decimal MB.
    #[serde(deserialize_with = "null_is_default")]
    pub storage: f64,
    /// Operating system, where one is deployed or being deployed.
    #[serde(deserialize_with = "null_is_default")]
    pub osystem: String,
    /// Its series.
    #[serde(deserialize_with = "null_is_default")]
    pub distro_series: String,
    /// Addresses it has.
    #[serde(deserialize_with = "null_is_default")]
    pub ip_addresses: Vec<String>,
    /// Network interfaces.
    #[serde(deserialize_with = "null_is_default")]
    pub interface_set: Vec<Interface>,
    /// The interface it boots from.
    pub boot_interface: Option<Interface>,
    /// Disks.
    #[serde(deserialize_with = "null_is_default")]
    pub physicalblockdevice_set: Vec<Disk>,
    /// Tags.
    #[serde(deserialize_with = "null_is_default")]
    pub tag_names: Vec<String>,
    /// Availability zone.
    pub zone: Option<Named>,
    /// Resource pool.
    pub pool: Option<Named>,
    /// Maker, model and serial numbers.
    #[serde(deserialize_with = "null_is_default")]
    pub hardware_info: BTreeMap<String, serde_json::Value>,
    /// SMBIOS system UUID.
    pub hardware_uuid: Option<String>,
    /// The rest.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A network interface.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Interface {
    /// Number.
    pub id: i64,
    /// Such as `eno1`.
    #[serde(deserialize_with = "null_is_default")]
    pub name: String,
    /// `physical`, `bond`, `bridge`, `vlan`.
    #[serde(rename = "type", deserialize_with = "null_is_default")]
    pub kind: String,
    /// Lower case with colons.
    #[serde(deserialize_with = "null_is_default")]
    pub mac_address: String,
    /// The VLAN it is in.
    pub vlan: Option<Vlan>,
    /// Its addresses.
    #[serde(deserialize_with = "null_is_default")]
    pub links: Vec<Link>,
    /// The rest.
    #[serde(flatten)]
    pub extra: Extra,
}

/// An address of an interface.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Link {
    /// Number.
    pub id: i64,
    /// `auto`, `dhcp`, `static`, `link_up`.
    #[serde(deserialize_with = "null_is_default")]
    pub mode: String,
    /// The address, where there is one.
    pub ip_address: Option<String>,
    /// Its subnet.
    pub subnet: Option<Subnet>,
    /// The rest.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A disk.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Disk {
    /// Number.
    pub id: i64,
    /// Such as `sda`.
    #[serde(deserialize_with = "null_is_default")]
    pub name: String,
    /// Model.
    #[serde(deserialize_with = "null_is_default")]
    pub model: String,
    /// Serial number.
    #[serde(deserialize_with = "null_is_default")]
    pub serial: String,
    /// Bytes.
    #[serde(deserialize_with = "null_is_default")]
    pub size: u64,
    /// The rest.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A zone or a pool.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Named {
    /// Number.
    pub id: i64,
    /// Name.
    #[serde(deserialize_with = "null_is_default")]
    pub name: String,
    /// For people.
    #[serde(deserialize_with = "null_is_default")]
    pub description: String,
    /// The rest.
    #[serde(flatten)]
    pub extra: Extra,
}
