//! Zones, pools, tags, subnets, domains and names.

use reqwest::Method;
use serde::{Deserialize, Serialize};

use crate::{
    Client, Error, Extra, Named,
    client::{Body, Form},
    machines::given,
    tolerant::null_is_default,
};

/// A tag.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Tag {
    /// Name.
    pub name: String,
    /// For people.
    #[serde(deserialize_with = "null_is_default")]
    pub comment: String,
    /// `XPath` that machines match.
    #[serde(deserialize_with = "null_is_default")]
    pub definition: String,
    /// The rest.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A subnet.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Subnet {
    /// Number.
    pub id: i64,
    /// Name.
    #[serde(deserialize_with = "null_is_default")]
    pub name: String,
    /// Such as `10.20.0.0/16`.
    pub cidr: String,
    /// Router.
    pub gateway_ip: Option<String>,
    /// Resolvers.
    #[serde(deserialize_with = "null_is_default")]
    pub dns_servers: Vec<String>,
    /// Name of the space.
    #[serde(deserialize_with = "null_is_default")]
    pub space: String,
    /// The VLAN it lies in.
    pub vlan: Option<Vlan>,
    /// The rest.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A VLAN.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Vlan {
    /// Number.
    pub id: i64,
    /// Tag; 0 is untagged.
    pub vid: u16,
    /// Name.
    pub name: Option<String>,
    /// Name of the fabric.
    #[serde(deserialize_with = "null_is_default")]
    pub fabric: String,
    /// Bytes.
    #[serde(deserialize_with = "null_is_default")]
    pub mtu: u32,
    /// Whether addresses are given out.
    pub dhcp_on: bool,
    /// The rest.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A DNS zone.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Domain {
    /// Number.
    pub id: i64,
    /// Such as `maas`.
    pub name: String,
    /// Whether the region answers for it.
    pub authoritative: bool,
    /// Where machines go that name no other.
    pub is_default: bool,
    /// Seconds.
    pub ttl: Option<u32>,
    /// The rest.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A name with its addresses.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DnsResource {
    /// Number; -1 for what MAAS made of a machine.
    pub id: i64,
    /// The name.
    pub fqdn: String,
    /// Seconds.
    pub address_ttl: Option<u32>,
    /// Its addresses.
    #[serde(deserialize_with = "null_is_default")]
    pub ip_addresses: Vec<DnsAddress>,
    /// The rest.
    #[serde(flatten)]
    pub extra: Extra,
}

/// An address of a name.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DnsAddress {
    /// The address.
    pub ip: Option<String>,
    /// The rest.
    #[serde(flatten)]
    pub extra: Extra,
}

/// What a name is to be; absent keys stay as they are.
#[derive(Debug, Clone, Default)]
pub struct DnsResourceForm {
    /// The whole name.
    pub fqdn: Option<String>,
    /// Seconds.
    pub address_ttl: Option<u32>,
    /// All of its addresses.
    pub ip_addresses: Option<Vec<String>>,
}

impl DnsResourceForm {
    fn fields(&self) -> Form {
        given([
            ("fqdn", self.fqdn.as_ref()),
            ("address_ttl", self.address_ttl.map(|ttl| ttl.to_string()).as_ref()),
            ("ip_addresses", self.ip_addresses.as_ref().map(|all| all.join(" ")).as_ref()),
        ])
    }
}

impl Client {
    /// Availability zones.
    pub async fn zones(&self) -> Result<Vec<Named>, Error> {
        self.get(&["zones"], Form::new()).await
    }

    /// Resource pools.
    pub async fn pools(&self) -> Result<Vec<Named>, Error> {
        self.get(&["resourcepools"], Form::new()).await
    }

    /// Tags.
    pub async fn tags(&self) -> Result<Vec<Tag>, Error> {
        self.get(&["tags"], Form::new()).await
    }

    /// Subnets.
    pub async fn subnets(&self) -> Result<Vec<Subnet>, Error> {
        self.get(&["subnets"], Form::new()).await
    }

    /// DNS zones.
    pub async fn domains(&self) -> Result<Vec<Domain>, Error> {
        self.get(&["domains"], Form::new()).await
    }

    /// Names that people made; those of machines are not among them. With `fqdn` only that one.
    pub async fn dns_resources(&self, fqdn: Option<&str>) -> Result<Vec<DnsResource>, Error> {
        self.get(&["dnsresources"], given([("fqdn", fqdn.map(str::to_owned).as_ref())])).await
    }

    /// Makes a name.
    pub async fn create_dns_resource(&self, wanted: &DnsResourceForm) -> Result<DnsResource, Error> {
        self.post(&["dnsresources"], None, wanted.fields()).await
    }

    /// Changes a name.
    pub async fn update_dns_resource(&self, id: i64, wanted: &DnsResourceForm) -> Result<DnsResource, Error> {
        self.put(&["dnsresources", &id.to_string()], wanted.fields()).await
    }

    /// Removes a name.
    pub async fn delete_dns_resource(&self, id: i64) -> Result<(), Error> {
        self.order(Method::DELETE, &["dnsresources", &id.to_string()], Body::Empty).await
    }
}
