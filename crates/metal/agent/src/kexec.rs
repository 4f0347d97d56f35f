//! Starting the installed kernel without the firmware.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::sys;

/// Inode of the initial PID namespace, `PROC_PID_INIT_INO` in `linux/proc_ns.h`.
const INITIAL_PID_NAMESPACE: u64 = 0xEFFF_FFFC;

/// What a boot loader's menu starts first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Path of the kernel, as the menu has it.
    pub kernel: String,
    /// Path of the initrd.
    pub initrd: String,
    /// Kernel command line.
    pub cmdline: String,
}

/// Why the installed kernel can't be started this way. The machine then restarts through its firmware.
#[derive(Debug, thiserror::Error)]
pub enum KexecError {
    /// In a namespace, kexec would replace the kernel of everybody outside.
    #[error("kexec is only for a machine of its own, and this is a PID namespace")]
    NotTheMachine,
    /// No usable entry.
    #[error("the image's /boot/grub/grub.cfg has no entry with linux and initrd lines")]
    NoEntry,
    /// The kernel refused.
    #[error("loading {what} for kexec failed: {source}")]
    Load {
        /// What could not be opened or loaded.
        what: String,
        /// What the kernel said.
        source: std::io::Error,
    },
}

/// Loads the kernel that `root`'s boot loader would start first, and answers its path. Nothing restarts yet.
///
/// # Errors
/// [`KexecError`]; never tries outside the initial PID namespace.
pub fn load(root: &Path) -> Result<String, KexecError> {
    let namespace = fs::metadata("/proc/self/ns/pid").map(|m| m.ino());
    if !namespace.is_ok_and(|inode| inode == INITIAL_PID_NAMESPACE) {
        return Err(KexecError::NotTheMachine);
    }
    let menu = fs::read_to_string(root.join("boot/grub/grub.cfg")).map_err(|_| KexecError::NoEntry)?;
    let entry = first_entry(&menu).ok_or(KexecError::NoEntry)?;
    let (kernel, initrd) = (open(root, &entry.kernel)?, open(root, &entry.initrd)?);
    sys::kexec_load(&kernel, &initrd, &entry.cmdline)
        .map_err(|source| KexecError::Load { what: entry.kernel.clone(), source })?;
    Ok(entry.kernel)
}

/// The first `linux` line of a GRUB menu with the `initrd` line that follows it. Words with variables are
/// dropped: only GRUB knows their values.
pub fn first_entry(menu: &str) -> Option<Entry> {
    let mut lines = menu.lines().map(str::split_ascii_whitespace);
    let (kernel, cmdline) = lines.find_map(|mut words| {
        if !matches!(words.next()?, "linux" | "linux16" | "linuxefi") {
            return None;
        }
        let kernel = words.next()?.to_owned();
        let plain: Vec<&str> = words.filter(|word| !word.contains('$')).collect();
        Some((kernel, plain.join(" ")))
    })?;
    let initrd = lines.find_map(|mut words| match words.next()? {
        "initrd" | "initrd16" | "initrdefi" => words.next().map(str::to_owned),
        _ => None,
    })?;
    (!kernel.contains('$')).then_some(Entry { kernel, initrd, cmdline })
}

/// Opens a path of the menu; it is relative to the file system that holds `/boot`.
fn open(root: &Path, path: &str) -> Result<File, KexecError> {
    let inside = path.trim_start_matches('/');
    File::open(root.join(inside))
        .or_else(|_| File::open(root.join("boot").join(inside)))
        .map_err(|source| KexecError::Load { what: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_first_entry() {
        let menu = "set default=0\nmenuentry 'Debian' {\n\techo 'Loading'\n\
            \tlinux /boot/vmlinuz-6.1 root=UUID=12 ro ${extra} console=ttyS0\n\
            \tinitrd\t/boot/initrd.img-6.1\n}\nmenuentry 'old' {\n linux /boot/old\n initrd /boot/oldrd\n}\n";
        let entry = first_entry(menu).unwrap();
        assert_eq!(entry.kernel, "/boot/vmlinuz-6.1");
        assert_eq!(entry.initrd, "/boot/initrd.img-6.1");
        assert_eq!(entry.cmdline, "root=UUID=12 ro console=ttyS0");
        assert_eq!(first_entry("menuentry {\n}"), None);
    }
}
