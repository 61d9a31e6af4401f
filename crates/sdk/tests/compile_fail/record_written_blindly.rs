//! A write that doesn't look at what it replaces: an update of somebody else's would be lost.

use strongroom_sdk::records::Key;
use strongroom_sdk::{Context, Error};

async fn keep(context: &Context) -> Result<(), Error> {
    context.records().put(Key::new("note", "a"), "text").await
}

fn main() {
    let _ = keep;
}
