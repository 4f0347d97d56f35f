//! Hosts that are no machine's, as DHCP saw them.

use std::{collections::HashMap, net::Ipv4Addr, sync::Arc};

use api_call::{
    Answer, ApiError, Call, Reply,
    edit::edit,
    mac,
    route::{Resource, named, restful},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use ipnet::IpNet;
use jiff::Timestamp;
use model::{ClearedDiscovery, Lease, SCOPE};
use render::network::{CONTROLLER, Networks};
use serde_json::json;
use store::{Batch, Stored};

/// Discoveries.
pub fn resources() -> Vec<Resource> {
    vec![
        Resource {
            name: "DiscoveriesHandler",
            path: "discovery/",
            params: &[],
            ops: vec![
                restful!(GET, User, "Lists hosts that DHCP saw and no machine is, newest first.", list),
                named!(
                    GET,
                    "by_unknown_mac",
                    User,
                    "Lists those whose MAC address is no machine's: all.",
                    list
                ),
                named!(
                    GET,
                    "by_unknown_ip",
                    User,
                    "Lists those whose address was given to nobody.",
                    by_unknown_ip
                ),
                named!(
                    GET,
                    "by_unknown_ip_and_mac",
                    User,
                    "Lists those whose address was given to nobody.",
                    by_unknown_ip
                ),
                named!(
                    POST,
                    "clear",
                    User,
                    "Forgets what was seen until now: `all`, `neighbours` or `mdns`.",
                    clear
                ),
                named!(
                    POST,
                    "clear_by_mac_and_ip",
                    User,
                    "Forgets the host with this `mac` and `ip`.",
                    clear_one
                ),
                named!(
                    POST,
                    "scan",
                    User,
                    "Says that no scan can be started: what DHCP sees is all there is.",
                    scan
                ),
            ],
        },
        Resource {
            name: "DiscoveryHandler",
            path: "discovery/{discovery_id}/",
            params: &["discovery_id"],
            ops: vec![restful!(GET, User, "Reads a discovery.", read)],
        },
    ]
}

/// MAAS's number of a discovery.
fn id_of(lease: &Lease) -> String {
    BASE64_STANDARD.encode(pair(lease.ip, &lease.mac))
}

fn pair(ip: Ipv4Addr, mac: &str) -> String {
    format!("{ip},{mac}")
}

/// What is discovered, newest first.
fn all(call: &Call) -> Vec<Arc<Stored<Lease>>> {
    let cleared = call.store().list::<ClearedDiscovery>(SCOPE);
    let cleared: HashMap<&str, Timestamp> =
        cleared.iter().map(|cleared| (cleared.id.as_str(), cleared.value.until)).collect();
    let hidden = |lease: &Lease| {
        let own = pair(lease.ip, &lease.mac);
        [ClearedDiscovery::ALL, &own]
            .iter()
            .any(|id| cleared.get(id).is_some_and(|until| lease.since <= *until))
    };
    let mut found: Vec<_> = call
        .store()
        .list::<Lease>(SCOPE)
        .into_iter()
        .filter(|lease| lease.value.state == "bound")
        .filter(|lease| call.state.machines.by_mac(&lease.value.mac).is_none() && !hidden(&lease.value))
        .collect();
    found.sort_by_key(|lease| std::cmp::Reverse(lease.value.since));
    found
}

fn shown(call: &Call, leases: &[Arc<Stored<Lease>>]) -> Reply {
    let networks = Networks::of(call.store());
    let name = &call.state.settings.maas_name;
    let each = leases.iter().map(|lease| networks.discovery(&lease.value, &id_of(&lease.value), name));
    Reply::Json(each.collect())
}

async fn list(call: Call) -> Answer {
    Ok(shown(&call, &all(&call)))
}

async fn by_unknown_ip(call: Call) -> Answer {
    let mut found = all(&call);
    found.retain(|lease| call.store().holder(SCOPE, "ip", &lease.id).is_none());
    Ok(shown(&call, &found))
}

async fn read(call: Call) -> Answer {
    let wanted = call.arg(0);
    let found = all(&call).into_iter().find(|lease| id_of(&lease.value) == wanted);
    let found = found.ok_or_else(|| ApiError::NotFound("Discovery".to_owned()))?;
    let name = &call.state.settings.maas_name;
    Ok(Reply::Json(Networks::of(call.store()).discovery(&found.value, wanted, name)))
}

fn admin(call: &Call) -> Result<(), ApiError> {
    if call.admin() {
        return Ok(());
    }
    Err(ApiError::Forbidden("Must be an administrator to clear discovery entries.".to_owned()))
}

async fn clear(call: Call) -> Answer {
    admin(&call)?;
    let seen = call.flag("all") || call.flag("neighbours");
    if !seen && !call.flag("mdns") {
        let words = "Bad request: could not determine what data to clear.\nMust specify mdns=True, neighbours=True, or all=True.";
        return Err(ApiError::Bad(words.to_owned()));
    }
    // Nothing is known from mDNS.
    if seen {
        edit(&call, "discovery.clear", |mut batch| {
            // The one for all stands for the others.
            for old in call.store().list::<ClearedDiscovery>(SCOPE) {
                if old.id != ClearedDiscovery::ALL {
                    batch = batch.delete::<ClearedDiscovery>(SCOPE, &old.id, old.version);
                }
            }
            Ok((hide(&call, batch, ClearedDiscovery::ALL), ()))
        })
        .await?;
    }
    Ok(Reply::NoContent)
}

async fn clear_one(call: Call) -> Answer {
    admin(&call)?;
    let sent = |name: &str| {
        let value = call.param(name).filter(|value| !value.is_empty());
        value.ok_or_else(|| ApiError::Bad(format!("No provided {name}!")))
    };
    let (ip, mac) = (sent("ip")?, mac(sent("mac")?));
    let is = |lease: &Lease| lease.ip.to_string() == ip && Some(&lease.mac) == mac.as_ref();
    let found = all(&call).into_iter().find(|lease| is(&lease.value));
    let found = found.ok_or_else(|| ApiError::Missing("Not Found".to_owned()))?;
    edit(&call, "discovery.clear", |batch| {
        Ok((hide(&call, batch, &pair(found.value.ip, &found.value.mac)), ()))
    })
    .await?;
    Ok(Reply::NoContent)
}

fn hide(call: &Call, batch: Batch, id: &str) -> Batch {
    let cleared = ClearedDiscovery { until: Timestamp::now() };
    match call.store().get::<ClearedDiscovery>(SCOPE, id) {
        Some(old) => batch.update(SCOPE, id, old.version, &cleared),
        None => batch.create(SCOPE, id, &cleared),
    }
}

/// MAAS's answer where no rack can scan: here none does.
async fn scan(call: Call) -> Answer {
    let wanted = call.all("cidr");
    if let Some(wrong) = wanted.iter().find(|cidr| cidr.parse::<IpNet>().is_err()) {
        return Err(ApiError::Bad(format!("Invalid cidr: '{wrong}' is not a network.")));
    }
    if wanted.is_empty() && !call.flag("force") {
        let words = "Bad request: scanning all subnets is not allowed unless force=True is specified.\n\n**WARNING: This will scan ALL networks attached to MAAS rack controllers.\nCheck with your internet service provider or IT department to be sure this is\nallowed before proceeding.**\n";
        return Err(ApiError::Bad(words.to_owned()));
    }
    let own = json!([{"hostname": call.state.settings.maas_name, "system_id": CONTROLLER}]);
    Ok(Reply::Json(json!({
        "failed_to_connect_to": own,
        "failures": [],
        "result": "Unable to initiate network scanning on any rack controller. Verify that the rack controllers are started and have connected to the region.",
        "rpc_call_timed_out_on": [],
        "scan_attempted_on": [],
        "scan_failed_on": [],
        "scan_started_on": [],
    })))
}
