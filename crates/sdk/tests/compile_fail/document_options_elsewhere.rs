//! Options of documents have no meaning in other structs, and some exclude each other.

use strongroom_sdk::{Document, Input, Receipt, ResponseData};

#[derive(Input)]
struct Wanted {
    #[field(internal)]
    count: u64,
}

#[derive(ResponseData)]
struct Shown {
    #[field(hidden)]
    count: u64,
}

#[derive(Receipt)]
struct Kept {
    #[field(legacy = "number", echo)]
    count: u64,
}

#[derive(Document)]
#[document(path = "a")]
struct RequiredOfNobody {
    #[field(internal, required)]
    count: u64,
}

#[derive(Document)]
#[document(path = "b")]
struct EchoOfNothing {
    #[field(echo)]
    count: u64,
}

#[derive(Document)]
#[document(path = "c")]
struct OneNameTwice {
    count: u64,
    #[field(legacy = "count")]
    number: u64,
}

fn main() {}
