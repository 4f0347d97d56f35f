//! Where the plane is, and the ways to it.

use std::{str::FromStr, sync::Arc};

use secrets::Secret;
use serde::Deserialize;
use tunnel::{Carrier, Connect, Memory, Tcp};
use url::Url;

/// The port, where none is named.
const HTTPS: u16 = 443;

/// A plane's port: `plane.example.com`, `plane.example.com:8443` or `https://plane.example.com`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct PlaneAddress {
    host: String,
    port: u16,
}

/// Why a text names no plane or proxy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlaneAddressError {
    /// The plane.
    #[error("{0:?} is no address of a plane: name its host and port, such as plane.example.com:443")]
    Plane(String),
    /// The proxy. It is not repeated: it may hold a password.
    #[error(
        "this is no proxy: it looks like http://proxy.example.com:3128, with user:password@ where it wants one"
    )]
    Proxy,
}

/// A plane, and the ways to it in the order in which they are tried.
#[derive(Debug, Clone)]
pub struct Plane {
    /// For people.
    pub name: String,
    /// The ways.
    pub carriers: Vec<Arc<dyn Carrier>>,
}

impl Plane {
    /// The one in this process.
    pub fn in_memory(carrier: Memory) -> Self {
        Self { name: carrier.describe(), carriers: vec![Arc::new(carrier)] }
    }
}

impl PlaneAddress {
    /// The plane there, by itself and through a proxy.
    ///
    /// # Errors
    /// [`PlaneAddressError::Proxy`]
    pub fn plane(&self, proxy: Option<&Secret>) -> Result<Plane, PlaneAddressError> {
        Ok(Plane { name: self.to_string(), carriers: self.carriers(proxy)? })
    }

    fn carriers(&self, proxy: Option<&Secret>) -> Result<Vec<Arc<dyn Carrier>>, PlaneAddressError> {
        let tcp = Tcp { host: self.host.clone(), port: self.port };
        let mut carriers: Vec<Arc<dyn Carrier>> = vec![Arc::new(tcp.clone())];
        if let Some(proxy) = proxy {
            carriers.push(Arc::new(connect(proxy, tcp)?));
        }
        Ok(carriers)
    }
}

impl std::fmt::Display for PlaneAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl FromStr for PlaneAddress {
    type Err = PlaneAddressError;

    fn from_str(text: &str) -> Result<Self, PlaneAddressError> {
        let wrong = || PlaneAddressError::Plane(text.to_owned());
        let whole = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
        let url = Url::parse(whole.trim()).map_err(|_| wrong())?;
        let plain = url.scheme() == "https"
            && url.path() == "/"
            && url.username().is_empty()
            && url.query().is_none();
        let host = url.host_str().filter(|_| plain).ok_or_else(wrong)?;
        Ok(Self { host: host.trim_matches(['[', ']']).to_owned(), port: url.port().unwrap_or(HTTPS) })
    }
}

impl TryFrom<String> for PlaneAddress {
    type Error = PlaneAddressError;

    fn try_from(text: String) -> Result<Self, PlaneAddressError> {
        text.parse()
    }
}

fn connect(proxy: &Secret, plane: Tcp) -> Result<Connect, PlaneAddressError> {
    let url = Url::parse(proxy.expose()).map_err(|_| PlaneAddressError::Proxy)?;
    let host = url.host_str().filter(|_| url.scheme() == "http").ok_or(PlaneAddressError::Proxy)?;
    let credentials = (!url.username().is_empty())
        .then(|| Secret::new(format!("{}:{}", url.username(), url.password().unwrap_or_default())));
    let proxy = Tcp { host: host.to_owned(), port: url.port_or_known_default().unwrap_or(80) };
    Ok(Connect { proxy, credentials, plane })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_an_address() {
        for (text, shown) in [
            ("plane.example.com", "plane.example.com:443"),
            ("https://plane.example.com/", "plane.example.com:443"),
            ("10.0.0.1:8443", "10.0.0.1:8443"),
            ("[2001:db8::1]:8443", "2001:db8::1:8443"),
        ] {
            assert_eq!(text.parse::<PlaneAddress>().unwrap().to_string(), shown);
        }
        for text in ["", "http://plane", "plane/v1", "https://user@plane", "plane:99999"] {
            assert!(text.parse::<PlaneAddress>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_proxy_is_the_second_way() {
        let plane: PlaneAddress = "plane.example.com".parse().unwrap();
        let proxy = Secret::from("http://me:hunter2@proxy.example.com:3128");
        let ways = plane.carriers(Some(&proxy)).unwrap();
        assert_eq!(ways.len(), 2);
        assert!(!format!("{ways:?}").contains("hunter2"));
        assert_eq!(plane.carriers(Some(&Secret::from("proxy:3128"))).unwrap_err(), PlaneAddressError::Proxy);
    }
}
