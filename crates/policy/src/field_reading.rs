//! [`FieldReadings`]: how the handler of a request reads each of its fields. Conditions on fields
//! are evaluated on what the handler makes of a value, not on its spelling in the request.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;
use strongroom_types::Fields;

/// How a handler reads the value of one field, which determines how conditions compare it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FieldReading {
    /// Not declared: the value may or may not be split at commas, trimmed and case-folded.
    Unknown,
    /// Used as the JSON value it is.
    AsSent,
    /// A single text, used as it is.
    Text,
    /// An integer, also given as text.
    Integer,
    /// A number that may have a fraction, also given as text.
    Float,
    /// A boolean, also given as a number or text.
    Boolean,
    /// A duration: a number of seconds, or text with units.
    Duration,
    /// A point in time: RFC 3339, or seconds since 1970 as a number or as text.
    Time,
    /// A list of texts, or one text split at commas; white space around entries is trimmed.
    List,
    /// A map from names to texts: an object, or a list of `name=value`.
    Pairs,
    /// The path of a mount, or a list of them; leading and trailing slashes are ignored.
    MountPath,
    /// The name of a policy; surrounding white space and case are ignored.
    PolicyName,
    /// A list as in [`FieldReading::List`] of names as in [`FieldReading::PolicyName`].
    PolicyNames,
    /// A single text; surrounding white space and case are ignored.
    FoldedText,
    /// The version of a plug-in; a leading `v` is ignored.
    Version,
    /// A command with arguments separated by white space.
    CommandLine,
}

impl FieldReading {
    /// Whether the handler converts each entry to text, numbers included.
    pub(crate) fn converts_entries_to_text(self) -> bool {
        matches!(
            self,
            Self::List | Self::Pairs | Self::MountPath | Self::PolicyName | Self::PolicyNames
        )
    }
}

/// A field that a handler declares, with the way it reads its value.
#[derive(Clone, Debug)]
pub struct FieldDeclaration {
    /// The name of the field in requests.
    pub name: Cow<'static, str>,
    /// How the handler reads the field's value.
    pub reading: FieldReading,
    /// If this is a legacy name, the current name of the same field.
    pub legacy_name_of: Option<&'static str>,
}

/// How the handler of one operation reads the fields of a request.
#[derive(Clone, Debug)]
pub struct FieldReadings {
    declared: Vec<FieldDeclaration>,
    undeclared_reading: FieldReading,
    inner: &'static [InnerField],
    derive: Option<fn(&Fields) -> Vec<DerivedField>>,
}

/// A field that the handler also reads from inside an object that is the value of another field.
#[derive(Clone, Copy, Debug)]
pub struct InnerField {
    /// The name of the field that contains the object.
    pub object: &'static str,
    /// The name of the field, the same inside the object and at the top level.
    pub name: &'static str,
}

/// A value that the handler derives from other fields, or another form of a field's value.
#[derive(Clone, Debug)]
pub struct DerivedField {
    /// The name of the field that conditions refer to.
    pub name: &'static str,
    /// The derived value, as a request could have sent it.
    pub value: Box<RawValue>,
    /// How conditions compare the value.
    pub reading: FieldReading,
    /// Whether this is another form of a value that was sent. A denial applies to it, but it needs
    /// no allowance of its own.
    pub is_synonym: bool,
}

impl FieldReadings {
    /// For a backend that doesn't declare its fields, such as a hosted plug-in: every field is
    /// [`FieldReading::Unknown`].
    pub fn unknown() -> Self {
        Self {
            declared: Vec::new(),
            undeclared_reading: FieldReading::Unknown,
            inner: &[],
            derive: None,
        }
    }

    /// For a handler that uses fields of any name as the JSON values they are.
    pub fn as_sent() -> Self {
        Self {
            declared: Vec::new(),
            undeclared_reading: FieldReading::AsSent,
            inner: &[],
            derive: None,
        }
    }

    /// For a handler that declares its fields. It ignores all others, which are treated as
    /// [`FieldReading::Unknown`].
    pub fn from_declarations(fields: impl IntoIterator<Item = FieldDeclaration>) -> Self {
        let declared = fields.into_iter().collect();
        Self { declared, undeclared_reading: FieldReading::Unknown, inner: &[], derive: None }
    }

    /// Declares fields that the handler also reads from inside an object. The list replaces one
    /// that was declared before.
    #[must_use]
    pub fn with_inner(self, inner: &'static [InnerField]) -> Self {
        Self { inner, ..self }
    }

    /// Declares a function that derives further fields from those of a request. It replaces one
    /// that was declared before.
    #[must_use]
    pub fn with_derived(self, derive: fn(&Fields) -> Vec<DerivedField>) -> Self {
        Self { derive: Some(derive), ..self }
    }

    /// The fields that the handler reads from inside objects (unless `null` or empty), and those it
    /// derives.
    pub(crate) fn derived_fields(&self, fields: &Fields) -> Vec<DerivedField> {
        let found = self.inner.iter().filter_map(|InnerField { object, name }| {
            let object = fields.get(object)?;
            let mut object: BTreeMap<String, Box<RawValue>> =
                serde_json::from_str(object.get()).ok()?;
            let value = object.remove(*name)?;
            let given = !matches!(value.get(), "null" | "\"\"");
            let (name, reading) = (*name, self.reading_of(name));
            given.then_some(DerivedField { name, value, reading, is_synonym: false })
        });
        let derived = self.derive.map(|derive| derive(fields));
        found.chain(derived.into_iter().flatten()).collect()
    }

    /// How the handler reads the field with this exact name.
    pub(crate) fn reading_of(&self, name: &str) -> FieldReading {
        self.declaration_of(name).map_or(self.undeclared_reading, |field| field.reading)
    }

    /// The current name of a field, which may be given by a legacy name.
    pub(crate) fn current_name<'n>(&'n self, name: &'n str) -> &'n str {
        self.declaration_of(name).and_then(|field| field.legacy_name_of).unwrap_or(name)
    }

    /// All names under which the handler accepts this field, the given one included.
    pub(crate) fn all_names<'n>(&'n self, name: &'n str) -> impl Iterator<Item = &'n str> {
        let current = self.current_name(name);
        let legacy = self.declared.iter().filter(move |it| it.legacy_name_of == Some(current));
        [name, current].into_iter().chain(legacy.map(|field| &*field.name))
    }

    /// Whether the handler treats `null` like a missing value.
    pub(crate) fn null_means_absent(&self, name: &str) -> bool {
        match self.declaration_of(name) {
            // A declared field whose value has many forms still counts `null` as missing.
            Some(declared) => declared.reading != FieldReading::AsSent,
            None => {
                !matches!(self.undeclared_reading, FieldReading::Unknown | FieldReading::AsSent)
            }
        }
    }

    fn declaration_of(&self, name: &str) -> Option<&FieldDeclaration> {
        self.declared.iter().find(|field| field.name == name)
    }
}

/// Folds case so that two texts which any backend treats as equal get the same form. Backends use
/// several rules (simple lower case, full folding); this combines them, so it equates slightly more
/// texts than each of them. Paths are folded only to restrict, never to grant.
pub fn case_folded(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Cow::Owned(text.to_ascii_lowercase());
        }
        return Cow::Borrowed(text);
    }
    // Simple case mapping gives `i` for the dotted capital I; full mapping adds a combining dot.
    const DOTTED_CAPITAL_I: char = '\u{130}';
    let lower = |c: char| c.to_lowercase();
    let folded = text
        .chars()
        .map(|c| if c == DOTTED_CAPITAL_I { 'i' } else { c })
        .flat_map(lower)
        .flat_map(char::to_uppercase)
        .flat_map(lower);
    Cow::Owned(folded.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_differ_in_case_fold_to_one() {
        for (a, b) in [
            ("Admin", "aDMIN"),
            ("ÄRGER", "ärger"),
            ("ΟΔΟΣ", "οδος"),
            ("ΟΔΟΣ", "οδοσ"),
            ("\u{130}stanbul", "istanbul"),
            ("\u{212a}ey", "key"),
            ("stra\u{1e9e}e", "straße"),
        ] {
            assert_eq!(case_folded(a), case_folded(b), "{a} {b}");
        }
        assert_ne!(case_folded("admin"), case_folded("admim"));
    }
}
