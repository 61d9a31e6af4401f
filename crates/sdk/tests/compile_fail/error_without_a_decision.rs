//! Whose fault an error is, the user's or ours, is said where it happens: nothing converts.

use strongroom_sdk::{Context, Error, Response};

async fn read(_: Context, (): ()) -> Result<Response, Error> {
    let _ = std::fs::read("role")?;
    Ok(Response::not_found())
}

fn main() {
    let _ = read;
}
