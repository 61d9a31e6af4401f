//! The command line: commands only. What a command does to a server, it does through the
//! HTTP client; the server itself is a library that `server` starts.
//!
//! In reading order:
//!
//! - [`arguments`]: flags as users of Vault type them, rewritten for the parser
//! - [`completion`]: what a shell offers for a line that isn't finished
//! - [`commands`]: a file per command, and how to add one
//! - [`flags`]: flags that several commands have
//! - [`not_built`]: commands and flags of the reference that are refused by name
//! - [`context`]: what every command gets
//! - [`environment`]: `BAO_…`, then `VAULT_…`
//! - [`token_helper`]: where the token is kept between commands
//! - [`data`]: `key=value` on the command line
//! - [`output`]: all that is printed
//! - [`error`]: messages and exit codes: 0 done, 1 wrong here, 2 refused by the server, 127 no such
//!   command
//! - [`signals`]: signals of the server process
//! - [`version`]: versions, in one place
//! - `reference`: the page of the book, from the table of commands (a test)

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

/// Runs the command that this process was started for, to its end.
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

/// Says why a command failed, and what to do about it.
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
    // Nothing that still runs is waited for: a server that was told twice to end must end.
    runtime.shutdown_background();
    outcome
}

/// A server gets a worker per processor; a command needs one thread.
fn build_runtime(is_server: bool) -> std::io::Result<Runtime> {
    if is_server {
        // Blocking work is reads of the store; more threads wouldn't make the disk faster.
        Builder::new_multi_thread().enable_all().max_blocking_threads(64).build()
    } else {
        Builder::new_current_thread().enable_all().build()
    }
}

/// The command that is to run; none if it was a shell that asked what could stand in the line.
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

/// All commands, as help and shells need them.
fn full_command_tree() -> clap::Command {
    let mut root = CommandLine::command();
    root.build();
    root
}

/// All names of commands, with the flags of the one that is named and of no other: a server would
/// keep the memory for all of them as long as it lives.
fn command_tree_for(given: &[String]) -> clap::Command {
    let mut root = CommandLine::command();
    // What is rendered is built: the root alone, which hands down what commands have in common.
    root.render_usage();
    if let Some(named) = given.first().and_then(|name| root.find_subcommand_mut(name)) {
        named.build();
    }
    root
}

/// What came too late to be a flag, without its value: that may be a secret.
fn misplaced_flag_names(late: &[String]) -> String {
    let names = late.iter().map(|flag| flag.split('=').next().unwrap_or_default());
    names.collect::<Vec<_>>().join(", ")
}

/// Prints help where there is nothing to run.
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

/// The help of the command with this name.
fn render_help(command: &mut clap::Command, path: &[String]) -> String {
    if let Some((name, rest)) = path.split_first()
        && let Some(below) = command.find_subcommand_mut(name)
    {
        return render_help(below, rest);
    }
    command.render_help().to_string()
}

const NUMBER_EXPECTED: &str = "must be a whole number in range";

/// What the parser found wrong with a flag's value. Its own words say less, and show every value.
fn invalid_value_message(error: &clap::Error) -> String {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        _ => String::new(),
    };
    // The flag is named as `--ttl <DURATION>`.
    let named = text(ContextKind::InvalidArg);
    let flag = named.split_whitespace().next().unwrap_or_default().trim_start_matches('-');
    let reason = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    // This crate's own readers of values say what a value must be; numbers are read by the library.
    let reason = if reason.starts_with("must ") { reason } else { NUMBER_EXPECTED.to_owned() };
    if reason == flags::NAME_VALUE_EXPECTED {
        // The value may be a secret in the wrong place.
        return format!("-{flag} {reason}");
    }
    format!("-{flag} {reason}, not {:?}", text(ContextKind::InvalidValue))
}
