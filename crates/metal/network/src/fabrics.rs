//! Fabrics, their VLANs, and spaces.

use std::sync::Arc;

use model::{Fabric, IpRange, RangeKind, SCOPE, Space, Subnet, Vlan, next_id};
use serde_json::Value;
use store::{Batch, Stored};

use api_call::{
    Answer, ApiError, Call, Faults, Reply,
    edit::{check_name, edit, numbered, only, required},
    is_true,
    route::{Op, Resource, restful},
};
use render::network::{CONTROLLER, Networks, UNDEFINED};

/// Fabrics, VLANs by both their paths, spaces.
pub fn resources() -> Vec<Resource> {
    vec![
        Resource {
            name: "FabricsHandler",
            path: "fabrics/",
            params: &[],
            ops: vec![
                restful!(GET, User, "Lists the fabrics.", fabrics),
                restful!(POST, Admin, "Makes a fabric: `name`, `description`, `class_type`.", create_fabric),
            ],
        },
        Resource {
            name: "FabricHandler",
            path: "fabrics/{id}/",
            params: &["id"],
            ops: vec![
                restful!(GET, User, "Reads a fabric.", fabric),
                restful!(PUT, Admin, "Changes a fabric: `name`, `description`, `class_type`.", update_fabric),
                restful!(DELETE, Admin, "Deletes a fabric without subnets.", delete_fabric),
            ],
        },
        Resource {
            name: "VlansHandler",
            path: "fabrics/{fabric_id}/vlans/",
            params: &["fabric_id"],
            ops: vec![
                restful!(GET, User, "Lists the VLANs of a fabric.", vlans),
                restful!(
                    POST,
                    Admin,
                    "Makes a VLAN: `vid`, `name`, `description`, `mtu`, `space`.",
                    create_vlan
                ),
            ],
        },
        Resource {
            name: "VlanHandler",
            path: "fabrics/{fabric_id}/vlans/{vid}/",
            params: &["fabric_id", "vid"],
            ops: vlan_ops(),
        },
        Resource { name: "VlanHandler", path: "vlans/{id}/", params: &["id"], ops: vlan_ops() },
        Resource {
            name: "SpacesHandler",
            path: "spaces/",
            params: &[],
            ops: vec![
                restful!(GET, User, "Lists the spaces.", spaces),
                restful!(POST, Admin, "Makes a space: `name`, `description`.", create_space),
            ],
        },
        Resource {
            name: "SpaceHandler",
            path: "spaces/{id}/",
            params: &["id"],
            ops: vec![
                restful!(GET, User, "Reads a space.", space),
                restful!(PUT, Admin, "Changes a space: `name`, `description`.", update_space),
                restful!(DELETE, Admin, "Deletes a space; its VLANs are in none then.", delete_space),
            ],
        },
    ]
}

fn vlan_ops() -> Vec<Op> {
    vec![
        restful!(GET, User, "Reads a VLAN.", vlan),
        restful!(
            PUT,
            Admin,
            "Changes a VLAN: `name`, `description`, `mtu`, `dhcp_on`, `space`.",
            update_vlan
        ),
        restful!(DELETE, Admin, "Deletes a VLAN without subnets.", delete_vlan),
    ]
}

async fn fabrics(call: Call) -> Answer {
    let networks = Networks::of(call.store());
    let mut list = call.store().list::<Fabric>(SCOPE);
    list.sort_by_key(|fabric| fabric.value.number);
    Ok(Reply::Json(list.iter().map(|fabric| networks.fabric(&fabric.value)).collect()))
}

async fn fabric(call: Call) -> Answer {
    let seen = find_fabric(&call)?;
    Ok(Reply::Json(Networks::of(call.store()).fabric(&seen.value)))
}

fn find_fabric(call: &Call) -> Result<Arc<Stored<Fabric>>, ApiError> {
    let by_name = || call.store().list::<Fabric>(SCOPE).into_iter().find(|f| f.value.name == call.arg(0));
    numbered(call, 0, "Fabric").or_else(|missing| by_name().ok_or(missing))
}

fn check_fabric_name(call: &Call, faults: &mut Faults, name: &str) {
    check_name(faults, "name", name);
    if call.store().list::<Fabric>(SCOPE).iter().any(|fabric| fabric.value.name == name) {
        faults.add("name", "Fabric with this Name already exists.");
    }
}

async fn create_fabric(call: Call) -> Answer {
    let made = edit(&call, "fabric.create", |batch| {
        let number = next_id::<Fabric>(call.store(), |fabric| fabric.number).max(1);
        let sent = call.param("name").filter(|name| !name.is_empty());
        let name = sent.map_or_else(|| format!("fabric-{number}"), str::to_owned);
        let mut faults = Faults::default();
        check_fabric_name(&call, &mut faults, &name);
        faults.check()?;
        let id = number.to_string();
        let fabric = Fabric {
            number,
            name,
            class_type: call.param("class_type").filter(|class| !class.is_empty()).map(str::to_owned),
            description: call.param("description").unwrap_or_default().to_owned(),
        };
        let untagged = Vlan {
            number: next_vlan(&call),
            fabric: number,
            vid: 0,
            name: Some("untagged".to_owned()),
            description: String::new(),
            mtu: 1500,
            dhcp_on: false,
            space: None,
        };
        let batch = batch.claim(SCOPE, "fabric", &fabric.name, &id).create(SCOPE, &id, &fabric);
        Ok((add_vlan(batch, &untagged), fabric))
    })
    .await?;
    Ok(Reply::Json(Networks::of(call.store()).fabric(&made)))
}

/// MAAS's VLANs begin at 5001.
fn next_vlan(call: &Call) -> u64 {
    next_id::<Vlan>(call.store(), |vlan| vlan.number).max(5001)
}

fn add_vlan(batch: Batch, vlan: &Vlan) -> Batch {
    let id = vlan.number.to_string();
    batch.claim(SCOPE, "vlan", &format!("{}/{}", vlan.fabric, vlan.vid), &id).create(SCOPE, &id, vlan)
}

fn drop_vlan(batch: Batch, vlan: &Stored<Vlan>) -> Batch {
    batch
        .unclaim(SCOPE, "vlan", &format!("{}/{}", vlan.value.fabric, vlan.value.vid), &vlan.id)
        .delete::<Vlan>(SCOPE, &vlan.id, vlan.version)
}

async fn update_fabric(call: Call) -> Answer {
    let changed = edit(&call, "fabric.update", |mut batch| {
        let seen = find_fabric(&call)?;
        let mut fabric = seen.value.clone();
        if let Some(description) = call.param("description") {
            description.clone_into(&mut fabric.description);
        }
        if let Some(class) = call.param("class_type") {
            fabric.class_type = Some(class.to_owned()).filter(|class| !class.is_empty());
        }
        if let Some(name) = call.param("name").filter(|name| !name.is_empty() && *name != fabric.name) {
            let mut faults = Faults::default();
            check_fabric_name(&call, &mut faults, name);
            faults.check()?;
            batch =
                batch.unclaim(SCOPE, "fabric", &fabric.name, &seen.id).claim(SCOPE, "fabric", name, &seen.id);
            name.clone_into(&mut fabric.name);
        }
        Ok((batch.update(SCOPE, &seen.id, seen.version, &fabric), fabric))
    })
    .await?;
    Ok(Reply::Json(Networks::of(call.store()).fabric(&changed)))
}

async fn delete_fabric(call: Call) -> Answer {
    edit(&call, "fabric.delete", |batch| {
        let seen = find_fabric(&call)?;
        if seen.value.number == 0 {
            return Err(ApiError::Bad("This fabric is the default fabric, it cannot be deleted.".to_owned()));
        }
        let vlans: Vec<_> = call
            .store()
            .list::<Vlan>(SCOPE)
            .into_iter()
            .filter(|vlan| vlan.value.fabric == seen.value.number)
            .collect();
        let mut batch = batch.unclaim(SCOPE, "fabric", &seen.value.name, &seen.id);
        for vlan in &vlans {
            in_use(&call, &vlan.value, "fabric")?;
            batch = drop_vlan(batch, vlan);
        }
        Ok((batch.delete::<Fabric>(SCOPE, &seen.id, seen.version), Reply::NoContent))
    })
    .await
}

/// Refuses if the VLAN has subnets or interfaces.
fn in_use(call: &Call, vlan: &Vlan, what: &str) -> Result<(), ApiError> {
    let subnets: Vec<String> = call
        .store()
        .list::<Subnet>(SCOPE)
        .iter()
        .filter(|subnet| subnet.value.vlan == vlan.number)
        .map(|subnet| subnet.value.name.clone())
        .collect();
    if !subnets.is_empty() {
        let subnets = subnets.join(", ");
        return Err(ApiError::Bad(format!(
            "Can't delete {what}; the following subnets are still present: {subnets}"
        )));
    }
    let machines = call.state.machines.all();
    let on = |machine: &model::Machine| machine.nics.iter().any(|nic| nic.vlan == Some(vlan.number));
    machines.iter().find(|machine| on(&machine.value)).map_or(Ok(()), |machine| {
        let name = &machine.value.hostname;
        Err(ApiError::Bad(format!("Can't delete {what}; {name} has an interface on it.")))
    })
}

async fn vlans(call: Call) -> Answer {
    let fabric = find_fabric(&call)?.value.number;
    let found = Networks::of(call.store()).vlans_where(|vlan| vlan.fabric == fabric);
    Ok(Reply::Json(Value::Array(found)))
}

async fn vlan(call: Call) -> Answer {
    let number = find_vlan(&call)?.value.number;
    Ok(Reply::Json(Networks::of(call.store()).vlan(number)))
}

/// By number (`vlans/{id}`), or by VID within a fabric (`fabrics/{fabric}/vlans/{vid}`).
fn find_vlan(call: &Call) -> Result<Arc<Stored<Vlan>>, ApiError> {
    if call.path.len() < 2 {
        return numbered(call, 0, "VLAN")
            .map_err(|_| ApiError::Missing("VLAN with specified ID does not exist.".to_owned()));
    }
    let (fabric, wanted) = (find_fabric(call)?.value.number, call.arg(1));
    let vid: Option<u16> = if wanted == "untagged" { Some(0) } else { wanted.parse().ok() };
    call.store()
        .list::<Vlan>(SCOPE)
        .into_iter()
        .find(|vlan| vlan.value.fabric == fabric && Some(vlan.value.vid) == vid)
        .ok_or_else(|| ApiError::NotFound("VLAN".to_owned()))
}

/// The parameters that creating and changing have in common.
fn apply_vlan(call: &Call, vlan: &mut Vlan, faults: &mut Faults) {
    if let Some(name) = call.param("name") {
        vlan.name = Some(name.to_owned()).filter(|name| !name.is_empty());
    }
    if let Some(description) = call.param("description") {
        description.clone_into(&mut vlan.description);
    }
    if let Some(mtu) = call.param("mtu").filter(|mtu| !mtu.is_empty()) {
        match mtu.parse::<u16>() {
            Ok(mtu) if mtu >= 552 => vlan.mtu = mtu,
            Ok(_) => faults.add("mtu", "Ensure this value is greater than or equal to 552."),
            Err(_) => faults.add("mtu", "Enter a whole number up to 65535."),
        }
    }
    if let Some(wanted) = call.param("space") {
        let spaces = call.store().list::<Space>(SCOPE);
        let found = spaces.iter().find(|space| space.id == wanted || space.value.name == wanted);
        match found {
            Some(space) => vlan.space = Some(space.value.number),
            None if ["", "-1", UNDEFINED].contains(&wanted) => vlan.space = None,
            None => {
                faults
                    .add("space", "Select a valid choice. That choice is not one of the available choices.");
            }
        }
    }
    for name in ["primary_rack", "secondary_rack", "relay_vlan"] {
        let supported: &[&str] = if name == "primary_rack" { &[CONTROLLER] } else { &[] };
        only(call, faults, name, supported);
    }
}

async fn create_vlan(call: Call) -> Answer {
    let number = edit(&call, "vlan.create", |batch| {
        let fabric = find_fabric(&call)?.value.number;
        let mut faults = Faults::default();
        let sent = required(&call, &mut faults, "vid");
        let vid = sent.parse::<u16>().ok().filter(|vid| *vid <= 4094);
        if !sent.is_empty() && vid.is_none() {
            faults.add("vid", "VID must be between 0 and 4094.");
        }
        let mut vlan = Vlan {
            number: next_vlan(&call),
            fabric,
            vid: vid.unwrap_or_default(),
            name: None,
            description: String::new(),
            mtu: 1500,
            dhcp_on: false,
            space: None,
        };
        apply_vlan(&call, &mut vlan, &mut faults);
        let same = |other: &Vlan| other.fabric == fabric && Some(other.vid) == vid;
        if call.store().list::<Vlan>(SCOPE).iter().any(|other| same(&other.value)) {
            faults.add("__all__", "A VLAN with the specified VID already exists in the destination fabric.");
        }
        faults.check()?;
        Ok((add_vlan(batch, &vlan), vlan.number))
    })
    .await?;
    Ok(Reply::Json(Networks::of(call.store()).vlan(number)))
}

async fn update_vlan(call: Call) -> Answer {
    let number = edit(&call, "vlan.update", |batch| {
        let seen = find_vlan(&call)?;
        let mut vlan = seen.value.clone();
        let mut faults = Faults::default();
        apply_vlan(&call, &mut vlan, &mut faults);
        only(&call, &mut faults, "vid", &[&vlan.vid.to_string()]);
        if let Some(wanted) = call.param("dhcp_on") {
            vlan.dhcp_on = is_true(wanted);
            if vlan.dhcp_on && !has_dynamic_range(&call, vlan.number) {
                faults.add("dhcp_on", "dhcp can only be turned on when a dynamic IP range is defined.");
            }
        }
        faults.check()?;
        Ok((batch.update(SCOPE, &seen.id, seen.version, &vlan), vlan.number))
    })
    .await?;
    Ok(Reply::Json(Networks::of(call.store()).vlan(number)))
}

fn has_dynamic_range(call: &Call, vlan: u64) -> bool {
    let subnets = call.store().list::<Subnet>(SCOPE);
    let here = |number: u64| subnets.iter().any(|s| s.value.number == number && s.value.vlan == vlan);
    let ranges = call.store().list::<IpRange>(SCOPE);
    ranges.iter().any(|range| range.value.kind == RangeKind::Dynamic && here(range.value.subnet))
}

async fn delete_vlan(call: Call) -> Answer {
    edit(&call, "vlan.delete", |batch| {
        let seen = find_vlan(&call)?;
        if seen.value.vid == 0 {
            let words = "This VLAN is the default VLAN in the fabric, it cannot be deleted.";
            return Err(ApiError::Bad(words.to_owned()));
        }
        in_use(&call, &seen.value, "VLAN")?;
        Ok((drop_vlan(batch, &seen), Reply::NoContent))
    })
    .await
}

async fn spaces(call: Call) -> Answer {
    let networks = Networks::of(call.store());
    let mut list = call.store().list::<Space>(SCOPE);
    list.sort_by_key(|space| space.value.number);
    let named = list.iter().map(|space| networks.space(&space.value));
    Ok(Reply::Json(networks.undefined_space().into_iter().chain(named).collect()))
}

async fn space(call: Call) -> Answer {
    let networks = Networks::of(call.store());
    if ["-1", UNDEFINED].contains(&call.arg(0))
        && let Some(undefined) = networks.undefined_space()
    {
        return Ok(Reply::Json(undefined));
    }
    Ok(Reply::Json(networks.space(&find_space(&call)?.value)))
}

fn find_space(call: &Call) -> Result<Arc<Stored<Space>>, ApiError> {
    let by_name = || call.store().list::<Space>(SCOPE).into_iter().find(|s| s.value.name == call.arg(0));
    numbered(call, 0, "Space").or_else(|missing| by_name().ok_or(missing))
}

fn check_space_name(call: &Call, faults: &mut Faults, name: &str) {
    check_name(faults, "name", name);
    if name == UNDEFINED {
        faults.add("name", "Reserved space name.");
    }
    if call.store().list::<Space>(SCOPE).iter().any(|space| space.value.name == name) {
        faults.add("name", "Space with this Name already exists.");
    }
}

async fn create_space(call: Call) -> Answer {
    let made = edit(&call, "space.create", |batch| {
        let number = next_id::<Space>(call.store(), |space| space.number).max(1);
        let sent = call.param("name").filter(|name| !name.is_empty());
        let name = sent.map_or_else(|| format!("space-{number}"), str::to_owned);
        let mut faults = Faults::default();
        check_space_name(&call, &mut faults, &name);
        faults.check()?;
        let id = number.to_string();
        let description = call.param("description").unwrap_or_default().to_owned();
        let space = Space { number, name, description };
        Ok((batch.claim(SCOPE, "space", &space.name, &id).create(SCOPE, &id, &space), space))
    })
    .await?;
    Ok(Reply::Json(Networks::of(call.store()).space(&made)))
}

async fn update_space(call: Call) -> Answer {
    let changed = edit(&call, "space.update", |mut batch| {
        let seen = find_space(&call)?;
        let mut space = seen.value.clone();
        if let Some(description) = call.param("description") {
            description.clone_into(&mut space.description);
        }
        if let Some(name) = call.param("name").filter(|name| !name.is_empty() && *name != space.name) {
            let mut faults = Faults::default();
            check_space_name(&call, &mut faults, name);
            faults.check()?;
            batch =
                batch.unclaim(SCOPE, "space", &space.name, &seen.id).claim(SCOPE, "space", name, &seen.id);
            name.clone_into(&mut space.name);
        }
        Ok((batch.update(SCOPE, &seen.id, seen.version, &space), space))
    })
    .await?;
    Ok(Reply::Json(Networks::of(call.store()).space(&changed)))
}

async fn delete_space(call: Call) -> Answer {
    edit(&call, "space.delete", |batch| {
        let seen = find_space(&call)?;
        let mut batch = batch.unclaim(SCOPE, "space", &seen.value.name, &seen.id);
        for vlan in call.store().list::<Vlan>(SCOPE) {
            if vlan.value.space == Some(seen.value.number) {
                let moved = Vlan { space: None, ..vlan.value.clone() };
                batch = batch.update(SCOPE, &vlan.id, vlan.version, &moved);
            }
        }
        Ok((batch.delete::<Space>(SCOPE, &seen.id, seen.version), Reply::NoContent))
    })
    .await
}
