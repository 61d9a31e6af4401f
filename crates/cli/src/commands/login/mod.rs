//! `login`

pub(super) mod methods;
mod token;

use clap::Args;
use strongroom_client::SecretAnswer;

use self::methods::{Kind, METHODS, Method};
use super::clean_path;
use crate::context::Context;
use crate::data;
use crate::failure::{Failure, Outcome};
use crate::flags::{Formatted, Http, OneField};
use crate::output::Format;
use crate::output::text::wrap;

/// Log in, and keep the token for the commands that follow
#[derive(Args)]
#[command(after_help = "\
Without a method, a token is checked: the argument, or what is typed on the terminal, or with -
what comes from standard input. Either of the last two keeps it out of the list of processes and
the shell's history; so does a password that is asked for.

Examples:
  strongroom login
  strongroom login -no-print -
  strongroom login -method=userpass username=bob

\"strongroom auth help userpass\" says what a method takes.")]
pub(crate) struct Login {
    /// Kind of auth method
    #[arg(long, value_name = "TYPE", default_value = "token")]
    method: String,
    /// Where the auth method is mounted, below auth/; by default under its type
    #[arg(long, value_name = "PATH", default_value = "")]
    path: String,
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
    #[arg(
        value_name = "TOKEN | K=V",
        help = "The token, or - for standard input; or what the method takes"
    )]
    arguments: Vec<String>,
}

impl Login {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        context.set_format_but_raw(&self.output)?;
        let no_store = self.no_store || self.token_only;
        if no_store && self.no_print {
            let text = "-no-store and -no-print cannot be used together";
            return Err(Failure::usage(text));
        }
        let name = clean_path(&self.method).to_lowercase();
        let method = Method::named(if name.is_empty() { "token" } else { &name });
        let Some(method) = method else { return Err(unknown(&name)) };
        let answer = self.log_in(context, method).await?;
        let Some(auth) = answer.auth.as_ref().filter(|auth| auth.mfa_requirement.is_none()) else {
            return self.unfinished(context, &answer);
        };
        if auth.client_token.expose_secret().is_empty() {
            return Err(failed("the server gave no token"));
        }
        if no_store {
            if !self.token_only {
                context.printer.warn(&wrap(
                    "The token below is not stored. To use it, set VAULT_TOKEN to it.",
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
            context.printer.success(&wrap(
                "Success! You are logged in. The token below is stored, and commands use it from now \
                 on.",
            ));
            context.printer.line("");
        }
        context.printer.secret_or_field(&answer, field)
    }

    async fn log_in(&self, context: &mut Context, method: &Method) -> Outcome<SecretAnswer> {
        let client = context.client_without_token(&self.http)?;
        if method.kind == Kind::Token {
            let (token, look_up) = token::given(&self.arguments, &self.http, context)?;
            let answer = token::check(&client.without_wrapping(), token, look_up).await;
            return answer.map_err(failed);
        }
        let mut fields = data::fields(&self.arguments, &mut *context.stdin(&self.http))
            .map_err(Failure::usage)?;
        let path = Some(clean_path(&self.path)).filter(|path| !path.is_empty());
        let path = path.unwrap_or_else(|| method.name.to_owned());
        let path = method.prepare(&path, &mut fields, context, &self.http)?;
        let answer = client.login(&path, &fields).await;
        let answer = answer.map_err(Failure::call("Error authenticating"))?;
        match &answer.wrap_info {
            Some(wrap) if !(self.no_store || self.token_only) => {
                let inner = client.unwrap_answer(Some(&wrap.token)).await;
                let inner = inner.map_err(Failure::call("Error authenticating"))?;
                inner.ok_or_else(|| failed("the server gave no token"))
            }
            _ => Ok(answer),
        }
    }

    /// There is no token yet: it is wrapped, or a second factor is needed.
    fn unfinished(&self, context: &mut Context, answer: &SecretAnswer) -> Outcome {
        if answer.auth.is_none() && answer.wrap_info.is_none() {
            return Err(failed("the server gave no token"));
        }
        if answer.auth.is_some() {
            if self.token_only || self.field.name().is_some() {
                return Err(failed("a second factor is needed before there is a token"));
            }
            context.printer.warn(&wrap(
                "A second factor is needed before there is a token. Send it with \"strongroom write \
                 sys/mfa/validate -\", and as JSON on standard input mfa_request_id and \
                 mfa_payload, an object of method ids and passcodes.",
            ));
            context.printer.warn("");
        }
        let field = if self.token_only { Some("wrapping_token") } else { self.field.name() };
        context.printer.secret_or_field(answer, field)
    }

    fn store(&self, context: &mut Context, answer: &SecretAnswer) -> Outcome {
        let helper =
            context.token_helper(&self.http).map_err(|failure| Failure { code: 1, ..failure })?;
        let Some(auth) = &answer.auth else { return Ok(()) };
        if let Err(error) = helper.store(&auth.client_token) {
            return Err(self.not_stored(context, answer, &error));
        }
        if let Some(variable) = context.environment.variable("TOKEN") {
            context.printer.warn(&wrap(&format!(
                "{variable} is set, and commands use its value, not the token that was stored now. \
                 Unset it to use the stored one."
            )));
            context.printer.warn("");
        }
        Ok(())
    }

    /// The person is logged in and the token can't be kept: it is shown, as far as it may be.
    fn not_stored(&self, context: &mut Context, answer: &SecretAnswer, error: &str) -> Failure {
        let printer = &mut context.printer;
        printer.warn(&format!("Error storing the token: {error}"));
        if self.no_print {
            let text = "The login succeeded, but its token is neither stored nor, with -no-print, shown. \
                        It stays valid until it expires.";
            return Failure::remote(wrap(text));
        }
        printer
            .warn(&wrap("The login succeeded; its token is not stored, and is shown here only."));
        printer.warn("");
        match printer.secret_or_field(answer, self.field.name()) {
            Ok(()) => Failure::silent(2),
            Err(failure) => Failure { code: 2, ..failure },
        }
    }
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::remote(format!("Error authenticating: {error}"))
}

fn unknown(name: &str) -> Failure {
    let known = METHODS.map(|method| method.name).join(", ");
    Failure::usage(wrap(&format!(
        "login can't use the auth method {name:?}; it can use {known}. Any other method is reached with \
         \"strongroom write auth/PATH/login\"."
    )))
}
