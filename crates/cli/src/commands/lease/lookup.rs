//! `lease lookup`

use clap::Args;

use super::lease_id;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::flags::{Formatted, Http};

/// Show a lease's times
#[derive(Args)]
pub(crate) struct Lookup {
    #[command(flatten)]
    http: Http,
    #[command(flatten)]
    output: Formatted,
    #[arg(value_name = "ID", help = "The lease's id")]
    arguments: Vec<String>,
}

impl Lookup {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        context.set_format_but_raw(&self.output)?;
        let id = lease_id(&self.arguments)?;
        let client = context.client(&self.http)?;
        let answer = client.look_up_lease(&id).await;
        let doing = format!("error looking up lease id {id}");
        context.printer.secret(&answer.map_err(Failure::call(&doing))?)
    }
}
