//! `operator key-status`

use clap::Args;

use crate::context::CommandContext;
use crate::error::{CliError, CliResult, check_argument_count};
use crate::flags::{FormatFlag, HttpFlags};
use crate::output::OutputFormat;
use crate::output::value::OutputValue;

/// Show when the encryption key was installed, and how often it was used
#[derive(Args)]
#[command(after_help = "\
The count is an upper bound. The server reserves encryptions in blocks of 16 million before it uses
them, and counts a whole block as used after a restart.")]
pub(crate) struct OperatorKeyStatus {
    #[command(flatten)]
    http: HttpFlags,
    #[command(flatten)]
    output: FormatFlag,
    #[arg(hide = true)]
    arguments: Vec<String>,
}

impl OperatorKeyStatus {
    pub(super) async fn run(self, context: &mut CommandContext) -> CliResult {
        context.set_format_except_raw(&self.output)?;
        check_argument_count(&self.arguments, 0, 0)?;
        let client = context.client(&self.http)?;
        let status = client.key_status().await;
        let status = status.map_err(CliError::from_api("Error reading key status"))?;
        let printer = &mut context.printer;
        if printer.format != OutputFormat::Table {
            return printer.print_value(&OutputValue::from_serialize(&status));
        }
        printer.line(&format!("Key Term            {}", status.term));
        printer.line(&format!("Install Time        {}", format_install_time(&status.install_time)));
        printer.line(&format!("Encryption Count    {}", status.encryptions));
        Ok(())
    }
}

/// Formats a time as `22 Nov 26 06:18 UTC`.
fn format_install_time(rfc3339: &str) -> String {
    match rfc3339.parse::<jiff::Timestamp>() {
        Ok(time) => time.strftime("%d %b %y %H:%M UTC").to_string(),
        Err(_) => rfc3339.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn install_time_is_short() {
        assert_eq!(format_install_time("2026-11-02T06:18:07.006293832Z"), "02 Nov 26 06:18 UTC");
        assert_eq!(format_install_time("soon"), "soon");
    }
}
