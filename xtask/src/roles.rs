//! What runs in a lab beside its machines: programs, their configuration files, the ports that lead to them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Result;
use rack::{Cloud, Options, Place, PortForward, Program, Rules};
use serde::Serialize;

use crate::site::Bundle;

/// The region among the lab's programs.
pub const REGION: &str = "region";
/// The gateway, with its engine, among the lab's programs, and its data in the lab's folder.
pub const GATEWAY: &str = "gateway";
/// The plane among the lab's programs.
pub const PLANE: &str = "plane";
/// The region's API among the lab's forwards.
pub const REGION_API: &str = "region-api";
/// The engine's API among the lab's forwards.
pub const ENGINE_API: &str = "engine-api";
/// The plane's port among the lab's forwards.
pub const PLANE_API: &str = "plane-api";
/// The site's own address.
const ADDRESS: &str = "10.20.0.1";
/// Port of the site's registry.
const REGISTRY_PORT: u16 = 5000;
/// Port of a Kubernetes API: the engine's and nodes'.
const KUBERNETES_PORT: u16 = 6443;
/// Where the plane is, seen from the site.
const PLANE_ADDRESS: &str = "10.99.0.1";
/// The plane's port.
const PLANE_PORT: u16 = 443;
/// Where a pairing code is put for the gateway, in the lab's folder.
pub const PAIRING_CODE: &str = "pairing-code";
/// The plane's first user.
pub const ADMIN: &str = "admin@example.com";

/// What runs in a lab.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Roles {
    /// A region.
    Region,
    /// A region and a gateway with its engine, and a plane in the cloud, which the site alone can reach.
    Everything,
    /// The same; the plane has a gateway of its own, too, for whatever ways the lab's rules leave it.
    WithSystemGateway,
}

/// The region's configuration, as far as the lab sets it.
#[derive(Serialize)]
struct RegionFile<'a> {
    data: PathBuf,
    admin_key_file: PathBuf,
    ephemeral: &'a Path,
    images: &'a [PathBuf],
    network: [NetworkTable; 1],
    bmc: Vec<BmcTable>,
}

#[derive(Serialize)]
struct NetworkTable {
    interface: &'static str,
    cidr: &'static str,
    address: &'static str,
    gateway: &'static str,
    dynamic: [&'static str; 2],
    reserved: [[&'static str; 2]; 1],
}

#[derive(Serialize)]
struct BmcTable {
    address: String,
    user: String,
    password: String,
    ca_file: PathBuf,
}

/// The gateway's configuration.
#[derive(Serialize)]
struct GatewayFile<'a> {
    data: PathBuf,
    bundle: &'a Path,
    listen: String,
    dns: &'static str,
    registry: RegistryTable,
    #[serde(skip_serializing_if = "Option::is_none")]
    plane: Option<PlaneTable>,
}

#[derive(Serialize)]
struct RegistryTable {
    listen: String,
}

#[derive(Serialize)]
struct PlaneTable {
    address: String,
    pairing_code_file: PathBuf,
}

/// The plane's configuration.
#[derive(Serialize)]
struct PlaneFile {
    data: PathBuf,
    listen: String,
    names: [&'static str; 2],
    #[serde(skip_serializing_if = "Option::is_none")]
    system_gateway: Option<PathBuf>,
    admin: AdminTable,
}

#[derive(Serialize)]
struct AdminTable {
    organization: &'static str,
    email: &'static str,
    password_file: PathBuf,
    api_key_file: PathBuf,
}

impl Roles {
    /// Writes the programs' configuration files, and adds programs and forwards to a lab's options.
    pub fn lay_out(self, dir: &Path, bundle: &Bundle, options: &mut Options) -> Result<()> {
        let mut run = |name: &str, place, words: &[&str], config: &str| -> Result<()> {
            let file = dir.join(format!("{name}.toml"));
            fs::write(&file, config)?;
            options.programs.push(program(bundle, name, place, words, &file));
            Ok(())
        };
        let region = region(dir, bundle, &options.bmc, options.machines.len());
        run(REGION, Place::Site, &["region", "run"], &toml::to_string(&region)?)?;
        options.forwards = vec![forward(REGION_API, 5240), forward("region-boot", 5248)];
        if self == Self::Region {
            return Ok(());
        }
        let system = dir.join("system.toml");
        let mut plane = plane(dir)?;
        if self == Self::WithSystemGateway {
            fs::write(&system, toml::to_string(&system_gateway(dir, bundle))?)?;
            plane.system_gateway = Some(system);
        }
        run(PLANE, Place::Cloud, &["plane", "run"], &toml::to_string(&plane)?)?;
        run(GATEWAY, Place::Site, &["gateway", "run"], &toml::to_string(&gateway(dir, bundle))?)?;
        options.forwards.push(forward(ENGINE_API, KUBERNETES_PORT));
        options.forwards.push(PortForward { place: Place::Cloud, ..forward(PLANE_API, PLANE_PORT) });
        options.cloud = Some(Cloud { rules: rules(&[]), ..Cloud::default() });
        Ok(())
    }
}

fn region<'a>(dir: &Path, bundle: &'a Bundle, account: &rack::Account, machines: usize) -> RegionFile<'a> {
    let bmc = (0..machines).map(|number| BmcTable {
        address: format!("https://10.20.0.{}", 101 + number),
        user: account.username.clone(),
        password: account.password.clone(),
        ca_file: dir.join("ca/ca.pem"),
    });
    RegionFile {
        data: dir.join("region"),
        admin_key_file: dir.join("admin.key"),
        ephemeral: &bundle.ephemeral,
        images: &bundle.images,
        network: [NetworkTable {
            interface: "br0",
            cidr: "10.20.0.0/24",
            address: ADDRESS,
            // Leads nowhere but to the cloud's open ports; nodes of Kubernetes want to have one all the same.
            gateway: ADDRESS,
            dynamic: ["10.20.0.150", "10.20.0.249"],
            reserved: [["10.20.0.1", "10.20.0.120"]],
        }],
        bmc: bmc.collect(),
    }
}

fn gateway<'a>(dir: &Path, bundle: &'a Bundle) -> GatewayFile<'a> {
    GatewayFile {
        data: dir.join(GATEWAY),
        bundle: bundle.components.folder(),
        listen: format!("{ADDRESS}:{KUBERNETES_PORT}"),
        dns: ADDRESS,
        registry: RegistryTable { listen: format!("{ADDRESS}:{REGISTRY_PORT}") },
        plane: Some(PlaneTable {
            address: format!("{PLANE_ADDRESS}:{PLANE_PORT}"),
            pairing_code_file: dir.join(PAIRING_CODE),
        }),
    }
}

/// The gateway in the plane's own process.
fn system_gateway<'a>(dir: &Path, bundle: &'a Bundle) -> GatewayFile<'a> {
    GatewayFile {
        data: dir.join("system"),
        bundle: bundle.components.folder(),
        listen: format!("{PLANE_ADDRESS}:{KUBERNETES_PORT}"),
        dns: ADDRESS,
        registry: RegistryTable { listen: format!("{PLANE_ADDRESS}:{REGISTRY_PORT}") },
        plane: None,
    }
}

/// What a system private gateway needs, one way each: the port, and whether it leads into the site.
pub const SYSTEM_WAYS: [(u16, bool); 4] =
    [(5240, true), (53, true), (KUBERNETES_PORT, true), (REGISTRY_PORT, false)];

/// The rules that leave a site its way to the plane, and a system private gateway these ways.
pub fn rules(ways: &[(u16, bool)]) -> Rules {
    let ports = |into: bool| ways.iter().filter(move |(_, way)| *way == into).map(|(port, _)| *port);
    Rules { to_cloud: [PLANE_PORT].into_iter().chain(ports(false)).collect(), to_site: ports(true).collect() }
}

fn plane(dir: &Path) -> Result<PlaneFile> {
    let password_file = dir.join("plane.password");
    if !password_file.exists() {
        write_private(&password_file, &secrets::random_token(12))?;
    }
    let api_key_file = dir.join("plane.key");
    Ok(PlaneFile {
        data: dir.join("plane"),
        listen: format!("{PLANE_ADDRESS}:{PLANE_PORT}"),
        names: ["127.0.0.1", PLANE_ADDRESS],
        system_gateway: None,
        admin: AdminTable { organization: "Lab", email: ADMIN, password_file, api_key_file },
    })
}

/// The region's API, seen from the site.
pub fn maas_url() -> String {
    format!("http://{ADDRESS}:5240/MAAS")
}

fn program(bundle: &Bundle, name: &str, place: Place, words: &[&str], config: &Path) -> Program {
    let path = |path: &Path| path.display().to_string();
    let words = words.iter().map(|&word| word.to_owned());
    let command =
        [path(&bundle.program)].into_iter().chain(words).chain(["--config".to_owned(), path(config)]);
    Program { name: name.to_owned(), place, command: command.collect() }
}

fn forward(name: &str, port: u16) -> PortForward {
    PortForward { name: name.to_owned(), place: Place::Site, machine: None, port, listen_port: 0 }
}

/// Writes a file that its owner alone can read.
pub fn write_private(file: &Path, text: &str) -> Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = fs::File::options();
    let mut file = options.create(true).truncate(true).write(true).mode(0o600).open(file)?;
    std::io::Write::write_all(&mut file, text.as_bytes())?;
    Ok(())
}
