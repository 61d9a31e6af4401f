//! A secret that an action returns is revoked by nobody.

use strongroom_sdk::{Context, Error, Response, ResponseData, Secret};

#[derive(ResponseData)]
struct ApiToken {
    id: u64,
    token: Secret<String>,
}

async fn create_token(_: Context, (): ()) -> Result<Response, Error> {
    let made = ApiToken { id: 1, token: Secret::from_text("t") };
    Ok(Response::data(&made))
}

/// Says that there is no lease.
async fn read_token(_: Context, (): ()) -> Result<Response, Error> {
    Ok(Response::unleased_secret(&ApiToken { id: 1, token: Secret::from_text("t") }))
}

fn main() {
    let engine = strongroom_sdk::Blueprint::new("x", "1.0.0").read("token", "A token.", create_token);
    drop(engine.read("same", "A token.", read_token));
}
