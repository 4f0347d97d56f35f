//! What a gateway keeps: files in one folder, readable by their owner only, each written whole or not at all.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use sealing::SealingKey;
use secrets::Secret;
use tunnel::{Enrolment, GatewayKey};

const KEY: &str = "key.pem";
const ENROLMENT: &str = "enrolment.json";
const SEALING: &str = "sealing.key";
const EPOCH: &str = "epoch";

/// A gateway's folder. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Home {
    dir: PathBuf,
}

/// Why what a gateway keeps cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// A file or folder.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Not what was written.
    #[error("{} is broken: {why}; remove it, then pair the gateway again", path.display())]
    Broken {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A key could not be made.
    #[error("a key cannot be made: {0}")]
    Key(String),
}

impl Home {
    /// The folder, made if it is not there.
    ///
    /// # Errors
    /// [`HomeError`]
    pub fn open(dir: &Path) -> Result<Self, HomeError> {
        use std::os::unix::fs::DirBuilderExt as _;
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.map_err(|source| HomeError::File { path: dir.to_owned(), source })?;
        Ok(Self { dir: dir.to_owned() })
    }

    /// The gateway's key, made if there is none.
    ///
    /// # Errors
    /// [`HomeError`]
    pub fn key(&self) -> Result<GatewayKey, HomeError> {
        if let Some(pem) = self.read(KEY)? {
            return GatewayKey::from_pem(Secret::new(pem)).map_err(|error| self.broken(KEY, &error));
        }
        let key = GatewayKey::generate().map_err(|error| HomeError::Key(error.to_string()))?;
        self.write(KEY, key.pem().expose())?;
        Ok(key)
    }

    /// The key that secrets for the site are sealed to, made if there is none.
    ///
    /// # Errors
    /// [`HomeError`]
    pub fn sealing_key(&self) -> Result<SealingKey, HomeError> {
        if let Some(text) = self.read(SEALING)? {
            return text.parse().map_err(|error| self.broken(SEALING, &error));
        }
        let key = SealingKey::generate().map_err(|error| HomeError::Key(error.to_string()))?;
        self.write(SEALING, key.expose().expose())?;
        Ok(key)
    }

    /// What pairing gave; none before.
    ///
    /// # Errors
    /// [`HomeError`]
    pub fn enrolment(&self) -> Result<Option<Enrolment>, HomeError> {
        let text = self.read(ENROLMENT)?;
        let parse =
            |text: String| serde_json::from_str(&text).map_err(|error| self.broken(ENROLMENT, &error));
        text.map(parse).transpose()
    }

    /// Keeps what pairing or renewing gave.
    ///
    /// # Errors
    /// [`HomeError`]
    pub fn keep(&self, enrolment: &Enrolment) -> Result<(), HomeError> {
        let text = serde_json::to_string_pretty(enrolment).map_err(|error| self.broken(ENROLMENT, &error))?;
        self.write(ENROLMENT, &text)
    }

    /// Counts a start: a plane lets in no older one than it has seen.
    ///
    /// # Errors
    /// [`HomeError`]
    pub fn count_start(&self) -> Result<u64, HomeError> {
        let last = self.read(EPOCH)?.map_or(Ok(0), |text| text.trim().parse::<u64>());
        let epoch = last.map_err(|error| self.broken(EPOCH, &error))?.saturating_add(1);
        self.write(EPOCH, &epoch.to_string())?;
        Ok(epoch)
    }

    /// Writes a file of the folder.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<(), HomeError> {
        let path = self.dir.join(name);
        let write = || {
            let mut file = tempfile::NamedTempFile::new_in(&self.dir)?;
            io::Write::write_all(&mut file, text.as_bytes())?;
            file.as_file().sync_all()?;
            file.persist(&path).map_err(|error| error.error)?;
            Ok(())
        };
        write().map_err(|source| HomeError::File { path: path.clone(), source })
    }

    /// Reads a file of the folder; none where it is not there.
    pub(crate) fn read(&self, name: &str) -> Result<Option<String>, HomeError> {
        let path = self.dir.join(name);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(HomeError::File { path, source }),
        }
    }

    pub(crate) fn broken(&self, name: &str, why: &dyn std::fmt::Display) -> HomeError {
        HomeError::Broken { path: self.dir.join(name), why: why.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn keys_stay_the_same_and_are_the_owners_only() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("site");
        let home = Home::open(&dir).unwrap();
        let (key, sealing) = (home.key().unwrap(), home.sealing_key().unwrap());
        let again = Home::open(&dir).unwrap();
        assert_eq!(again.key().unwrap().pem(), key.pem());
        assert_eq!(again.sealing_key().unwrap().public(), sealing.public());
        assert_eq!((home.count_start().unwrap(), again.count_start().unwrap()), (1, 2));
        for name in [KEY, SEALING, EPOCH] {
            let mode = fs::metadata(dir.join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{name}: {mode:o}");
        }
        assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o077, 0);
    }

    #[test]
    fn a_broken_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(folder.path()).unwrap();
        for name in [KEY, SEALING, ENROLMENT, EPOCH] {
            fs::write(folder.path().join(name), "half a fi").unwrap();
        }
        let refused = [
            home.key().unwrap_err(),
            home.sealing_key().unwrap_err(),
            home.enrolment().unwrap_err(),
            home.count_start().unwrap_err(),
        ];
        for (name, error) in [KEY, SEALING, ENROLMENT, EPOCH].iter().zip(refused) {
            assert!(error.to_string().contains(name), "{error}");
        }
    }
}
