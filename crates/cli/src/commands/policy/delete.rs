//! `policy delete`

use clap::Args;

use super::policy_name;
use crate::context::Context;
use crate::failure::{Failure, Outcome, expect_count};
use crate::flags::Http;

/// Delete a policy; tokens that name it lose what it allowed at once
#[derive(Args)]
pub(crate) struct Delete {
    #[command(flatten)]
    http: Http,
    #[arg(value_name = "NAME", help = "The policy's name")]
    arguments: Vec<String>,
}

impl Delete {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        expect_count(&self.arguments, 1, 1)?;
        let name = policy_name(&self.arguments.concat());
        let client = context.client(&self.http)?;
        let gone = client.delete_policy(&name).await;
        gone.map_err(Failure::call(&format!("Error deleting {name}")))?;
        context.printer.success(&format!("Success! Deleted policy: {name}"));
        Ok(())
    }
}
