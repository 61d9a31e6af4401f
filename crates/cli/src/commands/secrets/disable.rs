//! `secrets disable`

use clap::Args;

use super::super::mount_path;
use crate::context::Context;
use crate::failure::{Failure, Outcome, expect_count};
use crate::flags::Http;

/// Unmount a secrets engine: its leases are revoked, its data is gone
#[derive(Args)]
pub(crate) struct Disable {
    #[command(flatten)]
    http: Http,
    #[arg(value_name = "PATH", help = "Where it is mounted")]
    arguments: Vec<String>,
}

impl Disable {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        expect_count(&self.arguments, 1, 1)?;
        let path = mount_path(&self.arguments.concat());
        let client = context.client(&self.http)?;
        let doing = format!("Error disabling secrets engine at {path}");
        client.unmount(&path).await.map_err(Failure::call(&doing))?;
        let text = format!("Success! Disabled the secrets engine (if it existed) at: {path}");
        context.printer.line(&text);
        Ok(())
    }
}
