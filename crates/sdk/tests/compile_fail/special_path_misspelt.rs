//! Special paths are attributes of what is declared; a misspelt one is no silent nothing.

use strongroom_sdk::Document;

#[derive(Document)]
#[document(path = "config", sealwrap)]
struct Config {}

fn main() {}
