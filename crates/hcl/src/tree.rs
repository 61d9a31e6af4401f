//! The tree that a text is parsed into, the same for both syntaxes.
//!
//! Each label is a level: `path "a" { … }` becomes the key `path` with an object whose one key is
//! `a`, exactly as JSON writes it: `{"path": {"a": …}}`. [`HclBody::blocks`] turns levels back into
//! labels; its caller says how many labels the block has.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;

use crate::error::{ParseError, Position};
use crate::number::NumberLiteral;

/// The items of an object, or of a whole text, in source order.
pub struct HclBody {
    /// The position of the opening brace, or the start of the text.
    pub position: Position,
    pub(crate) items: Vec<HclItem>,
}

/// A key and its value.
pub struct HclItem {
    /// The key or block name.
    pub key: HclKey,
    /// The value assigned to the key, or the body of the block.
    pub value: HclValue,
    pub(crate) form: ItemForm,
}

/// A key or a label, with its position.
#[derive(Debug)]
pub struct HclKey {
    /// The key's text, without quotes.
    pub text: String,
    /// The position of its first character.
    pub position: Position,
}

/// A value and its position. Its readers are in [`crate::access`].
pub struct HclValue {
    /// The position of the first character of the value.
    pub position: Position,
    /// The type of the value, and the value itself.
    pub kind: ValueKind,
}

/// The type and content of a value.
pub enum ValueKind {
    /// JSON's `null`. HCL 1 reads it as an empty string.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as it was written.
    Number(NumberLiteral),
    /// A string or heredoc, its escapes resolved.
    String(String),
    /// A list of values, which may have different types.
    List(Vec<HclValue>),
    /// An object: assigned with `=`, or the body of a block.
    Object(HclBody),
}

/// How an item was written in the source.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum ItemForm {
    /// With `=`. Every member of a JSON object counts as assigned.
    Assigned,
    /// As a block, with a brace after the key.
    Block,
    /// As a label of a block.
    Label,
}

/// A block with its labels, as returned by [`HclBody::blocks`].
#[derive(Clone, Copy, Debug)]
pub struct HclBlock<'t, const LABELS: usize> {
    /// The labels, from left to right.
    pub labels: [&'t HclKey; LABELS],
    /// The content of the block's braces.
    pub body: &'t HclBody,
    /// The position of the block's name. Blocks from one list share it; their bodies' positions
    /// differ.
    pub position: Position,
}

/// A key that is assigned twice in the same object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DuplicateKey<'t> {
    /// The key that is repeated.
    pub key: &'t str,
    /// The position of the first assignment.
    pub first: Position,
    /// The position of the later assignment.
    pub again: Position,
}

impl HclBody {
    /// All items, in source order and with duplicates.
    pub fn items(&self) -> &[HclItem] {
        &self.items
    }

    /// The item with this name; the last one if there are several.
    pub fn last_item(&self, name: &str) -> Option<&HclItem> {
        self.items.iter().rfind(|item| item.key.text == name)
    }

    /// Reads the value with this name through a reader of [`HclValue`]; `None` if it is missing.
    /// Errors name the key.
    pub fn read<'t, T>(
        &'t self,
        name: &str,
        reader: impl FnOnce(&'t HclValue) -> Result<T, ParseError>,
    ) -> Result<Option<T>, ParseError> {
        self.last_item(name).map(|item| item.read(reader)).transpose()
    }

    /// Returns the blocks with this name and number of labels, in source order. The caller sets the
    /// number of labels by destructuring: `let [path] = block.labels`.
    ///
    /// `a "b" { … }`, `a = { b = { … } }` and JSON's `{"a": {"b": {…}}}` all are a block `a` with
    /// the label `b`. In a list of objects, each entry is a block. A block with too few labels is
    /// refused, since its keys would otherwise be taken for labels. An extra label becomes a key of
    /// the block, which the caller will find unknown.
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

    /// The items whose keys are not in `known`.
    pub fn unknown_items(&self, known: &[&str]) -> impl Iterator<Item = &HclItem> {
        self.items.iter().filter(move |item| !known.contains(&item.key.text.as_str()))
    }

    /// Every key that is assigned more than once in the same object, here and at all levels below.
    /// In JSON every member counts as assigned. Blocks may repeat and are not reported.
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
    /// Reads the item's value through a reader of [`HclValue`]. Errors name the key.
    pub fn read<'t, T>(
        &'t self,
        reader: impl FnOnce(&'t HclValue) -> Result<T, ParseError>,
    ) -> Result<T, ParseError> {
        reader(&self.value).map_err(|error| error.with_key(&self.key.text))
    }

    /// The objects under this key: the value itself, or each entry of a list.
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

/// Collects the blocks below `item`, which belong to the block `named` and already have `labels`.
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
    /// The name of the type, with its article.
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

// Values may be secrets: print their types only.

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
