//! A thing that can be created, and nobody can tell whether it is there.

use strongroom_sdk::{Blueprint, Context, Error, Response, Resource};

async fn write(_: Context, (): ()) -> Result<Response, Error> {
    Ok(Response::no_content())
}

fn main() {
    let _ = Blueprint::new("x", "1.0.0").resource("notes/{name}", "A note.", Resource::new().write(write));
}
