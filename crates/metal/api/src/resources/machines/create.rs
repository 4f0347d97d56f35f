//! New machines.

use disks::Plan;
use jiff::Timestamp;
use lifecycle::Status;
use model::{Device, Domain, Machine, Nic, SCOPE};
use store::{Store, Stored};

use super::{life, power::power, shown};
use api_call::{Answer, ApiError, Call, Faults, Reply, edit::edit, is_true};

/// Architectures that can be booted and deployed here.
const ARCHITECTURES: [&str; 2] = ["amd64/generic", "arm64/generic"];

pub async fn create(call: Call) -> Answer {
    let mut machine = check(&call)?;
    let mut faults = Faults::default();
    let scripts = life::wanted(&call, &mut faults);
    faults.check()?;
    let actor = call.actor();
    let now = Timestamp::now();
    machine.enter(Status::New, now);
    let id = edit(&call, "machine.create", |mut batch| {
        let id = model::pick_id(call.store());
        let mut machine = machine.clone();
        if machine.hostname.is_empty() {
            machine.hostname = format!("node-{id}");
        }
        taken(call.store(), &machine)?;
        for nic in &mut machine.nics {
            nic.number = call.state.machines.next_number();
            batch = batch.claim(SCOPE, "mac", &nic.mac, &id);
        }
        batch = batch.claim(SCOPE, "hostname", &machine.hostname, &id);
        Ok((batch.create(SCOPE, &id, &machine), id))
    })
    .await?;
    if call.admin() && call.param("commission").is_none_or(is_true) {
        let commissioning = call.state.machines.commission(&actor, &id, &scripts).await?;
        return Ok(shown(&call, &commissioning));
    }
    let made = call.state.machines.get(&id).ok_or_else(|| ApiError::NotFound("Machine".to_owned()))?;
    if call.caller.is_some() {
        return Ok(shown(&call, &made));
    }
    Ok(Reply::Json(render::announced(&made.id, &made.value, call.store())))
}

fn check(call: &Call) -> Result<Machine, ApiError> {
    let mut faults = Faults::default();
    let mut machine = Machine::new(String::new(), Timestamp::now());
    if call.flag("skip_storage") {
        machine.storage.plan = Plan::Image;
    }
    machine.boot_method = None;
    match call.param("architecture").filter(|text| !text.is_empty()) {
        Some(text) => match architecture(text) {
            Ok(known) => machine.architecture = known,
            Err(message) => faults.add("architecture", message),
        },
        None => faults.add("architecture", "This field is required."),
    }
    if let Some(hostname) = call.param("hostname").filter(|text| !text.is_empty()) {
        machine.hostname = check_hostname(hostname, &mut faults);
        if call.store().holder(SCOPE, "hostname", &machine.hostname).is_some() {
            faults.add("hostname", "Node with this Hostname already exists.");
        }
    }
    if let Some(text) = call.param("domain").filter(|text| !text.is_empty()) {
        match domain(call.store(), text) {
            Some(domain) => machine.domain = domain.value.number,
            None => faults.add("domain", format!("Unable to find domain {text}")),
        }
    }
    call.param("description").unwrap_or_default().clone_into(&mut machine.description);
    machine.nics = nics(call, &mut faults);
    machine.power = power(call, None, &mut faults);
    if machine.power.kind == "manual" && machine.nics.is_empty() && call.param("mac_addresses").is_some() {
        faults.add("power_type", "Can't set power type to manual without network interfaces");
    }
    faults.check()?;
    Ok(machine)
}

/// NICs with the MAC addresses that were sent.
pub fn nics(call: &Call, faults: &mut Faults) -> Vec<Nic> {
    let sent: Vec<&str> = call
        .all("mac_addresses")
        .into_iter()
        .flat_map(|value| value.split([',', ' ']))
        .filter(|text| !text.is_empty())
        .collect();
    if sent.is_empty() {
        faults.add("mac_addresses", "This field is required.");
    }
    let mut nics: Vec<Nic> = Vec::new();
    for text in sent {
        let Some(mac) = api_call::mac(text) else {
            faults.add("mac_addresses", format!("'{text}' is not a valid MAC address."));
            continue;
        };
        let machine = call.state.machines.by_mac(&mac).map(|machine| machine.value.hostname.clone());
        let device = || Device::by_mac(call.store(), &mac).map(|device| device.value.hostname.clone());
        if let Some(holder) = machine.or_else(device) {
            faults.add("mac_addresses", format!("MAC address {mac} already in use on {holder}."));
        } else if !nics.iter().any(|nic| nic.mac == mac) {
            let name = format!("eth{}", nics.len());
            nics.push(Nic { boot: nics.is_empty(), ..Nic::physical(0, &name, &mac) });
        }
    }
    nics
}

/// Refuses what others took since the parameters were checked.
fn taken(store: &Store, machine: &Machine) -> Result<(), ApiError> {
    if store.holder(SCOPE, "hostname", &machine.hostname).is_some() {
        return Err(ApiError::field("hostname", "Node with this Hostname already exists."));
    }
    match machine.nics.iter().find(|nic| store.holder(SCOPE, "mac", &nic.mac).is_some()) {
        Some(nic) => {
            Err(ApiError::field("mac_addresses", format!("MAC address {} already in use.", nic.mac)))
        }
        None => Ok(()),
    }
}

/// An architecture with its subarchitecture.
pub fn architecture(text: &str) -> Result<String, String> {
    let full = if text.contains('/') { text.to_owned() } else { format!("{text}/generic") };
    if ARCHITECTURES.contains(&full.as_str()) {
        Ok(full)
    } else {
        let known: Vec<String> = ARCHITECTURES.iter().map(|known| format!("'{known}'")).collect();
        Err(format!("'{text}' is not a valid architecture.  It should be one of: {}.", known.join(", ")))
    }
}

/// A domain by number or name.
pub fn domain(store: &Store, text: &str) -> Option<std::sync::Arc<Stored<Domain>>> {
    store.list::<Domain>(SCOPE).into_iter().find(|domain| domain.id == text || domain.value.name == text)
}

/// A host name in lower case; says in `faults` if it is none.
pub fn check_hostname(text: &str, faults: &mut Faults) -> String {
    if !text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
        faults.add("hostname", format!("Label contains disallowed characters: '{text}'."));
    } else if text.starts_with('-') || text.ends_with('-') {
        faults.add("hostname", format!("Label cannot start or end with hyphen: '{text}'."));
    } else if text.len() > 63 {
        faults.add("hostname", format!("Label is too long: '{text}'. Maximum is 63 characters."));
    }
    text.to_ascii_lowercase()
}
