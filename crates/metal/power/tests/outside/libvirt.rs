//! Debian's `virsh` with libvirt's own pretended hypervisor, which begins anew with each run: one machine, on.

use power::{Power, types::Kind};

use crate::support::{bmc, have, word};

#[tokio::test]
async fn states_and_orders() {
    if !have(&["virsh"]) {
        return;
    }
    let vm = |id: &str| bmc(Kind::Virsh, &[("power_address", "test:///default"), ("power_id", id)]);
    for id in ["test", "6695eb01-f6a4-8304-79aa-97f2502e193f"] {
        let vm = vm(id);
        assert_eq!(vm.state().await, Ok(Power::On), "{id}");
        vm.on().await.unwrap();
        vm.off().await.unwrap();
    }
    // Names that look like options or commands are names.
    for id in ["none", "--all", "test; shutdown test", "$(id)", "-h"] {
        let error = vm(id).state().await.unwrap_err();
        assert!(error.to_string().contains("failed to get domain"), "{id}: {error}");
    }
}

#[tokio::test]
async fn a_hypervisor_that_is_not_there() {
    if !have(&["virsh"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let nowhere = format!("test://{}/none.xml", folder.path().display());
    let vm = bmc(Kind::Virsh, &[("power_address", &nowhere), ("power_id", "test")]);
    assert_eq!(word(vm.state().await), "unreachable");
}
