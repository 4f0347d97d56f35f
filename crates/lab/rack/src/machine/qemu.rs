//! QEMU machines.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bmc::BootTarget;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::UnixStream;

use super::Plate;
use crate::RackError;
use crate::error::Doing as _;

pub(super) const PROGRAM: &str = "qemu-system-x86_64";
/// QEMU opens its QMP socket at once; under load, in that time.
const QMP_LIMIT: Duration = Duration::from_secs(20);
const QMP_RETRY: Duration = Duration::from_millis(50);

/// How guests run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Accelerator {
    /// On the CPU.
    Kvm,
    /// Emulated.
    Tcg,
}

/// What a QEMU command line says.
pub(super) struct Guest<'a> {
    pub name: &'a str,
    pub plate: &'a Plate,
    pub memory_mib: u32,
    pub cpus: u32,
    pub accelerator: Accelerator,
    pub disk: &'a Path,
    pub console: &'a Path,
    pub qmp: &'a Path,
    pub tap: &'a str,
    pub first: BootTarget,
}

impl Guest<'_> {
    /// The command line. A reset by the guest ends the process (`-no-reboot`), and the lab starts it again: so a
    /// boot override set while the machine runs holds for the guest's own restart, and a one-shot one is used up.
    /// (`-boot once=` would fix the order of both starts when the process begins.)
    pub(super) fn command(&self) -> Vec<String> {
        let accelerator = match self.accelerator {
            Accelerator::Kvm => "kvm",
            // MiB of translated code. A control plane's programs fill 256, and then all of it is translated anew.
            Accelerator::Tcg => "tcg,thread=multi,tb-size=1024",
        };
        let order = if self.first == BootTarget::Hdd { "c" } else { "nc" };
        let uuid = self.plate.uuid;
        // Flushes end in the host's memory: a lab's disks need to survive no host, and a busy one holds etcd up.
        let drive =
            format!("if=none,id=disk,format=raw,cache=unsafe,discard=unmap,file={}", self.disk.display());
        let words = [
            ("-name", self.name.to_owned()),
            ("-machine", "pc".into()),
            ("-accel", accelerator.into()),
            ("-cpu", "max".into()),
            ("-smp", self.cpus.to_string()),
            ("-m", self.memory_mib.to_string()),
            ("-uuid", uuid.to_string()),
            (
                "-smbios",
                format!("type=1,manufacturer=Bessemer,product=Lab,serial={},uuid={uuid}", uuid.simple()),
            ),
            ("-display", "none".into()),
            ("-vga", "none".into()),
            ("-monitor", "none".into()),
            ("-chardev", format!("file,id=console,append=on,path={}", self.console.display())),
            ("-serial", "chardev:console".into()),
            ("-qmp", format!("unix:{},server=on,wait=off", self.qmp.display())),
            ("-netdev", format!("tap,id=net0,ifname={},script=no,downscript=no", self.tap)),
            ("-device", format!("virtio-net-pci,netdev=net0,mac={}", self.plate.mac)),
            ("-drive", drive),
            ("-device", "virtio-blk-pci,drive=disk,serial=lab-vda".into()),
            ("-device", "virtio-rng-pci".into()),
            ("-boot", format!("order={order},reboot-timeout=5000")),
        ];
        let flags = words.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]);
        std::iter::once(PROGRAM.to_owned())
            .chain(flags)
            .chain(["-no-reboot".to_owned(), "-nodefaults".to_owned()])
            .collect()
    }
}

/// What QEMU says on its QMP socket about why a guest ended.
#[derive(Debug, Default)]
pub(super) struct Qmp {
    reset: AtomicBool,
}

impl Qmp {
    /// Follows a process that has just been started, until it ends.
    pub(super) fn follow(qmp: &Arc<Self>, socket: PathBuf) {
        qmp.reset.store(false, Ordering::Release);
        let qmp = Arc::clone(qmp);
        tokio::spawn(async move {
            if let Err(error) = qmp.listen(&socket).await {
                tracing::debug!(%error, "QMP");
            }
        });
    }

    /// Whether the guest reset itself.
    pub(super) fn was_reset(&self) -> bool {
        self.reset.load(Ordering::Acquire)
    }

    async fn listen(&self, socket: &Path) -> io::Result<()> {
        let (mut lines, _writer) = connect(socket).await?;
        while let Some(line) = lines.next_line().await? {
            if is_reset(&line) {
                self.reset.store(true, Ordering::Release);
            }
        }
        Ok(())
    }
}

fn is_reset(line: &str) -> bool {
    serde_json::from_str::<Value>(line).is_ok_and(|event| {
        event.get("event").is_some_and(|name| name == "SHUTDOWN")
            && event
                .pointer("/data/reason")
                .is_some_and(|reason| reason == "guest-reset" || reason == "guest-panic")
    })
}

type Connection = (Lines<BufReader<tokio::net::unix::OwnedReadHalf>>, tokio::net::unix::OwnedWriteHalf);

async fn connect(socket: &Path) -> io::Result<Connection> {
    let attempt = async {
        loop {
            match UnixStream::connect(socket).await {
                Ok(stream) => break stream,
                Err(_) => tokio::time::sleep(QMP_RETRY).await,
            }
        }
    };
    let (reader, mut writer) = tokio::time::timeout(QMP_LIMIT, attempt).await?.into_split();
    writer.write_all(json!({"execute": "qmp_capabilities"}).to_string().as_bytes()).await?;
    Ok((BufReader::new(reader).lines(), writer))
}

/// Presses the ACPI power button.
pub(super) async fn press_button(socket: &Path) -> Result<(), RackError> {
    let press = async {
        let (mut lines, mut writer) = connect(socket).await?;
        writer
            .write_all(json!({"execute": "system_powerdown", "id": "press"}).to_string().as_bytes())
            .await?;
        while let Some(line) = lines.next_line().await? {
            if line.contains("\"press\"") {
                return Ok(());
            }
        }
        Err(io::Error::from(io::ErrorKind::UnexpectedEof))
    };
    press.await.doing(|| "pressing the power button by QMP".into())
}
