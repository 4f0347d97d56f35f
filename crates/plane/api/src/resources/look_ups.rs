//! What is in an account's MAAS, asked live through its gateway.

use gateway_protocol::{Found, What};
use plane_client::v1;

use super::accounts;
use crate::{
    call::Call,
    reply::{Answer, ApiError, Reply},
    route::{Access::InProject, Resource::CloudAccount, Route, Verb, route},
};

pub fn routes() -> Vec<Route> {
    vec![
        route!(GET "/v1/cloudaccounts/maas/{uid}/properties/azs", InProject(CloudAccount, Verb::Get), "Zones of an account's MAAS.", zones, 200: v1::Zones),
        route!(GET "/v1/cloudaccounts/maas/{uid}/properties/domains", InProject(CloudAccount, Verb::Get), "Domains of an account's MAAS.", domains, 200: v1::Domains),
        route!(GET "/v1/cloudaccounts/maas/{uid}/properties/images", InProject(CloudAccount, Verb::Get), "Images of an account's MAAS that machines can be deployed with. An extension.", images, 200: v1::Images),
        route!(GET "/v1/cloudaccounts/maas/{uid}/properties/machines", InProject(CloudAccount, Verb::Get), "Machines of an account's MAAS, and which of them are free. An extension.", machines, 200: v1::SiteMachines),
        route!(GET "/v1/cloudaccounts/maas/{uid}/properties/resourcePools", InProject(CloudAccount, Verb::Get), "Pools of an account's MAAS.", pools, 200: v1::Pools),
        route!(GET "/v1/cloudaccounts/maas/{uid}/properties/subnets", InProject(CloudAccount, Verb::Get), "Subnets of an account's MAAS.", subnets, 200: v1::Subnets),
        route!(GET "/v1/cloudaccounts/maas/{uid}/properties/tags", InProject(CloudAccount, Verb::Get), "Tags of an account's MAAS.", tags, 200: v1::Tags),
        route!(GET "/v1/clouds/maas/azs", InProject(CloudAccount, Verb::Get), "Zones of the MAAS of `cloudAccountUid`.", zones, 200: v1::Zones),
        route!(GET "/v1/clouds/maas/domains", InProject(CloudAccount, Verb::Get), "Domains of the MAAS of `cloudAccountUid`.", domains, 200: v1::Domains),
        route!(GET "/v1/clouds/maas/resourcePools", InProject(CloudAccount, Verb::Get), "Pools of the MAAS of `cloudAccountUid`.", pools, 200: v1::Pools),
        route!(GET "/v1/clouds/maas/subnets", InProject(CloudAccount, Verb::Get), "Subnets of the MAAS of `cloudAccountUid`.", subnets, 200: v1::Subnets),
        route!(GET "/v1/clouds/maas/tags", InProject(CloudAccount, Verb::Get), "Tags of the MAAS of `cloudAccountUid`.", tags, 200: v1::Tags),
    ]
}

async fn zones(call: Call) -> Answer {
    let Found::Zones(all) = look_up(&call, What::Zones).await? else { return Err(odd()) };
    let zones = all.into_iter().map(|one| v1::Zone { name: one.name, description: one.description });
    Reply::of(&v1::Zones { zones: zones.collect() })
}

async fn pools(call: Call) -> Answer {
    let Found::Pools(all) = look_up(&call, What::Pools).await? else { return Err(odd()) };
    let pools = all.into_iter().map(|one| v1::Pool { name: one.name, description: one.description });
    Reply::of(&v1::Pools { pools: pools.collect() })
}

async fn domains(call: Call) -> Answer {
    let Found::Domains(all) = look_up(&call, What::Domains).await? else { return Err(odd()) };
    Reply::of(&v1::Domains { domains: all.into_iter().map(|one| v1::Domain { name: one.name }).collect() })
}

async fn subnets(call: Call) -> Answer {
    let Found::Subnets(all) = look_up(&call, What::Subnets).await? else { return Err(odd()) };
    let subnet = |one: maas_client::Subnet| {
        let vlan = one.vlan.unwrap_or_default();
        let vlans = v1::SubnetVlan { id: vlan.id, name: vlan.name.unwrap_or_default(), fabric: vlan.fabric };
        v1::Subnet { id: one.id, name: one.name, space: one.space, vlans }
    };
    Reply::of(&v1::Subnets { subnets: all.into_iter().map(subnet).collect() })
}

async fn tags(call: Call) -> Answer {
    let Found::Tags(all) = look_up(&call, What::Tags).await? else { return Err(odd()) };
    let tag = |one: maas_client::Tag| {
        let text =
            |key: &str| one.extra.get(key).and_then(|value| value.as_str()).unwrap_or_default().to_owned();
        v1::Tag {
            kernel_opts: text("kernel_opts"),
            resource_uri: text("resource_uri"),
            name: one.name,
            comment: one.comment,
            definition: one.definition,
        }
    };
    Reply::of(&v1::Tags { tags: all.into_iter().map(tag).collect() })
}

async fn images(call: Call) -> Answer {
    let Found::Images(images) = look_up(&call, What::Images).await? else { return Err(odd()) };
    Reply::of(&v1::Images { images })
}

async fn machines(call: Call) -> Answer {
    let Found::Machines(all) = look_up(&call, What::Machines).await? else { return Err(odd()) };
    let machine = |one: gateway_protocol::Machine| v1::SiteMachine {
        system_id: one.system_id,
        hostname: one.hostname,
        status: one.status,
        free: one.free,
        power: one.power,
        zone: one.zone,
        pool: one.pool,
        tags: one.tags,
        cpus: one.cpus,
        memory_mib: one.memory_mib,
        storage_gb: one.storage_gb,
    };
    let mut machines: Vec<_> = all.into_iter().map(machine).collect();
    machines.sort_by(|one, other| one.hostname.cmp(&other.hostname));
    Reply::of(&v1::SiteMachines { machines })
}

/// Of the account in the path, or of the one that the query names.
async fn look_up(call: &Call, what: What) -> Result<Found, ApiError> {
    let (caller, in_path) = (call.caller()?, call.capture(0));
    let uid = if in_path.is_empty() { call.query("cloudAccountUid").unwrap_or_default() } else { in_path };
    let account = accounts::find(call, caller, uid)?;
    let site = accounts::at_site(&account.value);
    call.state
        .fleet
        .look_up(&caller.actor(), &account.value.overlord, site, what)
        .await
        .map_err(accounts::refused)
}

fn odd() -> ApiError {
    ApiError::unavailable("GatewayUnavailable", "the gateway answered something else: upgrade it")
}
