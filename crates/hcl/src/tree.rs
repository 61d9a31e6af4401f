//! The tree a text is read into, the same for both syntaxes.
//!
//! A label is a level: `path "a" { … }` is the key `path` over an object with the one key `a`,
//! exactly what JSON writes as `{"path": {"a": …}}`. [`HclBody::blocks`] turns levels back into
//! labels, as many as its caller knows the block to have.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;

use crate::error::{ParseError, Position};
use crate::number::NumberLiteral;

/// The items of an object, or of a whole text, in the order they were written.
pub struct HclBody {
    /// Where its brace opens, or the start of the text.
    pub position: Position,
    pub(crate) items: Vec<HclItem>,
}

/// A key and what stands under it.
pub struct HclItem {
    /// The key.
    pub key: HclKey,
    /// What stands under it.
    pub value: HclValue,
    pub(crate) form: ItemForm,
}

/// A key or a label.
#[derive(Debug)]
pub struct HclKey {
    /// Its text, without quotes.
    pub text: String,
    /// Where it begins.
    pub position: Position,
}

/// A value and where it begins. Its readers are in [`crate::access`].
pub struct HclValue {
    /// Where it begins.
    pub position: Position,
    /// What it is.
    pub kind: ValueKind,
}

/// What a value is.
pub enum ValueKind {
    /// JSON only. HCL 1 reads it as an empty string.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(NumberLiteral),
    /// A string or heredoc, its escapes resolved.
    String(String),
    /// A list.
    List(Vec<HclValue>),
    /// An object, assigned or as a block.
    Object(HclBody),
}

/// How an item was written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum ItemForm {
    /// With `=`; every member of a JSON object.
    Assigned,
    /// With a brace.
    Block,
    /// As a label of a block.
    Label,
}

/// One block, found by [`HclBody::blocks`].
#[derive(Clone, Copy, Debug)]
pub struct HclBlock<'t, const LABELS: usize> {
    /// Its labels, from the left.
    pub labels: [&'t HclKey; LABELS],
    /// What stands in its braces.
    pub body: &'t HclBody,
    /// Where its name begins. Entries of one list share it; see the position of their bodies.
    pub position: Position,
}

/// A key that is assigned twice in one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DuplicateKey<'t> {
    /// The key.
    pub key: &'t str,
    /// Where it was assigned first.
    pub first: Position,
    /// Where it is assigned again.
    pub again: Position,
}

impl HclBody {
    /// Everything in it.
    pub fn items(&self) -> &[HclItem] {
        &self.items
    }

    /// The item of this name: the last one, if there are several.
    pub fn last_item(&self, name: &str) -> Option<&HclItem> {
        self.items.iter().rfind(|item| item.key.text == name)
    }

    /// The value of this name through one of the readers of [`HclValue`]. Errors name the key.
    pub fn read<'t, T>(
        &'t self,
        name: &str,
        reader: impl FnOnce(&'t HclValue) -> Result<T, ParseError>,
    ) -> Result<Option<T>, ParseError> {
        self.last_item(name).map(|item| item.read(reader)).transpose()
    }

    /// The blocks of this name, each with this many labels, in order. Say how many by
    /// destructuring: `let [path] = block.labels`.
    ///
    /// `a "b" { … }`, `a = { b = { … } }` and JSON's `{"a": {"b": {…}}}` are the same block `a`
    /// with the label `b`. In a list of objects each entry is a block. A block written with too
    /// few labels is refused, or the keys in it would pass for labels; a label too many is a key
    /// of the block, which its caller finds unknown.
    pub fn blocks<const LABELS: usize>(
        &self,
        name: &str,
    ) -> Result<Vec<HclBlock<'_, LABELS>>, ParseError> {
        let mut found = Vec::new();
        for named in self.items.iter().filter(|item| item.key.text == name) {
            collect_blocks(named, named, &mut Vec::new(), &mut found)?;
        }
        Ok(found)
    }

    /// The items whose keys are none of these.
    pub fn unknown_items(&self, known: &[&str]) -> impl Iterator<Item = &HclItem> {
        self.items.iter().filter(move |item| !known.contains(&item.key.text.as_str()))
    }

    /// Every key that is assigned (`=`, in JSON any) more than once in the same object, here and
    /// in everything below. Blocks repeat and don't count.
    pub fn duplicate_keys(&self) -> Vec<DuplicateKey<'_>> {
        let mut found = Vec::new();
        self.find_duplicates(&mut found);
        found
    }

    fn find_duplicates<'t>(&'t self, found: &mut Vec<DuplicateKey<'t>>) {
        let mut seen = HashMap::new();
        for item in &self.items {
            let key = item.key.text.as_str();
            let again = item.key.position;
            if item.form == ItemForm::Assigned {
                match seen.entry(key) {
                    Entry::Vacant(entry) => _ = entry.insert(again),
                    Entry::Occupied(entry) => {
                        found.push(DuplicateKey { key, first: *entry.get(), again });
                    }
                }
            }
            item.value.find_duplicates(found);
        }
    }
}

impl HclItem {
    /// Its value through one of the readers of [`HclValue`]. Errors name the key.
    pub fn read<'t, T>(
        &'t self,
        reader: impl FnOnce(&'t HclValue) -> Result<T, ParseError>,
    ) -> Result<T, ParseError> {
        reader(&self.value).map_err(|error| error.with_key(&self.key.text))
    }

    /// The objects under this key: one, or each entry of a list.
    fn block_bodies(&self) -> Result<Vec<&HclBody>, ParseError> {
        let entries = match &self.value.kind {
            ValueKind::List(entries) => entries.as_slice(),
            _ => std::slice::from_ref(&self.value),
        };
        let objects = entries.iter().map(|entry| match &entry.kind {
            ValueKind::Object(body) => Ok(body),
            _ => Err(entry.must_be("a block").with_key(&self.key.text)),
        });
        objects.collect()
    }
}

/// Collects the blocks under `item`, which is `named` or stands below it with `labels` between.
fn collect_blocks<'t, const LABELS: usize>(
    named: &'t HclItem,
    item: &'t HclItem,
    labels: &mut Vec<&'t HclKey>,
    found: &mut Vec<HclBlock<'t, LABELS>>,
) -> Result<(), ParseError> {
    for body in item.block_bodies()? {
        if let Ok(labels) = <[&HclKey; LABELS]>::try_from(labels.as_slice()) {
            found.push(HclBlock { labels, body, position: named.key.position });
            continue;
        }
        let has_label = body.items.first().is_some_and(|inner| inner.form == ItemForm::Label);
        if item.form != ItemForm::Assigned && !has_label {
            let key = named.key.text.clone();
            return Err(ParseError::MissingLabel { position: named.key.position, key });
        }
        for inner in &body.items {
            labels.push(&inner.key);
            collect_blocks(named, inner, labels, found)?;
            labels.pop();
        }
    }
    Ok(())
}

impl HclValue {
    fn find_duplicates<'t>(&'t self, found: &mut Vec<DuplicateKey<'t>>) {
        match &self.kind {
            ValueKind::Object(body) => body.find_duplicates(found),
            ValueKind::List(entries) => {
                entries.iter().for_each(|entry| entry.find_duplicates(found));
            }
            _ => {}
        }
    }
}

impl ValueKind {
    /// What it is, with its article.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::String(_) => "a string",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }
}

// Values may be secrets: what they are is printed, what they say is not.

impl fmt::Debug for HclBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.items.iter().map(|item| (&item.key.text, &item.value))).finish()
    }
}

impl fmt::Debug for HclItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entry(&self.key.text, &self.value).finish()
    }
}

impl fmt::Debug for HclValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl fmt::Debug for ValueKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Object(body) => body.fmt(f),
            Self::List(entries) => entries.fmt(f),
            other => f.write_str(other.type_name()),
        }
    }
}
