//! [`NamespaceSelector`]: which labels a namespace must have.

use std::collections::BTreeMap;

use serde::Deserialize;

/// Labels that a namespace must have, all of them.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NamespaceSelector {
    #[serde(rename = "matchLabels")]
    match_labels: BTreeMap<String, String>,
}

impl NamespaceSelector {
    /// Parses the JSON form of a label selector with `matchLabels`. Without a label it would select every
    /// namespace, so it needs one.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let selector: Self = serde_json::from_str(text).ok()?;
        (!selector.match_labels.is_empty()).then_some(selector)
    }

    pub(crate) fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        self.match_labels.iter().all(|(name, value)| labels.get(name) == Some(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_labels_must_be_there() {
        let selector = NamespaceSelector::parse(r#"{"matchLabels":{"team":"a","env":"prod"}}"#);
        let labels = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let selects = |pairs| selector.as_ref().unwrap().selects(&labels(pairs));
        assert!(selects(&[("team", "a"), ("env", "prod"), ("x", "y")]));
        assert!(!selects(&[("team", "a")]));
        assert!(!selects(&[("team", "b"), ("env", "prod")]));
        for bad in [
            "",
            "{}",
            r#"{"matchLabels":{}}"#,
            r#"{"matchLabels":{"a":"b"},"matchExpressions":[]}"#,
            r#"{"matchLabels":{"a":1}}"#,
            "matchLabels:\n  a: b",
        ] {
            assert_eq!(NamespaceSelector::parse(bad), None, "{bad}");
        }
    }
}
