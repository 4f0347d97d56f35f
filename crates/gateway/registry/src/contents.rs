//! What a registry has, and what it answers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use oci_spec::image::Digest;

use crate::{Code, Page, Pointer, Refusal, Request};

/// The images of a layout.
#[derive(Debug, Clone, Default)]
pub struct Contents {
    /// By host and path, such as (`registry.k8s.io`, `coredns/coredns`).
    pub(crate) repositories: BTreeMap<(String, String), Repository>,
    pub(crate) manifests: BTreeMap<String, Manifest>,
    pub(crate) blobs: BTreeMap<String, Blob>,
}

/// What is reachable below one name. Digests are text: the type that parses them has no order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Repository {
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) manifests: BTreeSet<String>,
    pub(crate) blobs: BTreeSet<String>,
}

/// A manifest or an index, whole and verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// `sha256:…`
    pub digest: String,
    /// Its media type.
    pub media_type: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// A layer or configuration in the layout's folder; its bytes are still to be verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// `sha256:…`
    pub digest: String,
    /// Bytes.
    pub size: u64,
    /// Where it is.
    pub path: PathBuf,
}

/// What to answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer<'a> {
    /// This is a registry.
    Version,
    /// One part of the list of repositories, host and all.
    Catalog(Listing),
    /// One part of a repository's tags.
    Tags {
        /// The repository, as it was asked for.
        name: String,
        /// The tags.
        tags: Listing,
    },
    /// A manifest.
    Manifest(&'a Manifest),
    /// A blob, once its bytes are verified.
    Blob(&'a Blob),
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// In order.
    pub entries: Vec<String>,
    /// Whether there are more behind the last.
    pub more: bool,
}

impl Contents {
    /// Full names of all images, such as `registry.k8s.io/pause:3.10.2`.
    pub fn images(&self) -> impl Iterator<Item = String> + '_ {
        self.repositories.iter().flat_map(|((host, path), repository)| {
            repository.tags.keys().map(move |tag| format!("{host}/{path}:{tag}"))
        })
    }

    /// Says what to answer.
    ///
    /// # Errors
    /// A [`Refusal`] for what is not here.
    pub fn answer(&self, request: &Request) -> Result<Answer<'_>, Refusal> {
        match request {
            Request::Version => Ok(Answer::Version),
            Request::Catalog(page) => {
                let names = self.repositories.keys().map(|(host, path)| format!("{host}/{path}"));
                Ok(Answer::Catalog(part(names, page)))
            }
            Request::Tags { name, host, page } => {
                let tags = self.repository(name, host.as_deref())?.tags.keys().cloned();
                Ok(Answer::Tags { name: name.clone(), tags: part(tags, page) })
            }
            Request::Manifest { name, host, pointer } => {
                self.manifest(self.repository(name, host.as_deref())?, name, pointer)
            }
            Request::Blob { name, host, digest } => {
                self.blob(self.repository(name, host.as_deref())?, name, digest)
            }
        }
    }

    /// The repository `name`, which may begin with its host.
    fn repository(&self, name: &str, host: Option<&str>) -> Result<&Repository, Refusal> {
        let unknown = |why: String| Refusal::not_found(Code::NameUnknown, why);
        let exact = |host: &str, path: &str| self.repositories.get(&(host.to_owned(), path.to_owned()));
        if let Some(host) = host {
            return exact(host, name)
                .ok_or_else(|| unknown(format!("{host}/{name} is not among this site's images")));
        }
        if let Some(found) = name.split_once('/').and_then(|(host, path)| exact(host, path)) {
            return Ok(found);
        }
        let mut named = self.repositories.iter().filter(|((_, path), _)| path == name);
        match (named.next(), named.next()) {
            (Some((_, only)), None) => Ok(only),
            (Some(_), Some(_)) => Err(unknown(format!("several hosts have {name}: write HOST/{name}"))),
            _ => Err(unknown(format!("{name} is not among this site's images"))),
        }
    }

    fn manifest(&self, at: &Repository, name: &str, pointer: &Pointer) -> Result<Answer<'_>, Refusal> {
        let digest = match pointer {
            Pointer::Tag(tag) => at.tags.get(tag).map(String::as_str),
            Pointer::Digest(digest) => at.manifests.get(digest.as_ref()).map(String::as_str),
        };
        digest.and_then(|digest| self.manifests.get(digest)).map(Answer::Manifest).ok_or_else(|| {
            let (separator, text) = match pointer {
                Pointer::Tag(tag) => (':', tag.as_str()),
                Pointer::Digest(digest) => ('@', digest.as_ref()),
            };
            Refusal::not_found(
                Code::ManifestUnknown,
                format!("{name}{separator}{text} is not among this site's images"),
            )
        })
    }

    fn blob(&self, at: &Repository, name: &str, digest: &Digest) -> Result<Answer<'_>, Refusal> {
        let known = at.blobs.get(digest.as_ref()).and_then(|digest| self.blobs.get(digest));
        known.map(Answer::Blob).ok_or_else(|| {
            Refusal::not_found(Code::BlobUnknown, format!("no image of {name} has the blob {digest}"))
        })
    }
}

/// The part of an ordered list that a page wants.
fn part(entries: impl Iterator<Item = String>, page: &Page) -> Listing {
    let limit = page.limit.unwrap_or(usize::MAX);
    let mut rest = entries.filter(|entry| page.after.as_ref().is_none_or(|after| entry > after));
    let entries = rest.by_ref().take(limit).collect();
    Listing { entries, more: rest.next().is_some() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn with(names: &[(&str, &str)]) -> Contents {
        let names =
            names.iter().map(|&(host, path)| ((host.to_owned(), path.to_owned()), Repository::default()));
        Contents { repositories: names.collect(), ..Contents::default() }
    }

    #[test]
    fn a_repository_is_found_with_and_without_its_host() {
        let contents = with(&[("a.io", "pause"), ("a.io", "x/y"), ("b.io", "x/y")]);
        for (name, host) in
            [("pause", None), ("a.io/pause", None), ("pause", Some("a.io")), ("b.io/x/y", None)]
        {
            assert!(contents.repository(name, host).is_ok(), "{name} {host:?}");
        }
        for (name, host) in [("pause", Some("b.io")), ("a.io/pause", Some("a.io")), ("y", None)] {
            assert_eq!(
                contents.repository(name, host).unwrap_err().code,
                Code::NameUnknown,
                "{name} {host:?}"
            );
        }
        assert!(contents.repository("x/y", None).unwrap_err().message.contains("several hosts"));
    }

    proptest! {
        /// Following the pages gives the whole list, each entry once.
        #[test]
        fn pages_add_up(names in proptest::collection::btree_set("[a-z]{1,3}", 0..20), limit in 1usize..5) {
            let mut seen = Vec::new();
            let mut page = Page { limit: Some(limit), after: None };
            loop {
                let Listing { entries, more } = part(names.iter().cloned(), &page);
                prop_assert!(entries.len() <= limit);
                page.after = entries.last().cloned();
                seen.extend(entries);
                if !more { break }
            }
            prop_assert_eq!(seen, names.into_iter().collect::<Vec<_>>());
        }
    }
}
