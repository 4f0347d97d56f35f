//! Projects.

use std::sync::Arc;

use jiff::Timestamp;
use plane_client::v1;
use plane_model::{CloudAccount, Owner, Project, claim, new_uid};
use store::Stored;

use super::{clusters, show, take};
use crate::{
    call::{Call, Caller},
    reply::{Answer, ApiError, Reply},
    route::{
        Access::{InTenant, SignedIn},
        Resource, Route, Verb, route,
    },
};

pub fn routes() -> Vec<Route> {
    vec![
        route!(GET "/v1/dashboard/projects/metadata", SignedIn, "Names of the projects that one may see.", names, 200: v1::ScopedNames),
        route!(POST "/v1/projects", InTenant(Resource::Project, Verb::Create), "Makes one.", create, takes v1::Project, 201: v1::Uid),
        route!(GET "/v1/projects/{uid}", SignedIn, "One of them.", read, 200: v1::Project),
        route!(PUT "/v1/projects/{uid}", InTenant(Resource::Project, Verb::Update), "Changes it.", update, takes v1::Project, 204),
        route!(DELETE "/v1/projects/{uid}", InTenant(Resource::Project, Verb::Delete), "Deletes it, where nothing is in it.", delete, 204),
    ]
}

async fn names(call: Call) -> Answer {
    let caller = call.caller()?;
    let projects = call.state.store.list::<Project>(&caller.tenant);
    let named =
        |one: &&Arc<Stored<Project>>| call.query("name").is_none_or(|name| one.value.meta.name == name);
    let items = projects
        .iter()
        .filter(|one| caller.rights.sees(&one.id))
        .filter(named)
        .map(|one| v1::ScopedName { metadata: show::meta(&one.value.meta, &one.id, &[]) })
        .collect();
    Reply::of(&v1::ScopedNames { items })
}

async fn create(call: Call) -> Answer {
    let (caller, wanted) = (call.caller()?, call.json::<v1::Project>()?);
    let project =
        Project { meta: take::meta(&wanted.metadata, None, Timestamp::now())?, spec: wanted.spec.extra };
    let uid = new_uid();
    let batch = caller.batch("project.create").create(&caller.tenant, &uid, &project).claim(
        &caller.tenant,
        claim::PROJECT,
        &project.meta.name,
        &uid,
    );
    let revision = call.commit(batch).await?;
    Ok(Reply::Made(uid, revision))
}

async fn read(call: Call) -> Answer {
    let found = find(&call, call.caller()?)?;
    let metadata = show::meta(&found.value.meta, &found.id, &[]);
    Reply::of(&v1::Project { metadata, spec: v1::ProjectSpec { extra: found.value.spec.clone() } })
}

async fn update(call: Call) -> Answer {
    let (caller, wanted) = (call.caller()?, call.json::<v1::Project>()?);
    let found = find(&call, caller)?;
    let meta = take::meta(&wanted.metadata, Some(&found.value.meta), Timestamp::now())?;
    let changed = Project { meta, spec: wanted.spec.extra };
    let batch = caller.batch("project.update").update(&caller.tenant, &found.id, found.version, &changed);
    let batch = renamed(batch, caller, &found, &changed);
    call.commit(batch).await?;
    Ok(Reply::Empty)
}

fn renamed(batch: store::Batch, caller: &Caller, before: &Stored<Project>, after: &Project) -> store::Batch {
    if before.value.meta.name == after.meta.name {
        return batch;
    }
    batch.unclaim(&caller.tenant, claim::PROJECT, &before.value.meta.name, &before.id).claim(
        &caller.tenant,
        claim::PROJECT,
        &after.meta.name,
        &before.id,
    )
}

async fn delete(call: Call) -> Answer {
    let caller = call.caller()?;
    let found = find(&call, caller)?;
    let accounts = call.state.store.list::<CloudAccount>(&caller.tenant);
    let inside = accounts.iter().filter(|one| one.value.owner == Owner::Project(found.id.clone())).count();
    let clusters = clusters::of(&call, caller, |cluster| cluster.owner == Owner::Project(found.id.clone()));
    if inside + clusters.len() > 0 {
        let message = format!(
            "{inside} cloud accounts and {} clusters are in the project: delete them first",
            clusters.len()
        );
        return Err(ApiError::conflict("ResourceInUse", message));
    }
    let batch = caller
        .batch("project.delete")
        .delete::<Project>(&caller.tenant, &found.id, found.version)
        .unclaim(&caller.tenant, claim::PROJECT, &found.value.meta.name, &found.id);
    call.commit(batch).await?;
    Ok(Reply::Empty)
}

fn find(call: &Call, caller: &Caller) -> Result<Arc<Stored<Project>>, ApiError> {
    let uid = call.capture(0);
    let found = call.state.store.get::<Project>(&caller.tenant, uid).filter(|_| caller.rights.sees(uid));
    found.ok_or_else(|| ApiError::not_found("project", uid))
}
