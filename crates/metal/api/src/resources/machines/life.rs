//! What moves one machine through its life.

use std::collections::BTreeMap;

use agent_protocol::EraseMode;
use lifecycle::{Moves, Power, Status};
use model::{
    ChangeError, Machine,
    ops::{Changed, Deploy, Lock, OpError, Release},
    results::{Chosen, Wanted},
};
use secrets::Secret;
use serde_json::{Value, json};

use super::{load, load_as_admin, load_own, power, shown};
use crate::resources;
use api_call::{Answer, ApiError, Call, Faults, Reply};

/// Parameters of `deploy` that name something that is not here: refused rather than ignored.
const NOT_HERE: [&str; 6] = [
    "ephemeral_deploy",
    "enable_hw_sync",
    "install_kvm",
    "register_vmhost",
    "install_rackd",
    "vcenter_registration",
];

pub async fn deploy(call: Call) -> Answer {
    let machine = load(&call)?;
    if let Some(name) = NOT_HERE.into_iter().find(|name| call.flag(name)) {
        return Err(ApiError::NotImplemented(format!("Deploying with '{name}' is not supported yet.")));
    }
    let sent = |name: &str| call.param(name).unwrap_or_default().to_owned();
    let wanted = Deploy {
        osystem: sent("osystem"),
        distro_series: sent("distro_series"),
        user_data: call
            .param("user_data")
            .filter(|text| !text.is_empty())
            .map(|text| Secret::new(text.to_owned())),
        agent_name: call.param("agent_name").map(str::to_owned),
    };
    let kernel = sent("hwe_kernel");
    if !kernel.is_empty() {
        let series = call.state.machines.series();
        let wanted = &wanted.distro_series;
        let name = series.iter().find(|name| name.split('/').next_back() == Some(wanted)).unwrap_or(wanted);
        let words = format!("{kernel} is not available for {name} on {}.", machine.value.architecture);
        return Err(ApiError::field("hwe_kernel", words));
    }
    let done = call.state.machines.deploy(&call.actor(), &machine.id, &wanted).await;
    let done = done.map_err(|error| match error {
        OpError::Invalid { field, .. } if field == "distro_series" => {
            let known: Vec<String> =
                call.state.machines.series().iter().map(|name| format!(", '{name}'")).collect();
            let series = &wanted.distro_series;
            let words = format!(
                "'{series}' is not a valid distro_series.  It should be one of: ''{}.",
                known.concat()
            );
            ApiError::field("distro_series", words)
        }
        other => other.into(),
    })?;
    Ok(shown(&call, &done))
}

/// What a release is to do with the disks, as sent.
pub fn how_to_release(call: &Call) -> Release {
    let erase = call.flag("erase").then(|| match (call.flag("secure_erase"), call.flag("quick_erase")) {
        (true, _) => EraseMode::Secure,
        (false, true) => EraseMode::Quick,
        (false, false) => EraseMode::Full,
    });
    Release { erase, force: call.flag("force") }
}

pub async fn release(call: Call) -> Answer {
    let machine = load(&call)?;
    done(&call, call.state.machines.release(&call.actor(), &machine.id, how_to_release(&call)).await)
}

pub async fn commission(call: Call) -> Answer {
    let machine = load_as_admin(&call)?;
    let mut faults = Faults::default();
    if !machine.value.status.may_become(Status::Commissioning) {
        faults.add("__all__", "Commission is not available because of the current state of the node.");
    }
    let wanted = wanted(&call, &mut faults);
    faults.check()?;
    ::storage::before_commissioning(&call).await?;
    done(&call, call.state.machines.commission(&call.actor(), &machine.id, &wanted).await)
}

pub async fn test(call: Call) -> Answer {
    let machine = load_own(&call)?;
    let mut faults = Faults::default();
    if !machine.value.status.may_become(Status::Testing) {
        faults.add("__all__", "Test is not available because of the current state of the node.");
    }
    let wanted = wanted(&call, &mut faults);
    faults.check()?;
    done(&call, call.state.machines.test(&call.actor(), &machine.id, &wanted).await)
}

/// Which scripts were asked for, and with which parameters.
pub fn wanted(call: &Call, faults: &mut Faults) -> Wanted {
    if call.flag("enable_ssh") {
        faults.add("enable_ssh", "This is not supported: use rescue mode.");
    }
    let mut chosen = |parameter: &str, kind: scripts::Kind| {
        let chosen = Chosen::read(call.all(parameter).into_iter());
        let words = if let Chosen::Named(words) = &chosen { words.as_slice() } else { &[] };
        for word in words.iter().filter(|word| !resources::scripts::known(call, kind, word)) {
            let words = format!("Select a valid choice. {word} is not one of the available choices.");
            faults.add(parameter, words);
        }
        chosen
    };
    let commissioning = chosen("commissioning_scripts", scripts::Kind::Commissioning);
    let testing = chosen("testing_scripts", scripts::Kind::Testing);
    let values = call.form.names().into_iter().filter_map(|name| {
        let value = call.form.get(name).filter(|value| !value.is_empty())?;
        Some((name.to_owned(), Secret::new(value)))
    });
    Wanted { commissioning, testing, values: values.collect() }
}

pub async fn rescue_mode(call: Call) -> Answer {
    let machine = load_own(&call)?;
    done(&call, call.state.machines.rescue(&call.actor(), &machine.id).await)
}

pub async fn exit_rescue_mode(call: Call) -> Answer {
    let machine = load_own(&call)?;
    done(&call, call.state.machines.exit_rescue(&call.actor(), &machine.id).await)
}

pub async fn abort(call: Call) -> Answer {
    let machine = load_own(&call)?;
    done(&call, call.state.machines.abort(&call.actor(), &machine.id).await)
}

pub async fn mark_broken(call: Call) -> Answer {
    let machine = load_own(&call)?;
    let comment = call.param("comment").or_else(|| call.param("error_description")).unwrap_or_default();
    done(&call, call.state.machines.mark_broken(&call.actor(), &machine.id, comment).await)
}

pub async fn mark_fixed(call: Call) -> Answer {
    let machine = load_as_admin(&call)?;
    done(&call, call.state.machines.mark_fixed(&call.actor(), &machine.id).await)
}

pub async fn lock(call: Call) -> Answer {
    let machine = load_own(&call)?;
    if machine.value.locked {
        return Err(ApiError::Conflict("Machine is already locked".to_owned()));
    }
    done(&call, call.state.machines.set_locked(&call.actor(), &machine.id, Lock::Locked).await)
}

pub async fn unlock(call: Call) -> Answer {
    let machine = load_own(&call)?;
    if !machine.value.locked {
        return Err(ApiError::Conflict("Machine is not locked".to_owned()));
    }
    done(&call, call.state.machines.set_locked(&call.actor(), &machine.id, Lock::Unlocked).await)
}

pub async fn override_failed_testing(call: Call) -> Answer {
    let machine = load_as_admin(&call)?;
    change(&call, &machine.id, "machine.override_failed_testing", |machine| {
        if machine.status != Status::FailedTesting {
            let words = "Unable to override node status. Node is not in 'Failed testing' status.";
            return Err(OpError::State(words.to_owned()));
        }
        let next = if machine.osystem.is_empty() { Status::Ready } else { Status::Deployed };
        machine.enter(next, jiff::Timestamp::now());
        Ok(())
    })
    .await
}

pub async fn power_on(call: Call) -> Answer {
    let machine = load(&call)?;
    match machine.value.status {
        Status::Allocated
        | Status::Broken
        | Status::Commissioning
        | Status::Deployed
        | Status::Deploying
        | Status::FailedDeployment
        | Status::RescueMode
        | Status::Testing => switch(&call, Power::On).await,
        _ => Err(ApiError::Conflict("Can't start node: it hasn't been allocated.".to_owned())),
    }
}

pub async fn power_off(call: Call) -> Answer {
    switch(&call, Power::Off).await
}

async fn switch(call: &Call, to: Power) -> Answer {
    let machine = load_own(call)?;
    if machine.value.locked && to == Power::Off {
        return Err(ApiError::Forbidden("This machine is locked.".to_owned()));
    }
    call.state.power.switch(&machine.id, to).await.map_err(ApiError::Unavailable)?;
    let switched = load(call)?;
    Ok(shown(call, &switched))
}

pub async fn query_power_state(call: Call) -> Answer {
    let machine = load(&call)?;
    let state = call.state.power.query(&machine.id).await.map_err(ApiError::Unavailable)?;
    Ok(Reply::Json(json!({ "state": state })))
}

/// What a machine writes may hold what its owner keeps to himself.
pub async fn console(call: Call) -> Answer {
    let machine = load_own(&call)?;
    let skip = call.param("skip").map(str::parse).transpose();
    let skip = skip.map_err(|_| ApiError::field("skip", "Enter a whole number."))?.unwrap_or_default();
    let found = call.state.power.console(&machine.id, skip).await.map_err(ApiError::Unavailable)?;
    let Some(found) = found else {
        return Err(ApiError::NotImplemented("its BMC keeps no log of the serial console".to_owned()));
    };
    Ok(Reply::Json(json!({ "first": found.first, "lines": found.lines, "total": found.total })))
}

pub async fn power_parameters(call: Call) -> Answer {
    Ok(Reply::Json(power::exposed(&load_as_admin(&call)?.value)))
}

pub async fn get_token(call: Call) -> Answer {
    let machine = load_own(&call)?;
    Ok(Reply::Json(machine.value.credentials.as_ref().map_or(Value::Null, |own| {
        json!({
            "consumer_key": own.consumer, "token_key": own.token, "token_secret": own.secret.expose(),
        })
    })))
}

pub async fn set_owner_data(call: Call) -> Answer {
    let machine = load_own(&call)?;
    change(&call, &machine.id, "machine.set_owner_data", |machine| {
        set(&call, &mut machine.owner_data);
        Ok(())
    })
    .await
}

pub async fn set_workload_annotations(call: Call) -> Answer {
    let machine = load_own(&call)?;
    change(&call, &machine.id, "machine.set_workload_annotations", |machine| {
        set(&call, &mut machine.workload_annotations);
        Ok(())
    })
    .await
}

/// Sets what was sent; an empty value removes.
pub fn set(call: &Call, pairs: &mut BTreeMap<String, String>) {
    for param in &call.form {
        match param.text.as_deref() {
            Some(text) if !text.is_empty() => drop(pairs.insert(param.name.clone(), text.to_owned())),
            _ => drop(pairs.remove(&param.name)),
        }
    }
}

pub async fn curtin_config(call: Call) -> Answer {
    let machine = load_own(&call)?;
    if machine.value.osystem.is_empty() {
        let words = format!("Machine {} is not in a deployment state.", machine.value.hostname);
        return Err(ApiError::Bad(words));
    }
    Err(ApiError::NotImplemented(
        "Images are written whole, without curtin: there is no configuration.".to_owned(),
    ))
}

pub async fn unsupported(call: Call) -> Answer {
    if !call.path.is_empty() {
        load(&call)?;
    }
    Err(ApiError::NotImplemented(format!("The operation '{}' of MAAS is not supported yet.", call.op)))
}

async fn change(
    call: &Call,
    system_id: &str,
    action: &str,
    mut apply: impl FnMut(&mut Machine) -> Result<(), OpError>,
) -> Answer {
    let by = format!("user:{}", call.user());
    let changed = call
        .state
        .machines
        .change(&by, action, system_id, |machine, batch| {
            if machine.locked {
                return Err(OpError::Forbidden("This machine is locked.".to_owned()));
            }
            apply(machine).map(|()| batch)
        })
        .await
        .map_err(refused)?;
    Ok(shown(call, &changed))
}

/// What to answer where a change was not made.
pub fn refused(error: ChangeError<OpError>) -> ApiError {
    OpError::from(error).into()
}

fn done(call: &Call, changed: Changed) -> Answer {
    let machine = changed?;
    Ok(shown(call, &machine))
}
