//! Grants: the plane's word, for one request, that somebody may do something at a site.
//!
//! A grant is a JSON Web Token (RFC 7519) signed by Ed25519. It names the actor, the gateway, the request and an end,
//! and is good once. A site believes no connection, only grants: a plane's edge that is taken over can repeat nothing.

use std::{
    collections::HashMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use rcgen::{KeyPair, PKCS_ED25519, PublicKeyData as _};
use secrets::{Secret, random_token};
use serde::{Deserialize, Serialize};

use crate::Identity;

/// How long a grant is good.
const LIFE: SignedDuration = SignedDuration::from_secs(45);
/// A grant that claims to be good for longer is not the plane's.
const LONGEST: SignedDuration = SignedDuration::from_mins(5);
/// Clocks may differ by so much, after what the hello told of their difference.
const LEEWAY: SignedDuration = SignedDuration::from_secs(15);
/// No site remembers more grants at once; further ones wait.
const REMEMBERED: usize = 100_000;

/// On whose behalf a request is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// Who, as the plane's audit writes it: `user:UID` or `plane:PART`.
    pub name: String,
    /// The tenant for which.
    pub tenant: String,
    /// Who that is to clusters; none for what is not a person's doing, or not in a cluster.
    pub person: Option<Person>,
}

/// A person as clusters know people, for impersonation there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// User name: the e-mail address.
    pub name: String,
    /// Groups, which clusters give rights to.
    pub groups: Vec<String>,
}

/// What a grant says. Keys are those of RFC 7519 where it has one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The gateway.
    pub aud: String,
    /// The actor.
    pub sub: String,
    /// The tenant.
    pub tenant: String,
    /// The actor, as clusters know people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<Person>,
    /// HTTP method.
    pub method: String,
    /// Path with query, or the target of a CONNECT.
    pub target: String,
    /// When it was made, seconds since 1970.
    pub iat: i64,
    /// When it ends, seconds since 1970.
    pub exp: i64,
    /// Never the same twice.
    pub jti: String,
}

/// Why a site refuses a grant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// There is none.
    #[error("the request carries no grant")]
    Missing,
    /// Not signed by this gateway's plane, or no grant at all.
    #[error("the grant is not one of this gateway's plane")]
    Foreign,
    /// For another gateway.
    #[error("the grant is for another gateway")]
    Gateway,
    /// For another tenant.
    #[error("the grant is for another tenant")]
    Tenant,
    /// For another request.
    #[error("the grant is for {0}, not for this request")]
    Request(String),
    /// Over.
    #[error("the grant ended {0:#} ago")]
    Expired(SignedDuration),
    /// Not yet, or for too long.
    #[error("the grant is from the future or good for too long; compare the clocks of plane and gateway")]
    Time,
    /// Seen before.
    #[error("the grant was used before")]
    Replayed,
    /// Too many requests at once.
    #[error("too many requests at once")]
    Busy,
}

/// Signs grants.
pub struct Signer {
    key: EncodingKey,
    public: String,
    pem: Secret,
}

impl Signer {
    /// With a new key.
    ///
    /// # Errors
    /// A sentence, where there is no randomness.
    pub fn generate() -> Result<Self, String> {
        let key = KeyPair::generate_for(&PKCS_ED25519).map_err(|error| error.to_string())?;
        Self::open(&Secret::new(key.serialize_pem()))
    }

    /// With a key that was kept, PEM.
    ///
    /// # Errors
    /// A sentence, where it is none.
    pub fn open(pem: &Secret) -> Result<Self, String> {
        let pair = KeyPair::from_pem_and_sign_algo(pem.expose(), &PKCS_ED25519)
            .map_err(|error| error.to_string())?;
        let public = STANDARD.encode(pair.der_bytes());
        Ok(Self { key: EncodingKey::from_ed_der(&pair.serialize_der()), public, pem: pem.clone() })
    }

    /// Its key, PEM, for the one place that keeps it.
    pub fn key(&self) -> &Secret {
        &self.pem
    }

    /// What gateways check with: 32 bytes, base64.
    pub fn public(&self) -> &str {
        &self.public
    }

    /// A grant for one request to a gateway.
    pub(crate) fn grant(
        &self,
        gateway: &str,
        actor: &Actor,
        method: &str,
        target: &str,
        now: Timestamp,
    ) -> Result<String, jsonwebtoken::errors::Error> {
        self.sign(&Grant {
            aud: gateway.to_owned(),
            sub: actor.name.clone(),
            tenant: actor.tenant.clone(),
            person: actor.person.clone(),
            method: method.to_owned(),
            target: target.to_owned(),
            iat: now.as_second(),
            exp: (now + LIFE).as_second(),
            jti: random_token(16),
        })
    }

    /// Signs what a grant says.
    ///
    /// # Errors
    /// The library's, where the key cannot sign.
    pub fn sign(&self, grant: &Grant) -> Result<String, jsonwebtoken::errors::Error> {
        encode(&Header::new(Algorithm::EdDSA), grant, &self.key)
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("public", &self.public).finish_non_exhaustive()
    }
}

/// Checks grants at a site.
pub struct Verifier {
    key: DecodingKey,
    identity: Identity,
    /// Milliseconds by which the plane's clock is ahead.
    ahead: AtomicI64,
    seen: Mutex<HashMap<String, Timestamp>>,
}

impl Verifier {
    /// For a gateway and its plane's public key, base64.
    ///
    /// # Errors
    /// [`GrantError::Foreign`] where the key is none.
    pub fn new(identity: Identity, public: &str) -> Result<Self, GrantError> {
        let key = STANDARD.decode(public).map_err(|_| GrantError::Foreign)?;
        let (key, seen) = (DecodingKey::from_ed_der(&key), Mutex::default());
        Ok(Self { key, identity, ahead: AtomicI64::new(0), seen })
    }

    /// Takes the plane's clock from a hello. A clock at the site that is wrong by a day then harms no grant.
    pub fn set_clock(&self, theirs: Timestamp, ours: Timestamp) {
        self.ahead.store(theirs.as_millisecond() - ours.as_millisecond(), Ordering::Relaxed);
    }

    /// By how much the plane's clock is ahead of ours.
    pub fn ahead(&self) -> SignedDuration {
        SignedDuration::from_millis(self.ahead.load(Ordering::Relaxed))
    }

    /// Checks a grant for a request, and remembers it.
    ///
    /// # Errors
    /// [`GrantError`]
    pub fn check(
        &self,
        token: &str,
        method: &str,
        target: &str,
        now: Timestamp,
    ) -> Result<Grant, GrantError> {
        let grant = self.decode(token)?;
        let now = now + self.ahead();
        matches(&grant, &self.identity, method, target, now)?;
        self.remember(&grant, now)?;
        Ok(grant)
    }

    fn decode(&self, token: &str) -> Result<Grant, GrantError> {
        let mut validation = Validation::new(Algorithm::EdDSA);
        // Times and the audience are checked below: by the plane's clock, with an error of their own.
        (validation.validate_exp, validation.validate_aud) = (false, false);
        validation.required_spec_claims.clear();
        let decoded = decode(token, &self.key, &validation).map_err(|_| GrantError::Foreign)?;
        Ok(decoded.claims)
    }

    fn remember(&self, grant: &Grant, now: Timestamp) -> Result<(), GrantError> {
        let end = Timestamp::from_second(grant.exp).map_err(|_| GrantError::Time)? + LEEWAY;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= REMEMBERED {
            seen.retain(|_, end| *end >= now);
        }
        if seen.len() >= REMEMBERED {
            return Err(GrantError::Busy);
        }
        match seen.insert(grant.jti.clone(), end) {
            None => Ok(()),
            Some(_) => Err(GrantError::Replayed),
        }
    }
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier").field("identity", &self.identity).finish_non_exhaustive()
    }
}

/// Whether a grant that the plane signed is good for a request now.
fn matches(
    grant: &Grant,
    who: &Identity,
    method: &str,
    target: &str,
    now: Timestamp,
) -> Result<(), GrantError> {
    let at = |seconds| Timestamp::from_second(seconds).map_err(|_| GrantError::Time);
    let (from, until) = (at(grant.iat)?, at(grant.exp)?);
    if grant.aud != who.gateway {
        return Err(GrantError::Gateway);
    }
    if grant.tenant != who.tenant {
        return Err(GrantError::Tenant);
    }
    if grant.method != method || grant.target != target {
        return Err(GrantError::Request(format!("{} {}", grant.method, grant.target)));
    }
    if until.duration_since(from) > LONGEST || from.duration_since(now) > LEEWAY {
        return Err(GrantError::Time);
    }
    let over = now.duration_since(until);
    if over > LEEWAY { Err(GrantError::Expired(over)) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn identity() -> Identity {
        Identity { gateway: "g".repeat(24), tenant: "t".repeat(24) }
    }

    fn actor() -> Actor {
        let person = Person { name: "u@example.com".into(), groups: vec!["admins".into()] };
        Actor { name: "user:u".into(), tenant: identity().tenant, person: Some(person) }
    }

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }

    fn pair() -> (Signer, Verifier) {
        let signer = Signer::generate().unwrap();
        let verifier = Verifier::new(identity(), signer.public()).unwrap();
        (signer, verifier)
    }

    #[test]
    fn one_request_once_for_a_while() {
        let (signer, verifier) = pair();
        let token = signer.grant(&identity().gateway, &actor(), "GET", "/zones", now()).unwrap();
        let late = now() + SignedDuration::from_mins(2);
        assert!(matches!(verifier.check(&token, "GET", "/zones", late), Err(GrantError::Expired(_))));
        let early = now() - SignedDuration::from_mins(2);
        assert_eq!(verifier.check(&token, "GET", "/zones", early), Err(GrantError::Time));
        assert!(matches!(verifier.check(&token, "PUT", "/zones", now()), Err(GrantError::Request(_))));
        assert!(matches!(verifier.check(&token, "GET", "/pools", now()), Err(GrantError::Request(_))));
        let grant = verifier.check(&token, "GET", "/zones", now()).unwrap();
        assert_eq!((grant.sub.as_str(), grant.person), ("user:u", actor().person));
        assert_eq!(verifier.check(&token, "GET", "/zones", now()), Err(GrantError::Replayed));
    }

    #[test]
    fn only_of_this_plane_for_this_gateway_and_tenant() {
        let (signer, verifier) = pair();
        let check = |signer: &Signer, gateway: &str, actor: &Actor| {
            let token = signer.grant(gateway, actor, "GET", "/", now()).unwrap();
            verifier.check(&token, "GET", "/", now()).map(|_| ())
        };
        let other = Signer::generate().unwrap();
        assert_eq!(check(&other, &identity().gateway, &actor()), Err(GrantError::Foreign));
        assert_eq!(check(&signer, "another", &actor()), Err(GrantError::Gateway));
        let stranger = Actor { tenant: "another".into(), ..actor() };
        assert_eq!(check(&signer, &identity().gateway, &stranger), Err(GrantError::Tenant));
        assert_eq!(check(&signer, &identity().gateway, &actor()), Ok(()));
    }

    #[test]
    fn a_key_that_was_kept_signs_what_it_signed() {
        let (signer, verifier) = pair();
        let again = Signer::open(signer.key()).unwrap();
        assert_eq!(again.public(), signer.public());
        let token = again.grant(&identity().gateway, &actor(), "GET", "/", now()).unwrap();
        verifier.check(&token, "GET", "/", now()).unwrap();
        assert!(!format!("{signer:?}").contains("PRIVATE"));
    }

    proptest! {
        /// A wrong clock at the site, corrected by the hello, changes nothing.
        #[test]
        fn clocks_may_be_wrong_by_days(hours in -240i64..240, late in 0i64..200) {
            let (signer, verifier) = pair();
            let token = signer.grant(&identity().gateway, &actor(), "GET", "/", now()).unwrap();
            let ours = now() + SignedDuration::from_hours(hours);
            verifier.set_clock(now(), ours);
            let checked = verifier.check(&token, "GET", "/", ours + SignedDuration::from_secs(late));
            prop_assert_eq!(checked.is_ok(), late <= 60);
        }

        /// Whatever is changed in a grant, it is none.
        #[test]
        fn a_changed_grant_is_none(at: prop::sample::Index, letter in "[A-Za-z0-9_.-]") {
            let (signer, verifier) = pair();
            let token = signer.grant(&identity().gateway, &actor(), "GET", "/", now()).unwrap();
            let at = at.index(token.len());
            let mut changed = token.clone();
            changed.replace_range(at..=at, &letter);
            // The last letter of base64 carries bits that mean nothing.
            prop_assume!(changed != token && at != token.len() - 1);
            prop_assert!(verifier.check(&changed, "GET", "/", now()).is_err());
        }
    }
}
