//! A list shows no secret, and only collections are listed.

use strongroom_sdk::{Document, ResponseData, Secret};

#[derive(Document)]
#[document(path = "users/{name}")]
struct User {
    #[field(listed)]
    password: Secret<String>,
}

#[derive(Document)]
#[document(path = "users/{name}")]
struct HiddenOfUser {
    #[field(listed, hidden)]
    comment: String,
}

#[derive(Document)]
#[document(path = "config")]
struct Config {
    #[field(listed)]
    region: String,
}

#[derive(ResponseData)]
struct Shown {
    #[field(listed)]
    count: u64,
}

fn main() {}
