//! Twenty machines from power-on to Ready, some deployed, all given back.

use std::collections::{BTreeMap, HashSet};

use fleet_lab::{Phase, PowerState};
use maas_client::{Constraints, Erase, Release, Status};

use crate::site::{in_its_own_network, until};

#[test]
fn twenty_machines_live() {
    in_its_own_network("life::twenty_machines_live", async |site| {
        let machines = site.all_ready().await;
        let known: BTreeMap<String, &maas_client::Machine> =
            machines.iter().filter_map(|m| Some((m.hardware_uuid.clone()?, m))).collect();
        let bodies = site.fleet.machines("*").await.unwrap();
        assert_eq!((known.len(), bodies.len()), (20, 20));
        assert!(bodies.iter().map(|body| body.vendor).collect::<HashSet<_>>().len() >= 4, "{bodies:?}");
        for body in &bodies {
            let machine = known[&body.uuid.to_string()];
            assert_eq!((body.phase, body.power), (Phase::Off, PowerState::Off));
            let model = body.vendor.model();
            assert_eq!(machine.cpu_count, model.cpu.1 * model.cpu.2 * 2);
        }

        let mut taken = Vec::new();
        for _ in 0..5 {
            taken.push(site.region.allocate(&Constraints::default()).await.unwrap().system_id);
        }
        for id in &taken {
            site.deploy(id).await;
        }
        for id in &taken {
            site.reaches(id, Status::Deployed).await;
        }
        until("five systems run, and no more", async || {
            let counts = site.fleet.counts().await.unwrap();
            (counts.phases.get(&Phase::Running) == Some(&5) && counts.on == 5).then_some(())
        })
        .await;

        for id in &taken {
            let erase = Release { erase: Erase::Quick, comment: None };
            site.region.release(id, &erase).await.unwrap();
        }
        for id in &taken {
            let machine = site.reaches(id, Status::Ready).await;
            assert_eq!((machine.owner, machine.power_state.as_str()), (None, "off"));
        }
        let counts = site.fleet.counts().await.unwrap();
        assert_eq!((counts.on, counts.times[&Phase::Erasing].count), (0, 5));
        assert!(site.fleet.machines("*").await.unwrap().iter().all(|machine| !machine.installed));
        site.end().await;
    });
}
