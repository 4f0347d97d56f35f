//! A console's log from the lab's BMC, over real TLS.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use bmc::{BootOverride, Ca, Credentials, Faults, Identity, Machine, MachineError, PowerState, Reset};
use power::{Bmc as _, CONSOLE_LINES, Redfish, Service};

/// A machine whose BMC keeps these lines, of which the first had this number.
struct Talker(Option<Arc<Mutex<Log>>>);
type Log = (usize, Vec<String>);

#[async_trait::async_trait]
impl Machine for Talker {
    async fn power_state(&self) -> PowerState {
        PowerState::On
    }
    async fn reset(&self, _: Reset) -> Result<(), MachineError> {
        Ok(())
    }
    async fn boot_override(&self) -> BootOverride {
        BootOverride::default()
    }
    async fn set_boot_override(&self, _: BootOverride) -> Result<(), MachineError> {
        Ok(())
    }
    async fn console(&self, skip: usize, top: usize) -> Result<Option<bmc::ConsoleLines>, MachineError> {
        let Some(log) = &self.0 else { return Ok(None) };
        let (oldest, all) = &*log.lock().unwrap();
        let first = skip.max(*oldest);
        // Pages are smaller than what is asked for, as some BMCs have them.
        let lines = all.iter().skip(first - oldest).take(top.min(300)).cloned().collect();
        Ok(Some(bmc::ConsoleLines { first, lines, total: oldest + all.len() }))
    }
}

async fn system(dir: &tempfile::TempDir, machine: Talker) -> Redfish {
    let ca = Ca::create(dir.path()).unwrap();
    let address: IpAddr = "127.0.0.1".parse().unwrap();
    let listener = tokio::net::TcpListener::bind((address, 0)).await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let text = String::new;
    let identity = Identity {
        uuid: uuid::Uuid::nil(),
        name: text(),
        manufacturer: text(),
        model: text(),
        serial: text(),
    };
    let credentials = Credentials { username: "admin".into(), password: "secret".into() };
    let bmc = bmc::Bmc::new(Arc::new(machine), identity, credentials, Faults::default());
    tokio::spawn(bmc::serve(listener, ca.server_config(address).unwrap(), bmc));
    let service = Service::new(&url, "admin", "secret".into(), Some(ca.pem().as_bytes())).unwrap();
    service.system("/redfish/v1/Systems/1")
}

#[tokio::test]
async fn lines_come_by_number_over_several_pages() {
    let dir = tempfile::tempdir().unwrap();
    let log = Arc::new(Mutex::new((5, (5..1400).map(|n| format!("line {n}")).collect())));
    let system = system(&dir, Talker(Some(Arc::clone(&log)))).await;
    let found = system.console(0).await.unwrap().unwrap();
    assert_eq!((found.first, found.lines.len(), found.total), (5, CONSOLE_LINES, 1400));
    assert_eq!((found.lines[0].as_str(), found.lines[999].as_str()), ("line 5", "line 1004"));
    let found = system.console(1005).await.unwrap().unwrap();
    assert_eq!((found.first, found.lines.len(), found.total), (1005, 395, 1400));
    let found = system.console(1400).await.unwrap().unwrap();
    assert_eq!((found.first, found.lines.len(), found.total), (1400, 0, 1400));
    *log.lock().unwrap() = (0, vec!["anew".to_owned()]);
    assert_eq!(system.console(1400).await.unwrap().unwrap().total, 1);
}

#[tokio::test]
async fn a_bmc_without_the_log_has_none() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(system(&dir, Talker(None)).await.console(0).await.unwrap(), None);
}
