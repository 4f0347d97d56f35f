//! Who may do what: two roles, each for a whole tenant or for one project.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What somebody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Look.
    Viewer,
    /// Everything.
    Admin,
}

/// A user's roles.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rights {
    /// In the tenant and in all its projects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Role>,
    /// In single projects, by id.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub projects: BTreeMap<String, Role>,
}

impl Rights {
    /// Everything in the tenant.
    pub fn admin() -> Self {
        Self { tenant: Some(Role::Admin), projects: BTreeMap::new() }
    }

    /// The role in a project, or in the tenant itself.
    pub fn role(&self, project: Option<&str>) -> Option<Role> {
        let own = project.and_then(|project| self.projects.get(project)).copied();
        self.tenant.max(own)
    }

    /// Whether anything of a project may be seen.
    pub fn sees(&self, project: &str) -> bool {
        self.role(Some(project)).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn role() -> impl Strategy<Value = Option<Role>> {
        prop_oneof![Just(None), Just(Some(Role::Viewer)), Just(Some(Role::Admin))]
    }

    proptest! {
        #[test]
        fn a_role_of_one_project_counts_there_only(tenant in role(), own in role()) {
            let projects = own.map(|role| ("a".to_owned(), role)).into_iter().collect();
            let rights = Rights { tenant, projects };
            prop_assert_eq!(rights.role(Some("a")), tenant.max(own));
            prop_assert_eq!(rights.role(Some("b")), tenant);
            prop_assert_eq!(rights.role(None), tenant);
            prop_assert_eq!(rights.sees("b"), tenant.is_some());
        }
    }
}
