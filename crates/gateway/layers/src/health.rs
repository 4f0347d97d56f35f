//! How an object does, by what its controller writes into its status; pure. The rules are those by which kubectl's
//! `rollout status` and `wait` judge.

use serde_json::Value;

/// How an object does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It works, or nothing is known of its kind that could not.
    Good,
    /// It does not work yet; what is missing.
    Coming(String),
    /// It will not by itself.
    Bad(String),
}

/// How an object does.
pub fn health(object: &Value) -> Health {
    let number = |pointer: &str| object.pointer(pointer).and_then(Value::as_i64);
    let status = |field: &str| number(&format!("/status/{field}")).unwrap_or(0);
    if let (Some(seen), Some(written)) =
        (number("/status/observedGeneration"), number("/metadata/generation"))
        && seen < written
    {
        return coming("its controller has not seen its newest form yet");
    }
    let pods = |wanted: i64, updated: &str, working: &str| {
        let (updated, working) = (status(updated), status(working));
        if updated < wanted {
            return coming(&format!("{updated} of {wanted} pods are of its newest form"));
        }
        if working < wanted {
            return coming(&format!("{working} of {wanted} pods work"));
        }
        Health::Good
    };
    let replicas = number("/spec/replicas").unwrap_or(1);
    match object.get("kind").and_then(Value::as_str).unwrap_or_default() {
        "Deployment" => {
            if let Some(("False", message)) = condition(object, "Progressing") {
                return Health::Bad(message.to_owned());
            }
            pods(replicas, "updatedReplicas", "availableReplicas")
        }
        "StatefulSet" => pods(replicas, "updatedReplicas", "readyReplicas"),
        "ReplicaSet" | "ReplicationController" => pods(replicas, "replicas", "readyReplicas"),
        "DaemonSet" => {
            if object.pointer("/status/observedGeneration").is_none() {
                return coming("its controller has not seen it yet");
            }
            pods(status("desiredNumberScheduled"), "updatedNumberScheduled", "numberAvailable")
        }
        "Job" => match (condition(object, "Complete"), condition(object, "Failed")) {
            (Some(("True", _)), _) => Health::Good,
            (_, Some(("True", message))) => Health::Bad(message.to_owned()),
            _ => coming("it has not ended yet"),
        },
        "Pod" => {
            match (object.pointer("/status/phase").and_then(Value::as_str), condition(object, "Ready")) {
                (Some("Succeeded"), _) | (_, Some(("True", _))) => Health::Good,
                (Some("Failed"), _) => Health::Bad("it failed".to_owned()),
                (_, ready) => coming(ready.map_or("it is not ready", |(_, message)| message)),
            }
        }
        "PersistentVolumeClaim" => phase(object, "Bound"),
        "Namespace" => phase(object, "Active"),
        "CustomResourceDefinition" => is(object, "Established"),
        "APIService" => is(object, "Available"),
        // Whatever else has a condition of this name means the same by it.
        _ if condition(object, "Ready").is_some() => is(object, "Ready"),
        _ => Health::Good,
    }
}

fn coming(why: &str) -> Health {
    Health::Coming(if why.is_empty() { "it is not ready".to_owned() } else { why.to_owned() })
}

fn phase(object: &Value, wanted: &str) -> Health {
    match object.pointer("/status/phase").and_then(Value::as_str) {
        Some(phase) if phase == wanted => Health::Good,
        Some(other) => coming(&format!("it is {other}, not {wanted} yet")),
        None => coming(&format!("it is not {wanted} yet")),
    }
}

fn is(object: &Value, wanted: &str) -> Health {
    match condition(object, wanted) {
        Some(("True", _)) => Health::Good,
        Some((_, message)) => coming(message),
        None => coming(&format!("it is not {wanted} yet")),
    }
}

/// A condition's status and message.
fn condition<'o>(object: &'o Value, kind: &str) -> Option<(&'o str, &'o str)> {
    let all = object.pointer("/status/conditions")?.as_array()?;
    let found = all.iter().find(|one| one.get("type").and_then(Value::as_str) == Some(kind))?;
    let text = |key: &str| found.get(key).and_then(Value::as_str).unwrap_or_default();
    Some((text("status"), text("message")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn deployment(generation: i64, seen: i64, updated: i64, available: i64) -> Value {
        json!({"kind": "Deployment", "metadata": {"generation": generation}, "spec": {"replicas": 2}, "status":
            {"observedGeneration": seen, "updatedReplicas": updated, "availableReplicas": available}})
    }

    #[test]
    fn workloads_are_good_when_all_their_pods_are() {
        assert_eq!(health(&deployment(2, 2, 2, 2)), Health::Good);
        let Health::Coming(why) = health(&deployment(2, 2, 2, 1)) else { panic!() };
        assert_eq!(why, "1 of 2 pods work");
        assert!(matches!(health(&deployment(2, 1, 2, 2)), Health::Coming(_)));
        assert!(matches!(health(&deployment(2, 2, 1, 2)), Health::Coming(_)));
        let set = |desired: i64, available: i64| {
            json!({"kind": "DaemonSet", "metadata": {"generation": 1}, "status": {"observedGeneration": 1,
                "desiredNumberScheduled": desired, "updatedNumberScheduled": desired, "numberAvailable": available}})
        };
        assert_eq!(health(&set(3, 3)), Health::Good);
        assert!(matches!(health(&set(3, 2)), Health::Coming(_)));
        assert!(matches!(health(&json!({"kind": "DaemonSet"})), Health::Coming(_)));
    }

    #[test]
    fn conditions_and_phases() {
        let with = |kind: &str, condition: &str, status: &str| json!({"kind": kind, "status": {"conditions": [{"type": condition, "status": status, "message": "why"}]}});
        assert_eq!(health(&with("CustomResourceDefinition", "Established", "True")), Health::Good);
        assert_eq!(health(&with("Certificate", "Ready", "False")), Health::Coming("why".into()));
        assert_eq!(health(&with("Job", "Failed", "True")), Health::Bad("why".into()));
        assert_eq!(health(&with("Deployment", "Progressing", "False")), Health::Bad("why".into()));
        assert_eq!(health(&json!({"kind": "ConfigMap"})), Health::Good);
        assert!(matches!(
            health(&json!({"kind": "Namespace", "status": {"phase": "Terminating"}})),
            Health::Coming(_)
        ));
    }
}
