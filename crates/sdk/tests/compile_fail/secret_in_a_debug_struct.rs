//! Nor can what holds one.

use strongroom_sdk::{Document, Secret};

/// How to get in.
#[derive(Debug, Document)]
#[document(path = "config")]
struct Config {
    /// What opens it.
    api_key: Secret<String>,
}

fn main() {}
