//! What MAAS has and this region has none of yet: lists that are empty, as MAAS's are when nothing was made.

use model::{SCOPE, Subnet, Vlan};
use serde_json::json;

use api_call::{
    Answer, ApiError, Call, Reply,
    route::{Resource, named, restful},
};

const EMPTY: [(&str, &str); 2] =
    [("StaticRoutesHandler", "static-routes/"), ("ReservedIpsHandler", "reservedips/")];

/// Empty lists.
pub fn resources() -> Vec<Resource> {
    let mut all: Vec<Resource> = EMPTY
        .into_iter()
        .map(|(name, path)| Resource {
            name,
            path,
            params: &[],
            ops: vec![restful!(GET, User, "Lists none: this is not supported yet.", none)],
        })
        .collect();
    all.extend([
        Resource {
            name: "NetworksHandler",
            path: "networks/",
            params: &[],
            ops: vec![restful!(GET, User, "Lists the subnets in the form of MAAS before 2.0.", networks)],
        },
        Resource {
            name: "DiscoveriesHandler",
            path: "discovery/",
            params: &[],
            ops: vec![
                restful!(GET, User, "Lists none: this is not supported yet.", none),
                named!(GET, "by_unknown_mac", User, "Lists none: this is not supported yet.", none),
                named!(GET, "by_unknown_ip", User, "Lists none: this is not supported yet.", none),
                named!(GET, "by_unknown_ip_and_mac", User, "Lists none: this is not supported yet.", none),
            ],
        },
        Resource {
            name: "ReservedIpHandler",
            path: "reservedips/{id}/",
            params: &["id"],
            ops: vec![restful!(GET, User, "Finds none: this is not supported yet.", no_reserved_ip)],
        },
        Resource {
            name: "StaticRouteHandler",
            path: "static-routes/{id}/",
            params: &["id"],
            ops: vec![restful!(GET, User, "Finds none: this is not supported yet.", no_static_route)],
        },
    ]);
    all
}

async fn networks(call: Call) -> Answer {
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

async fn none(_: Call) -> Answer {
    Ok(Reply::Json(json!([])))
}

async fn no_reserved_ip(_: Call) -> Answer {
    Err(ApiError::NotFound("ReservedIP".to_owned()))
}

async fn no_static_route(_: Call) -> Answer {
    Err(ApiError::NotFound("StaticRoute".to_owned()))
}
