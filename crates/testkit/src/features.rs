//! What is built. Cases and client programs that need more are named, not played: as soon as their
//! feature is listed, they must hold.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;

use crate::programs::repository_root;

/// `tests/features.json`: the features that are built, and those that cases wait for.
pub struct FeatureList {
    built_features: Vec<String>,
    awaited_features: BTreeMap<String, String>,
}

impl FeatureList {
    /// Reads the list.
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

    /// Whether a feature is built. A name that is on neither list fails the test.
    pub fn is_built(&self, name: &str) -> bool {
        let built = self.built_features.iter().any(|built| built == name);
        assert!(
            built != self.awaited_features.contains_key(name),
            "{name} must be on one of the lists of tests/features.json"
        );
        built
    }

    /// All that is built, with commas between.
    pub fn built_list(&self) -> String {
        self.built_features.join(",")
    }
}
