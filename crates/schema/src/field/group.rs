//! [`FieldGroup`]: fields that several documents have in common, declared once.

use std::borrow::Cow;

use strongroom_types::Fields;

use super::choice::is_same_text;
use super::{FieldKind, FieldSpec, InvalidInput, LegacyName, ObjectWriter};
use crate::display::FieldDisplay;

/// A struct whose fields a document embeds with `#[field(embed)]`. In the API they are fields of the
/// embedding object, as if they were declared there. Derive it.
pub trait FieldGroup: Sized + Send + Sync + 'static {
    /// The declared fields, which are appended to those of the embedding struct.
    const FIELDS: &'static [FieldSpec];

    /// Builds the group from the fields of the embedding object; other fields are ignored.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`] if a field has the wrong form, or a required one is missing.
    fn from_fields(fields: &Fields) -> Result<Self, InvalidInput>;

    /// Writes all fields, including secrets, for storage.
    fn write_stored(&self, out: &mut ObjectWriter);

    /// Writes the fields that a client may read; secrets are left out.
    fn write_shown(&self, out: &mut ObjectWriter);

    /// The names of the fields that a list of documents shows.
    fn listed_fields() -> Vec<&'static str> {
        Vec::new()
    }

    /// Writes the fields that a list of documents shows for each of them.
    fn write_listed(&self, _out: &mut ObjectWriter) {}

    /// Parses each field's default; see [`Input::check_defaults`](crate::Input).
    #[doc(hidden)]
    fn check_defaults() -> Result<(), InvalidInput> {
        Ok(())
    }

    /// Checks that the fields are consistent with each other, before a client's write is stored.
    ///
    /// # Errors
    ///
    /// A message for the user, who receives it with status 400.
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

/// The number of fields in all parts of a declaration. For the derive macros.
#[doc(hidden)]
pub const fn count_specs(parts: &[&[FieldSpec]]) -> usize {
    let (mut rest, mut count) = (parts, 0);
    while let [part, after @ ..] = rest {
        count += part.len();
        rest = after;
    }
    count
}

/// The fields of all parts in one array, in order. For the derive macros, which pass the number
/// that [`count_specs`] returns as `N`.
///
/// # Panics
///
/// If two fields have the same name; in a constant, that is a compile error.
#[doc(hidden)]
#[expect(
    clippy::indexing_slicing,
    reason = "evaluated at compile time, where it can't go unnoticed"
)]
pub const fn join_specs<const N: usize>(parts: &[&[FieldSpec]]) -> [FieldSpec; N] {
    const FILLER: FieldSpec = FieldSpec {
        name: "",
        help: "",
        kind: FieldKind::String,
        allowed_values: &[],
        secret: false,
        required: false,
        internal: false,
        keep: false,
        default: None,
        legacy: None,
        display: FieldDisplay::NONE,
    };
    let mut joined = [FILLER; N];
    let (mut rest, mut at) = (parts, 0);
    while let [part, after @ ..] = rest {
        let mut specs = *part;
        while let [spec, others @ ..] = specs {
            let mut before = 0;
            while before < at {
                let is_taken = is_same_text(joined[before].name.as_bytes(), spec.name.as_bytes());
                assert!(!is_taken, "two fields of the struct and its groups have the same name");
                before += 1;
            }
            joined[at] = *spec;
            at += 1;
            specs = others;
        }
        rest = after;
    }
    joined
}

/// The declaration of an older name of a group's field. For the derive macros.
///
/// # Panics
///
/// If the group has no field `current`; in a constant, that is a compile error.
#[doc(hidden)]
pub const fn legacy_spec(
    group: &[FieldSpec],
    current: &'static str,
    older: &'static str,
    help: &'static str,
    echo: bool,
) -> FieldSpec {
    let mut rest = group;
    while let [spec, after @ ..] = rest {
        if is_same_text(spec.name.as_bytes(), current.as_bytes()) {
            let legacy = Some(LegacyName { current, echo });
            return FieldSpec {
                name: older,
                help,
                required: false,
                default: None,
                legacy,
                ..*spec
            };
        }
        rest = after;
    }
    #[expect(clippy::panic, reason = "evaluated at compile time")]
    {
        panic!("the embedded group has no field with the current name that `legacy` states")
    }
}

/// The fields with the values under older names moved to the current names, which the pairs give
/// first; a value under the current name counts. For the derive macros.
#[doc(hidden)]
pub fn rename_legacy_fields<'f>(
    fields: &'f Fields,
    names: &[(&'static str, &'static str)],
) -> Cow<'f, Fields> {
    let value = |name: &str| fields.get(name).filter(|raw| raw.get() != "null");
    let mut renamed = Cow::Borrowed(fields);
    for (current, older) in names {
        if let (None, Some(sent)) = (value(current), value(older)) {
            renamed.to_mut().set_raw(*current, sent.to_owned());
        }
    }
    renamed
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPECS: [FieldSpec; 2] = join_specs(&[&[named("token_ttl")], &[], &[named("token_type")]]);

    const fn named(name: &'static str) -> FieldSpec {
        FieldSpec {
            name,
            help: "A field.",
            kind: FieldKind::Duration,
            allowed_values: &[],
            secret: false,
            required: true,
            internal: false,
            keep: false,
            default: Some("1h"),
            legacy: None,
            display: FieldDisplay::NONE,
        }
    }

    #[test]
    fn groups_are_joined_in_order() {
        assert_eq!(SPECS.map(|spec| spec.name), ["token_ttl", "token_type"]);
        assert_eq!(count_specs(&[&SPECS, &[], &SPECS]), 4);
    }

    #[test]
    fn an_older_name_has_the_kind_of_the_current_one() {
        let spec = legacy_spec(&SPECS, "token_type", "type", "Older.", true);
        assert_eq!((spec.name, spec.kind), ("type", FieldKind::Duration));
        assert_eq!(spec.legacy_name_of(), Some("token_type"));
        assert!(!spec.required && spec.default.is_none());
    }

    #[test]
    fn values_under_the_current_name_win() {
        let names = [("token_ttl", "ttl"), ("token_type", "type")];
        let sent = Fields::from_trusted(br#"{"ttl":1,"type":"a","token_type":"b"}"#).unwrap();
        let renamed = rename_legacy_fields(&sent, &names);
        assert_eq!(renamed.get("token_ttl").map(serde_json::value::RawValue::get), Some("1"));
        assert_eq!(renamed.text("token_type").as_deref(), Some("b"));
        let none = Fields::from_trusted(br#"{"token_type":"b"}"#).unwrap();
        assert!(matches!(rename_legacy_fields(&none, &names), Cow::Borrowed(_)));
    }
}
