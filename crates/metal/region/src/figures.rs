//! What the region's parts count, for Prometheus.

use std::{collections::HashMap, fmt, sync::Arc, time::Instant};

use dhcp::{Decision, LeaseState, MessageType, Range};
use jiff::Timestamp;
use lifecycle::{Status, Step};
use model::Machines;
use power::PowerError;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder},
    metrics::{
        MetricType,
        counter::{ConstCounter, Counter},
        family::Family,
        gauge::ConstGauge,
        histogram::Histogram,
    },
    registry::{Registry, Unit},
};
use reconcile::Queue;

use crate::leases::Known;

/// Upper bounds in seconds of BMC calls: those of real ones take seconds.
const BMC_BOUNDS: [f64; 8] = [0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0];

/// A DHCP server of the region.
pub type Dhcp = dhcp::Service<Known, Known, Known>;
type Labels<const N: usize> = [(&'static str, &'static str); N];

/// Counters; cheap to clone, all clones are one.
#[derive(Debug, Clone)]
pub struct Figures {
    steps: Family<Labels<1>, Counter>,
    dhcp: Family<Labels<2>, Counter>,
    tftp: Family<Labels<1>, Counter>,
    tftp_bytes: Counter,
    bmc: Family<Labels<2>, Histogram, fn() -> Histogram>,
}

impl Default for Figures {
    fn default() -> Self {
        Self {
            steps: Family::default(),
            dhcp: Family::default(),
            tftp: Family::default(),
            tftp_bytes: Counter::default(),
            bmc: Family::new_with_constructor(|| Histogram::new(BMC_BOUNDS)),
        }
    }
}

impl Figures {
    pub fn register(&self, registry: &mut Registry) {
        let help = "Steps of the reconciler of machines, by what it decided";
        registry.register("reconcile_steps", help, self.steps.clone());
        let help = "DHCP messages of clients, by type and by what they were answered";
        registry.register("dhcp_messages", help, self.dhcp.clone());
        registry.register("tftp_transfers", "TFTP transfers, by how they ended", self.tftp.clone());
        registry.register("tftp_sent_bytes", "Bytes of files sent whole by TFTP", self.tftp_bytes.clone());
        let help = "How long calls of BMCs took, by call and result";
        registry.register_with_unit("bmc_call_duration", help, Unit::Seconds, self.bmc.clone());
    }

    /// The reconciler decided on a step.
    pub fn step(&self, step: &Step) {
        let step = match step {
            Step::Rest => "rest",
            Step::Wait { .. } => "wait",
            Step::BootNetwork => "boot network",
            Step::PowerOn => "power on",
            Step::PowerOff => "power off",
            Step::ConfirmOff { .. } => "confirm off",
            Step::Move(_) => "move",
            Step::Fail(_) => "fail",
        };
        self.steps.get_or_create(&[("step", step)]).inc();
    }

    /// What came of a step could not be recorded.
    pub fn step_not_recorded(&self) {
        self.steps.get_or_create(&[("step", "not recorded")]).inc();
    }

    /// A client sent a message.
    pub fn dhcp(&self, message: MessageType, decision: &Decision) {
        let kind = match message {
            MessageType::Discover => "discover",
            MessageType::Request => "request",
            MessageType::Decline => "decline",
            MessageType::Release => "release",
            MessageType::Inform => "inform",
            MessageType::Offer | MessageType::Ack | MessageType::Nak => "of a server",
        };
        let answer = match decision {
            Decision::Offer(_) => "offer",
            Decision::Ack(_) | Decision::Inform => "ack",
            Decision::Nak(_) => "nak",
            Decision::Ignore(_) | Decision::Release(_) | Decision::Decline(_) => "none",
        };
        self.dhcp.get_or_create(&[("type", kind), ("answer", answer)]).inc();
    }

    /// A TFTP transfer ended.
    pub fn tftp(&self, outcome: tftp::Outcome) {
        let result = match outcome {
            tftp::Outcome::Sent { bytes } => {
                self.tftp_bytes.inc_by(bytes);
                "sent"
            }
            tftp::Outcome::NotFound => "not found",
            tftp::Outcome::Broken => "broken",
        };
        self.tftp.get_or_create(&[("result", result)]).inc();
    }

    /// Makes a call of a BMC and times it.
    pub async fn bmc<T>(
        &self,
        call: &'static str,
        work: impl Future<Output = Result<T, PowerError>>,
    ) -> Result<T, PowerError> {
        let began = Instant::now();
        let done = work.await;
        let result = match &done {
            Ok(_) => "ok",
            Err(error) => error.word(),
        };
        self.bmc.get_or_create(&[("call", call), ("result", result)]).observe(began.elapsed().as_secs_f64());
        done
    }
}

/// What is read when it is asked for.
#[derive(Debug)]
pub struct Now {
    pub machines: Machines,
    pub queue: Queue<String>,
    pub dns: Arc<dns::Server>,
    pub dhcp: Vec<(String, Arc<Dhcp>, Range)>,
}

impl Collector for Now {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut by_status: HashMap<Status, u64> = HashMap::new();
        for machine in self.machines.all() {
            *by_status.entry(machine.value.status).or_default() += 1;
        }
        let mut machines =
            encoder.encode_descriptor("machines", "Machines by status.", None, MetricType::Gauge)?;
        for status in Status::all() {
            let there = by_status.get(&status).copied().unwrap_or_default();
            gauge(&mut machines, ("status", status.label()), there)?;
        }
        let help = "Machines that wait for the reconciler, those with a later time included.";
        let queue = encoder.encode_descriptor("reconcile_queue_length", help, None, MetricType::Gauge)?;
        ConstGauge::new(self.queue.len()).encode(queue)?;

        let help = "DNS queries by the code of the answer.";
        let mut dns = encoder.encode_descriptor("dns_queries", help, None, MetricType::Counter)?;
        for (code, count) in self.dns.answered() {
            ConstCounter::new(count).encode(dns.encode_family(&[("rcode", code)])?)?;
        }
        self.pools(&mut encoder)
    }
}

impl Now {
    fn pools(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let help = "Addresses for unknown machines that are leased now.";
        let mut used = encoder.encode_descriptor("dhcp_pool_leases", help, None, MetricType::Gauge)?;
        let now = Timestamp::now();
        for (network, server, range) in &self.dhcp {
            let leases = server.leases();
            let bound = leases.iter().filter(|lease| {
                lease.state == LeaseState::Bound && lease.until > now && range.contains(lease.ip)
            });
            gauge(&mut used, ("network", network), bound.count() as u64)?;
        }
        let help = "Addresses for unknown machines.";
        let mut size = encoder.encode_descriptor("dhcp_pool_addresses", help, None, MetricType::Gauge)?;
        for (network, _, range) in &self.dhcp {
            let addresses = u64::from(u32::from(range.last).saturating_sub(u32::from(range.first))) + 1;
            gauge(&mut size, ("network", network), addresses)?;
        }
        Ok(())
    }
}

fn gauge(family: &mut MetricEncoder<'_>, label: (&str, &str), value: u64) -> Result<(), fmt::Error> {
    ConstGauge::new(value).encode(family.encode_family(&[label])?)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use dhcp::{Lease, Leases};
    use jiff::SignedDuration;
    use prometheus_client::encoding::prometheus_text;
    use store::Store;

    use super::*;

    fn lease(last: u8, until: Timestamp) -> Lease {
        Lease {
            ip: Ipv4Addr::new(10, 0, 0, last),
            mac: format!("52:54:00:00:00:{last:02x}").parse().unwrap(),
            hostname: None,
            state: LeaseState::Bound,
            since: until - SignedDuration::from_hours(1),
            until,
        }
    }

    #[tokio::test]
    async fn pools_messages_and_transfers() {
        let machines = Machines::new(Store::in_memory().await);
        let figures = Figures::default();
        let known = Known { machines: machines.clone(), figures: figures.clone() };
        let range = Range { first: Ipv4Addr::new(10, 0, 0, 10), last: Ipv4Addr::new(10, 0, 0, 19) };
        let (now, hour) = (Timestamp::now(), SignedDuration::from_hours(1));
        // One in use, one that ended, one outside of the pool.
        let leases = Leases::restore([lease(10, now + hour), lease(11, now - hour), lease(99, now + hour)]);
        let config = dhcp::Config::new(Vec::new());
        let server = Arc::new(Dhcp::new(config, leases, known.clone(), known.clone(), known));
        let dhcp = vec![("10.0.0.0/24".to_owned(), server, range)];
        let dns = Arc::new(dns::Server::new(dns::Zones::default()));
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Now { machines, queue: Queue::new(), dns, dhcp }));
        figures.register(&mut registry);
        figures.dhcp(MessageType::Discover, &Decision::Offer(lease(12, now)));
        figures.tftp(tftp::Outcome::Sent { bytes: 7 });
        figures.tftp(tftp::Outcome::NotFound);
        let mut text = String::new();
        prometheus_text::encode(&mut text, &registry).unwrap();
        for line in [
            "dhcp_pool_leases{network=\"10.0.0.0/24\"} 1",
            "dhcp_pool_addresses{network=\"10.0.0.0/24\"} 10",
            "dhcp_messages_total{type=\"discover\",answer=\"offer\"} 1",
            "tftp_transfers_total{result=\"sent\"} 1",
            "tftp_transfers_total{result=\"not found\"} 1",
            "tftp_sent_bytes_total 7",
            "dns_queries_total{rcode=\"NXDOMAIN\"} 0",
            "machines{status=\"Failed commissioning\"} 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in {text}");
        }
    }
}
