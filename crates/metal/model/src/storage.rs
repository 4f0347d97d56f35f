//! The storage of machines as the region decides it.

use disks::{Ids, Layout, Options, Plan};
use uuid::Uuid;

use crate::{Machine, Machines, SCOPE, Setting};

/// Numbers that nothing in the region has, and random UUIDs.
#[derive(Debug)]
pub struct Fresh<'m>(pub &'m Machines);

impl Ids for Fresh<'_> {
    fn number(&mut self) -> u64 {
        self.0.next_number()
    }

    fn uuid(&mut self) -> Uuid {
        Uuid::new_v4()
    }
}

/// Gives a machine whose disks are known the region's default layout (`default_storage_layout`), if it is to have it.
/// Where that does not go, nothing is configured, and the installed image decides.
pub fn lay_out(machines: &Machines, machine: &mut Machine) {
    if machine.storage.plan != Plan::Due {
        return;
    }
    let layout = default_layout(machines);
    let firmware = machine.firmware();
    if let Err(why) = layout.apply(&mut machine.storage, firmware, &Options::default(), &mut Fresh(machines))
    {
        tracing::info!(hostname = machine.hostname, layout = layout.word(), %why, "no storage layout");
        machine.storage.clear();
    }
}

/// The region's default layout.
pub fn default_layout(machines: &Machines) -> Layout {
    let setting = machines.store().get::<Setting>(SCOPE, "default_storage_layout");
    let word = setting.as_ref().and_then(|setting| setting.value.value.as_str());
    word.and_then(Layout::parse).unwrap_or(Layout::Flat)
}
