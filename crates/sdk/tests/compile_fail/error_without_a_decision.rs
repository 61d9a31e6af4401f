//! Whose fault an error is, the user's or ours, is said where it happens: nothing converts.

use strongroom_sdk::{Context, Error, Reply};

async fn read(_: Context, (): ()) -> Result<Reply, Error> {
    let _ = std::fs::read("role")?;
    Ok(Reply::not_found())
}

fn main() {
    let _ = read;
}
