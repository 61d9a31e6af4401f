//! Only the derived code of documents and answers is ever given a writer.

use strongroom_sdk::field::ObjectWriter;
use strongroom_sdk::Secret;

fn main() {
    let mut out = ObjectWriter::new();
    out.field("token", &Secret::from_text("t"));
    let _ = out.into_object();
}
