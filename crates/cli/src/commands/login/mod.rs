//! `login`

pub(crate) mod methods;
mod token;

use clap::Args;
use strongroom_client::SecretResponse;

use self::methods::{LOGIN_METHODS, LoginFlow, LoginMethod};
use super::paths::clean_path;
use crate::context::CommandContext;
use crate::data;
use crate::error::{CliError, CliResult};
use crate::flags::{FieldFlag, FormatFlag, HttpFlags};
use crate::output::OutputFormat;
use crate::output::text::wrap_text;

/// Log in, and store the token for later commands
#[derive(Args)]
#[command(after_help = "\
Without -method, you log in with an existing token: the argument, or the one entered at the prompt,
or with - the one on standard input. The prompt and standard input keep the token out of the process
list and the shell's history. The same holds for the password prompt.

Examples:
  strongroom login
  strongroom login -no-print -
  strongroom login -method=userpass username=bob

\"strongroom auth help userpass\" lists the parameters of a method.")]
pub(crate) struct LoginCommand {
    /// Type of the auth method
    #[arg(long, value_name = "TYPE", default_value = "token")]
    method: String,
    /// Where the auth method is mounted, below auth/; by default under its type
    #[arg(long, value_name = "PATH", default_value = "")]
    path: String,
    /// Don't store the token
    #[arg(long)]
    no_store: bool,
    /// Don't print the token
    #[arg(long)]
    no_print: bool,
    /// Print only the token, and don't store it
    #[arg(long)]
    token_only: bool,
    #[command(flatten)]
    http: HttpFlags,
    #[command(flatten)]
    output: FormatFlag,
    #[command(flatten)]
    field: FieldFlag,
    #[arg(
        value_name = "TOKEN | K=V",
        help = "The token, or - for standard input; or the parameters of the method"
    )]
    arguments: Vec<String>,
}

impl LoginCommand {
    pub(super) async fn run(self, context: &mut CommandContext) -> CliResult {
        context.set_format_except_raw(&self.output)?;
        let no_store = self.no_store || self.token_only;
        if no_store && self.no_print {
            let text = "-no-store and -no-print cannot be used together";
            return Err(CliError::usage(text));
        }
        let name = clean_path(&self.method).to_lowercase();
        let method = LoginMethod::by_name(if name.is_empty() { "token" } else { &name });
        let Some(method) = method else { return Err(unknown_method(&name)) };
        let answer = self.authenticate(context, method).await?;
        let Some(auth) = answer.auth.as_ref().filter(|auth| auth.mfa_requirement.is_none()) else {
            return self.print_incomplete_login(context, &answer);
        };
        if auth.client_token.expose_secret().is_empty() {
            return Err(authentication_error("the server returned no token"));
        }
        if no_store {
            if !self.token_only {
                context.printer.warn(&wrap_text(
                    "The token below is not stored. To use it, set VAULT_TOKEN to it.",
                ));
                context.printer.warn("");
            }
        } else {
            self.store_token(context, &answer)?;
        }
        if self.no_print {
            return Ok(());
        }
        let field = if self.token_only { Some("token") } else { self.field.name() };
        if field.is_none() && context.printer.format == OutputFormat::Table && !no_store {
            context.printer.success(&wrap_text(
                "Success! You are logged in. The token below is stored, and commands use it from now \
                 on.",
            ));
            context.printer.line("");
        }
        context.printer.print_response_or_field(&answer, field)
    }

    async fn authenticate(
        &self,
        context: &mut CommandContext,
        method: &LoginMethod,
    ) -> CliResult<SecretResponse> {
        let client = context.client_without_token(&self.http)?;
        if method.flow == LoginFlow::Token {
            let (token, look_up) = token::read_token(&self.arguments, &self.http, context)?;
            let answer =
                token::token_login_response(&client.without_wrapping(), token, look_up).await;
            return answer.map_err(authentication_error);
        }
        let mut fields = data::parse_fields(&self.arguments, &mut *context.stdin(&self.http))
            .map_err(CliError::usage)?;
        let path = Some(clean_path(&self.path)).filter(|path| !path.is_empty());
        let path = path.unwrap_or_else(|| method.name.to_owned());
        let path = method.prepare_request(&path, &mut fields, context, &self.http)?;
        let answer = client.login(&path, &fields).await;
        let answer = answer.map_err(|error| CliError::from_login(&error))?;
        match &answer.wrap_info {
            Some(wrap) if !(self.no_store || self.token_only) => {
                let inner = client.unwrap_response(Some(&wrap.token)).await;
                let inner = inner.map_err(CliError::from_api("Error authenticating"))?;
                inner.ok_or_else(|| authentication_error("the server returned no token"))
            }
            _ => Ok(answer),
        }
    }

    /// Prints a login response without a token: it is wrapped, or a second factor is required.
    fn print_incomplete_login(
        &self,
        context: &mut CommandContext,
        answer: &SecretResponse,
    ) -> CliResult {
        if answer.auth.is_none() && answer.wrap_info.is_none() {
            return Err(authentication_error("the server returned no token"));
        }
        if answer.auth.is_some() {
            if self.token_only || self.field.name().is_some() {
                return Err(authentication_error(
                    "a second factor is needed before there is a token",
                ));
            }
            context.printer.warn(&wrap_text(
                "A second factor is needed before there is a token. Send it with \"strongroom write \
                 sys/mfa/validate -\", and as JSON on standard input mfa_request_id and \
                 mfa_payload, an object of method ids and passcodes.",
            ));
            context.printer.warn("");
        }
        let field = if self.token_only { Some("wrapping_token") } else { self.field.name() };
        context.printer.print_response_or_field(answer, field)
    }

    fn store_token(&self, context: &mut CommandContext, answer: &SecretResponse) -> CliResult {
        let helper =
            context.token_helper(&self.http).map_err(|failure| CliError { code: 1, ..failure })?;
        let Some(auth) = &answer.auth else { return Ok(()) };
        if let Err(error) = helper.store(&auth.client_token) {
            return Err(self.token_store_error(context, answer, &error));
        }
        if let Some(variable) = context.environment.variable_name("TOKEN") {
            context.printer.warn(&wrap_text(&format!(
                "{variable} is set, and commands use its value, not the token that was stored now. \
                 Unset it to use the stored one."
            )));
            context.printer.warn("");
        }
        Ok(())
    }

    /// The error if the login succeeded but the token can't be stored. It shows the token unless a
    /// flag forbids that.
    fn token_store_error(
        &self,
        context: &mut CommandContext,
        answer: &SecretResponse,
        error: &str,
    ) -> CliError {
        let printer = &mut context.printer;
        printer.warn(&format!("Error storing the token: {error}"));
        if self.no_print {
            let text = "The login succeeded, but its token is neither stored nor, with -no-print, shown. \
                        It stays valid until it expires.";
            return CliError::remote(wrap_text(text));
        }
        printer.warn(&wrap_text(
            "The login succeeded; its token is not stored, and is shown here only.",
        ));
        printer.warn("");
        match printer.print_response_or_field(answer, self.field.name()) {
            Ok(()) => CliError::silent(2),
            Err(failure) => CliError { code: 2, ..failure },
        }
    }
}

fn authentication_error(error: impl std::fmt::Display) -> CliError {
    CliError::remote(format!("Error authenticating: {error}"))
}

fn unknown_method(name: &str) -> CliError {
    let known = LOGIN_METHODS.map(|method| method.name).join(", ");
    CliError::usage(wrap_text(&format!(
        "login can't use the auth method {name:?}; it can use {known}. Any other method is reached with \
         \"strongroom write auth/PATH/login\"."
    )))
}
