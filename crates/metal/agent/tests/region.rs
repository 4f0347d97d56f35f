//! The whole loop against a region of a few lines.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use std::fs;

use agent_protocol::{
    Assignment, EraseMode, Hello, ImageFormat, Parallel, Progress, Report, Script, ScriptState, Task,
};
use bessemer_agent::client::{ClientError, Region};
use bessemer_agent::work::{self, Bench, End};
use support::{Server, answer, hasty, installation, noise, ranged};

fn hello() -> Hello {
    Hello {
        agent_version: "0".into(),
        boot_mac: "52:54:00:00:00:01".into(),
        uuid: None,
        inventory: serde_json::Value::Null,
    }
}

fn bench() -> (tempfile::TempDir, Bench) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("vda"), vec![0xa5; 4 << 20]).unwrap();
    let bench = Bench { dev: folder.path().to_owned(), disks: vec!["vda".into()] };
    (folder, bench)
}

fn task(id: &str, task: Task) -> String {
    serde_json::to_string(&Assignment { id: id.into(), task }).unwrap()
}

fn reports(server: &Server) -> Vec<Report> {
    let posts = server.seen().into_iter().filter(|r| r.line.ends_with("/report"));
    posts.map(|r| serde_json::from_str(&r.body).unwrap()).collect()
}

fn tests() -> Task {
    let script = |result, name: &str, disk: &str| Script {
        result,
        name: name.to_owned(),
        text: None,
        arguments: vec![disk.to_owned()],
        timeout_s: 60,
        parallel: Parallel::Alone,
    };
    let scripts = vec![
        script(7, "bessemer-memory", ""),
        script(8, "bessemer-disk", "vda"),
        script(9, "bessemer-disk", "vdz"),
    ];
    Task::Run { scripts, system: None }
}

#[test]
fn erase_test_install_restart_with_a_region_that_stumbles() {
    let (_folder, bench) = bench();
    let raw = noise(1 << 20);
    let packed = zstd::encode_all(&raw[..], 1).unwrap();
    let install = installation("URL", &packed, 1 << 20, ImageFormat::RawZst);
    let (mut asked, mut hellos) = (0, 0);
    let image = packed.clone();
    let server = Server::start(move |request| match request.line.as_str() {
        "POST /agent/v1/hello" => {
            hellos += 1;
            match hellos {
                1 => answer("503 Service Unavailable", "starting"),
                _ => answer("200 OK", task("1", Task::Wait { retry_ms: 1 })),
            }
        }
        "GET /agent/v1/task" => {
            asked += 1;
            match asked {
                1 => answer("200 OK", task("2", Task::Erase { mode: EraseMode::Full, disks: Vec::new() })),
                2 => answer("502 Bad Gateway", ""),
                3 => answer("200 OK", task("3", tests())),
                _ => {
                    let mut install = install.clone();
                    install.url = format!("http://{}/image", request.headers["host"]);
                    answer("200 OK", task("4", Task::Install(Box::new(install))))
                }
            }
        }
        "GET /image" => ranged(request, &image),
        _ => answer("204 No Content", ""),
    });
    let region = Region::new(&server.url, "secret", hasty());
    assert_eq!(work::run(&region, &hello(), &bench).unwrap(), End::Restart);
    assert!(fs::read(bench.dev.join("vda")).unwrap()[..1 << 20] == raw);
    let finished: Vec<(String, usize)> = reports(&server)
        .into_iter()
        .filter_map(|report| match report.progress {
            Progress::Done { results, .. } => {
                assert!(results.iter().all(|r| r.passed), "{results:?}");
                Some((report.task, results.len()))
            }
            Progress::Failed { error } => panic!("{error}"),
            Progress::Working { .. } | Progress::Script { .. } => None,
        })
        .collect();
    assert_eq!(finished, [("2".to_owned(), 1), ("3".to_owned(), 0), ("4".to_owned(), 0)]);
    let ended = |report: &Report| match &report.progress {
        Progress::Script { result, now: ScriptState::Ended { exit_status, .. } } => {
            Some((*result, *exit_status))
        }
        _ => None,
    };
    let ended: Vec<(u64, i32)> = reports(&server).iter().filter_map(ended).collect();
    assert_eq!(ended, [(7, 0), (8, 0), (9, 1)], "the last names a disk that is not there");
    assert!(server.seen().iter().all(|r| r.headers["authorization"] == "Bearer secret"));
}

#[test]
fn an_unknown_token_means_boot_again() {
    let (_folder, bench) = bench();
    let server = Server::start(|_| answer("401 Unauthorized", ""));
    let region = Region::new(&server.url, "old", hasty());
    assert_eq!(work::run(&region, &hello(), &bench).unwrap(), End::Restart);
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn a_stale_restart_is_not_done() {
    let (_folder, bench) = bench();
    let mut reported = 0;
    let server = Server::start(move |request| match request.line.as_str() {
        "POST /agent/v1/hello" => answer("200 OK", task("1", Task::Restart)),
        "GET /agent/v1/task" => answer("200 OK", task("2", Task::PowerOff)),
        _ => {
            reported += 1;
            if reported == 1 { answer("409 Conflict", "") } else { answer("204 No Content", "") }
        }
    });
    let region = Region::new(&server.url, "t", hasty());
    assert_eq!(work::run(&region, &hello(), &bench).unwrap(), End::PowerOff);
}

#[test]
fn a_task_given_up_by_the_region_is_left_in_the_middle() {
    let (_folder, bench) = bench();
    let server = Server::start(|request| match request.line.as_str() {
        "POST /agent/v1/hello" => {
            answer("200 OK", task("1", Task::Erase { mode: EraseMode::Full, disks: vec!["vda".into()] }))
        }
        "GET /agent/v1/task" => answer("200 OK", task("2", Task::PowerOff)),
        _ if request.body.contains("working") => answer("409 Conflict", ""),
        _ => answer("204 No Content", ""),
    });
    let region = Region::new(&server.url, "t", hasty());
    assert_eq!(work::run(&region, &hello(), &bench).unwrap(), End::PowerOff);
    assert!(fs::read(bench.dev.join("vda")).unwrap().iter().all(|b| *b == 0xa5));
}

#[test]
fn failures_name_the_disk_and_the_work_goes_on() {
    let (_folder, bench) = bench();
    let mut asked = 0;
    let server = Server::start(move |request| match request.line.as_str() {
        "POST /agent/v1/hello" => {
            answer("200 OK", task("1", Task::Erase { mode: EraseMode::Quick, disks: vec!["vdz".into()] }))
        }
        "GET /agent/v1/task" => {
            asked += 1;
            let mut install = installation("http://127.0.0.1:1", &[1], 1, ImageFormat::Raw);
            install.disk = "../vda".into();
            match asked {
                1 => answer("200 OK", task("2", Task::Install(Box::new(install)))),
                _ => answer("200 OK", task("3", Task::Restart)),
            }
        }
        _ => answer("204 No Content", ""),
    });
    let region = Region::new(&server.url, "t", hasty());
    assert_eq!(work::run(&region, &hello(), &bench).unwrap(), End::Restart);
    let errors: Vec<String> = reports(&server)
        .into_iter()
        .filter_map(|r| match r.progress {
            Progress::Failed { error } => Some(error),
            _ => None,
        })
        .collect();
    assert!(errors.len() == 2 && errors[0].contains("vdz") && errors[1].contains("../vda"), "{errors:?}");
}

#[test]
fn a_region_that_stays_away_is_named() {
    let mut patience = hasty();
    patience.limit = std::time::Duration::from_millis(50);
    let region = Region::new("http://127.0.0.1:1", "t", patience);
    let error = region.task().unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains("/agent/v1/task"), "{error}");
}
