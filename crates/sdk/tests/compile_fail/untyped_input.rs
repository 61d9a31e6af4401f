//! A map of anything, and numbers that lose their digits.

use std::collections::BTreeMap;

use strongroom_sdk::{Document, Input};

#[derive(Input)]
struct Anything {
    data: BTreeMap<String, serde_json::Value>,
}

/// A role.
#[derive(Document)]
#[document(path = "roles/{name}")]
struct Role {
    /// In seconds, as JSON has it.
    ttl: f32,
}

fn main() {}
