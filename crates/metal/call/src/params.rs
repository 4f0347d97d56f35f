//! Parameters as MAAS's clients send them: query, form, multipart and JSON.
//!
//! Both Python clients send every multipart part with `Content-Transfer-Encoding: base64`, texts too; it is
//! undone here. Names may repeat.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde_json::Value;

/// Named values in the order they were sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Params(Vec<Param>);

/// One value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Param {
    /// Name.
    pub name: String,
    /// The value, where it is text.
    pub text: Option<String>,
    /// The value.
    pub bytes: Bytes,
    /// Whether it came as a file (a multipart part with a file name).
    pub file: bool,
}

/// Why a body cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParamsError {
    /// Not JSON, or not an object.
    #[error("Bad Request")]
    Json,
    /// Broken multipart.
    #[error("Bad Request: {0}")]
    Multipart(String),
}

impl Params {
    /// Parameters of a query or a form body.
    pub fn urlencoded(text: &[u8]) -> Self {
        form_urlencoded::parse(text).map(|(name, value)| Param::text(&name, value.into_owned())).collect()
    }

    /// Parameters of a JSON object: lists repeat, objects stay JSON text, `null` is left out.
    ///
    /// # Errors
    /// [`ParamsError::Json`].
    pub fn json(body: &[u8]) -> Result<Self, ParamsError> {
        let Ok(Value::Object(object)) = serde_json::from_slice(body) else { return Err(ParamsError::Json) };
        Ok(object
            .into_iter()
            .flat_map(|(name, value)| {
                let values = if let Value::Array(values) = value { values } else { vec![value] };
                values.into_iter().filter_map(move |value| Some(Param::text(&name, plain(value)?)))
            })
            .collect())
    }

    /// Parameters of a multipart body.
    ///
    /// # Errors
    /// [`ParamsError::Multipart`].
    pub async fn multipart(content_type: &str, body: Bytes) -> Result<Self, ParamsError> {
        let broken = |error: multer::Error| ParamsError::Multipart(error.to_string());
        let boundary = multer::parse_boundary(content_type).map_err(broken)?;
        if has_no_parts(&boundary, &body) {
            return Ok(Self::default());
        }
        let whole = futures_util::stream::once(async move { Ok::<_, std::convert::Infallible>(body) });
        let mut parts = multer::Multipart::new(whole, boundary);
        let mut params = Vec::new();
        while let Some(part) = parts.next_field().await.map_err(broken)? {
            let Some(name) = part.name().map(str::to_owned) else { continue };
            let file = part.file_name().is_some();
            let base64 = part
                .headers()
                .get("content-transfer-encoding")
                .is_some_and(|coding| coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"base64"));
            let bytes = part.bytes().await.map_err(broken)?;
            let bytes = if base64 { decode(&bytes)? } else { bytes };
            params.push(Param { name, text: String::from_utf8(bytes.to_vec()).ok(), bytes, file });
        }
        Ok(Self(params))
    }

    /// The last text of this name (as Django takes it).
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|param| param.name == name)?.text.as_deref()
    }

    /// Every text of this name.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.0.iter().filter(|param| param.name == name).filter_map(|param| param.text.as_deref()).collect()
    }

    /// The bytes of this name, file or text.
    pub fn bytes(&self, name: &str) -> Option<&Bytes> {
        self.0.iter().rev().find(|param| param.name == name).map(|param| &param.bytes)
    }

    /// Every value.
    pub fn iter(&self) -> std::slice::Iter<'_, Param> {
        self.0.iter()
    }

    /// Names and values of what is text and no file: what an OAuth signature covers.
    pub fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        let texts = self.0.iter().filter(|param| !param.file);
        texts.filter_map(|param| Some((param.name.as_str(), param.text.as_deref()?)))
    }

    /// Names, each once, in order of first appearance.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for param in &self.0 {
            if !names.contains(&param.name.as_str()) {
                names.push(&param.name);
            }
        }
        names
    }

    /// Whether a value of this name was sent.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|param| param.name == name)
    }

    /// Without the values whose names `drop` says.
    #[must_use]
    pub fn without(self, drop: impl Fn(&str) -> bool) -> Self {
        self.0.into_iter().filter(|param| !drop(&param.name)).collect()
    }
}

impl FromIterator<Param> for Params {
    fn from_iter<I: IntoIterator<Item = Param>>(params: I) -> Self {
        Self(params.into_iter().collect())
    }
}

impl<'p> IntoIterator for &'p Params {
    type Item = &'p Param;
    type IntoIter = std::slice::Iter<'p, Param>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl Param {
    /// A text.
    pub fn text(name: &str, value: String) -> Self {
        Self { name: name.to_owned(), bytes: Bytes::from(value.clone()), text: Some(value), file: false }
    }
}

/// Whether a body is boundaries and nothing else: what the Python clients send where there is nothing to say.
fn has_no_parts(boundary: &str, body: &[u8]) -> bool {
    let boundary = boundary.as_bytes();
    let rest = body.split(u8::is_ascii_whitespace).filter(|line| !line.is_empty());
    body.len() <= 4 * boundary.len() + 32
        && rest.into_iter().all(|line| {
            let line = line.strip_prefix(b"--").unwrap_or(line);
            line.strip_suffix(b"--").unwrap_or(line) == boundary
        })
}

fn plain(value: Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    }
}

fn decode(bytes: &[u8]) -> Result<Bytes, ParamsError> {
    let packed: Vec<u8> = bytes.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    STANDARD.decode(packed).map(Bytes::from).map_err(|error| ParamsError::Multipart(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[tokio::test]
    async fn what_the_python_clients_send_is_read() {
        let body = "--===============1==\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: form-data; name=\"distro_series\"\r\nMIME-Version: 1.0\r\n\r\nbm9i\r\nbGU=\r\n--===============1==\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f\"\r\n\r\n\u{1}x\r\n--===============1==--\r\n";
        let params =
            Params::multipart("multipart/form-data; boundary=\"===============1==\"", Bytes::from(body))
                .await
                .unwrap();
        assert_eq!(params.get("distro_series"), Some("noble"));
        assert_eq!(params.bytes("f").unwrap().as_ref(), b"\x01x");
    }

    #[tokio::test]
    async fn nothing_may_be_sent_in_parts() {
        let kind = "multipart/form-data; boundary=\"===1==\"";
        for body in ["--===1==\r\n\r\n--===1==--\r\n", "\r\n--===1==--\r\n", ""] {
            let params = Params::multipart(kind, Bytes::from(body)).await;
            assert_eq!(params, Ok(Params::default()), "{body:?}");
        }
        assert!(Params::multipart(kind, Bytes::from("--===1==\r\nx")).await.is_err());
    }

    #[test]
    fn json_lists_repeat() {
        let params = Params::json(br#"{"a": ["x", 1], "b": true, "c": null, "d": {"e": 1}}"#).unwrap();
        assert_eq!(params.all("a"), ["x", "1"]);
        assert_eq!(
            (params.get("b"), params.get("c"), params.get("d")),
            (Some("true"), None, Some(r#"{"e":1}"#))
        );
    }

    proptest! {
        #[test]
        fn no_body_panics(body in proptest::collection::vec(any::<u8>(), 0..400), kind in ".{0,60}") {
            Params::urlencoded(&body);
            let _ = Params::json(&body);
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let _ = runtime.block_on(Params::multipart(&kind, Bytes::from(body.clone())));
            let mut framed = b"--x\r\n".to_vec();
            framed.extend(body);
            let _ = runtime.block_on(Params::multipart("multipart/form-data; boundary=x", Bytes::from(framed)));
        }
    }
}
