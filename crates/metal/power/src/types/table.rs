//! The rows.

use super::{Field, Form, Kind, Need, PowerType, Program, Reach, Scope};

/// All that there are, as they are described.
pub const ALL: [&PowerType; 6] = [&MANUAL, &REDFISH, &IPMI, &WEBHOOK, &VIRSH, &WAKE_ON_LAN];

pub const MANUAL: PowerType = PowerType {
    kind: Kind::Manual,
    name: "manual",
    description: "Manual",
    reach: Reach::None,
    program: None,
    fields: &[],
};

pub const REDFISH: PowerType = PowerType {
    kind: Kind::Redfish,
    name: "redfish",
    description: "Redfish",
    reach: Reach::Full,
    program: None,
    fields: &[
        text("power_address", "Redfish address").required(),
        text("power_user", "Redfish user").required(),
        password("power_pass", "Redfish password").required(),
        text("node_id", "Node ID").of_the_node(),
    ],
};

pub const IPMI: PowerType = PowerType {
    kind: Kind::Ipmi,
    name: "ipmi",
    description: "IPMI",
    reach: Reach::Full,
    program: Some(Program { name: "ipmitool", package: "ipmitool" }),
    fields: &[
        choice("power_driver", "Power driver", IPMI_DRIVERS, "LAN_2_0").required(),
        choice("power_boot_type", "Power boot type", IPMI_BOOT_TYPES, "auto"),
        text("power_address", "IP address").required(),
        text("power_user", "Power user"),
        password("power_pass", "Power password"),
        choice("power_off_mode", "Power off mode", IPMI_OFF_MODES, "hard"),
        password("k_g", "K_g BMC key"),
        choice("cipher_suite_id", "Cipher Suite ID", IPMI_CIPHER_SUITES, "3"),
        choice("privilege_level", "Privilege Level", IPMI_PRIVILEGES, "OPERATOR"),
        Field {
            form: Form::Choices(IPMI_WORKAROUNDS),
            default: "opensesspriv",
            ..text("workaround_flags", "Workaround Flags")
        },
        Field { form: Form::Mac, ..text("mac_address", "Power MAC") }.of_the_node(),
    ],
};

pub const WEBHOOK: PowerType = PowerType {
    kind: Kind::Webhook,
    name: "webhook",
    description: "Webhook",
    reach: Reach::Full,
    program: None,
    fields: &[
        text("power_on_uri", "URI to power on the node").required(),
        text("power_off_uri", "URI to power off the node").required(),
        text("power_query_uri", "URI to query the node's power status").required(),
        Field {
            default: r"status.*\:.*running",
            ..text("power_on_regex", "Regex to confirm the node is on").required()
        },
        Field {
            default: r"status.*\:.*stopped",
            ..text("power_off_regex", "Regex to confirm the node is off").required()
        },
        text("power_user", "Power user"),
        password("power_pass", "Power password"),
        password("power_token", "Power token, used in place of user and password"),
        choice("power_verify_ssl", "Verify TLS certificates", NO_OR_YES, "n").required(),
    ],
};

pub const VIRSH: PowerType = PowerType {
    kind: Kind::Virsh,
    name: "virsh",
    description: "Virsh (virtual systems)",
    reach: Reach::Full,
    program: Some(Program { name: "virsh", package: "libvirt-clients" }),
    fields: &[
        text("power_address", "Address").required(),
        password("power_pass", "Password (optional)"),
        text("power_id", "Virsh VM ID").required().of_the_node(),
    ],
};

/// What MAAS has not.
pub const WAKE_ON_LAN: PowerType = PowerType {
    kind: Kind::WakeOnLan,
    name: "wake_on_lan",
    description: "Wake on LAN (switches on only)",
    reach: Reach::On,
    program: None,
    fields: &[
        Field { form: Form::Mac, ..text("mac_address", "MAC address to wake") }.required().of_the_node(),
        Field { default: "255.255.255.255", ..text("power_address", "Broadcast address") },
    ],
};

type Choices = &'static [(&'static str, &'static str)];

const NO_OR_YES: Choices = &[("n", "No"), ("y", "Yes")];
const IPMI_DRIVERS: Choices = &[("LAN", "LAN [IPMI 1.5]"), ("LAN_2_0", "LAN_2_0 [IPMI 2.0]")];
const IPMI_BOOT_TYPES: Choices = &[("auto", "Automatic"), ("legacy", "Legacy boot"), ("efi", "EFI boot")];
const IPMI_OFF_MODES: Choices = &[("hard", "Hard"), ("soft", "Soft")];
/// Those that authenticate, check and encrypt.
const IPMI_CIPHER_SUITES: Choices = &[
    ("17", "17 - HMAC-SHA256::HMAC_SHA256_128::AES-CBC-128"),
    ("3", "3 - HMAC-SHA1::HMAC-SHA1-96::AES-CBC-128"),
    ("", "ipmitool's default"),
    ("8", "8 - HMAC-MD5::HMAC-MD5-128::AES-CBC-128"),
    ("12", "12 - HMAC-MD5::MD5-128::AES-CBC-128"),
];
const IPMI_PRIVILEGES: Choices = &[("USER", "User"), ("OPERATOR", "Operator"), ("ADMIN", "Administrator")];
const IPMI_WORKAROUNDS: Choices = &[
    ("opensesspriv", "Opensesspriv"),
    ("authcap", "Authcap"),
    ("idzero", "Idzero"),
    ("unexpectedauth", "Unexpectedauth"),
    ("forcepermsg", "Forcepermsg"),
    ("endianseq", "Endianseq"),
    ("intel20", "Intel20"),
    ("supermicro20", "Supermicro20"),
    ("sun20", "Sun20"),
    ("nochecksumcheck", "Nochecksumcheck"),
    ("integritycheckvalue", "Integritycheckvalue"),
    ("ipmiping", "Ipmiping"),
    ("", "None"),
];

const fn text(name: &'static str, label: &'static str) -> Field {
    Field { name, label, need: Need::Optional, form: Form::Text, default: "", scope: Scope::Bmc }
}

const fn password(name: &'static str, label: &'static str) -> Field {
    Field { form: Form::Password, ..text(name, label) }
}

const fn choice(name: &'static str, label: &'static str, of: Choices, default: &'static str) -> Field {
    Field { form: Form::Choice(of), default, ..text(name, label) }
}

impl Field {
    const fn required(self) -> Self {
        Self { need: Need::Required, ..self }
    }

    const fn of_the_node(self) -> Self {
        Self { scope: Scope::Node, ..self }
    }
}
