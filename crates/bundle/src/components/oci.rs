//! Writing an OCI image layout: layers, images and their index, the same bytes for the same contents.
//!
//! Form: <https://github.com/opencontainers/image-spec/blob/main/image-layout.md>. Layers are zstd, which containerd 2
//! and skopeo read and which unpacks fastest on slow machines.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use oci_spec::image::{
    ANNOTATION_REF_NAME, Arch, ConfigBuilder, Descriptor, DescriptorBuilder, ImageConfigurationBuilder,
    ImageIndexBuilder, ImageManifestBuilder, MediaType, OciLayoutBuilder, Os, PlatformBuilder, RootFsBuilder,
    Sha256Digest,
};
use sha2::{Digest as _, Sha256};

use crate::command::SOURCE_DATE_EPOCH;

/// zstd's level: worth some time, as every node of every cluster fetches and unpacks them.
const LEVEL: i32 = 12;
/// [`SOURCE_DATE_EPOCH`] as images write it.
const CREATED: &str = "2024-01-01T00:00:00Z";
/// By which containerd names an image that it imports; the other annotation is only a tag to it.
const CONTAINERD_NAME: &str = "io.containerd.image.name";
/// Where programs are looked for, as in the upstream images.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A layout that is being written.
#[derive(Debug)]
pub(super) struct Layout {
    folder: PathBuf,
    images: Vec<Descriptor>,
}

/// A layer in the layout.
#[derive(Debug, Clone)]
pub(super) struct Layer {
    descriptor: Descriptor,
    /// Digest of the uncompressed archive.
    diff_id: String,
}

/// How a container of an image starts.
#[derive(Debug, Clone)]
pub(super) struct Start<'a> {
    /// The program, by its path in the image.
    pub program: &'a str,
    /// `UID:GID` where it is not root.
    pub user: Option<&'a str>,
}

impl Layout {
    pub(super) fn create(folder: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(folder.join("blobs/sha256"))?;
        Ok(Self { folder: folder.to_owned(), images: Vec::new() })
    }

    /// Adds a layer from a tar archive, which `write` writes.
    pub(super) fn layer(
        &self,
        write: impl FnOnce(&mut dyn Write) -> anyhow::Result<()>,
    ) -> anyhow::Result<Layer> {
        let file = tempfile::NamedTempFile::new_in(&self.folder)?;
        let packed = zstd::Encoder::new(Counted::new(file), LEVEL)?;
        let mut plain = Counted::new(packed);
        write(&mut plain)?;
        let (packed, diff_id, _) = plain.end();
        let (file, digest, size) = packed.finish()?.end();
        file.persist(self.blob(&digest))?;
        set_readable(&self.blob(&digest))?;
        Ok(Layer {
            descriptor: descriptor(MediaType::ImageLayerZstd, &digest, size)?,
            diff_id: format!("sha256:{diff_id}"),
        })
    }

    /// Adds an image and returns its digest.
    pub(super) fn image(
        &mut self,
        name: &str,
        layers: &[&Layer],
        start: &Start<'_>,
    ) -> anyhow::Result<String> {
        let mut config =
            ConfigBuilder::default().entrypoint([start.program.to_owned()]).env([PATH.to_owned()]);
        if let Some(user) = start.user {
            config = config.user(user);
        }
        let diff_ids: Vec<_> = layers.iter().map(|layer| layer.diff_id.clone()).collect();
        let configuration = ImageConfigurationBuilder::default()
            .created(CREATED)
            .architecture(Arch::Amd64)
            .os(Os::Linux)
            .config(config.build()?)
            .rootfs(RootFsBuilder::default().diff_ids(diff_ids).build()?)
            .build()?;
        let manifest = ImageManifestBuilder::default()
            .schema_version(2_u32)
            .media_type(MediaType::ImageManifest)
            .config(self.document(MediaType::ImageConfig, &configuration.to_string()?)?)
            .layers(layers.iter().map(|layer| layer.descriptor.clone()).collect::<Vec<_>>())
            .build()?;
        let mut described = self.document(MediaType::ImageManifest, &manifest.to_string()?)?;
        described
            .set_platform(Some(PlatformBuilder::default().architecture(Arch::Amd64).os(Os::Linux).build()?));
        let names = [ANNOTATION_REF_NAME, CONTAINERD_NAME].map(|key| (key.to_owned(), name.to_owned()));
        described.set_annotations(Some(HashMap::from(names)));
        let digest = described.digest().to_string();
        self.images.push(described);
        Ok(digest)
    }

    /// Writes the index, without which nothing is found.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        let index = ImageIndexBuilder::default()
            .schema_version(2_u32)
            .media_type(MediaType::ImageIndex)
            .manifests(self.images)
            .build()?;
        index.to_file(self.folder.join("index.json"))?;
        let layout = OciLayoutBuilder::default().image_layout_version("1.0.0").build()?;
        layout.to_file(self.folder.join("oci-layout"))?;
        Ok(())
    }

    fn document(&self, media_type: MediaType, text: &str) -> anyhow::Result<Descriptor> {
        let digest = hex::encode(Sha256::digest(text));
        fs::write(self.blob(&digest), text)?;
        descriptor(media_type, &digest, text.len() as u64)
    }

    fn blob(&self, digest: &str) -> PathBuf {
        self.folder.join("blobs/sha256").join(digest)
    }
}

/// Writes an archive of programs: where each goes, and where it comes from; and of the folders around them.
pub(super) fn programs(out: &mut dyn Write, files: &[(&str, &Path)]) -> anyhow::Result<()> {
    let mut archive = tar::Builder::new(out);
    let mut folders = vec![(Path::new("tmp"), 0o1777)];
    for (place, _) in files {
        let above = Path::new(place.trim_start_matches('/')).ancestors().skip(1);
        folders.extend(above.filter(|folder| !folder.as_os_str().is_empty()).map(|folder| (folder, 0o755)));
    }
    folders.sort_unstable();
    folders.dedup();
    for (folder, mode) in folders {
        let mut header = header(tar::EntryType::Directory, mode, 0);
        archive.append_data(&mut header, folder, io::empty())?;
    }
    for (place, from) in files {
        let file = File::open(from).with_context(|| format!("cannot open {}", from.display()))?;
        let mut header = header(tar::EntryType::Regular, 0o755, file.metadata()?.len());
        archive.append_data(&mut header, place.trim_start_matches('/'), file)?;
    }
    archive.finish()?;
    Ok(())
}

fn header(kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(SOURCE_DATE_EPOCH.into());
    header
}

fn descriptor(media_type: MediaType, digest: &str, size: u64) -> anyhow::Result<Descriptor> {
    let digest: Sha256Digest = digest.parse()?;
    Ok(DescriptorBuilder::default().media_type(media_type).digest(digest).size(size).build()?)
}

/// Temporary files are for their owner alone; what is in a bundle is for all.
fn set_readable(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644))
}

/// Digest and size of what goes through.
struct Counted<W> {
    inner: W,
    digest: Sha256,
    size: u64,
}

impl<W> Counted<W> {
    fn new(inner: W) -> Self {
        Self { inner, digest: Sha256::new(), size: 0 }
    }

    /// What it was around, the digest in hex, the size in bytes.
    fn end(self) -> (W, String, u64) {
        (self.inner, hex::encode(self.digest.finalize()), self.size)
    }
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.digest.update(bytes.get(..written).unwrap_or_default());
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{run, tool};

    const NAME: &str = "example.local/some/program:v1";

    /// A layout with one image of one file in one layer, written in `folder`; the image's digest.
    fn write(folder: &Path, contents: &str) -> String {
        let program = folder.join("program");
        fs::write(&program, contents).unwrap();
        let mut layout = Layout::create(&folder.join("oci")).unwrap();
        let layer = layout.layer(|out| programs(out, &[("/usr/local/bin/program", &program)])).unwrap();
        let start = Start { program: "/usr/local/bin/program", user: Some("65535:65535") };
        let digest = layout.image(NAME, &[&layer], &start).unwrap();
        layout.finish().unwrap();
        digest
    }

    #[test]
    fn equal_contents_have_equal_digests_and_others_have_others() {
        let folders: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
        let first = write(folders[0].path(), "same");
        assert_eq!(first, write(folders[1].path(), "same"));
        assert_ne!(first, write(folders[2].path(), "other"));
    }

    #[test]
    fn skopeo_reads_and_copies_the_image() {
        if run(tool("skopeo").arg("--version")).is_err() {
            println!("skipped: needs skopeo");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let digest = write(folder.path(), "#!/bin/true");
        let image = format!("oci:{}:{NAME}", folder.path().join("oci").display());
        let told: serde_json::Value =
            serde_json::from_str(&run(tool("skopeo").args(["inspect", &image])).unwrap()).unwrap();
        assert_eq!(told["Digest"], digest);
        assert_eq!((&told["Architecture"], &told["Os"]), (&"amd64".into(), &"linux".into()));
        let config: serde_json::Value =
            serde_json::from_str(&run(tool("skopeo").args(["inspect", "--config", &image])).unwrap())
                .unwrap();
        assert_eq!(config["config"]["Entrypoint"][0], "/usr/local/bin/program");
        assert_eq!(config["config"]["User"], "65535:65535");
        // A copy reads every byte and checks every digest, the uncompressed ones too.
        let copy = folder.path().join("copy");
        let to = format!("dir:{}", copy.display());
        run(tool("skopeo").args(["--insecure-policy", "copy", "--dest-decompress", &image, &to])).unwrap();
        let layer = fs::read_dir(&copy).unwrap().map(|file| file.unwrap().path()).find(|path| {
            run(tool("tar").arg("tvf").arg(path)).is_ok_and(|list| list.contains("usr/local/bin/program"))
        });
        let list = run(tool("tar").arg("tvf").arg(layer.unwrap())).unwrap();
        assert!(list.contains("drwxrwxrwt 0/0               0 2024-01-01 00:00 tmp"), "{list}");
        assert!(
            list.contains("-rwxr-xr-x 0/0              11 2024-01-01 00:00 usr/local/bin/program"),
            "{list}"
        );
    }
}
