//! What one field keeps the other would overwrite.

use strongroom_sdk::Document;

#[derive(Document)]
#[document(path = "config")]
struct Config {
    address: String,
    #[field(rename = "address")]
    url: String,
}

fn main() {}
