//! Warnings about fields that an endpoint doesn't know, and about fields that the path overrides.

use strongroom_types::{Fields, printable};

use crate::pattern::PathCaptures;

/// Warnings about the fields of a request, in the exact wording that clients match on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldWarnings {
    /// Names the fields that the endpoint doesn't know and ignored.
    pub ignored: Option<String>,
    /// Names the fields whose values were replaced by captures of the path.
    pub replaced: Option<String>,
}

impl IntoIterator for FieldWarnings {
    type Item = String;
    type IntoIter = std::iter::Flatten<std::array::IntoIter<Option<String>, 2>>;

    fn into_iter(self) -> Self::IntoIter {
        [self.ignored, self.replaced].into_iter().flatten()
    }
}

impl FieldWarnings {
    /// The warnings of an endpoint with these fields.
    pub fn for_unrecognized<'d>(fields: &Fields, known: impl Iterator<Item = &'d str>) -> Self {
        let known: Vec<&str> = known.collect();
        let mut ignored: Vec<&str> =
            fields.iter().map(|(name, _)| name).filter(|name| !known.contains(name)).collect();
        ignored.sort_unstable();
        let text = |names| {
            format!("Endpoint ignored these unrecognized parameters: [{}]", join_printable(names))
        };
        Self { ignored: (!ignored.is_empty()).then(|| text(&ignored)), replaced: None }
    }
}

/// Sets the captures of the path as fields, replacing fields of the same name from the body.
/// Returns warnings about unknown and replaced fields.
pub fn apply_captures<'d>(
    declared: impl Iterator<Item = &'d str>,
    captures: &PathCaptures,
    fields: &mut Fields,
) -> FieldWarnings {
    let captured = captures.iter().map(|(name, _)| name);
    let mut warnings = FieldWarnings::for_unrecognized(fields, declared.chain(captured));
    let mut replaced = Vec::new();
    for (name, value) in captures.iter() {
        if fields.contains(name) {
            replaced.push(name);
        }
        fields.set(name, &value);
    }
    if !replaced.is_empty() {
        warnings.replaced = Some(format!(
            "Endpoint replaced the value of these parameters with the values captured from the \
             endpoint's path: [{}]",
            join_printable(&replaced)
        ));
    }
    warnings
}

/// The maximum number of names in a warning, and of bytes per name.
const MAX_NAMES: usize = 16;
const MAX_NAME_BYTES: usize = 64;

/// The names as a warning shows them, with unprintable characters replaced by spaces: clients
/// choose them, and terminals print them.
fn join_printable(names: &[&str]) -> String {
    let cut = |name: &&str| printable(name, MAX_NAME_BYTES).into_owned();
    let mut shown: Vec<String> = names.iter().take(MAX_NAMES).map(cut).collect();
    if let Some(more) = names.len().checked_sub(MAX_NAMES).filter(|more| *more > 0) {
        shown.push(format!("and {more} more"));
    }
    shown.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pattern::RoutePattern;

    fn warnings_for(known: &[&str], body: &str) -> Vec<String> {
        let mut fields = Fields::from_trusted(body.as_bytes()).unwrap();
        let captures = RoutePattern::new("roles/{name}").match_path("roles/dev").unwrap();
        let warnings = apply_captures(known.iter().copied(), &captures, &mut fields);
        assert_eq!(fields.text("name").as_deref(), Some("dev"));
        warnings.into_iter().collect()
    }

    #[test]
    fn unknown_fields_are_named_sorted_and_never_their_values() {
        assert!(warnings_for(&["ttl"], r#"{"ttl":"hunter2"}"#).is_empty());
        assert_eq!(
            warnings_for(
                &["ttl"],
                r#"{"zone":"hunter2","max_tll":"hunter2","ttl":1,"name":"hunter2"}"#
            ),
            [
                "Endpoint ignored these unrecognized parameters: [max_tll zone]",
                "Endpoint replaced the value of these parameters with the values captured from the \
                 endpoint's path: [name]",
            ]
        );
    }

    #[test]
    fn names_of_unknown_fields_are_printable_and_bounded() {
        let long = "x".repeat(100_000);
        let [warning] = &warnings_for(&[], &format!(r#"{{"{long}":1,"a\u001b[2J\nb":1}}"#))[..]
        else {
            panic!("one warning")
        };
        let cut = "x".repeat(64);
        let start = "Endpoint ignored these unrecognized parameters: ";
        assert_eq!(*warning, format!("{start}[a [2J b {cut}…]"));
        let many: Vec<String> = (10..99).map(|n| format!(r#""n{n}":1"#)).collect();
        let [warning] = &warnings_for(&[], &format!("{{{}}}", many.join(",")))[..] else {
            panic!("one warning")
        };
        assert!(warning.ends_with(" n25 and 73 more]"), "{warning}");
    }
}
