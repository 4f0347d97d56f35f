//! Power types and parameters over the API.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::region;
use http::StatusCode;
use serde_json::json;

const MACHINE: &str = "architecture=amd64&mac_addresses=52:54:00:aa:00:01&commission=false";

#[tokio::test]
async fn the_types_are_described() {
    let region = region().await;
    let path = "/rackcontrollers/?op=describe_power_types";
    let types = region.call("user1", "GET", path, None).await.ok();
    let names: Vec<&str> =
        types.as_array().unwrap().iter().map(|known| known["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["manual", "redfish", "ipmi", "webhook", "virsh", "wake_on_lan"]);
    assert_eq!(types[0]["driver_type"], "power");
    assert_eq!(region.call("", "GET", path, None).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn types_and_parameters_are_checked_at_creation_and_at_change() {
    let region = region().await;
    let refused = async |form: &str| {
        let answer = region.call("admin", "POST", "/machines/", Some(&format!("{MACHINE}&{form}"))).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{form}: {}", answer.text);
        answer.json()
    };
    assert_eq!(
        refused("power_type=amt").await,
        json!({"power_type": ["Power type amt is not supported here. Supported are: manual, redfish, ipmi, webhook, virsh, wake_on_lan."]})
    );
    assert_eq!(
        refused("power_type=ipmi&power_parameters_power_user=u").await,
        json!({"power_parameters": ["IP address: This field is required."]})
    );
    assert_eq!(
        refused("power_type=ipmi&power_parameters=x").await["power_parameters"][0],
        "Failed to parse JSON power_parameters"
    );
    // What passes the table, but not its driver.
    let address = "power_parameters_power_id=vm1&power_parameters_power_address=qemu%2Bext://h/?command=sh";
    let sentence = refused(&format!("power_type=virsh&{address}")).await["power_parameters"][0].to_string();
    assert!(sentence.contains("power_address cannot be used"), "{sentence}");

    let form = format!(
        "{MACHINE}&power_type=ipmi&power_parameters_power_address=10.0.0.5&power_parameters_power_pass=geheim\
         &power_parameters_workaround_flags=intel20&power_parameters_workaround_flags=authcap&power_parameters_colour=red"
    );
    let made = region.call("admin", "POST", "/machines/", Some(&form)).await.ok();
    assert_eq!(made["power_type"], "ipmi");
    assert!(!made.to_string().contains("geheim"));
    let path = format!("/machines/{}/", made["system_id"].as_str().unwrap());
    let shown = async || region.call("admin", "GET", &format!("{path}?op=power_parameters"), None).await.ok();
    let expected = json!({"power_address": "10.0.0.5", "power_pass": "geheim", "workaround_flags": ["intel20", "authcap"]});
    assert_eq!(shown().await, expected);

    let change = async |form: &str| region.call("admin", "PUT", &path, Some(form)).await;
    assert_eq!(change("description=d").await.status, StatusCode::OK, "nothing of power was sent");
    assert_eq!(shown().await, expected);
    let wrong = change("power_parameters_privilege_level=KING").await;
    assert_eq!(
        wrong.json(),
        json!({"power_parameters": ["Privilege Level: Select a valid choice. KING is not one of the available choices."]})
    );
    change("power_parameters=%7B%22power_user%22:%22maas%22,%22k_g%22:null%7D").await.ok();
    assert_eq!(shown().await["power_user"], "maas");
    // Another type begins anew; what nobody knows is kept only where nothing is to be looked at.
    change("power_type=manual").await.ok();
    assert_eq!(shown().await, json!({}));
    change("power_type=wake_on_lan&power_parameters_skip_check=true&power_parameters_colour=red").await.ok();
    assert_eq!(shown().await, json!({"colour": "red"}));
}
