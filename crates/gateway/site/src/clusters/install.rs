//! What goes into clusters: their layers, brought there once their APIs answer.
//!
//! Each cluster has a task of its own for a step, since one that waits for a chart keeps no other waiting.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use axum::body::Body;
use gateway_protocol::{ClusterLayer, LayerState, Order, path};
use http::Request;
use http_body_util::{BodyExt as _, Limited};
use layers::{Content, Helm, Layer};
use sha2::{Digest as _, Sha256};
use tokio::{task::JoinHandle, time::timeout};
use tunnel::Reports;

use super::{Clusters, render};

/// What does not work yet is looked at again after this, and after twice as long each time that nothing has changed…
const SOON: Duration = Duration::from_secs(1);
/// … up to this.
const LATER: Duration = Duration::from_secs(4);
/// What works, and what cannot be installed as it is, is looked at so often.
const SELDOM: Duration = Duration::from_secs(30);
/// How long one step may take, a chart's hooks among it.
const STEP: Duration = Duration::from_mins(6);
/// How long the plane may take to give a chart.
const FETCH: Duration = Duration::from_secs(20);
/// Bytes of a chart's archive at most.
const LARGEST: usize = 4 << 20;

/// The layers of all clusters, as far as this process has looked at them.
#[derive(Default)]
pub(super) struct Installing {
    clusters: HashMap<String, One>,
}

/// The layers of one cluster.
struct One {
    /// The order that they were of.
    age: (u64, u64),
    standing: Option<Vec<ClusterLayer>>,
    /// So many looks saw the same.
    same: u32,
    step: Option<JoinHandle<Vec<ClusterLayer>>>,
    looked: Instant,
}

impl Installing {
    /// How the layers of a cluster whose API answers stand, and takes the next step of them. None where that is not
    /// known yet.
    pub(super) async fn look(
        &mut self,
        clusters: &Clusters,
        order: &Order,
        reports: &Reports,
    ) -> Option<Vec<ClusterLayer>> {
        let (uid, age) = (order.intent.uid.clone(), order.age());
        let new = || One { age, standing: None, same: 0, step: None, looked: Instant::now() };
        let one = self.clusters.entry(uid).or_insert_with(new);
        if one.step.as_ref().is_some_and(JoinHandle::is_finished)
            && let Some(step) = one.step.take()
        {
            one.looked = Instant::now();
            match step.await.map(Some) {
                Ok(standing) => {
                    one.same = if one.standing == standing { one.same.saturating_add(1) } else { 0 };
                    one.standing = standing;
                }
                Err(error) => tracing::error!(%error, "a step of a cluster's layers ended"),
            }
        }
        let due = match &one.standing {
            Some(standing) => one.age != age || one.looked.elapsed() >= pause(standing, one.same),
            None => true,
        };
        if one.step.is_none() && due {
            one.age = age;
            let (clusters, order, reports) = (clusters.clone(), order.clone(), reports.clone());
            one.step = Some(tokio::spawn(async move {
                let standing = clusters.install(&order, &reports).await;
                clusters.wake.notify_one();
                standing
            }));
        }
        one.standing.clone()
    }

    /// Forgets a cluster.
    pub(super) fn forget(&mut self, uid: &str) {
        if let Some(step) = self.clusters.remove(uid).and_then(|one| one.step) {
            step.abort();
        }
    }
}

impl Clusters {
    /// Takes a step; how each layer stands then.
    async fn install(&self, order: &Order, reports: &Reports) -> Vec<ClusterLayer> {
        let wanted = match render::layers(order, &self.engine.manifests) {
            Ok(wanted) => wanted,
            Err(problem) => return vec![failed("layers", problem.message)],
        };
        let all = |why: &str| wanted.iter().map(|layer| waiting(&layer.name, why)).collect();
        let mut layers = Vec::new();
        for layer in &wanted {
            match self.content(layer, reports).await {
                Ok(content) => layers.push(Layer { name: layer.name.clone(), content }),
                Err(why) => {
                    return all(&format!("the chart of layer {} is not to be had: {why}", layer.name));
                }
            }
        }
        let uid = &order.intent.uid;
        let way = match self.way(uid).await {
            Ok(way) => way,
            Err(problem) => return all(&problem.message),
        };
        let helm = Helm { program: self.engine.helm.clone(), kubeconfig: way.kubeconfig };
        let cluster = layers::Cluster { client: way.client, helm };
        match timeout(STEP, layers::bring(&cluster, &layers)).await {
            Ok(Ok(standing)) => standing,
            Ok(Err(error)) => {
                self.forget_way(uid);
                all(&format!("the cluster's API does not answer: {error}"))
            }
            Err(_) => all(&format!("a step took longer than {STEP:?}")),
        }
    }

    async fn content(&self, layer: &intent::Layer, reports: &Reports) -> Result<Content, String> {
        let Some(chart) = &layer.chart else { return Ok(Content::Manifests(layer.manifests.clone())) };
        let archive = self.chart(&chart.digest, reports).await?;
        Ok(Content::Chart(layers::Chart {
            archive,
            digest: chart.digest.clone(),
            release: chart.release.clone(),
            namespace: chart.namespace.clone(),
            values: chart.values.clone(),
        }))
    }

    /// A chart's archive, from the plane where it is not here. What is here is looked at each time: a file that was
    /// changed is as good as none.
    async fn chart(&self, digest: &str, reports: &Reports) -> Result<PathBuf, String> {
        let file = self.engine.charts.join(format!("{digest}.tgz"));
        if std::fs::read(&file).is_ok_and(|bytes| is(&bytes, digest)) {
            return Ok(file);
        }
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let request = Request::get(path::CHART.replace("{digest}", digest)).body(Body::empty());
        let sent = reports.send(request.map_err(|error| text(&error))?, FETCH);
        let response = sent.await.map_err(|error| text(&error))?;
        if !response.status().is_success() {
            return Err(format!("the plane says {}", response.status()));
        }
        let read = timeout(FETCH, Limited::new(response.into_body(), LARGEST).collect()).await;
        let read = read.map_err(|error| text(&error))?.map_err(|error| text(&error))?;
        let bytes = read.to_bytes();
        if !is(&bytes, digest) {
            return Err("the plane gave another one".to_owned());
        }
        keep(&file, &bytes).map_err(|error| format!("{}: {error}", file.display()))?;
        Ok(file)
    }
}

/// How long layers that stand so are left alone, having stood so for some looks.
fn pause(standing: &[ClusterLayer], same: u32) -> Duration {
    let all = |state| standing.iter().all(|layer| layer.state == state);
    let any = |state| standing.iter().any(|layer| layer.state == state);
    let limit = if all(LayerState::Ready) || any(LayerState::Failed) { SELDOM } else { LATER };
    let first = if all(LayerState::Ready) { SELDOM } else { SOON };
    first.saturating_mul(1 << same.min(5)).min(limit)
}

fn is(bytes: &[u8], digest: &str) -> bool {
    hex::encode(Sha256::digest(bytes)) == digest
}

/// Writes a file that appears whole.
fn keep(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = file.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut written = tempfile::NamedTempFile::new_in(folder)?;
    io::Write::write_all(&mut written, bytes)?;
    written.persist(file)?;
    Ok(())
}

fn waiting(name: &str, why: &str) -> ClusterLayer {
    ClusterLayer { name: name.to_owned(), state: LayerState::Waiting, message: why.to_owned() }
}

fn failed(name: &str, why: String) -> ClusterLayer {
    ClusterLayer { name: name.to_owned(), state: LayerState::Failed, message: why }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_change_is_looked_at_less_often() {
        use LayerState::{Failed, Installing, Ready, Waiting};
        let at = |states: &[LayerState], same| {
            let layer = |state: &LayerState| ClusterLayer { state: *state, ..waiting("l", "") };
            pause(&states.iter().map(layer).collect::<Vec<_>>(), same).as_secs()
        };
        assert_eq!([0, 1, 2, 9].map(|same| at(&[Ready, Installing, Waiting], same)), [1, 2, 4, 4]);
        assert_eq!([0, 1, 4, 9].map(|same| at(&[Ready, Failed, Waiting], same)), [1, 2, 16, 30]);
        assert_eq!([0, 9].map(|same| at(&[Ready, Ready], same)), [30, 30]);
    }
}
