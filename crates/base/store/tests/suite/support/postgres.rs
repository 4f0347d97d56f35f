//! A throw-away PostgreSQL server on a Unix socket, made and ended by the test that wants it.

use std::{
    fs,
    os::unix::fs::{MetadataExt, chown},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use super::Place;

pub struct Server {
    child: Child,
    folder: tempfile::TempDir,
    port: u16,
    schemas: AtomicU32,
}

impl Server {
    /// A running server, or `None` with a printed line where PostgreSQL is not installed.
    pub async fn start() -> Option<Self> {
        Self::start_with(5432, |_| Vec::new()).await
    }

    /// With a port, and settings that may need files in the folder, which will be the server's own.
    pub async fn start_with(port: u16, settings: impl FnOnce(&Path) -> Vec<String>) -> Option<Self> {
        let Some(programs) = programs() else {
            println!(
                "skipped: no PostgreSQL server under /usr/lib/postgresql (Debian: apt-get install postgresql)"
            );
            return None;
        };
        let folder = tempfile::Builder::new().prefix("pg").tempdir().unwrap();
        let Some(person) = Person::find(folder.path()) else {
            println!(
                "skipped: PostgreSQL does not run as root, and there is no user `postgres` to run it as"
            );
            return None;
        };
        let data = folder.path().join("data");
        let made = person
            .command(&programs.join("initdb"))
            .args(["--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "-D"])
            .arg(&data)
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let settings = settings(folder.path());
        person.own(folder.path());
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let child = person
            .command(&programs.join("postgres"))
            .arg("-D")
            .arg(&data)
            .arg("-k")
            .arg(folder.path())
            .args(["-c", "listen_addresses=", "-p", &port.to_string()])
            .args(settings.iter().flat_map(|setting| ["-c", setting]))
            .args(["-c", "fsync=off", "-c", "shared_buffers=16MB"])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut server = Self { child, folder, port, schemas: AtomicU32::new(0) };
        let deadline = Instant::now() + Duration::from_mins(1);
        while server.execute("SELECT 1").await.is_err() {
            let log = fs::read_to_string(server.folder.path().join("log")).unwrap_or_default();
            assert!(server.child.try_wait().unwrap().is_none(), "PostgreSQL ended: {log}");
            assert!(Instant::now() < deadline, "PostgreSQL does not answer: {log}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Some(server)
    }

    /// A fresh schema of its own.
    pub async fn place(&self) -> Place {
        let schema = format!("s{}", self.schemas.fetch_add(1, Ordering::Relaxed));
        self.execute(&format!("CREATE SCHEMA {schema}")).await.unwrap();
        Place::Schema { url: format!("{} options='-c search_path={schema}'", self.url()) }
    }

    pub async fn execute(&self, sql: &str) -> Result<(), tokio_postgres::Error> {
        let (client, connection) = tokio_postgres::connect(&self.url(), tokio_postgres::NoTls).await?;
        let driver = tokio::spawn(connection);
        let done = client.batch_execute(sql).await;
        drop(client);
        let _ = driver.await;
        done
    }

    pub fn url(&self) -> String {
        format!("host={} port={} user=postgres dbname=postgres", self.folder.path().display(), self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGINT: end all sessions and stop; SIGKILL would leave its children behind.
        let _ = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status();
        let deadline = Instant::now() + Duration::from_secs(20);
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    versions.flatten().map(|version| version.path().join("bin")).find(|bin| bin.join("initdb").exists())
}

/// Who runs the server: not root.
enum Person {
    Ourselves,
    Postgres { user: u32, group: u32 },
}

impl Person {
    fn find(folder: &Path) -> Option<Self> {
        if fs::metadata("/proc/self").ok()?.uid() != 0 {
            return Some(Self::Ourselves);
        }
        let passwd = fs::read_to_string("/etc/passwd").ok()?;
        let line = passwd.lines().find(|line| line.starts_with("postgres:"))?;
        let mut ids = line.split(':').skip(2).map(str::parse::<u32>);
        let person = Self::Postgres { user: ids.next()?.ok()?, group: ids.next()?.ok()? };
        chown(folder, Some(person.ids()?.0), Some(person.ids()?.1)).ok()?;
        Some(person)
    }

    fn ids(&self) -> Option<(u32, u32)> {
        match self {
            Self::Ourselves => None,
            Self::Postgres { user, group } => Some((*user, *group)),
        }
    }

    /// Gives the files of a folder to the server.
    fn own(&self, folder: &Path) {
        let Some((user, group)) = self.ids() else { return };
        for file in fs::read_dir(folder).unwrap().flatten() {
            chown(file.path(), Some(user), Some(group)).unwrap();
        }
    }

    fn command(&self, program: &Path) -> Command {
        match self {
            Self::Ourselves => Command::new(program),
            Self::Postgres { .. } => {
                // Becomes the program, so the process id is the server's; and it ends if the test is killed.
                let mut command = Command::new("setpriv");
                command
                    .args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--pdeathsig=INT", "--"])
                    .arg(program);
                command
            }
        }
    }
}
