//! Reading requests: method, path and query, as the distribution specification has them.

use axum::http::{Method, StatusCode};
use oci_spec::image::Digest;

use crate::{Code, Refusal};

/// Longest repository name, as other registries have it.
const NAME_LIMIT: usize = 255;

/// A request before it is read.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// The HTTP method.
    pub method: &'a Method,
    /// The path, which needs no percent-decoding: legal ones have nothing to encode.
    pub path: &'a str,
    /// The query without its question mark.
    pub query: &'a str,
}

/// A request for something this registry might have. `GET` and `HEAD` are alike here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// `/v2/`: is this a registry?
    Version,
    /// `/v2/_catalog`
    Catalog(Page),
    /// `/v2/<name>/tags/list`
    Tags {
        /// The repository.
        name: String,
        /// The host that the client would have asked.
        host: Option<String>,
        /// Which part of the list.
        page: Page,
    },
    /// `/v2/<name>/manifests/<reference>`
    Manifest {
        /// The repository.
        name: String,
        /// The host that the client would have asked.
        host: Option<String>,
        /// Which manifest.
        pointer: Pointer,
    },
    /// `/v2/<name>/blobs/<digest>`
    Blob {
        /// The repository.
        name: String,
        /// The host that the client would have asked.
        host: Option<String>,
        /// Which blob.
        digest: Digest,
    },
}

/// What points to a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pointer {
    /// A name for it, such as `v1.36.3`.
    Tag(String),
    /// Its content.
    Digest(Digest),
}

/// Which part of a list is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// At most so many; `None` for all.
    pub limit: Option<usize>,
    /// Only what comes after this.
    pub after: Option<String>,
}

impl Request {
    /// Reads a request.
    ///
    /// # Errors
    /// A [`Refusal`] for what is malformed, unknown, or would write.
    pub fn parse(ask: Ask<'_>) -> Result<Self, Refusal> {
        let read_only = || Refusal {
            status: StatusCode::METHOD_NOT_ALLOWED,
            code: Code::Unsupported,
            message: format!("{} is not done here: this registry is read-only", ask.method),
        };
        if ask.method != Method::GET && ask.method != Method::HEAD {
            return Err(read_only());
        }
        let unknown =
            || Refusal::not_found(Code::Unsupported, format!("{} is no path of this API", ask.path));
        let rest = match ask.path {
            "/v2" => "",
            path => path.strip_prefix("/v2/").ok_or_else(unknown)?,
        };
        let words = || Words::of(ask.query);
        match rest {
            "" => return Ok(Self::Version),
            "_catalog" => return Ok(Self::Catalog(words().page()?)),
            _ => {}
        }
        if let Some(name) = rest.strip_suffix("/tags/list") {
            let (name, host) = (repository(name)?, words().host()?);
            return Ok(Self::Tags { name, host, page: words().page()? });
        }
        // Names may have segments named `manifests` or `blobs`: the last ones count.
        let (front, last) = rest.rsplit_once('/').ok_or_else(unknown)?;
        if let Some(name) = front.strip_suffix("/manifests") {
            let (name, host) = (repository(name)?, words().host()?);
            return Ok(Self::Manifest { name, host, pointer: pointer(last)? });
        }
        if let Some(name) = front.strip_suffix("/blobs") {
            let (name, host) = (repository(name)?, words().host()?);
            return Ok(Self::Blob { name, host, digest: digest(last)? });
        }
        Err(unknown())
    }
}

fn repository(text: &str) -> Result<String, Refusal> {
    if is_name(text) {
        return Ok(text.to_owned());
    }
    Err(Refusal::bad(
        Code::NameInvalid,
        format!(
            "`{text}` is no repository name: use lower-case letters, digits, and single separators inside"
        ),
    ))
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*`
fn is_name(text: &str) -> bool {
    text.len() <= NAME_LIMIT && text.split('/').all(is_segment)
}

fn is_segment(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let separators = text.split(|c: char| u8::try_from(c).is_ok_and(word));
    let ends = |byte: Option<&u8>| byte.is_some_and(|byte| word(*byte));
    ends(text.as_bytes().first())
        && ends(text.as_bytes().last())
        && separators
            .into_iter()
            .all(|gap| matches!(gap, "" | "." | "_" | "__") || gap.bytes().all(|b| b == b'-'))
}

fn pointer(text: &str) -> Result<Pointer, Refusal> {
    if text.contains(':') {
        return digest(text).map(Pointer::Digest);
    }
    if is_tag(text) {
        return Ok(Pointer::Tag(text.to_owned()));
    }
    Err(Refusal::not_found(Code::ManifestUnknown, format!("`{text}` is neither a tag nor a digest")))
}

/// `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`
fn is_tag(text: &str) -> bool {
    let word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    text.len() <= 128
        && text.as_bytes().first().is_some_and(word)
        && text.bytes().all(|byte| word(&byte) || matches!(byte, b'.' | b'-'))
}

fn digest(text: &str) -> Result<Digest, Refusal> {
    Digest::try_from(text)
        .map_err(|error| Refusal::bad(Code::DigestInvalid, format!("`{text}` is no digest: {error}")))
}

/// The query's words: those known here need no percent-decoding.
struct Words<'a>(&'a str);

impl<'a> Words<'a> {
    fn of(query: &'a str) -> Self {
        Self(query)
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        let words = self.0.split('&').filter_map(|word| word.split_once('='));
        words.into_iter().find(|(found, _)| *found == name).map(|(_, value)| value)
    }

    /// A host as it stands in image names, with or without a port.
    fn host(&self) -> Result<Option<String>, Refusal> {
        let Some(text) = self.get("ns").filter(|text| !text.is_empty()) else { return Ok(None) };
        let host = text.replace("%3A", ":").replace("%3a", ":");
        let legal =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':' | b'[' | b']');
        if host.len() <= NAME_LIMIT && host.bytes().all(legal) {
            return Ok(Some(host));
        }
        Err(Refusal::bad(Code::NameInvalid, format!("`{text}` is no host")))
    }

    fn page(&self) -> Result<Page, Refusal> {
        let limit = match self.get("n") {
            None => None,
            Some(text) => Some(text.parse().map_err(|_| {
                Refusal::bad(Code::Unsupported, format!("n={text}: a number of entries is wanted"))
            })?),
        };
        let after = self.get("last").filter(|text| !text.is_empty()).map(|text| text.replace("%2F", "/"));
        Ok(Page { limit, after })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn get(path: &str, query: &str) -> Result<Request, Refusal> {
        Request::parse(Ask { method: &Method::GET, path, query })
    }

    proptest! {
        /// Whatever the grammar makes is read back as it was written, host and all.
        #[test]
        fn what_the_grammar_makes_is_read(
            name in "[a-z0-9]{1,8}((\\.|_|__|-{1,3})[a-z0-9]{1,5}){0,2}(/[a-z0-9]{1,8}((\\.|_|__|-{1,3})[a-z0-9]{1,5}){0,2}){0,3}",
            tag in "[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}",
            host in proptest::option::of("[a-z]{1,8}(\\.[a-z]{1,8}){0,2}(:[1-9][0-9]{1,3})?"),
            hex in "[0-9a-f]{64}",
        ) {
            let query = host.as_ref().map(|host| format!("ns={host}")).unwrap_or_default();
            let digest = Digest::try_from(format!("sha256:{hex}")).unwrap();
            prop_assert_eq!(
                get(&format!("/v2/{name}/manifests/{tag}"), &query),
                Ok(Request::Manifest { name: name.clone(), host: host.clone(), pointer: Pointer::Tag(tag) })
            );
            prop_assert_eq!(
                get(&format!("/v2/{name}/manifests/{digest}"), &query),
                Ok(Request::Manifest { name: name.clone(), host: host.clone(), pointer: Pointer::Digest(digest.clone()) })
            );
            prop_assert_eq!(
                get(&format!("/v2/{name}/blobs/{digest}"), &query),
                Ok(Request::Blob { name: name.clone(), host: host.clone(), digest })
            );
            prop_assert_eq!(
                get(&format!("/v2/{name}/tags/list"), &query),
                Ok(Request::Tags { name, host, page: Page::default() })
            );
        }

        /// No path makes it fail otherwise than by a refusal, and no name that is let through leaves its folder.
        #[test]
        fn anything_else_is_refused(path in "(/v2/)?[ -~]{0,60}", query in "[ -~]{0,30}") {
            match get(&path, &query) {
                Ok(Request::Manifest { name, .. } | Request::Blob { name, .. } | Request::Tags { name, .. }) => {
                    prop_assert!(name.split('/').all(|part| !part.is_empty() && part != ".." && part != "."));
                }
                Ok(Request::Version | Request::Catalog(_)) => {}
                Err(refusal) => prop_assert!(refusal.status.is_client_error()),
            }
        }

        /// Nothing that writes is ever read as a request.
        #[test]
        fn writing_is_unsupported(path in "/v2/[ -~]{0,60}", method in prop_oneof!["POST", "PUT", "PATCH", "DELETE"]) {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let refusal = Request::parse(Ask { method: &method, path: &path, query: "" }).unwrap_err();
            prop_assert_eq!((refusal.status.as_u16(), refusal.code), (405, Code::Unsupported));
        }
    }

    #[test]
    fn names_as_the_specification_has_them() {
        for name in ["pause", "a.b", "a__b", "a---b", "registry.k8s.io/coredns/coredns", "manifests/blobs"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "A", "a..b", "a___b", ".a", "a-", "a//b", "/a", "a._b", "ä"] {
            assert!(!is_name(name), "{name}");
        }
    }
}
