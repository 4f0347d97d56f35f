//! Files that show a machine its own hardware instead of the host's.

use std::fs;
use std::io;
use std::path::Path;

use uuid::Uuid;

/// Sysctls that kubelet insists on, as it wants them: the host's own stay as they are.
pub(super) const SYSCTLS: [(&str, &str); 6] = [
    ("vm/overcommit_memory", "1\n"),
    ("vm/panic_on_oom", "0\n"),
    ("kernel/panic", "10\n"),
    ("kernel/panic_on_oops", "1\n"),
    ("kernel/keys/root_maxkeys", "1000000\n"),
    ("kernel/keys/root_maxbytes", "25000000\n"),
];

/// `/sys/block` with the one disk: `size` in bytes, `number` as `major:minor`.
pub(super) fn block(folder: &Path, size: u64, number: &str) -> io::Result<()> {
    let files = [
        ("vda/size", format!("{}\n", size / 512)),
        ("vda/dev", format!("{number}\n")),
        ("vda/removable", "0\n".into()),
        ("vda/ro", "0\n".into()),
        ("vda/serial", "lab-vda\n".into()),
        ("vda/uevent", "DEVNAME=vda\nDEVTYPE=disk\n".into()),
        ("vda/queue/logical_block_size", "512\n".into()),
        ("vda/queue/physical_block_size", "512\n".into()),
        ("vda/queue/rotational", "0\n".into()),
        ("vda/queue/discard_max_bytes", "0\n".into()),
        ("vda/device/model", "Lab disk\n".into()),
        ("vda/device/vendor", "Bessemer\n".into()),
        ("vda/device/serial", "lab-vda\n".into()),
    ];
    files.iter().try_for_each(|(name, value)| write(&folder.join(name), value))
}

/// `/sys/class/dmi/id`.
pub(super) fn dmi(folder: &Path, uuid: Uuid) -> io::Result<()> {
    let files = [
        ("product_uuid", uuid.to_string()),
        ("product_serial", uuid.simple().to_string()),
        ("sys_vendor", "Bessemer".into()),
        ("product_name", "Lab namespace machine".into()),
        ("product_version", "1".into()),
        ("board_vendor", "Bessemer".into()),
        ("board_name", "Lab".into()),
        ("bios_vendor", "Bessemer".into()),
        ("bios_version", "1".into()),
        ("bios_date", "01/01/2026".into()),
        ("chassis_vendor", "Bessemer".into()),
        ("chassis_type", "23".into()),
    ];
    files.iter().try_for_each(|(name, value)| write(&folder.join(name), &format!("{value}\n")))
}

fn write(path: &Path, value: &str) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)?;
    fs::write(path, value)
}
