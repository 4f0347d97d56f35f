//! Each fault once: named by the region, or overcome.

use fleet_lab::{Fault, Phase, PowerAction, PowerState, Rule};
use maas_client::{Erase, Release, Status};

use crate::site::{Site, in_its_own_network, until};

/// Deploys a machine that a rule strikes; answers its id and the rule's number.
async fn struck(site: &Site, name: &str, fault: Fault, times: Option<u32>) -> (String, u64) {
    let rule = site.fleet.add(&Rule { times, ..Rule::new(fault).on(name) }).await.unwrap();
    let id = site.id(name).await;
    site.deploy(&id).await;
    (id, rule)
}

#[test]
fn machines_that_fail_are_named_or_overcome() {
    in_its_own_network("faults::machines_that_fail_are_named_or_overcome", async |site| {
        site.all_ready().await;
        // What stops a machine until somebody presses its button: where it stopped is said meanwhile.
        let stops = [
            (Fault::Silent, "power is on, waiting for a DHCP request"),
            (Fault::Dies { phase: Phase::Config }, "waiting for it to fetch its boot configuration"),
            (Fault::Dies { phase: Phase::Loading }, "the ephemeral system is loading"),
            (Fault::Dies { phase: Phase::Kernel }, "the ephemeral system is loading"),
            (Fault::Dies { phase: Phase::Installing }, "writing the image"),
            (Fault::Dies { phase: Phase::System }, "waiting for the installed system to fetch its user-data"),
        ];
        let mut stopped = Vec::new();
        for (n, (fault, words)) in stops.iter().enumerate() {
            let name = format!("m{n:05}");
            let (id, _) = struck(&site, &name, *fault, Some(1)).await;
            stopped.push((name, id, words));
        }
        // What is no more than a nuisance.
        let nuisances = [
            Fault::Slow { factor: 5.0 },
            Fault::WrongOrder,
            Fault::Duplicates,
            Fault::DhcpLoss { percent: 20.0 },
        ];
        let mut hindered = Vec::new();
        for (n, fault) in (10..).zip(nuisances) {
            hindered.push(struck(&site, &format!("m{n:05}"), fault, None).await.0);
        }
        for (name, id, words) in &stopped {
            let why = site.waits_for(id, words).await.waiting.unwrap();
            assert!(why.until.is_some(), "{words}");
            site.comes_to(name, Phase::Dead).await;
            site.fleet.power(name, PowerAction::Cycle).await.unwrap();
        }
        for id in hindered.iter().chain(stopped.iter().map(|(_, id, _)| id)) {
            site.reaches(id, Status::Deployed).await;
        }
        let struck = site.fleet.rules().await.unwrap();
        assert!(struck.iter().all(|rule| rule.struck > 0 && rule.machines == 1), "{struck:#?}");
        site.end().await;
    });
}

#[test]
fn bmcs_that_fail_are_named_or_overcome() {
    in_its_own_network("faults::bmcs_that_fail_are_named_or_overcome", async |site| {
        site.all_ready().await;
        let (refused, _) = struck(&site, "m00000", Fault::BmcRefuses, None).await;
        let (busy, _) = struck(&site, "m00001", Fault::BmcRefuses, Some(2)).await;
        let (strange, password) = struck(&site, "m00002", Fault::WrongPassword, None).await;
        let (hung, hangs) = struck(&site, "m00003", Fault::BmcHangs, None).await;
        let (liar, _) = struck(&site, "m00004", Fault::BmcLies, None).await;

        site.waits_for(&strange, "refused the user name or password").await;
        site.fleet.remove(password).await.unwrap();
        site.waits_for(&hung, "does not answer").await;
        site.fleet.remove(hangs).await.unwrap();
        let machine = site.reaches(&refused, Status::FailedDeployment).await;
        let words = "the BMC failed 5 times, last with: BMC https://10.30.0.2/m00000 refused";
        assert!(machine.error_description.contains(words), "{}", machine.error_description);
        for id in [&busy, &strange, &hung, &liar] {
            site.reaches(id, Status::Deployed).await;
        }

        // It says that it is off, so it is told to go on, which it is: nothing restarts, and that is what is said.
        until("the liar runs", async || (site.machine("m00004").await.phase == Phase::Running).then_some(()))
            .await;
        let erase = Release { erase: Erase::Quick, comment: None };
        site.region.release(&liar, &erase).await.unwrap();
        site.waits_for(&liar, "power is on, waiting for a DHCP request").await;
        let machine = site.machine("m00004").await;
        assert_eq!((machine.power, machine.phase), (PowerState::On, Phase::Running));
        site.fleet.power("m00004", PowerAction::Cycle).await.unwrap();
        site.reaches(&liar, Status::Ready).await;
        assert!(!site.machine("m00004").await.installed);
        site.end().await;
    });
}
