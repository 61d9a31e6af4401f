//! `operator seal`

use clap::Args;

use crate::context::Context;
use crate::failure::{Failure, Outcome, expect_count};
use crate::flags::Http;

/// Seal the server: it forgets its key and answers nothing until it is unsealed
#[derive(Args)]
pub(crate) struct Seal {
    #[command(flatten)]
    http: Http,
    #[arg(hide = true)]
    arguments: Vec<String>,
}

impl Seal {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        expect_count(&self.arguments, 0, 0)?;
        let client = context.client(&self.http)?;
        client.seal().await.map_err(Failure::call("Error sealing"))?;
        context.printer.success("Success! The server is sealed.");
        Ok(())
    }
}
