//! Figures for Prometheus.

use std::{fmt, sync::Arc, time::Duration};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, family::Family, gauge::ConstGauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use crate::{CommitError, Store, shared::Shared};

/// Upper bounds in seconds: from a commit in memory to one that waits for a slow disk.
const BOUNDS: [f64; 11] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5, 10.0];

type Labels = [(&'static str, &'static str); 1];

/// How long commits took, by how they ended.
#[derive(Debug, Clone)]
pub(crate) struct Commits(Family<Labels, Histogram, fn() -> Histogram>);

impl Default for Commits {
    fn default() -> Self {
        Self(Family::new_with_constructor(|| Histogram::new(BOUNDS)))
    }
}

impl Commits {
    pub(crate) fn took(&self, time: Duration, outcome: &Result<u64, CommitError>) {
        let result = match outcome {
            Ok(_) => "written",
            Err(CommitError::Conflict { .. }) => "conflict",
            Err(CommitError::Taken { .. }) => "taken",
            Err(CommitError::Backend(_)) => "failed",
        };
        self.0.get_or_create(&[("result", result)]).observe(time.as_secs_f64());
    }
}

impl Store {
    /// Adds this store's figures to a registry: its revision, and how long commits took.
    pub fn register(&self, registry: &mut Registry) {
        let help = "How long commits took, from the request to the answer";
        registry.register_with_unit("store_commit_duration", help, Unit::Seconds, self.commits.0.clone());
        registry.register_collector(Box::new(Revision(Arc::clone(&self.shared))));
    }
}

/// The revision, read when it is asked for.
#[derive(Debug)]
struct Revision(Arc<Shared>);

impl Collector for Revision {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let help = "Revision of the last batch that can be read.";
        let revision = ConstGauge::new(self.0.view().revision);
        revision.encode(encoder.encode_descriptor("store_revision", help, None, MetricType::Gauge)?)
    }
}
