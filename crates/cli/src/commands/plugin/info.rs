//! `plugin info`

use clap::Args;

use super::type_and_name;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::flags::{Formatted, Http, OneField};
use crate::output::value::Value;

/// Show a plug-in of the catalog
#[derive(Args)]
pub(crate) struct Info {
    /// The version; without it, the one that would run
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,
    #[command(flatten)]
    http: Http,
    #[command(flatten)]
    output: Formatted,
    #[command(flatten)]
    field: OneField,
    #[arg(value_name = "TYPE NAME", help = "auth, database or secret, and the plug-in's name")]
    arguments: Vec<String>,
}

impl Info {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        context.set_format_but_raw(&self.output)?;
        let (kind, name) = type_and_name(&self.arguments)?;
        let version = self.version.filter(|version| !version.is_empty());
        let client = context.client(&self.http)?;
        let answer = client.plugin(&kind, &name, version.as_deref()).await;
        let answer =
            answer.map_err(Failure::call(&format!("Error reading plugin named {name}")))?;
        let data = answer.and_then(|answer| answer.data);
        let Some(data) = data else {
            return Err(Failure::remote(format!("the catalog has no plug-in {name:?}")));
        };
        let data = Value::fields(&data);
        match self.field.name() {
            Some(field) => context.printer.field(data.get(field), field, &data),
            None => context.printer.data(&data),
        }
    }
}
