//! A JSON object written member by member, straight into bytes.

use std::ops::Range;

use serde::Serialize;
use serde_json::{Result, to_writer};

/// An object that has been begun. What one member shows, a later one may show [again](Self::again): a copy costs much
/// less than writing it twice.
pub(crate) struct Object<'t> {
    text: &'t mut Vec<u8>,
}

impl<'t> Object<'t> {
    /// An object with the members of `value`, which has some.
    pub(crate) fn begin(text: &'t mut Vec<u8>, value: &impl Serialize) -> Result<Self> {
        to_writer(&mut *text, value)?;
        text.pop();
        Ok(Self { text })
    }

    /// The members of `value`, which has some.
    pub(crate) fn members(&mut self, value: &impl Serialize) -> Result<()> {
        let brace = self.text.len();
        to_writer(&mut *self.text, value)?;
        if let Some(brace) = self.text.get_mut(brace) {
            *brace = b',';
        }
        self.text.pop();
        Ok(())
    }

    /// A list; the answer is where in the text each value is.
    pub(crate) fn list<V: Serialize>(
        &mut self,
        key: &str,
        values: impl Iterator<Item = V>,
    ) -> Result<Vec<Range<usize>>> {
        self.key(key);
        let mut each = Vec::with_capacity(values.size_hint().0);
        self.text.push(b'[');
        for value in values {
            if !each.is_empty() {
                self.text.push(b',');
            }
            let from = self.text.len();
            to_writer(&mut *self.text, &value)?;
            each.push(from..self.text.len());
        }
        self.text.push(b']');
        Ok(each)
    }

    /// What stands there already; `null` if nothing does.
    pub(crate) fn again(&mut self, key: &str, shown: Option<&Range<usize>>) {
        self.key(key);
        match shown {
            Some(shown) => self.text.extend_from_within(shown.clone()),
            None => self.text.extend_from_slice(b"null"),
        }
    }

    /// A list of values that stand there already, one after the other.
    pub(crate) fn list_again(&mut self, key: &str, shown: &[Range<usize>]) {
        self.key(key);
        self.text.push(b'[');
        if let (Some(first), Some(last)) = (shown.first(), shown.last()) {
            self.text.extend_from_within(first.start..last.end);
        }
        self.text.push(b']');
    }

    /// No more members.
    pub(crate) fn end(self) {
        self.text.push(b'}');
    }

    /// A key of letters and underscores.
    fn key(&mut self, key: &str) {
        self.text.extend_from_slice(b",\"");
        self.text.extend_from_slice(key.as_bytes());
        self.text.extend_from_slice(b"\":");
    }
}
