//! The token service as a program, configured by the environment: see [`Config::from_env`].
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
            // Ignored: without standard error the failure can't be reported.
            let _ = writeln!(io::stderr(), "token-service: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let config = Config::from_env(|name| std::env::var(name).ok())?;
    // Install signal handlers before the line below is printed: its reader may send a signal at
    // once.
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
