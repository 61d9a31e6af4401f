//! `operator key-status`

use clap::Args;

use crate::context::Context;
use crate::failure::{Failure, Outcome, expect_count};
use crate::flags::{Formatted, Http};
use crate::output::Format;
use crate::output::value::Value;

/// Show since when the key that encrypts is used, and how often it was
#[derive(Args)]
#[command(after_help = "\
The count is an upper bound. The server reserves encryptions in blocks of 16 million before it uses
them, and counts a whole block as used after a restart.")]
pub(crate) struct KeyStatus {
    #[command(flatten)]
    http: Http,
    #[command(flatten)]
    output: Formatted,
    #[arg(hide = true)]
    arguments: Vec<String>,
}

impl KeyStatus {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        context.set_format_but_raw(&self.output)?;
        expect_count(&self.arguments, 0, 0)?;
        let client = context.client(&self.http)?;
        let status = client.key_status().await;
        let status = status.map_err(Failure::call("Error reading key status"))?;
        let printer = &mut context.printer;
        if printer.format != Format::Table {
            return printer.data(&Value::of(&status));
        }
        printer.line(&format!("Key Term            {}", status.term));
        printer.line(&format!("Install Time        {}", day_and_time(&status.install_time)));
        printer.line(&format!("Encryption Count    {}", status.encryptions));
        Ok(())
    }
}

/// A time as `22 Nov 26 06:18 UTC`.
fn day_and_time(rfc3339: &str) -> String {
    match rfc3339.parse::<jiff::Timestamp>() {
        Ok(time) => time.strftime("%d %b %y %H:%M UTC").to_string(),
        Err(_) => rfc3339.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        assert_eq!(day_and_time("2026-11-02T06:18:07.006293832Z"), "02 Nov 26 06:18 UTC");
        assert_eq!(day_and_time("soon"), "soon");
    }
}
