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

#[cfg(test)]
mod tests {
    use disks::{Disk, Storage};
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;

    /// Documents of earlier versions have a list `disks`.
    #[test]
    fn machines_of_earlier_versions_are_read() {
        let mut machine = Machine::new("m".to_owned(), Timestamp::UNIX_EPOCH);
        let disk = Disk { number: 7, name: "vda".to_owned(), size: 8 << 30, ..Disk::default() };
        machine.storage = Storage { disks: vec![disk], ..Storage::default() };
        let mut old = json!(machine);
        let storage = old.as_object_mut().unwrap().remove("storage").unwrap();
        let mut disks = storage["disks"].clone();
        disks[0].as_object_mut().unwrap().remove("content");
        old["disks"] = disks;
        let read: Machine = serde_json::from_value(old).unwrap();
        assert_eq!(read, machine);
        assert_eq!(read.storage.installable(), Ok(()), "it is deployed as before");
    }

    #[tokio::test]
    async fn a_machine_that_is_due_is_laid_out_once() {
        let machines = Machines::new(store::Store::in_memory().await);
        let mut machine = Machine::new("m".to_owned(), Timestamp::UNIX_EPOCH);
        let disk =
            Disk { number: machines.next_number(), name: "vda".to_owned(), size: 8 << 30, ..Disk::default() };
        machine.storage.disks = vec![disk];
        lay_out(&machines, &mut machine);
        let first = machine.clone();
        assert_eq!((machine.storage.plan, machine.storage.disks[0].boot), (Plan::Configured, false));
        lay_out(&machines, &mut machine);
        assert_eq!(machine, first);
        // Too small for any layout: the image decides.
        machine.storage.clear();
        machine.storage.plan = Plan::Due;
        machine.storage.disks[0].size = 1 << 30;
        lay_out(&machines, &mut machine);
        assert_eq!((machine.storage.plan, machine.storage.blocks().count()), (Plan::Image, 1));
    }
}
