//! What a lab holds of this host: processes, namespaces, mounts, loop devices, control groups, files.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Programs that a lab runs outside its machines, as the kernel names them.
const PROGRAMS: [&str; 2] = ["bessemer", "qemu-system-x86"];

/// What is there of the lab `name` whose folder is `dir`, by kind; empty where nothing is.
pub fn held(name: &str, dir: &Path) -> BTreeMap<&'static str, Vec<String>> {
    let all = [
        ("process", processes(name, dir)),
        ("network namespace", namespaces(name)),
        ("mount", mounts(dir)),
        ("loop device", loops(dir)),
        ("control group", groups(name).iter().map(|group| group.display().to_string()).collect()),
    ];
    all.into_iter().filter(|(_, found)| !found.is_empty()).collect()
}

/// The same, one sentence each, with the folder.
pub fn leftovers(name: &str, dir: &Path) -> Vec<String> {
    let mut found: Vec<String> = held(name, dir)
        .iter()
        .flat_map(|(kind, found)| found.iter().map(move |what| format!("{kind} {what}")))
        .collect();
    found.extend(dir.exists().then(|| format!("folder {}", dir.display())));
    found
}

/// Names of all files and folders below `dir`, sorted.
pub fn files(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            found.extend(path.strip_prefix(dir).ok().map(|name| name.display().to_string()));
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                open.push(path);
            }
        }
    }
    found.sort_unstable();
    found
}

/// A process that works for a lab.
#[derive(Debug)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// Its program, as the kernel names it.
    pub program: String,
    /// Its command line.
    pub arguments: String,
    /// It runs in one of the machines.
    inside: bool,
    /// Its environment names the lab's folder, or its command line does.
    named: bool,
}

/// Processes of the lab's own, and those in its machines: the first by their arguments, the others by their group.
pub fn of_lab(name: &str, dir: &Path) -> Vec<Process> {
    let (group, folder) = (format!("/bsm-{name}/"), dir.display().to_string());
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|pid| pid.parse::<u32>().ok()) else { continue };
        let read = |file: &str| {
            let bytes = fs::read(entry.path().join(file)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).replace('\0', " ")
        };
        let (program, arguments) = (read("comm").trim().to_owned(), read("cmdline").trim().to_owned());
        let inside = read("cgroup").lines().any(|line| format!("{line}/").contains(&group));
        let named = arguments.contains(&folder) || read("environ").contains(&folder);
        let dead = read("stat").rsplit(") ").next().is_some_and(|rest| rest.starts_with(['Z', 'X']));
        if (inside || named) && !dead {
            found.push(Process { pid, program, arguments, inside, named });
        }
    }
    found
}

/// MiB that processes have in memory, what they share counted once.
pub fn memory(processes: &[Process]) -> f64 {
    let share = |process: &Process| {
        let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", process.pid)).unwrap_or_default();
        let kib = text.lines().find_map(|line| line.strip_prefix("Pss:"));
        kib.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok()).unwrap_or_default()
    };
    processes.iter().map(share).sum::<f64>() / 1024.0
}

fn processes(name: &str, dir: &Path) -> Vec<String> {
    let ours =
        |process: &Process| process.inside || process.named && PROGRAMS.contains(&process.program.as_str());
    let all = of_lab(name, dir).into_iter().filter(ours);
    all.map(|process| format!("{} {} {}", process.pid, process.program, process.arguments)).collect()
}

fn namespaces(name: &str) -> Vec<String> {
    let (own, machines) =
        (["site", "cloud"].map(|place| format!("bsm-{name}-{place}")), format!("bsm-{name}."));
    let entries = fs::read_dir("/run/netns").into_iter().flatten().flatten();
    let mut found: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|namespace| own.contains(namespace) || namespace.starts_with(&machines))
        .collect();
    found.sort_unstable();
    found
}

fn mounts(dir: &Path) -> Vec<String> {
    let table = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let points = table.lines().filter_map(|line| line.split(' ').nth(1));
    points.filter(|point| Path::new(point).starts_with(dir)).map(str::to_owned).collect()
}

fn loops(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/sys/block").into_iter().flatten().flatten() {
        let file = fs::read_to_string(entry.path().join("loop/backing_file")).unwrap_or_default();
        if Path::new(file.trim()).starts_with(dir) {
            found.push(format!("{} {}", entry.file_name().display(), file.trim()));
        }
    }
    found.sort_unstable();
    found
}

/// The lab's group in every hierarchy: version 2 is the folder itself, version 1 has folders below.
fn groups(name: &str) -> Vec<PathBuf> {
    let top = Path::new("/sys/fs/cgroup");
    let below = fs::read_dir(top).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found: Vec<PathBuf> = std::iter::once(top.to_owned())
        .chain(below)
        .map(|hierarchy| hierarchy.join(format!("bsm-{name}")))
        .filter(|group| group.is_dir())
        .collect();
    found.sort_unstable();
    found
}
