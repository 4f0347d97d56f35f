//! A small OCI layout, made by hand.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";

pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

pub struct Layout {
    pub dir: tempfile::TempDir,
    index: Vec<Value>,
}

impl Layout {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("blobs/sha256")).unwrap();
        fs::write(dir.path().join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        Self { dir, index: Vec::new() }
    }

    /// Two images of one layer each; the second one behind an index, as images for several platforms are.
    pub fn sample() -> Self {
        let mut layout = Self::new();
        let pause = layout.image(b"pause");
        layout.name("registry.k8s.io/pause:3.10.2", pause);
        let coredns = layout.image(b"coredns");
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [coredns]});
        let index = layout.json(INDEX, &index);
        layout.name("registry.k8s.io/coredns/coredns:v1.14.2", index);
        layout
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn blob_path(&self, digest: &str) -> PathBuf {
        self.path().join("blobs/sha256").join(digest.trim_start_matches("sha256:"))
    }

    /// Keeps bytes and describes them.
    pub fn blob(&self, media_type: &str, bytes: &[u8]) -> Value {
        let digest = digest(bytes);
        fs::write(self.blob_path(&digest), bytes).unwrap();
        json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
    }

    pub fn json(&self, media_type: &str, value: &Value) -> Value {
        self.blob(media_type, value.to_string().as_bytes())
    }

    /// An image whose one file has this content.
    pub fn image(&self, content: &[u8]) -> Value {
        let layer = tar(content);
        let config = json!({
            "architecture": "amd64", "os": "linux", "config": {},
            "rootfs": {"type": "layers", "diff_ids": [digest(&layer)]},
        });
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": self.json("application/vnd.oci.image.config.v1+json", &config),
            "layers": [self.blob("application/vnd.oci.image.layer.v1.tar", &layer)],
        });
        let mut descriptor = self.json(MANIFEST, &manifest);
        descriptor["platform"] = json!({"architecture": "amd64", "os": "linux"});
        descriptor
    }

    /// Gives an image its full name.
    pub fn name(&mut self, name: &str, mut descriptor: Value) {
        descriptor["annotations"] = json!({"org.opencontainers.image.ref.name": name});
        self.index.push(descriptor);
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": self.index});
        fs::write(self.path().join("index.json"), index.to_string()).unwrap();
    }
}

/// A tar archive with one file (POSIX.1-1988, `ustar`).
fn tar(content: &[u8]) -> Vec<u8> {
    let mut header = [0u8; 512];
    let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, "content");
    put(100, "0000644\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{:011o}\0", content.len()));
    put(136, "00000000000\0");
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut out = header.to_vec();
    out.extend(content);
    out.resize(out.len().next_multiple_of(512) + 1024, 0);
    out
}
