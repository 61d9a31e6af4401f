//! `lease renew`

use clap::Args;

use super::lease_id;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::flags::{Formatted, Http, Seconds, lifetime};

/// Renew a lease
#[derive(Args)]
pub(crate) struct Renew {
    /// How long it shall last from now; the server may give less
    #[arg(long, value_name = "DURATION", value_parser = lifetime)]
    increment: Option<Seconds>,
    #[command(flatten)]
    http: Http,
    #[command(flatten)]
    output: Formatted,
    #[arg(value_name = "ID", help = "The lease's id")]
    arguments: Vec<String>,
}

impl Renew {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        context.set_format_but_raw(&self.output)?;
        let id = lease_id(&self.arguments)?;
        let client = context.client(&self.http)?;
        let increment = self.increment.unwrap_or_default().as_duration();
        let answer = client.renew_lease(&id, increment).await;
        let answer = answer.map_err(Failure::call(&format!("Error renewing {id}")))?;
        context.printer.secret(&answer)
    }
}
