//! Bodies of requests and answers.

mod account;
mod audit;
mod auth;
mod cluster;
mod event;
mod meta;
mod overlord;
mod pack;
mod profile;
mod project;
mod user;

pub use account::{
    Domain, Domains, Images, MaasAccount, MaasAccountSpec, MaasAccountToValidate, Pool, Pools, SiteMachine,
    SiteMachines, Subnet, SubnetVlan, Subnets, Tag, Tags, Zone, Zones,
};
pub use audit::{Audit, AuditActor, AuditResource, AuditSpec, AuditUser};
pub use auth::{
    ApiKey, ApiKeyCreated, ApiKeyEntity, ApiKeySpec, ApiKeyState, ApiKeyStatus, KeyOwner, Login, Session,
    UserInfo, UserToken,
};
pub use cluster::{
    CloudConfig, CloudConfigSpec, Cluster, ClusterCondition, ClusterEntity, ClusterEntitySpec, ClusterHealth,
    ClusterOverview, ClusterOverviewStatus, ClusterProfileRef, ClusterProfileTemplate, ClusterRef,
    ClusterSearch, ClusterSpec, ClusterStatus, ClusterSummary, Empty, Machine, MachineStatus, PackStatus,
    Phase, PoolStatus, SpcApply, VariableValue,
};
pub use event::{Change, Event, EventSource};
pub use meta::{Description, ErrorBody, List, ListMeta, Message, Meta, ScopedName, ScopedNames, Uid};
pub use overlord::{Condition, Health, MetaUpdate, Overlord, OverlordSpec, OverlordStatus, PairingCode};
pub use pack::{
    NameFilter, PackFilter, PackInRegistry, PackMetadata, PackMetadataSpec, PackSearch, PackSummary,
    PackSummarySpec, PackTag, PackTags, PackValues, Registries, RegistryName, RegistrySpec, RegistrySummary,
    SyncStatus,
};
pub use profile::{
    CloneTarget, ManifestContent, ManifestImport, ManifestInput, ManifestRef, ManifestSpec, NamedManifest,
    NamedManifests, PackImport, PackInput, PackRef, Profile, ProfileClone, ProfileCloneMeta, ProfileEntity,
    ProfileEntitySpec, ProfileImport, ProfileImportMeta, ProfileImportSpec, ProfileImportTemplate,
    ProfileMetadata, ProfileMetadataSpec, ProfileNames, ProfileSpec, ProfileStatus, ProfileTemplate,
    ProfileTemplateInput, ProfileVersion, VariableNames, Variables,
};
pub use project::{Project, ProjectSpec};
pub use user::{
    NewPassword, PasswordChange, ProjectRole, ProjectRoleUids, ProjectRoles, ProjectRolesPatch, Role,
    RoleSpec, RoleUids, UidName, User, UserRoles, UserSpec, UserStatus,
};

/// Keys of an object that this build does not know.
pub type Extra = serde_json::Map<String, serde_json::Value>;
