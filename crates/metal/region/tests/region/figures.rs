//! `/metrics`, as somebody with a dashboard looks at it.

use maas_client::Status;

use crate::{life::deploy, site::Site};

/// The value of a sample; its labels in any order.
fn value<'t>(text: &'t str, name: &str, labels: &[(&str, &str)]) -> Option<&'t str> {
    text.lines().find_map(|line| {
        let rest = line.strip_prefix(name)?;
        let (given, value) = match rest.strip_prefix('{') {
            Some(rest) => rest.split_once("} ")?,
            None => ("", rest.strip_prefix(' ')?),
        };
        let fits = labels.iter().all(|(key, value)| given.contains(&format!("{key}=\"{value}\"")));
        fits.then_some(value)
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_figures_of_a_deployment() {
    let site = Site::start(2).await;
    let node = &site.nodes[0];
    let id = site.commissioned(node).await;
    site.client().deploy(&id, &deploy("debian/bookworm", "")).await.unwrap();
    site.reaches(&id, Status::Deployed).await;
    site.client().machine("nobody").await.unwrap_err();

    for port in [site.api, site.boot] {
        let answer = node.http.get(format!("http://127.0.0.1:{port}/metrics")).send().await.unwrap();
        assert!(answer.headers()["content-type"].to_str().unwrap().starts_with("text/plain; version=0.0.4"));
        let text = answer.text().await.unwrap();
        let text_of = |name: &str, labels: &[(&str, &str)]| {
            value(&text, &format!("bessemer_{name}"), labels)
                .unwrap_or_else(|| panic!("{name} {labels:?} in {text}"))
        };
        let of = |name: &str, labels: &[(&str, &str)]| text_of(name, labels).parse::<u64>().unwrap();
        assert_eq!(of("machines", &[("status", "Deployed")]), 1);
        assert_eq!(of("machines", &[("status", "Ready")]), 0);
        assert!(of("reconcile_steps_total", &[("step", "move")]) >= 2);
        assert!(of("reconcile_queue_length", &[]) <= 2);
        assert!(of("bmc_call_duration_seconds_count", &[("call", "boot network"), ("result", "ok")]) >= 1);
        assert!(of("store_revision", &[]) > 20);
        assert!(of("store_commit_duration_seconds_count", &[("result", "written")]) > 20);
        let seconds = text_of("store_commit_duration_seconds_sum", &[("result", "written")]);
        assert!(seconds.parse::<f64>().unwrap() > 0.0, "{seconds}");
        assert_eq!(of("dns_queries_total", &[("rcode", "SERVFAIL")]), 0);

        let boot = |route| [("service", "boot"), ("route", route)];
        // Twice `vmlinuz` and `initrd`, whose content is their name.
        assert_eq!(of("http_response_bytes_total", &boot("/boot/{token}/{file}")), 26);
        assert_eq!(
            of("http_response_bytes_total", &boot("/images/{token}/{sha256}")),
            crate::site::IMAGE_SIZE as u64
        );
        let read = "machines/{system_id}/";
        let calls = "http_request_duration_seconds_count";
        assert!(of(calls, &[("service", "api"), ("route", read), ("method", "GET"), ("status", "200")]) >= 1);
        assert_eq!(
            of(calls, &[("service", "api"), ("route", read), ("method", "GET"), ("status", "404")]),
            1
        );
        let memory: u64 = value(&text, "process_resident_memory_bytes", &[]).unwrap().parse().unwrap();
        assert!(memory > 1_000_000, "{memory}");

        // Each family says what it is, and none grows with the machines.
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let name = line.split(['{', ' ']).next().unwrap();
            let family =
                ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
            for what in ["HELP", "TYPE"] {
                assert!(text.contains(&format!("# {what} {family} ")), "{what} of {family} in {text}");
            }
        }
        for own in [&id, &node.mac, &node.seen().token, &node.uuid.to_string()] {
            assert!(!text.contains(own.as_str()), "{own} in {text}");
        }
    }
}
