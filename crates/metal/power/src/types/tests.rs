use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn wrong(kind: Kind, sent: &[(&str, &str)]) -> Vec<String> {
    let sent: BTreeMap<&str, &str> = sent.iter().copied().collect();
    faults(kind, |name| sent.get(name).copied())
}

#[test]
fn each_row_is_its_kinds_and_its_defaults_pass_its_own_checks() {
    for known in ALL {
        assert_eq!(known.kind.row().name, known.name);
        assert_eq!(Kind::named(known.name), Some(known.kind));
        for field in known.fields {
            if !field.default.is_empty() {
                assert_eq!(field.check(field.default), Ok(()), "{} {}", known.name, field.name);
            }
        }
    }
}

#[test]
fn the_description_has_maass_keys() {
    let described = describe(|program| program.name != "virsh");
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    for known in described.as_array().unwrap() {
        assert_eq!(
            keys(known),
            [
                "can_probe",
                "can_set_boot_order",
                "description",
                "driver_type",
                "fields",
                "missing_packages",
                "name",
                "queryable"
            ]
        );
        for field in known["fields"].as_array().unwrap() {
            assert_eq!(
                keys(field),
                ["choices", "default", "field_type", "label", "name", "required", "scope", "secret"]
            );
        }
    }
    let named = |name| described.as_array().unwrap().iter().find(|known| known["name"] == name).unwrap();
    assert_eq!(named("virsh")["missing_packages"], json!(["libvirt-clients"]));
    assert_eq!(named("ipmi")["missing_packages"], json!([]));
    assert_eq!((&named("manual")["queryable"], &named("ipmi")["queryable"]), (&json!(false), &json!(true)));
    let fields = named("ipmi")["fields"].as_array().unwrap();
    let of = |name| fields.iter().find(|field| field["name"] == name).unwrap();
    assert_eq!(of("power_pass")["secret"], true);
    assert_eq!(of("power_pass")["field_type"], "password");
    assert_eq!(of("mac_address")["scope"], "node");
    assert_eq!(of("workaround_flags")["default"], json!(["opensesspriv"]));
    assert_eq!(of("power_driver")["choices"][1], json!(["LAN_2_0", "LAN_2_0 [IPMI 2.0]"]));
}

#[test]
fn parameters_are_refused_in_maass_words() {
    assert_eq!(wrong(Kind::Manual, &[]), [""; 0]);
    assert_eq!(wrong(Kind::Ipmi, &[]), ["This field is required."]);
    assert_eq!(wrong(Kind::Ipmi, &[("power_user", "u")]), ["IP address: This field is required."]);
    assert_eq!(wrong(Kind::Ipmi, &[("power_address", "10.0.0.5")]), [""; 0], "the rest has defaults");
    let sent = [("power_address", "10.0.0.5"), ("power_driver", "USB"), ("mac_address", "zz")];
    assert_eq!(
        wrong(Kind::Ipmi, &sent),
        [
            "Power driver: Select a valid choice. USB is not one of the available choices.",
            "Power MAC: 'zz' is not a valid MAC address."
        ]
    );
    let sent = [("power_address", "a"), ("workaround_flags", "intel20,nonsense")];
    assert_eq!(
        wrong(Kind::Ipmi, &sent),
        ["Workaround Flags: Select a valid choice. nonsense is not one of the available choices."]
    );
    let redfish = [("power_address", "a"), ("power_user", "u")];
    assert_eq!(wrong(Kind::Redfish, &redfish), ["Redfish password: This field is required."]);
}

#[test]
fn other_types_are_refused_and_those_that_there_are_named() {
    assert_eq!(
        kind("nosuch").unwrap_err(),
        "Select a valid choice. nosuch is not one of the available choices."
    );
    let sentence = kind("amt").unwrap_err();
    assert!(sentence.contains("amt is not supported") && sentence.contains("ipmi, webhook"), "{sentence}");
    assert!(ELSEWHERE.iter().all(|name| Kind::named(name).is_none()), "a type is supported after all");
}

#[test]
fn several_choices_are_shown_as_a_list() {
    assert_eq!(shown("ipmi", "workaround_flags", "intel20,authcap"), json!(["intel20", "authcap"]));
    assert_eq!(shown("ipmi", "power_address", "a,b"), json!("a,b"));
    assert_eq!(shown("gone", "power_address", "a"), json!("a"));
}

proptest! {
    #[test]
    fn mac_addresses_read_however_they_are_written(bytes: [u8; 6], upper: bool) {
        for between in [":", "-", ""] {
            let parts: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            let text = parts.join(between);
            let text = if upper { text.to_uppercase() } else { text };
            prop_assert_eq!(mac(&text), Some(bytes));
        }
    }

    #[test]
    fn other_texts_are_no_mac_addresses(text in "[0-9a-g:+ é-]{0,18}") {
        if mac(&text).is_some() {
            prop_assert!(text.chars().filter(char::is_ascii_hexdigit).count() == 12, "{}", text);
        }
    }

    /// Whatever is sent is told what is wrong with it, or has all that a driver needs.
    #[test]
    fn what_passes_has_what_is_required(sent in proptest::collection::btree_map("power_[a-z]{2,9}|mac_address|node_id", ".{0,9}", 0..6)) {
        for known in ALL {
            if faults(known.kind, |name| sent.get(name).map(String::as_str)).is_empty() {
                for field in known.fields.iter().filter(|field| field.need == Need::Required) {
                    let there = sent.get(field.name).is_some_and(|value| !value.is_empty());
                    prop_assert!(there || !field.default.is_empty(), "{} {}", known.name, field.name);
                }
            }
        }
    }
}
