//! A whole installation with a real ext4 root file system. Needs root, loop devices and mkfs.ext4; without them
//! it says so and passes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use agent_protocol::{AfterInstall, FileToWrite, ImageFormat};
use bessemer_agent::client::Region;
use bessemer_agent::disk::{Disk, MIB};
use bessemer_agent::root::Root;
use bessemer_agent::work::{Interrupted, Progress};
use bessemer_agent::{install, table};
use support::{Server, hasty, installation, ranged};

struct Quiet;

impl Progress for Quiet {
    fn tell(&mut self, _: &str, _: u64, _: u64) -> Result<(), Interrupted> {
        Ok(())
    }
}

/// Why this test can't run here.
fn obstacle() -> Option<&'static str> {
    let works = |program: &str| {
        Command::new(program).arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
    };
    if !rustix::process::geteuid().is_root() {
        Some("not root")
    } else if !works("mkfs.ext4") {
        Some("no mkfs.ext4")
    } else if fs::metadata("/dev/loop-control").is_err() {
        Some("no loop devices")
    } else {
        None
    }
}

/// A disk image with one ext4 root partition of 40 MiB.
fn image(path: &Path) -> Vec<u8> {
    let len = 48 * MIB;
    fs::write(path, vec![0; len as usize]).unwrap();
    let made = Command::new("mkfs.ext4")
        .args(["-q", "-F", "-E", "offset=1048576", path.to_str().unwrap(), "40960k"])
        .status()
        .unwrap();
    assert!(made.success());
    let mut file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    gpt::mbr::ProtectiveMBR::with_lb_size((len / 512 - 1) as u32).overwrite_lba0(&mut file).unwrap();
    let mut disk = gpt::GptConfig::new().writable(true).create_from_device(file, None).unwrap();
    let root = gpt::partition_types::LINUX_ROOT_X64;
    disk.add_partition("root", 40 * MIB, root, 0, Some(2048)).unwrap();
    disk.write().unwrap();
    let raw = fs::read(path).unwrap();
    fs::remove_file(path).unwrap();
    raw
}

#[test]
fn an_installed_system_has_its_files_and_the_whole_disk() {
    if let Some(why) = obstacle() {
        println!("skipped: {why}");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let raw = image(&folder.path().join("image"));
    let packed = zstd::encode_all(&raw[..], 1).unwrap();
    fs::write(folder.path().join("vda"), vec![0xa5; 96 * MIB as usize]).unwrap();
    let bytes = packed.clone();
    let server = Server::start(move |request| ranged(request, &bytes));
    let region = Region::new(&server.url, "t", hasty());
    let mut task = installation(&server.url, &packed, raw.len() as u64, ImageFormat::RawZst);
    // In the initial PID namespace this would load the installed kernel; the image has none.
    task.then = AfterInstall::Kexec;
    let path = "/etc/cloud/cloud.cfg.d/99-region.cfg".to_owned();
    task.files = vec![FileToWrite { path, content: "datasource: {}\n".to_owned(), mode: 0o600 }];

    let installed = install::install(&task, folder.path(), &region, &mut Quiet).unwrap();
    assert!(!installed.kexec);

    let disk = Disk::open(&folder.path().join("vda")).unwrap();
    let partition = table::root(&table::read(&disk).unwrap()).unwrap();
    assert_eq!(partition.start + partition.len, 95 * MIB);
    let root = Root::mount(&disk, &partition, None).unwrap();
    let file = root.path().join("etc/cloud/cloud.cfg.d/99-region.cfg");
    assert_eq!(fs::read_to_string(&file).unwrap(), "datasource: {}\n");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);
    let size = rustix::fs::statvfs(root.path()).unwrap();
    let grown = size.f_blocks * size.f_frsize > 60 * MIB;
    println!("file system of {} bytes, grown: {grown}", size.f_blocks * size.f_frsize);
    // Growing is the kernel's privilege to refuse; when it did not, the installation says so.
    assert_eq!(grown, installed.detail.contains("grown"));
    let point = root.path().to_owned();
    root.unmount().unwrap();
    assert!(!point.exists());
}
