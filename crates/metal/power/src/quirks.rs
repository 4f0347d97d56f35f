//! How Redfish services differ from each other, in one table: by who made the machine, or by what is answered. Pure.
//!
//! The boot override is what they differ about. [`first`] is what the specification (DSP0266) has one send;
//! [`next`] is what to try after a refusal.
#![allow(clippy::indexing_slicing, reason = "of a JSON value: what is missing reads as null")]

use serde_json::{Value, json};

/// One way of asking for the next start to be over the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// Path that is patched.
    pub path: String,
    /// `If-Match`, if any is sent.
    pub tag: Option<String>,
    /// `BootSourceOverrideMode`, if it is sent along.
    pub mode: Option<String>,
    /// `BootSourceOverrideEnabled`.
    pub enabled: &'static str,
}

/// How a machine that is on is started anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// By this `ResetType`.
    Reset(&'static str),
    /// By switching off, waiting for that, and switching on.
    OffAndOn,
}

struct Quirk {
    when: When,
    then: Then,
    /// Where it is described.
    #[allow(dead_code, reason = "for readers")]
    source: &'static str,
}

enum When {
    /// `Manufacturer` begins so, in lower case.
    MadeBy(&'static str),
    /// The patch was refused with this status, and these letters.
    Answers(u16, &'static str),
}

enum Then {
    /// Target and mode go together in one request; the mode stays what it is.
    WithMode,
    /// The mode can't be written.
    WithoutMode,
    /// A precondition is wanted, and there is no tag: any.
    MatchAny,
    /// The tag that it gave, as a strong one and quoted once.
    StrongTag,
    /// Its own tags don't fit: none.
    WithoutTag,
    /// What is to be is written to a resource of its own.
    FutureState,
}

const QUIRKS: [Quirk; 8] = [
    // Falls back to its default mode where none is sent.
    Quirk {
        when: When::MadeBy("supermicro"),
        then: Then::WithMode,
        source: "https://github.com/DMTF/Redfishtool/pull/106",
    },
    Quirk {
        when: When::Answers(400, "FutureState"),
        then: Then::FutureState,
        source: "https://github.com/DMTF/Redfish-Tacklebox/issues/144",
    },
    Quirk {
        when: When::Answers(400, "BootSourceOverrideMode"),
        then: Then::WithMode,
        source: "https://github.com/ansible-collections/community.general/issues/11542",
    },
    // HPE's, for one, has it read-only.
    Quirk {
        when: When::Answers(400, "BootSourceOverrideMode"),
        then: Then::WithoutMode,
        source: "https://github.com/ansible-collections/community.general/issues/3509",
    },
    // Lenovo's and AMI's.
    Quirk {
        when: When::Answers(428, ""),
        then: Then::MatchAny,
        source: "https://github.com/ansible/ansible/pull/56150",
    },
    Quirk {
        when: When::Answers(400, "PreconditionHeaderMissing"),
        then: Then::MatchAny,
        source: "https://github.com/stmcginnis/gofish/issues/171",
    },
    Quirk {
        when: When::Answers(412, ""),
        then: Then::StrongTag,
        source: "https://github.com/ansible-collections/community.general/pull/6434",
    },
    Quirk {
        when: When::Answers(412, ""),
        then: Then::WithoutTag,
        source: "https://github.com/ansible-collections/community.general/pull/3268",
    },
];

impl Override {
    /// What is sent.
    pub fn body(&self) -> Value {
        let mut boot = json!({
            "BootSourceOverrideEnabled": self.enabled,
            "BootSourceOverrideTarget": "Pxe",
        });
        if let (Some(mode), Some(boot)) = (&self.mode, boot.as_object_mut()) {
            boot.insert("BootSourceOverrideMode".to_owned(), json!(mode));
        }
        json!({ "Boot": boot })
    }
}

/// The first way to try with a system that is at `path` and whose answer had this tag.
pub fn first(system: &Value, path: &str, tag: Option<&str>) -> Override {
    let maker = system["Manufacturer"].as_str().unwrap_or_default().to_lowercase();
    let allowed = &system["Boot"]["BootSourceOverrideEnabled@Redfish.AllowableValues"];
    // Where it lasts, machines still start from their disks: the region tells them to.
    let once = allowed.as_array().is_none_or(|values| values.iter().any(|value| value == "Once"));
    let plain = Override {
        path: path.to_owned(),
        tag: tag.or_else(|| system["@odata.etag"].as_str()).map(str::to_owned),
        mode: None,
        enabled: if once { "Once" } else { "Continuous" },
    };
    let of_maker = |quirk: &&Quirk| matches!(quirk.when, When::MadeBy(name) if maker.starts_with(name));
    QUIRKS.iter().filter(of_maker).fold(plain, |way, quirk| apply(&quirk.then, &way, system))
}

/// The way to try after those that were `tried`, the last of which was answered by this status and text. `None`: it
/// stays refused.
pub fn next(tried: &[Override], system: &Value, status: u16, text: &str) -> Option<Override> {
    let last = tried.last()?;
    let fits = |quirk: &&Quirk| matches!(quirk.when, When::Answers(code, word) if code == status && text.contains(word));
    let ways = QUIRKS.iter().filter(fits).map(|quirk| apply(&quirk.then, last, system));
    ways.into_iter().find(|way| !tried.contains(way))
}

/// How a machine that is on is started anew, given the resets that its service allows, where it says.
pub fn restart(allowed: Option<&[&str]>) -> Restart {
    let Some(allowed) = allowed else { return Restart::Reset("ForceRestart") };
    let known = ["ForceRestart", "PowerCycle"].into_iter().find(|known| allowed.contains(known));
    known.map_or(Restart::OffAndOn, Restart::Reset)
}

fn apply(then: &Then, way: &Override, system: &Value) -> Override {
    let mut way = way.clone();
    let mode = || system["Boot"]["BootSourceOverrideMode"].as_str().map(str::to_owned);
    match then {
        Then::WithMode => way.mode = way.mode.or_else(mode),
        Then::WithoutMode => way.mode = None,
        Then::MatchAny => way.tag = Some("*".to_owned()),
        Then::StrongTag => way.tag = way.tag.map(|tag| format!("\"{}\"", bare(&tag))),
        Then::WithoutTag => way.tag = None,
        Then::FutureState => {
            let settings = system["@Redfish.Settings"]["SettingsObject"]["@odata.id"].as_str();
            let below = settings.filter(|path| path.starts_with("/redfish/"));
            way.path = below.map_or_else(|| format!("{}/SD", base(&way.path)), str::to_owned);
            // The tag was the other resource's.
            way.tag = Some("*".to_owned());
        }
    }
    way
}

fn base(path: &str) -> &str {
    let path = path.trim_end_matches('/');
    path.strip_suffix("/SD").unwrap_or(path)
}

/// What is between the quotes of a tag.
fn bare(tag: &str) -> &str {
    tag.strip_prefix("W/").unwrap_or(tag).trim_matches('"')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PATH: &str = "/redfish/v1/Systems/1";

    fn system(maker: &str) -> Value {
        json!({
            "Manufacturer": maker,
            "Boot": {"BootSourceOverrideMode": "UEFI"},
            "@odata.etag": "W/\"17\"",
        })
    }

    #[test]
    fn the_plain_way_and_that_of_a_maker() {
        let plain = first(&system("Contoso"), PATH, None);
        assert_eq!(
            plain.body(),
            json!({"Boot": {"BootSourceOverrideEnabled": "Once", "BootSourceOverrideTarget": "Pxe"}})
        );
        assert_eq!(plain.tag.as_deref(), Some("W/\"17\""));
        assert_eq!(first(&system("Contoso"), PATH, Some("\"18\"")).tag.as_deref(), Some("\"18\""));
        let with = first(&system("Supermicro"), PATH, None);
        assert_eq!(with.body()["Boot"]["BootSourceOverrideMode"], "UEFI");
        let old = json!({"Manufacturer": "Supermicro", "Boot": {}});
        assert_eq!(first(&old, PATH, None).mode, None, "it has no mode to send along");
        let lasting = json!({"Boot": {"BootSourceOverrideEnabled@Redfish.AllowableValues": ["Continuous"]}});
        assert_eq!(first(&lasting, PATH, None).enabled, "Continuous");
    }

    #[test]
    fn what_is_refused_is_tried_another_way() {
        let system = system("Contoso");
        let plain = first(&system, PATH, None);
        let after = |tried: Vec<Override>, status, text| next(&tried, &system, status, text);

        let strong = after(vec![plain.clone()], 412, "").unwrap();
        assert_eq!(strong.tag.as_deref(), Some("\"17\""));
        let bare = after(vec![plain.clone(), strong], 412, "").unwrap();
        assert_eq!(bare.tag, None);

        let untagged = Override { tag: None, ..plain.clone() };
        assert_eq!(after(vec![untagged], 428, "").unwrap().tag.as_deref(), Some("*"));

        let text = "The property BootSourceOverrideMode is a required property";
        let with = after(vec![plain.clone()], 400, text).unwrap();
        assert_eq!(with.mode.as_deref(), Some("UEFI"));
        assert_eq!(after(vec![plain.clone(), with], 400, text), None, "the other way was tried, too");

        let text = "Ami.1.0.OperationSupportedInFutureStateURI";
        assert_eq!(after(vec![plain.clone()], 400, text).unwrap().path, format!("{PATH}/SD"));
        assert_eq!(after(vec![plain.clone()], 400, "no such property"), None);
        assert_eq!(after(vec![plain], 500, ""), None);
    }

    #[test]
    fn a_restart_by_what_is_allowed() {
        assert_eq!(restart(None), Restart::Reset("ForceRestart"));
        assert_eq!(restart(Some(&["On", "ForceOff", "ForceRestart"])), Restart::Reset("ForceRestart"));
        assert_eq!(restart(Some(&["On", "ForceOff", "PowerCycle"])), Restart::Reset("PowerCycle"));
        assert_eq!(restart(Some(&["On", "ForceOff", "GracefulRestart"])), Restart::OffAndOn);
    }

    proptest! {
        /// Whatever a service answers, it is not asked for ever, and never twice the same way.
        #[test]
        fn the_tries_end(
            answers in proptest::collection::vec((prop_oneof![Just(400_u16), Just(412), Just(428), Just(500)], 0_usize..4), 40),
            tag in proptest::option::of("(W/)?\"{0,2}[a-z0-9]{0,4}\"{0,2}"),
        ) {
            let words = ["BootSourceOverrideMode", "FutureState", "PreconditionHeaderMissing", ""];
            let system = system("Contoso");
            let mut tried = vec![first(&system, PATH, tag.as_deref())];
            for (status, word) in answers {
                let Some(way) = next(&tried, &system, status, words[word]) else { break };
                prop_assert!(!tried.contains(&way));
                prop_assert!(way.path.starts_with(PATH));
                tried.push(way);
            }
            prop_assert!(tried.len() <= 20, "{:?}", tried);
        }
    }
}
