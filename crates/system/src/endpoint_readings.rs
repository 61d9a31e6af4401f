//! How a request's handler interprets its fields, so that policy parameter conditions compare the
//! same values the handler will use.

use strongroom_core::kind_readings::reading_for_kind;
use strongroom_policy::{FieldDeclaration, FieldReading, FieldReadings};
use strongroom_schema::field::FieldSpec;
use strongroom_schema::pattern::RoutePattern;

use crate::endpoint::{ANY_FIELD, ApiEndpoint};

/// Fields of the server's own endpoints whose declared kind doesn't fully determine how the handler
/// interprets them.
const SERVER_FIELD_READINGS: &[(&str, FieldReading)] = &[
    ("policies", FieldReading::PolicyNames),
    ("allowed_policies", FieldReading::PolicyNames),
    ("allowed_policies_glob", FieldReading::PolicyNames),
    ("disallowed_policies", FieldReading::PolicyNames),
    ("disallowed_policies_glob", FieldReading::PolicyNames),
    ("ttl", FieldReading::Duration),
    ("lease", FieldReading::Duration),
    ("period", FieldReading::Duration),
    ("explicit_max_ttl", FieldReading::Duration),
    ("default_lease_ttl", FieldReading::Duration),
    ("max_lease_ttl", FieldReading::Duration),
    ("from", FieldReading::MountPath),
    ("to", FieldReading::MountPath),
    ("mounts", FieldReading::MountPath),
    ("sha256", FieldReading::FoldedText),
    ("sha_256", FieldReading::FoldedText),
    ("version", FieldReading::Version),
    ("plugin_version", FieldReading::Version),
    ("command", FieldReading::CommandLine),
];

/// Legacy field names and their current names, where a handler accepts both.
const LEGACY_NAMES: &[(&str, &str)] = &[
    ("lease", "ttl"),
    ("rules", "policy"),
    ("path", "paths"),
    ("sha_256", "sha256"),
    ("url_lease_id", "lease_id"),
    ("plugin_name", "type"),
    ("bound_cidrs", "token_bound_cidrs"),
    ("explicit_max_ttl", "token_explicit_max_ttl"),
    ("period", "token_period"),
];

/// Adds to the readings what can't be derived from the declarations of the fields. The second
/// argument returns whether a field is declared.
pub(crate) type RefineReadings = fn(FieldReadings, &dyn Fn(&str) -> bool) -> FieldReadings;

/// The readings of all endpoints that match the path; which one handles the request depends on the
/// verb.
///
/// `refine` is applied unless the endpoint accepts an arbitrary body.
pub(crate) fn readings_for_endpoints(
    endpoints: &[&'static [ApiEndpoint]],
    below: &str,
    refine: RefineReadings,
) -> FieldReadings {
    let below = below.trim_end_matches('/');
    let matching = endpoints
        .iter()
        .flat_map(|group| group.iter())
        .filter(|endpoint| RoutePattern::new(endpoint.pattern).match_path(below).is_some());
    let specs: Vec<&FieldSpec> =
        matching.flat_map(|endpoint| endpoint.fields.iter().flat_map(|it| it.iter())).collect();
    if specs.iter().any(|spec| spec.name == ANY_FIELD) {
        return FieldReadings::as_sent();
    }
    let legacy_name_of = |name: &str| {
        let (_, current) = LEGACY_NAMES.iter().find(|(legacy, _)| *legacy == name)?;
        specs.iter().any(|spec| spec.name == *current).then_some(*current)
    };
    let readings = FieldReadings::from_declarations(specs.iter().map(|spec| FieldDeclaration {
        name: spec.name.into(),
        reading: reading_for_server_field(spec),
        legacy_name_of: spec.legacy_name_of().or_else(|| legacy_name_of(spec.name)),
    }));
    refine(readings, &|name| specs.iter().any(|spec| spec.name == name))
}

fn reading_for_server_field(spec: &FieldSpec) -> FieldReading {
    let special = SERVER_FIELD_READINGS.iter().find(|(name, _)| *name == spec.name);
    special.map_or_else(|| reading_for_kind(spec.kind), |(_, reading)| *reading)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{auth_token, sys};

    /// Text fields of the server's own endpoints that handlers use exactly as sent: not split,
    /// trimmed or case-folded. A new text field must be added either here or to
    /// [`SERVER_FIELD_READINGS`].
    const EXACT_TEXTS: &[&str] = &[
        "accessor",
        "alias_identifier",
        "description",
        "display_name",
        "entity_alias",
        "format",
        "id",
        "identity_token_key",
        "lease_id",
        "listing_visibility",
        "mount_accessor",
        "oci_image",
        "path_suffix",
        "plugin",
        "plugin_name",
        "policy",
        "rules",
        "runtime",
        "scope",
        "token",
        "token_type",
        "type",
        "url_lease_id",
    ];

    fn all_specs() -> impl Iterator<Item = &'static FieldSpec> {
        let groups = sys::ENDPOINTS.iter().chain(auth_token::ENDPOINTS);
        let endpoints = groups.flat_map(|group| group.iter());
        endpoints.flat_map(|endpoint| endpoint.fields.iter().flat_map(|it| it.iter()))
    }

    #[test]
    fn every_text_field_of_server_endpoints_has_a_reading() {
        let texts: BTreeSet<&str> = all_specs()
            .filter(|spec| reading_for_server_field(spec) == FieldReading::Text)
            .map(|it| it.name)
            .collect();
        assert_eq!(texts.into_iter().collect::<Vec<_>>(), EXACT_TEXTS);
    }

    #[test]
    fn readings_and_legacy_names_refer_to_existing_fields() {
        let names: BTreeSet<&str> = all_specs().map(|spec| spec.name).collect();
        for (name, _) in SERVER_FIELD_READINGS {
            assert!(names.contains(name), "{name}");
        }
        for (legacy, current) in LEGACY_NAMES {
            assert!(names.contains(legacy) && names.contains(current), "{legacy} {current}");
        }
        let help = |spec: &&FieldSpec| spec.help.contains("lder name of");
        for spec in all_specs().filter(help) {
            let legacy = LEGACY_NAMES.iter().find(|(legacy, _)| *legacy == spec.name);
            let (_, current) =
                legacy.unwrap_or_else(|| panic!("{} isn't known as a legacy name", spec.name));
            assert!(spec.help.contains(&format!("`{current}`")), "{}", spec.name);
        }
    }
}
