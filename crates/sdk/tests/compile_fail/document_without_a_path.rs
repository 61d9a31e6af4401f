//! Storage keys and existence follow from the path, so there must be one.

use strongroom_sdk::Document;

/// A role.
#[derive(Document)]
struct Role {
    /// What it may do.
    permissions: String,
}

fn main() {}
