//! [`FieldReadings`]: how the handler of a request reads each field of it. Conditions on fields are
//! judged on what the handler makes of a value, not on how the client spelled it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;
use strongroom_types::Fields;

/// How a handler reads the value of one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FieldReading {
    /// The backend cannot tell: the value may be split at commas, trimmed and folded, or not.
    Unknown,
    /// The JSON value is taken as it is.
    AsSent,
    /// One text.
    Text,
    /// A whole number, also as text.
    Integer,
    /// True or false, also as a number or text.
    Boolean,
    /// A duration: a number of seconds, or text with units.
    Duration,
    /// A list of texts, or one text that is split at commas; blanks around the parts are cut off.
    List,
    /// Names with texts: an object, or a list of `name=value`.
    Pairs,
    /// The path of a mount, or a list of them: slashes around it don't count.
    MountPath,
    /// The name of a policy: blanks around it are cut off, and case doesn't count.
    PolicyName,
    /// A list as in [`FieldReading::List`] of names as in [`FieldReading::PolicyName`].
    PolicyNames,
    /// One text: blanks around it are cut off, and case doesn't count.
    FoldedText,
    /// The version of a plug-in: a `v` in front of it doesn't count.
    Version,
    /// A command, and arguments behind blanks.
    CommandLine,
}

impl FieldReading {
    /// Whether the handler makes a text of each entry, numbers among them.
    pub(crate) fn converts_entries_to_text(self) -> bool {
        matches!(
            self,
            Self::List | Self::Pairs | Self::MountPath | Self::PolicyName | Self::PolicyNames
        )
    }
}

/// One field that a handler declares.
#[derive(Clone, Debug)]
pub struct FieldDeclaration {
    /// The name of the field.
    pub name: Cow<'static, str>,
    /// How its value is read.
    pub reading: FieldReading,
    /// The newer name of the same field, where this is the legacy one.
    pub legacy_name_of: Option<&'static str>,
}

/// The fields of one request's handler.
#[derive(Clone, Debug)]
pub struct FieldReadings {
    declared: Vec<FieldDeclaration>,
    undeclared_reading: FieldReading,
    inner: &'static [InnerField],
    derive: Option<fn(&Fields) -> Vec<DerivedField>>,
}

/// A field that the handler also takes from an object that is another field.
#[derive(Clone, Copy, Debug)]
pub struct InnerField {
    /// The object.
    pub object: &'static str,
    /// The name of the field, in the object as beside it.
    pub name: &'static str,
}

/// A field that the handler makes of other fields of a request, or the same input in another form.
#[derive(Clone, Debug)]
pub struct DerivedField {
    /// The name of the field.
    pub name: &'static str,
    /// The value, as a request could have sent it.
    pub value: Box<RawValue>,
    /// How it is compared.
    pub reading: FieldReading,
    /// Another form of what was sent. It is denied like that, and needs no allowance of its own.
    pub is_synonym: bool,
}

impl FieldReadings {
    /// For a backend that cannot tell how it reads fields, such as a hosted plug-in.
    pub fn unknown() -> Self {
        Self {
            declared: Vec::new(),
            undeclared_reading: FieldReading::Unknown,
            inner: &[],
            derive: None,
        }
    }

    /// For a handler that takes fields of any name as they are.
    pub fn as_sent() -> Self {
        Self {
            declared: Vec::new(),
            undeclared_reading: FieldReading::AsSent,
            inner: &[],
            derive: None,
        }
    }

    /// For a handler that declares its fields. It ignores all others; they are judged as if it
    /// might read them in any way.
    pub fn from_declarations(fields: impl IntoIterator<Item = FieldDeclaration>) -> Self {
        let declared = fields.into_iter().collect();
        Self { declared, undeclared_reading: FieldReading::Unknown, inner: &[], derive: None }
    }

    /// The handler takes these fields from an object as well.
    #[must_use]
    pub fn with_inner(self, inner: &'static [InnerField]) -> Self {
        Self { inner, ..self }
    }

    /// The handler makes these fields of others.
    #[must_use]
    pub fn with_derived(self, derive: fn(&Fields) -> Vec<DerivedField>) -> Self {
        Self { derive: Some(derive), ..self }
    }

    /// Fields of a request that stand in an object, and those that its handler makes of others. An
    /// empty one in an object is none.
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

    /// How the handler reads the field of this name. Handlers know exact names only.
    pub(crate) fn reading_of(&self, name: &str) -> FieldReading {
        self.declaration_of(name).map_or(self.undeclared_reading, |field| field.reading)
    }

    /// The current name of a field that may be given by its legacy name.
    pub(crate) fn current_name<'n>(&'n self, name: &'n str) -> &'n str {
        self.declaration_of(name).and_then(|field| field.legacy_name_of).unwrap_or(name)
    }

    /// All names under which the handler takes the field of this name, this one among them.
    pub(crate) fn all_names<'n>(&'n self, name: &'n str) -> impl Iterator<Item = &'n str> {
        let current = self.current_name(name);
        let legacy = self.declared.iter().filter(move |it| it.legacy_name_of == Some(current));
        [name, current].into_iter().chain(legacy.map(|field| &*field.name))
    }

    /// Whether a `null` is as good as no value.
    pub(crate) fn null_means_absent(&self, name: &str) -> bool {
        !matches!(self.reading_of(name), FieldReading::Unknown | FieldReading::AsSent)
    }

    fn declaration_of(&self, name: &str) -> Option<&FieldDeclaration> {
        self.declared.iter().find(|field| field.name == name)
    }
}

/// A text without regard to case, so that two texts which any backend takes for one have the same
/// form. Backends use several rules (simple lower case, full folding); this joins them, and so takes
/// a few more texts for one than any of them. Only what restricts is compared like this.
pub fn case_folded(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Cow::Owned(text.to_ascii_lowercase());
        }
        return Cow::Borrowed(text);
    }
    // Simple rules map the dotted capital I to a plain `i`; the full ones add a combining dot.
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
