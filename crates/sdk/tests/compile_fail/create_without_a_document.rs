//! A free create: a server would ask whether the thing exists, and nobody could tell.

use strongroom_sdk::{Blueprint, Context, Error, Response};

async fn create(_: Context, (): ()) -> Result<Response, Error> {
    Ok(Response::no_content())
}

fn main() {
    let _ = Blueprint::new("x", "1.0.0").create("roles/{name}", "A role.", create);
}
