//! `/v1` without a network: who may do what, and what clients get.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use axum::{Router, body::Body};
use fleet::Fleet;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use plane_api::{Access, State, Verb, router, table};
use plane_model::{
    ApiKey, Cluster, KeyText, Meta, Owner, PLANE, Project, Rights, Role, User, claim, new_uid,
    setup::{self, Admin},
};
use secrets::Secret;
use serde_json::{Value, json};
use store::{Batch, Store};
use tower::ServiceExt as _;

const PASSWORD: &str = "correct horse battery";

/// A plane's API over a store in memory.
struct Plane {
    store: Store,
    router: Router,
    admin: String,
    tenant: String,
}

struct Answer {
    status: StatusCode,
    headers: http::HeaderMap,
    /// Null where it is not JSON.
    body: Value,
    text: String,
}

impl Plane {
    async fn start() -> Self {
        let store = Store::in_memory().await;
        let identity = setup::identity(&store).await.unwrap();
        let (admin, tenant) = tenant(&store, "admin@example.com").await;
        let fleet = Fleet::open(store.clone(), &identity).unwrap();
        let router = router(State::new(store.clone(), fleet, &identity));
        Self { store, router, admin, tenant }
    }

    /// Another user of the tenant; the API key.
    async fn user(&self, name: &str, rights: Rights) -> String {
        let (uid, key, number) = (new_uid(), KeyText::random(), new_uid());
        let now = Timestamp::now();
        let user = User {
            meta: Meta::new(name, now),
            first_name: String::new(),
            last_name: String::new(),
            password: None,
            rights,
        };
        let record = ApiKey {
            meta: Meta::new("k", now),
            user: uid.clone(),
            hash: key.hash(),
            expiry: now + jiff::SignedDuration::from_hours(1),
            active: true,
        };
        let batch = Batch::new("test", "test")
            .create(&self.tenant, &uid, &user)
            .create(&self.tenant, &number, &record)
            .claim(PLANE, claim::API_KEY, &record.hash, &format!("{}/{number}", self.tenant));
        self.store.commit(batch).await.unwrap();
        key.0.expose().to_owned()
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let response = self.router.clone().oneshot(request.body(body).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        Answer { status: parts.status, headers: parts.headers, body, text }
    }

    async fn get(&self, path: &str, key: &str) -> Answer {
        self.call(Method::GET, path, &[("ApiKey", key)], None).await
    }

    async fn make(&self, path: &str, key: &str, body: Value) -> Answer {
        self.call(Method::POST, path, &[("Apikey", key)], Some(body)).await
    }
}

/// A new tenant; its administrator's API key, and its id.
async fn tenant(store: &Store, email: &str) -> (String, String) {
    let key = KeyText::random();
    let password = Some(Secret::from(PASSWORD));
    let admin = Admin { organization: "Example".into(), email: email.into(), password, key: key.clone() };
    setup::admin(store, &admin).await.unwrap();
    let owner = store.holder(PLANE, claim::EMAIL, email).unwrap();
    (key.0.expose().to_owned(), owner.split('/').next().unwrap().to_owned())
}

/// A path with something in place of its captures.
fn filled(path: &str) -> String {
    path.replace("{uid}", "0123456789abcdef01234567")
        .replace("{token}", "x")
        .replace("{passwordToken}", "x")
        .replace("{objectKind}", "spectrocluster")
        .replace("{objectUid}", "0123456789abcdef01234567")
        .replace("{packName}", "p")
        .replace("{registryUid}", "r")
}

#[tokio::test]
async fn every_route_is_denied_to_who_may_not_use_it() {
    let plane = Plane::start().await;
    let viewer =
        plane.user("v@example.com", Rights { tenant: Some(Role::Viewer), ..Rights::default() }).await;
    let nobody = plane.user("n@example.com", Rights::default()).await;
    for route in table() {
        let path = filled(route.path);
        let call = async |key: Option<&str>| {
            let headers: Vec<_> = key.map(|key| ("apikey", key)).into_iter().collect();
            plane.call(route.method.clone(), &path, &headers, Some(json!({}))).await
        };
        let what = format!("{} {path}", route.method);
        let (stranger, wrong) = (call(None).await, call(Some("0".repeat(64).as_str())).await);
        if route.access == Access::Anyone {
            assert_ne!(stranger.status, StatusCode::FORBIDDEN, "{what}");
        } else {
            assert_eq!(stranger.status, StatusCode::UNAUTHORIZED, "{what}");
            assert_eq!(stranger.body["code"], "Unauthorized", "{what}");
        }
        assert_eq!(wrong.status, StatusCode::UNAUTHORIZED, "{what}: a wrong key is worse than none");
        let (Access::InProject(_, verb) | Access::InTenant(_, verb)) = route.access else { continue };
        let looks = matches!(verb, Verb::List | Verb::Get);
        assert_eq!(call(Some(&nobody)).await.status, StatusCode::FORBIDDEN, "{what}");
        assert_eq!(call(Some(&viewer)).await.status == StatusCode::FORBIDDEN, !looks, "{what}");
        assert_ne!(call(Some(&plane.admin)).await.status, StatusCode::FORBIDDEN, "{what}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_said_as_clients_understand_it() {
    let plane = Plane::start().await;
    for path in
        ["/v1/projects/0123456789abcdef01234567", "/v1/cloudaccounts/maas/nonsense", "/v1/nothing", "/"]
    {
        let answer = plane.get(path, &plane.admin).await;
        assert_eq!(
            (answer.status, &answer.body["code"]),
            (StatusCode::NOT_FOUND, &json!("ResourceNotFound")),
            "{path}"
        );
        assert_eq!(answer.headers["content-type"], "application/json");
        for key in ["code", "message", "details", "ref"] {
            assert!(answer.body.get(key).is_some(), "{path}: no {key}");
        }
    }
    let answer = plane.call(Method::PATCH, "/v1/projects", &[("apikey", &plane.admin)], None).await;
    assert_eq!(
        (answer.status, &answer.headers["allow"]),
        (StatusCode::METHOD_NOT_ALLOWED, &"POST".parse().unwrap())
    );
}

#[tokio::test]
async fn the_default_project_is_there_and_others_can_be_made() {
    let plane = Plane::start().await;
    let names = plane.get("/v1/dashboard/projects/metadata", &plane.admin).await;
    assert_eq!(names.body["items"][0]["metadata"]["name"], "Default");

    // What a newer client sends and this plane does not know comes back.
    let sent = json!({"metadata": {"name": "rack", "labels": {"a": "spectro__tag"}, "annotations": {"description": "d"}, "new": [1]},
                      "spec": {"logoUid": "x", "newer": {"deep": true}}});
    let made = plane.make("/v1/Projects", &plane.admin, sent.clone()).await;
    assert_eq!(made.status, StatusCode::CREATED);
    assert!(made.headers.contains_key("AuditUid"));
    let path = format!("/v1/projects/{}", made.body["uid"].as_str().unwrap());
    let read = plane.get(&path, &plane.admin).await.body;
    assert_eq!(read["spec"], sent["spec"]);
    for key in ["name", "labels", "annotations", "new"] {
        assert_eq!(read["metadata"][key], sent["metadata"][key], "{key}");
    }
    let again = plane.make("/v1/projects", &plane.admin, sent).await;
    assert_eq!((again.status, &again.body["code"]), (StatusCode::CONFLICT, &json!("ResourceAlreadyExists")));

    let renamed = json!({"metadata": {"name": "rack-2"}, "spec": {}});
    let put = plane.call(Method::PUT, &path, &[("apikey", &plane.admin)], Some(renamed)).await;
    assert_eq!(put.status, StatusCode::NO_CONTENT);
    assert_eq!(
        plane.make("/v1/projects", &plane.admin, json!({"metadata": {"name": "rack"}})).await.status,
        StatusCode::CREATED
    );
    let delete = plane.call(Method::DELETE, &path, &[("apikey", &plane.admin)], Some(json!({}))).await;
    assert_eq!(delete.status, StatusCode::NO_CONTENT);
    assert_eq!(plane.get(&path, &plane.admin).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn nobody_sees_what_another_tenant_has() {
    let plane = Plane::start().await;
    let (other, _) = tenant(&plane.store, "other@example.org").await;
    let mine = plane.get("/v1/dashboard/projects/metadata", &plane.admin).await.body;
    let project = mine["items"][0]["metadata"]["uid"].as_str().unwrap();
    let theirs = plane.get("/v1/dashboard/projects/metadata", &other).await.body;
    assert_ne!(theirs["items"][0]["metadata"]["uid"], json!(project));
    plane.get("/v1/overlords/pairing/code?name=mine", &plane.admin).await;
    let gateways = plane.get("/v1/overlords", &plane.admin).await.body;
    let gateway = gateways["items"][0]["metadata"]["uid"].as_str().unwrap().to_owned();
    let user = plane.get("/v1/users/info", &plane.admin).await.body;

    for route in table().into_iter().filter(|route| route.path.contains("{uid}")) {
        for uid in [project, &gateway, user["userUid"].as_str().unwrap()] {
            let path = route.path.replace("{uid}", uid);
            let body = json!({"metadata": {"name": "x"}, "isActive": true, "variables": [],
                              "account": {"apiEndpoint": "http://127.0.0.1", "apiKey": "a:b:c"},
                              "spec": {"apiEndpoint": "http://127.0.0.1", "apiKey": "a:b:c"}});
            let answer = plane.call(route.method.clone(), &path, &[("apikey", &other)], Some(body)).await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{} {path}", route.method);
        }
    }
    // Nor by naming the other's project.
    let headers = [("apikey", other.as_str()), ("ProjectUid", project)];
    let answer = plane.call(Method::GET, "/v1/cloudaccounts/maas", &headers, None).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert_eq!(plane.get("/v1/overlords", &other).await.body["items"], json!([]));
}

#[tokio::test]
async fn a_role_of_one_project_counts_there_only() {
    let plane = Plane::start().await;
    let uid =
        plane.make("/v1/projects", &plane.admin, json!({"metadata": {"name": "theirs"}})).await.body["uid"]
            .as_str()
            .unwrap()
            .to_owned();
    let rights = Rights { tenant: None, projects: [(uid.clone(), Role::Viewer)].into() };
    let key = plane.user("p@example.com", rights).await;
    let names = plane.get("/v1/dashboard/projects/metadata", &key).await.body;
    assert_eq!(names["items"].as_array().unwrap().len(), 1, "{names}");
    let within = [("apikey", key.as_str()), ("projectuid", uid.as_str())];
    let list = "/v1/cloudaccounts/maas";
    assert_eq!(plane.call(Method::GET, list, &within, None).await.status, StatusCode::OK);
    assert_eq!(plane.call(Method::POST, list, &within, Some(json!({}))).await.status, StatusCode::FORBIDDEN);
    assert_eq!(plane.get(list, &key).await.status, StatusCode::FORBIDDEN);
    assert_eq!(plane.store.list::<Project>(&plane.tenant).len(), 2);
}

#[tokio::test]
async fn a_password_gives_a_session_that_can_be_refreshed() {
    let plane = Plane::start().await;
    let sign_in = async |email: &str, password: &str| {
        let body = json!({"emailId": email, "password": password});
        plane.call(Method::POST, "/v1/auth/authenticate?setCookie=true", &[], Some(body)).await
    };
    let wrong = sign_in("admin@example.com", "correct horse batterx").await;
    let unknown = sign_in("nobody@example.com", PASSWORD).await;
    assert_eq!((wrong.status, unknown.status), (StatusCode::UNAUTHORIZED, StatusCode::UNAUTHORIZED));
    assert_eq!(wrong.body["message"], unknown.body["message"], "tells which addresses there are");

    let right = sign_in("Admin@Example.com", PASSWORD).await;
    assert_eq!(right.status, StatusCode::OK);
    let token = right.body["Authorization"].as_str().unwrap().to_owned();
    let info = plane.call(Method::GET, "/v1/users/info", &[("Authorization", &token)], None).await;
    assert_eq!(info.body["orgName"], "Example");
    let refreshed = plane.call(Method::GET, &format!("/v1/auth/refresh/{token}"), &[], None).await;
    assert_eq!(refreshed.status, StatusCode::OK);
    let foreign = plane.call(Method::GET, "/v1/users/info", &[("Authorization", "a.b.c")], None).await;
    assert_eq!(foreign.status, StatusCode::UNAUTHORIZED);

    // A cookie, which another site's page can have sent too, changes nothing by itself.
    let cookie = right.headers["set-cookie"].to_str().unwrap();
    for part in ["HttpOnly", "Secure", "SameSite=Strict"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let cookie = cookie.split(';').next().unwrap();
    let project = json!({"metadata": {"name": "by-cookie"}});
    assert_eq!(
        plane.call(Method::GET, "/v1/users/info", &[("cookie", cookie)], None).await.status,
        StatusCode::OK
    );
    let post = plane.call(Method::POST, "/v1/projects", &[("cookie", cookie)], Some(project.clone())).await;
    assert_eq!(post.status, StatusCode::UNAUTHORIZED);
    let own = [("cookie", cookie), ("X-Requested-With", "console")];
    assert_eq!(
        plane.call(Method::POST, "/v1/projects", &own, Some(project)).await.status,
        StatusCode::CREATED
    );
}

#[tokio::test]
async fn an_api_key_is_shown_once_and_can_be_switched_off() {
    let plane = Plane::start().await;
    let made = plane.make("/v1/apiKeys", &plane.admin, json!({"metadata": {"name": "ci"}})).await;
    assert_eq!(made.status, StatusCode::CREATED);
    let (key, uid) = (made.body["apiKey"].as_str().unwrap(), made.body["uid"].as_str().unwrap());
    assert_eq!(plane.get("/v1/users/info", key).await.status, StatusCode::OK);
    let list = plane.get("/v1/apiKeys?limit=0", &plane.admin).await.body;
    assert!(!list.to_string().contains(key), "{list}");
    assert_eq!(list["listmeta"]["count"], 2);
    assert_eq!(plane.get("/v1/apiKeys?limit=1", &plane.admin).await.body["listmeta"]["continue"], "1");

    let path = format!("/v1/apiKeys/{uid}/state");
    let off =
        plane.call(Method::PUT, &path, &[("apikey", &plane.admin)], Some(json!({"isActive": false}))).await;
    assert_eq!(off.status, StatusCode::NO_CONTENT);
    assert_eq!(plane.get("/v1/users/info", key).await.status, StatusCode::UNAUTHORIZED);

    // Another user's keys are not there for who is no administrator.
    let viewer =
        plane.user("v@example.com", Rights { tenant: Some(Role::Viewer), ..Rights::default() }).await;
    assert_eq!(plane.get(&format!("/v1/apiKeys/{uid}"), &viewer).await.status, StatusCode::NOT_FOUND);
    assert_eq!(plane.get("/v1/apiKeys", &viewer).await.body["listmeta"]["count"], 1);
    let past = json!({"metadata": {"name": "old"}, "spec": {"expiry": "2020-01-01T00:00:00Z"}});
    assert_eq!(plane.make("/v1/apiKeys", &plane.admin, past).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn bodies_that_are_none_are_refused_and_nothing_is_written() {
    let plane = Plane::start().await;
    let before = plane.store.revision();
    for body in [
        json!(null),
        json!([]),
        json!({}),
        json!({"metadata": {"name": ""}}),
        json!({"metadata": {"name": "a/b"}}),
    ] {
        for path in ["/v1/projects", "/v1/cloudaccounts/maas", "/v1/apiKeys"] {
            let answer = plane.make(path, &plane.admin, body.clone()).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path} {body}: {}", answer.body);
        }
    }
    let huge = json!({"metadata": {"name": "x"}, "spec": {"logoUid": "y".repeat(5 << 20)}});
    assert_eq!(plane.make("/v1/projects", &plane.admin, huge).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(plane.store.revision(), before);
}

#[tokio::test]
async fn a_gateway_that_waits_to_be_paired() {
    let plane = Plane::start().await;
    let code = plane.get("/v1/overlords/pairing/code?cloudType=maas&name=rack-1", &plane.admin).await;
    assert!(code.body["pairingCode"].as_str().unwrap().starts_with("bessemer1."));
    let again = plane.get("/v1/overlords/pairing/code?name=rack-1", &plane.admin).await;
    assert_eq!(again.status, StatusCode::CONFLICT);
    let list = plane.get("/v1/overlords?name=rack-1", &plane.admin).await.body;
    let one = &list["items"][0];
    assert_eq!((&one["status"]["state"], &one["spec"]["isSystem"]), (&json!("Pending"), &json!(false)));
    let uid = one["metadata"]["uid"].as_str().unwrap();

    // An account needs its gateway: said in words, to be tried again later.
    let account = json!({"metadata": {"name": "a", "annotations": {"overlordUid": uid}},
                         "spec": {"apiEndpoint": "http://10.0.0.1:5240/MAAS", "apiKey": "a:b:c"}});
    let made = plane.make("/v1/cloudaccounts/maas", &plane.admin, account).await;
    assert_eq!(
        (made.status, &made.body["code"]),
        (StatusCode::SERVICE_UNAVAILABLE, &json!("GatewayUnavailable"))
    );

    let path = format!("/v1/overlords/{uid}");
    let deleted = plane.call(Method::DELETE, &path, &[("apikey", &plane.admin)], None).await;
    assert_eq!((deleted.status, deleted.body["msg"].is_string()), (StatusCode::OK, true));
    assert_eq!(plane.get(&path, &plane.admin).await.status, StatusCode::NOT_FOUND);
}

/// `palette-routes.tsv`: path, method, status of a success, as Palette's public API description has them. A client that
/// was generated of it takes any other status for a failure.
#[test]
fn routes_answer_with_palettes_statuses_and_the_others_say_that_they_are_extensions() {
    let plain = |path: &str| {
        let parts = path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part });
        parts.collect::<Vec<_>>().join("/").to_lowercase()
    };
    let rows = include_str!("palette-routes.tsv").lines().map(|line| line.split('\t').collect::<Vec<_>>());
    let mut palettes: std::collections::BTreeMap<(String, String), u16> =
        rows.map(|row| ((plain(row[0]), row[1].to_owned()), row[2].parse().unwrap())).collect();
    for route in table() {
        let what = format!("{} {}", route.method, route.path);
        match palettes.remove(&(plain(route.path), route.method.to_string())) {
            Some(status) => assert_eq!(route.status, status, "{what}"),
            None => assert!(route.doc.contains("xtension"), "{what} is none of Palette's: {}", route.doc),
        }
    }
    assert!(palettes.is_empty(), "gone: {palettes:?}");
}

#[test]
fn the_openapi_document_is_the_one_that_is_checked_in() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../docs/openapi.json");
    let now = serde_json::to_string_pretty(&plane_api::openapi()).unwrap() + "\n";
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(path, &now).unwrap();
    }
    let kept = std::fs::read_to_string(path).unwrap();
    assert!(now == kept, "docs/openapi.json is another one: BLESS=1 cargo test -p plane-api writes it anew");
}

/// A profile of the built-in packs, with a manifest on top.
fn profile(name: &str) -> Value {
    let pack = |name: &str, uid: &str, layer: &str, values: &str| {
        json!({"name": name, "uid": uid, "registryUid": "5eed00000000000000000001", "type": "spectro", "layer": layer,
               "tag": "1", "values": values})
    };
    json!({"metadata": {"name": name, "labels": {"team": "a"}},
           "spec": {"version": "1.2.0",
                    "variables": [{"name": "replicas", "format": "number", "defaultValue": "2", "newer": true}],
                    "template": {"cloudType": "maas", "type": "cluster", "packs": [
                        pack("debian-maas", "5eed00000000000000000101", "os", "# a comment that stays\n"),
                        pack("kubernetes", "5eed00000000000000000102", "k8s", "pack:\n  podCIDR: 10.1.0.0/16\n"),
                        pack("cni-bessemer", "5eed00000000000000000103", "cni", ""),
                        {"name": "web", "type": "manifest", "layer": "addon", "values": "",
                         "manifests": [{"name": "deploy", "content": "replicas: {{.spectro.var.replicas}}\n"}]}]}}})
}

#[tokio::test]
async fn a_profile_from_its_packs_to_its_publication() {
    let plane = Plane::start().await;
    let packs = plane
        .get("/v1/packs?filters=spec.name=kubernetesANDspec.cloudTypes_in_maas,all&limit=0", &plane.admin)
        .await;
    assert_eq!(packs.body["items"][0]["metadata"]["uid"], "5eed00000000000000000102");
    let tags = plane
        .get("/v1/packs/kubernetes/registries/5eed00000000000000000001?cloudType=maas", &plane.admin)
        .await
        .body;
    assert_eq!(tags["tags"][0]["parentTags"], json!(["1.36.x", "1.x"]));
    let search = json!({"filter": {"layer": ["cni"]}});
    let found = plane.make("/v1/packs/search", &plane.admin, search).await;
    assert_eq!(
        (found.status, &found.body["items"][0]["spec"]["name"]),
        (StatusCode::OK, &json!("cni-bessemer"))
    );
    let registries = plane.get("/v1/registries/metadata", &plane.admin).await.body;
    assert_eq!(registries["items"][0]["name"], "Public Repo");

    let sent = profile("web");
    let made = plane.make("/v1/clusterprofiles", &plane.admin, sent.clone()).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    let path = format!("/v1/clusterprofiles/{}", made.body["uid"].as_str().unwrap());
    let call = async |method: Method, path: &str, body: Value| {
        plane.call(method, path, &[("apikey", &plane.admin)], Some(body)).await
    };
    // Clients read `published` also before there is any.
    let draft = plane.get(&path, &plane.admin).await.body;
    assert_eq!(
        (&draft["status"]["isPublished"], &draft["spec"]["version"]),
        (&json!(false), &json!("1.2.0"))
    );
    assert_eq!(
        call(Method::PATCH, &format!("{path}/publish"), json!({})).await.status,
        StatusCode::NO_CONTENT
    );
    let read = plane.get(&path, &plane.admin).await.body;
    assert_eq!(read["status"]["isPublished"], true);
    let shown = &read["spec"]["published"]["packs"];
    for (number, pack) in sent["spec"]["template"]["packs"].as_array().unwrap().iter().enumerate() {
        for key in ["name", "values", "layer", "type"] {
            assert_eq!(shown[number][key], pack[key], "{key} of {pack}");
        }
    }
    let manifest = shown[3]["manifests"][0]["uid"].as_str().unwrap().to_owned();
    let manifests = plane.get(&format!("{path}/packs/web/manifests"), &plane.admin).await.body;
    assert_eq!(
        manifests["items"][0]["spec"]["published"]["content"],
        "replicas: {{.spectro.var.replicas}}\n"
    );
    let variables = plane.get(&format!("{path}/variables"), &plane.admin).await.body;
    assert_eq!(variables["variables"], sent["spec"]["variables"]);

    // A change is not what clusters get before it is published; a manifest that is named by its id keeps it.
    let mut changed = sent.clone();
    changed["spec"]["template"]["packs"][3]["manifests"] =
        json!([{"uid": manifest, "name": "deploy", "content": "replicas: 3\n"}]);
    assert_eq!(call(Method::PUT, &path, changed).await.status, StatusCode::NO_CONTENT);
    let manifests = plane.get(&format!("{path}/packs/web/manifests"), &plane.admin).await.body;
    let one = &manifests["items"][0];
    assert_eq!(one["metadata"]["uid"], json!(manifest));
    assert_eq!(
        (&one["spec"]["published"]["content"], &one["spec"]["draft"]["content"]),
        (&json!("replicas: {{.spectro.var.replicas}}\n"), &json!("replicas: 3\n"))
    );

    // Another version is another object; all of them are named.
    let again = plane.make("/v1/clusterprofiles", &plane.admin, sent).await;
    assert_eq!((again.status, &again.body["code"]), (StatusCode::CONFLICT, &json!("ResourceAlreadyExists")));
    let clone = plane
        .make(
            &format!("{path}/clone"),
            &plane.admin,
            json!({"metadata": {"name": "web", "version": "1.3.0"}}),
        )
        .await;
    assert_eq!(clone.status, StatusCode::CREATED);
    let versions = plane.get(&path, &plane.admin).await.body["spec"]["versions"].as_array().unwrap().len();
    let names = plane.get("/v1/dashboard/clusterprofiles/metadata", &plane.admin).await.body;
    assert_eq!((versions, names["items"].as_array().unwrap().len()), (2, 2));
    assert_eq!(call(Method::DELETE, &path, json!({})).await.status, StatusCode::NO_CONTENT);
    assert_eq!(plane.get(&path, &plane.admin).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn changes_of_the_same_thing_at_the_same_time_are_all_made() {
    let plane = Plane::start().await;
    let made = plane.make("/v1/clusterprofiles", &plane.admin, profile("web")).await;
    let path = format!("/v1/clusterprofiles/{}/variables", made.body["uid"].as_str().unwrap());
    let add = async |name: &str| {
        let body = json!({"variables": [{"name": name}]});
        plane.call(Method::PATCH, &path, &[("apikey", &plane.admin)], Some(body)).await.status
    };
    let all = tokio::join!(add("a"), add("b"), add("c"), add("d"), add("e"));
    assert_eq!(<[StatusCode; 5]>::from(all), [StatusCode::NO_CONTENT; 5]);
    let variables = plane.get(&path, &plane.admin).await.body["variables"].as_array().unwrap().len();
    assert_eq!(variables, profile("web")["spec"]["variables"].as_array().unwrap().len() + 5);
}

#[tokio::test]
async fn a_profile_goes_to_another_plane_as_a_file() {
    let (one, other) = (Plane::start().await, Plane::start().await);
    let made = one.make("/v1/clusterprofiles?publish=true", &one.admin, profile("web")).await;
    let path = format!("/v1/clusterprofiles/{}", made.body["uid"].as_str().unwrap());
    let send = async |field: &str, text: &str| {
        let body = format!(
            "--x\r\ncontent-disposition: form-data; name=\"{field}\"; filename=\"p\"\r\n\r\n{text}\r\n--x--\r\n"
        );
        let request = Request::post("/v1/clusterprofiles/import/file?publish=true")
            .header("apikey", &other.admin)
            .header("content-type", "multipart/form-data; boundary=x");
        let response = other.router.clone().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let body: Value = serde_json::from_slice(&body.collect().await.unwrap().to_bytes()).unwrap();
        (parts.status, body)
    };
    for format in ["json", "yaml"] {
        let file = one.get(&format!("{path}/export?format={format}"), &one.admin).await;
        assert_eq!(file.headers["content-type"], "application/octet-stream");
        let (status, answer) = send("importFile", &file.text).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
        let there = format!("/v1/clusterprofiles/{}", answer["uid"].as_str().unwrap());
        let again = other.get(&format!("{there}/export?format={format}"), &other.admin).await;
        assert_eq!(again.text, file.text);
        let read = other.get(&there, &other.admin).await.body;
        assert_eq!(read["status"]["isPublished"], true);
        assert_eq!(read["spec"]["published"]["packs"][0]["packUid"], "5eed00000000000000000101");
        other.call(Method::DELETE, &there, &[("apikey", &other.admin)], None).await;
    }
    assert_eq!(send("other", "{}").await.0, StatusCode::BAD_REQUEST);
    assert_eq!(send("importFile", "[").await.0, StatusCode::BAD_REQUEST);
    assert_eq!(send("importFile", "metadata: {name: x}\nspec: {}\n").await.1["code"], "InvalidProfile");
    assert_eq!(
        one.get(&format!("{path}/export?format=toml"), &one.admin).await.status,
        StatusCode::BAD_REQUEST
    );
}

#[tokio::test]
async fn profiles_that_make_no_cluster_are_refused_with_the_reason() {
    let plane = Plane::start().await;
    let refused = async |edit: &dyn Fn(&mut Value), code: &str, word: &str| {
        let mut sent = profile("x");
        edit(&mut sent);
        let answer = plane.make("/v1/clusterprofiles", &plane.admin, sent).await;
        assert_eq!((answer.status, &answer.body["code"]), (StatusCode::BAD_REQUEST, &json!(code)), "{word}");
        assert!(answer.body["message"].as_str().unwrap().contains(word), "{}", answer.body);
    };
    refused(&|p| p["spec"]["variables"] = json!([]), "PackVariablesUndefined", "replicas").await;
    refused(&|p| p["spec"]["version"] = json!("1"), "InvalidRequest", "version").await;
    refused(&|p| p["spec"]["template"]["type"] = json!("add-on"), "InvalidProfile", "debian-maas").await;
    refused(
        &|p| p["spec"]["template"]["packs"][2]["name"] = json!("kubernetes"),
        "InvalidProfile",
        "two packs",
    )
    .await;
    refused(
        &|p| p["spec"]["template"]["packs"][1]["uid"] = json!("0123456789abcdef01234567"),
        "InvalidRequest",
        "no pack",
    )
    .await;
    refused(&|p| p["spec"]["template"]["packs"][3]["type"] = json!("helm"), "InvalidRequest", "helm").await;
    refused(&|p| p["spec"]["template"]["cloudType"] = json!("aws"), "InvalidRequest", "cloudType").await;
    refused(
        &|p| p["spec"]["variables"] = json!([{"name": "replicas"}, {"name": "replicas"}]),
        "InvalidRequest",
        "replicas",
    )
    .await;
}

/// Two roles, in the tenant or in projects; a first password by a token that is good once.
#[tokio::test]
async fn people_with_roles() {
    let plane = Plane::start().await;
    let admin = [("apikey", plane.admin.as_str())];
    let roles = plane.get("/v1/roles", &plane.admin).await.body;
    let role = |name: &str| {
        let all = roles["items"].as_array().unwrap();
        all.iter().find(|role| role["metadata"]["name"] == name).unwrap()["metadata"]["uid"].clone()
    };
    let sent = json!({"metadata": {"name": "Ada"},
                      "spec": {"emailId": "Ada@Example.com", "firstName": "Ada", "lastName": "L", "roles": [role("Tenant Viewer")]}});
    let made = plane.make("/v1/users", &plane.admin, sent.clone()).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let again = plane.make("/v1/users", &plane.admin, sent).await;
    assert_eq!((again.status, &again.body["code"]), (StatusCode::CONFLICT, &json!("ResourceAlreadyExists")));
    let path = format!("/v1/users/{}", made.body["uid"].as_str().unwrap());
    let ada = plane.get(&path, &plane.admin).await.body;
    assert_eq!(
        (&ada["spec"]["emailId"], &ada["status"]["isActive"]),
        (&json!("ada@example.com"), &json!(false))
    );
    let viewer =
        plane.user("v@example.com", Rights { tenant: Some(Role::Viewer), ..Rights::default() }).await;
    let seen = plane.get(&path, &viewer).await.body;
    assert_eq!(seen["status"]["activationLink"], "", "who may look could become somebody else");

    // The first password.
    let token = ada["status"]["activationLink"].as_str().unwrap();
    let activate = async |password: &str| {
        let path = format!("/v1/auth/password/{token}/activate");
        plane.call(Method::PATCH, &path, &[], Some(json!({"password": password}))).await.status
    };
    let sign_in = async |password: &str| {
        let body = json!({"emailId": "ada@example.com", "password": password});
        plane.call(Method::POST, "/v1/auth/authenticate", &[], Some(body)).await
    };
    assert_eq!(activate("short").await, StatusCode::BAD_REQUEST);
    assert_eq!(activate(PASSWORD).await, StatusCode::NO_CONTENT);
    assert_eq!(activate("another good password").await, StatusCode::UNAUTHORIZED, "the token was used");
    let session = sign_in(PASSWORD).await.body["Authorization"].as_str().unwrap().to_owned();
    let own = [("authorization", session.as_str())];
    let change = json!({"currentPassword": "wrong wrong wrong", "newPassword": "a very new password"});
    let changing = format!("{path}/password/change");
    assert_eq!(
        plane.call(Method::PATCH, &changing, &own, Some(change)).await.status,
        StatusCode::BAD_REQUEST
    );
    let change = json!({"currentPassword": PASSWORD, "newPassword": "a very new password"});
    let others = plane.call(Method::PATCH, &changing, &admin, Some(change.clone())).await;
    assert_eq!(others.status, StatusCode::FORBIDDEN);
    assert_eq!(plane.call(Method::PATCH, &changing, &own, Some(change)).await.status, StatusCode::NO_CONTENT);
    assert_eq!(sign_in(PASSWORD).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(sign_in("a very new password").await.status, StatusCode::OK);

    // Her roles: none in the tenant, everything in one project.
    let project = plane.make("/v1/projects", &plane.admin, json!({"metadata": {"name": "blue"}})).await;
    let project = project.body["uid"].as_str().unwrap().to_owned();
    let put = async |what: &str, body: Value| {
        plane.call(Method::PUT, &format!("{path}/{what}"), &admin, Some(body)).await.status
    };
    assert_eq!(put("roles", json!({"roles": []})).await, StatusCode::NO_CONTENT);
    assert_eq!(put("roles", json!({"roles": [role("Project Admin")]})).await, StatusCode::NOT_FOUND);
    let in_project = json!({"projects": [{"projectUid": project, "roles": [role("Project Admin")]}]});
    assert_eq!(put("projects", in_project).await, StatusCode::NO_CONTENT);
    let told = plane.get(&format!("{path}/projects"), &plane.admin).await.body;
    assert_eq!(told["projects"][0]["roles"][0]["name"], "Project Admin");
    let list = async |headers: &[(&str, &str)]| {
        plane.call(Method::GET, "/v1/cloudaccounts/maas", headers, None).await.status
    };
    assert_eq!(list(&own).await, StatusCode::FORBIDDEN);
    assert_eq!(list(&[own[0], ("projectuid", &project)]).await, StatusCode::OK);

    // All of it is in the audit, of this tenant alone.
    let (other, _) = tenant(&plane.store, "other@example.com").await;
    let made = made.headers["audituid"].to_str().unwrap().to_owned();
    let audit = plane.get(&format!("/v1/audits/{made}"), &plane.admin).await.body;
    assert_eq!(
        (&audit["spec"]["actionMsg"], &audit["spec"]["actor"]["user"]["emailId"]),
        (&json!("user.create"), &json!("admin@example.com"))
    );
    assert_eq!(plane.get(&format!("/v1/audits/{made}"), &other).await.status, StatusCode::NOT_FOUND);
    let uid = path.rsplit('/').next().unwrap();
    let of_ada = plane.get(&format!("/v1/audits?resourceUid={uid}&limit=0"), &plane.admin).await.body;
    let said: Vec<&str> = of_ada["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["spec"]["actionMsg"].as_str().unwrap())
        .collect();
    assert_eq!(
        said,
        ["user.update", "user.update", "user.update", "user.activate", "user.create"],
        "the latest first"
    );

    // The last administrator stays; who is deleted is nobody.
    let me = plane.get("/v1/users/info", &plane.admin).await.body["userUid"].as_str().unwrap().to_owned();
    let demoted =
        plane.call(Method::PUT, &format!("/v1/users/{me}/roles"), &admin, Some(json!({"roles": []}))).await;
    assert_eq!((demoted.status, &demoted.body["code"]), (StatusCode::CONFLICT, &json!("LastAdministrator")));
    let gone = plane.call(Method::DELETE, &format!("/v1/users/{me}"), &admin, None).await;
    assert_eq!(gone.status, StatusCode::CONFLICT);
    assert_eq!(plane.call(Method::DELETE, &path, &admin, None).await.status, StatusCode::NO_CONTENT);
    assert_eq!(plane.call(Method::GET, "/v1/users/info", &own, None).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(sign_in("a very new password").await.status, StatusCode::UNAUTHORIZED);
}

/// A cluster with an API, of the tenant or of a project.
async fn cluster(plane: &Plane, name: &str, owner: Owner) -> String {
    let uid = new_uid();
    let report = gateway_protocol::Report {
        uid: uid.clone(),
        generation: 1,
        state: gateway_protocol::ClusterState::Running,
        message: String::new(),
        endpoint: Some("https://demo.maas:6443".into()),
        machines: vec![],
        layers: vec![],
    };
    let cluster = Cluster {
        namespace: name.into(),
        meta: Meta::new(name, Timestamp::now()),
        owner,
        account: new_uid(),
        overlord: new_uid(),
        generation: 1,
        cloud_config: serde_json::Map::new(),
        pools: vec![],
        extra: serde_json::Map::new(),
        profiles: vec![],
        state: plane_model::State::Running,
        taken: 1,
        report: Some(report),
        waiting: String::new(),
        timeline: reconcile::Timeline::default(),
        deleted: None,
    };
    plane.store.commit(Batch::new("test", "test").create(&plane.tenant, &uid, &cluster)).await.unwrap();
    uid
}

/// A kubeconfig is one person's, for one cluster; what the person may do is looked at with each request.
#[tokio::test]
async fn a_kubeconfig_leads_one_person_to_one_cluster() {
    let plane = Plane::start().await;
    let project = plane.make("/v1/projects", &plane.admin, json!({"metadata": {"name": "blue"}})).await;
    let project = project.body["uid"].as_str().unwrap().to_owned();
    let (uid, other) = (
        cluster(&plane, "demo", Owner::Project(project.clone())).await,
        cluster(&plane, "other", Owner::Tenant).await,
    );
    let rights = Rights { tenant: None, projects: [(project.clone(), Role::Viewer)].into_iter().collect() };
    let viewer = plane.user("v@example.com", rights).await;

    let path = format!("/v1/spectroclusters/{uid}/assets/kubeconfigclient");
    let headers = [("apikey", viewer.as_str()), ("projectuid", &project), ("host", "plane.example.com:8443")];
    let file = plane.call(Method::GET, &path, &headers, None).await;
    assert_eq!(file.status, StatusCode::OK);
    assert_eq!(file.headers["content-type"], "application/octet-stream");
    let server = file.body["clusters"][0]["cluster"]["server"].as_str().unwrap();
    assert_eq!(server, format!("https://plane.example.com:8443/kubernetes/{uid}"));
    assert_eq!(file.body["users"][0]["name"], "v@example.com");
    let token = file.body["users"][0]["user"]["token"].as_str().unwrap().to_owned();
    let frp = format!("/v1/spectroclusters/{uid}/assets/kubeconfig?frp=true");
    let of_admin = plane.get(&frp, &plane.admin).await;
    assert_eq!(of_admin.body["users"][0]["name"], "admin@example.com");

    let bearer = format!("Bearer {token}");
    let ask = async |cluster: &str, headers: &[(&str, &str)]| {
        let path = format!("/kubernetes/{cluster}/api/v1/pods");
        plane.call(Method::GET, &path, headers, None).await
    };
    // Its gateway is away: further nobody gets here.
    let answer = ask(&uid, &[("authorization", &bearer)]).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.text, "the gateway is not connected");
    let cookie = format!("Authorization={token}");
    for (cluster, headers) in [
        (&other, vec![("authorization", bearer.as_str())]),
        (&uid, vec![]),
        (&uid, vec![("authorization", token.as_str())]),
        (&uid, vec![("cookie", cookie.as_str())]),
        (&uid, vec![("apikey", plane.admin.as_str())]),
    ] {
        let answer = ask(cluster, &headers).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{headers:?}");
        assert!(answer.text.contains("get it again from the plane"), "{}", answer.text);
    }
    // And it is good for nothing but that.
    let answer = plane.call(Method::GET, "/v1/users/info", &[("authorization", &token)], None).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);

    // Taken out of the project, the person does not get in, though the kubeconfig is still good.
    let users = plane.store.list::<User>(&plane.tenant);
    let user = users.iter().find(|user| user.value.meta.name == "v@example.com").unwrap();
    let changed = User { rights: Rights::default(), ..user.value.clone() };
    let batch = Batch::new("test", "test").update(&plane.tenant, &user.id, user.version, &changed);
    plane.store.commit(batch).await.unwrap();
    assert_eq!(ask(&uid, &[("authorization", &bearer)]).await.status, StatusCode::NOT_FOUND);
}
