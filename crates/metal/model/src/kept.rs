//! What people tell a region beside machines and networks. Ids are numbers as text unless said otherwise.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use store::Document;

macro_rules! document {
    ($type:ty, $kind:literal) => {
        impl Document for $type {
            const KIND: &'static str = $kind;
        }
    };
}

/// A certificate of a user, PEM.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SslKey {
    /// Whose it is.
    pub user: String,
    /// The text as it was sent.
    pub key: String,
}
document!(SslKey, "ssl_key");

/// A small file that a user keeps; the claim `file` of `USER/NAME` leads to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredFile {
    /// Whose it is.
    pub user: String,
    /// Its name.
    pub name: String,
    /// Opens it without an API key; a UUID, claimed as `file_key`.
    pub key: secrets::Secret,
    /// The content, base64.
    pub content: String,
}
document!(StoredFile, "file");

/// A message to people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Notification {
    /// What other programs find it by; unique, claimed as `notification`.
    pub ident: Option<String>,
    /// To this user.
    pub user: Option<String>,
    /// To all users.
    pub users: bool,
    /// To all administrators.
    pub admins: bool,
    /// The sentence, with `{names}` of the context.
    pub message: String,
    /// Values for the sentence.
    pub context: Map<String, Value>,
    /// `error`, `warning`, `success` or `info`.
    pub category: String,
    /// Whether users may put it away.
    pub dismissable: bool,
    /// Users who have.
    pub dismissed_by: Vec<String>,
}
document!(Notification, "notification");

/// Where machines get packages from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PackageRepository {
    /// Name, unique, claimed as `package_repository`.
    pub name: String,
    /// `http://…`, or `ppa:…`.
    pub url: String,
    /// Suites; empty: that of the machine.
    pub distributions: Vec<String>,
    /// Pockets that are left out, such as `backports`.
    pub disabled_pockets: Vec<String>,
    /// Components that are left out, such as `universe`.
    pub disabled_components: Vec<String>,
    /// Whether sources are left out.
    pub disable_sources: bool,
    /// Components.
    pub components: Vec<String>,
    /// Architectures.
    pub arches: Vec<String>,
    /// PGP key.
    pub key: String,
    /// Whether it is used.
    pub enabled: bool,
    /// Whether it is one of the two that every region has.
    pub default: bool,
}
document!(PackageRepository, "package_repository");

/// DHCP options for everybody, a subnet or a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DhcpSnippet {
    /// For people.
    pub name: String,
    /// For people.
    pub description: String,
    /// Whether it is used.
    pub enabled: bool,
    /// System id of the node whose requests it is for.
    pub node: Option<String>,
    /// Number of the subnet that it is for.
    pub subnet: Option<u64>,
    /// Versions of its text by number; the last is used.
    pub values: BTreeMap<u64, SnippetValue>,
}
document!(DhcpSnippet, "dhcp_snippet");

/// A version of a snippet's text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SnippetValue {
    /// Statements of dhcpd's language.
    pub text: String,
    /// When it was written.
    pub created: Timestamp,
}

impl DhcpSnippet {
    /// The text that is used.
    pub fn value(&self) -> &str {
        self.values.last_key_value().map_or("", |(_, value)| value.text.as_str())
    }
}

/// Where images are published.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BootSource {
    /// For people.
    pub name: String,
    /// Folder of simplestreams, without a slash at the end; unique, claimed as `boot_source`.
    pub url: String,
    /// Higher ones come first.
    pub priority: u64,
    /// Whether images are taken from it.
    pub enabled: bool,
    /// File with the keys that may sign.
    pub keyring_filename: String,
    /// Those keys themselves, base64.
    pub keyring_data: String,
    /// Whether signatures are not looked at.
    pub skip_keyring_verification: bool,
    /// When it was made.
    pub created: Timestamp,
    /// When it was changed.
    pub updated: Timestamp,
}
document!(BootSource, "boot_source");

/// Which images of a source are wanted; `*` is all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BootSourceSelection {
    /// The source's number.
    pub source: u64,
    /// Such as `ubuntu`.
    pub os: String,
    /// Such as `noble`.
    pub release: String,
    /// Architectures.
    pub arches: Vec<String>,
    /// Subarchitectures.
    pub subarches: Vec<String>,
    /// Labels.
    pub labels: Vec<String>,
}
document!(BootSourceSelection, "boot_source_selection");
