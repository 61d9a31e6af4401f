//! Selects the version of a plug-in that a mount runs.

use semver::Version;

/// The version that was selected: a registered plug-in or the linked-in engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SelectedVersion {
    /// The registered plug-in with this version; empty for the unversioned one.
    Registered(String),
    /// The engine that is linked into the server.
    Builtin,
}

/// Selects a version: the requested one if `asked` is not empty; otherwise the highest registered
/// semantic version, the unversioned registration, or the linked-in engine, in this order. `None`
/// if there is no match.
///
/// `registered` holds the registered versions, `builtin` the version of the linked-in engine.
pub fn select_version(
    asked: &str,
    registered: &[String],
    builtin: Option<&str>,
) -> Option<SelectedVersion> {
    if !asked.is_empty() {
        if builtin == Some(asked) {
            return Some(SelectedVersion::Builtin);
        }
        return registered
            .iter()
            .find(|version| *version == asked)
            .map(|version| SelectedVersion::Registered(version.clone()));
    }
    let versioned = registered.iter().filter_map(|text| Some((parse_version(text)?, text)));
    if let Some((_, highest)) = versioned.max_by(|(a, _), (b, _)| a.cmp(b)) {
        return Some(SelectedVersion::Registered(highest.clone()));
    }
    if registered.iter().any(String::is_empty) {
        return Some(SelectedVersion::Registered(String::new()));
    }
    builtin.map(|_| SelectedVersion::Builtin)
}

/// Adds the leading `v` to a semantic version that lacks it; `None` if the text is no semantic
/// version.
pub fn normalise_version(version: &str) -> Option<String> {
    parse_version(version).map(|parsed| format!("v{parsed}"))
}

fn parse_version(version: &str) -> Option<Version> {
    Version::parse(version.strip_prefix('v').unwrap_or(version)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registered(version: &str) -> SelectedVersion {
        SelectedVersion::Registered(version.to_owned())
    }

    #[test]
    fn selects_the_highest_version_unless_one_is_requested() {
        let all = ["v1.2.0", "", "v1.10.0", "v2.0.0-rc1"].map(str::to_owned);
        assert_eq!(
            select_version("", &all, Some("v0.1.0+builtin")),
            Some(registered("v2.0.0-rc1"))
        );
        assert_eq!(select_version("v1.2.0", &all, None), Some(registered("v1.2.0")));
        assert_eq!(select_version("v3.0.0", &all, None), None);
        assert_eq!(
            select_version("", &[String::new()], Some("v0.1.0+builtin")),
            Some(registered(""))
        );
        assert_eq!(select_version("", &[], Some("v0.1.0+builtin")), Some(SelectedVersion::Builtin));
        assert_eq!(
            select_version("v0.1.0+builtin", &all, Some("v0.1.0+builtin")),
            Some(SelectedVersion::Builtin)
        );
        assert_eq!(select_version("", &[], None), None);
    }

    #[test]
    fn normalised_versions_start_with_v() {
        assert_eq!(normalise_version("1.2.3").as_deref(), Some("v1.2.3"));
        assert_eq!(normalise_version("v1.2.3-rc1").as_deref(), Some("v1.2.3-rc1"));
        assert_eq!(normalise_version("zz"), None);
        assert_eq!(normalise_version("1.2"), None);
    }
}
