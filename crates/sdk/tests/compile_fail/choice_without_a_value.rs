//! A choice is a list of texts, and a default must be one of them.

use strongroom_sdk::{Document, FieldChoice};

#[derive(Clone, Copy, FieldChoice)]
enum CallMode {
    Direct,
    ViaProxy,
}

#[derive(Document)]
#[document(path = "config")]
struct Config {
    #[field(default = "by-post")]
    mode: CallMode,
}

#[derive(Clone, Copy, FieldChoice)]
enum WithData {
    Direct,
    Via(u16),
}

#[derive(Clone, Copy, FieldChoice)]
enum OneValueTwice {
    Direct,
    #[choice(rename = "direct")]
    Proxy,
}

#[derive(Clone, Copy, FieldChoice)]
struct NoEnum;

fn main() {}
