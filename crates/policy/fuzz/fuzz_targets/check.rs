//! Properties that must hold for every input. Shared by the fuzz targets and the crate's own tests.
#![allow(dead_code, reason = "each target takes one of them")]

use std::sync::Arc;

use serde_json::Value;
use strongroom_policy::{
    Acl, AclRequest, Capability, FieldDeclaration, FieldReading, FieldReadings, PathCase,
    PathPattern, Policy,
};
use strongroom_types::Fields;
use strongroom_types::fields::JsonLimits;

/// The input as a policy: it is parsed or refused, and a denied path is granted nothing.
pub(crate) fn any_policy(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let policy = match Policy::parse(text) {
        Ok(policy) => Arc::new(policy),
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let acl = Acl::new([policy.clone()]);
    assert!(!acl.is_root(), "no text makes a root policy");
    for rule in &policy.rules {
        let path = rule.pattern.as_str();
        let granted = acl.capabilities(path, PathCase::Distinct);
        if granted.is_denied() {
            for capability in [Capability::Read, Capability::Create, Capability::Sudo] {
                assert!(!acl.allows(path, capability, false), "{path:?} is denied");
            }
            // If case may be ignored, the path is denied too.
            let folded = acl.capabilities(path, PathCase::MayFold);
            assert!(folded.is_denied(), "{path:?} is denied");
        }
        for spelled in [path.to_uppercase(), path.to_lowercase()] {
            let exact = acl.capabilities(&spelled, PathCase::Distinct);
            let folded = acl.capabilities(&spelled, PathCase::MayFold);
            assert_eq!(folded.intersection(exact), folded, "{spelled:?} has no more than exactly");
        }
        let _ = (acl.grants_anything_below(path), acl.folder_capabilities(path, PathCase::MayFold));
    }
    assert!(
        !acl.allows("no/rule/of/a/fuzzer/says/this", Capability::Sudo, true) || grants_all(&policy)
    );
}

fn grants_all(policy: &Policy) -> bool {
    policy.rules.iter().any(|rule| rule.pattern.matches("no/rule/of/a/fuzzer/says/this"))
}

/// The first line is a pattern, the second a path.
pub(crate) fn any_pattern(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (pattern, path) = text.split_once('\n').unwrap_or((text, ""));
    let Ok(pattern) = PathPattern::parse(pattern) else { return };
    if pattern.is_exact() {
        assert_eq!(pattern.matches(path), path == pattern.as_str(), "exact is exact");
    }
    if pattern.matches(path) {
        // A pattern that matches a path may match below each of its parent folders.
        for (at, _) in path.match_indices('/') {
            let folder = path.get(..=at).unwrap_or_default();
            let inside = path.get(at + 1..).unwrap_or_default();
            if !inside.is_empty() && !folder.contains("//") && !folder.starts_with('/') {
                assert!(pattern.may_match_below(folder), "{pattern:?} reaches {folder:?}");
            }
        }
    }
    // Each parse removes only one leading slash, so such patterns don't parse to themselves.
    if !pattern.as_str().starts_with('/') {
        assert_eq!(PathPattern::parse(pattern.as_str()).as_ref(), Ok(&pattern));
    }
}

const READINGS: [FieldReading; 16] = [
    FieldReading::Unknown,
    FieldReading::AsSent,
    FieldReading::Text,
    FieldReading::Integer,
    FieldReading::Float,
    FieldReading::Boolean,
    FieldReading::Time,
    FieldReading::Duration,
    FieldReading::List,
    FieldReading::Pairs,
    FieldReading::MountPath,
    FieldReading::PolicyName,
    FieldReading::PolicyNames,
    FieldReading::FoldedText,
    FieldReading::Version,
    FieldReading::CommandLine,
];

/// The first line is a JSON list, the values of a condition; the rest is the value sent. A value
/// that `allowed_parameters` permits is refused by `denied_parameters` with the same values,
/// however the handler reads the field. A denied text is also denied inside lists and objects, and
/// in another case.
pub(crate) fn any_condition(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Some((values, sent)) = text.split_once('\n') else { return };
    let Ok(Value::Array(values)) = serde_json::from_str(values) else { return };
    let Ok(sent) = serde_json::from_str::<Value>(sent) else { return };
    let (Some(denies), Some(allows)) = (
        acl_with_condition("denied_parameters", &values),
        acl_with_condition("allowed_parameters", &values),
    ) else {
        return;
    };
    for reading in READINGS {
        let allowed = permits_value(&allows, reading, &sent);
        let denied = !permits_value(&denies, reading, &sent);
        assert!(
            !allowed || denied,
            "{reading:?}: {values:?} lets {sent} through, and stops it not"
        );
        for wanted in values.iter().filter_map(Value::as_str) {
            let stopped = |sent: Value| {
                assert!(
                    !permits_value(&denies, reading, &sent),
                    "{reading:?}: {wanted:?} is denied: {sent}"
                );
            };
            stopped(wanted.into());
            stopped(serde_json::json!([wanted]));
            stopped(serde_json::json!({ "a": wanted }));
            let lists = matches!(
                reading,
                FieldReading::Unknown
                    | FieldReading::List
                    | FieldReading::MountPath
                    | FieldReading::PolicyNames
            );
            let is_part = !wanted.contains(',') && !wanted.trim().is_empty();
            if lists && is_part && wanted.trim() == wanted {
                stopped(format!("a, {wanted} ,b").into());
                stopped(serde_json::json!(["a", format!(" {wanted} ")]));
            }
            let folds = matches!(
                reading,
                FieldReading::Unknown
                    | FieldReading::FoldedText
                    | FieldReading::PolicyName
                    | FieldReading::PolicyNames
            );
            if folds {
                stopped(wanted.to_lowercase().into());
                stopped(wanted.to_uppercase().into());
            }
        }
    }
}

/// A rule with one condition; `None` if these values can't be written in a policy.
fn acl_with_condition(condition: &str, values: &[Value]) -> Option<Acl> {
    let rule = serde_json::json!({ "capabilities": ["update"], condition: { "f": values } });
    let policy = serde_json::json!({ "path": { "p": rule } });
    Some(Acl::new([Arc::new(Policy::parse(&policy.to_string()).ok()?)]))
}

fn permits_value(acl: &Acl, reading: FieldReading, sent: &Value) -> bool {
    let body = serde_json::json!({ "f": sent }).to_string();
    let Ok(fields) = Fields::parse(body.as_bytes(), &JsonLimits::default()) else { return false };
    let readings = || {
        let name = "f".into();
        FieldReadings::from_declarations([FieldDeclaration { name, reading, legacy_name_of: None }])
    };
    acl.permits_request(&AclRequest {
        path: "p",
        case: PathCase::Distinct,
        capability: Capability::Update,
        sudo: false,
        fields: &fields,
        has_raw_body: false,
        readings: &readings,
        wrap: None,
    })
}
