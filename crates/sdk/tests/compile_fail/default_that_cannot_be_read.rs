//! A default that its field can't read would be the operator's fault, who never wrote it.

use strongroom_sdk::{Document, DurationSecs, Input};

#[derive(Document)]
#[document(path = "config")]
struct Config {
    #[field(default = "soon")]
    ttl: DurationSecs,
}

#[derive(Input)]
struct Wanted {
    #[field(default = "many")]
    count: Option<u32>,
    #[field(default = "maybe")]
    really: bool,
}

fn main() {}
