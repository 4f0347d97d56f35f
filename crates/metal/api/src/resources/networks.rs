//! Subnets as MAAS showed them before 2.0.

use api_call::{
    Answer, Call, Reply,
    route::{Resource, restful},
};
use model::{SCOPE, Subnet, Vlan};
use serde_json::json;

/// The list.
pub fn resources() -> Vec<Resource> {
    vec![Resource {
        name: "NetworksHandler",
        path: "networks/",
        params: &[],
        ops: vec![restful!(GET, User, "Lists the subnets in the form of MAAS before 2.0.", list)],
    }]
}

async fn list(call: Call) -> Answer {
    let mut subnets = call.store().list::<Subnet>(SCOPE);
    subnets.sort_by_key(|subnet| subnet.value.number);
    let tag = |subnet: &Subnet| {
        call.store().get::<Vlan>(SCOPE, &subnet.vlan.to_string()).map(|vlan| vlan.value.vid)
    };
    let show = |subnet: &Subnet| {
        let name = format!("subnet-{}", subnet.number);
        json!({
            "default_gateway": subnet.gateway,
            "description": subnet.name,
            "dns_servers": subnet.dns_servers,
            "ip": subnet.cidr.network(),
            "name": name,
            "netmask": subnet.cidr.netmask(),
            "resource_uri": format!("/MAAS/api/2.0/networks/{name}/"),
            "vlan_tag": tag(subnet),
        })
    };
    Ok(Reply::Json(subnets.iter().map(|subnet| show(&subnet.value)).collect()))
}
