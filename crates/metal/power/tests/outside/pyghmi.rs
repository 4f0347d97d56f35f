//! pyghmi's fake BMC, with Debian's ipmitool.

use std::process::Command;

use power::{Bmc, Power, types::Kind};

use crate::support::{self, Running, answers, have, udp_port, word};

/// The package's own `fakebmc` listens on every address, this one on loopback only.
const SERVE: &str = "
import sys
from pyghmi.cmd.fakebmc import FakeBmc
import pyghmi.ipmi.bmc
class Loopback(FakeBmc):
    def __init__(self, port):
        pyghmi.ipmi.bmc.Bmc.__init__(self, {'maas': 'geheim'}, port=port, address='::ffff:127.0.0.1')
        self.powerstate = 'off'
        self.bootdevice = 'default'
    def set_boot_device(self, device):
        self.bootdevice = device
        print('boot', device, flush=True)
    def power_reset(self):
        print('reset', flush=True)
Loopback(int(sys.argv[1])).listen()
";

#[tokio::test]
async fn on_off_state_boot_over_the_network_and_a_wrong_password() {
    if !have(&["ipmitool"]) {
        return;
    }
    let Some(python) = support::python() else { return };
    let (folder, port) = (tempfile::tempdir().unwrap(), udp_port());
    let log = folder.path().join("output");
    let _bmc = Running::start(Command::new(python).args(["-c", SERVE, &port.to_string()]), &log);
    let address = format!("127.0.0.1:{port}");
    let with = |password: &str| -> Box<dyn Bmc> {
        let parameters =
            [("power_address", address.as_str()), ("power_user", "maas"), ("power_pass", password)];
        support::bmc(Kind::Ipmi, &parameters)
    };
    let bmc = with("geheim");
    assert_eq!(answers(&*bmc).await, Power::Off);
    bmc.boot_network().await.unwrap();
    assert_eq!(bmc.state().await, Ok(Power::On));
    bmc.boot_network().await.unwrap();
    let told = std::fs::read_to_string(&log).unwrap();
    assert_eq!(told.matches("boot network").count(), 2, "{told}");
    assert_eq!(told.matches("reset").count(), 1, "{told}");
    bmc.off().await.unwrap();
    assert_eq!(bmc.state().await, Ok(Power::Off));
    assert_eq!(word(with("falsch").state().await), "credentials");
}
