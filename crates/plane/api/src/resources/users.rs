//! Users, and the roles that they have.
//!
//! There are two roles, each for a tenant or for single projects. Nobody mails: a user without a password has a token,
//! told to administrators, by which a first password is given once.

use std::{collections::BTreeMap, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use plane_client::v1;
use plane_model::{ApiKey, PLANE, Password, Project, Rights, Role, SHORTEST_PASSWORD, User, claim, new_uid};
use secrets::Secret;
use serde::{Deserialize, Serialize};
use store::{Batch, Stored};

use super::{show, take};
use crate::{
    call::{Call, Caller},
    lists,
    reply::{Answer, ApiError, Reply},
    route::{
        Access::{Anyone, InTenant, SignedIn},
        Resource, Route, Verb, route,
    },
    token::Token,
};

/// How long a first password may be waited for.
const WAITED_FOR: SignedDuration = SignedDuration::from_hours(7 * 24);
/// What tells such tokens from others.
const AUDIENCE: &str = "password";
/// Ids, names, scopes and roles; Palette's clients look them up by name.
const ROLES: [(&str, &str, &str, Role); 4] = [
    ("5eed00000000000000000a01", "Tenant Admin", "tenant", Role::Admin),
    ("5eed00000000000000000a02", "Tenant Viewer", "tenant", Role::Viewer),
    ("5eed00000000000000000a03", "Project Admin", "project", Role::Admin),
    ("5eed00000000000000000a04", "Project Viewer", "project", Role::Viewer),
];

pub fn routes() -> Vec<Route> {
    vec![
        route!(GET "/v1/users", InTenant(Resource::User, Verb::List), "All users of the tenant.", list, 200: v1::List<v1::User>),
        route!(POST "/v1/users", InTenant(Resource::User, Verb::Create), "Makes one.", create, takes v1::User, 201: v1::Uid),
        route!(GET "/v1/users/{uid}", InTenant(Resource::User, Verb::Get), "One of them.", read, 200: v1::User),
        route!(PUT "/v1/users/{uid}", InTenant(Resource::User, Verb::Update), "Changes names and roles in the tenant.", update, takes v1::User, 204),
        route!(DELETE "/v1/users/{uid}", InTenant(Resource::User, Verb::Delete), "Deletes one, API keys and sessions included.", delete, 204),
        route!(GET "/v1/users/{uid}/roles", InTenant(Resource::User, Verb::Get), "Roles in the tenant.", tenant_roles, 200: v1::UserRoles),
        route!(PUT "/v1/users/{uid}/roles", InTenant(Resource::User, Verb::Update), "Sets them.", set_tenant_roles, takes v1::RoleUids, 204),
        route!(GET "/v1/users/{uid}/projects", InTenant(Resource::User, Verb::Get), "Roles in projects.", project_roles, 200: v1::ProjectRoles),
        route!(PUT "/v1/users/{uid}/projects", InTenant(Resource::User, Verb::Update), "Sets them.", set_project_roles, takes v1::ProjectRolesPatch, 204),
        route!(PATCH "/v1/users/{uid}/password/reset", InTenant(Resource::User, Verb::Update), "Takes a password away; there is a token for another one then.", reset, 204),
        route!(PATCH "/v1/users/{uid}/password/change", SignedIn, "Changes one's own password.", change, takes v1::PasswordChange, 204),
        route!(PATCH "/v1/auth/password/{passwordToken}/activate", Anyone, "Gives a first password.", activate, takes v1::NewPassword, 204),
        route!(GET "/v1/roles", SignedIn, "The roles that there are.", roles, 200: v1::List<v1::Role>),
    ]
}

async fn list(call: Call) -> Answer {
    let caller = call.caller()?;
    let all = call.state.store.list::<User>(&caller.tenant);
    lists::part(&call, all.iter().map(|one| show_user(&call, caller, one)).collect())
}

async fn create(call: Call) -> Answer {
    let (caller, wanted, now) = (call.caller()?, call.json::<v1::User>()?, Timestamp::now());
    let email = wanted.spec.email_id.trim().to_lowercase();
    let plausible = email.split_once('@').is_some_and(|(name, host)| !name.is_empty() && !host.is_empty());
    if !plausible || email.len() > 254 || email.chars().any(|letter| letter.is_control() || letter == ' ') {
        return Err(ApiError::bad("spec.emailId: an e-mail address, by which the user signs in"));
    }
    let mut meta = take::meta(&v1::Meta { name: "user".to_owned(), ..wanted.metadata }, None, now)?;
    meta.name.clone_from(&email);
    let user = User {
        meta,
        first_name: wanted.spec.first_name,
        last_name: wanted.spec.last_name,
        password: None,
        rights: Rights { tenant: role(&wanted.spec.roles, "tenant")?, projects: BTreeMap::new() },
    };
    let uid = new_uid();
    let owner = format!("{}/{uid}", caller.tenant);
    let batch = caller.batch("user.create").create(&caller.tenant, &uid, &user);
    let revision = call.commit(batch.claim(PLANE, claim::EMAIL, &email, &owner)).await?;
    Ok(Reply::Made(uid, revision))
}

async fn read(call: Call) -> Answer {
    let caller = call.caller()?;
    Reply::of(&show_user(&call, caller, &*find(&call, caller)?))
}

async fn update(call: Call) -> Answer {
    let (caller, wanted) = (call.caller()?, call.json::<v1::User>()?);
    let found = find(&call, caller)?;
    let email = wanted.spec.email_id.trim().to_lowercase();
    if !email.is_empty() && email != found.value.meta.name {
        return Err(ApiError::bad("spec.emailId: an address is kept: make another user"));
    }
    let rights = Rights { tenant: role(&wanted.spec.roles, "tenant")?, ..found.value.rights.clone() };
    let changed = User {
        first_name: wanted.spec.first_name,
        last_name: wanted.spec.last_name,
        rights,
        ..found.value.clone()
    };
    write(&call, caller, &found, &changed).await
}

async fn delete(call: Call) -> Answer {
    let caller = call.caller()?;
    let found = find(&call, caller)?;
    last_administrator(&call, caller, &found, None)?;
    let mut batch = caller
        .batch("user.delete")
        .delete::<User>(&caller.tenant, &found.id, found.version)
        .unclaim(PLANE, claim::EMAIL, &found.value.meta.name, &format!("{}/{}", caller.tenant, found.id));
    for key in call.state.store.list::<ApiKey>(&caller.tenant) {
        if key.value.user == found.id {
            let owner = format!("{}/{}", caller.tenant, key.id);
            batch = batch.delete::<ApiKey>(&caller.tenant, &key.id, key.version).unclaim(
                PLANE,
                claim::API_KEY,
                &key.value.hash,
                &owner,
            );
        }
    }
    call.commit(batch).await?;
    Ok(Reply::Empty)
}

async fn tenant_roles(call: Call) -> Answer {
    let found = find(&call, call.caller()?)?;
    let roles = found.value.rights.tenant.map(|role| named("tenant", role)).into_iter().collect();
    Reply::of(&v1::UserRoles { roles, inherited_roles: Vec::new() })
}

async fn set_tenant_roles(call: Call) -> Answer {
    let (caller, wanted) = (call.caller()?, call.json::<v1::RoleUids>()?);
    let found = find(&call, caller)?;
    let mut changed = found.value.clone();
    changed.rights.tenant = role(&wanted.roles, "tenant")?;
    write(&call, caller, &found, &changed).await
}

async fn project_roles(call: Call) -> Answer {
    let caller = call.caller()?;
    let found = find(&call, caller)?;
    let shown = found.value.rights.projects.iter().map(|(uid, role)| v1::ProjectRole {
        uid: uid.clone(),
        name: call
            .state
            .store
            .get::<Project>(&caller.tenant, uid)
            .map(|project| project.value.meta.name.clone())
            .unwrap_or_default(),
        roles: vec![named("project", *role)],
        inherited_roles: Vec::new(),
    });
    Reply::of(&v1::ProjectRoles { projects: shown.collect() })
}

async fn set_project_roles(call: Call) -> Answer {
    let (caller, wanted) = (call.caller()?, call.json::<v1::ProjectRolesPatch>()?);
    let found = find(&call, caller)?;
    let mut changed = found.value.clone();
    changed.rights.projects.clear();
    for one in &wanted.projects {
        if call.state.store.get::<Project>(&caller.tenant, &one.project_uid).is_none() {
            return Err(ApiError::not_found("project", &one.project_uid));
        }
        if let Some(role) = role(&one.roles, "project")? {
            changed.rights.projects.insert(one.project_uid.clone(), role);
        }
    }
    write(&call, caller, &found, &changed).await
}

async fn reset(call: Call) -> Answer {
    let caller = call.caller()?;
    let found = find(&call, caller)?;
    let changed = User { password: None, ..found.value.clone() };
    write(&call, caller, &found, &changed).await
}

async fn change(call: Call) -> Answer {
    let caller = call.caller()?;
    let found = find(&call, caller)?;
    // One's own only: others' passwords are nobody's to give.
    if found.id != caller.user {
        let whose = "a password is changed by whose it is; an administrator may reset it";
        return Err(ApiError::forbidden(whose));
    }
    let wanted = call.json::<v1::PasswordChange>()?;
    let (before, given) = (found.value.password.clone(), wanted.current_password);
    let is = hashing(&call, move || before.is_some_and(|password| password.is(&given))).await;
    if is != Some(true) {
        return Err(ApiError::bad("currentPassword: it is another one"));
    }
    let changed = User { password: Some(hashed(&call, wanted.new_password).await?), ..found.value.clone() };
    write(&call, caller, &found, &changed).await
}

async fn activate(call: Call) -> Answer {
    let wanted = call.json::<v1::NewPassword>()?;
    let used = || ApiError {
        message: "the token has ended or was used: ask an administrator for another one".to_owned(),
        ..ApiError::unauthorized()
    };
    let first = First::read(call.capture(0), &call.state.session_key, Timestamp::now()).ok_or_else(used)?;
    let found = call.state.store.get::<User>(&first.tenant, &first.sub).ok_or_else(used)?;
    if found.value.password.is_some() || found.version != first.version {
        return Err(used());
    }
    let changed = User { password: Some(hashed(&call, wanted.password).await?), ..found.value.clone() };
    let batch = Batch::new(format!("user:{}", first.sub), "user.activate");
    call.commit(batch.update(&first.tenant, &found.id, found.version, &changed)).await?;
    Ok(Reply::Empty)
}

async fn roles(call: Call) -> Answer {
    let permissions = |admin: bool| {
        let verbs = [Verb::List, Verb::Get, Verb::Create, Verb::Update, Verb::Delete];
        let allowed = verbs.into_iter().filter(move |verb| admin || verb.only_looks());
        allowed
            .flat_map(|verb| Resource::ALL.map(|resource| format!("{}.{}", resource.name(), verb.name())))
            .collect()
    };
    let shown = ROLES.map(|(uid, name, scope, role)| v1::Role {
        metadata: v1::Meta { name: name.to_owned(), uid: uid.to_owned(), ..v1::Meta::default() },
        spec: v1::RoleSpec {
            permissions: permissions(role == Role::Admin),
            scope: scope.to_owned(),
            kind: "system".to_owned(),
        },
    });
    lists::part(&call, shown.to_vec())
}

/// The role that ids name, of one scope; none where there are none.
fn role(uids: &[String], scope: &str) -> Result<Option<Role>, ApiError> {
    let mut most = None;
    for uid in uids {
        let known = ROLES.iter().find(|(known, _, of, _)| known == uid && *of == scope);
        let (.., role) = known.ok_or_else(|| ApiError::not_found(&format!("role for a {scope}"), uid))?;
        most = most.max(Some(*role));
    }
    Ok(most)
}

fn named(scope: &str, role: Role) -> v1::UidName {
    let found = ROLES.iter().find(|(_, _, of, which)| *of == scope && *which == role);
    let (uid, name) = found.map_or(("", ""), |(uid, name, ..)| (*uid, *name));
    v1::UidName { uid: uid.to_owned(), name: name.to_owned() }
}

fn find(call: &Call, caller: &Caller) -> Result<Arc<Stored<User>>, ApiError> {
    let uid = call.capture(0);
    call.state.store.get::<User>(&caller.tenant, uid).ok_or_else(|| ApiError::not_found("user", uid))
}

async fn write(call: &Call, caller: &Caller, found: &Stored<User>, changed: &User) -> Answer {
    last_administrator(call, caller, found, Some(changed))?;
    let batch = caller.batch("user.update").update(&caller.tenant, &found.id, found.version, changed);
    call.commit(batch).await?;
    Ok(Reply::Empty)
}

/// Refuses what would leave a tenant without anybody who may do everything.
fn last_administrator(
    call: &Call,
    caller: &Caller,
    found: &Stored<User>,
    after: Option<&User>,
) -> Result<(), ApiError> {
    let is = |user: &User| user.rights.tenant == Some(Role::Admin);
    if !is(&found.value) || after.is_some_and(is) {
        return Ok(());
    }
    let all = call.state.store.list::<User>(&caller.tenant);
    if all.iter().any(|one| one.id != found.id && is(&one.value)) {
        return Ok(());
    }
    Err(ApiError::conflict("LastAdministrator", "the tenant would be left without an administrator"))
}

/// Hashes a password, at most two at a time.
async fn hashed(call: &Call, password: Secret) -> Result<Password, ApiError> {
    let made = hashing(call, move || Password::hash(&password, SHORTEST_PASSWORD)).await;
    let made = made.ok_or_else(|| ApiError::unavailable("HashingUnavailable", "try again"))?;
    made.map_err(|error| ApiError::bad(error.to_string()))
}

/// Does what takes a core for long elsewhere, at most two at a time.
async fn hashing<T: Send + 'static>(call: &Call, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let place = call.state.hashing.clone().acquire_owned().await;
    let done = tokio::task::spawn_blocking(move || {
        let _place = place;
        work()
    });
    done.await.ok()
}

/// The right to give a user's first password: good while the record is as it was.
#[derive(Debug, Serialize, Deserialize)]
struct First {
    aud: String,
    sub: String,
    tenant: String,
    /// Of the user's record.
    version: u64,
    /// Seconds since 1970.
    exp: i64,
}

impl Token for First {
    const AUDIENCE: Option<&'static str> = Some(AUDIENCE);

    fn end(&self) -> i64 {
        self.exp
    }
}

fn show_user(call: &Call, caller: &Caller, one: &Stored<User>) -> v1::User {
    let user = &one.value;
    let waits = user.password.is_none() && caller.rights.tenant == Some(Role::Admin);
    let first = waits.then(|| First {
        aud: AUDIENCE.to_owned(),
        sub: one.id.clone(),
        tenant: caller.tenant.clone(),
        version: one.version,
        exp: (Timestamp::now() + WAITED_FOR).as_second(),
    });
    v1::User {
        metadata: show::meta(&user.meta, &one.id, &[("tenantUid", caller.tenant.clone())]),
        spec: v1::UserSpec {
            email_id: user.meta.name.clone(),
            first_name: user.first_name.clone(),
            last_name: user.last_name.clone(),
            roles: user.rights.tenant.map(|role| named("tenant", role).uid).into_iter().collect(),
        },
        status: v1::UserStatus {
            activation_link: first
                .and_then(|first| first.token(&call.state.session_key))
                .map(|token| token.expose().to_owned())
                .unwrap_or_default(),
            is_active: user.password.is_some(),
        },
    }
}
