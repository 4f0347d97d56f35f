//! Remembered regions and planes: `config.toml` and a file for each key, all readable by their owner only.

use std::{
    collections::BTreeMap,
    fs, io,
    io::Write,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
};

use secrets::{ApiKey, Secret};
use serde::{Deserialize, Serialize};

use crate::{CliError, Global};

/// What is remembered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// The context that is used when none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
    /// By name.
    #[serde(default)]
    pub contexts: BTreeMap<String, Context>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Context {
    /// A region: ours or a Canonical MAAS.
    Region {
        /// Such as `http://10.20.0.1:5240/MAAS`.
        url: String,
        /// File of the API key, from the configuration's folder on.
        key_file: PathBuf,
        /// PEM file of certificates to trust besides the system's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ca: Option<PathBuf>,
    },
    /// A plane: ours or a Palette.
    Plane {
        /// Such as `https://plane.example.com`.
        url: String,
        /// File of the API key, from the configuration's folder on.
        key_file: PathBuf,
        /// PEM file of certificates to trust besides the system's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ca: Option<PathBuf>,
        /// Id of the project that commands are about; the tenant itself where absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        project: Option<String>,
    },
}

impl Context {
    /// Where it is.
    pub fn url(&self) -> &str {
        match self {
            Self::Region { url, .. } | Self::Plane { url, .. } => url,
        }
    }

    /// File of its key, from the configuration's folder on.
    fn key_file(&self) -> &Path {
        match self {
            Self::Region { key_file, .. } | Self::Plane { key_file, .. } => key_file,
        }
    }
}

/// A plane with its key.
#[derive(Debug, Clone)]
pub struct Plane {
    /// Address.
    pub url: String,
    /// API key.
    pub key: Secret,
    /// Certificates.
    pub ca: Option<PathBuf>,
    /// Project.
    pub project: Option<String>,
}

/// A region with its key.
#[derive(Debug, Clone)]
pub struct Region {
    /// Address.
    pub url: String,
    /// Key.
    pub key: ApiKey,
    /// Certificates.
    pub ca: Option<PathBuf>,
}

/// The configuration's folder: `$XDG_CONFIG_HOME/bessemer`, else `~/.config/bessemer`.
pub fn home() -> PathBuf {
    let set = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    set("XDG_CONFIG_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".config")))
        .unwrap_or_else(|| PathBuf::from("."))
        .join("bessemer")
}

/// The region that the arguments, the environment or the current context name, in this order.
pub fn choose(home: &Path, global: &Global) -> Result<Region, CliError> {
    match (&global.context, &global.url) {
        (None, Some(url)) => {
            let key = global.api_key.as_ref().ok_or_else(|| CliError::NoKey { url: url.clone() })?;
            Ok(Region { url: url.clone(), key: key.expose().parse()?, ca: global.ca.clone() })
        }
        (named, _) => {
            let config = Config::load(home)?;
            let name = named.clone().or_else(|| config.current.clone()).ok_or(CliError::NoRegion)?;
            let Context::Region { url, key_file, ca } = config.get(&name)? else {
                return Err(CliError::OtherKind { name, wanted: "region" });
            };
            Ok(Region {
                url: url.clone(),
                key: read_key(&home.join(key_file))?.expose().parse()?,
                ca: global.ca.clone().or_else(|| ca.clone()),
            })
        }
    }
}

/// Whether the chosen context is a plane's; a URL alone is a region's.
pub fn is_plane(home: &Path, global: &Global) -> Result<bool, CliError> {
    if global.context.is_none() && global.url.is_some() {
        return Ok(false);
    }
    let config = Config::load(home)?;
    let name = global.context.clone().or_else(|| config.current.clone()).ok_or(CliError::NoRegion)?;
    Ok(matches!(config.get(&name)?, Context::Plane { .. }))
}

/// The plane that the arguments, the environment or the current context name, in this order.
pub fn choose_plane(home: &Path, global: &Global) -> Result<Plane, CliError> {
    match (&global.context, &global.url) {
        (None, Some(url)) => {
            let key = global.api_key.clone().ok_or_else(|| CliError::NoKey { url: url.clone() })?;
            Ok(Plane { url: url.clone(), key, ca: global.ca.clone(), project: global.project.clone() })
        }
        (named, _) => {
            let config = Config::load(home)?;
            let name = named.clone().or_else(|| config.current.clone()).ok_or(CliError::NoRegion)?;
            let Context::Plane { url, key_file, ca, project } = config.get(&name)? else {
                return Err(CliError::OtherKind { name, wanted: "plane" });
            };
            Ok(Plane {
                url: url.clone(),
                key: read_key(&home.join(key_file))?,
                ca: global.ca.clone().or_else(|| ca.clone()),
                project: global.project.clone().or_else(|| project.clone()),
            })
        }
    }
}

impl Config {
    /// Reads it; none is an empty one.
    pub fn load(home: &Path) -> Result<Self, CliError> {
        let path = home.join("config.toml");
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => return Err(CliError::File { path, source }),
        };
        toml::from_str(&text).map_err(|error| CliError::Config { path, reason: error.message().to_owned() })
    }

    /// One context.
    pub fn get(&self, name: &str) -> Result<&Context, CliError> {
        self.contexts.get(name).ok_or_else(|| CliError::UnknownContext { name: name.to_owned() })
    }

    /// Writes it, in one step.
    pub fn save(&self, home: &Path) -> Result<(), CliError> {
        let text = toml::to_string(self).map_err(|error| CliError::Form(error.to_string()))?;
        write_private(&home.join("config.toml"), &text)
    }

    /// Remembers a region and uses it from now on.
    pub fn add(&mut self, home: &Path, name: &str, region: &Region) -> Result<(), CliError> {
        let (url, ca) = (region.url.clone(), region.ca.clone());
        self.remember(home, name, &region.key.expose(), |key_file| Context::Region { url, key_file, ca })
    }

    /// Remembers a plane and uses it from now on.
    pub fn add_plane(&mut self, home: &Path, name: &str, plane: &Plane) -> Result<(), CliError> {
        let Plane { url, ca, project, .. } = plane.clone();
        self.remember(home, name, plane.key.expose(), |key_file| Context::Plane {
            url,
            key_file,
            ca,
            project,
        })
    }

    fn remember(
        &mut self,
        home: &Path,
        name: &str,
        key: &str,
        context: impl FnOnce(PathBuf) -> Context,
    ) -> Result<(), CliError> {
        check(name)?;
        let key_file = Path::new("keys").join(name);
        write_private(&home.join(&key_file), &format!("{key}\n"))?;
        self.contexts.insert(name.to_owned(), context(key_file));
        self.current = Some(name.to_owned());
        self.save(home)
    }

    /// Forgets a region and its key.
    pub fn remove(&mut self, home: &Path, name: &str) -> Result<(), CliError> {
        let path = home.join(self.get(name)?.key_file());
        match fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(CliError::File { path, source }),
        }
        self.contexts.remove(name);
        self.current.take_if(|current| current == name);
        self.save(home)
    }
}

/// Reads an API key; one that others can read is refused.
pub fn read_key(path: &Path) -> Result<Secret, CliError> {
    let mode = fs::metadata(path).map_err(CliError::file(path))?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(CliError::KeyExposed { path: path.to_owned() });
    }
    let text = fs::read_to_string(path).map_err(CliError::file(path))?;
    Ok(Secret::from(text.trim()))
}

/// A context's name is also its key's file name.
pub fn check(name: &str) -> Result<(), CliError> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    match name.as_bytes() {
        [first, ..] if first.is_ascii_alphanumeric() && name.bytes().all(fits) => Ok(()),
        _ => Err(CliError::ContextName { name: name.to_owned() }),
    }
}

fn write_private(path: &Path, text: &str) -> Result<(), CliError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let write = || {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        // A temporary file is made with mode 0600.
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    };
    write().map_err(CliError::file(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(url: &str) -> Region {
        Region { url: url.to_owned(), key: "con:tok:sec".parse().unwrap(), ca: None }
    }

    #[test]
    fn what_is_added_is_chosen_and_private() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path().join("bessemer");
        let mut config = Config::load(&home).unwrap();
        assert!(matches!(choose(&home, &Global::default()), Err(CliError::NoRegion)));
        config.add(&home, "one", &region("http://one/MAAS")).unwrap();
        config.add(&home, "two", &region("http://two/MAAS")).unwrap();
        assert_eq!(choose(&home, &Global::default()).unwrap().url, "http://two/MAAS");
        let named = Global {
            context: Some("one".to_owned()),
            url: Some("http://three".to_owned()),
            ..Global::default()
        };
        assert_eq!(choose(&home, &named).unwrap().url, "http://one/MAAS");
        for file in ["config.toml", "keys/one"] {
            assert_eq!(fs::metadata(home.join(file)).unwrap().permissions().mode() & 0o777, 0o600, "{file}");
        }
        assert!(!fs::read_to_string(home.join("config.toml")).unwrap().contains("sec"));

        let mut config = Config::load(&home).unwrap();
        config.remove(&home, "two").unwrap();
        assert!(!home.join("keys/two").exists());
        assert!(matches!(choose(&home, &Global::default()), Err(CliError::NoRegion)));
        assert!(matches!(config.remove(&home, "two"), Err(CliError::UnknownContext { .. })));
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let home = tempfile::tempdir().unwrap();
        Config::default().add(home.path(), "one", &region("http://one/MAAS")).unwrap();
        fs::set_permissions(home.path().join("keys/one"), fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(choose(home.path(), &Global::default()), Err(CliError::KeyExposed { .. })));
    }

    #[test]
    fn names_stay_in_their_folder() {
        for name in ["", ".", "..", "../x", "a/b", "-a", "a b"] {
            assert!(check(name).is_err(), "{name}");
        }
        for name in ["lab", "a.b-c_1"] {
            assert!(check(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn a_broken_file_is_named() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("config.toml"), "current = [").unwrap();
        let error = Config::load(home.path()).unwrap_err();
        assert!(error.to_string().contains("config.toml"), "{error}");
    }
}
