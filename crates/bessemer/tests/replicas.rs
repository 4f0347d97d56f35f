//! Two replicas of a plane on one PostgreSQL, with a gateway and a region: each request goes to either of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

#[path = "../../base/store/tests/suite/support/postgres.rs"]
#[allow(dead_code, reason = "the store's tests use more of it")]
mod postgres;
mod support;

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use plane_client::{Auth, Client, Method, Options, v1};
use secrets::Secret;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};

use support::{Program, address, bessemer, code, refusal};

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_mins(2);
const EMAIL: &str = "admin@example.com";
const PASSWORD: &str = "correct horse battery";

/// Where a test's schema is.
pub enum Place {
    Schema { url: String },
}

/// Draws the same lots each time.
#[derive(Clone)]
struct Lots(Arc<Mutex<u64>>);

impl Lots {
    fn draw(&self, of: usize) -> usize {
        let mut state = self.0.lock().unwrap();
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        usize::try_from(*state % of as u64).unwrap()
    }
}

struct Plane {
    folder: TempDir,
    replicas: Vec<Program>,
    addresses: Vec<String>,
    lots: Lots,
    maas: String,
    _region: Program,
    _database: postgres::Server,
}

impl Plane {
    async fn start() -> Option<Self> {
        let database = postgres::Server::start().await?;
        let Place::Schema { url } = database.place().await;
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path().display().to_string();
        let write = |name: &str, text: String| fs::write(folder.path().join(name), text).unwrap();
        write("password", format!("{PASSWORD}\n"));
        let (api, boot) = (address(32), address(33));
        fs::create_dir(folder.path().join("ephemeral")).unwrap();
        write(
            "region.toml",
            format!(
                "data = \"{here}/region\"\napi = \"{api}\"\nboot = \"{boot}\"\nephemeral = \"{here}/ephemeral\"\n\
                 admin_key_file = \"{here}/maas.key\"\n"
            ),
        );
        let start = |name: &str, words: [&str; 2]| {
            let config = folder.path().join(format!("{name}.toml"));
            Program::start(folder.path(), name, &[words[0], words[1], "--config", config.to_str().unwrap()])
        };
        let addresses = vec![address(30), address(31)];
        let mut replicas = Vec::new();
        for (number, at) in addresses.iter().enumerate() {
            write(
                &format!("plane-{number}.toml"),
                format!(
                    "data = \"{here}/plane-{number}\"\nlisten = \"{at}\"\nreplica = \"{at}\"\ndatabase = \"{url}\"\n\
                     names = [\"127.0.3.30\", \"127.0.3.31\"]\n[admin]\norganization = \"Example\"\nemail = \"{EMAIL}\"\n\
                     password_file = \"{here}/password\"\napi_key_file = \"{here}/plane.key\"\n"
                ),
            );
            replicas.push(start(&format!("plane-{number}"), ["plane", "run"]));
            // The first one makes the first user.
            until("the first key", async || folder.path().join("plane.key").exists().then_some(())).await;
        }
        let region = start("region", ["region", "run"]);
        let lots = Lots(Arc::new(Mutex::new(0x9e37_79b9_7f4a_7c15)));
        let maas = format!("http://{api}/MAAS");
        Some(Self { folder, replicas, addresses, lots, maas, _region: region, _database: database })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn client_of(&self, number: usize) -> Option<Client> {
        let ca = fs::read(self.path(&format!("plane-{number}/ca.crt"))).ok()?;
        let key = fs::read_to_string(self.path("plane.key")).ok()?;
        let options = Options { ca: Some(ca), project: None };
        let auth = Auth::ApiKey(Secret::new(key));
        Some(Client::new(&format!("https://{}", self.addresses[number]), &auth, &options).unwrap())
    }

    /// A client of one replica, once it answers.
    async fn client(&self, number: usize) -> Client {
        until("a replica answers", async || {
            let client = self.client_of(number)?;
            client.get::<v1::UserInfo>("/v1/users/info").await.ok().map(|_| client)
        })
        .await
    }

    /// Leads each connection to a replica that accepts it.
    async fn balancer(&self) -> String {
        let listener = TcpListener::bind("127.0.3.34:0").await.unwrap();
        let at = listener.local_addr().unwrap().to_string();
        let (addresses, lots) = (self.addresses.clone(), self.lots.clone());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let first = lots.draw(addresses.len());
                let addresses = addresses.clone();
                tokio::spawn(async move {
                    for number in 0..addresses.len() {
                        let address = &addresses[(first + number) % addresses.len()];
                        if let Ok(mut there) = TcpStream::connect(address).await {
                            let _ = copy_bidirectional(&mut stream, &mut there).await;
                            return;
                        }
                    }
                });
            }
        });
        at
    }

    fn account(&self, overlord: &str, name: &str) -> Option<Value> {
        let key = fs::read_to_string(self.path("maas.key")).ok().filter(|key| !key.is_empty())?;
        Some(json!({"metadata": {"name": name, "annotations": {"overlordUid": overlord}},
                    "spec": {"apiEndpoint": self.maas, "apiKey": key.trim()}}))
    }
}

impl Drop for Plane {
    /// What the programs said, where the test fails.
    fn drop(&mut self) {
        if std::thread::panicking() {
            for name in ["plane-0", "plane-1", "gateway"] {
                let log = fs::read_to_string(self.path(&format!("{name}.log"))).unwrap_or_default();
                println!("== {name}\n{log}");
            }
        }
    }
}

async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let give_up = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < give_up, "in vain until {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn gateway(plane: &Plane, at: &str, bundle: Option<&Path>) -> Program {
    let here = plane.folder.path().display();
    let engine =
        bundle.map(|bundle| format!("bundle = \"{}\"\nlisten = \"127.0.3.35:0\"\n", bundle.display()));
    let text =
        format!("data = \"{here}/gateway\"\n{}[plane]\naddress = \"{at}\"\n", engine.unwrap_or_default());
    let config = plane.path("gateway.toml");
    fs::write(&config, text).unwrap();
    Program::start(plane.folder.path(), "gateway", &["gateway", "run", "--config", config.to_str().unwrap()])
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_are_one_plane() {
    let Some(mut plane) = Plane::start().await else { return };
    let clients = [plane.client(0).await, plane.client(1).await];
    let lots = plane.lots.clone();
    let any = || &clients[lots.draw(2)];

    // What is written at one is read at the other, at once.
    for number in 0..40 {
        let project = json!({"metadata": {"name": format!("p{number}")}, "spec": {}});
        let uid = any().create("/v1/projects", &project).await.unwrap();
        let path = format!("/v1/projects/{uid}");
        let found: v1::Project = any().get(&path).await.unwrap();
        assert_eq!(found.metadata.name, format!("p{number}"));
        let again = any().create("/v1/projects", &project).await.unwrap_err();
        assert_eq!(refusal(&again).0, 409);
        any().call(Method::DELETE, &path, None::<&()>).await.unwrap();
        assert_eq!(refusal(&any().get::<v1::Project>(&path).await.unwrap_err()).0, 404);
    }

    // A session of one is good at the other.
    let options = || Options { ca: Some(fs::read(plane.path("plane-0/ca.crt")).unwrap()), project: None };
    let at = |number: usize| format!("https://{}", plane.addresses[number]);
    let stranger = Client::new(&at(0), &Auth::None, &options()).unwrap();
    let login = v1::Login { email_id: EMAIL.into(), password: Secret::from(PASSWORD), org: None };
    let token = stranger.sign_in(&login).await.unwrap().authorization;
    let session = Client::new(&at(1), &Auth::Session(token), &options()).unwrap();
    assert_eq!(session.get::<v1::UserInfo>("/v1/users/info").await.unwrap().org_name, "Example");

    // Who follows changes at one hears of those at the other.
    let mut follower = Command::new("curl")
        .args(["--silent", "--no-buffer", "--max-time", "60", "--cacert"])
        .arg(plane.path("plane-0/ca.crt"))
        .arg("--header")
        .arg(format!("ApiKey: {}", fs::read_to_string(plane.path("plane.key")).unwrap()))
        .arg(format!("{}/v1/changes", at(0)))
        .args(["--write-out", "%{stderr}%{http_code}"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    let heard = tokio::task::spawn_blocking(move || {
        lines.map_while(Result::ok).find(|line| line.contains("\"kind\":\"project\""))
    });
    let mut number = 0;
    while !heard.is_finished() {
        number += 1;
        let project = json!({"metadata": {"name": format!("heard-{number}")}, "spec": {}});
        clients[1].create("/v1/projects", &project).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(heard.await.unwrap().is_some(), "nothing was heard");
    follower.kill().unwrap();
    follower.wait().unwrap();

    // A gateway is connected to one of them, and asked by both.
    let balancer = plane.balancer().await;
    let bundle = std::env::var_os("BESSEMER_BUNDLE").map(PathBuf::from);
    let code = code(any(), "rack-1").await;
    let text =
        format!("data = \"{}/gateway\"\n[plane]\naddress = \"{balancer}\"\n", plane.folder.path().display());
    fs::write(plane.path("gateway.toml"), text).unwrap();
    let config = plane.path("gateway.toml");
    let paired =
        bessemer().args(["gateway", "pair", "--code", &code, "--config"]).arg(&config).output().unwrap();
    assert!(paired.status.success(), "{}", String::from_utf8_lossy(&paired.stderr));
    let mut gateway = gateway(&plane, &balancer, bundle.as_deref());
    let running = async |client: &Client| {
        let all: v1::List<v1::Overlord> = client.get("/v1/overlords").await.ok()?;
        let one = all.items.into_iter().next()?;
        let known = !one.status.health.agent_version.is_empty();
        (one.status.state == "Running" && known).then_some(one.metadata.uid)
    };
    let overlord = until("the gateway runs", async || running(&clients[0]).await).await;
    until("the other knows it too", async || running(&clients[1]).await).await;
    let account = until("the account works", async || {
        any().create("/v1/cloudaccounts/maas", &plane.account(&overlord, "rack")?).await.ok()
    })
    .await;
    let zones = format!("/v1/cloudaccounts/maas/{account}/properties/azs");
    for _ in 0..20 {
        assert_eq!(any().get::<v1::Zones>(&zones).await.unwrap().zones[0].name, "default");
    }
    if bundle.is_some() {
        ordered_at_any(&any, &account, &mut gateway).await;
    }

    // Either of them may die: the gateway finds the other, and the first one comes back.
    for number in [0, 1] {
        plane.replicas[number].kill();
        let other = &clients[1 - number];
        assert!(other.get::<v1::UserInfo>("/v1/users/info").await.is_ok());
        until("the other one asks the gateway", async || other.get::<v1::Zones>(&zones).await.ok()).await;
        plane.replicas[number].restart();
        until("the first one asks it through the other", async || {
            clients[number].get::<v1::Zones>(&zones).await.ok()
        })
        .await;
    }

    // What is taken back at one ends at the other.
    let path = format!("/v1/overlords/{overlord}/reset");
    any().send::<v1::Message>(Method::PUT, &path, None::<&()>).await.unwrap();
    for client in &clients {
        until("the gateway is gone", async || {
            let one: v1::Overlord = client.get(&format!("/v1/overlords/{overlord}")).await.ok()?;
            (one.status.state == "Pending").then_some(())
        })
        .await;
        let refused = client.get::<v1::Zones>(&zones).await.unwrap_err();
        assert_eq!(refusal(&refused).0, 503, "{refused}");
    }
}

/// A cluster that is ordered, read and deleted at whichever replica.
async fn ordered_at_any<'c>(any: &impl Fn() -> &'c Client, account: &str, gateway: &mut Program) {
    let profile = support::profile();
    let profile = any().create("/v1/clusterprofiles?publish=true", &profile).await.unwrap();
    let cluster = support::cluster("demo", account, &profile);
    // While its gateway is away, nobody counts the machines, of which there are none.
    gateway.kill();
    let uid =
        until("the order is taken", async || any().create("/v1/spectroclusters/maas", &cluster).await.ok())
            .await;
    gateway.restart();
    let path = format!("/v1/spectroclusters/{uid}");
    let state = async |wanted: &str| {
        until(wanted, async || {
            let found: v1::Cluster = any().get(&path).await.ok()?;
            (found.status.state == wanted).then_some(())
        })
        .await;
    };
    state("Provisioning").await;
    any().call(Method::DELETE, &path, None::<&()>).await.unwrap();
    state("Deleted").await;
}
