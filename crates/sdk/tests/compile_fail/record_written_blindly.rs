//! A write that doesn't look at what it replaces: an update of somebody else's would be lost.

use strongroom_sdk::records::RecordKey;
use strongroom_sdk::{Context, Error};

async fn write_note(context: &Context) -> Result<(), Error> {
    context.records().put(RecordKey::new("note", "a"), "text").await
}

fn main() {
    let _ = write_note;
}
