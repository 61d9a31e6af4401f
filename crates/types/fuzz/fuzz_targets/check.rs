//! Properties that must hold for every input. Shared by the fuzz targets and the crate's own tests.
#![allow(dead_code, reason = "each target takes one of them")]

use std::time::Duration;

use serde_json::Value;
use strongroom_types::duration::parse_nanos;
use strongroom_types::fields::JsonLimits;
use strongroom_types::{
    Accessor, Fields, LeaseId, MountPath, PolicyName, RawObject, RequestPath, Ttl,
};

const LIMITS: JsonLimits = JsonLimits { depth: 8, strings: 64, values: 128 };

/// The input as a request body: it is parsed as any other JSON parser would, and forwarded
/// unchanged in meaning.
pub(crate) fn any_body(bytes: &[u8]) {
    let other = serde_json::from_slice::<Value>(bytes);
    match Fields::parse(bytes, &LIMITS) {
        Ok(fields) => {
            let checked = Fields::check_body(bytes, &LIMITS).expect("it was within the limits");
            assert!(checked.field_count() >= fields.len(), "no field is forgotten in the count");
            if !bytes.trim_ascii().is_empty() {
                let other = other.expect("another reader reads it too");
                let other = other.as_object().cloned().unwrap_or_default();
                assert_eq!(fields.len(), other.len(), "as many fields");
                for (name, raw) in fields.iter() {
                    let ours: Value = serde_json::from_str(raw.get()).expect("a value is JSON");
                    assert_eq!(Some(&ours), other.get(name), "{name}");
                }
            }
            let object = fields.to_object();
            let again = Fields::parse(object.as_bytes(), &LIMITS).expect("it reads back");
            assert_eq!(again.to_object(), object, "twice through is once through");
            assert_eq!(object.is_empty(), fields.is_empty());
            assert!(RawObject::from_json(object.into_bytes()).is_ok());
        }
        Err(error) => {
            let text = error.to_string();
            assert!(
                text.is_ascii() && text.len() < 120,
                "an error doesn't repeat the input: {text}"
            );
        }
    }
}

/// The input as a path: whatever is accepted is normalised, for each kind of path.
pub(crate) fn any_path(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(path) = RequestPath::parse(text) {
        assert_eq!(path.as_str(), text, "nothing is changed in silence");
        is_normal(path.as_str());
        let folder = path.as_folder();
        is_normal(folder.as_str());
        assert_eq!(folder, folder.as_folder());
        assert!(text.is_empty() || folder.as_str().ends_with('/'));
    }
    if let Ok(mount) = MountPath::parse(text) {
        is_normal(mount.as_str());
        assert!(mount.as_str().ends_with('/') && !mount.as_str().starts_with('/'));
        assert_eq!(MountPath::parse(mount.as_str()).as_ref(), Ok(&mount));
        assert!(mount.overlaps(&mount));
        let below = MountPath::parse(&format!("{mount}below")).expect("a longer mount");
        assert!(mount.overlaps(&below) && below.overlaps(&mount));
        let beside = MountPath::parse(&format!("beside-{mount}")).expect("another mount");
        assert_eq!(mount.overlaps(&beside), beside.overlaps(&mount));
    }
    if let Ok(lease) = LeaseId::parse(text) {
        is_normal(lease.as_str());
        assert!(!lease.as_str().ends_with('/'));
    }
}

fn is_normal(path: &str) {
    let body = path.strip_suffix('/').unwrap_or(path);
    for segment in body.split('/').filter(|_| !body.is_empty()) {
        assert!(!matches!(segment, "" | "." | ".."), "{path:?}");
    }
    assert!(!path.chars().any(char::is_control), "{path:?}");
    assert!(!path.contains(['\u{200b}', '\u{202e}', '\u{feff}']), "{path:?}");
}

/// The input as a name or an identifier: an accepted one parses to itself again.
pub(crate) fn any_name(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(name) = PolicyName::parse(text) {
        assert_eq!(PolicyName::parse(name.as_str()).as_ref(), Ok(&name), "it is normal");
        // Whatever its spelling.
        let shouted = PolicyName::parse(&format!(" {} ", name.as_str().to_uppercase()));
        if name.as_str().is_ascii() {
            assert_eq!(shouted.as_ref(), Ok(&name));
            assert_eq!(name.is_root(), text.trim().eq_ignore_ascii_case("root"));
        }
    }
    if let Ok(accessor) = Accessor::parse(text) {
        assert_eq!(accessor.as_str(), text);
        assert!(!text.contains('/'));
    }
}

/// The input as a duration: never rounded down, rounded up by less than a second, and parsed to the
/// same value again from each form it is printed in.
pub(crate) fn any_duration(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let nanos = parse_nanos(text);
    let ttl = Ttl::parse(text);
    let Ok(nanos) = nanos else { return assert!(ttl.is_err(), "{text:?}") };
    let Ok(nanos) = u64::try_from(nanos) else { return assert!(ttl.is_err(), "{text:?}") };
    let ttl = ttl.expect("what isn't negative is a lifetime");
    let added = ttl.as_duration().checked_sub(Duration::from_nanos(nanos));
    assert!(added.is_some_and(|added| added < Duration::from_secs(1)), "{text:?} as {ttl}");
    let has_value = text.bytes().any(|byte| matches!(byte, b'1'..=b'9'));
    assert_eq!(ttl.is_zero(), !has_value, "{text:?} as {ttl}");
    // The longest duration is a fraction of a second shorter than a whole number of seconds.
    if ttl.as_secs() > i64::MAX.unsigned_abs() / 1_000_000_000 {
        return;
    }
    assert_eq!(Ttl::parse(&ttl.to_string()), Ok(ttl), "{ttl}");
    assert_eq!(Ttl::parse(&ttl.to_short_string()), Ok(ttl), "{}", ttl.to_short_string());
    assert_eq!(Ttl::parse(&ttl.as_secs().to_string()), Ok(ttl));
}
