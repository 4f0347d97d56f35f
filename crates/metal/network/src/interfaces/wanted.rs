//! What a call asks of an interface, read from its parameters.

use api_call::{ApiError, Call, Faults, is_true, mac, words};
use model::{Bond, BondMode, Bridge, BridgeKind, HashPolicy, LacpRate};

/// A value that may be sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Sent<T> {
    /// Not sent: it stays as it is, or is MAAS's default.
    #[default]
    Absent,
    /// Sent empty: it is taken away.
    Empty,
    /// This value.
    Value(T),
}

/// Parameters of an interface.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Kernel name.
    pub name: Option<String>,
    /// Lower case with colons.
    pub mac: Option<String>,
    /// All tags.
    pub tags: Option<Vec<String>>,
    /// Number of the VLAN; empty: in none.
    pub vlan: Sent<u64>,
    /// Numbers of the interfaces it is made of.
    pub parents: Option<Vec<u64>>,
    /// Bytes.
    pub mtu: Sent<u32>,
    /// IPv6 router advertisements.
    pub accept_ra: Sent<bool>,
    /// Whether it is used.
    pub enabled: Option<bool>,
    /// Whether a cable is in.
    pub link_connected: Option<bool>,
    /// Mbit/s.
    pub link_speed: Option<u32>,
    /// Mbit/s.
    pub interface_speed: Option<u32>,
    /// Parameters of a bond.
    pub bond: BondWanted,
    /// Parameters of a bridge.
    pub bridge: BridgeWanted,
}

/// Parameters of a bond.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct BondWanted {
    pub mode: Option<BondMode>,
    pub miimon: Option<u32>,
    pub downdelay: Option<u32>,
    pub updelay: Option<u32>,
    pub lacp_rate: Option<LacpRate>,
    pub xmit_hash_policy: Option<HashPolicy>,
    pub num_grat_arp: Option<u8>,
}

/// Parameters of a bridge.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct BridgeWanted {
    pub kind: Option<BridgeKind>,
    pub stp: Option<bool>,
    pub fd: Option<u32>,
}

impl BondWanted {
    /// `bond` with what was sent.
    pub fn on(&self, bond: &Bond) -> Bond {
        Bond {
            mode: self.mode.unwrap_or(bond.mode),
            miimon: self.miimon.unwrap_or(bond.miimon),
            downdelay: self.downdelay.unwrap_or(bond.downdelay),
            updelay: self.updelay.unwrap_or(bond.updelay),
            lacp_rate: self.lacp_rate.unwrap_or(bond.lacp_rate),
            xmit_hash_policy: self.xmit_hash_policy.unwrap_or(bond.xmit_hash_policy),
            num_grat_arp: self.num_grat_arp.unwrap_or(bond.num_grat_arp),
        }
    }
}

impl BridgeWanted {
    /// `bridge` with what was sent.
    pub fn on(&self, bridge: &Bridge) -> Bridge {
        Bridge {
            kind: self.kind.unwrap_or(bridge.kind),
            stp: self.stp.unwrap_or(bridge.stp),
            fd: self.fd.unwrap_or(bridge.fd),
        }
    }
}

/// Reads the parameters of a call.
///
/// # Errors
/// [`ApiError::Fields`] with what cannot be read.
pub fn read(call: &Call) -> Result<Wanted, ApiError> {
    let mut faults = Faults::default();
    let sent = Reader { call };
    let wanted = Wanted {
        name: sent.name(&mut faults),
        mac: sent.mac(&mut faults),
        tags: sent.tags(),
        vlan: sent.number("vlan", 0, u64::MAX, &mut faults),
        parents: sent.parents(&mut faults),
        mtu: sent.number("mtu", 552, u32::from(u16::MAX), &mut faults),
        accept_ra: sent.flag("accept_ra"),
        enabled: sent.flag("enabled").value(),
        link_connected: sent.flag("link_connected").value(),
        link_speed: sent.number("link_speed", 0, u32::MAX, &mut faults).value(),
        interface_speed: sent.number("interface_speed", 0, u32::MAX, &mut faults).value(),
        bond: BondWanted {
            mode: sent.choice("bond_mode", BondMode::ALL, BondMode::word, &mut faults),
            miimon: sent.number("bond_miimon", 0, u32::MAX, &mut faults).value(),
            downdelay: sent.number("bond_downdelay", 0, u32::MAX, &mut faults).value(),
            updelay: sent.number("bond_updelay", 0, u32::MAX, &mut faults).value(),
            lacp_rate: sent.choice("bond_lacp_rate", LacpRate::ALL, LacpRate::word, &mut faults),
            xmit_hash_policy: sent.choice(
                "bond_xmit_hash_policy",
                HashPolicy::ALL,
                HashPolicy::word,
                &mut faults,
            ),
            num_grat_arp: sent.number("bond_num_grat_arp", 0, u8::MAX, &mut faults).value(),
        },
        bridge: BridgeWanted {
            kind: sent.choice("bridge_type", BridgeKind::ALL, BridgeKind::word, &mut faults),
            stp: sent.flag("bridge_stp").value(),
            fd: sent.number("bridge_fd", 0, u32::MAX, &mut faults).value(),
        },
    };
    faults.check()?;
    Ok(wanted)
}

/// Longest name that Linux takes.
const LONGEST_NAME: usize = 15;

/// What is said of a name that Linux does not take; `None` if it does.
pub fn name_fault(name: &str) -> Option<String> {
    let good = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
    if !name.chars().all(good) || matches!(name, "." | "..") {
        return Some("Enter a valid value.".to_owned());
    }
    (name.len() > LONGEST_NAME)
        .then(|| format!("Ensure this value has at most {LONGEST_NAME} characters (it has {}).", name.len()))
}

impl<T> Sent<T> {
    fn value(self) -> Option<T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Absent | Self::Empty => None,
        }
    }

    /// What is there afterwards, where `was` was.
    pub fn on(self, was: Option<T>) -> Option<T> {
        match self {
            Self::Absent => was,
            Self::Empty => None,
            Self::Value(value) => Some(value),
        }
    }
}

struct Reader<'c> {
    call: &'c Call,
}

impl Reader<'_> {
    fn text(&self, name: &str) -> Option<&str> {
        self.call.param(name).map(str::trim).filter(|text| !text.is_empty())
    }

    fn name(&self, faults: &mut Faults) -> Option<String> {
        let name = self.text("name")?;
        if let Some(fault) = name_fault(name) {
            faults.add("name", fault);
        }
        Some(name.to_owned())
    }

    fn mac(&self, faults: &mut Faults) -> Option<String> {
        let text = self.text("mac_address")?;
        let parsed = mac(text);
        if parsed.is_none() {
            faults.add("mac_address", format!("'{text}' is not a valid MAC address."));
        }
        parsed
    }

    fn tags(&self) -> Option<Vec<String>> {
        self.call.param("tags")?;
        let mut tags: Vec<String> = Vec::new();
        for tag in self.call.all("tags").into_iter().flat_map(words) {
            if !tags.iter().any(|known| known == tag) {
                tags.push(tag.to_owned());
            }
        }
        Some(tags)
    }

    /// `parents`, repeated, or `parent` for what has one.
    fn parents(&self, faults: &mut Faults) -> Option<Vec<u64>> {
        let name = if self.call.param("parent").is_some() { "parent" } else { "parents" };
        self.call.param(name)?;
        let mut parents = Vec::new();
        for text in self.call.all(name).into_iter().flat_map(words) {
            match text.parse() {
                Ok(number) if parents.contains(&number) => {}
                Ok(number) => parents.push(number),
                Err(_) => faults.add(name, format!("\u{201c}{text}\u{201d} is not a valid value.")),
            }
        }
        Some(parents)
    }

    fn flag(&self, name: &str) -> Sent<bool> {
        match self.call.param(name).map(str::trim) {
            None => Sent::Absent,
            Some("") => Sent::Empty,
            Some(text) => Sent::Value(is_true(text)),
        }
    }

    fn number<T>(&self, name: &str, least: T, most: T, faults: &mut Faults) -> Sent<T>
    where
        T: Copy + Into<u64> + TryFrom<u64>,
    {
        let (least, most): (u64, u64) = (least.into(), most.into());
        match self.call.param(name).map(str::trim) {
            None => return Sent::Absent,
            Some("") => return Sent::Empty,
            Some(text) => match text.parse::<u64>() {
                Ok(number) if number < least => {
                    faults.add(name, format!("Ensure this value is greater than or equal to {least}."));
                }
                Ok(number) if number > most => {
                    faults.add(name, format!("Ensure this value is less than or equal to {most}."));
                }
                Ok(number) => return T::try_from(number).map_or(Sent::Absent, Sent::Value),
                Err(_) if text.parse::<i64>().is_ok() => {
                    faults.add(name, format!("Ensure this value is greater than or equal to {least}."));
                }
                Err(_) => faults.add(name, "Enter a whole number."),
            },
        }
        Sent::Absent
    }

    fn choice<T: Copy>(
        &self,
        name: &str,
        all: &[T],
        word: fn(T) -> &'static str,
        faults: &mut Faults,
    ) -> Option<T> {
        let text = self.text(name)?;
        let chosen = all.iter().copied().find(|one| word(*one) == text);
        if chosen.is_none() {
            faults.add(name, not_a_choice(name, text, all.iter().map(|one| word(*one))));
        }
        chosen
    }
}

/// MAAS's words for a value that is none of those there are.
pub fn not_a_choice(name: &str, text: &str, all: impl IntoIterator<Item = impl std::fmt::Display>) -> String {
    let all: Vec<String> = all.into_iter().map(|one| format!("'{one}'")).collect();
    format!("'{text}' is not a valid {name}.  It should be one of: {}.", all.join(", "))
}
