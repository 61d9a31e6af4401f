//! `operator init`

use clap::Args;
use serde::Serialize;
use strongroom_client::Client;
use strongroom_client::sys::seal::{InitOutput, InitRequest};
use strongroom_types::Secret;

use crate::context::CommandContext;
use crate::error::{CliError, CliResult, check_argument_count};
use crate::flags::{FormatFlag, HttpFlags};
use crate::output::fixed_text::{
    INITIAL_ROOT_TOKEN, IS_INITIALIZED, IS_NOT_INITIALIZED, RECOVERY_KEY, UNSEAL_KEY,
};
use crate::output::text::wrap_text;
use crate::output::value::OutputValue;
use crate::output::{OutputFormat, Printer};

/// Initialise a server: create its root key, the key shares and a root token
#[derive(Args)]
#[command(after_help = "\
The key shares and the root token are shown only once. Anyone who has enough shares can read all
data.

Example:
  strongroom operator init -key-shares=3 -key-threshold=2")]
pub(crate) struct OperatorInit {
    /// Only report whether the server is initialised: exit code 0 if it is, 2 if not
    #[arg(long)]
    status: bool,
    /// Number of key shares to create
    #[arg(long, short = 'n', value_name = "COUNT", default_value_t = 5)]
    key_shares: u32,
    /// Number of key shares needed to unseal
    #[arg(long, short = 't', value_name = "COUNT", default_value_t = 3)]
    key_threshold: u32,
    #[command(flatten)]
    http: HttpFlags,
    #[command(flatten)]
    output: FormatFlag,
    #[arg(hide = true)]
    arguments: Vec<String>,
}

impl OperatorInit {
    pub(super) async fn run(self, context: &mut CommandContext) -> CliResult {
        context.set_format_except_raw(&self.output)?;
        check_argument_count(&self.arguments, 0, 0)?;
        let client = context.client(&self.http)?;
        if self.status {
            return print_init_status(&client, &mut context.printer).await;
        }
        let or = |count: u32, usual: u32| if count == 0 { usual } else { count };
        let request = InitRequest {
            secret_shares: or(self.key_shares, 5),
            secret_threshold: or(self.key_threshold, 3),
        };
        let made = client.init(&request).await.map_err(CliError::from_api("Error initializing"))?;
        match context.printer.format {
            OutputFormat::Table => {
                print_keys_and_token(&mut context.printer, &request, &made);
                Ok(())
            }
            _ => context
                .printer
                .print_value(&OutputValue::from_serialize(&InitDocument::new(&request, &made))),
        }
    }
}

async fn print_init_status(client: &Client, printer: &mut Printer) -> CliResult {
    /// The field's spelling is Vault's.
    #[derive(Serialize)]
    struct InitStatusDocument {
        #[serde(rename = "Initialized")]
        initialized: bool,
    }
    let initialized = client
        .is_initialised()
        .await
        .map_err(|error| CliError::local(format!("Error checking init status: {error}")))?;
    match (printer.format, initialized) {
        (OutputFormat::Table, true) => printer.line(IS_INITIALIZED),
        (OutputFormat::Table, false) => printer.line(IS_NOT_INITIALIZED),
        _ => printer
            .print_value(&OutputValue::from_serialize(&InitStatusDocument { initialized }))?,
    }
    if initialized { Ok(()) } else { Err(CliError::silent(2)) }
}

/// The output for machines, with Vault's field names.
#[derive(Serialize)]
struct InitDocument<'a> {
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

impl<'a> InitDocument<'a> {
    fn new(request: &InitRequest, made: &'a InitOutput) -> Self {
        // Without key shares, an external seal holds the key, which is then in one piece.
        let in_shares = !made.keys.is_empty();
        Self {
            unseal_keys_b64: expose_all(&made.keys_base64),
            unseal_keys_hex: expose_all(&made.keys),
            unseal_shares: if in_shares { request.secret_shares } else { 1 },
            unseal_threshold: if in_shares { request.secret_threshold } else { 1 },
            recovery_keys_b64: expose_all(&made.recovery_keys_base64),
            recovery_keys_hex: expose_all(&made.recovery_keys),
            recovery_keys_shares: 0,
            recovery_keys_threshold: 0,
            root_token: made.root_token.expose_secret(),
        }
    }
}

fn expose_all(secrets: &[Secret<String>]) -> Vec<&str> {
    secrets.iter().map(|secret| secret.expose_secret().as_str()).collect()
}

fn print_keys_and_token(printer: &mut Printer, request: &InitRequest, made: &InitOutput) {
    for (index, key) in expose_all(&made.keys_base64).iter().enumerate() {
        printer.line(&format!("{UNSEAL_KEY}{}: {key}", index + 1));
    }
    for (index, key) in expose_all(&made.recovery_keys_base64).iter().enumerate() {
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
    printer.line(&wrap_text(&format!(
        "The key that encrypts everything was split into {shares} key shares, and any {threshold} of \
         them unseal the server. Give each share to somebody else, to be kept in a safe place. They \
         are needed each time the server has been sealed or restarted."
    )));
    printer.line("");
    printer.line(&wrap_text(&format!(
        "Strongroom keeps no copy of them and can't show them again. Without {threshold} of them \
         nobody can ever read the data."
    )));
}
