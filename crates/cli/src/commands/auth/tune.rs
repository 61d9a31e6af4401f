//! `auth tune`

use clap::Args;
use strongroom_client::sys::mounts::{MountSettings, Table, UserLockout};

use super::super::mount_path;
use super::super::mounting::settings::Settings;
use crate::context::Context;
use crate::failure::{Failure, Outcome, expect_count};
use crate::flags::{Http, Seconds, lifetime};

/// Change an auth method's settings
#[derive(Args)]
#[command(after_help = "\
What isn't named stays. A duration of \"system\" goes back to the server's own.

Example:
  strongroom auth tune -default-lease-ttl=1h userpass/")]
pub(crate) struct Tune {
    /// For people
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Kind of the tokens it gives: service, batch, default-service or default-batch
    #[arg(long, value_name = "TYPE")]
    token_type: Option<String>,
    /// Failed logins after which a user is locked out
    #[arg(long, value_name = "COUNT")]
    user_lockout_threshold: Option<u64>,
    /// How long a user is locked out
    #[arg(long, value_name = "DURATION", value_parser = lifetime)]
    user_lockout_duration: Option<Seconds>,
    /// After which time failed logins are forgotten
    #[arg(long, value_name = "DURATION", value_parser = lifetime)]
    user_lockout_counter_reset_duration: Option<Seconds>,
    /// Lock nobody out
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    user_lockout_disable: Option<bool>,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    http: Http,
    #[arg(value_name = "PATH", help = "Where it is mounted, below auth/")]
    arguments: Vec<String>,
}

impl Tune {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        expect_count(&self.arguments, 1, 1)?;
        let path = mount_path(&self.arguments.concat());
        let client = context.client(&self.http)?;
        let options = self.settings.options();
        let user_lockout_config = self.lockout();
        let settings = self.settings.for_api(MountSettings {
            description: self.description,
            options: (!options.is_empty()).then_some(options),
            token_type: self.token_type,
            user_lockout_config,
            ..MountSettings::default()
        });
        let doing = format!("Error tuning auth method {path}");
        let answer = client.tune_mount(Table::Auth, &path, &settings).await;
        if let Some(answer) = answer.map_err(Failure::call(&doing))? {
            context.printer.warnings(&answer);
        }
        context.printer.success(&format!("Success! Tuned the auth method at: {path}"));
        Ok(())
    }

    /// When users are locked out, if any flag says it.
    fn lockout(&self) -> Option<UserLockout> {
        let text = |given: Option<Seconds>| {
            given.and_then(Seconds::not_negative).map(|seconds| format!("{seconds}s"))
        };
        let lockout = UserLockout {
            lockout_threshold: self.user_lockout_threshold.map(|count| count.to_string()),
            lockout_duration: text(self.user_lockout_duration),
            lockout_counter_reset_duration: text(self.user_lockout_counter_reset_duration),
            lockout_disable: self.user_lockout_disable,
        };
        (lockout != UserLockout::default()).then_some(lockout)
    }
}
