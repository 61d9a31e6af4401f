//! `operator init`

use clap::Args;
use serde::Serialize;
use strongroom_client::Client;
use strongroom_client::sys::seal::{InitAnswer, InitRequest};
use strongroom_types::Secret;

use crate::context::Context;
use crate::failure::{Failure, Outcome, expect_count};
use crate::flags::{Formatted, Http};
use crate::output::text::wrap;
use crate::output::value::Value;
use crate::output::{Format, Printer};

/// Initialise a server: make its root key, the shares that unseal it, and a root token
#[derive(Args)]
#[command(after_help = "\
Shares and root token are shown once. Whoever has enough shares can read everything.

Example:
  strongroom operator init -key-shares=3 -key-threshold=2")]
pub(crate) struct Init {
    /// Only say whether the server is initialised: exit code 0 if it is, 2 if not
    #[arg(long)]
    status: bool,
    /// Key shares to make
    #[arg(long, short = 'n', value_name = "COUNT", default_value_t = 5)]
    key_shares: u32,
    /// Key shares that unseal
    #[arg(long, short = 't', value_name = "COUNT", default_value_t = 3)]
    key_threshold: u32,
    #[command(flatten)]
    http: Http,
    #[command(flatten)]
    output: Formatted,
    #[arg(hide = true)]
    arguments: Vec<String>,
}

impl Init {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        context.set_format_but_raw(&self.output)?;
        expect_count(&self.arguments, 0, 0)?;
        let client = context.client(&self.http)?;
        if self.status {
            return status(&client, &mut context.printer).await;
        }
        let or = |count: u32, usual: u32| if count == 0 { usual } else { count };
        let request = InitRequest {
            secret_shares: or(self.key_shares, 5),
            secret_threshold: or(self.key_threshold, 3),
        };
        let made = client.init(&request).await.map_err(Failure::call("Error initializing"))?;
        match context.printer.format {
            Format::Table => {
                print(&mut context.printer, &request, &made);
                Ok(())
            }
            _ => context.printer.data(&Value::of(&Document::new(&request, &made))),
        }
    }
}

async fn status(client: &Client, printer: &mut Printer) -> Outcome {
    /// Vault writes the name this way.
    #[derive(Serialize)]
    struct Document {
        #[serde(rename = "Initialized")]
        initialized: bool,
    }
    let initialized = client
        .is_initialised()
        .await
        .map_err(|error| Failure::local(format!("Error checking init status: {error}")))?;
    match (printer.format, initialized) {
        (Format::Table, true) => printer.line("Vault is initialized"),
        (Format::Table, false) => printer.line("Vault is not initialized"),
        _ => printer.data(&Value::of(&Document { initialized }))?,
    }
    if initialized { Ok(()) } else { Err(Failure::silent(2)) }
}

/// What machines get, in Vault's names.
#[derive(Serialize)]
struct Document<'a> {
    unseal_keys_b64: Vec<&'a str>,
    unseal_keys_hex: Vec<&'a str>,
    unseal_shares: u32,
    unseal_threshold: u32,
    recovery_keys_b64: Vec<&'a str>,
    recovery_keys_hex: Vec<&'a str>,
    recovery_keys_shares: u32,
    recovery_keys_threshold: u32,
    root_token: &'a str,
}

impl<'a> Document<'a> {
    fn new(request: &InitRequest, made: &'a InitAnswer) -> Self {
        // Without shares an outside seal keeps the key, which is then in one piece.
        let in_shares = !made.keys.is_empty();
        Self {
            unseal_keys_b64: texts(&made.keys_base64),
            unseal_keys_hex: texts(&made.keys),
            unseal_shares: if in_shares { request.secret_shares } else { 1 },
            unseal_threshold: if in_shares { request.secret_threshold } else { 1 },
            recovery_keys_b64: texts(&made.recovery_keys_base64),
            recovery_keys_hex: texts(&made.recovery_keys),
            recovery_keys_shares: 0,
            recovery_keys_threshold: 0,
            root_token: made.root_token.expose_secret(),
        }
    }
}

fn texts(secrets: &[Secret<String>]) -> Vec<&str> {
    secrets.iter().map(|secret| secret.expose_secret().as_str()).collect()
}

fn print(printer: &mut Printer, request: &InitRequest, made: &InitAnswer) {
    for (index, key) in texts(&made.keys_base64).iter().enumerate() {
        printer.line(&format!("Unseal Key {}: {key}", index + 1));
    }
    for (index, key) in texts(&made.recovery_keys_base64).iter().enumerate() {
        printer.line(&format!("Recovery Key {}: {key}", index + 1));
    }
    printer.line("");
    printer.line(&format!("Initial Root Token: {}", made.root_token.expose_secret()));
    printer.line("");
    if made.keys.is_empty() {
        printer.success("Success! Vault is initialized");
        return;
    }
    let (shares, threshold) = (request.secret_shares, request.secret_threshold);
    printer.line(&wrap(&format!(
        "Vault initialized with {shares} key shares and a key threshold of {threshold}. Please \
         securely distribute the key shares printed above. When the Vault is re-sealed, restarted, \
         or stopped, you must supply at least {threshold} of these keys to unseal it before it can \
         start servicing requests."
    )));
    printer.line("");
    printer.line(&wrap(&format!(
        "Vault does not store the generated root key. Without at least {threshold} keys to \
         reconstruct the root key, Vault will remain permanently sealed!"
    )));
}
