//! Storage constraints: `label:size(tag,tag),…`, sizes in decimal GB, the first for the root disk.

use disks::Disk;
use model::Machine;

/// One wanted disk.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// Name that the answer uses.
    pub label: String,
    /// Bytes at least.
    pub bytes: u64,
    /// Tags it must have.
    pub tags: Vec<String>,
}

/// Reads a constraint; `None` if it is malformed.
pub fn parse(text: &str) -> Option<Vec<Wanted>> {
    let mut wanted = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let end = rest.find([',', '(']).unwrap_or(rest.len());
        let (head, mut tail) = rest.split_at_checked(end)?;
        let mut tags = Vec::new();
        if let Some(open) = tail.strip_prefix('(') {
            let (inside, after) = open.split_once(')')?;
            tags =
                inside.split(',').map(str::trim).filter(|tag| !tag.is_empty()).map(str::to_owned).collect();
            tail = after;
        }
        let (label, size) = head.split_once(':').map_or((None, head), |(label, size)| (Some(label), size));
        let gigabytes: f64 = size.trim().parse().ok()?;
        if !gigabytes.is_finite() || gigabytes < 0.0 {
            return None;
        }
        #[allow(clippy::cast_sign_loss, reason = "checked above")]
        let bytes = (gigabytes * 1e9) as u64;
        let label = label.map_or_else(|| wanted.len().to_string(), |label| label.trim().to_owned());
        wanted.push(Wanted { label, bytes, tags });
        rest = match tail.strip_prefix(',') {
            Some(next) => next,
            None if tail.is_empty() => "",
            None => return None,
        };
    }
    Some(wanted)
}

/// A disk for each, the first on the boot disk, the others on the smallest that will do; `None` if one is missing.
pub fn fit<'m>(wanted: &[Wanted], machine: &'m Machine) -> Option<Vec<(String, &'m Disk)>> {
    let will_do = |disk: &Disk, one: &Wanted| {
        disk.size >= one.bytes && one.tags.iter().all(|tag| disk.tags.contains(tag))
    };
    let mut chosen: Vec<(String, &Disk)> = Vec::new();
    for one in wanted {
        let free = |disk: &&Disk| !chosen.iter().any(|(_, taken)| taken.number == disk.number);
        let disk = if chosen.is_empty() {
            machine.boot_disk().filter(|disk| will_do(disk, one))
        } else {
            machine
                .storage
                .disks
                .iter()
                .filter(free)
                .filter(|disk| will_do(disk, one))
                .min_by_key(|disk| disk.size)
        }?;
        chosen.push((one.label.clone(), disk));
    }
    Some(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn maas_forms_are_read() {
        let read = parse("root:1000(ssd,sata),20").unwrap();
        assert_eq!(
            (read[0].label.as_str(), read[0].bytes, read[0].tags.len()),
            ("root", 1_000_000_000_000, 2)
        );
        assert_eq!((read[1].label.as_str(), read[1].bytes), ("1", 20_000_000_000));
        assert_eq!(parse("x"), None);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,60}|[a-z0-9:(),.]{0,40}") {
            parse(&text);
        }
    }
}
