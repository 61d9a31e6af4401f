//! `policy write`

use std::io::{ErrorKind, Read};

use clap::Args;

use super::policy_name;
use crate::context::CommandContext;
use crate::error::{CliError, CliResult, check_argument_count};
use crate::flags::HttpFlags;

/// Write a policy from a file or standard input
#[derive(Args)]
#[command(
    after_help = "Examples:\n  strongroom policy write my-app policy.hcl\n  strongroom policy write my-app - < policy.hcl"
)]
pub(crate) struct PolicyWrite {
    #[command(flatten)]
    http: HttpFlags,
    #[arg(
        value_name = "NAME FILE",
        help = "The policy's name and its file, or - for standard input"
    )]
    arguments: Vec<String>,
}

impl PolicyWrite {
    pub(super) async fn run(self, context: &mut CommandContext) -> CliResult {
        check_argument_count(&self.arguments, 2, 2)?;
        let [given, path] = self.arguments.as_slice() else { return Ok(()) };
        let name = policy_name(given);
        let client = context.client(&self.http)?;
        let text = match path.as_str() {
            "-" => {
                let mut text = String::new();
                context.stdin(&self.http).read_to_string(&mut text).map(|_| text)
            }
            path => std::fs::read_to_string(path),
        };
        let text = text.map_err(|error| {
            let reason = match error.kind() {
                ErrorKind::NotFound => "no such file or directory".to_owned(),
                _ => error.to_string(),
            };
            CliError::remote(format!("the policy file {path} can't be read: {reason}"))
        })?;
        let answer = client.put_policy(&name, &text).await;
        let answer = answer.map_err(CliError::from_api("Error uploading policy"))?;
        if let Some(answer) = answer {
            context.printer.print_warnings(&answer);
        }
        if *given != name {
            let text = format!("Names of policies are in lower case: {given:?} became {name:?}.");
            context.printer.warn(&text);
        }
        context.printer.success(&format!("Success! Uploaded policy: {name}"));
        Ok(())
    }
}
