//! What is known of a machine.

use capi_types::{
    AGENT_NAME, ALLOCATING, FAILED_MACHINES, MACHINE_FINALIZER, MaasMachine, RELEASE_FAILURES, RELEASING,
    core::{CONTROL_PLANE_LABEL, Cluster, Machine, PAUSED_ANNOTATION},
};
use jiff::Timestamp;
use maas_client::Status;

use crate::trouble::Trouble;

/// What is known when a decision is made.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The object as it is stored now: never one of a cache.
    pub object: MaasMachine,
    /// The Machine that owns it.
    pub owner: Option<Machine>,
    /// The Cluster it belongs to.
    pub cluster: Option<Cluster>,
    /// Our id of that cluster; absent where the `MaasCluster` is gone or has none yet.
    pub cluster_uid: Option<String>,
    /// Addresses of the API server's name, as last written.
    pub dns: Vec<String>,
    /// What MAAS says.
    pub maas: Look,
}

/// What MAAS says of an object's machines.
#[derive(Debug, Clone)]
pub enum Look {
    /// It could not be asked, or did not answer well.
    Failed(Trouble),
    /// It answered.
    Told {
        /// Machines with the object's mark.
        marked: Vec<Host>,
        /// The machine that the object names, or is giving back, whoever has it now.
        named: Option<Host>,
    },
}

/// A machine as MAAS shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Host {
    /// MAAS's id.
    pub system_id: String,
    /// Without domain.
    pub hostname: String,
    /// With domain.
    pub fqdn: String,
    /// State.
    pub status: Status,
    /// State in MAAS's words.
    pub status_name: String,
    /// Why it failed, where MAAS says.
    pub words: String,
    /// `on`, `off`, `unknown` or `error`.
    pub power: String,
    /// Zone.
    pub zone: String,
    /// Addresses.
    pub addresses: Vec<String>,
}

impl From<maas_client::Machine> for Host {
    fn from(machine: maas_client::Machine) -> Self {
        let words = [&machine.error_description, &machine.status_message]
            .into_iter()
            .find(|text| !text.is_empty())
            .cloned()
            .unwrap_or_default();
        Self {
            system_id: machine.system_id,
            hostname: machine.hostname,
            fqdn: machine.fqdn,
            status: machine.status,
            status_name: machine.status_name,
            words,
            power: machine.power_state,
            zone: machine.zone.map(|zone| zone.name).unwrap_or_default(),
            addresses: machine.ip_addresses,
        }
    }
}

impl Host {
    /// Whether it is held: it has to be released before anybody else can have it.
    pub fn is_held(&self) -> bool {
        !self.is_free() && !self.is_leaving()
    }

    /// Whether it belongs to nobody.
    pub fn is_free(&self) -> bool {
        use Status::{Broken, Commissioning, FailedCommissioning, Missing, New, Ready, Reserved, Retired};
        matches!(
            self.status,
            New | Ready | Commissioning | FailedCommissioning | Missing | Reserved | Retired | Broken
        )
    }

    /// Whether it is being given back, well or not.
    pub fn is_leaving(&self) -> bool {
        self.is_being_wiped() || self.has_failed_to_leave()
    }

    /// Whether MAAS is at work giving it back.
    pub fn is_being_wiped(&self) -> bool {
        matches!(self.status, Status::Releasing | Status::DiskErasing)
    }

    /// Whether giving it back went wrong.
    pub fn has_failed_to_leave(&self) -> bool {
        matches!(self.status, Status::FailedReleasing | Status::FailedDiskErasing)
    }
}

impl Seen {
    /// Whether Cluster API wants nothing to be done.
    pub fn paused(&self) -> bool {
        let cluster = self.cluster.as_ref().is_some_and(|cluster| cluster.spec.paused == Some(true));
        cluster || self.annotation(PAUSED_ANNOTATION).is_some()
    }

    /// Whether it is a machine of the control plane.
    pub fn is_control_plane(&self) -> bool {
        let labels = self.object.metadata.labels.as_ref();
        labels.is_some_and(|labels| labels.contains_key(CONTROL_PLANE_LABEL))
    }

    pub(super) fn has_finalizer(&self) -> bool {
        let finalizers = self.object.metadata.finalizers.as_deref().unwrap_or_default();
        finalizers.iter().any(|finalizer| finalizer == MACHINE_FINALIZER)
    }

    fn annotation(&self, key: &str) -> Option<&str> {
        self.object.metadata.annotations.as_ref()?.get(key).map(String::as_str)
    }

    /// The mark that is written in the object.
    pub fn mark(&self) -> Option<&str> {
        self.annotation(AGENT_NAME)
    }

    pub(super) fn allocating(&self) -> Option<Timestamp> {
        // A text that is no time is one whose answer is not known either: it counts from the epoch.
        self.annotation(ALLOCATING).map(|text| text.parse().unwrap_or_default())
    }

    /// System id of the machine that is being given back.
    pub fn releasing(&self) -> Option<&str> {
        self.annotation(RELEASING)
    }

    pub(super) fn release_failures(&self) -> u32 {
        self.annotation(RELEASE_FAILURES).and_then(|text| text.parse().ok()).unwrap_or_default()
    }

    /// System ids of machines that failed to deploy for this object.
    pub fn failed_machines(&self) -> Vec<String> {
        let text = self.annotation(FAILED_MACHINES).unwrap_or_default();
        text.split(',').filter(|id| !id.is_empty()).map(str::to_owned).collect()
    }

    /// System id of the object's machine: of `systemID`, or the last part of a provider id.
    pub fn system_id(&self) -> Option<&str> {
        let spec = &self.object.spec;
        let of_provider = || spec.provider_id.as_deref().and_then(|id| id.rsplit('/').next());
        spec.system_id.as_deref().or_else(of_provider).filter(|id| !id.is_empty())
    }

    /// The object's machine as MAAS shows it, as far as it is the object's.
    pub fn host(&self) -> Option<&Host> {
        let Look::Told { marked, named } = &self.maas else { return None };
        let id = self.system_id()?;
        let mine = |host: &&Host| host.system_id == id;
        match self.mark() {
            Some(_) => marked.iter().find(mine),
            None => named.as_ref().filter(mine),
        }
    }

    pub(super) fn was_provisioned(&self) -> bool {
        let status = self.object.status.as_ref();
        status.and_then(|status| status.initialization.as_ref()).and_then(|all| all.provisioned) == Some(true)
    }
}
