//! `login`

use clap::Args;
use strongroom_client::token::Which;
use strongroom_client::{Auth, Client, SecretAnswer};
use strongroom_types::{Secret, parse_bool};

use super::clean_path;
use crate::context::Context;
use crate::data;
use crate::failure::{Failure, Outcome};
use crate::flags::{Formatted, Http, OneField};
use crate::output::Format;
use crate::output::text::wrap;

/// Check a token, and keep it for the commands that follow
#[derive(Args)]
#[command(after_help = "\
Without an argument the token is asked for on the terminal; with - it is read from standard input.
Either keeps it out of the list of processes and the shell's history.

Examples:
  strongroom login
  strongroom login -no-print -")]
pub(crate) struct Login {
    /// Auth method; there is only \"token\" so far
    #[arg(long, value_name = "TYPE", default_value = "token")]
    method: String,
    /// Don't keep the token
    #[arg(long)]
    no_store: bool,
    /// Don't show the token
    #[arg(long)]
    no_print: bool,
    /// Show the token alone, and don't keep it
    #[arg(long)]
    token_only: bool,
    #[command(flatten)]
    http: Http,
    #[command(flatten)]
    output: Formatted,
    #[command(flatten)]
    field: OneField,
    #[arg(value_name = "TOKEN", help = "The token, - for standard input, or token=… lookup=BOOL")]
    arguments: Vec<String>,
}

impl Login {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        context.set_format_but_raw(&self.output)?;
        let no_store = self.no_store || self.token_only;
        if no_store && self.no_print {
            let text = "-no-store and -no-print cannot be used together";
            return Err(Failure::local(text));
        }
        let method = clean_path(&self.method);
        if !matches!(method.as_str(), "" | "token") {
            return Err(Failure::local(wrap(&format!(
                "Unknown auth method: {method}. This version logs in with tokens only; a token of \
                 another method can be had with \"strongroom write auth/<path>/login …\"."
            ))));
        }
        let failed = |error: String| Failure::remote(format!("Error authenticating: {error}"));
        let client = context.client_without_token(&self.http)?;
        let (token, look_up) = self.given(context)?;
        let answer = check(&client.without_wrapping(), token, look_up).await.map_err(failed)?;
        if no_store {
            if !self.token_only {
                context.printer.warn(&wrap(
                    "The token was not stored in token helper. Set the VAULT_TOKEN environment \
                     variable or pass the token below with each request to Vault.",
                ));
                context.printer.warn("");
            }
        } else {
            self.store(context, &answer)?;
        }
        if self.no_print {
            return Ok(());
        }
        let field = if self.token_only { Some("token") } else { self.field.name() };
        if field.is_none() && context.printer.format == Format::Table && !no_store {
            context.printer.line(&wrap(
                "Success! You are now authenticated. The token information displayed below is \
                 already stored in the token helper. You do NOT need to run \"strongroom login\" \
                 again. Future Vault requests will automatically use this token.",
            ));
            context.printer.line("");
        }
        context.printer.secret_or_field(&answer, field)
    }

    /// The token that is given or asked for, and whether it is to be checked.
    fn given(&self, context: &mut Context) -> Outcome<(Secret<String>, bool)> {
        let mut arguments = self.arguments.clone();
        if let Some(first) = arguments.first_mut()
            && !first.contains('=')
        {
            *first = format!("token={first}");
        }
        let fields = data::fields(&arguments, &mut *context.stdin(&self.http))
            .map_err(|error| Failure::local(format!("Error parsing configuration: {error}")))?;
        let failed = |error: String| Failure::remote(format!("Error authenticating: {error}"));
        let look_up = match fields.text("lookup") {
            Some(text) => parse_bool(&text)
                .ok_or_else(|| failed("Failed to parse \"lookup\" as boolean".to_owned()))?,
            None => true,
        };
        let token = match fields.text("token") {
            Some(token) => Secret::new(token),
            None if self.http.non_interactive => {
                let text = "'token' not supplied and refusing to pull from stdin";
                return Err(failed(text.to_owned()));
            }
            None => context.ask_secret("Token (will be hidden): ").map_err(|error| {
                failed(format!(
                    "An error occurred attempting to ask for a token. The raw error message is \
                     shown below, but usually this is because you attempted to pipe a value into \
                     the command or you are executing outside of a terminal (tty). If you want to \
                     pipe the value, pass \"-\" as the argument to read from stdin. The raw error \
                     was: {error}"
                ))
            })?,
        };
        let token = Secret::from_text(token.expose_secret().trim());
        if token.expose_secret().is_empty() {
            return Err(failed("a token must be passed to auth".to_owned()));
        }
        Ok((token, look_up))
    }

    fn store(&self, context: &mut Context, answer: &SecretAnswer) -> Outcome {
        let helper =
            context.token_helper(&self.http).map_err(|failure| Failure { code: 1, ..failure })?;
        let Some(auth) = &answer.auth else { return Ok(()) };
        if let Err(error) = helper.store(&auth.client_token) {
            context.printer.warn(&format!("Error storing token: {error}"));
            context.printer.warn(&wrap(
                "Authentication was successful, but the token was not persisted. The resulting \
                 token is shown below for your records.",
            ));
            context.printer.warn("");
            context.printer.secret(answer)?;
            return Err(Failure::silent(2));
        }
        if context.environment.setting("TOKEN").is_some() {
            context.printer.warn(&wrap(
                "WARNING! The VAULT_TOKEN environment variable is set! The value of this variable \
                 will take precedence; if this is unwanted please unset VAULT_TOKEN or update its \
                 value accordingly.",
            ));
            context.printer.warn("");
        }
        Ok(())
    }
}

/// What is known of a token, in the form in which an auth method would answer.
async fn check(
    client: &Client,
    token: Secret<String>,
    look_up: bool,
) -> Result<SecretAnswer, String> {
    let mut auth = Auth {
        client_token: token,
        accessor: String::new(),
        policies: None,
        token_policies: None,
        identity_policies: None,
        metadata: None,
        orphan: false,
        entity_id: String::new(),
        lease_duration: 0,
        renewable: false,
        mfa_requirement: None,
    };
    if look_up {
        let client =
            client.with_token(Some(&auth.client_token)).map_err(|error| error.to_string())?;
        let known = client.look_up_token(Which::Own).await;
        let known = known.map_err(|error| format!("error looking up token: {error}"))?;
        let own: Option<Vec<String>> = known.field("policies");
        let identity: Option<Vec<String>> = known.field("identity_policies");
        let all = [own.clone(), identity.clone()].into_iter().flatten().flatten().collect();
        auth.accessor = known.field("accessor").unwrap_or_default();
        auth.policies = Some(all);
        auth.token_policies = own;
        auth.identity_policies = identity;
        auth.metadata = known.field("meta");
        auth.lease_duration = known.field("ttl").unwrap_or_default();
        auth.renewable = known.field("renewable").unwrap_or_default();
    }
    Ok(SecretAnswer { auth: Some(auth), ..SecretAnswer::default() })
}
