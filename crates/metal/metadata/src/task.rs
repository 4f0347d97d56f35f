//! What the agent of a machine is to do now; pure.

use std::sync::Arc;

use agent_protocol::{
    AfterInstall, Assignment, FileToWrite, ImageFormat, Install, Parallel, Script, System, Task,
};
use lifecycle::Status;
use model::{BootResource, Credentials, Machine, ScriptResult, Stage};
use render::netplan::{self, Surroundings};
use secrets::Secret;
use store::Stored;

/// Pause between two questions of an agent that has nothing to do.
const RETRY_MS: u64 = 500;

/// What a task is made of, beside the machine.
#[derive(Debug)]
pub struct Means<'a> {
    /// The images there are.
    pub images: &'a [Arc<Stored<BootResource>>],
    /// The scripts there are, by name.
    pub scripts: &'a [(String, scripts::Script)],
    /// The larger ephemeral system, if the region has one.
    pub system: Option<&'a SystemFile>,
    /// Public keys of the machine's owner, and of those who look after it.
    pub keys: &'a [String],
    /// The networks that its interfaces are in.
    pub around: &'a Surroundings,
    /// The boot service's URL.
    pub base: &'a str,
    /// The token of the boot attempt.
    pub token: &'a str,
}

/// The larger ephemeral system, as a file of the region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemFile {
    /// SHA-256, hex.
    pub sha256: String,
    /// Bytes.
    pub size: u64,
}

/// The task of a machine by its state.
///
/// # Errors
/// A sentence, where the state asks for something that cannot be given: the machine fails with it.
pub fn of(system_id: &str, machine: &Machine, means: &Means<'_>) -> Result<Assignment, String> {
    let task = match (machine.status, machine.flow.done) {
        (Status::Commissioning, None) => run(machine, Stage::Commissioning, means)?,
        (Status::Testing, None) => run(machine, Stage::Testing, means)?,
        (Status::EnteringRescueMode | Status::RescueMode, None) => Task::Rescue {
            keys: means.keys.to_vec(),
            hostname: machine.hostname.clone(),
            system: system(means)?,
        },
        (Status::DiskErasing, None) => {
            Task::Erase { mode: machine.erase.unwrap_or(agent_protocol::EraseMode::Quick), disks: Vec::new() }
        }
        (Status::Deploying, None) => Task::Install(Box::new(install(system_id, machine, means)?)),
        // What is on the disk is what it is for.
        (Status::Deploying, Some(_)) | (Status::Deployed, _) => Task::Restart,
        (Status::ExitingRescueMode, _) if machine.next_status() == Status::Deployed => Task::Restart,
        (
            Status::New
            | Status::Commissioning
            | Status::Testing
            | Status::EnteringRescueMode
            | Status::RescueMode,
            _,
        ) => Task::Wait { retry_ms: RETRY_MS },
        _ => Task::PowerOff,
    };
    Ok(Assignment { id: id(machine), task })
}

/// What is still to run of a stage.
fn run(machine: &Machine, stage: Stage, means: &Means<'_>) -> Result<Task, String> {
    let scripts: Vec<Script> =
        machine.to_run(stage).map(|result| script(result, means)).collect::<Result<_, _>>()?;
    let texts = scripts.iter().any(|script| script.text.is_some());
    let system = if texts { Some(system(means)?) } else { None };
    Ok(Task::Run { scripts, system })
}

fn script(result: &ScriptResult, means: &Means<'_>) -> Result<Script, String> {
    let kept = means.scripts.iter().find(|(name, _)| *name == result.name).map(|(_, script)| script);
    let kept =
        kept.ok_or_else(|| format!("the script {} has been deleted: start again without it", result.name))?;
    Ok(Script {
        result: result.number,
        name: result.name.clone(),
        text: Some(kept.text()).filter(|text| !text.is_empty()).map(str::to_owned),
        arguments: result.arguments.iter().map(Secret::expose).map(str::to_owned).collect(),
        timeout_s: kept.timeout,
        parallel: match kept.parallel {
            scripts::Parallel::Disabled => Parallel::Alone,
            scripts::Parallel::Instance => Parallel::Instances,
            scripts::Parallel::Any => Parallel::Any,
        },
    })
}

fn system(means: &Means<'_>) -> Result<System, String> {
    let SystemFile { sha256, size } = means
        .system
        .ok_or("this region has no system.squashfs beside its ephemeral system: build one, then try again")?;
    let url = format!("{}/boot/{}/system.squashfs", means.base, means.token);
    Ok(System { url, sha256: sha256.clone(), size: *size })
}

/// The id of a machine's present task: it names the state's entry, so a report of an earlier round is told apart.
pub fn id(machine: &Machine) -> String {
    format!("{}-{}", machine.status.word(), machine.flow.since.as_millisecond())
}

fn install(system_id: &str, machine: &Machine, means: &Means<'_>) -> Result<Install, String> {
    let Means { images, base, token, around, .. } = means;
    let wanted = format!("{}/{}", machine.osystem, machine.distro_series);
    let file = images
        .iter()
        .map(|image| &image.value)
        .filter(|image| image.name == wanted && image.architecture == machine.architecture)
        .find_map(|image| image.newest_complete()?.1.files.values().next())
        .ok_or_else(|| format!("no complete image {wanted} for {}: upload it again", machine.architecture))?;
    let format = match file.filetype.as_str() {
        "ddraw" => ImageFormat::Raw,
        "ddgz" => ImageFormat::RawGz,
        "ddzst" => ImageFormat::RawZst,
        other => return Err(format!("image {wanted} has file type {other}, which cannot be installed yet")),
    };
    let disk = machine.boot_disk().ok_or("the machine has no disk to install on")?;
    if let Some(raw) = file.raw_size.filter(|raw| *raw > disk.size) {
        return Err(format!(
            "image {wanted} needs {raw} bytes, disk {} has {}: choose a smaller image or another disk",
            disk.name, disk.size
        ));
    }
    let credentials = machine.credentials.as_ref().ok_or("the deployment has no credentials: release it")?;
    Ok(Install {
        url: format!("{base}/images/{token}/{}", file.sha256),
        sha256: file.sha256.clone(),
        size: file.size,
        raw_size: file.raw_size.unwrap_or(0),
        format,
        disk: disk.name.clone(),
        files: files(data_source(system_id, credentials, base), network(machine, around)?),
        then: AfterInstall::Kexec,
    })
}

fn files(data_source: String, network: Option<String>) -> Vec<FileToWrite> {
    let file = |path: &str, content| FileToWrite { path: path.to_owned(), content, mode: 0o600 };
    let network = network.map(|content| file(netplan::PATH, content));
    [file("/etc/cloud/cloud.cfg.d/90_dpkg_maas.cfg", data_source)].into_iter().chain(network).collect()
}

/// cloud-init's configuration of the network; `None` where the image's own, DHCP, comes to the same.
fn network(machine: &Machine, around: &Surroundings) -> Result<Option<String>, String> {
    if netplan::is_plain(machine, around) {
        return Ok(None);
    }
    netplan::file(machine, around).map(Some).map_err(|error| format!("network configuration: {error}"))
}

/// cloud-init's configuration for the MAAS data source and for reporting.
fn data_source(system_id: &str, credentials: &Credentials, base: &str) -> String {
    let (consumer, token, secret) = (&credentials.consumer, &credentials.token, credentials.secret.expose());
    let keys = |indent: &str| {
        format!(
            "{indent}consumer_key: {consumer}\n{indent}token_key: {token}\n{indent}token_secret: {secret}\n"
        )
    };
    format!(
        "datasource_list: [MAAS]\n\
         datasource:\n  MAAS:\n    metadata_url: {base}/MAAS/metadata/\n{}\
         reporting:\n  maas:\n    type: webhook\n    endpoint: {base}/MAAS/metadata/status/{system_id}\n{}",
        keys("    "),
        keys("    "),
    )
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use model::{Link, LinkMode, Nic};

    use super::*;

    #[test]
    fn a_network_is_written_only_where_it_says_more_than_dhcp() {
        let around = Surroundings::default();
        let mut machine = Machine::new("m1".to_owned(), Timestamp::UNIX_EPOCH);
        machine.nics = vec![
            Nic { boot: true, ..Nic::physical(1, "eth0", "52:54:00:00:00:01") },
            Nic::physical(2, "eth1", "52:54:00:00:00:02"),
        ];
        let paths = |machine: &Machine| {
            let written = files(String::new(), network(machine, &around).unwrap());
            written.into_iter().map(|file| file.path).collect::<Vec<_>>()
        };
        let link = |mode| Link { number: 3, mode, subnet: Some(1), ip: None };
        let plain = ["/etc/cloud/cloud.cfg.d/90_dpkg_maas.cfg"];
        let network = [plain[0], netplan::PATH];
        assert_eq!(paths(&machine), plain);
        for mode in [LinkMode::Auto, LinkMode::Dhcp, LinkMode::LinkUp] {
            machine.nics[0].links = vec![link(mode)];
            machine.nics[1].links = vec![link(LinkMode::LinkUp)];
            assert_eq!(paths(&machine), plain, "{mode:?}");
        }
        machine.nics[0].links = vec![link(LinkMode::Static)];
        assert_eq!(paths(&machine), network);
        machine.nics[0].links = vec![link(LinkMode::Auto)];
        machine.nics[1].links = vec![link(LinkMode::Auto)];
        assert_eq!(paths(&machine), network);
    }
}
