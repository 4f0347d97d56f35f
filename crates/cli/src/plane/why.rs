//! What a cluster waits for.

use jiff::Timestamp;
use plane_client::v1;

use super::{client, cluster};
use crate::{
    CliError, Global, Session,
    text::{between, clean, span},
};

/// Says what a cluster and its machines wait for.
pub async fn run(session: &mut Session<'_>, global: &Global, name: &str) -> Result<(), CliError> {
    let client = client(session, global)?;
    let uid = cluster::find(&client, name).await?;
    let one: v1::Cluster = client.get(&format!("/v1/spectroclusters/{uid}")).await?;
    let machines = cluster::machines(&client, &uid).await?;
    let object = serde_json::json!({"cluster": one, "machines": machines});
    session.show(global.output, &object, || text(&one, &machines, Timestamp::now()))
}

fn text(one: &v1::Cluster, machines: &[v1::Machine], now: Timestamp) -> String {
    let mut lines = vec![format!("{} ({}): {}", one.metadata.name, one.metadata.uid, one.status.state)];
    if let Some(phase) = one.status.timeline.iter().rfind(|phase| phase.ended.is_none()) {
        lines.push(format!("  phase  {} for {}", clean(&phase.phase), span(between(phase.started, now))));
    }
    let waits = one.status.conditions.iter().filter(|condition| !condition.message.is_empty());
    lines.extend(waits.map(|condition| format!("  waits  {}", clean(&condition.message))));
    let unready = machines.iter().filter(|machine| !machine.status.message.is_empty());
    lines.extend(unready.map(|machine| {
        let status = &machine.status;
        format!("  machine {} ({}): {}", machine.metadata.name, status.instance_state, clean(&status.message))
    }));
    let unready = one.status.packs.iter().filter(|pack| pack.condition.status != "True");
    lines.extend(unready.map(|pack| {
        let condition = &pack.condition;
        format!("  layer {} ({}): {}", pack.name, condition.reason, clean(&condition.message))
    }));
    if lines.len() < 3 && one.status.conditions.iter().all(|condition| condition.status == "True") {
        lines.push("  all of it is there".to_owned());
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_is_waited_for_or_that_nothing_is() {
        let mut one = v1::Cluster::default();
        (one.metadata.name, one.metadata.uid) = ("demo".into(), "c".into());
        one.status.state = "Provisioning".into();
        one.status.timeline.push(v1::Phase {
            phase: "Provisioning".into(),
            started: Timestamp::UNIX_EPOCH,
            ended: None,
            detail: String::new(),
        });
        let waits = |status: &str, message: &str| v1::ClusterCondition {
            kind: "Ready".into(),
            status: status.into(),
            reason: String::new(),
            message: message.into(),
        };
        one.status.conditions = vec![waits("False", "m: its BMC does not answer")];
        let mut machine = v1::Machine::default();
        machine.metadata.name = "m".into();
        (machine.status.instance_state, machine.status.message) =
            ("Provisioning".into(), "its BMC does not answer".into());
        let condition =
            v1::ClusterCondition { reason: "Waiting".into(), ..waits("False", "waits for layer cni") };
        let pack = v1::PackStatus { name: "hello".into(), condition, ..v1::PackStatus::default() };
        one.status.packs = vec![pack];
        let now = Timestamp::from_second(90).unwrap();
        assert_eq!(
            text(&one, &[machine], now),
            "demo (c): Provisioning\n  phase  Provisioning for 1m 30s\n  waits  m: its BMC does not answer\n  \
             machine m (Provisioning): its BMC does not answer\n  layer hello (Waiting): waits for layer cni"
        );
        (one.status.state, one.status.conditions) = ("Running".into(), vec![waits("True", "")]);
        one.status.packs.clear();
        assert!(text(&one, &[], now).ends_with("all of it is there"));
    }
}
