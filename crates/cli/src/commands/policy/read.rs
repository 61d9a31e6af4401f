//! `policy read`

use clap::Args;

use super::policy_name;
use crate::context::Context;
use crate::failure::{Failure, Outcome, expect_count};
use crate::flags::{Formatted, Http};
use crate::output::Format;
use crate::output::value::Value;

/// Print a policy's text
#[derive(Args)]
pub(crate) struct Read {
    #[command(flatten)]
    http: Http,
    #[command(flatten)]
    output: Formatted,
    #[arg(value_name = "NAME", help = "The policy's name")]
    arguments: Vec<String>,
}

impl Read {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        context.set_format_but_raw(&self.output)?;
        expect_count(&self.arguments, 1, 1)?;
        let name = policy_name(&self.arguments.concat());
        let client = context.client(&self.http)?;
        let text = client.policy(&name).await;
        let text = text.map_err(Failure::call(&format!("Error reading policy named {name}")))?;
        let Some(text) = text.filter(|text| !text.is_empty()) else {
            return Err(Failure::remote(format!("No policy named: {name}")));
        };
        if context.printer.format != Format::Table {
            let pair = ("policy".to_owned(), Value::Text(text));
            return context.printer.data(&Value::Object(vec![pair]));
        }
        context.printer.line(text.trim());
        Ok(())
    }
}
