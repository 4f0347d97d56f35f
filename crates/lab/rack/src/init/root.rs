//! The first steps of a namespace machine: from PID 1 of empty namespaces to its own init.
//!
//! What a machine can reach of the host is meant to stop accidents, not an adversary: its devices, disks and
//! identity are its own, `/sys` is read-only, of `/proc/sys` only `net` can be written, and capabilities to set the
//! clock, load modules or read the kernel's log are dropped. `CAP_SYS_BOOT` stays: in a PID namespace `reboot(2)`
//! only ends that namespace, and refuses to start a kexec kernel (`reboot_pid_ns` in the kernel's
//! `kernel/pid_namespace.c`).

use std::ffi::CString;
use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_change, mount_remount, unmount,
};
use rustix::process::{Signal, chdir, pivot_root, set_parent_process_death_signal, setsid, umask};
use rustix::thread::{CapabilitySet, UnshareFlags, remove_capability_from_bounding_set};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::cgroup::Hierarchy;
use super::{Ended, fakes};
use crate::RackError;
use crate::disk::Ext4;
use crate::error::Doing as _;
use crate::firmware;

/// Loop devices a machine can use by name.
const LOOPS: u32 = 64;
const LOOP_MAJOR: u32 = 7;

/// What becomes of PID 1.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Machine {
    /// Where the root file system is mounted.
    pub root: PathBuf,
    /// What it is made of.
    pub source: Source,
    /// Kernel command line.
    pub cmdline: String,
    /// SMBIOS UUID.
    pub uuid: Uuid,
    /// Loop device over the whole disk.
    pub disk: PathBuf,
    /// The pseudo-terminal that is the console.
    pub console: PathBuf,
    /// The pseudo-terminal that takes what is written to the kernel's log.
    pub kernel_log: PathBuf,
    /// Control group hierarchies.
    pub hierarchies: Vec<Hierarchy>,
}

/// Where the root file system comes from.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Source {
    /// Unpacked into memory.
    Initrds(Vec<PathBuf>),
    /// This loop device holds it.
    Disk(PathBuf),
}

/// Becomes the machine's init; returns only when that fails.
pub(super) fn become_init(machine: &Machine) -> Ended {
    if let Err(error) = prepare(machine) {
        println!("lab: {error}");
        return Ended::Crash;
    }
    let init = match machine.source {
        Source::Initrds(_) => "/init",
        Source::Disk(_) => "/sbin/init",
    };
    let error = Command::new(init)
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("HOME", "/")
        .env("TERM", "linux")
        // systemd then leaves the host's devices, clock and modules alone and waits for no device node.
        .env("container", "lab")
        .exec();
    println!("lab: starting {init}: {error}");
    Ended::Crash
}

fn prepare(machine: &Machine) -> Result<(), RackError> {
    set_parent_process_death_signal(Some(Signal::KILL)).doing(|| "binding to the keeper".into())?;
    setsid().doing(|| "starting a session".into())?;
    umask(Mode::from_raw_mode(0o022));
    crate::sys::unshare(UnshareFlags::NEWNS).doing(|| "making the mount namespace".into())?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .doing(|| "making mounts private".into())?;
    let root = &machine.root;
    match &machine.source {
        Source::Initrds(initrds) => {
            tmpfs(root, "mode=0755")?;
            firmware::unpack_all(initrds, root)?;
        }
        Source::Disk(device) => {
            let flags = MountFlags::empty();
            mount(device, root, "ext4", flags, None).doing(|| format!("mounting {}", device.display()))?;
            for name in ["run", "tmp"] {
                tmpfs(&folder(root, name)?, if name == "tmp" { "mode=1777" } else { "mode=0755" })?;
            }
        }
    }
    devices(machine)?;
    processes(machine)?;
    system(machine)?;
    rustix::system::sethostname(b"localhost").doing(|| "setting the host name".into())?;
    enter(root)?;
    drop_capabilities()
}

/// `/dev`: the usual nodes, the disk, and loop devices.
fn devices(machine: &Machine) -> Result<(), RackError> {
    let dev = folder(&machine.root, "dev")?;
    tmpfs(&dev, "mode=0755")?;
    let node = |name: &str, kind, number, mode| {
        mknodat(CWD, dev.join(name), kind, Mode::from_raw_mode(mode), number)
            .doing(|| format!("making /dev/{name}"))
    };
    for (name, major, minor) in [
        ("null", 1, 3),
        ("zero", 1, 5),
        ("full", 1, 7),
        ("random", 1, 8),
        ("urandom", 1, 9),
        ("tty", 5, 0),
        ("fuse", 10, 229),
        ("loop-control", 10, 237),
    ] {
        node(name, FileType::CharacterDevice, makedev(major, minor), 0o666)?;
    }
    for minor in 0..LOOPS {
        node(&format!("loop{minor}"), FileType::BlockDevice, makedev(LOOP_MAJOR, minor), 0o660)?;
    }
    let disk = fs::metadata(&machine.disk)
        .ok()
        .filter(|disk| disk.file_type().is_block_device())
        .ok_or_else(|| RackError::Firmware(format!("{} is no block device", machine.disk.display())))?;
    node("vda", FileType::BlockDevice, disk.rdev(), 0o660)?;
    let net = folder(&dev, "net")?.join("tun");
    mknodat(CWD, &net, FileType::CharacterDevice, Mode::from_raw_mode(0o666), makedev(10, 200))
        .doing(|| "making /dev/net/tun".into())?;

    let terminals = folder(&dev, "pts")?;
    let options = CString::new("newinstance,ptmxmode=0666,mode=0620,gid=5").unwrap_or_default();
    mount("devpts", &terminals, "devpts", MountFlags::NOSUID | MountFlags::NOEXEC, options.as_c_str())
        .doing(|| "mounting /dev/pts".into())?;
    tmpfs(&folder(&dev, "shm")?, "mode=1777")?;
    for (name, target) in [
        ("ptmx", "pts/ptmx"),
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ] {
        symlink(target, dev.join(name)).doing(|| format!("making /dev/{name}"))?;
    }
    if let Source::Disk(device) = &machine.source {
        name_file_system(device, &dev)?;
    }
    bind_file(&machine.console, &dev.join("console"))?;
    // What a machine writes to the kernel's log belongs on its own console, not in the host's log. A terminal of
    // its own: one that getty hangs up would keep journald busy for ever.
    bind_file(&machine.kernel_log, &dev.join("kmsg"))
}

/// The links by which udev makes `LABEL=` and `UUID=` of `/etc/fstab` work.
fn name_file_system(device: &Path, dev: &Path) -> Result<(), RackError> {
    let Ext4 { label, uuid, .. } = Ext4::read(device)?;
    let target = Path::new("../..").join(device.file_name().unwrap_or_default());
    for (by, name) in [("disk/by-label", label), ("disk/by-uuid", uuid.to_string())] {
        if !name.is_empty() && !name.contains('/') {
            symlink(&target, folder(dev, by)?.join(&name)).doing(|| format!("making /dev/{by}/{name}"))?;
        }
    }
    Ok(())
}

/// `/proc` of the PID namespace, with the machine's command line and without the host's switches.
fn processes(machine: &Machine) -> Result<(), RackError> {
    let proc = folder(&machine.root, "proc")?;
    let quiet = MountFlags::NOSUID | MountFlags::NOEXEC | MountFlags::NODEV;
    mount("proc", &proc, "proc", quiet, None).doing(|| "mounting /proc".into())?;
    for name in ["sys", "sysrq-trigger", "irq", "bus"] {
        let path = proc.join(name);
        if path.exists() {
            read_only(&path)?;
        }
    }
    // Only what belongs to the network namespace may be written.
    let net = proc.join("sys/net");
    mount_bind(&net, &net).doing(|| "opening /proc/sys/net".into())?;
    mount_remount(&net, MountFlags::BIND | quiet, "").doing(|| "opening /proc/sys/net".into())?;

    let scratch = folder(&machine.root.join("dev"), ".lab")?;
    let own = |name: &str, value: &str| {
        let file = scratch.join(name.replace('/', "."));
        fs::write(&file, value).doing(|| format!("writing {}", file.display()))?;
        let path = proc.join(name);
        if path.exists() {
            mount_bind(&file, &path).doing(|| format!("replacing {}", path.display()))?;
        }
        Ok::<_, RackError>(())
    };
    for (name, value) in fakes::SYSCTLS {
        own(&format!("sys/{name}"), value)?;
    }
    own("cmdline", &format!("{}\n", machine.cmdline))
}

/// `/sys` of the network namespace, read-only, with the machine's own disk, identity and control groups.
fn system(machine: &Machine) -> Result<(), RackError> {
    let sys = folder(&machine.root, "sys")?;
    let quiet = MountFlags::NOSUID | MountFlags::NOEXEC | MountFlags::NODEV;
    let sysfs = |path: &Path| {
        mount("sysfs", path, "sysfs", quiet, None).doing(|| format!("mounting {}", path.display()))
    };
    sysfs(&sys)?;
    // A host may have no `dmi` class (virtual machines without SMBIOS), so the folder of classes is made anew from
    // a second view of the real one.
    let view = folder(&machine.root.join("dev"), ".sys")?;
    sysfs(&view)?;
    let classes = sys.join("class");
    tmpfs(&classes, "mode=0755")?;
    let real = fs::read_dir(view.join("class")).doing(|| "reading /sys/class".into())?;
    for entry in
        real.flatten().filter(|entry| !["block", "dmi"].iter().any(|name| entry.file_name() == *name))
    {
        let path = classes.join(entry.file_name());
        fs::create_dir(&path).doing(|| format!("making {}", path.display()))?;
        mount_bind(entry.path(), &path)
            .and_then(|()| mount_remount(&path, MountFlags::BIND | MountFlags::RDONLY | quiet, ""))
            .doing(|| format!("binding {}", path.display()))?;
    }
    unmount(&view, UnmountFlags::DETACH).doing(|| "unmounting the view of /sys".into())?;
    fs::remove_dir(&view).doing(|| "removing the view of /sys".into())?;

    fakes::dmi(&folder(&classes, "dmi/id")?, machine.uuid).doing(|| "writing /sys/class/dmi/id".into())?;
    let disk = fs::metadata(&machine.disk).doing(|| format!("reading {}", machine.disk.display()))?.rdev();
    let number = format!("{}:{}", rustix::fs::major(disk), rustix::fs::minor(disk));
    let size = fs::read_to_string(
        Path::new("/sys/block").join(machine.disk.file_name().unwrap_or_default()).join("size"),
    )
    .ok()
    .and_then(|text| text.trim().parse::<u64>().ok())
    .ok_or_else(|| RackError::Firmware(format!("{} has no size", machine.disk.display())))?;
    let blocks = folder(&classes, "block")?;
    fakes::block(&blocks, size * 512, &number).doing(|| "writing /sys/class/block".into())?;
    mount_bind(&blocks, sys.join("block")).doing(|| "replacing /sys/block".into())?;
    let numbers = sys.join("dev/block");
    tmpfs(&numbers, "mode=0755")?;
    symlink("../../class/block/vda", numbers.join(&number)).doing(|| "writing /sys/dev/block".into())?;
    let groups = sys.join("fs/cgroup");
    control_groups(&groups, &machine.hierarchies)?;
    mount_remount(&sys, MountFlags::BIND | MountFlags::RDONLY | quiet, "").doing(|| "closing /sys".into())
}

fn control_groups(top: &Path, hierarchies: &[Hierarchy]) -> Result<(), RackError> {
    let quiet = MountFlags::NOSUID | MountFlags::NOEXEC | MountFlags::NODEV;
    if hierarchies.iter().all(|hierarchy| hierarchy.folder().is_none()) {
        return mount("cgroup2", top, "cgroup2", quiet, None).doing(|| "mounting control groups".into());
    }
    tmpfs(top, "mode=0755")?;
    for hierarchy in hierarchies {
        let Some(name) = hierarchy.folder() else { continue };
        let path = folder(top, name)?;
        let options = CString::new(hierarchy.options.as_str()).unwrap_or_default();
        mount("cgroup", &path, "cgroup", quiet, options.as_c_str())
            .doing(|| format!("mounting {} ({})", path.display(), hierarchy.options))?;
    }
    Ok(())
}

/// Makes `root` the root, and forgets the host's.
fn enter(root: &Path) -> Result<(), RackError> {
    chdir(root).doing(|| format!("entering {}", root.display()))?;
    pivot_root(".", ".").doing(|| "changing the root".into())?;
    unmount(".", UnmountFlags::DETACH).doing(|| "leaving the host's root".into())?;
    chdir("/").doing(|| "entering the root".into())?;
    mount_change("/", MountPropagationFlags::SHARED | MountPropagationFlags::REC)
        .doing(|| "sharing mounts".into())
}

fn drop_capabilities() -> Result<(), RackError> {
    for capability in [
        CapabilitySet::SYS_TIME,
        CapabilitySet::SYS_MODULE,
        CapabilitySet::SYSLOG,
        CapabilitySet::SYS_RAWIO,
        CapabilitySet::WAKE_ALARM,
        CapabilitySet::MAC_ADMIN,
        CapabilitySet::MAC_OVERRIDE,
    ] {
        remove_capability_from_bounding_set(capability).doing(|| format!("dropping {capability:?}"))?;
    }
    Ok(())
}

fn folder(parent: &Path, name: &str) -> Result<PathBuf, RackError> {
    let path = parent.join(name);
    fs::create_dir_all(&path).doing(|| format!("making {}", path.display()))?;
    Ok(path)
}

fn tmpfs(path: &Path, options: &str) -> Result<(), RackError> {
    let options = CString::new(options).unwrap_or_default();
    mount("tmpfs", path, "tmpfs", MountFlags::empty(), options.as_c_str())
        .doing(|| format!("mounting {}", path.display()))
}

fn read_only(path: &Path) -> Result<(), RackError> {
    let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NOEXEC | MountFlags::NODEV;
    mount_bind(path, path)
        .and_then(|()| mount_remount(path, MountFlags::BIND | flags, ""))
        .doing(|| format!("making {} read-only", path.display()))
}

fn bind_file(from: &Path, to: &Path) -> Result<(), RackError> {
    fs::write(to, "").doing(|| format!("making {}", to.display()))?;
    mount_bind(from, to).doing(|| format!("binding {}", to.display()))
}
