//! Variables and macros in texts: `{{.spectro.var.NAME}}`, `{{ .spectro.macro.NAME }}`, `{{.spectro.system.a.b}}`.

use std::collections::BTreeSet;

const OPEN: &str = "{{";
const CLOSE: &str = "}}";
const ROOT: &str = ".spectro.";

/// What a text refers to, by kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct References {
    /// Variables of the profile.
    pub variables: BTreeSet<String>,
    /// Macros of project or tenant.
    pub macros: BTreeSet<String>,
    /// What the plane itself knows, such as `cluster.name`.
    pub system: BTreeSet<String>,
}

/// Why a text could not be resolved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// A reference to something that has no value.
    #[error("{{{{{0}}}}} has no value here")]
    Unknown(String),
}

/// A piece of a text.
enum Piece<'t> {
    Text(&'t str),
    /// The path of a reference, without braces and spaces.
    Reference(&'t str),
}

/// What a text refers to. What is in braces and no reference of this kind is left alone: charts have templates too.
pub fn references(text: &str) -> References {
    let mut found = References::default();
    for piece in pieces(text) {
        let Piece::Reference(path) = piece else { continue };
        let rest = path.strip_prefix(ROOT).unwrap_or(path);
        match rest.split_once('.') {
            Some(("var", name)) => found.variables.insert(name.to_owned()),
            Some(("macro", name)) => found.macros.insert(name.to_owned()),
            Some(("system", name)) => found.system.insert(name.to_owned()),
            _ => false,
        };
    }
    found
}

/// The text with a value in the place of each reference; `value` is given the path after `.spectro.`, such as
/// `var.size`. Values are not looked into again.
///
/// # Errors
/// [`ResolveError`]
pub fn resolve(text: &str, value: impl Fn(&str) -> Option<String>) -> Result<String, ResolveError> {
    let mut resolved = String::with_capacity(text.len());
    for piece in pieces(text) {
        match piece {
            Piece::Text(text) => resolved.push_str(text),
            Piece::Reference(path) => {
                let name = path.strip_prefix(ROOT).unwrap_or(path);
                resolved.push_str(&value(name).ok_or_else(|| ResolveError::Unknown(path.to_owned()))?);
            }
        }
    }
    Ok(resolved)
}

fn pieces(text: &str) -> Vec<Piece<'_>> {
    let (mut pieces, mut rest) = (Vec::new(), text);
    let mut plain = 0;
    while let Some(at) = rest.get(plain..).and_then(|tail| tail.find(OPEN)).map(|at| at + plain) {
        let (before, after) = rest.split_at(at);
        let inner = after.strip_prefix(OPEN).unwrap_or(after);
        let path = inner.split_once(CLOSE).map(|(path, _)| path.trim()).filter(|path| is_reference(path));
        if let (Some(path), Some((_, behind))) = (path, inner.split_once(CLOSE)) {
            pieces.push(Piece::Text(before));
            pieces.push(Piece::Reference(path));
            (rest, plain) = (behind, 0);
        } else {
            plain = at + OPEN.len();
        }
    }
    pieces.push(Piece::Text(rest));
    pieces
}

fn is_reference(path: &str) -> bool {
    let name = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.');
    path.strip_prefix(ROOT).is_some_and(|rest| {
        rest.chars().all(name)
            && ["var.", "macro.", "system."]
                .iter()
                .any(|kind| rest.starts_with(kind) && rest.len() > kind.len())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn references_of_each_kind_and_templates_of_others() {
        let text = "a: {{.spectro.var.size}}\nb: {{ .spectro.macro.DNS }} {{.spectro.system.cluster.name}}\nc: {{ .Values.x }} {{ {{.spectro.var.in}}";
        let found = references(text);
        assert_eq!(found.variables, ["in", "size"].map(String::from).into());
        assert_eq!(found.macros, ["DNS".to_owned()].into());
        assert_eq!(found.system, ["cluster.name".to_owned()].into());
        let resolved = resolve(text, |name| Some(format!("<{name}>"))).unwrap();
        assert_eq!(
            resolved,
            "a: <var.size>\nb: <macro.DNS> <system.cluster.name>\nc: {{ .Values.x }} {{ <var.in>"
        );
        assert_eq!(resolve(text, |_| None), Err(ResolveError::Unknown(".spectro.var.size".into())));
    }

    proptest! {
        #[test]
        fn a_text_without_references_stays_as_it_is(text in "[a-z{}. \n]{0,60}") {
            prop_assert_eq!(resolve(&text, |_| None).unwrap(), text);
        }

        #[test]
        fn every_variable_is_found_and_replaced(names in prop::collection::vec("[a-z][a-zA-Z0-9_]{0,8}", 0..6), between in "[^{}]{0,8}") {
            let join = |one: &dyn Fn(&str) -> String| names.iter().map(|name| one(name)).collect::<Vec<_>>().concat();
            let text = join(&|name| format!("{between}{{{{ .spectro.var.{name}}}}}"));
            prop_assert_eq!(references(&text).variables, names.iter().cloned().collect::<BTreeSet<_>>());
            let wanted = join(&|name| format!("{between}{name}"));
            let resolved = resolve(&text, |path| path.strip_prefix("var.").map(str::to_owned)).unwrap();
            prop_assert_eq!(resolved, wanted);
        }
    }
}
