//! `operator step-down`

use clap::Args;

use crate::context::Context;
use crate::failure::{Failure, Outcome, expect_count};
use crate::flags::Http;

/// Ask the node that leads to let another one lead
#[derive(Args)]
pub(crate) struct StepDown {
    #[command(flatten)]
    http: Http,
    #[arg(hide = true)]
    arguments: Vec<String>,
}

impl StepDown {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        expect_count(&self.arguments, 0, 0)?;
        let client = context.client(&self.http)?;
        client.step_down().await.map_err(Failure::call("Error stepping down"))?;
        let address = context.address(&self.http);
        context.printer.success(&format!("Success! Stepped down: {address}"));
        Ok(())
    }
}
