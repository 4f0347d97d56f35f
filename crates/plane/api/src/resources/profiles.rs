//! Cluster profiles. Each version is an object of its own; what was sent is shown again, byte for byte.

use std::{collections::BTreeSet, sync::Arc};

use ::packs::{Fault, Layer, Part, ProfileType};
use jiff::Timestamp;
use plane_client::v1;
use plane_model::{Manifest, Owner, Profile, ProfilePack, claim, new_uid};
use serde_json::{Map, Value};
use store::Stored;

use super::{clusters, show, take};
use crate::{
    call::{Call, Caller},
    reply::{Answer, ApiError, Reply},
    route::{Access::InProject, Resource::ClusterProfile, Route, Verb, route},
};

/// Palette's, where none is given.
const FIRST_VERSION: &str = "1.0.0";
/// What manifests' packs are.
const MANIFEST: &str = "manifest";

pub fn routes() -> Vec<Route> {
    vec![
        route!(GET "/v1/dashboard/clusterprofiles/metadata", InProject(ClusterProfile, Verb::List), "Names and versions of all profiles.", names, 200: v1::ProfileNames),
        route!(POST "/v1/clusterprofiles", InProject(ClusterProfile, Verb::Create), "Makes one; with `publish=true` clusters can have it.", create, takes v1::ProfileEntity, 201: v1::Uid),
        route!(GET "/v1/clusterprofiles/{uid}", InProject(ClusterProfile, Verb::Get), "One of them.", read, 200: v1::Profile),
        route!(PUT "/v1/clusterprofiles/{uid}", InProject(ClusterProfile, Verb::Update), "Changes its packs; clusters do not see that before it is published.", update, takes v1::ProfileEntity, 204),
        route!(DELETE "/v1/clusterprofiles/{uid}", InProject(ClusterProfile, Verb::Delete), "Deletes it.", delete, 204),
        route!(PATCH "/v1/clusterprofiles/{uid}/metadata", InProject(ClusterProfile, Verb::Update), "Changes its name, labels, annotations, version.", describe, takes v1::ProfileEntity, 204),
        route!(PATCH "/v1/clusterprofiles/{uid}/publish", InProject(ClusterProfile, Verb::Update), "Lets clusters have what was written.", publish, 204),
        route!(POST "/v1/clusterprofiles/{uid}/clone", InProject(ClusterProfile, Verb::Create), "Makes another one or another version of it.", clone, takes v1::ProfileClone, 201: v1::Uid),
        route!(GET "/v1/clusterprofiles/{uid}/packs/{packName}/manifests", InProject(ClusterProfile, Verb::Get), "Manifests of a pack of it.", manifests, 200: v1::NamedManifests),
        route!(GET "/v1/clusterprofiles/{uid}/variables", InProject(ClusterProfile, Verb::Get), "Its variables.", variables, 200: v1::Variables),
        route!(PUT "/v1/clusterprofiles/{uid}/variables", InProject(ClusterProfile, Verb::Update), "Replaces its variables.", put_variables, takes v1::Variables, 204),
        route!(PATCH "/v1/clusterprofiles/{uid}/variables", InProject(ClusterProfile, Verb::Update), "Adds variables, or replaces those of the same names.", patch_variables, takes v1::Variables, 204),
        route!(DELETE "/v1/clusterprofiles/{uid}/variables", InProject(ClusterProfile, Verb::Update), "Deletes variables.", delete_variables, takes v1::VariableNames, 204),
    ]
}

async fn names(call: Call) -> Answer {
    let caller = call.caller()?;
    let items = seen(&call, caller).map(|one| v1::ProfileMetadata {
        metadata: show::meta(&one.value.meta, &one.id, &show::whose(caller, &one.value.owner)),
        spec: v1::ProfileMetadataSpec {
            cloud_type: one.value.cloud_type.clone(),
            version: one.value.version.clone(),
        },
    });
    Reply::of(&v1::ProfileNames { items: items.collect() })
}

async fn create(call: Call) -> Answer {
    let wanted = call.json()?;
    made(&call, wanted).await
}

/// Makes a profile.
pub async fn made(call: &Call, wanted: v1::ProfileEntity) -> Answer {
    let caller = call.caller()?;
    let template = wanted.spec.template;
    let kind = template.kind.unwrap_or_else(|| "cluster".to_owned());
    let cloud_type = template.cloud_type.unwrap_or_else(|| "all".to_owned());
    if !["maas", "all"].contains(&cloud_type.as_str()) {
        return Err(ApiError::bad(format!("spec.template.cloudType: maas or all, not {cloud_type:?}")));
    }
    let mut profile = Profile {
        meta: take::meta(&wanted.metadata, None, Timestamp::now())?,
        owner: caller.owner(),
        version: version(wanted.spec.version.as_deref())?,
        cloud_type,
        kind,
        draft: template.packs.into_iter().map(|pack| of_input(pack, &[])).collect::<Result<_, _>>()?,
        published: None,
        variables: distinct(wanted.spec.variables.unwrap_or_default())?,
    };
    verify(&profile)?;
    if call.query("publish") == Some("true") {
        profile.published = Some(profile.draft.clone());
    }
    make(call, caller, &profile).await
}

async fn make(call: &Call, caller: &Caller, profile: &Profile) -> Answer {
    let uid = new_uid();
    let batch = caller.batch("clusterProfile.create").create(&caller.tenant, &uid, profile).claim(
        &caller.tenant,
        claim::PROFILE,
        &profile.claim(),
        &uid,
    );
    let revision = call.commit(batch).await?;
    Ok(Reply::Made(uid, revision))
}

async fn read(call: Call) -> Answer {
    let caller = call.caller()?;
    let found = find(&call, caller)?;
    let profile = &found.value;
    let template = |packs: &[ProfilePack]| v1::ProfileTemplate {
        cloud_type: profile.cloud_type.clone(),
        kind: profile.kind.clone(),
        profile_version: profile.version.clone(),
        packs: packs.iter().map(shown).collect(),
    };
    let unpublished = profile.published.as_ref().is_some_and(|published| *published != profile.draft);
    let versions = seen(&call, caller)
        .filter(|one| one.value.meta.name == profile.meta.name && one.value.owner == profile.owner)
        .map(|one| v1::ProfileVersion { uid: one.id.clone(), version: one.value.version.clone() });
    let texts = profile.shown().iter().flat_map(texts);
    let users = clusters::of(&call, caller, |cluster| cluster.profiles.iter().any(|one| one.uid == found.id));
    Reply::of(&v1::Profile {
        metadata: show::meta(&profile.meta, &found.id, &show::whose(caller, &profile.owner)),
        spec: v1::ProfileSpec {
            published: template(profile.shown()),
            draft: unpublished.then(|| template(&profile.draft)),
            version: profile.version.clone(),
            versions: versions.collect(),
        },
        status: v1::ProfileStatus {
            is_published: profile.published.is_some(),
            has_user_macros: texts.into_iter().any(|text| !::packs::references(text).macros.is_empty()),
            in_use_clusters: users.into_iter().map(|name| serde_json::json!({ "name": name })).collect(),
        },
    })
}

async fn update(call: Call) -> Answer {
    let wanted = call.json::<v1::ProfileEntity>()?;
    change(&call, "clusterProfile.update", |profile| {
        profile.meta = take::meta(&wanted.metadata, Some(&profile.meta), Timestamp::now())?;
        if let Some(wanted) = &wanted.spec.version {
            profile.version = version(Some(wanted))?;
        }
        if let Some(variables) = &wanted.spec.variables {
            profile.variables = distinct(variables.clone())?;
        }
        let packs = wanted.spec.template.packs.iter().cloned();
        profile.draft = packs.map(|pack| of_input(pack, &profile.draft)).collect::<Result<_, _>>()?;
        Ok(())
    })
    .await
}

async fn describe(call: Call) -> Answer {
    let wanted = call.json::<v1::ProfileEntity>()?;
    change(&call, "clusterProfile.update", |profile| {
        profile.meta = take::meta(&wanted.metadata, Some(&profile.meta), Timestamp::now())?;
        if let Some(wanted) = &wanted.spec.version {
            profile.version = version(Some(wanted))?;
        }
        Ok(())
    })
    .await
}

async fn publish(call: Call) -> Answer {
    change(&call, "clusterProfile.publish", |profile| {
        profile.published = Some(profile.draft.clone());
        Ok(())
    })
    .await
}

async fn clone(call: Call) -> Answer {
    let (caller, wanted) = (call.caller()?, call.json::<v1::ProfileClone>()?.metadata);
    let found = find(&call, caller)?;
    let owner = match &wanted.target {
        Some(target) if target.scope == "tenant" => Owner::Tenant,
        Some(target) if !target.project_uid.is_empty() => Owner::Project(target.project_uid.clone()),
        _ => caller.owner(),
    };
    caller.may_change(&owner)?;
    let now = Timestamp::now();
    let mut profile = found.value.clone();
    profile.meta.name = take::name(&wanted.name)?.to_owned();
    (profile.meta.created, profile.meta.modified, profile.owner, profile.published) = (now, now, owner, None);
    if !wanted.version.is_empty() {
        profile.version = version(Some(&wanted.version))?;
    }
    for manifest in profile.draft.iter_mut().flat_map(|pack| &mut pack.manifests) {
        manifest.uid = new_uid();
    }
    make(&call, caller, &profile).await
}

async fn delete(call: Call) -> Answer {
    let caller = call.caller()?;
    let found = find(&call, caller)?;
    caller.may_change(&found.value.owner)?;
    let users = clusters::of(&call, caller, |cluster| cluster.profiles.iter().any(|one| one.uid == found.id));
    if !users.is_empty() {
        let message = format!("clusters are made of it: {}", users.join(", "));
        return Err(ApiError::conflict("ResourceInUse", message));
    }
    let batch = caller
        .batch("clusterProfile.delete")
        .delete::<Profile>(&caller.tenant, &found.id, found.version)
        .unclaim(&caller.tenant, claim::PROFILE, &found.value.claim(), &found.id);
    call.commit(batch).await?;
    Ok(Reply::Empty)
}

async fn manifests(call: Call) -> Answer {
    let found = find(&call, call.caller()?)?;
    let name = call.capture(1);
    let of = |packs: &[ProfilePack]| {
        packs.iter().find(|pack| pack.name == name).map(|pack| pack.manifests.clone())
    };
    let published = of(found.value.shown()).ok_or_else(|| ApiError::not_found("pack", name))?;
    let draft = of(&found.value.draft).unwrap_or_default();
    let written = |uid: &str| {
        draft.iter().find(|one| one.uid == uid).map(|one| one.content.clone()).unwrap_or_default()
    };
    let items = published.iter().map(|one| v1::NamedManifest {
        metadata: v1::Meta { name: one.name.clone(), uid: one.uid.clone(), ..v1::Meta::default() },
        spec: v1::ManifestSpec {
            published: v1::ManifestContent { content: one.content.clone() },
            draft: v1::ManifestContent { content: written(&one.uid) },
        },
    });
    Reply::of(&v1::NamedManifests { items: items.collect() })
}

async fn variables(call: Call) -> Answer {
    let found = find(&call, call.caller()?)?;
    Reply::of(&v1::Variables { variables: found.value.variables.clone() })
}

async fn put_variables(call: Call) -> Answer {
    let wanted = distinct(call.json::<v1::Variables>()?.variables)?;
    change(&call, "clusterProfile.update", |profile| {
        profile.variables.clone_from(&wanted);
        Ok(())
    })
    .await
}

async fn patch_variables(call: Call) -> Answer {
    let wanted = distinct(call.json::<v1::Variables>()?.variables)?;
    change(&call, "clusterProfile.update", |profile| {
        for one in &wanted {
            match profile.variables.iter_mut().find(|there| name_of(there) == name_of(one)) {
                Some(there) => there.clone_from(one),
                None => profile.variables.push(one.clone()),
            }
        }
        Ok(())
    })
    .await
}

async fn delete_variables(call: Call) -> Answer {
    let gone = call.json::<v1::VariableNames>()?.variables;
    change(&call, "clusterProfile.update", |profile| {
        profile.variables.retain(|one| !gone.iter().any(|name| Some(name.as_str()) == name_of(one)));
        Ok(())
    })
    .await
}

/// Changes the profile of the path, which then still makes sense.
async fn change(
    call: &Call,
    action: &str,
    edit: impl FnOnce(&mut Profile) -> Result<(), ApiError>,
) -> Answer {
    let caller = call.caller()?;
    let found = find(call, caller)?;
    caller.may_change(&found.value.owner)?;
    let mut changed = found.value.clone();
    edit(&mut changed)?;
    verify(&changed)?;
    let mut batch = caller.batch(action).update(&caller.tenant, &found.id, found.version, &changed);
    if changed.claim() != found.value.claim() {
        batch = batch.unclaim(&caller.tenant, claim::PROFILE, &found.value.claim(), &found.id).claim(
            &caller.tenant,
            claim::PROFILE,
            &changed.claim(),
            &found.id,
        );
    }
    call.commit(batch).await?;
    Ok(Reply::Empty)
}

/// A profile that the caller sees, by the path.
pub fn find(call: &Call, caller: &Caller) -> Result<Arc<Stored<Profile>>, ApiError> {
    by_uid(call, caller, call.capture(0))
}

/// A profile that the caller sees.
pub fn by_uid(call: &Call, caller: &Caller, uid: &str) -> Result<Arc<Stored<Profile>>, ApiError> {
    let found = call.state.store.get::<Profile>(&caller.tenant, uid);
    let seen = found.filter(|profile| caller.sees(&profile.value.owner));
    seen.ok_or_else(|| ApiError::not_found("cluster profile", uid))
}

fn seen<'c>(call: &Call, caller: &'c Caller) -> impl Iterator<Item = Arc<Stored<Profile>>> + use<'c> {
    let all = call.state.store.list::<Profile>(&caller.tenant);
    all.into_iter().filter(|one| caller.sees(&one.value.owner))
}

/// A pack as it was sent; its manifests keep the ids that they had `before`.
fn of_input(sent: v1::PackInput, before: &[ProfilePack]) -> Result<ProfilePack, ApiError> {
    let known = ::packs::by_uid(&sent.uid);
    if !sent.uid.is_empty() && known.is_none() {
        return Err(ApiError::bad(format!("pack {}: there is no pack {}", sent.name, sent.uid)));
    }
    let or = |given: String, otherwise: &str| if given.is_empty() { otherwise.to_owned() } else { given };
    let kind = or(sent.kind, if known.is_some() { "spectro" } else { MANIFEST });
    if !["spectro", MANIFEST].contains(&kind.as_str()) {
        return Err(ApiError::bad(format!("pack {}: packs of type {kind} are not taken yet", sent.name)));
    }
    if kind == "spectro" && known.is_none() {
        return Err(ApiError::bad(format!("pack {}: name it by uid, from GET /v1/packs", sent.name)));
    }
    let ids: Vec<&str> = before.iter().flat_map(|pack| &pack.manifests).map(|one| one.uid.as_str()).collect();
    let manifest = |one: v1::ManifestInput| {
        let kept = Some(one.uid).filter(|uid| ids.contains(&uid.as_str()));
        Manifest { uid: kept.unwrap_or_else(new_uid), name: one.name, content: one.content }
    };
    Ok(ProfilePack {
        layer: or(sent.layer, known.map_or("addon", |pack| pack.layer.name())),
        tag: or(sent.tag, known.map_or("", |pack| pack.version)),
        registry: sent.registry_uid,
        name: take::name(&sent.name)?.to_owned(),
        uid: sent.uid,
        values: sent.values,
        manifests: sent.manifests.into_iter().map(manifest).collect(),
        kind,
    })
}

/// A pack, as it is shown.
pub fn shown(pack: &ProfilePack) -> v1::PackRef {
    let manifest = |one: &Manifest| v1::ManifestRef {
        kind: MANIFEST.to_owned(),
        uid: one.uid.clone(),
        name: one.name.clone(),
    };
    v1::PackRef {
        name: pack.name.clone(),
        tag: pack.tag.clone(),
        pack_uid: pack.uid.clone(),
        registry_uid: pack.registry.clone(),
        kind: pack.kind.clone(),
        layer: pack.layer.clone(),
        values: pack.values.clone(),
        manifests: pack.manifests.iter().map(manifest).collect(),
    }
}

fn texts(pack: &ProfilePack) -> Vec<&str> {
    let manifests = pack.manifests.iter().map(|one| one.content.as_str());
    [pack.values.as_str()].into_iter().chain(manifests).collect()
}

/// Refuses what would make no cluster.
fn verify(profile: &Profile) -> Result<(), ApiError> {
    let of = |text: &str| Value::String(text.to_owned());
    let kind: ProfileType = serde_json::from_value(of(&profile.kind)).map_err(|_| {
        ApiError::bad(format!("spec.template.type: cluster, infra or add-on, not {:?}", profile.kind))
    })?;
    let mut all = Vec::with_capacity(profile.draft.len());
    for pack in &profile.draft {
        let layer: Layer = serde_json::from_value(of(&pack.layer))
            .map_err(|_| ApiError::bad(format!("pack {}: {:?} is no layer", pack.name, pack.layer)))?;
        all.push((pack.name.as_str(), layer, texts(pack)));
    }
    let parts: Vec<Part<'_>> =
        all.iter().map(|(name, layer, texts)| Part { name, layer: *layer, texts }).collect();
    let variables: BTreeSet<String> =
        profile.variables.iter().filter_map(name_of).map(str::to_owned).collect();
    let faults = ::packs::check(kind, &parts, &variables);
    if faults.is_empty() {
        return Ok(());
    }
    let sentences: Vec<String> = faults.iter().map(ToString::to_string).collect();
    let code = if faults.iter().any(|fault| matches!(fault, Fault::Undefined(_))) {
        "PackVariablesUndefined"
    } else {
        "InvalidProfile"
    };
    Err(ApiError::unfit(code, sentences.join("; ")))
}

fn version(given: Option<&str>) -> Result<String, ApiError> {
    let version = given.filter(|text| !text.is_empty()).unwrap_or(FIRST_VERSION);
    let number =
        |part: &str| !part.is_empty() && part.len() < 10 && part.bytes().all(|byte| byte.is_ascii_digit());
    let core = version.split(['-', '+']).next().unwrap_or_default();
    if core.split('.').count() == 3 && core.split('.').all(number) {
        return Ok(version.to_owned());
    }
    Err(ApiError::bad(format!("version {version:?}: three numbers, such as 1.0.0")))
}

fn name_of(variable: &Map<String, Value>) -> Option<&str> {
    variable.get("name").and_then(Value::as_str).filter(|name| !name.is_empty())
}

/// Variables that have names, each another one.
fn distinct(variables: Vec<Map<String, Value>>) -> Result<Vec<Map<String, Value>>, ApiError> {
    let mut names = BTreeSet::new();
    for one in &variables {
        let name = name_of(one).ok_or_else(|| ApiError::bad("a variable has no name"))?;
        if !names.insert(name.to_owned()) {
            return Err(ApiError::bad(format!("two variables are named {name}")));
        }
    }
    Ok(variables)
}
