//! How the handler of a request reads its fields, for the conditions of policies.

use strongroom_policy::{FieldDeclaration, FieldReading, FieldReadings, InnerField};
use strongroom_sdk::engine::FieldKinds;
use strongroom_sdk::field::{FieldKind, FieldSpec};
use strongroom_sdk::pattern::Pattern;

use crate::endpoint::{ANY_FIELD, Endpoint};
use crate::mounts::Backend;
use crate::pipeline::route::Routed;
use crate::{auth_token, sys};

/// The server's own fields whose kind doesn't say all of how they are read.
const OWN_READINGS: &[(&str, FieldReading)] = &[
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

/// Fields of a new mount that are taken from its `config` as well.
const IN_CONFIG: &[InnerField] = &[
    InnerField { object: "config", name: "plugin_name" },
    InnerField { object: "config", name: "plugin_version" },
];

/// Legacy names and the names that replaced them, where a handler takes both.
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

/// How the backend that a request goes to reads the request's fields.
pub(crate) fn of_request(routed: &Routed) -> FieldReadings {
    match routed.backend() {
        Some(Backend::System) => of_endpoints(sys::ENDPOINTS, &routed.below),
        Some(Backend::Token) => of_endpoints(auth_token::ENDPOINTS, &routed.below),
        Some(Backend::Cubbyhole) => FieldReadings::as_sent(),
        Some(Backend::Engine(engine)) => {
            let instance = engine.instance();
            let kinds = instance.map(|it| it.engine.field_kinds(&routed.below));
            of_engine(kinds.unwrap_or_default())
        }
        None => FieldReadings::unknown(),
    }
}

fn of_engine(kinds: FieldKinds) -> FieldReadings {
    match kinds {
        FieldKinds::Unknown => FieldReadings::unknown(),
        FieldKinds::AsSent => FieldReadings::as_sent(),
        FieldKinds::Declared(specs) => FieldReadings::declared(specs.iter().map(|spec| {
            let reading = of_kind(spec.kind);
            FieldDeclaration { name: spec.name.into(), reading, legacy_name_of: None }
        })),
    }
}

/// All endpoints that match the path: which of them answers depends on the verb.
fn of_endpoints(endpoints: &[&'static [Endpoint]], below: &str) -> FieldReadings {
    let below = below.trim_end_matches('/');
    let matching = endpoints
        .iter()
        .flat_map(|group| group.iter())
        .filter(|endpoint| Pattern::new(endpoint.pattern).matches(below).is_some());
    let specs: Vec<&FieldSpec> =
        matching.flat_map(|endpoint| endpoint.fields.iter().flat_map(|it| it.iter())).collect();
    if specs.iter().any(|spec| spec.name == ANY_FIELD) {
        return FieldReadings::as_sent();
    }
    let legacy_name_of = |name: &str| {
        let (_, current) = LEGACY_NAMES.iter().find(|(legacy, _)| *legacy == name)?;
        specs.iter().any(|spec| spec.name == *current).then_some(*current)
    };
    let readings = FieldReadings::declared(specs.iter().map(|spec| FieldDeclaration {
        name: spec.name.into(),
        reading: of_own_field(spec),
        legacy_name_of: legacy_name_of(spec.name),
    }));
    let has = |name| specs.iter().any(|spec| spec.name == name);
    if has("config") && has("plugin_name") {
        let readings = readings.with_inner(IN_CONFIG);
        let of_secrets = below.starts_with("mounts/");
        return if of_secrets { readings.with_derived(sys::fields_of_mount) } else { readings };
    }
    if has("command") {
        readings.with_derived(sys::fields_of_plugin)
    } else if has("policy") {
        readings.with_derived(sys::fields_of_policy)
    } else {
        readings
    }
}

fn of_own_field(spec: &FieldSpec) -> FieldReading {
    let special = OWN_READINGS.iter().find(|(name, _)| *name == spec.name);
    special.map_or_else(|| of_kind(spec.kind), |(_, reading)| *reading)
}

fn of_kind(kind: FieldKind) -> FieldReading {
    match kind {
        FieldKind::String => FieldReading::Text,
        FieldKind::Integer => FieldReading::Integer,
        FieldKind::Boolean => FieldReading::Boolean,
        FieldKind::Duration => FieldReading::Duration,
        FieldKind::CommaList => FieldReading::List,
        FieldKind::KeyValues => FieldReading::Pairs,
        FieldKind::Object => FieldReading::AsSent,
        _ => FieldReading::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The server's own texts that handlers take exactly as they come: neither split nor trimmed nor
    /// folded. A field that isn't here or above has to be put in one of both.
    const EXACT_TEXTS: &[&str] = &[
        "accessor",
        "description",
        "display_name",
        "entity_alias",
        "format",
        "id",
        "identity_token_key",
        "lease_id",
        "listing_visibility",
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
    fn each_text_of_the_servers_own_endpoints_has_a_reading() {
        let texts: BTreeSet<&str> = all_specs()
            .filter(|spec| of_own_field(spec) == FieldReading::Text)
            .map(|it| it.name)
            .collect();
        assert_eq!(texts.into_iter().collect::<Vec<_>>(), EXACT_TEXTS);
    }

    #[test]
    fn each_reading_and_each_legacy_name_is_of_a_field_that_there_is() {
        let names: BTreeSet<&str> = all_specs().map(|spec| spec.name).collect();
        for (name, _) in OWN_READINGS {
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
