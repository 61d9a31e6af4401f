//! `write`

use clap::Args;

use super::paths::clean_path;
use crate::context::CommandContext;
use crate::data;
use crate::error::{CliError, CliResult};
use crate::flags::{FieldFlag, FormatFlag, HttpFlags, parse_duration};
use crate::output::fixed_text::DATA_WRITTEN;

/// Write a secret or a setting, or run an operation of an engine
#[derive(Args)]
#[command(after_help = "\
Values are strings, even if they look like numbers. @file reads a value from a file, and - from
standard input; \\@ is a literal @. An argument that is only @file or - is read as a JSON object.

Examples:
  strongroom write secret/my-app password=hunter2
  strongroom write database/roles/readonly @role.json
  strongroom write -force transit/keys/my-key")]
pub(crate) struct WriteCommand {
    /// Write without data
    #[arg(long, short)]
    force: bool,
    #[command(flatten)]
    flags: WriteFlags,
    #[arg(value_name = "PATH [K=V]", help = "The path to write to, and the data")]
    arguments: Vec<String>,
}

impl WriteCommand {
    pub(super) async fn run(self, context: &mut CommandContext) -> CliResult {
        self.flags.send(context, WriteMethod::Write, &self.arguments, self.force).await
    }
}

/// How the data is sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum WriteMethod {
    /// The data replaces what is at the path.
    Write,
    /// The data is a JSON merge patch.
    Patch,
}

/// The flags of `write` and `patch`, besides `-force`.
#[derive(Args)]
pub(super) struct WriteFlags {
    #[command(flatten)]
    http: HttpFlags,
    #[command(flatten)]
    output: FormatFlag,
    #[command(flatten)]
    field: FieldFlag,
}

impl WriteFlags {
    /// Sends the data given by the arguments after the first to the path given by the first.
    pub(super) async fn send(
        mut self,
        context: &mut CommandContext,
        method: WriteMethod,
        arguments: &[String],
        may_lack_data: bool,
    ) -> CliResult {
        context.set_format_except_raw(&self.output)?;
        let [path, data @ ..] = arguments else {
            return Err(CliError::usage("Not enough arguments (expected 1, got 0)"));
        };
        if data.is_empty() && !may_lack_data {
            return Err(CliError::usage("Must supply data or use -force"));
        }
        let path = clean_path(path);
        let fields =
            data::parse_fields(data, &mut *context.stdin(&self.http)).map_err(CliError::local)?;
        if method == WriteMethod::Write && path == "sys/wrapping/wrap" {
            self.request_wrapping(context)?;
        }
        let client = context.client(&self.http)?;
        let outcome = match method {
            WriteMethod::Write => client.write(&path, &fields).await,
            WriteMethod::Patch => client.patch(&path, &fields).await,
        };
        let printer = &mut context.printer;
        match outcome {
            Ok(Some(response)) => printer.print_created_or_field(&response, self.field.name()),
            Ok(None) => {
                printer.success_for_people(&format!("{DATA_WRITTEN}{path}"));
                Ok(())
            }
            Err(error) => {
                if let Some(response) = error.response() {
                    printer.print_response(response)?;
                }
                Err(CliError::from_api(&format!("Error writing data to {path}"))(error))
            }
        }
    }

    /// Asks for a wrapped response unless the user has set a lifetime. The other clients do so too
    /// on `sys/wrapping/wrap`.
    fn request_wrapping(&mut self, context: &CommandContext) -> CliResult {
        if self.http.wrap_ttl.is_none() && context.environment.setting("WRAP_TTL").is_none() {
            self.http.wrap_ttl = Some(parse_duration("5m").map_err(CliError::local)?);
        }
        Ok(())
    }
}
