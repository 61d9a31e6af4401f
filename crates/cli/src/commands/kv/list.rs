//! `kv list`

use clap::Args;
use strongroom_client::Page;

use super::super::list;
use super::target::{MountFlag, Target};
use crate::context::Context;
use crate::failure::{Failure, Outcome, expect_count};
use crate::flags::{Formatted, Http};

/// List the keys of a folder
#[derive(Args)]
#[command(
    after_help = "Examples:\n  strongroom kv list -mount=secret\n  strongroom kv list secret/my-team/"
)]
pub(crate) struct List {
    #[command(flatten)]
    mount: MountFlag,
    #[command(flatten)]
    http: Http,
    #[command(flatten)]
    output: Formatted,
    #[arg(value_name = "FOLDER", help = "The folder; with -mount by default all of the mount")]
    arguments: Vec<String>,
}

impl List {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        context.set_format_but_raw(&self.output)?;
        expect_count(&self.arguments, usize::from(!self.mount.is_given()), 1)?;
        let client = context.client(&self.http)?;
        let target = Target::find(&client, &self.mount, &self.arguments.concat()).await?;
        let path = target.path("metadata");
        let answer = client.list(&path, &Page::default()).await;
        let answer = answer.map_err(Failure::call(&format!("Error listing {path}")))?;
        list::show(&mut context.printer, &path, answer)
    }
}
