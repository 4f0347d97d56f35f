//! What firmware is told; pure.

use lifecycle::Status;
use model::{Machine, Purpose};

/// What a machine boots in its present state (MAAS: boot purpose by status).
pub fn purpose(machine: Option<&Machine>) -> Purpose {
    let Some(machine) = machine else { return Purpose::Enlist };
    match machine.status {
        Status::New
        | Status::Commissioning
        | Status::DiskErasing
        | Status::EnteringRescueMode
        | Status::RescueMode
        | Status::Testing => Purpose::Ephemeral,
        Status::Deploying if machine.netboot => Purpose::Ephemeral,
        Status::Deploying | Status::Deployed => Purpose::Local,
        _ => Purpose::PowerOff,
    }
}

/// The script that sends every machine to its own. It asks until it gets one: whatever comes next in the firmware's
/// boot order is not what this machine is to start.
pub fn chain(base: &str) -> String {
    format!(
        "#!ipxe\n\
         :again\n\
         chain {base}/ipxe.cfg-${{mac:hexhyp}} || goto wait\n\
         :wait\n\
         sleep 2\n\
         goto again\n"
    )
}

/// The script for one purpose. `base` is this service's URL, `mac` lower case with colons.
pub fn render(purpose: Purpose, base: &str, mac: &str, token: &str) -> String {
    match purpose {
        Purpose::Local => "#!ipxe\nsanboot --no-describe --drive 0x80\n".to_owned(),
        Purpose::Enlist | Purpose::Ephemeral | Purpose::PowerOff => {
            let bootif = mac.replace(':', "-");
            format!(
                "#!ipxe\n\
                 kernel {base}/boot/{token}/vmlinuz console=ttyS0,115200 panic=30 bessemer.url={base} bessemer.token={token} BOOTIF=01-{bootif} || goto wait\n\
                 initrd {base}/boot/{token}/initrd || goto wait\n\
                 boot || goto wait\n\
                 :wait\n\
                 imgfree\n\
                 sleep 2\n\
                 chain --replace {base}/ipxe.cfg-{bootif} || goto wait\n"
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    fn machine(status: Status, netboot: bool) -> Machine {
        let mut machine = Machine::new("m".to_owned(), Timestamp::UNIX_EPOCH);
        machine.status = status;
        machine.netboot = netboot;
        machine
    }

    #[test]
    fn a_deployed_machine_never_boots_anything_but_its_disk() {
        for netboot in [true, false] {
            assert_eq!(purpose(Some(&machine(Status::Deployed, netboot))), Purpose::Local);
        }
        assert_eq!(purpose(Some(&machine(Status::Deploying, false))), Purpose::Local);
        assert_eq!(purpose(Some(&machine(Status::Deploying, true))), Purpose::Ephemeral);
        assert_eq!(purpose(None), Purpose::Enlist);
    }

    #[test]
    fn the_script_names_the_interface_that_boots() {
        let script = render(Purpose::Enlist, "http://10.0.0.1:5248", "52:54:00:00:00:01", "feed");
        assert!(script.starts_with("#!ipxe\n"), "{script}");
        assert!(script.contains("/boot/feed/vmlinuz "), "{script}");
        assert!(script.contains("BOOTIF=01-52-54-00-00-00-01 || goto wait\n"), "{script}");
    }
}
