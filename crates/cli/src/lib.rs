//! The command line. Commands only talk to a server through the HTTP client; the server itself is
//! the crate `strongroom-server`, which the `server` command starts.
//!
//! In reading order:
//!
//! - [`arguments`]: arguments as users of Vault type them, normalised for the parser
//! - [`completion`]: shell completion
//! - [`commands`]: one file per command, and how to add one
//! - [`flags`]: flags shared by several commands
//! - [`not_built`]: commands and flags of `vault` and `bao` that are refused by name
//! - [`context`]: what every command is given
//! - [`environment`]: `BAO_…`, then `VAULT_…`
//! - [`token_helper`]: where the token is stored between commands
//! - [`data`]: `key=value` arguments
//! - [`output`]: everything that is printed
//! - [`error`]: messages and exit codes: 0 success, 1 local error, 2 server error, 127 unknown
//!   command
//! - [`signals`]: signals that stop or reload the server
//! - [`version`]: the version numbers
//! - `reference`: the book's pages that are generated from the command tree (a test)

mod arguments;
mod commands;
mod completion;
mod context;
mod data;
mod environment;
mod error;
mod flags;
mod not_built;
mod output;
#[cfg(test)]
mod reference;
mod signals;
mod token_helper;
mod version;

use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue};
use clap::{CommandFactory, FromArgMatches};
use tokio::runtime::{Builder, Runtime};

use crate::arguments::{ArgumentError, command_name, normalize_arguments};
use crate::commands::{CliCommand, CommandLine};
use crate::context::CommandContext;
use crate::error::{CliError, CliResult, ErrorHint};
use crate::output::OutputFormat;

/// Runs the command given by this process's arguments and returns its exit code.
pub fn main() -> ExitCode {
    let mut context = CommandContext::from_process();
    let outcome = run_command(&mut context);
    let outcome = match context.dry_run.take() {
        Some(rehearsed) => rehearsed.print_request(outcome, &mut context.printer),
        None => outcome,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            print_error(&mut context, &failure);
            ExitCode::from(failure.code)
        }
    }
}

/// Prints why a command failed, and a hint what to do about it.
fn print_error(context: &mut CommandContext, failure: &CliError) {
    if let Some(text) = &failure.text {
        context.printer.error(text);
    }
    match failure.hint {
        ErrorHint::None => {}
        ErrorHint::Usage => {
            let command = format!("strongroom {}", context.command);
            let command = command.trim_end();
            context.printer.error(&format!("Run \"{command} -help\" to see how it is used."));
        }
        ErrorHint::NextStep(text) => context.printer.next_step(text),
    }
}

fn run_command(context: &mut CommandContext) -> CliResult {
    let Some(command) = parse_command_line(context)? else { return Ok(()) };
    let is_server = matches!(command, CliCommand::Server(_));
    let runtime = build_runtime(is_server)
        .map_err(|error| CliError::local(format!("the runtime can't be started: {error}")))?;
    let outcome = runtime.block_on(command.run(context));
    // Don't wait for background tasks: a server that was interrupted a second time must end.
    runtime.shutdown_background();
    outcome
}

/// Builds the runtime: a server gets one worker per processor, a command a single thread.
fn build_runtime(is_server: bool) -> std::io::Result<Runtime> {
    if is_server {
        // The blocking work is reads of the store; more threads wouldn't make the disk faster.
        Builder::new_multi_thread().enable_all().max_blocking_threads(64).build()
    } else {
        Builder::new_current_thread().enable_all().build()
    }
}

/// Parses the command to run; `None` if a shell asked for completion.
fn parse_command_line(context: &mut CommandContext) -> CliResult<Option<CliCommand>> {
    let given = std::env::args_os().skip(1).map(std::ffi::OsString::into_string);
    let given: Result<Vec<String>, _> = given.collect();
    let given = given.map_err(|_| CliError::local("an argument isn't text in UTF-8"))?;
    if let Some(offers) =
        completion::candidates_for_shell(&context.environment, &given, full_command_tree)
    {
        offers.iter().for_each(|offer| context.printer.line(offer));
        return Ok(None);
    }
    let mut root = command_tree_for(&given);
    context.command = command_name(&given, &root);
    let rewritten = normalize_arguments(&given, &root)
        .map_err(|refusal| report_argument_error(context, &refusal))?;
    let name = [root.get_name().to_owned()];
    let arguments = name.into_iter().chain(rewritten.arguments);
    let matches = root
        .try_get_matches_from_mut(arguments)
        .map_err(|error| CliError::usage(invalid_value_message(&error)))?;
    let parsed = CommandLine::from_arg_matches(&matches)
        .map_err(|error| CliError::usage(invalid_value_message(&error)))?;
    let format = context.environment.setting("FORMAT").unwrap_or_default();
    if !rewritten.misplaced_flags.is_empty() && OutputFormat::parse(&format)? == OutputFormat::Table
    {
        context.printer.warn(&format!(
            "Flags stand before the first argument. Taken as arguments: {}",
            misplaced_flag_names(&rewritten.misplaced_flags)
        ));
    }
    Ok(Some(parsed.command))
}

/// The tree of all commands with their flags, for help and completion.
fn full_command_tree() -> clap::Command {
    let mut root = CommandLine::command();
    root.build();
    root
}

/// The tree of all command names, with flags only for the command that was given. A server would
/// otherwise keep the memory of the other flags for its whole life.
fn command_tree_for(given: &[String]) -> clap::Command {
    let mut root = CommandLine::command();
    // Rendering builds the root alone, which passes common settings on to the commands.
    root.render_usage();
    if let Some(named) = given.first().and_then(|name| root.find_subcommand_mut(name)) {
        named.build();
    }
    root
}

/// The names of misplaced flags, without their values, which may be secret.
fn misplaced_flag_names(late: &[String]) -> String {
    let names = late.iter().map(|flag| flag.split('=').next().unwrap_or_default());
    names.collect::<Vec<_>>().join(", ")
}

/// Prints help or an error if there is no command to run.
fn report_argument_error(context: &mut CommandContext, refusal: &ArgumentError) -> CliError {
    let (ArgumentError::HelpRequested(path)
    | ArgumentError::NoCommand(path)
    | ArgumentError::FlagsBeforeCommand(path)) = refusal
    else {
        let ArgumentError::Invalid(text) = refusal else { return CliError::silent(1) };
        return CliError::usage(text.clone());
    };
    let help = render_help(&mut full_command_tree(), path);
    match refusal {
        ArgumentError::HelpRequested(_) => {
            context.printer.line(help.trim_end());
            CliError::silent(0)
        }
        ArgumentError::FlagsBeforeCommand(_) => CliError::local(format!(
            "Flags stand after the command that they are for, not before it.\n\n{}",
            help.trim_end()
        )),
        _ => {
            context.printer.error(help.trim_end());
            CliError::silent(if path.is_empty() { 127 } else { 1 })
        }
    }
}

/// Renders the help of the command with this name.
fn render_help(command: &mut clap::Command, path: &[String]) -> String {
    if let Some((name, rest)) = path.split_first()
        && let Some(below) = command.find_subcommand_mut(name)
    {
        return render_help(below, rest);
    }
    command.render_help().to_string()
}

const NUMBER_EXPECTED: &str = "must be a whole number in range";

/// The error for an invalid flag value. The parser's own message is less clear and shows the value.
fn invalid_value_message(error: &clap::Error) -> String {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        _ => String::new(),
    };
    // The parser names the flag as `--ttl <DURATION>`.
    let named = text(ContextKind::InvalidArg);
    let flag = named.split_whitespace().next().unwrap_or_default().trim_start_matches('-');
    let reason = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    // Our own value parsers say what a value must be; numbers are parsed by the library.
    let reason = if reason.starts_with("must ") { reason } else { NUMBER_EXPECTED.to_owned() };
    if reason == flags::NAME_VALUE_EXPECTED {
        // Don't show the value, which may be a secret in the wrong place.
        return format!("-{flag} {reason}");
    }
    format!("-{flag} {reason}, not {:?}", text(ContextKind::InvalidValue))
}
