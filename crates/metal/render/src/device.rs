//! A device.

use model::{Device, SCOPE, Zone};
use serde_json::{Value, json};
use store::Store;

use crate::{
    Embedded, interface,
    network::{self, domain_name},
};

/// A device with everything that MAAS shows of it.
pub fn device(id: &str, device: &Device, store: &Store, embedded: &Embedded) -> Value {
    let nics = device.nics.iter();
    let domain = store.get::<model::Domain>(SCOPE, &device.domain.to_string());
    json!({
        "address_ttl": null,
        "description": device.description,
        "domain": domain.map(|domain| network::domain(&domain.value, store)),
        "fqdn": format!("{}.{}", device.hostname, domain_name(store, device.domain)),
        "hostname": device.hostname,
        "interface_set": nics.map(|nic| json!(interface(id, nic, &device.nics, embedded))).collect::<Value>(),
        "ip_addresses": device.addresses(store),
        "node_type": 1,
        "node_type_name": "Device",
        "owner": device.owner,
        "owner_data": device.owner_data,
        "parent": device.parent,
        "resource_uri": format!("/MAAS/api/2.0/devices/{id}/"),
        "system_id": id,
        "tag_names": device.tags,
        "workload_annotations": device.workload_annotations,
        "zone": store.get::<Zone>(SCOPE, &device.zone).map(|zone| network::zone(&zone.id, &zone.value)),
    })
}
