//! `keep` says something only where a write replaces the document.

use strongroom_sdk::{Document, Input};

#[derive(Document)]
#[document(path = "config")]
struct MergedConfig {
    #[field(keep)]
    region: String,
}

#[derive(Document)]
#[document(path = "config", replace)]
struct OfTheEngine {
    #[field(keep, internal)]
    rotations: u64,
}

#[derive(Input)]
struct Wanted {
    #[field(keep)]
    count: u64,
}

fn main() {}
