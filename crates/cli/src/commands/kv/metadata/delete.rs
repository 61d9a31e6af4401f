//! `kv metadata delete`

use clap::Args;

use super::super::refused;
use super::super::target::MountFlag;
use crate::context::Context;
use crate::failure::{Outcome, expect_count};
use crate::flags::Http;

/// Delete a key with all its versions, for good
#[derive(Args)]
#[command(after_help = "Example:\n  strongroom kv metadata delete -mount=secret my-app")]
pub(crate) struct Delete {
    #[command(flatten)]
    mount: MountFlag,
    #[command(flatten)]
    http: Http,
    #[arg(value_name = "KEY", help = "The key")]
    arguments: Vec<String>,
}

impl Delete {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        expect_count(&self.arguments, 1, 1)?;
        let client = context.client(&self.http)?;
        let path = super::path(&client, &self.mount, &self.arguments.concat()).await?;
        let printer = &mut context.printer;
        let gone = client.delete(&path, &[]).await;
        gone.map_err(|error| refused(printer, error, &format!("Error deleting {path}")))?;
        printer.success(&format!("Success! Data deleted (if it existed) at: {path}"));
        Ok(())
    }
}
