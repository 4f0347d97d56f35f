//! Users and roles.

use schemars::JsonSchema;
use secrets::Secret;
use serde::{Deserialize, Serialize};

use super::Meta;

/// A user: the body of `POST /v1/users`, and what is read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct User {
    /// Its name is the e-mail address.
    pub metadata: Meta,
    /// Who it is, and the roles in the tenant.
    pub spec: UserSpec,
    /// Read only.
    pub status: UserStatus,
}

/// Who a user is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct UserSpec {
    /// E-mail address; one user of all tenants has it.
    pub email_id: String,
    /// First name.
    pub first_name: String,
    /// Last name.
    pub last_name: String,
    /// Ids of roles in the tenant and all its projects.
    pub roles: Vec<String>,
}

/// How a user stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct UserStatus {
    /// The token by which the user gives a first password; told to administrators only, while there is no password.
    pub activation_link: String,
    /// Whether the user can sign in by password.
    pub is_active: bool,
}

/// Body of `PATCH /v1/auth/password/{passwordToken}/activate`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct NewPassword {
    /// 12 to 200 characters.
    #[schemars(with = "String")]
    pub password: Secret,
}

/// Body of `PATCH /v1/users/{uid}/password/change`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PasswordChange {
    /// The password until now.
    #[schemars(with = "String")]
    pub current_password: Secret,
    /// The password from now on.
    #[schemars(with = "String")]
    pub new_password: Secret,
}

/// Ids of roles.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RoleUids {
    /// Them.
    pub roles: Vec<String>,
}

/// An id with its name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UidName {
    /// Id.
    pub uid: String,
    /// Name.
    pub name: String,
}

/// Roles in the tenant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct UserRoles {
    /// Own ones.
    pub roles: Vec<UidName>,
    /// By teams; there are none.
    pub inherited_roles: Vec<UidName>,
}

/// Roles in projects, as they are read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ProjectRoles {
    /// One for each project with a role.
    pub projects: Vec<ProjectRole>,
}

/// Roles in a project.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct ProjectRole {
    /// The project.
    pub uid: String,
    /// Its name.
    pub name: String,
    /// Own ones.
    pub roles: Vec<UidName>,
    /// By teams; there are none.
    pub inherited_roles: Vec<UidName>,
}

/// Roles in projects, as they are set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ProjectRolesPatch {
    /// All of them: who is not named has none.
    pub projects: Vec<ProjectRoleUids>,
}

/// Roles in a project, as they are set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct ProjectRoleUids {
    /// The project.
    pub project_uid: String,
    /// Ids of roles.
    pub roles: Vec<String>,
}

/// A role.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Role {
    /// Name and id.
    pub metadata: Meta,
    /// What it allows, and where.
    pub spec: RoleSpec,
}

/// What a role allows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RoleSpec {
    /// Such as `cluster.get`.
    pub permissions: Vec<String>,
    /// `tenant` or `project`.
    pub scope: String,
    /// `system`: it is always there.
    #[serde(rename = "type")]
    pub kind: String,
}
