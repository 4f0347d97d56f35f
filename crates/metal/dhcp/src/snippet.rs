//! Options in dhcpd's language, as MAAS's snippets have them: `option domain-name-servers 10.0.0.1, 10.0.0.2;`.
//!
//! Only such statements are understood, and only options that a client does not need for its address or its boot.
//! Anything else is refused by name, so that nobody relies on what is not done.

use std::net::Ipv4Addr;

use crate::{options::code, reply::labels};

/// An option's number and its value.
pub type Setting = (u8, Vec<u8>);

/// What a value is.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Addresses,
    Text,
    Number16,
    Domains,
}

/// Options by dhcpd's names.
const OPTIONS: [(&str, u8, Kind); 12] = [
    ("routers", code::ROUTER, Kind::Addresses),
    ("time-servers", 4, Kind::Addresses),
    ("domain-name-servers", code::DNS_SERVER, Kind::Addresses),
    ("log-servers", 7, Kind::Addresses),
    ("host-name", code::HOST_NAME, Kind::Text),
    ("domain-name", code::DOMAIN_NAME, Kind::Text),
    ("root-path", 17, Kind::Text),
    ("interface-mtu", code::INTERFACE_MTU, Kind::Number16),
    ("nis-domain", 40, Kind::Text),
    ("nis-servers", 41, Kind::Addresses),
    ("ntp-servers", code::NTP_SERVER, Kind::Addresses),
    ("domain-search", code::DOMAIN_SEARCH, Kind::Domains),
];

/// Why a text was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnippetError {
    /// Not a sequence of statements.
    #[error("{0}")]
    Syntax(&'static str),
    /// A statement of dhcpd that this server has not.
    #[error("the statement '{0}' is not supported: only 'option' is")]
    Statement(String),
    /// An option that this server does not set.
    #[error("the option '{option}' is not supported: {known} are")]
    Option {
        /// Its name.
        option: String,
        /// Those that are.
        known: String,
    },
    /// A value that the option cannot have.
    #[error("'{value}' is no value of the option '{option}'")]
    Value {
        /// The option.
        option: String,
        /// What was given.
        value: String,
    },
}

/// The options that a text sets, in its order.
///
/// # Errors
/// [`SnippetError`] about the first thing that is not understood.
pub fn settings(text: &str) -> Result<Vec<Setting>, SnippetError> {
    statements(text)?
        .iter()
        .map(|statement| match statement.split_first() {
            Some((word, rest)) if word == "option" => match rest.split_first() {
                Some((name, values)) => setting(name, values),
                None => Err(SnippetError::Syntax("an option has a name and a value")),
            },
            Some((word, _)) => Err(SnippetError::Statement(word.clone())),
            None => Err(SnippetError::Syntax("a statement has words before its semicolon")),
        })
        .collect()
}

/// Statements as their words, without commas; a text in quotes is one word.
fn statements(text: &str) -> Result<Vec<Vec<String>>, SnippetError> {
    let (mut all, mut statement, mut word) = (Vec::new(), Vec::new(), String::new());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        let ends = letter.is_whitespace() || [',', ';', '#', '"', '{', '}'].contains(&letter);
        if !ends {
            word.push(letter);
            continue;
        }
        if !word.is_empty() {
            statement.push(std::mem::take(&mut word));
        }
        match letter {
            ';' => all.push(std::mem::take(&mut statement)),
            '#' => drop(letters.by_ref().find(|letter| *letter == '\n')),
            '"' => statement.push(quoted(&mut letters)?),
            '{' | '}' => return Err(SnippetError::Statement(statement.first().cloned().unwrap_or_default())),
            _ => {}
        }
    }
    if statement.is_empty() && word.is_empty() {
        Ok(all)
    } else {
        Err(SnippetError::Syntax("a statement ends with a semicolon"))
    }
}

/// The rest of a text in quotes.
fn quoted(letters: &mut std::str::Chars<'_>) -> Result<String, SnippetError> {
    let mut text = String::new();
    for letter in letters {
        match letter {
            '"' => return Ok(text),
            letter if letter.is_control() => break,
            letter => text.push(letter),
        }
    }
    Err(SnippetError::Syntax("a text in quotes does not end"))
}

fn setting(name: &str, values: &[String]) -> Result<Setting, SnippetError> {
    let Some((_, code, kind)) = OPTIONS.iter().find(|(known, ..)| *known == name) else {
        let known: Vec<&str> = OPTIONS.iter().map(|(known, ..)| *known).collect();
        return Err(SnippetError::Option { option: name.to_owned(), known: known.join(", ") });
    };
    let wrong = |value: &str| SnippetError::Value { option: name.to_owned(), value: value.to_owned() };
    let each = |parse: &dyn Fn(&str) -> Option<Vec<u8>>| -> Result<Vec<u8>, SnippetError> {
        let parts: Result<Vec<_>, _> =
            values.iter().map(|value| parse(value).ok_or_else(|| wrong(value))).collect();
        parts.map(|parts| parts.concat())
    };
    let value = match (kind, values) {
        (_, []) => return Err(wrong("")),
        (Kind::Addresses, _) => each(&|text| Some(text.parse::<Ipv4Addr>().ok()?.octets().to_vec()))?,
        (Kind::Domains, _) => each(&labels)?,
        (Kind::Text, [text]) if !text.is_empty() => text.as_bytes().to_vec(),
        (Kind::Number16, [text]) => text.parse::<u16>().map_err(|_| wrong(text))?.to_be_bytes().to_vec(),
        (Kind::Text | Kind::Number16, _) => return Err(wrong(&values.join(", "))),
    };
    // One option is 255 bytes long; what is longer would have to be split for every client.
    if value.len() > 255 { Err(wrong(&values.join(", "))) } else { Ok((*code, value)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn options_are_read_and_the_rest_is_refused_by_name() {
        let text = "# ours\noption domain-name-servers 10.0.0.1,10.0.0.2; option domain-name \"a b\";\n\toption interface-mtu 9000;\noption domain-search \"x.y\";";
        let mtu = 9000u16.to_be_bytes().to_vec();
        assert_eq!(
            settings(text).unwrap(),
            [
                (6, vec![10, 0, 0, 1, 10, 0, 0, 2]),
                (15, b"a b".to_vec()),
                (26, mtu),
                (119, b"\x01x\x01y\0".to_vec())
            ]
        );
        for (bad, name) in [
            ("next-server 10.0.0.1;", "next-server"),
            ("option dhcp-lease-time 5;", "dhcp-lease-time"),
            ("class \"x\" { match if true; }", "class"),
            ("option routers router.example;", "router.example"),
            ("option routers 10.0.0.1", "semicolon"),
            ("option host-name \"x;", "quotes"),
            (";", "words"),
        ] {
            let words = settings(bad).unwrap_err().to_string();
            assert!(words.contains(name), "{bad}: {words}");
        }
    }

    proptest! {
        /// What is taken can be told to a client.
        #[test]
        fn no_text_panics(text in "[a-z0-9 ;,.\"#{}\n-]{0,80}", option in 0usize..OPTIONS.len(), value in ".{0,300}") {
            let _ = settings(&text);
            let text = format!("option {} {value};", OPTIONS[option].0);
            for (code, value) in settings(&text).unwrap_or_default() {
                prop_assert!((1..=254).contains(&code) && value.len() <= 255);
            }
        }
    }
}
