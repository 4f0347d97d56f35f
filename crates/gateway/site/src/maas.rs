//! A MAAS, as the plane asks after it.

use std::time::Duration;

use gateway_protocol::{Account, Found, MAAS_KEY, Machine, Problem, ProblemCode, Validated, What};
use maas_client::{BootResource, Client, Error, MachineFilter, Options, Status};
use sealing::SealingKey;
use secrets::ApiKey;

/// A MAAS that takes longer is not waited for: the plane's own caller waits.
const LIMIT: Duration = Duration::from_secs(20);

/// A client of an account's MAAS.
pub fn client(account: &Account, key: &SealingKey) -> Result<Client, Problem> {
    let opened = key.open(&account.key, MAAS_KEY).map_err(|error| Problem {
        code: ProblemCode::Sealed,
        message: format!("the account's key cannot be opened at its gateway: {error}; give the key again"),
    })?;
    let invalid = |message: String| Problem { code: ProblemCode::Invalid, message };
    let api_key: ApiKey = opened.expose().parse().map_err(|error| invalid(format!("{error}")))?;
    let options = Options { timeout: LIMIT, retry_for: Duration::ZERO, ca: None };
    Client::new(&account.endpoint, api_key, &options).map_err(|error| invalid(error.to_string()))
}

/// Whether an account works.
pub async fn validate(account: &Account, key: &SealingKey) -> Result<Validated, Problem> {
    let client = client(account, key)?;
    let at = client.url().to_owned();
    // What is there may be anything: none of its own words go to who asked for it to be called.
    let user = client.whoami().await.map_err(|error| tried(&at, &error))?;
    let version = client.version().await.map_err(|error| tried(&at, &error))?;
    Ok(Validated { version: version.version, user: user.username })
}

fn tried(at: &str, error: &Error) -> Problem {
    let (code, message) = match error {
        Error::Unauthorized { .. } => (
            ProblemCode::Unauthorized,
            format!(
                "the MAAS at {at} does not accept this API key: make one in its user preferences, and copy it whole"
            ),
        ),
        Error::Forbidden { .. } => {
            (ProblemCode::Forbidden, format!("the MAAS at {at} forbids this key's user to use its API"))
        }
        Error::Unavailable { .. } => {
            (ProblemCode::Unreachable, format!("the MAAS at {at} cannot answer now: try again"))
        }
        error if error.is_temporary() => (
            ProblemCode::Unreachable,
            format!(
                "no MAAS answers at {at}, as its gateway sees it: look at the address, at routes and at firewalls"
            ),
        ),
        _ => (
            ProblemCode::Maas,
            format!("what answers at {at} is no MAAS: the address looks like http://10.20.0.1:5240/MAAS"),
        ),
    };
    Problem { code, message }
}

/// Looks something up.
pub async fn look_up(account: &Account, what: What, key: &SealingKey) -> Result<Found, Problem> {
    let client = client(account, key)?;
    let at = client.url().to_owned();
    let found = match what {
        What::Zones => client.zones().await.map(Found::Zones),
        What::Pools => client.pools().await.map(Found::Pools),
        What::Domains => client.domains().await.map(Found::Domains),
        What::Subnets => client.subnets().await.map(Found::Subnets),
        What::Tags => client.tags().await.map(Found::Tags),
        What::Images => client.boot_resources().await.map(|all| Found::Images(images(all))),
        What::Machines => {
            let all = client.machines(&MachineFilter::default()).await;
            all.map(|all| Found::Machines(all.iter().map(machine).collect()))
        }
    };
    found.map_err(|error| tried(&at, &error))
}

/// Those that a machine can be deployed with now.
fn images(all: Vec<BootResource>) -> Vec<String> {
    let complete = |image: &BootResource| image.sets.values().any(|set| set.complete);
    let mut names: Vec<String> = all.into_iter().filter(complete).map(|image| image.name).collect();
    names.sort();
    names.dedup();
    names
}

fn machine(one: &maas_client::Machine) -> Machine {
    let name = |named: &Option<maas_client::Named>| {
        named.as_ref().map(|named| named.name.clone()).unwrap_or_default()
    };
    Machine {
        system_id: one.system_id.clone(),
        hostname: one.hostname.clone(),
        status: one.status_name.clone(),
        free: one.status == Status::Ready && !one.locked,
        power: one.power_state.clone(),
        zone: name(&one.zone),
        pool: name(&one.pool),
        tags: one.tag_names.clone(),
        cpus: one.cpu_count,
        memory_mib: one.memory,
        storage_gb: one.storage / 1000.0,
    }
}
