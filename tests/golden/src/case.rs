//! [`GoldenCase`]: what a file holds.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::format;

/// A story of requests. Names are chosen so that their alphabetical order reads well.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GoldenCase {
    /// What it is about.
    pub about: String,
    /// The feature without which it can't be played; one of `tests/features.json`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub awaits: Option<String>,
    /// Which server it is played against.
    #[serde(default, skip_serializing_if = "Server::is_open")]
    pub server: Server,
    /// Requests that must succeed and whose answers don't matter.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub setup: Vec<CaseStep>,
    /// The requests with their answers.
    pub steps: Vec<CaseStep>,
    /// Requests at the end, however the case ended, and whatever they answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub teardown: Vec<CaseStep>,
}

/// Which server a case needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Server {
    /// Unsealed, with a root token; all such cases share it.
    #[default]
    Open,
    /// Not yet initialised, and for this case alone.
    New,
}

impl Server {
    fn is_open(&self) -> bool {
        *self == Self::Open
    }
}

/// One request and its answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseStep {
    /// The token: the root token if not given, none if empty. May be a captured `{{name}}`.
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Method and path: `GET sys/mounts`. A path with a slash in front is not below `/v1/`.
    pub ask: String,
    /// A JSON body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    /// A body as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_text: Option<String>,
    /// Further request headers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// What the reference answered; written by the recorder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<GoldenResponse>,
    /// What we answer instead, on purpose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strongroom: Option<IntendedDifference>,
    /// Values of the answer for later requests: a name and a JSON pointer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub take: BTreeMap<String, String>,
    /// Asked again and again until it has this status: for what goes on in the background.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u16>,
    /// JSON pointers of the parts of the answer's body that are looked at; all of it if none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub view: Vec<String>,
}

/// An answer, redacted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GoldenResponse {
    /// A JSON body, if it isn't the usual envelope.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    /// The usual envelope: it has all of [`ENVELOPE`], and here stands what is not as there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub envelope: Option<Map<String, Value>>,
    /// Those of [`crate::play::HEADERS`] that are not as usual; null where it is missing.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Option<String>>,
    /// The HTTP status.
    pub status: u16,
    /// A body that isn't JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// The keys that every envelope has, as they are when there is nothing to say.
pub const ENVELOPE: &str = r#"{
    "auth": null, "data": null, "lease_duration": 0, "lease_id": "", "renewable": false,
    "request_id": "<uuid>", "warnings": null, "wrap_info": null
}"#;

impl GoldenResponse {
    /// Takes a redacted body.
    pub fn set_body(&mut self, body: Value) {
        let usual: Map<String, Value> = serde_json::from_str(ENVELOPE).unwrap();
        match body {
            Value::Object(map) if usual.keys().all(|name| map.contains_key(name)) => {
                let told = map.into_iter().filter(|(name, it)| usual.get(name) != Some(it));
                self.envelope = Some(told.collect());
            }
            other => self.body = Some(other),
        }
    }

    /// The whole JSON body.
    pub fn whole_body(&self) -> Option<Value> {
        let Some(told) = &self.envelope else { return self.body.clone() };
        let mut whole: Map<String, Value> = serde_json::from_str(ENVELOPE).unwrap();
        whole.extend(told.clone());
        Some(Value::Object(whole))
    }
}

/// An answer that differs on purpose.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IntendedDifference {
    /// Why.
    pub because: String,
    /// Ours.
    pub reply: GoldenResponse,
}

/// A case and its file.
#[derive(Clone, Debug)]
pub struct CaseFile {
    /// Where it is.
    pub path: PathBuf,
    /// `<group>/<case>`.
    pub name: String,
    /// What is in it.
    pub case: GoldenCase,
}

impl CaseFile {
    /// Writes the file again.
    pub fn save(&self) {
        let value = serde_json::to_value(&self.case).unwrap();
        fs::write(&self.path, format::to_pretty_json(&value)).unwrap();
    }
}

/// The cases of this repository whose names begin with `prefix`, by name.
pub fn load_cases(prefix: &str) -> Vec<CaseFile> {
    let top = strongroom_testkit::programs::repository_root().join("tests/golden/cases");
    let mut files = Vec::new();
    for group in sorted_entries(&top) {
        for path in sorted_entries(&group) {
            let name = path.strip_prefix(&top).unwrap().with_extension("");
            let name = name.to_str().unwrap().to_owned();
            if name.starts_with(prefix) {
                let text = fs::read_to_string(&path).unwrap();
                let case = serde_json::from_str(&text)
                    .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                files.push(CaseFile { path, name, case });
            }
        }
    }
    files
}

fn sorted_entries(path: &Path) -> Vec<PathBuf> {
    let mut all: Vec<_> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.sort();
    all
}
