//! `operator init`

use clap::Args;
use serde::Serialize;
use strongroom_client::Client;
use strongroom_client::sys::seal::{InitAnswer, InitRequest};
use strongroom_types::Secret;

use crate::context::Context;
use crate::failure::{Failure, Outcome, expect_count};
use crate::flags::{Formatted, Http};
use crate::output::fixed_text::{
    INITIAL_ROOT_TOKEN, IS_INITIALIZED, IS_NOT_INITIALIZED, RECOVERY_KEY, UNSEAL_KEY,
};
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
        (Format::Table, true) => printer.line(IS_INITIALIZED),
        (Format::Table, false) => printer.line(IS_NOT_INITIALIZED),
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
        printer.line(&format!("{UNSEAL_KEY}{}: {key}", index + 1));
    }
    for (index, key) in texts(&made.recovery_keys_base64).iter().enumerate() {
        printer.line(&format!("{RECOVERY_KEY}{}: {key}", index + 1));
    }
    printer.line("");
    printer.line(&format!("{INITIAL_ROOT_TOKEN}{}", made.root_token.expose_secret()));
    printer.line("");
    if made.keys.is_empty() {
        printer.success("Success! The server is initialised.");
        return;
    }
    let (shares, threshold) = (request.secret_shares, request.secret_threshold);
    printer.line(&wrap(&format!(
        "The key that encrypts everything was split into {shares} key shares, and any {threshold} of \
         them unseal the server. Give each share to somebody else, to be kept in a safe place. They \
         are needed each time the server has been sealed or restarted."
    )));
    printer.line("");
    printer.line(&wrap(&format!(
        "Strongroom keeps no copy of them and can't show them again. Without {threshold} of them \
         nobody can ever read the data."
    )));
}
