//! What a machine's storage is as a whole: layouts, and file systems that are on no device.

use api_call::{
    Answer, ApiError, Call, bytes,
    machine::{load, load_as_admin, load_own, shown},
    route::{Op, named},
};
use disks::{CacheMode, Layout, Options, Place, Plan, Size};
use lifecycle::Status;
use model::default_layout;

use crate::{
    change::{Who, change, change_machine, refused},
    params::{self, sent},
};

/// What concerns storage among the operations of a machine.
pub fn machine_ops() -> Vec<Op> {
    vec![
        named!(
            POST,
            "set_storage_layout",
            User,
            "Lays the disks out anew: `storage_layout` (`flat`, `lvm`, `bcache`, `blank`), `boot_size`, `root_size`, `root_device`, `vg_name`, `lv_name`, `lv_size`, `cache_device`, `cache_mode`, `cache_size`, `cache_no_part`. Only `flat` can be deployed yet.",
            set_storage_layout
        ),
        named!(
            POST,
            "mount_special",
            User,
            "Mounts a file system that is on no device: `fstype` (`tmpfs`, `ramfs`), `mount_point`, `mount_option`.",
            mount_special
        ),
        named!(POST, "unmount_special", User, "Takes the mount at `mount_point` away.", unmount_special),
        named!(
            POST,
            "restore_storage_configuration",
            User,
            "Lays the disks out as new machines' are.",
            restore_storage_configuration
        ),
        named!(
            POST,
            "restore_default_configuration",
            User,
            "Lays the disks out as new machines' are; interfaces keep their links.",
            restore_storage_configuration
        ),
    ]
}

async fn set_storage_layout(call: Call) -> Answer {
    let machine = load_as_admin(&call)?;
    let ready = |status: Status| {
        let words = "Cannot change the storage layout on a machine that is not Ready.";
        if status == Status::Ready { Ok(()) } else { Err(ApiError::Conflict(words.to_owned())) }
    };
    ready(machine.value.status)?;
    let layout = layout(&call)?;
    let options = options(&call)?;
    let (changed, ()) = change_machine(&call, "set layout", |machine, ids| {
        ready(machine.status)?;
        let firmware = machine.firmware();
        layout.apply(&mut machine.storage, firmware, &options, ids).map_err(refused)
    })
    .await?;
    Ok(shown(&call, &changed))
}

fn layout(call: &Call) -> Result<Layout, ApiError> {
    let word = params::required(call, "storage_layout")?;
    Layout::parse(word).ok_or_else(|| {
        let known: Vec<String> = Layout::ALL.iter().map(|layout| format!("'{}'", layout.word())).collect();
        let known = known.join(", ");
        let words = format!("'{word}' is not a valid storage_layout.  It should be one of: {known}.");
        ApiError::field("storage_layout", words)
    })
}

fn options(call: &Call) -> Result<Options, ApiError> {
    let machine = load(call)?;
    let disk = |name: &str| {
        let known = |word: &str| params::number(&machine.value.storage, word);
        sent(call, name).map(|_| params::choice(call, name, known)).transpose()
    };
    let text = |name: &str| sent(call, name).map(str::to_owned);
    let mode = sent(call, "cache_mode").map(|_| params::choice(call, "cache_mode", CacheMode::parse));
    Ok(Options {
        boot_size: size(call, "boot_size")?,
        root_size: size(call, "root_size")?,
        root_device: disk("root_device")?,
        group_name: text("vg_name"),
        volume_name: text("lv_name"),
        volume_size: size(call, "lv_size")?,
        cache_device: disk("cache_device")?,
        cache_mode: mode.transpose()?,
        cache_size: size(call, "cache_size")?,
        cache_on: call.flag("cache_no_part").then_some(Place::Device),
    })
}

/// Bytes, or a share of the device: `50%`.
fn size(call: &Call, name: &str) -> Result<Option<Size>, ApiError> {
    let read = |text: &str| match text.strip_suffix('%') {
        None => bytes(text).map(Size::Bytes),
        Some(share) => share.trim().parse().ok().filter(|share| (0.0..=100.0).contains(share)).map(share_of),
    };
    sent(call, name)
        .map(|text| {
            let words = "Enter a valid size: bytes, a number with K, M, G or T, or a percentage.";
            read(text).ok_or_else(|| ApiError::field(name, words))
        })
        .transpose()
}

#[allow(clippy::cast_sign_loss, reason = "between 0 and 100")]
fn share_of(percent: f64) -> Size {
    Size::Share((percent * 100.0) as u32)
}

async fn mount_special(call: Call) -> Answer {
    load_own(&call)?;
    let fstype = params::fstype(&call)?;
    let options = sent(&call, "mount_option").map(str::to_owned).or_else(|| params::mount_options(&call));
    let (changed, ()) = change(&call, Who::Owner, "mount a special filesystem", |storage, ids| {
        let point = sent(&call, "mount_point").unwrap_or_default();
        storage.mount_special(fstype, point, options.clone(), ids)
    })
    .await?;
    Ok(shown(&call, &changed))
}

async fn unmount_special(call: Call) -> Answer {
    load_own(&call)?;
    let point = params::required(&call, "mount_point")?;
    let what = "unmount a special filesystem";
    let (changed, ()) = change(&call, Who::Owner, what, |storage, _| storage.unmount_special(point)).await?;
    Ok(shown(&call, &changed))
}

async fn restore_storage_configuration(call: Call) -> Answer {
    load_as_admin(&call)?;
    let layout = default_layout(&call.state.machines);
    let (changed, ()) = change_machine(&call, "restore configuration", |machine, ids| {
        if !matches!(machine.status, Status::Ready | Status::Allocated) {
            let words = "Machine must be in a ready or allocated state to restore storage configuration.";
            return Err(ApiError::Conflict(words.to_owned()));
        }
        let firmware = machine.firmware();
        layout.apply(&mut machine.storage, firmware, &Options::default(), ids).map_err(refused)
    })
    .await?;
    Ok(shown(&call, &changed))
}

/// Makes the storage of a machine that is about to be commissioned anew, or with `skip_storage` leaves it as it is.
///
/// # Errors
/// [`ApiError`]: not there, locked.
pub async fn before_commissioning(call: &Call) -> Result<(), ApiError> {
    change_machine(call, "commission", |machine, _| {
        match (call.flag("skip_storage"), machine.storage.plan) {
            (true, Plan::Due) => machine.storage.plan = Plan::Image,
            (true, _) => {}
            (false, _) => {
                machine.storage.clear();
                machine.storage.plan = Plan::Due;
            }
        }
        Ok(())
    })
    .await
    .map(drop)
}
