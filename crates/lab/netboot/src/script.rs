//! The part of iPXE's script language that the product uses (<https://ipxe.org/scripting>).
//!
//! [`read`] runs a script up to the first command that leaves it. Of conditions and loops it knows the one that
//! machines need: `|| goto LABEL` behind every command, to begin again after a pause when something could not be
//! fetched. Other options, conditions and loops are refused by name rather than guessed at.

/// What a script comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// What it asks for.
    pub action: Action,
    /// What it does when that could not be fetched.
    pub on_failure: OnFailure,
}

/// What a script does when something could not be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// It ends.
    GiveUp,
    /// It pauses, and begins again.
    Again,
}

/// What a script asks the firmware to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Fetch another script and run it.
    Chain(String),
    /// Start a kernel.
    Boot(Kernel),
    /// Start the first disk.
    Disk,
    /// Switch off.
    PowerOff,
    /// Give up the network: the next device of the boot order is tried.
    Exit,
}

/// A kernel to start.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Kernel {
    /// Where it is.
    pub url: String,
    /// Its command line.
    pub arguments: String,
    /// Initial RAM disks, in order.
    pub initrds: Vec<String>,
}

/// What `${…}` stands for.
#[derive(Debug, Clone)]
pub struct Variables {
    /// MAC address of the interface that boots, lower case with colons.
    pub mac: String,
    /// SMBIOS UUID.
    pub uuid: String,
    /// Address that DHCP gave.
    pub ip: String,
}

/// Why a script cannot be run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScriptError {
    /// The first line is not `#!ipxe`.
    #[error("not an iPXE script: the first line is not `#!ipxe`")]
    NoMagic,
    /// A command outside the language.
    #[error("line {line}: `{text}` is not something this firmware does")]
    Unknown {
        /// Counted from 1.
        line: usize,
        /// The line.
        text: String,
    },
    /// `boot` without `kernel`.
    #[error("line {line}: boot without a kernel")]
    NoKernel {
        /// Counted from 1.
        line: usize,
    },
}

/// Runs `script`; URLs come out absolute, relative ones having been joined with the script's own, `base`.
///
/// # Errors
/// [`ScriptError`], with the line.
pub fn read(script: &str, base: &str, variables: &Variables) -> Result<Script, ScriptError> {
    let mut lines = script.lines().enumerate();
    if lines.next().is_none_or(|(_, first)| !first.starts_with("#!ipxe")) {
        return Err(ScriptError::NoMagic);
    }
    let mut kernel: Option<Kernel> = None;
    let mut on_failure = OnFailure::Again;
    for (index, text) in lines {
        let line = index + 1;
        let text = expand(text.trim(), variables);
        let (whole, label) = text.split_once(" || goto ").unwrap_or((&text, ""));
        let (command, rest) = whole.split_once(char::is_whitespace).unwrap_or((whole, ""));
        let unknown = || ScriptError::Unknown { line, text: text.clone() };
        let rest = rest.trim();
        if rest.split_whitespace().any(|word| word == "||" || word == "&&") {
            return Err(unknown());
        }
        if matches!(command, "chain" | "kernel" | "initrd" | "boot") && label.is_empty() {
            on_failure = OnFailure::GiveUp;
        }
        let done = |action| Ok(Script { action, on_failure });
        match command {
            "" => {}
            label if label.starts_with(':') => {}
            comment if comment.starts_with('#') => {}
            "echo" => {}
            "chain" if is_one_word(rest) => return done(Action::Chain(join(base, rest))),
            "kernel" if !rest.is_empty() && !rest.starts_with('-') => {
                let (url, arguments) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
                kernel = Some(Kernel {
                    url: join(base, url),
                    arguments: arguments.trim().into(),
                    initrds: Vec::new(),
                });
            }
            "initrd" if is_one_word(rest) => match &mut kernel {
                Some(kernel) => kernel.initrds.push(join(base, rest)),
                None => return Err(ScriptError::NoKernel { line }),
            },
            "boot" if rest.is_empty() => {
                return done(Action::Boot(kernel.ok_or(ScriptError::NoKernel { line })?));
            }
            "sanboot" if rest.split_whitespace().eq(["--no-describe", "--drive", "0x80"]) => {
                return done(Action::Disk);
            }
            "poweroff" if rest.is_empty() => return done(Action::PowerOff),
            "exit" => return done(Action::Exit),
            _ => return Err(unknown()),
        }
    }
    Ok(Script { action: Action::Exit, on_failure: OnFailure::GiveUp })
}

fn is_one_word(text: &str) -> bool {
    !text.is_empty() && !text.starts_with('-') && !text.contains(char::is_whitespace)
}

/// Replaces `${name}`; like iPXE's, an unknown variable is empty.
fn expand(text: &str, variables: &Variables) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let Some((name, tail)) = after.split_once('}') else { break };
        out.push_str(before);
        out.push_str(&lookup(name, variables));
        rest = tail;
    }
    out.push_str(rest);
    out
}

fn lookup(name: &str, variables: &Variables) -> String {
    match name.strip_prefix("net0/").unwrap_or(name) {
        "mac" | "mac:hex" => variables.mac.clone(),
        "mac:hexhyp" => variables.mac.replace(':', "-"),
        "mac:hexraw" => variables.mac.replace(':', ""),
        "uuid" => variables.uuid.clone(),
        "ip" => variables.ip.clone(),
        "buildarch" => "x86_64".into(),
        "platform" => "pcbios".into(),
        _ => String::new(),
    }
}

/// Resolves `reference` against the URL of the script it stands in.
fn join(base: &str, reference: &str) -> String {
    if reference.contains("://") {
        return reference.into();
    }
    let authority = base.find("://").map_or(0, |at| at + 3);
    let path = base.get(authority..).and_then(|rest| rest.find('/')).map_or(base.len(), |at| authority + at);
    let (origin, path) = base.split_at_checked(path).unwrap_or((base, ""));
    if reference.starts_with('/') {
        return format!("{origin}{reference}");
    }
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    format!("{origin}{folder}/{reference}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BASE: &str = "http://10.20.0.1:5248/ipxe.cfg";

    fn whole(script: &str) -> Result<Script, ScriptError> {
        let variables =
            Variables { mac: "52:54:00:aa:bb:cc".into(), uuid: "u-u".into(), ip: "10.20.0.9".into() };
        read(script, BASE, &variables)
    }

    fn run(script: &str) -> Result<Action, ScriptError> {
        whole(script).map(|script| script.action)
    }

    #[test]
    fn a_script_says_whether_it_begins_again() {
        let stubborn = "#!ipxe\n:a\nkernel k || goto wait\ninitrd i || goto wait\nboot || goto wait\n:wait\nsleep 2\ngoto a\n";
        assert_eq!(whole(stubborn).unwrap().on_failure, OnFailure::Again);
        assert_eq!(run(stubborn), run("#!ipxe\nkernel k\ninitrd i\nboot\n"));
        let once = stubborn.replace("initrd i || goto wait", "initrd i");
        assert_eq!(whole(&once).unwrap().on_failure, OnFailure::GiveUp);
    }

    #[test]
    fn the_region_s_scripts() {
        assert_eq!(
            run("#!ipxe\nchain /ipxe.cfg-${mac:hexhyp}\n"),
            Ok(Action::Chain("http://10.20.0.1:5248/ipxe.cfg-52-54-00-aa-bb-cc".into()))
        );
        let ephemeral = "#!ipxe\n# hello\nkernel http://r/vmlinuz a=1 BOOTIF=01-${net0/mac:hexhyp}\n\
                         initrd boot/initrd\nboot\n";
        assert_eq!(
            run(ephemeral),
            Ok(Action::Boot(Kernel {
                url: "http://r/vmlinuz".into(),
                arguments: "a=1 BOOTIF=01-52-54-00-aa-bb-cc".into(),
                initrds: vec!["http://10.20.0.1:5248/boot/initrd".into()],
            }))
        );
        assert_eq!(run("#!ipxe\nsanboot --no-describe --drive 0x80\n"), Ok(Action::Disk));
        assert_eq!(run("#!ipxe\npoweroff\n"), Ok(Action::PowerOff));
        assert_eq!(run("#!ipxe\nexit\nboot\n"), Ok(Action::Exit));
        assert_eq!(run("#!ipxe\n"), Ok(Action::Exit), "a script that ends exits");
    }

    #[test]
    fn what_it_does_not_do_is_refused_with_the_line() {
        assert_eq!(run("<html>"), Err(ScriptError::NoMagic));
        assert_eq!(run("#!ipxe\nboot"), Err(ScriptError::NoKernel { line: 2 }));
        let text = "chain http://a || shell".to_owned();
        assert_eq!(run(&format!("#!ipxe\n\n{text}")), Err(ScriptError::Unknown { line: 3, text }));
    }

    proptest! {
        #[test]
        fn no_script_breaks_it(body in "(#!ipxe)?[ -~\n$\\{\\}é]{0,200}") {
            drop(run(&body));
        }
    }
}
