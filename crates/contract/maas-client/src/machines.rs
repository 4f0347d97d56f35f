//! What is asked of machines.

use base64::{Engine, prelude::BASE64_STANDARD};
use reqwest::Method;

use crate::{
    Client, Error, Machine,
    client::{Body, Form},
};

/// Which machines are listed; lists mean "one of".
#[derive(Debug, Clone, Default)]
pub struct MachineFilter {
    /// One-word states, such as `ready` or `failed_deployment`.
    pub status: Vec<String>,
    /// Host names, without domain.
    pub hostname: Vec<String>,
    /// System ids.
    pub id: Vec<String>,
    /// MAC addresses.
    pub mac_address: Vec<String>,
    /// The mark set at allocation. MAAS does not show it in the machine: this filter is the way to it.
    pub agent_name: Option<String>,
    /// Zones.
    pub zone: Vec<String>,
    /// Pools.
    pub pool: Vec<String>,
    /// Tags, all of which it has.
    pub tags: Vec<String>,
}

/// Which machine is wanted; empty means any.
#[derive(Debug, Clone, Default)]
pub struct Constraints {
    /// Host name.
    pub name: Option<String>,
    /// This very one.
    pub system_id: Option<String>,
    /// Such as `amd64`.
    pub arch: Option<String>,
    /// At least so many CPU threads.
    pub cpu_count: Option<u64>,
    /// At least so many MiB.
    pub memory: Option<u64>,
    /// Tags, all of which it has.
    pub tags: Vec<String>,
    /// Tags, none of which it has.
    pub not_tags: Vec<String>,
    /// Zone.
    pub zone: Option<String>,
    /// Pool.
    pub pool: Option<String>,
    /// What is done with the pick.
    pub allocation: Allocation,
    /// The mark by which a program finds its machines again.
    pub agent_name: Option<String>,
    /// For the event log.
    pub comment: Option<String>,
    /// Any other constraint of MAAS's, such as `interfaces`.
    pub more: Vec<(&'static str, String)>,
}

/// What is done with the machine that matches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Allocation {
    /// It is taken.
    #[default]
    Take,
    /// It is only named (`dry_run`).
    Name,
}

/// What is deployed.
#[derive(Debug, Clone, Default)]
pub struct Deploy {
    /// Such as `debian/bookworm`; the region's default where absent.
    pub distro_series: Option<String>,
    /// For cloud-init, as it is; encoded when sent.
    pub user_data: Option<Vec<u8>>,
    /// The mark by which a program finds its machines again.
    pub agent_name: Option<String>,
    /// For the event log.
    pub comment: Option<String>,
}

/// What a release does to the disks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Erase {
    /// The region's default, which is nothing unless somebody changed it.
    #[default]
    Default,
    /// Beginning and end of each disk.
    Quick,
    /// Every block.
    Full,
    /// The disks' own erasing.
    Secure,
}

/// How a machine is given back.
#[derive(Debug, Clone, Default)]
pub struct Release {
    /// The disks.
    pub erase: Erase,
    /// For the event log.
    pub comment: Option<String>,
}

/// Which scripts a machine runs while it is commissioned or tested, by name or tag; the region's default where empty,
/// none where the only one is `none`.
#[derive(Debug, Clone, Default)]
pub struct Scripts {
    /// While it is commissioned, before tests.
    pub commissioning: Vec<String>,
    /// Tests.
    pub testing: Vec<String>,
}

impl Scripts {
    fn form(&self) -> Form {
        let lists = [("commissioning_scripts", &self.commissioning), ("testing_scripts", &self.testing)];
        lists
            .into_iter()
            .filter(|(_, names)| !names.is_empty())
            .map(|(key, names)| (key, names.join(",")))
            .collect()
    }
}

/// Why a machine was not found by name.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// No machine has this name or id.
    #[error("no machine is called '{name}'")]
    None {
        /// The name.
        name: String,
    },
    /// Several have it, in different domains.
    #[error("'{name}' is the name of several machines: {}", found.join(", "))]
    Several {
        /// The name.
        name: String,
        /// Fully qualified names with system ids.
        found: Vec<String>,
    },
    /// The region could not be asked.
    #[error(transparent)]
    Api(#[from] Error),
}

impl Client {
    /// Machines that the key's user may see.
    pub async fn machines(&self, filter: &MachineFilter) -> Result<Vec<Machine>, Error> {
        let mut query = Form::new();
        for (key, values) in [
            ("status", &filter.status),
            ("hostname", &filter.hostname),
            ("id", &filter.id),
            ("mac_address", &filter.mac_address),
            ("zone", &filter.zone),
            ("pool", &filter.pool),
            ("tags", &filter.tags),
        ] {
            query.extend(values.iter().map(|value| (key, value.clone())));
        }
        query.extend(given([("agent_name", filter.agent_name.as_ref())]));
        self.get(&["machines"], query).await
    }

    /// One machine by system id.
    pub async fn machine(&self, system_id: &str) -> Result<Machine, Error> {
        self.get(&["machines", system_id], Form::new()).await
    }

    /// One machine by system id, host name or fully qualified name.
    ///
    /// # Errors
    /// [`FindError`] where there is none, or more than one.
    pub async fn find_machine(&self, name: &str) -> Result<Machine, FindError> {
        if looks_like_system_id(name) {
            match self.machine(name).await {
                Err(Error::NotFound { .. }) => {}
                found => return Ok(found?),
            }
        }
        let hostname = name.split('.').next().unwrap_or(name).to_owned();
        let filter = MachineFilter { hostname: vec![hostname], ..MachineFilter::default() };
        let mut found = self.machines(&filter).await?;
        found.retain(|machine| !name.contains('.') || machine.fqdn.eq_ignore_ascii_case(name));
        let several =
            || found.iter().map(|machine| format!("{} ({})", machine.fqdn, machine.system_id)).collect();
        match found.len() {
            0 | 1 => found.pop().ok_or_else(|| FindError::None { name: name.to_owned() }),
            _ => Err(FindError::Several { name: name.to_owned(), found: several() }),
        }
    }

    /// Takes a machine that matches.
    ///
    /// # Errors
    /// [`Error::NoMatch`] where none does; a later try may succeed.
    pub async fn allocate(&self, wanted: &Constraints) -> Result<Machine, Error> {
        let mut form: Form = given([
            ("name", wanted.name.as_ref()),
            ("system_id", wanted.system_id.as_ref()),
            ("arch", wanted.arch.as_ref()),
            ("cpu_count", wanted.cpu_count.map(|count| count.to_string()).as_ref()),
            ("mem", wanted.memory.map(|mebibytes| mebibytes.to_string()).as_ref()),
            ("zone", wanted.zone.as_ref()),
            ("pool", wanted.pool.as_ref()),
            ("agent_name", wanted.agent_name.as_ref()),
            ("comment", wanted.comment.as_ref()),
        ]);
        form.extend(wanted.tags.iter().map(|tag| ("tags", tag.clone())));
        form.extend(wanted.not_tags.iter().map(|tag| ("not_tags", tag.clone())));
        form.extend(wanted.more.iter().cloned());
        if wanted.allocation == Allocation::Name {
            form.push(("dry_run", "true".to_owned()));
        }
        self.post(&["machines"], Some("allocate"), form).await.map_err(|error| match error {
            Error::Conflict { text } => Error::NoMatch { text },
            other => other,
        })
    }

    /// Starts a deployment; a Ready machine is allocated on the way.
    pub async fn deploy(&self, system_id: &str, wanted: &Deploy) -> Result<Machine, Error> {
        let user_data = wanted.user_data.as_ref().map(|data| BASE64_STANDARD.encode(data));
        let form = given([
            ("distro_series", wanted.distro_series.as_ref()),
            ("user_data", user_data.as_ref()),
            ("agent_name", wanted.agent_name.as_ref()),
            ("comment", wanted.comment.as_ref()),
        ]);
        self.machine_op(system_id, "deploy", form).await
    }

    /// Gives a machine back.
    pub async fn release(&self, system_id: &str, how: &Release) -> Result<Machine, Error> {
        let flags: &[(&'static str, &str)] = match how.erase {
            Erase::Default => &[],
            Erase::Quick => &[("erase", "true"), ("quick_erase", "true")],
            Erase::Full => &[("erase", "true"), ("quick_erase", "false"), ("secure_erase", "false")],
            Erase::Secure => &[("erase", "true"), ("secure_erase", "true")],
        };
        let mut form: Form = flags.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
        form.extend(given([("comment", how.comment.as_ref())]));
        self.machine_op(system_id, "release", form).await
    }

    /// Starts commissioning.
    pub async fn commission(&self, system_id: &str, scripts: &Scripts) -> Result<Machine, Error> {
        self.machine_op(system_id, "commission", scripts.form()).await
    }

    /// Starts tests; the machine is afterwards what it was before.
    pub async fn test(&self, system_id: &str, scripts: &Scripts) -> Result<Machine, Error> {
        self.machine_op(system_id, "test", scripts.form()).await
    }

    /// Makes a machine usable whose tests failed.
    pub async fn override_failed_testing(&self, system_id: &str) -> Result<Machine, Error> {
        self.machine_op(system_id, "override_failed_testing", Form::new()).await
    }

    /// Starts a system in the machine's memory that its owner reaches by SSH.
    pub async fn rescue(&self, system_id: &str) -> Result<Machine, Error> {
        self.machine_op(system_id, "rescue_mode", Form::new()).await
    }

    /// Ends rescue mode; the machine is afterwards what it was before.
    pub async fn exit_rescue(&self, system_id: &str) -> Result<Machine, Error> {
        self.machine_op(system_id, "exit_rescue_mode", Form::new()).await
    }

    /// Marks a broken machine as fixed.
    pub async fn mark_fixed(&self, system_id: &str) -> Result<Machine, Error> {
        self.machine_op(system_id, "mark_fixed", Form::new()).await
    }

    /// Ends what is under way.
    pub async fn abort(&self, system_id: &str) -> Result<Machine, Error> {
        self.machine_op(system_id, "abort", Form::new()).await
    }

    /// Takes a machine out of use, whatever state it is in; the comment says why.
    pub async fn mark_broken(&self, system_id: &str, comment: &str) -> Result<Machine, Error> {
        self.machine_op(system_id, "mark_broken", vec![("comment", comment.to_owned())]).await
    }

    /// Sets how much swap an installed system gets, in bytes; 0 is none. Wants an administrator of the machine.
    pub async fn set_swap_size(&self, system_id: &str, bytes: u64) -> Result<Machine, Error> {
        self.put(&["machines", system_id], vec![("swap_size", bytes.to_string())]).await
    }

    /// Makes a machine refuse changes.
    pub async fn lock(&self, system_id: &str) -> Result<Machine, Error> {
        self.machine_op(system_id, "lock", Form::new()).await
    }

    /// Lets a machine be changed again.
    pub async fn unlock(&self, system_id: &str) -> Result<Machine, Error> {
        self.machine_op(system_id, "unlock", Form::new()).await
    }

    /// Switches a machine on.
    pub async fn power_on(&self, system_id: &str) -> Result<Machine, Error> {
        self.machine_op(system_id, "power_on", Form::new()).await
    }

    /// Switches a machine off.
    pub async fn power_off(&self, system_id: &str) -> Result<Machine, Error> {
        self.machine_op(system_id, "power_off", Form::new()).await
    }

    /// Asks a machine's BMC: `on`, `off`, `unknown`, `error`.
    pub async fn power_query(&self, system_id: &str) -> Result<String, Error> {
        #[derive(serde::Deserialize)]
        struct Power {
            state: String,
        }
        let query = vec![("op", "query_power_state".to_owned())];
        // Once: MAAS says 503 where it cannot reach the BMC, and a BMC is no quicker for being asked again.
        let power: Power = self.once(Method::GET, &["machines", system_id], &query, Body::Empty).await?;
        Ok(power.state)
    }

    /// Sets keys and values of the owner's; an empty value removes its key.
    pub async fn set_owner_data(
        &self,
        system_id: &str,
        data: &[(&'static str, String)],
    ) -> Result<Machine, Error> {
        self.machine_op(system_id, "set_owner_data", data.to_vec()).await
    }

    /// Forgets a machine.
    pub async fn delete_machine(&self, system_id: &str) -> Result<(), Error> {
        self.order(Method::DELETE, &["machines", system_id], Body::Empty).await
    }

    async fn machine_op(&self, system_id: &str, op: &str, form: Form) -> Result<Machine, Error> {
        self.post(&["machines", system_id], Some(op), form).await
    }
}

/// The fields that have a value.
pub(crate) fn given<const N: usize>(fields: [(&'static str, Option<&String>); N]) -> Form {
    fields.into_iter().filter_map(|(key, value)| Some((key, value?.clone()))).collect()
}

fn looks_like_system_id(name: &str) -> bool {
    name.len() == 6 && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}
