//! Legacy names: older names under which a field is still accepted.

use strongroom_types::Fields;

use super::{Field, present_value};

/// What the legacy name of a field stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LegacyName {
    /// The current name of the field.
    pub current: &'static str,
    /// Whether a document that was written with the legacy name is shown with both names.
    pub echo: bool,
}

/// The name under which the fields contain a value: the current name if it has one, else the first
/// legacy name that has one, else the current name. For the derive macros.
#[doc(hidden)]
pub fn sent_name<F: Field>(
    fields: &Fields,
    current: &'static str,
    legacy: &[&'static str],
) -> &'static str {
    let has_value = |name: &&str| present_value::<F>(fields, name).is_some();
    let older = || legacy.iter().copied().find(has_value);
    Some(current).filter(has_value).or_else(older).unwrap_or(current)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::NullableField;

    #[test]
    fn the_current_name_wins_over_legacy_names_in_their_order() {
        let name_in = |json: &str| {
            let fields = Fields::from_trusted(json.as_bytes()).unwrap();
            sent_name::<String>(&fields, "new", &["old", "oldest"])
        };
        assert_eq!(name_in(r#"{"old":"a","new":"b","oldest":"c"}"#), "new");
        assert_eq!(name_in(r#"{"oldest":"c","old":"a"}"#), "old");
        assert_eq!(name_in(r#"{"oldest":"c","old":null,"new":null}"#), "oldest");
        assert_eq!(name_in("{}"), "new");
    }

    #[test]
    fn a_null_is_a_value_for_kinds_that_accept_it() {
        let fields = Fields::from_trusted(br#"{"new":null,"old":"a"}"#).unwrap();
        assert_eq!(sent_name::<NullableField<String>>(&fields, "new", &["old"]), "new");
    }
}
