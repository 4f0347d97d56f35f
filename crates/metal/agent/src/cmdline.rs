//! What the firmware's boot script told the agent on the kernel command line.

use agent_protocol::cmdline::{BOOTIF, TOKEN, URL};

/// The boot attempt that this machine belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootAttempt {
    /// Base URL of the region, without a slash at its end.
    pub url: String,
    /// Bearer token.
    pub token: String,
    /// MAC address of the interface that booted, lower case with colons; `None` when the firmware kept it.
    pub boot_mac: Option<String>,
}

/// Why a command line names no boot attempt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CmdlineError {
    /// A key is missing or empty.
    #[error("the kernel command line has no {0}=; boot this machine with the region's iPXE script")]
    Missing(&'static str),
    /// BOOTIF is not a hardware type and a MAC address.
    #[error("BOOTIF={0} on the kernel command line is not of the form 01-aa-bb-cc-dd-ee-ff")]
    BadBootif(String),
}

/// Reads a boot attempt from the text of `/proc/cmdline`; the last of equal keys wins, as in the kernel.
///
/// # Errors
/// [`CmdlineError`] when the region or the token is missing, or BOOTIF is malformed.
pub fn parse(line: &str) -> Result<BootAttempt, CmdlineError> {
    let value = |key: &'static str| {
        words(line)
            .filter_map(|word| Some(word.strip_prefix(key)?.strip_prefix('=')?.to_owned()))
            .filter(|value| !value.is_empty())
            .last()
    };
    let url = value(URL).ok_or(CmdlineError::Missing(URL))?;
    Ok(BootAttempt {
        url: url.trim_end_matches('/').to_owned(),
        token: value(TOKEN).ok_or(CmdlineError::Missing(TOKEN))?,
        boot_mac: value(BOOTIF).map(|text| mac_of(&text)).transpose()?,
    })
}

/// Words of a kernel command line; double quotes keep spaces and are dropped.
fn words(line: &str) -> impl Iterator<Item = String> {
    let mut quoted = false;
    line.split(move |c: char| {
        quoted ^= c == '"';
        c.is_whitespace() && !quoted
    })
    .map(|word| word.replace('"', ""))
}

fn mac_of(bootif: &str) -> Result<String, CmdlineError> {
    let bytes: Vec<&str> = bootif.split(['-', ':']).collect();
    let hex = |part: &&str| part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit());
    match bytes.split_first() {
        Some((_, mac)) if bytes.len() == 7 && bytes.iter().all(hex) => Ok(mac.join(":").to_ascii_lowercase()),
        _ => Err(CmdlineError::BadBootif(bootif.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_the_boot_script_writes() {
        let line = "console=ttyS0,115200 panic=30 bessemer.url=http://10.20.0.1:5248/ \
                    bessemer.token=00ff BOOTIF=01-AA-bb-cc-dd-ee-0f\n";
        let attempt = parse(line).unwrap();
        assert_eq!(attempt.url, "http://10.20.0.1:5248");
        assert_eq!(attempt.token, "00ff");
        assert_eq!(attempt.boot_mac.as_deref(), Some("aa:bb:cc:dd:ee:0f"));
    }

    #[test]
    fn says_what_is_missing() {
        assert_eq!(parse("quiet"), Err(CmdlineError::Missing(URL)));
        assert_eq!(parse("bessemer.url=http://r"), Err(CmdlineError::Missing(TOKEN)));
        let wrong = parse("bessemer.url=http://r bessemer.token=1 BOOTIF=eth0");
        assert_eq!(wrong, Err(CmdlineError::BadBootif("eth0".into())));
    }

    proptest! {
        /// Firmware may hand over anything: no command line stops the agent, and other words don't matter.
        #[test]
        fn never_panics(line in ".*") {
            let _ = parse(&line);
        }

        #[test]
        fn other_words_do_not_matter(before in "[a-z=\"]{0,8}( [a-z=.]{0,8}){0,4}", mac in proptest::array::uniform6(any::<u8>())) {
            prop_assume!(before.matches('"').count() % 2 == 0);
            let dashed: Vec<String> = mac.iter().map(|b| format!("{b:02x}")).collect();
            let line = format!("{before} bessemer.url=http://r bessemer.token=t BOOTIF=01-{}", dashed.join("-"));
            prop_assert_eq!(parse(&line).unwrap().boot_mac, Some(dashed.join(":")));
        }
    }
}
