//! The list of implemented features. Test cases and client programs that need others are reported
//! and skipped; once their feature is listed as implemented, they must pass.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;

use crate::programs::repository_root;

/// `tests/features.json`: the implemented features, and those that test cases wait for. Each name
/// must be on exactly one of the two lists.
pub struct FeatureList {
    built_features: Vec<String>,
    awaited_features: BTreeMap<String, String>,
}

impl FeatureList {
    /// Reads the list; fails the test if the file can't be read or does not contain both lists,
    /// `built` and `awaited`.
    pub fn load() -> Self {
        let text = fs::read_to_string(repository_root().join("tests/features.json")).unwrap();
        let lists: Value = serde_json::from_str(&text).unwrap();
        let built = lists["built"].as_array().expect("a list of what is built");
        let built = built.iter().map(|name| name.as_str().unwrap().to_owned()).collect();
        let awaited = lists["awaited"].as_object().expect("what is awaited, by name");
        let awaited = awaited.iter();
        let awaited =
            awaited.map(|(name, what)| (name.clone(), what.as_str().unwrap().to_owned())).collect();
        Self { built_features: built, awaited_features: awaited }
    }

    /// Whether a feature is implemented. A name on neither list fails the test, and so does a name
    /// on both.
    pub fn is_built(&self, name: &str) -> bool {
        let built = self.built_features.iter().any(|built| built == name);
        assert!(
            built != self.awaited_features.contains_key(name),
            "{name} must be on one of the lists of tests/features.json"
        );
        built
    }

    /// All implemented features, separated by commas.
    pub fn built_list(&self) -> String {
        self.built_features.join(",")
    }
}
