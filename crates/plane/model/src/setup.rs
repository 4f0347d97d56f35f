//! A plane's first start: its identity, a tenant with a project `Default`, and an administrator with an API key.

use jiff::{SignedDuration, Timestamp};
use secrets::{Secret, random_token};
use store::{Batch, CommitError, Store};
use tunnel::{Authority, Signer};

use crate::{
    ApiKey, Cluster, Identity, KeyText, Meta, PLANE, Password, PasswordError, Project, Rights,
    SHORTEST_PASSWORD, Tenant, User, claim, new_uid,
};

/// The project that every tenant has: Palette's clients look for it.
pub const DEFAULT_PROJECT: &str = "Default";
/// How long the first API key is good.
const KEY_LIFE: SignedDuration = SignedDuration::from_hours(365 * 24);
const PRINCIPAL: &str = "plane:setup";

/// The first user.
#[derive(Debug, Clone)]
pub struct Admin {
    /// The tenant's name.
    pub organization: String,
    /// E-mail address.
    pub email: String,
    /// Without one, the user has an API key only.
    pub password: Option<Secret>,
    /// The API key.
    pub key: KeyText,
}

/// Why a plane could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The store.
    #[error(transparent)]
    Store(#[from] CommitError),
    /// The password.
    #[error("the administrator's password: {0}")]
    Password(#[from] PasswordError),
    /// No plane has run on the store.
    #[error("no plane has run on this database: is it the one that was restored?")]
    Empty,
    /// No keys could be made.
    #[error("the plane's keys cannot be made: {0}")]
    Keys(String),
}

/// The plane's identity, made if there is none. Several replicas may do this at once: one of them does.
///
/// # Errors
/// [`SetupError`]
pub async fn identity(store: &Store) -> Result<Identity, SetupError> {
    if let Some(kept) = store.get::<Identity>(PLANE, Identity::ID) {
        return Ok(kept.value.clone());
    }
    let authority =
        Authority::generate(Timestamp::now()).map_err(|error| SetupError::Keys(error.to_string()))?;
    let identity = Identity {
        authority: authority.pem().to_owned(),
        authority_key: authority.key().clone(),
        grants_key: Signer::generate().map_err(SetupError::Keys)?.key().clone(),
        session_key: Secret::new(random_token(32)),
        incarnation: 1,
    };
    let batch = Batch::new(PRINCIPAL, "plane.identity").create(PLANE, Identity::ID, &identity);
    match store.commit(batch).await {
        Ok(_) => Ok(identity),
        Err(error @ CommitError::Conflict { .. }) => {
            store.get::<Identity>(PLANE, Identity::ID).map(|kept| kept.value.clone()).ok_or(error.into())
        }
        Err(error) => Err(error.into()),
    }
}

/// Says that the store was restored from a backup, before a plane runs on it: its orders go before those that sites
/// have, and all are given again. The plane's incarnation from now on.
///
/// # Errors
/// [`SetupError`]
pub async fn restored(store: &Store) -> Result<u64, SetupError> {
    let known = store.get::<Identity>(PLANE, Identity::ID).ok_or(SetupError::Empty)?;
    let identity = Identity { incarnation: known.value.incarnation + 1, ..known.value.clone() };
    let batch = Batch::new(PRINCIPAL, "plane.restored");
    let mut batch = batch.update(PLANE, Identity::ID, known.version, &identity);
    for tenant in store.list::<Tenant>(PLANE) {
        for one in store.list::<Cluster>(&tenant.id) {
            let again = Cluster { taken: 0, ..one.value.clone() };
            batch = batch.update(&tenant.id, &one.id, one.version, &again);
        }
    }
    store.commit(batch).await?;
    Ok(identity.incarnation)
}

/// Makes the tenant and its administrator, where the address is not known yet; an API key that is, stays as it is.
///
/// # Errors
/// [`SetupError`]
pub async fn admin(store: &Store, admin: &Admin) -> Result<(), SetupError> {
    let email = admin.email.to_lowercase();
    if store.holder(PLANE, claim::EMAIL, &email).is_some() {
        return Ok(());
    }
    let now = Timestamp::now();
    let [tenant, user, project, key] = std::array::from_fn(|_| new_uid());
    let hashed = |password: &Secret| Password::hash(password, SHORTEST_PASSWORD);
    let password = admin.password.as_ref().map(hashed).transpose()?;
    let person = User {
        meta: Meta::new(&email, now),
        first_name: "Administrator".to_owned(),
        last_name: String::new(),
        password,
        rights: Rights::admin(),
    };
    let hash = admin.key.hash();
    let record = ApiKey {
        meta: Meta::new("first", now),
        user: user.clone(),
        hash: hash.clone(),
        expiry: now + KEY_LIFE,
        active: true,
    };
    let batch = Batch::new(PRINCIPAL, "tenant.create")
        .create(PLANE, &tenant, &Tenant { meta: Meta::new(&admin.organization, now) })
        .create(
            &tenant,
            &project,
            &Project { meta: Meta::new(DEFAULT_PROJECT, now), spec: serde_json::Map::new() },
        )
        .claim(&tenant, claim::PROJECT, DEFAULT_PROJECT, &project)
        .create(&tenant, &user, &person)
        .claim(PLANE, claim::EMAIL, &email, &format!("{tenant}/{user}"))
        .create(&tenant, &key, &record)
        .claim(PLANE, claim::API_KEY, &hash, &format!("{tenant}/{key}"));
    match store.commit(batch).await {
        // Another replica was faster.
        Err(CommitError::Taken { namespace, .. }) if namespace == claim::EMAIL => Ok(()),
        done => Ok(done.map(drop)?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn someone(email: &str) -> Admin {
        Admin { organization: "Org".into(), email: email.into(), password: None, key: KeyText::random() }
    }

    #[tokio::test]
    async fn is_done_once() {
        let store = Store::in_memory().await;
        let first = identity(&store).await.unwrap();
        assert_eq!(identity(&store).await.unwrap(), first);
        admin(&store, &someone("A@example.com")).await.unwrap();
        let revision = store.revision();
        admin(&store, &someone("a@EXAMPLE.com")).await.unwrap();
        assert_eq!(store.revision(), revision);
        assert_eq!(store.list::<Tenant>(PLANE).len(), 1);
    }

    #[tokio::test]
    async fn a_weak_password_is_refused_before_anything_is_written() {
        let store = Store::in_memory().await;
        let weak = Admin { password: Some(Secret::from("1234")), ..someone("a@example.com") };
        assert!(matches!(admin(&store, &weak).await, Err(SetupError::Password(_))));
        assert!(store.list::<Tenant>(PLANE).is_empty());
    }
}
