//! `secrets tune`

use clap::Args;
use strongroom_client::sys::mounts::MountSettings;

use super::super::mount_path;
use super::settings::Settings;
use crate::context::Context;
use crate::failure::{Failure, Outcome, expect_count};
use crate::flags::Http;

/// Change a mount's settings
#[derive(Args)]
#[command(after_help = "\
What isn't named stays. A duration of \"system\" goes back to the server's own.

Example:
  strongroom secrets tune -default-lease-ttl=1h custom/")]
pub(crate) struct Tune {
    /// For people
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    http: Http,
    #[arg(value_name = "PATH", help = "Where it is mounted")]
    arguments: Vec<String>,
}

impl Tune {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        expect_count(&self.arguments, 1, 1)?;
        let path = mount_path(&self.arguments.concat());
        let client = context.client(&self.http)?;
        let options = self.settings.options();
        let settings = MountSettings {
            description: self.description,
            options: (!options.is_empty()).then_some(options),
            ..self.settings.for_api()
        };
        let doing = format!("Error tuning secrets engine {path}");
        let answer = client.tune_mount(&path, &settings).await.map_err(Failure::call(&doing))?;
        if let Some(answer) = answer {
            context.printer.warnings(&answer);
        }
        context.printer.line(&format!("Success! Tuned the secrets engine at: {path}"));
        Ok(())
    }
}
