//! `ipmi_sim` of `OpenIPMI`, with Debian's ipmitool.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use power::{Bmc, Firmware, Power, types::Kind};

use crate::support::{self, Running, answers, have, on_firmware, udp_port, word};

struct Sim {
    _running: Running,
    folder: tempfile::TempDir,
    address: String,
}

/// A program that keeps what the simulator is told in files.
const CONTROL: &str = r#"#!/bin/sh
cd FOLDER || exit 1
shift
case "$1 $2" in
"get power") echo "power:$(cat power 2>/dev/null || echo 0)" ;;
"get boot") echo "boot:$(cat boot 2>/dev/null || echo none)" ;;
"set power") echo "$3" > power; echo "power $3" >> log ;;
"set boot") echo "$3" > boot; echo "boot $3" >> log ;;
*) echo "$2" >> log ;;
esac
"#;

fn start() -> Option<Sim> {
    if !have(&["ipmi_sim", "ipmitool"]) {
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().display();
    let port = udp_port();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("control", &CONTROL.replace("FOLDER", &path.to_string()));
    fs::set_permissions(folder.path().join("control"), fs::Permissions::from_mode(0o700)).unwrap();
    write(
        "lan.conf",
        &format!(
            "name \"sim\"\nset_working_mc 0x20\n  startlan 1\n    addr 127.0.0.1 {port}\n    priv_limit admin\n    \
             allowed_auths_user md5\n    allowed_auths_operator md5\n    allowed_auths_admin md5\n    \
             guid a123456789abcdefa123456789abcdef\n  endlan\n  chassis_control \"{path}/control 0x20\"\n  \
             user 2 true \"maas\" \"geheim\" operator 10 md5\n"
        ),
    );
    write(
        "sim.emu",
        "mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02\nmc_enable 0x20\n",
    );
    fs::create_dir(folder.path().join("state")).unwrap();
    let mut command = Command::new("ipmi_sim");
    command.current_dir(folder.path()).args(["-n", "-c", "lan.conf", "-f", "sim.emu", "-s", "state"]);
    let running = Running::start(&mut command, &folder.path().join("output"));
    Some(Sim { _running: running, address: format!("127.0.0.1:{port}"), folder })
}

impl Sim {
    fn bmc(&self, user: &str, password: &str, driver: &str) -> Box<dyn Bmc> {
        let parameters = [
            ("power_address", self.address.as_str()),
            ("power_user", user),
            ("power_pass", password),
            ("power_driver", driver),
        ];
        on_firmware(Kind::Ipmi, &parameters, Firmware::Uefi)
    }

    /// What it was told, and forgets it.
    fn told(&self) -> String {
        let log = self.folder.path().join("log");
        let told = fs::read_to_string(&log).unwrap_or_default().lines().collect::<Vec<_>>().join(", ");
        fs::write(&log, "").unwrap();
        told
    }
}

#[tokio::test]
async fn on_off_state_and_boot_over_the_network() {
    let Some(sim) = start() else { return };
    let bmc = sim.bmc("maas", "geheim", "LAN_2_0");
    assert_eq!(answers(&*bmc).await, Power::Off);
    sim.told();
    bmc.boot_network().await.unwrap();
    assert_eq!(sim.told(), "boot pxe, power 1", "first from where, then the start");
    assert_eq!(bmc.state().await, Ok(Power::On));
    bmc.boot_network().await.unwrap();
    assert_eq!(sim.told(), "boot pxe, reset");
    bmc.on().await.unwrap();
    assert_eq!(sim.told(), "", "it is on");
    bmc.off().await.unwrap();
    bmc.off().await.unwrap();
    assert_eq!((sim.told().as_str(), bmc.state().await), ("power 0", Ok(Power::Off)));
    bmc.on().await.unwrap();
    assert_eq!(sim.told(), "power 1", "the boot order is left alone");
    // The same machine by IPMI 1.5.
    assert_eq!(sim.bmc("maas", "geheim", "LAN").state().await, Ok(Power::On));
}

#[tokio::test]
async fn refusals() {
    let Some(sim) = start() else { return };
    answers(&*sim.bmc("maas", "geheim", "LAN_2_0")).await;
    for driver in ["LAN_2_0", "LAN"] {
        assert_eq!(word(sim.bmc("maas", "falsch", driver).state().await), "credentials", "{driver}");
        assert_eq!(word(sim.bmc("niemand", "geheim", driver).state().await), "credentials", "{driver}");
    }
    let parameters = [
        ("power_address", sim.address.as_str()),
        ("power_user", "maas"),
        ("power_pass", "geheim"),
        ("cipher_suite_id", "17"),
    ];
    let error = support::bmc(Kind::Ipmi, &parameters).state().await.unwrap_err();
    assert!(error.to_string().contains("invalid authentication algorithm"), "{error}");

    let (_socket, address) = support::silent();
    let silent = support::bmc(Kind::Ipmi, &[("power_address", &address), ("power_pass", "geheim")]);
    let error = silent.state().await.unwrap_err();
    assert!(["unreachable", "late"].contains(&error.word()), "{error}");
}

/// Nobody else on the region sees a password: not in the arguments of any process.
#[tokio::test]
async fn passwords_are_not_on_the_command_line() {
    if !have(&["ipmitool"]) {
        return;
    }
    let (_socket, address) = support::silent();
    let port = address.rsplit(':').next().unwrap().to_owned();
    let parameters =
        [("power_address", address.as_str()), ("power_pass", "einzigartig"), ("k_g", "unverwechselbar")];
    let bmc = support::bmc(Kind::Ipmi, &parameters);
    // Its command line, as anybody sees it.
    let seen = async {
        loop {
            if let Some(process) = ipmitool(&port) {
                return fs::read(process.join("cmdline")).unwrap_or_default();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        line = seen => {
            let line = String::from_utf8_lossy(&line).into_owned();
            assert!(!line.contains("einzigartig") && !line.contains("unverwechselbar"), "{line}");
        }
        state = bmc.state() => panic!("ipmitool was not seen: {state:?}"),
    }
}

/// One that was asked and is not waited for leaves no process behind.
#[tokio::test]
async fn who_is_not_waited_for_is_ended() {
    if !have(&["ipmitool"]) {
        return;
    }
    let (_socket, address) = support::silent();
    let port = address.rsplit(':').next().unwrap().to_owned();
    let bmc = support::bmc(Kind::Ipmi, &[("power_address", &address)]);
    let asking = tokio::spawn(async move { bmc.state().await });
    let began = std::time::Instant::now();
    let until = async |there: bool| {
        while ipmitool(&port).is_some() != there {
            assert!(
                began.elapsed() < support::LIMIT,
                "ipmitool is {}",
                if there { "missing" } else { "left" }
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    until(true).await;
    asking.abort();
    until(false).await;
}

/// The ipmitool that speaks to this port.
fn ipmitool(port: &str) -> Option<PathBuf> {
    let processes = fs::read_dir("/proc").unwrap().flatten().map(|process| process.path());
    processes.into_iter().find(|process| is_ipmitool(process, port))
}

fn is_ipmitool(process: &Path, port: &str) -> bool {
    let line = fs::read(process.join("cmdline")).unwrap_or_default();
    let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
    words[0] == b"ipmitool" && words.contains(&port.as_bytes())
}
