//! Webhooks, called by a real API server.

use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::{
    objects::{OURS, Provider, World, spec},
    server::{free_port, until},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_change_is_refused_by_the_api_server() {
    let Some(world) = World::start(0).await else { return };
    let folder = world.server.folder().join("webhooks");
    std::fs::create_dir(&folder).unwrap();
    let signed = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(folder.join("tls.crt"), signed.cert.pem()).unwrap();
    std::fs::write(folder.join("tls.key"), signed.signing_key.serialize_pem()).unwrap();
    let port = free_port();
    let reach = provider::Reach::Url {
        base: format!("https://127.0.0.1:{port}"),
        ca_bundle: signed.cert.pem().into_bytes(),
    };
    let webhooks = Some(provider::Webhooks::local(port, folder));
    let options = provider::Options { webhooks, ..Provider::options(&world.server, &world.maas) };
    let provider = Provider::start_with(options);
    world.server.apply(&provider::webhook_configurations(&reach)).await;

    let template = |image: &str| json!({ "spec": { "template": { "spec": { "image": image } } } });
    world
        .create(json!({ "apiVersion": OURS, "kind": "MaasMachineTemplate", "metadata": { "name": "t" },
            "spec": { "template": { "spec": spec() } } }))
        .await;
    let templates = world.api(OURS, "MaasMachineTemplate");
    let plain = PatchParams::default();
    // Webhook configurations take a moment until the API server has read them.
    let refused = until("the webhook is asked", async || {
        let changed = templates.patch("t", &plain, &Patch::Merge(template("other"))).await;
        match changed {
            Ok(_) => {
                templates.patch("t", &plain, &Patch::Merge(template("k8s"))).await.ok();
                None
            }
            Err(error) => Some(error.to_string()),
        }
    })
    .await;
    let same_image =
        |error: &str| error.contains("maas machine template image change is not allowed, old=k8s, new=other");
    let refused = if same_image(&refused) {
        refused
    } else {
        templates.patch("t", &plain, &Patch::Merge(template("other"))).await.unwrap_err().to_string()
    };
    assert!(same_image(&refused), "{refused}");

    // Cluster API's dry run of a changed template passes; what is not fixed may change.
    let mut tried = template("other");
    tried["metadata"] = json!({ "annotations": { "topology.cluster.x-k8s.io/dry-run": "" } });
    templates.patch("t", &plain.clone().dry_run(), &Patch::Merge(tried)).await.unwrap();
    let tags = json!({ "spec": { "template": { "spec": { "tags": ["a"] } } } });
    templates.patch("t", &plain, &Patch::Merge(tags)).await.unwrap();
    provider.stop().await;
}
