//! A plane, a gateway and a region as people run them: the binary, three times.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use plane_client::{Auth, Client, Method, Options, v1};
use secrets::Secret;
use serde_json::{Value, json};
use tempfile::TempDir;

use support::{Program, address, bessemer, cluster, code, profile, refusal};

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_mins(2);
const EMAIL: &str = "admin@example.com";
const PASSWORD: &str = "correct horse battery";

/// A plane with a region and a gateway beside it, all in one folder.
struct Site {
    folder: TempDir,
    plane: Program,
    region: Program,
    at: String,
    maas: String,
}

impl Site {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path().display().to_string();
        let (at, api, boot) = (address(1), address(2), address(3));
        fs::create_dir(folder.path().join("ephemeral")).unwrap();
        fs::write(folder.path().join("password"), format!("{PASSWORD}\n")).unwrap();
        let write = |name: &str, text: String| fs::write(folder.path().join(name), text).unwrap();
        write(
            "plane.toml",
            format!(
                "data = \"{here}/plane\"\nlisten = \"{at}\"\nnames = [\"127.0.3.1\"]\n[admin]\norganization = \"Example\"\n\
                 email = \"{EMAIL}\"\npassword_file = \"{here}/password\"\napi_key_file = \"{here}/plane.key\"\n"
            ),
        );
        write(
            "region.toml",
            format!(
                "data = \"{here}/region\"\napi = \"{api}\"\nboot = \"{boot}\"\nephemeral = \"{here}/ephemeral\"\n\
                 admin_key_file = \"{here}/maas.key\"\n"
            ),
        );
        write("gateway.toml", format!("data = \"{here}/gateway\"\n[plane]\naddress = \"{at}\"\n"));
        let start = |name: &str, words: [&str; 2]| {
            let config = folder.path().join(format!("{name}.toml"));
            Program::start(folder.path(), name, &[words[0], words[1], "--config", config.to_str().unwrap()])
        };
        let (plane, region) = (start("plane", ["plane", "run"]), start("region", ["region", "run"]));
        Self { plane, region, at, maas: format!("http://{api}/MAAS"), folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn config(&self) -> String {
        self.path("gateway.toml").display().to_string()
    }

    fn gateway(&self) -> Program {
        Program::start(self.folder.path(), "gateway", &["gateway", "run", "--config", &self.config()])
    }

    fn logs(&self) -> String {
        let gateway = fs::read_to_string(self.path("gateway.log")).unwrap_or_default();
        format!("plane: {}\nregion: {}\ngateway: {gateway}", self.plane.log(), self.region.log())
    }

    /// Pairs the gateway; how the program ended, and what it said.
    fn pair(&self, code: &str) -> (bool, String) {
        let config = self.config();
        let output =
            bessemer().args(["gateway", "pair", "--config", &config, "--code", code]).output().unwrap();
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
        (output.status.success(), said)
    }

    /// Looks until there is something.
    async fn until<T>(&self, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
        let give_up = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = look().await {
                return found;
            }
            assert!(Instant::now() < give_up, "in vain until {what}: {}", self.logs());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// A client of the plane, once it answers.
    async fn client(&self) -> Client {
        self.until("the plane answers", async || {
            let client = self.client_now()?;
            client.get::<v1::UserInfo>("/v1/users/info").await.ok().map(|_| client)
        })
        .await
    }

    fn client_now(&self) -> Option<Client> {
        let ca = fs::read(self.path("plane/ca.crt")).ok().filter(|pem| !pem.is_empty())?;
        let key = fs::read_to_string(self.path("plane.key")).ok().filter(|key| !key.is_empty())?;
        let options = Options { ca: Some(ca), project: None };
        Some(Client::new(&format!("https://{}", self.at), &Auth::ApiKey(Secret::new(key)), &options).unwrap())
    }

    /// The only gateway, once it is in this state and its sealing key is known.
    async fn overlord(&self, client: &Client, state: &str) -> v1::Overlord {
        self.until(state, async || {
            let all: v1::List<v1::Overlord> = client.get("/v1/overlords").await.ok()?;
            let one = all.items.into_iter().next()?;
            let known = state != "Running" || !one.status.health.agent_version.is_empty();
            (one.status.state == state && known).then_some(one)
        })
        .await
    }

    fn account(&self, overlord: &str, name: &str, key: &str) -> Value {
        json!({"metadata": {"name": name, "annotations": {"overlordUid": overlord}},
               "spec": {"apiEndpoint": self.maas, "apiKey": key, "preferredSubnets": ["a"], "newer": {"x": 1}}})
    }

    /// A gateway with an engine, a cloud account through it, and a profile.
    async fn with_engine(&self, bundle: &Path) -> (Program, Client, String, String) {
        let text = fs::read_to_string(self.path("gateway.toml")).unwrap();
        let engine = format!("bundle = \"{}\"\nlisten = \"127.0.3.4:0\"\n[plane]", bundle.display());
        fs::write(self.path("gateway.toml"), text.replacen("[plane]", &engine, 1)).unwrap();
        let client = self.client().await;
        assert!(self.pair(&code(&client, "rack-1").await).0);
        let gateway = self.gateway();
        let overlord = self.overlord(&client, "Running").await.metadata.uid;
        let account = self
            .until("the account works", async || {
                let key = fs::read_to_string(self.path("maas.key")).ok()?;
                client
                    .create("/v1/cloudaccounts/maas", &self.account(&overlord, "rack", key.trim()))
                    .await
                    .ok()
            })
            .await;
        let profile = client.create("/v1/clusterprofiles?publish=true", &profile()).await.unwrap();
        (gateway, client, account, profile)
    }

    /// kubectl of a bundle with a kubeconfig of the folder: what it prints, and what it says.
    fn kubectl(&self, bundle: &Path, file: &str, arguments: &[&str]) -> [String; 2] {
        let mut command = Command::new(bundle.join("bin/kubectl"));
        command.arg("--kubeconfig").arg(self.path(file)).arg("--cache-dir").arg(self.path("cache"));
        let output = command.args(arguments).output().unwrap();
        [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap())
    }

    fn maas_key(&self) -> String {
        fs::read_to_string(self.path("maas.key")).unwrap().trim().to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_maas_becomes_a_cloud_account_through_its_gateway() {
    let mut site = Site::start();
    let client = site.client().await;

    let code = code(&client, "rack-1").await;
    let (done, said) = site.pair("bessemer1.half");
    assert!(!done && said.contains("pairing code"), "{said}");
    let (done, said) = site.pair(&code);
    assert!(done, "{said}");
    assert!(
        site.pair(&code).0,
        "the answer may have been lost: the same gateway pairs again by the same code"
    );
    let down = site.overlord(&client, "Down").await;
    assert_eq!(down.metadata.name, "rack-1");

    let mut gateway = site.gateway();
    let overlord = site.overlord(&client, "Running").await;
    let uid = overlord.metadata.uid;
    let status = bessemer().args(["gateway", "status", "--config", &site.config()]).output().unwrap();
    let status = String::from_utf8(status.stdout).unwrap();
    assert!(status.contains(&uid) && status.contains("connected since"), "{status}");

    // The region's key: a wrong one is said at once, as is an address where nobody or somebody else answers.
    site.until("the region answers", async || {
        let probe = json!({"account": {"apiEndpoint": site.maas, "apiKey": "a:b:c"}});
        let path = format!("/v1/overlords/maas/{uid}/account/validate");
        let refused = client.call(Method::POST, &path, Some(&probe)).await.unwrap_err();
        (refusal(&refused) == (400, "MaasUnauthorized")).then_some(())
    })
    .await;
    let key = site.maas_key();
    for (endpoint, wanted) in [
        ("http://127.0.3.9:1/MAAS".to_owned(), "MaasUnreachable"),
        (format!("https://{}", site.at), "MaasUnreachable"),
        ("ftp://x".to_owned(), "InvalidRequest"),
    ] {
        let mut account = site.account(&uid, "wrong", &key);
        account["spec"]["apiEndpoint"] = json!(endpoint);
        let refused = client.create("/v1/cloudaccounts/maas", &account).await.unwrap_err();
        assert_eq!(refusal(&refused), (400, wanted), "{endpoint}: {refused}");
    }
    let made = client.create("/v1/cloudaccounts/maas", &site.account(&uid, "rack", &key)).await.unwrap();
    let again = client.create("/v1/cloudaccounts/maas", &site.account(&uid, "rack", &key)).await.unwrap_err();
    assert_eq!(refusal(&again), (409, "ResourceAlreadyExists"));

    // It is shown as it was sent, but for the key, which nobody gets any more.
    let path = format!("/v1/cloudaccounts/maas/{made}");
    let mut shown: Value = client.get(&path).await.unwrap();
    assert_eq!(
        shown["spec"],
        json!({"apiEndpoint": site.maas, "apiKey": "", "preferredSubnets": ["a"], "newer": {"x": 1}})
    );
    assert_eq!(shown["metadata"]["annotations"]["overlordUid"], json!(uid));
    let secret = key.rsplit(':').next().unwrap();
    for file in
        fs::read_dir(site.path("plane")).unwrap().chain(fs::read_dir(site.path("gateway/site")).unwrap())
    {
        let path = file.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        let there = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!there, "the MAAS key is in {}", path.display());
    }
    assert!(!site.logs().contains(secret));

    // What is in the MAAS, live.
    let zones: v1::Zones = client.get(&format!("{path}/properties/azs")).await.unwrap();
    assert_eq!(zones.zones[0].name, "default");
    let pools: v1::Pools = client.get(&format!("{path}/properties/resourcepools")).await.unwrap();
    assert_eq!(pools.pools[0].name, "default");
    let domains: v1::Domains =
        client.get(&format!("/v1/clouds/maas/domains?cloudAccountUid={made}")).await.unwrap();
    assert_eq!(domains.domains[0].name, "maas");
    client.get::<v1::Subnets>(&format!("{path}/properties/subnets")).await.unwrap();
    client.get::<v1::Tags>(&format!("{path}/properties/tags")).await.unwrap();

    // What was read can be sent back; but not to another place without the key.
    client.call(Method::PUT, &path, Some(&shown)).await.unwrap();
    shown["spec"]["apiEndpoint"] = json!("http://127.0.3.9:1/MAAS");
    let refused = client.call(Method::PUT, &path, Some(&shown)).await.unwrap_err();
    assert_eq!(refusal(&refused), (400, "InvalidRequest"));

    // Without its gateway an account says so; the gateway is kept while accounts need it.
    gateway.kill();
    site.overlord(&client, "Down").await;
    let refused = client.get::<Value>(&format!("{path}/properties/tags")).await.unwrap_err();
    assert_eq!(refusal(&refused), (503, "GatewayUnavailable"));
    let gateways = format!("/v1/overlords/{uid}");
    let refused = client.call(Method::DELETE, &gateways, None::<&()>).await.unwrap_err();
    assert_eq!(refusal(&refused), (409, "ResourceInUse"));

    // Both come back after a power cut, with all that they knew.
    gateway.restart();
    site.plane.restart();
    let client = site.client().await;
    site.overlord(&client, "Running").await;
    client.get::<v1::Zones>(&format!("{path}/properties/azs")).await.unwrap();

    client.call(Method::DELETE, &path, None::<&()>).await.unwrap();
    client.call(Method::DELETE, &gateways, None::<&()>).await.unwrap();
    // A gateway whose record is gone is not let in again.
    site.until("the gateway is told", async || gateway.log().contains("record is gone").then_some(())).await;
    assert!(gateway.end() && site.plane.end() && site.region.end(), "{}", site.logs());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_good_once_and_a_second_gateway_is_no_way_in() {
    let site = Site::start();
    let client = site.client().await;
    let first = code(&client, "a").await;
    assert!(site.pair(&first).0);
    // Another gateway, by the same code.
    fs::remove_dir_all(site.path("gateway")).unwrap();
    let (done, said) = site.pair(&first);
    assert!(!done && said.contains("another gateway was paired by this code"), "{said}");
    // A code of another plane is not even shown to this one.
    let foreign = format!("bessemer1.{}.{}", "0".repeat(32), "1".repeat(64));
    let (done, said) = site.pair(&foreign);
    assert!(!done && said.contains("another plane"), "{said}");
    let unknown = first.replacen(&first[10..42], &"0".repeat(32), 1);
    let (done, said) = site.pair(&unknown);
    assert!(!done && said.contains("has not given out this code"), "{said}");

    // Its pairing taken back, the gateway is paired anew.
    let all: v1::List<v1::Overlord> = client.get("/v1/overlords").await.unwrap();
    let uid = &all.items[0].metadata.uid;
    let path = format!("/v1/overlords/{uid}/reset");
    let again: v1::Message = client.send(Method::PUT, &path, None::<&()>).await.unwrap();
    let (done, said) = site.pair(&again.msg);
    assert!(done && said.contains(uid.as_str()), "{said}");
    let _gateway = site.gateway();
    site.overlord(&client, "Running").await;
}

/// Installed without hands: the code comes in a file, before or after the gateway starts.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_pairs_itself_by_a_code_in_a_file() {
    let site = Site::start();
    let text = fs::read_to_string(site.path("gateway.toml")).unwrap();
    let file = site.path("code");
    fs::write(site.path("gateway.toml"), format!("{text}pairing_code_file = \"{}\"\n", file.display()))
        .unwrap();
    let mut gateway = site.gateway();
    let client = site.client().await;
    site.until("the gateway waits for its code", async || {
        gateway.log().contains("pairing code").then_some(())
    })
    .await;
    fs::write(&file, format!("{}\n", code(&client, "a").await)).unwrap();
    site.overlord(&client, "Running").await;
    assert!(!file.exists(), "a code that was used is left lying about");
    gateway.restart();
    site.until("it is connected again", async || {
        (gateway.log().matches("connected to the plane").count() > 1).then_some(())
    })
    .await;

    let doctor = || {
        let output = bessemer().args(["gateway", "doctor", "--config", &site.config()]).output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    let (well, said) = doctor();
    assert!(well && said.contains("lets it in") && said.contains("is connected"), "{said}");
    let right = fs::read_to_string(site.path("gateway.toml")).unwrap();
    fs::write(site.path("gateway.toml"), right.replace(&site.at, "127.0.3.9:1")).unwrap();
    let (well, said) = doctor();
    assert!(!well && said.contains("BAD") && said.contains("127.0.3.9:1"), "{said}");
    fs::write(site.path("gateway.toml"), right).unwrap();

    // A code that is none ends it, with the file's name.
    fs::remove_dir_all(site.path("gateway")).unwrap();
    fs::write(&file, "bessemer1.half").unwrap();
    let output = bessemer().args(["gateway", "run", "--config", &site.config()]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains(&file.display().to_string()), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unpaired_gateway_and_a_wrong_address_say_what_to_do() {
    let site = Site::start();
    let output = bessemer().args(["gateway", "run", "--config", &site.config()]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("bessemer gateway pair"), "{said}");

    let client = site.client().await;
    let code = code(&client, "a").await;
    fs::write(
        site.path("gateway.toml"),
        format!("data = \"{}\"\n[plane]\naddress = \"127.0.3.9:1\"\n", site.path("gateway").display()),
    )
    .unwrap();
    let (done, said) = site.pair(&code);
    assert!(!done && said.contains("127.0.3.9:1") && said.contains("refused"), "{said}");

    let ca = fs::read(site.path("plane/ca.crt")).unwrap();
    let options = Options { ca: Some(ca), project: None };
    let stranger = Client::new(&format!("https://{}", site.at), &Auth::None, &options).unwrap();
    let login = v1::Login { email_id: EMAIL.into(), password: Secret::from(PASSWORD), org: None };
    let token = stranger.sign_in(&login).await.unwrap().authorization;
    let session = Client::new(&format!("https://{}", site.at), &Auth::Session(token), &options).unwrap();
    let info: v1::UserInfo = session.get("/v1/users/info").await.unwrap();
    assert_eq!(info.org_name, "Example");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_joins_a_site_to_its_plane() {
    let site = Site::start();
    site.client().await;
    site.until("the region has its key", async || {
        fs::read_to_string(site.path("maas.key")).ok().filter(|key| !key.is_empty())
    })
    .await;
    let (at, ca, here) = (format!("https://{}", site.at), site.path("plane/ca.crt"), site.path(""));
    let run = |words: &[&str]| {
        let mut command = bessemer();
        command.args(words).env("XDG_CONFIG_HOME", site.path("config")).current_dir(&here);
        for name in ["BESSEMER_URL", "BESSEMER_API_KEY", "BESSEMER_CA", "BESSEMER_PROJECT"] {
            command.env_remove(name);
        }
        let output = command.output().unwrap();
        let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        (output.status.success(), out, err)
    };
    let good = |words: &[&str]| {
        let (done, out, err) = run(words);
        assert!(done, "{words:?}: {err}");
        out
    };
    let bad = |words: &[&str]| {
        let (done, out, err) = run(words);
        assert!(!done, "{words:?}: {out}");
        err
    };
    assert!(bad(&["gateway", "list"]).contains("bessemer login"));
    let refused = bad(&["login", "plane", &at, "wrong", "--ca", ca.to_str().unwrap()]);
    assert!(refused.contains("log in with a valid key"), "{refused}");
    assert!(
        bad(&["login", "plane", &at, "--key-file", "plane.key"]).contains("--ca"),
        "an unknown authority"
    );
    let said = good(&["login", "plane", &at, "--key-file", "plane.key", "--ca", ca.to_str().unwrap()]);
    assert!(said.contains("Example"), "{said}");
    assert!(good(&["context", "list"]).contains("plane"));
    assert!(bad(&["machine", "list"]).contains("no region"));

    let code = good(&["gateway", "invite", "rack-1"]);
    assert!(good(&["gateway", "list"]).contains("not paired yet"));
    assert!(site.pair(code.trim()).0);
    let _gateway = site.gateway();
    let client = site.client().await;
    site.overlord(&client, "Running").await;
    let create = |key: &str| {
        ["account", "create", "rack", "--gateway", "rack-1", "--endpoint", &site.maas, "--key-file", key]
            .map(str::to_owned)
    };
    let words = |all: [String; 9]| all.to_vec();
    fs::write(site.path("wrong.key"), "a:b:c").unwrap();
    let wrong = words(create("wrong.key"));
    let refused = bad(&wrong.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(
        refused.contains("does not accept this API key") || refused.contains("no MAAS answers"),
        "{refused}"
    );
    site.until("the region answers", async || {
        let right = words(create("maas.key"));
        run(&right.iter().map(String::as_str).collect::<Vec<_>>()).0.then_some(())
    })
    .await;
    assert!(good(&["account", "list"]).contains(&site.maas));
    assert!(good(&["account", "find", "rack", "zones"]).contains("default"));
    let found: Value =
        serde_json::from_str(&good(&["account", "find", "rack", "domains", "-o", "json"])).unwrap();
    assert_eq!(found[0]["name"], "maas");
    for what in ["images", "machines"] {
        assert!(good(&["account", "find", "rack", what]).contains("The MAAS has none."), "{what}");
    }
    assert!(bad(&["account", "find", "none", "zones"]).contains("bessemer account list"));

    fs::write(
        site.path("profile.yaml"),
        "metadata: {name: web}\nspec:\n  version: 1.0.0\n  template:\n    type: add-on\n    packs:\n    - name: web\n      type: manifest\n      manifests: [{name: a, content: \"kind: X\"}]\n",
    )
    .unwrap();
    good(&["profile", "create", "--file", "profile.yaml"]);
    assert!(good(&["profile", "show", "web@1.0.0"]).contains("published"));
    assert!(bad(&["profile", "create", "--file", "profile.yaml"]).contains("already"));
    assert!(good(&["cluster", "list"]).contains("bessemer cluster create"));
    let spec = "spec: {cloudAccountUid: rack, profiles: [{uid: web}], machinepoolconfig: []}";
    fs::write(site.path("cluster.yaml"), format!("metadata: {{name: demo}}\n{spec}\n")).unwrap();
    let refused = bad(&["cluster", "create", "--file", "cluster.yaml"]);
    assert!(refused.contains("one cluster or infra profile"), "{refused}");
    assert!(bad(&["cluster", "show", "demo"]).contains("bessemer cluster list"));
    good(&["project", "create", "blue"]);
    good(&["project", "use", "blue"]);
    // What is the tenant's shows in its projects, and is changed in none of them.
    assert!(good(&["account", "list"]).contains("tenant"));
    assert!(bad(&["account", "delete", "rack"]).contains("ProjectUid"));
    good(&["project", "use", "-"]);
    good(&["profile", "delete", "web"]);
    good(&["account", "delete", "rack"]);
    good(&["gateway", "delete", "rack-1"]);
}

/// A whole profile of what every site has.
/// What happened is told; a pool more, and the same one away again, down to Cluster API's objects; another key reaches
/// the site too.
async fn told_and_changed(
    site: &Site,
    bundle: &Path,
    client: &Client,
    order: &Value,
    uid: &str,
    account: &str,
) {
    let events = async || {
        let path = format!("/v1/events/components/spectrocluster/{uid}?limit=0");
        client.get::<v1::List<v1::Event>>(&path).await.unwrap().items
    };
    let told = events().await;
    for (reason, by) in
        [("Ordered", "user"), ("Waiting", "plane"), ("OrderTaken", "gateway"), ("State", "gateway")]
    {
        let is = |event: &&v1::Event| event.reason == reason;
        let found = told.iter().find(is).unwrap_or_else(|| panic!("no {reason} among {told:#?}"));
        assert!(found.source.component == by || reason == "OrderTaken", "{found:?}");
    }
    assert_eq!(told.last().unwrap().reason, "Ordered", "the latest comes first");

    let pools = |path: &str| format!("/v1/cloudconfigs/maas/{uid}/machinePools{path}");
    let mut another = order["spec"]["machinepoolconfig"][1].clone();
    another["poolConfig"]["name"] = json!("more");
    let refused = client.create(&pools(""), &another).await.unwrap_err();
    assert_eq!(refusal(&refused), (400, "InsufficientMachines"), "{refused}");
    another["poolConfig"]["size"] = json!(0);
    assert_eq!(client.create(&pools(""), &another).await.unwrap(), "more");
    let refused = client.create(&pools(""), &another).await.unwrap_err();
    assert_eq!(refusal(&refused), (409, "ResourceAlreadyExists"));
    let refused = client.create(&pools(""), &order["spec"]["machinepoolconfig"][0]).await.unwrap_err();
    assert_eq!(refusal(&refused), (400, "InvalidRequest"));
    let deployments = || {
        let get = ["get", "machinedeployments", "-A", "-o", "name"];
        site.kubectl(bundle, "gateway/admin.kubeconfig", &get)[0].matches("-more").count()
    };
    site.until("the pool is there", async || (deployments() == 1).then_some(())).await;
    let told =
        events().await.into_iter().any(|event| event.message.contains("pool more is added with 0 machines"));
    assert!(told, "nobody tells of the pool");
    let refused = client.call(Method::DELETE, &pools("/control"), None::<&()>).await.unwrap_err();
    assert_eq!(refusal(&refused), (400, "InvalidRequest"));
    client.call(Method::DELETE, &pools("/more"), None::<&()>).await.unwrap();
    site.until("the pool is gone", async || (deployments() == 0).then_some(())).await;
    let key = site.maas_key();
    let again = site.account("", "rack", &key);
    let mut again = again.clone();
    again["metadata"]["annotations"] = json!({});
    client.call(Method::PUT, &format!("/v1/cloudaccounts/maas/{account}"), Some(&again)).await.unwrap();
    site.until("the site has the order with the key", async || {
        let get = [
            "get",
            "siteclusters",
            "-o",
            "jsonpath={.items[0].spec.order.generation} {.items[0].status.applied[1]}",
        ];
        (site.kubectl(bundle, "gateway/admin.kubeconfig", &get)[0].trim() == "4 4").then_some(())
    })
    .await;
}

/// A plane whose database is older than what the site has had: told so, its orders are taken before newer ones.
async fn restored_from_a_backup(mut site: Site, bundle: &Path, client: &Client, uid: &str) -> Site {
    let (database, backup) = (site.path("plane/plane.db"), site.path("backup.db"));
    assert!(site.plane.end(), "{}", site.logs());
    fs::copy(&database, &backup).unwrap();
    site.plane.restart();
    site.overlord(&site.client().await, "Running").await;
    let mut pool: Value = cluster("demo", "", "")["spec"]["machinepoolconfig"][1].clone();
    pool["poolConfig"]["size"] = json!(0);
    let path = format!("/v1/cloudconfigs/maas/{uid}/machinePools/workers");
    client.call(Method::PUT, &path, Some(&pool)).await.unwrap();
    let at_site = |site: &Site| {
        let get = ["get", "siteclusters", "-o", "jsonpath={.items[0].status.applied}"];
        let [applied, _] = site.kubectl(bundle, "gateway/admin.kubeconfig", &get);
        serde_json::from_str::<(u64, u64)>(&applied).ok()
    };
    let newest = site
        .until("the site has the change", async || at_site(&site).filter(|(_, generation)| *generation > 4))
        .await;
    assert_eq!(newest, (1, 5));

    assert!(site.plane.end(), "{}", site.logs());
    for leftover in ["plane/plane.db-wal", "plane/plane.db-shm"] {
        let _ = fs::remove_file(site.path(leftover));
    }
    fs::copy(&backup, &database).unwrap();
    let config = site.path("plane.toml").display().to_string();
    let output = bessemer().args(["plane", "restored", "--config", &config]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && said.contains("incarnation 2"), "{said}");
    site.plane.restart();
    let client = site.client().await;
    site.overlord(&client, "Running").await;
    site.until("the site takes the restored plane's order", async || {
        (at_site(&site) == Some((2, 4))).then_some(())
    })
    .await;
    let path = format!("/v1/spectroclusters/{uid}");
    site.until("its reports are heard", async || {
        let one: v1::Cluster = client.get(&path).await.ok()?;
        one.status.spc_apply.can_be_applied.then_some(())
    })
    .await;
    site
}

/// A cluster's life as far as it goes without machines: ordered while the site is away, brought there, applied to a
/// real Cluster API, which says what it waits for; told by the gateway; deleted until nothing is left.
#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_ordered_and_deleted_through_the_tunnel() {
    let Some(bundle) = std::env::var_os("BESSEMER_BUNDLE") else {
        println!("left out: BESSEMER_BUNDLE names no bundle");
        return;
    };
    let (bundle, site) = (PathBuf::from(bundle), Site::start());
    let (mut gateway, client, account, profile) = site.with_engine(&bundle).await;

    // The site has no machine, and says so; while it is away, nobody can tell.
    let order = cluster("demo", &account, &profile);
    let refused = client.create("/v1/spectroclusters/maas", &order).await.unwrap_err();
    assert_eq!(refusal(&refused), (400, "InsufficientMachines"), "{refused}");
    assert!(gateway.end(), "{}", site.logs());
    site.overlord(&client, "Down").await;
    let mut broken = order.clone();
    broken["spec"]["machinepoolconfig"][0]["poolConfig"]["size"] = json!(2);
    let refused = client.create("/v1/spectroclusters/maas", &broken).await.unwrap_err();
    assert_eq!(refusal(&refused), (400, "InvalidCluster"), "{refused}");
    let uid = client.create("/v1/spectroclusters/maas", &order).await.unwrap();
    let again = client.create("/v1/spectroclusters/maas", &order).await.unwrap_err();
    assert_eq!(refusal(&again), (409, "ResourceAlreadyExists"));
    let path = format!("/v1/spectroclusters/{uid}");
    let read = async || client.get::<v1::Cluster>(&path).await.unwrap();
    let message = |one: &v1::Cluster| one.status.conditions[0].message.clone();
    site.until("it waits for the gateway", async || {
        let one = read().await;
        (one.status.state == "Pending" && message(&one).contains("not connected")).then_some(())
    })
    .await;
    for (used, path) in [
        ("account", format!("/v1/cloudaccounts/maas/{account}")),
        ("profile", format!("/v1/clusterprofiles/{profile}")),
    ] {
        let refused = client.call(Method::DELETE, &path, None::<&()>).await.unwrap_err();
        assert_eq!(refusal(&refused), (409, "ResourceInUse"), "{used}");
    }

    gateway.restart();
    let one = site
        .until("Cluster API has it", async || {
            let one = read().await;
            (one.status.state == "Provisioning" && message(&one).contains("control-plane")).then_some(one)
        })
        .await;
    assert!(one.status.timeline.iter().any(|phase| phase.phase == "Provisioning"));
    let config: v1::CloudConfig = client.get(&format!("/v1/cloudconfigs/maas/{uid}")).await.unwrap();
    assert_eq!(config.spec.cluster_config["newer"], 1);
    assert_eq!(config.spec.machine_pool_config[1]["name"], "workers");
    let machines = format!("/v1/cloudconfigs/maas/{uid}/machinePools/control/machines");
    site.until("its first machine is known", async || {
        let all: v1::List<v1::Machine> = client.get(&machines).await.unwrap();
        (all.items.len() == 1 && !all.items[0].status.message.is_empty()).then_some(())
    })
    .await;
    // Its API is asked for through plane and gateway; that it does not answer yet is said by the client's own words.
    let own = client.text(&format!("{path}/assets/kubeconfigclient")).await.unwrap();
    fs::write(site.path("own.kubeconfig"), own.expose()).unwrap();
    let [_, said] = site.kubectl(&bundle, "own.kubeconfig", &["get", "pods"]);
    assert!(said.contains("API server does not answer") || said.contains("at the site"), "{said}");
    told_and_changed(&site, &bundle, &client, &order, &uid, &account).await;
    let found: v1::List<v1::ClusterSummary> = client
        .send(
            Method::POST,
            "/v1/dashboard/spectroclusters/search",
            Some(&json!({"filter": {"filterGroups": [{"filters": [{"property": "clusterName",
            "condition": {"string": {"match": {"values": ["demo"]}}}}]}]}})),
        )
        .await
        .unwrap();
    assert_eq!(found.items[0].metadata.uid, uid);

    let site = restored_from_a_backup(site, &bundle, &client, &uid).await;

    // A power cut of plane and gateway in the middle of it; then the end.
    let mut plane = site;
    plane.plane.restart();
    gateway.restart();
    let site = plane;
    let client = site.client().await;
    site.overlord(&client, "Running").await;
    client.call(Method::DELETE, &path, None::<&()>).await.unwrap();
    let deleting = client.get::<v1::Cluster>(&path).await.unwrap();
    assert_eq!(deleting.status.state, "Deleting");
    site.until("nothing is left of it", async || {
        let one = client.get::<v1::Cluster>(&path).await.ok()?;
        (one.status.state == "Deleted").then_some(())
    })
    .await;
    site.until("the engine has forgotten it", async || {
        let [namespaces, _] =
            site.kubectl(&bundle, "gateway/admin.kubeconfig", &["get", "namespaces", "-o", "name"]);
        let [kept, _] =
            site.kubectl(&bundle, "gateway/admin.kubeconfig", &["get", "siteclusters", "-o", "name"]);
        (!namespaces.is_empty() && !namespaces.contains("demo") && kept.is_empty()).then_some(())
    })
    .await;
    // The name is free again.
    assert!(gateway.end(), "{}", site.logs());
    site.overlord(&client, "Down").await;
    client.create("/v1/spectroclusters/maas", &order).await.unwrap();
}
