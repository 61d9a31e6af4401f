//! The token service as a program. [`Config::from_env`] says what it reads.
//!
//! ```text
//! TOKEN_SERVICE_API_KEY=example-key cargo run -p token-service
//! curl -H 'Authorization: Bearer example-key' http://127.0.0.1:8090/tokens \
//!     -d '{"name": "ci", "permissions": ["read"], "ttl": 600}'
//! ```

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

use token_service::{Config, Service};
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Without standard error there is nobody to tell.
            let _ = writeln!(io::stderr(), "token-service: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let config = Config::from_env(|name| std::env::var(name).ok())?;
    // Listened for before the line below is out: who reads it may already want to stop us.
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let running = Service::start(config).await?;
    writeln!(io::stdout(), "token-service listening on {}", running.url())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    running.stop().await;
    Ok(())
}
