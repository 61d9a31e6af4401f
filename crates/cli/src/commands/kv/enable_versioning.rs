//! `kv enable-versioning`

use std::collections::BTreeMap;

use clap::Args;
use strongroom_client::sys::mounts::{MountSettings, Table};

use super::super::mount_path;
use crate::context::Context;
use crate::failure::{Failure, Outcome, expect_count};
use crate::flags::{Formatted, Http};

/// Let a mount keep versions from now on; there is no way back
#[derive(Args)]
#[command(after_help = "Example:\n  strongroom kv enable-versioning secret")]
pub(crate) struct EnableVersioning {
    #[command(flatten)]
    http: Http,
    #[command(flatten)]
    output: Formatted,
    #[arg(value_name = "MOUNT", help = "Where the engine is mounted")]
    arguments: Vec<String>,
}

impl EnableVersioning {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        context.set_format_but_raw(&self.output)?;
        expect_count(&self.arguments, 1, 1)?;
        let path = mount_path(&self.arguments.concat());
        let client = context.client(&self.http)?;
        let options = BTreeMap::from([("version".to_owned(), "2".to_owned())]);
        let settings = MountSettings { options: Some(options), ..MountSettings::default() };
        let answer = client.tune_mount(Table::Secrets, &path, &settings).await;
        let doing = format!("Error tuning secrets engine {path}");
        if let Some(answer) = answer.map_err(Failure::call(&doing))? {
            context.printer.warnings(&answer);
        }
        context.printer.success(&format!("Success! Tuned the secrets engine at: {path}"));
        Ok(())
    }
}
