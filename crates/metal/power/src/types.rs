//! The power types: the one table that is described to clients, that parameters are checked by, and that drivers are
//! made from. Pure.
//!
//! Names, defaults and choices are MAAS 3.7's (`rackcontrollers/?op=describe_power_types`), so that a client of MAAS
//! finds what it knows. [`Kind::WakeOnLan`] is ours.

use serde_json::{Value, json};

mod table;

pub use table::ALL;

/// How a machine's power is switched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// By a person.
    Manual,
    /// Redfish (DMTF DSP0266).
    Redfish,
    /// IPMI 1.5 or 2.0 over LAN.
    Ipmi,
    /// HTTP requests to addresses that the administrator names.
    Webhook,
    /// libvirt.
    Virsh,
    /// A magic packet.
    WakeOnLan,
}

/// What a power type can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Nothing: a person switches.
    None,
    /// Switch on.
    On,
    /// Switch on and off, and tell.
    Full,
}

/// A power type.
#[derive(Debug, Clone, Copy)]
pub struct PowerType {
    /// Which.
    pub kind: Kind,
    /// MAAS's `power_type`.
    pub name: &'static str,
    /// For people.
    pub description: &'static str,
    /// What it can do.
    pub reach: Reach,
    /// The program that it runs.
    pub program: Option<Program>,
    /// Its parameters.
    pub fields: &'static [Field],
}

/// A program that a driver runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Program {
    /// Its name.
    pub name: &'static str,
    /// The Debian package that brings it.
    pub package: &'static str,
}

/// A parameter of a power type.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Its key in MAAS's `power_parameters`.
    pub name: &'static str,
    /// For people.
    pub label: &'static str,
    /// Whether it must be there.
    pub need: Need,
    /// What it may be.
    pub form: Form,
    /// What it is where nothing was sent; empty: nothing.
    pub default: &'static str,
    /// Whose it is.
    pub scope: Scope,
}

/// Whether a parameter must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// It must; its default will do.
    Required,
    /// It need not.
    Optional,
}

/// What a parameter may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Any text.
    Text,
    /// A text that is shown to administrators only.
    Password,
    /// A MAC address.
    Mac,
    /// One of these: value and label.
    Choice(&'static [(&'static str, &'static str)]),
    /// Some of these; as text with commas between.
    Choices(&'static [(&'static str, &'static str)]),
}

/// Whose a parameter is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The BMC's: the same for all machines that it manages.
    Bmc,
    /// One machine's.
    Node,
}

/// Power types of MAAS that there is no driver for here.
const ELSEWHERE: [&str; 19] = [
    "amt", "apc", "dli", "eaton", "hmc", "hmcz", "lxd", "moonshot", "mscm", "msftocs", "nova", "openbmc",
    "proxmox", "raritan", "recs_box", "sm15k", "ucsm", "vmware", "wedge",
];

impl Kind {
    /// The kind that MAAS calls so.
    pub fn named(name: &str) -> Option<Self> {
        ALL.iter().find(|known| known.name == name).map(|known| known.kind)
    }

    /// Its row of the table.
    pub const fn row(self) -> &'static PowerType {
        match self {
            Self::Manual => &table::MANUAL,
            Self::Redfish => &table::REDFISH,
            Self::Ipmi => &table::IPMI,
            Self::Webhook => &table::WEBHOOK,
            Self::Virsh => &table::VIRSH,
            Self::WakeOnLan => &table::WAKE_ON_LAN,
        }
    }
}

impl Field {
    /// Whether its value is shown to administrators only.
    pub fn secret(&self) -> bool {
        self.form == Form::Password
    }

    /// Why a value is none for it, in MAAS's words.
    ///
    /// # Errors
    /// The sentence, without the parameter's name.
    pub fn check(&self, value: &str) -> Result<(), String> {
        if value.is_empty() {
            let missing = self.need == Need::Required && self.default.is_empty();
            return if missing { Err(REQUIRED.to_owned()) } else { Ok(()) };
        }
        match self.form {
            Form::Text | Form::Password if value.contains('\0') => {
                Err("Null characters are not allowed.".to_owned())
            }
            Form::Text | Form::Password => Ok(()),
            Form::Mac if mac(value).is_some() => Ok(()),
            Form::Mac => Err(format!("'{value}' is not a valid MAC address.")),
            Form::Choice(choices) => one_of(choices, value),
            Form::Choices(choices) => words(value).try_for_each(|word| one_of(choices, word)),
        }
    }

    fn describe(&self) -> Value {
        let (field_type, choices): (&str, &[_]) = match self.form {
            Form::Text => ("string", &[]),
            Form::Password => ("password", &[]),
            Form::Mac => ("mac_address", &[]),
            Form::Choice(choices) => ("choice", choices),
            Form::Choices(choices) => ("multiple_choice", choices),
        };
        let choices: Vec<Value> = choices.iter().map(|(value, label)| json!([value, label])).collect();
        json!({
            "name": self.name,
            "label": self.label,
            "required": self.need == Need::Required,
            "field_type": field_type,
            "choices": choices,
            "default": self.shown(self.default),
            "scope": match self.scope { Scope::Bmc => "bmc", Scope::Node => "node" },
            "secret": self.secret(),
        })
    }

    fn shown(&self, value: &str) -> Value {
        match self.form {
            Form::Choices(_) => words(value).collect(),
            _ => Value::from(value),
        }
    }
}

/// MAAS's word for what is missing.
const REQUIRED: &str = "This field is required.";

/// What `describe_power_types` answers, given which programs are there.
pub fn describe(installed: impl Fn(Program) -> bool) -> Value {
    let describe = |known: &PowerType| {
        let missing: Vec<&str> =
            known.program.filter(|program| !installed(*program)).map(|p| p.package).into_iter().collect();
        json!({
            "driver_type": "power",
            "name": known.name,
            "description": known.description,
            "fields": known.fields.iter().map(Field::describe).collect::<Vec<_>>(),
            "missing_packages": missing,
            "queryable": known.reach == Reach::Full,
            "can_probe": false,
            // Before each boot over the network it is asked for; MAAS means a lasting order by this.
            "can_set_boot_order": false,
        })
    };
    ALL.iter().map(|known| describe(known)).collect()
}

/// The kind that `power_type` names.
///
/// # Errors
/// A sentence: MAAS's own for what it does not know either.
pub fn kind(name: &str) -> Result<Kind, String> {
    if ELSEWHERE.contains(&name) {
        let names: Vec<&str> = ALL.iter().map(|known| known.name).collect();
        return Err(format!("Power type {name} is not supported here. Supported are: {}.", names.join(", ")));
    }
    Kind::named(name)
        .ok_or_else(|| format!("Select a valid choice. {name} is not one of the available choices."))
}

/// What is wrong with the parameters of a kind, in MAAS's words: nothing sent at all is one sentence.
pub fn faults<'a>(kind: Kind, value: impl Fn(&str) -> Option<&'a str>) -> Vec<String> {
    let of = |field: &Field| value(field.name).unwrap_or_default();
    let fields = kind.row().fields;
    let needed = fields.iter().any(|field| field.need == Need::Required);
    if needed && fields.iter().all(|field| of(field).is_empty()) {
        return vec![REQUIRED.to_owned()];
    }
    let wrong = |field: &Field| Some(format!("{}: {}", field.label, field.check(of(field)).err()?));
    fields.iter().filter_map(wrong).collect()
}

/// Whether the parameter of this name may have several values.
pub fn takes_several(name: &str) -> bool {
    let mut fields = ALL.iter().flat_map(|known| known.fields);
    fields.any(|field| field.name == name && matches!(field.form, Form::Choices(_)))
}

/// A stored parameter as `power_parameters` shows it: a list where several may be chosen.
pub fn shown(kind: &str, name: &str, value: &str) -> Value {
    let field = Kind::named(kind).and_then(|kind| kind.row().fields.iter().find(|field| field.name == name));
    field.map_or_else(|| Value::from(value), |field| field.shown(value))
}

/// A MAC address, with colons, dashes or nothing between.
pub fn mac(text: &str) -> Option<[u8; 6]> {
    let digits: String = match text.len() {
        12 => text.to_owned(),
        17 => {
            let between = text.as_bytes().get(2).filter(|byte| b":-".contains(byte))?;
            let parts: Vec<&str> = text.split(char::from(*between)).collect();
            if parts.len() != 6 || parts.iter().any(|part| part.len() != 2) {
                return None;
            }
            parts.concat()
        }
        _ => return None,
    };
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let number = u64::from_str_radix(&digits, 16).ok()?.to_be_bytes();
    number.get(2..)?.try_into().ok()
}

fn one_of(choices: &[(&str, &str)], value: &str) -> Result<(), String> {
    if choices.iter().any(|(known, _)| *known == value) {
        return Ok(());
    }
    Err(format!("Select a valid choice. {value} is not one of the available choices."))
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests;
