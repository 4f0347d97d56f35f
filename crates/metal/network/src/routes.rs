//! Static routes from one subnet to another.

use std::{net::Ipv4Addr, sync::Arc};

use api_call::{
    Answer, ApiError, Call, Faults, Reply,
    edit::{edit, numbered, required},
    route::{Resource, restful},
};
use model::{SCOPE, StaticRoute, Subnet, next_id};
use render::network::Networks;
use store::{Batch, Stored};

use crate::subnets::{self, NO_CHOICE};

/// Static routes.
pub fn resources() -> Vec<Resource> {
    vec![
        Resource {
            name: "StaticRoutesHandler",
            path: "static-routes/",
            params: &[],
            ops: vec![
                restful!(GET, User, "Lists the static routes.", list),
                restful!(
                    POST,
                    Admin,
                    "Makes a route: `source`, `destination` (subnets), `gateway_ip`, `metric`.",
                    create
                ),
            ],
        },
        Resource {
            name: "StaticRouteHandler",
            path: "static-routes/{id}/",
            params: &["id"],
            ops: vec![
                restful!(GET, User, "Reads a static route.", read),
                restful!(
                    PUT,
                    Admin,
                    "Changes a route: `source`, `destination`, `gateway_ip`, `metric`.",
                    update
                ),
                restful!(DELETE, Admin, "Deletes a static route.", delete),
            ],
        },
    ]
}

async fn list(call: Call) -> Answer {
    let networks = Networks::of(call.store());
    let mut routes = call.store().list::<StaticRoute>(SCOPE);
    routes.sort_by_key(|route| route.value.number);
    Ok(Reply::Json(routes.iter().map(|route| networks.static_route(&route.value)).collect()))
}

async fn read(call: Call) -> Answer {
    Ok(shown(&call, &find(&call)?.value))
}

fn find(call: &Call) -> Result<Arc<Stored<StaticRoute>>, ApiError> {
    numbered(call, 0, "StaticRoute")
}

fn shown(call: &Call, route: &StaticRoute) -> Reply {
    Reply::Json(Networks::of(call.store()).static_route(route))
}

async fn create(call: Call) -> Answer {
    let made = edit(&call, "static_route.create", |batch| {
        let mut faults = Faults::default();
        for name in ["source", "destination", "gateway_ip"] {
            required(&call, &mut faults, name);
        }
        let number = next_id::<StaticRoute>(call.store(), |route| route.number).max(1);
        let route =
            StaticRoute { number, source: 0, destination: 0, gateway: Ipv4Addr::UNSPECIFIED, metric: 0 };
        let (batch, route) = apply(&call, route, faults, batch)?;
        Ok((batch.create(SCOPE, &number.to_string(), &route), route))
    })
    .await?;
    Ok(shown(&call, &made))
}

async fn update(call: Call) -> Answer {
    let changed = edit(&call, "static_route.update", |batch| {
        let seen = find(&call)?;
        let (batch, route) = apply(&call, seen.value.clone(), Faults::default(), batch)?;
        Ok((batch.update(SCOPE, &seen.id, seen.version, &route), route))
    })
    .await?;
    Ok(shown(&call, &changed))
}

/// The route with what was sent, checked; its subnets must still be there when it is written.
fn apply(
    call: &Call,
    mut route: StaticRoute,
    mut faults: Faults,
    mut batch: Batch,
) -> Result<(Batch, StaticRoute), ApiError> {
    let sent = |name: &str| call.param(name).map(str::trim).filter(|text| !text.is_empty());
    for (name, number) in [("source", &mut route.source), ("destination", &mut route.destination)] {
        match sent(name).map(|wanted| subnets::find(call, wanted)) {
            Some(Ok(subnet)) => *number = subnet.value.number,
            Some(Err(_)) => faults.add(name, NO_CHOICE),
            None => {}
        }
    }
    match sent("gateway_ip").map(str::parse) {
        Some(Ok(ip)) => route.gateway = ip,
        Some(Err(_)) => faults.add("gateway_ip", "Enter a valid IPv4 or IPv6 address."),
        None => {}
    }
    match sent("metric").map(str::parse) {
        Some(Ok(metric)) => route.metric = metric,
        Some(Err(_)) => faults.add("metric", "Enter a whole number."),
        None => {}
    }
    faults.check()?;
    let mut faults = Faults::default();
    let subnet = |number: u64| call.store().get::<Subnet>(SCOPE, &number.to_string());
    let (source, destination) = (subnet(route.source), subnet(route.destination));
    let gone = || ApiError::NotFound("Subnet".to_owned());
    let (source, destination) = (source.ok_or_else(gone)?, destination.ok_or_else(gone)?);
    if route.source == route.destination {
        faults.add("__all__", "source and destination cannot be the same subnet.");
    } else if !source.value.cidr.contains(&route.gateway) {
        faults.add("__all__", "gateway_ip must be with in the source subnet.");
    }
    let same = |other: &StaticRoute| {
        other.number != route.number
            && (other.source, other.destination, other.gateway)
                == (route.source, route.destination, route.gateway)
    };
    if call.store().list::<StaticRoute>(SCOPE).iter().any(|other| same(&other.value)) {
        let words = "Static route with this Source, Destination and Gateway IP already exists.";
        faults.add("__all__", words);
    }
    faults.check()?;
    for subnet in [source, destination] {
        batch = batch.expect::<Subnet>(SCOPE, &subnet.id, subnet.version);
    }
    Ok((batch, route))
}

async fn delete(call: Call) -> Answer {
    edit(&call, "static_route.delete", |batch| {
        let seen = find(&call)?;
        Ok((batch.delete::<StaticRoute>(SCOPE, &seen.id, seen.version), Reply::NoContent))
    })
    .await
}
