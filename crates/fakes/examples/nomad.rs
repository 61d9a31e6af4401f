//! Runs a fake Nomad to try the engine with, on the given address or 127.0.0.1:4646.
//!
//! ```text
//! cargo run -p strongroom-fakes --example nomad
//! ```

use std::error::Error;
use std::io::{self, Write};

use strongroom_fakes::nomad::{FakeNomad, Options};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:4646".to_owned());
    let nomad = FakeNomad::start(Options { addr: addr.parse()?, ..Options::default() }).await?;
    let token = nomad.bootstrap().ok_or("it was bootstrapped already")?;
    writeln!(io::stdout(), "fake nomad on {}; its management token is {token}", nomad.url())?;
    tokio::signal::ctrl_c().await?;
    Ok(())
}
