//! A region's API over a store in memory, and callers of it.
#![allow(dead_code)]

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::{Router, body::Body};
use disks::Disk;
use http::{Request, StatusCode, header};
use jiff::Timestamp;
use lifecycle::{Power, Status};
use maas_api::{ConsoleLines, PowerControl, Settings, State};
use model::{
    ApiToken, BootResource, ImageFile, ImageSet, Machine, Machines, Nic, SCOPE, Tag, User,
    setup::{self, AdminKey, Network},
};
use secrets::Secret;
use serde_json::Value;
use store::{Batch, Store};
use tower::ServiceExt;

static NONCE: AtomicU64 = AtomicU64::new(0);

/// A power control that remembers.
#[derive(Default)]
pub struct FakePower(pub Mutex<BTreeMap<String, Power>>);

#[async_trait::async_trait]
impl PowerControl for FakePower {
    async fn query(&self, system_id: &str) -> Result<String, String> {
        Ok(match self.0.lock().unwrap().get(system_id) {
            Some(Power::On) => "on",
            Some(Power::Off) => "off",
            None => "unknown",
        }
        .to_owned())
    }
    async fn switch(&self, system_id: &str, to: Power) -> Result<(), String> {
        self.0.lock().unwrap().insert(system_id.to_owned(), to);
        Ok(())
    }
    /// A machine that is on said three lines.
    async fn console(&self, system_id: &str, skip: usize) -> Result<Option<ConsoleLines>, String> {
        let lines = ["one", "two", "three"].into_iter().skip(skip).map(str::to_owned).collect();
        let on = self.0.lock().unwrap().get(system_id) == Some(&Power::On);
        Ok(on.then_some(ConsoleLines { first: skip, lines, total: 3 }))
    }
}

pub struct Region {
    pub router: Router,
    pub machines: Machines,
    pub power: Arc<FakePower>,
    _images: tempfile::TempDir,
}

pub struct Answer {
    pub status: StatusCode,
    pub kind: String,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {} {}", self.status, self.text))
    }
    pub fn ok(self) -> Value {
        assert!(self.status.is_success(), "{} {}", self.status, self.text);
        self.json()
    }
}

/// A region with MAAS's defaults, the users admin and user1, one network and one image.
pub async fn region() -> Region {
    let store = Store::in_memory().await;
    let network = Network {
        cidr: "10.99.0.0/24".parse().unwrap(),
        address: Ipv4Addr::new(10, 99, 0, 1),
        gateway: Some(Ipv4Addr::new(10, 99, 0, 1)),
        dynamic_start: Ipv4Addr::new(10, 99, 0, 100),
        dynamic_end: Ipv4Addr::new(10, 99, 0, 120),
        reserved: Vec::new(),
    };
    let key =
        AdminKey { consumer: "ck".to_owned(), token: "admin".to_owned(), secret: Secret::new("s-admin") };
    setup::run(&store, &[network], &key).await.unwrap();
    let image = BootResource {
        number: 1,
        name: "ubuntu/noble".to_owned(),
        architecture: "amd64/generic".to_owned(),
        title: "Noble".to_owned(),
        rtype: "Uploaded".to_owned(),
        base_image: String::new(),
        sets: BTreeMap::from([(
            "20261122".to_owned(),
            ImageSet {
                files: BTreeMap::from([(
                    "disk".to_owned(),
                    ImageFile {
                        number: 1,
                        filetype: "ddzst".to_owned(),
                        sha256: "0".repeat(64),
                        size: 1,
                        raw_size: None,
                        complete: true,
                    },
                )]),
            },
        )]),
        last_deployed: None,
    };
    let user = User { number: 2, email: "user1@example.com".to_owned(), admin: false };
    let token = ApiToken {
        user: "user1".to_owned(),
        name: "MAAS consumer".to_owned(),
        consumer: "ck".to_owned(),
        secret: Secret::new("s-user1"),
        created: Timestamp::now(),
    };
    let tag = Tag { comment: String::new(), definition: String::new(), kernel_opts: String::new() };
    let batch = Batch::new("test", "test")
        .create(SCOPE, "1", &image)
        .create(SCOPE, "user1", &user)
        .create(SCOPE, "user1", &token)
        .create(SCOPE, "tag001", &tag);
    store.commit(batch).await.unwrap();
    let machines = Machines::new(store);
    let power = Arc::new(FakePower::default());
    let directory = tempfile::tempdir().unwrap();
    let images = images::Images::open(directory.path()).unwrap();
    let state = State::new(machines.clone(), images, power.clone(), Settings::default());
    Region { router: maas_api::router(Arc::new(state)), machines, power, _images: directory }
}

impl Region {
    /// A machine that was commissioned.
    pub async fn machine(&self, id: &str, number: u64, status: Status) {
        let now = Timestamp::now();
        let mut machine = Machine::new(format!("m{number:05}"), now);
        machine.status = status;
        "manual".clone_into(&mut machine.power.kind);
        machine.cpu_count = 4;
        machine.memory = 4096;
        machine.tags = vec!["tag001".to_owned()];
        let mac = format!("52:54:00:00:{:02x}:{:02x}", number / 256, number % 256);
        machine.nics.push(Nic {
            vlan: Some(5001),
            boot: true,
            link_speed: 1000,
            interface_speed: 1000,
            vendor: "Vendor".to_owned(),
            product: "Product".to_owned(),
            ..Nic::physical(number * 10, "eth0", &mac)
        });
        machine.storage.disks.push(Disk {
            number: number * 10 + 1,
            name: "sda".to_owned(),
            model: "Model".to_owned(),
            serial: "1".to_owned(),
            id_path: "/dev/disk/by-id/1".to_owned(),
            size: 250_000_000_000,
            block_size: 512,
            tags: vec!["ssd".to_owned()],
            boot: true,
            ..Disk::default()
        });
        let batch = Batch::new("test", "test")
            .claim(SCOPE, "mac", &machine.nics[0].mac, id)
            .claim(SCOPE, "hostname", &machine.hostname, id)
            .create(SCOPE, id, &machine);
        self.machines.store().commit(batch).await.unwrap();
    }

    /// Moves a machine as the reconciler would.
    pub async fn enter(&self, id: &str, status: Status) {
        self.machines
            .change("test", "test", id, |machine, batch| {
                machine.enter(status, Timestamp::now());
                Ok::<_, std::convert::Infallible>(match status {
                    Status::Ready => model::ops::clear_deployment(self.machines.store(), id, machine, batch),
                    _ => batch,
                })
            })
            .await
            .unwrap();
    }

    /// Calls as `user` (empty: anonymous), with a form body where there is one.
    pub async fn call(&self, user: &str, method: &str, path: &str, form: Option<&str>) -> Answer {
        let mut headers = vec![];
        if !user.is_empty() {
            headers.push((header::AUTHORIZATION, plaintext(user)));
        }
        if form.is_some() {
            headers.push((header::CONTENT_TYPE, "application/x-www-form-urlencoded".to_owned()));
        }
        self.send(method, path, &headers, form.unwrap_or_default().to_owned()).await
    }

    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(header::HeaderName, String)],
        body: impl Into<Body>,
    ) -> Answer {
        let (answer, hashed) = self.ask(method, path, headers, body.into()).await;
        assert!(hashed, "without X-MAAS-API-Hash");
        answer
    }

    /// Sends what is not of the API itself: the answer has no hash of its description.
    pub async fn send_bare(
        &self,
        method: &str,
        path: &str,
        headers: &[(header::HeaderName, String)],
        body: impl Into<Body>,
    ) -> Answer {
        self.ask(method, path, headers, body.into()).await.0
    }

    async fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(header::HeaderName, String)],
        body: Body,
    ) -> (Answer, bool) {
        let uri = if path.starts_with("/MAAS") { path.to_owned() } else { format!("/MAAS/api/2.0{path}") };
        let mut request = Request::builder().method(method).uri(uri).header("host", "127.0.0.1:5240");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let response = self.router.clone().oneshot(request.body(body).unwrap()).await.unwrap();
        let hashed = response.headers().contains_key("x-maas-api-hash");
        let kind = response
            .headers()
            .get(header::CONTENT_TYPE)
            .map(|value| value.to_str().unwrap().to_owned())
            .unwrap_or_default();
        let status = response.status();
        let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (Answer { status, kind, text: String::from_utf8_lossy(&bytes).into_owned() }, hashed)
    }
}

/// The header of a user's call.
pub fn plaintext(user: &str) -> String {
    signed("ck", user, &format!("s-{user}"))
}

pub fn signed(consumer: &str, token: &str, secret: &str) -> String {
    let nonce = NONCE.fetch_add(1, Ordering::Relaxed);
    let now = Timestamp::now().as_second();
    format!(
        "OAuth oauth_version=1.0, oauth_signature_method=PLAINTEXT, oauth_consumer_key={consumer}, oauth_token={token}, oauth_signature=%26{secret}, oauth_nonce=n{nonce}, oauth_timestamp={now}"
    )
}
