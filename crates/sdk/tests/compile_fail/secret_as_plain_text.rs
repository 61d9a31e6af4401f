//! A read would show the text, and `Debug` print it: the name says that it may be a secret.

use strongroom_sdk::field::Verbatim;
use strongroom_sdk::{Document, Identifier, Input, NullableField, ResponseData};

type Text = String;

#[derive(Document)]
#[document(path = "config")]
struct Config {
    password: String,
    api_key: Option<Text>,
    #[field(rename = "clientSecret")]
    client: NullableField<Identifier>,
}

#[derive(Input)]
struct Login {
    passphrase: String,
    #[field(public)]
    signing_key: String,
    public_key: String,
}

#[derive(ResponseData)]
struct Issued {
    token: Identifier,
    credentials: Verbatim,
}

fn main() {}
