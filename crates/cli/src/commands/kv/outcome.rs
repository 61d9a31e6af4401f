//! What the commands print about a request that succeeded or failed.

use strongroom_client::{Error, SecretResponse};

use crate::error::{CliError, CliResult};
use crate::output::Printer;
use crate::output::fixed_text::DATA_WRITTEN;

/// Prints the response to a write, or that the write succeeded.
pub(super) fn print_written(
    printer: &mut Printer,
    path: &str,
    outcome: Result<Option<SecretResponse>, Error>,
) -> CliResult {
    match outcome {
        Ok(Some(response)) => printer.print_response(&response),
        Ok(None) => {
            printer.success_for_people(&format!("{DATA_WRITTEN}{path}"));
            Ok(())
        }
        Err(error) => Err(write_error(printer, path, error)),
    }
}

/// Converts the API error of a write, and prints the warnings that came with it.
pub(super) fn write_error(printer: &mut Printer, path: &str, error: Error) -> CliError {
    failure_with_warnings(printer, error, &format!("Error writing data to {path}"))
}

/// Converts an API error, and prints the warnings that came with it.
pub(super) fn failure_with_warnings(printer: &mut Printer, error: Error, doing: &str) -> CliError {
    if let Some(answer) = error.response() {
        printer.print_warnings(answer);
    }
    CliError::from_api(doing)(error)
}
