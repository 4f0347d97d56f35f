//! What changed, told as it happens. An extension: Palette's clients ask again and again.

use std::time::Duration;

use axum::response::{
    IntoResponse as _,
    sse::{Event, KeepAlive, Sse},
};
use futures_util::stream;
use plane_client::v1;
use plane_model::{CloudAccount, Cluster, Overlord, Presence, Profile, Project, User};
use store::{Change, Document, Watch};
use tokio::{
    sync::{OwnedSemaphorePermit, watch},
    time::{Instant, sleep_until},
};

use crate::{
    call::{Call, Caller},
    reply::{Answer, ApiError, Reply},
    route::{Access::SignedIn, Route, route},
};

/// A stream ends after so long. Who asks again is looked at anew, as with every request.
const LONGEST: Duration = Duration::from_mins(10);
/// What stands between the two ends is shown so often that the stream lives.
const BEAT: Duration = Duration::from_secs(15);

pub fn routes() -> Vec<Route> {
    vec![
        route!(GET "/v1/changes", SignedIn, "Server-sent events: what changed of all that the caller sees, each a `Change`. Ends after ten minutes; who comes again reads anew what matters. An extension.", changes, 200: v1::Change, events),
    ]
}

async fn changes(call: Call) -> Answer {
    let caller = call.caller()?.clone();
    let place = call.state.streams.clone().try_acquire_owned();
    let place =
        place.map_err(|_| ApiError::busy("too many follow what changes: ask again from time to time"))?;
    let store = &call.state.store;
    let following = Following {
        watch: store.watch(store.revision()),
        links: call.state.fleet.links().changes(),
        end: Instant::now() + LONGEST,
        caller,
        call,
        _place: place,
    };
    let events = stream::unfold(following, async |mut following| {
        let change = following.next().await?;
        Some((Event::default().json_data(change), following))
    });
    let live = Sse::new(events).keep_alive(KeepAlive::new().interval(BEAT));
    Ok(Reply::Live(live.into_response().into_body()))
}

struct Following {
    watch: Watch,
    links: watch::Receiver<u64>,
    end: Instant,
    caller: Caller,
    call: Call,
    _place: OwnedSemaphorePermit,
}

impl Following {
    async fn next(&mut self) -> Option<v1::Change> {
        loop {
            tokio::select! {
                () = sleep_until(self.end) => return None,
                came_or_went = self.links.changed() => {
                    came_or_went.ok()?;
                    return Some(v1::Change { kind: Overlord::KIND.to_owned(), uid: String::new() });
                }
                change = self.watch.next() => {
                    let change = change.ok()?;
                    if self.sees(&change)? {
                        // Where a gateway is, is a matter of its link.
                        let kind = if &*change.kind == Presence::KIND { Overlord::KIND } else { &*change.kind };
                        return Some(v1::Change { kind: kind.to_owned(), uid: change.id.to_string() });
                    }
                }
            }
        }
    }

    /// Whether the caller sees what changed, by the rights of now; `None` where the caller is gone.
    fn sees(&self, change: &Change) -> Option<bool> {
        if *change.scope != *self.caller.tenant {
            return Some(false);
        }
        let store = &self.call.state.store;
        let user = store.get::<User>(&self.caller.tenant, &self.caller.user)?;
        let caller = Caller { rights: user.value.rights.clone(), project: None, ..self.caller.clone() };
        let (tenant, id) = (caller.tenant.as_str(), &*change.id);
        Some(match &*change.kind {
            Cluster::KIND => {
                store.get::<Cluster>(tenant, id).is_some_and(|one| caller.sees(&one.value.owner))
            }
            CloudAccount::KIND => {
                store.get::<CloudAccount>(tenant, id).is_some_and(|one| caller.sees(&one.value.owner))
            }
            Profile::KIND => {
                store.get::<Profile>(tenant, id).is_some_and(|one| caller.sees(&one.value.owner))
            }
            Project::KIND => caller.rights.sees(id),
            Overlord::KIND | Presence::KIND => {
                caller.rights.tenant.is_some() || !caller.rights.projects.is_empty()
            }
            _ => false,
        })
    }
}
