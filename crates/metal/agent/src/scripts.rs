//! Running scripts: the agent's own, and texts in the larger system.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

use agent_protocol::{Parallel, Script, ScriptState};

use crate::log::say;
use crate::selftest;
use crate::system::{Ended, Ground, How};
use crate::work::{Bench, Interrupted};

/// How often the region hears that scripts are still running.
const SIGN: Duration = Duration::from_secs(20);

/// Hears how scripts stand.
pub trait Stage {
    /// A script began or ended; `result` is the number of its result.
    ///
    /// # Errors
    /// [`Interrupted`] when the task is to be left.
    fn script(&mut self, result: u64, now: ScriptState) -> Result<(), Interrupted>;
    /// They are still running.
    ///
    /// # Errors
    /// [`Interrupted`] when the task is to be left.
    fn still(&mut self, what: &str) -> Result<(), Interrupted>;
}

/// Runs scripts in order, those beside each other that may be. `ground` is there where one of them is a text.
///
/// # Errors
/// [`Interrupted`]; what was running has been ended then.
pub fn run(
    scripts: &[Script],
    ground: Option<&Ground>,
    bench: &Bench,
    stage: &mut dyn Stage,
) -> Result<(), Interrupted> {
    let mut rest = scripts;
    while let Some(first) = rest.first() {
        let together = rest.iter().take_while(|next| beside(first, next)).count().max(1);
        let (now, later) = rest.split_at(together);
        group(now, ground, bench, stage)?;
        rest = later;
    }
    Ok(())
}

/// Whether two scripts may run at the same time.
fn beside(first: &Script, next: &Script) -> bool {
    match (first.parallel, next.parallel) {
        (Parallel::Any, Parallel::Any) => true,
        (Parallel::Instances, Parallel::Instances) => first.name == next.name,
        _ => false,
    }
}

/// Runs scripts at the same time, no more than there are processors.
fn group(
    scripts: &[Script],
    ground: Option<&Ground>,
    bench: &Bench,
    stage: &mut dyn Stage,
) -> Result<(), Interrupted> {
    let places = std::thread::available_parallelism().map_or(1, usize::from);
    for now in scripts.chunks(places) {
        let stop = AtomicBool::new(false);
        let (tell, told) = channel();
        let done = std::thread::scope(|scope| {
            for script in now {
                let (tell, stop) = (tell.clone(), &stop);
                scope.spawn(move || one(script, ground, bench, stop, &tell));
            }
            drop(tell);
            let names: Vec<&str> = now.iter().map(|script| script.name.as_str()).collect();
            let names = names.join(", ");
            let done = loop {
                let heard = match told.recv_timeout(SIGN) {
                    Ok((result, now)) => stage.script(result, now),
                    Err(RecvTimeoutError::Timeout) => stage.still(&names),
                    Err(RecvTimeoutError::Disconnected) => break Ok(()),
                };
                if heard.is_err() {
                    break heard;
                }
            };
            stop.store(true, Ordering::Relaxed);
            done
        });
        done?;
    }
    Ok(())
}

fn one(
    script: &Script,
    ground: Option<&Ground>,
    bench: &Bench,
    stop: &AtomicBool,
    tell: &Sender<(u64, ScriptState)>,
) {
    say(format_args!("{} {}", script.name, script.arguments.join(" ")));
    let _ = tell.send((script.result, ScriptState::Running));
    let state = match (&script.text, ground) {
        (None, _) => own(script, bench),
        (Some(text), Some(ground)) => others(script, text, ground, stop),
        (Some(_), None) => failed("the region sent no system to run it in".to_owned()),
    };
    let _ = tell.send((script.result, state));
}

/// One of the agent's own.
fn own(script: &Script, bench: &Bench) -> ScriptState {
    match selftest::run(&script.name, &script.arguments, &bench.dev) {
        Some(found) => ScriptState::Ended {
            exit_status: i32::from(!found.passed),
            output: found.output,
            result: String::new(),
        },
        None => {
            failed(format!("this agent has no script {}: restart the machine with a newer one", script.name))
        }
    }
}

/// A text, in the larger system, with the variables that MAAS gives to scripts.
fn others(script: &Script, text: &str, ground: &Ground, stop: &AtomicBool) -> ScriptState {
    let folder = format!("/run/script-{}", script.result);
    let file = |name: &str| format!("{folder}/{name}");
    let kept = ground.write(&file("script"), text, 0o700).and_then(|()| ground.folder(&file("downloads")));
    if let Err(error) = kept {
        return failed(format!("can't keep the script in memory: {error}"));
    }
    let environment = [
        ("OUTPUT_COMBINED_PATH", file("combined")),
        ("OUTPUT_STDOUT_PATH", file("out")),
        ("OUTPUT_STDERR_PATH", file("err")),
        ("RESULT_PATH", file("result.yaml")),
        ("DOWNLOAD_PATH", file("downloads")),
        ("RUNTIME", script.timeout_s.to_string()),
        ("HAS_STARTED", "False".to_owned()),
    ];
    let limit = Duration::from_secs(script.timeout_s);
    match ground.run(&PathBuf::from(file("script")), &script.arguments, &environment, limit, stop) {
        Ok(Ended { how: How::Exit(exit_status), output }) => {
            ScriptState::Ended { exit_status, output, result: ground.read(&file("result.yaml")) }
        }
        Ok(Ended { how: How::TimedOut, output }) => ScriptState::TimedOut { output },
        Ok(Ended { how: How::TooLoud, output }) => {
            failed(format!("{output}\nit printed more than there is room for"))
        }
        Ok(Ended { how: How::Stopped, output }) => failed(format!("{output}\nit was stopped")),
        Err(error) => failed(format!("can't start it: {error}")),
    }
}

fn failed(output: String) -> ScriptState {
    ScriptState::Ended { exit_status: 1, output, result: String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(result: u64, name: &str, parallel: Parallel) -> Script {
        Script { result, name: name.to_owned(), text: None, arguments: Vec::new(), timeout_s: 0, parallel }
    }

    #[derive(Default)]
    struct Heard(Vec<(u64, bool)>, Option<usize>);

    impl Stage for Heard {
        fn script(&mut self, result: u64, now: ScriptState) -> Result<(), Interrupted> {
            self.0.push((result, matches!(now, ScriptState::Running)));
            if self.1 == Some(self.0.len()) { Err(Interrupted::Stale) } else { Ok(()) }
        }

        fn still(&mut self, _: &str) -> Result<(), Interrupted> {
            Ok(())
        }
    }

    fn bench() -> Bench {
        Bench { dev: PathBuf::from("/nowhere"), disks: Vec::new() }
    }

    #[test]
    fn each_begins_and_ends_once_and_those_alone_in_order() {
        let scripts = [
            script(1, "bessemer-cpu", Parallel::Alone),
            script(2, "nobody-knows", Parallel::Any),
            script(3, "bessemer-cpu", Parallel::Any),
            script(4, "bessemer-cpu", Parallel::Alone),
        ];
        let mut heard = Heard::default();
        run(&scripts, None, &bench(), &mut heard).unwrap();
        let order = |result| heard.0.iter().position(|one| *one == (result, true)).unwrap();
        assert!(order(1) < order(2).min(order(3)) && order(2).max(order(3)) < order(4));
        heard.0.sort_unstable();
        assert_eq!(heard.0, (1..=4).flat_map(|n| [(n, false), (n, true)]).collect::<Vec<_>>());
    }

    #[test]
    fn a_region_that_gives_up_is_heeded() {
        let scripts =
            [script(1, "bessemer-cpu", Parallel::Alone), script(2, "bessemer-cpu", Parallel::Alone)];
        let mut heard = Heard(Vec::new(), Some(1));
        assert!(run(&scripts, None, &bench(), &mut heard).is_err());
        assert!(heard.0.iter().all(|(result, _)| *result == 1));
    }
}
