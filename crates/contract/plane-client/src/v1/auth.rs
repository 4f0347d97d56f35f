//! Who calls: sign-in, sessions, API keys.

use jiff::Timestamp;
use schemars::JsonSchema;
use secrets::Secret;
use serde::{Deserialize, Serialize};

use super::Meta;

/// Body of `POST /v1/auth/authenticate`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Login {
    /// E-mail address.
    pub email_id: String,
    /// Password.
    #[schemars(with = "String")]
    pub password: Secret,
    /// The tenant, where one address is in several; not needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org: Option<String>,
}

/// A session.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct UserToken {
    /// Header `Authorization` of later requests, as it is; good for 15 minutes.
    #[serde(rename = "Authorization")]
    #[schemars(with = "String")]
    pub authorization: Secret,
    /// Whether a second factor is to follow; never here.
    #[serde(rename = "isMfa")]
    pub is_mfa: bool,
}

/// How long a session is good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Session {
    /// Until then.
    pub until: Timestamp,
}

/// Who is signed in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserInfo {
    /// The tenant's name.
    pub org_name: String,
    /// The tenant.
    pub tenant_uid: String,
    /// The user.
    pub user_uid: String,
}

/// Body of `POST /v1/apiKeys`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ApiKeyEntity {
    /// Name.
    pub metadata: Meta,
    /// Whose, and until when.
    #[serde(default)]
    pub spec: ApiKeySpec,
}

/// Whose an API key is, and until when it is good.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiKeySpec {
    /// The user whose rights it has; who asks for it, where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_uid: Option<String>,
    /// Its end; 90 days from now, where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiry: Option<Timestamp>,
    /// The user, in answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<KeyOwner>,
}

/// Whose an API key is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyOwner {
    /// The user.
    pub uid: String,
    /// First name.
    pub first_name: String,
    /// Last name.
    pub last_name: String,
    /// E-mail address.
    pub email_id: String,
}

/// What a new API key's creator is told, once.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiKeyCreated {
    /// The key: header `ApiKey`.
    #[schemars(with = "String")]
    pub api_key: Secret,
    /// Its id.
    pub uid: String,
}

/// An API key, without the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ApiKey {
    /// Name and id.
    pub metadata: Meta,
    /// Whose, and until when.
    pub spec: ApiKeySpec,
    /// Whether it is taken.
    pub status: ApiKeyStatus,
}

/// Whether an API key is taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiKeyStatus {
    /// It is.
    pub is_active: bool,
}

/// Body of `PUT /v1/apiKeys/{uid}/state`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiKeyState {
    /// Whether it is to be taken.
    pub is_active: bool,
}
