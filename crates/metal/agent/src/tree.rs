//! Small reads from `/proc` and `/sys`, under a root that tests choose.

use std::fs;
use std::path::{Path, PathBuf};

/// A file tree that holds `proc`, `sys` and `dev`.
#[derive(Debug, Clone)]
pub struct Tree {
    root: PathBuf,
}

impl Tree {
    /// The tree under `root`; `/` on a machine.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Where `path` (without a leading slash) is.
    pub fn at(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// A file's text without surrounding white space; `None` when it is missing, unreadable or empty.
    pub fn text(&self, path: &str) -> Option<String> {
        let bytes = fs::read(self.at(path)).ok()?;
        let text = String::from_utf8_lossy(&bytes);
        let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// A file's decimal number.
    pub fn number(&self, path: &str) -> Option<u64> {
        self.text(path)?.parse().ok()
    }

    /// Names in a folder, sorted so that `eth10` follows `eth9`; empty when there is no such folder.
    pub fn names(&self, path: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.at(path)) else { return Vec::new() };
        let mut names: Vec<String> = entries.filter_map(|e| e.ok()?.file_name().into_string().ok()).collect();
        names.sort_by_key(|name| (name.len(), name.clone()));
        names
    }

    /// Whether something is there.
    pub fn has(&self, path: &str) -> bool {
        self.at(path).exists()
    }

    /// Last component of what a symbolic link points to, such as the driver of a device.
    pub fn link_name(&self, path: &str) -> Option<String> {
        let target = fs::read_link(self.at(path)).ok()?;
        Some(target.file_name()?.to_str()?.to_owned())
    }

    /// PCI address of the function that a device hangs off, such as `0000:00:03.0`.
    pub fn pci_address(&self, path: &str) -> Option<String> {
        let real = fs::canonicalize(self.at(path)).ok()?;
        let parts: Vec<&str> = real.iter().filter_map(|part| part.to_str()).collect();
        parts.into_iter().rev().find(|part| is_pci_address(part)).map(str::to_owned)
    }

    /// The root itself.
    pub fn root(&self) -> &Path {
        &self.root
    }
}

fn is_pci_address(name: &str) -> bool {
    let bytes = name.as_bytes();
    bytes.len() == 12
        && bytes.iter().enumerate().all(|(i, b)| match i {
            4 | 7 => *b == b':',
            10 => *b == b'.',
            _ => b.is_ascii_hexdigit(),
        })
}
