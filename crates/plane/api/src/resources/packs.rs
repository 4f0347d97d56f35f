//! Packs and registries. For now there is one registry: what every site has in its bundle.

use ::packs::{BUILT_IN, Pack, REGISTRY, REGISTRY_NAME};
use plane_client::v1;

use crate::{
    call::Call,
    lists,
    reply::{Answer, ApiError, Reply},
    route::{Access::SignedIn, Route, route},
};

pub fn routes() -> Vec<Route> {
    vec![
        route!(GET "/v1/packs", SignedIn, "Packs, by `filters`.", list, 200: v1::List<v1::PackSummary>),
        route!(POST "/v1/packs/search", SignedIn, "Packs of whatever version.", search, takes v1::PackSearch, 200: v1::List<v1::PackMetadata>),
        route!(GET "/v1/packs/{uid}", SignedIn, "One pack with its values.", read, 200: v1::PackTag),
        route!(GET "/v1/packs/{packName}/registries/{registryUid}", SignedIn, "Versions of a pack.", versions, 200: v1::PackTag),
        route!(GET "/v1/registries/metadata", SignedIn, "Names of all registries.", names, 200: v1::Registries),
        route!(GET "/v1/registries/pack", SignedIn, "Pack registries.", registries, 200: v1::List<v1::RegistrySummary>),
        route!(GET "/v1/registries/pack/summary", SignedIn, "Pack registries.", registries, 200: v1::List<v1::RegistrySummary>),
        route!(GET "/v1/registries/pack/{uid}", SignedIn, "One pack registry.", registry, 200: v1::RegistrySummary),
        route!(GET "/v1/registries/pack/{uid}/sync/status", SignedIn, "How its synchronisation stands.", sync, 200: v1::SyncStatus),
        route!(GET "/v1/registries/helm", SignedIn, "Helm registries; there are none.", none, 200: v1::List<v1::RegistrySummary>),
        route!(GET "/v1/registries/helm/summary", SignedIn, "Helm registries; there are none.", none, 200: v1::List<v1::RegistrySummary>),
        route!(GET "/v1/registries/helm/{uid}", SignedIn, "One Helm registry; there are none.", no_registry, 200: v1::RegistrySummary),
        route!(GET "/v1/registries/helm/{uid}/sync/status", SignedIn, "How its synchronisation stands.", no_registry, 200: v1::SyncStatus),
        route!(GET "/v1/registries/oci/summary", SignedIn, "OCI registries; there are none.", none, 200: v1::List<v1::RegistrySummary>),
        route!(GET "/v1/registries/oci/{uid}/basic/sync/status", SignedIn, "How its synchronisation stands.", no_registry, 200: v1::SyncStatus),
    ]
}

async fn list(call: Call) -> Answer {
    let shown = BUILT_IN.iter().map(|pack| v1::PackSummary {
        metadata: named(pack.name, pack.uid),
        spec: v1::PackSummarySpec {
            name: pack.name.to_owned(),
            version: pack.version.to_owned(),
            display_name: pack.display_name.to_owned(),
            cloud_types: clouds(),
            layer: pack.layer.name().to_owned(),
            addon_type: pack.addon_type.to_owned(),
            kind: "spectro".to_owned(),
            registry_uid: REGISTRY.to_owned(),
            values: pack.values.to_owned(),
        },
    });
    lists::part(&call, shown.collect())
}

async fn search(call: Call) -> Answer {
    let wanted = call.json::<v1::PackSearch>()?.filter;
    let any = |all: &[String], one: &str| all.is_empty() || all.iter().any(|each| each == one);
    let name = wanted.name.unwrap_or_default();
    let found = BUILT_IN.iter().filter(|pack| {
        name.eq.as_ref().is_none_or(|eq| eq == pack.name)
            && name.contains.as_ref().is_none_or(|part| pack.name.contains(part.as_str()))
            && any(&wanted.layer, pack.layer.name())
            && any(&wanted.registry_uid, REGISTRY)
            && (any(&wanted.environment, "maas") || any(&wanted.environment, "all"))
    });
    let shown = found.map(|pack| v1::PackMetadata {
        metadata: named(pack.name, pack.uid),
        spec: v1::PackMetadataSpec {
            name: pack.name.to_owned(),
            display_name: pack.display_name.to_owned(),
            layer: pack.layer.name().to_owned(),
            addon_type: pack.addon_type.to_owned(),
            cloud_types: clouds(),
            registries: vec![v1::PackInRegistry {
                uid: REGISTRY.to_owned(),
                name: REGISTRY_NAME.to_owned(),
                scope: "system".to_owned(),
                latest_version: pack.version.to_owned(),
                latest_pack_uid: pack.uid.to_owned(),
            }],
        },
    });
    lists::part(&call, shown.collect())
}

async fn read(call: Call) -> Answer {
    let uid = call.capture(0);
    let pack = ::packs::by_uid(uid).ok_or_else(|| ApiError::not_found("pack", uid))?;
    Reply::of(&tag(pack))
}

async fn versions(call: Call) -> Answer {
    let (name, registry) = (call.capture(0), call.capture(1));
    // `a--b` is a pack `b` under another name.
    let real = name.rsplit("--").next().unwrap_or(name);
    let pack = BUILT_IN.iter().find(|pack| pack.name == real && registry == REGISTRY);
    Reply::of(&tag(pack.ok_or_else(|| ApiError::not_found("pack", name))?))
}

fn tag(pack: &Pack) -> v1::PackTag {
    let parents = |version: &str| {
        let parts: Vec<&str> = version.split('.').collect();
        let parent = |kept: usize| parts.get(..kept).map(|kept| format!("{}.x", kept.join(".")));
        (1..parts.len()).rev().filter_map(parent).collect()
    };
    v1::PackTag {
        name: pack.name.to_owned(),
        display_name: pack.display_name.to_owned(),
        layer: pack.layer.name().to_owned(),
        addon_type: pack.addon_type.to_owned(),
        cloud_types: clouds(),
        registry_uid: REGISTRY.to_owned(),
        tags: vec![v1::PackTags {
            version: pack.version.to_owned(),
            tag: pack.version.to_owned(),
            parent_tags: parents(pack.version),
            pack_uid: pack.uid.to_owned(),
            group: String::new(),
        }],
        pack_values: vec![v1::PackValues { pack_uid: pack.uid.to_owned(), values: pack.values.to_owned() }],
    }
}

async fn names(_: Call) -> Answer {
    let only = v1::RegistryName {
        uid: REGISTRY.to_owned(),
        name: REGISTRY_NAME.to_owned(),
        kind: "pack".to_owned(),
        scope: "system".to_owned(),
        is_default: true,
        is_private: false,
    };
    Reply::of(&v1::Registries { items: vec![only] })
}

async fn registries(call: Call) -> Answer {
    lists::part(&call, vec![only()])
}

async fn registry(call: Call) -> Answer {
    known(&call)?;
    Reply::of(&only())
}

async fn sync(call: Call) -> Answer {
    known(&call)?;
    let message = "every site has it in its bundle".to_owned();
    Reply::of(&v1::SyncStatus { is_sync_supported: false, status: "Completed".to_owned(), message })
}

async fn none(call: Call) -> Answer {
    lists::part(&call, Vec::<v1::RegistrySummary>::new())
}

async fn no_registry(call: Call) -> Answer {
    Err(ApiError::not_found("registry", call.capture(0)))
}

fn known(call: &Call) -> Result<(), ApiError> {
    let uid = call.capture(0);
    if uid == REGISTRY { Ok(()) } else { Err(ApiError::not_found("registry", uid)) }
}

fn only() -> v1::RegistrySummary {
    let spec = v1::RegistrySpec { endpoint: String::new(), scope: "system".to_owned(), is_private: false };
    v1::RegistrySummary { metadata: named(REGISTRY_NAME, REGISTRY), spec }
}

fn named(name: &str, uid: &str) -> v1::Meta {
    v1::Meta { name: name.to_owned(), uid: uid.to_owned(), ..v1::Meta::default() }
}

fn clouds() -> Vec<String> {
    vec!["maas".to_owned()]
}
