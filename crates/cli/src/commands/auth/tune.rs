//! `auth tune`

use clap::Args;
use strongroom_client::sys::mounts::{MountConfigInput, MountTableKind, UserLockoutConfigInput};

use super::super::mounting::tune::TuneFlags;
use crate::context::CommandContext;
use crate::error::CliResult;
use crate::flags::{DurationSeconds, parse_non_negative_duration};

/// Change an auth method's settings
#[derive(Args)]
#[command(after_help = "\
Settings that aren't given are unchanged. The duration \"system\" restores the server's default.

Example:
  strongroom auth tune -default-lease-ttl=1h userpass/")]
pub(crate) struct AuthTune {
    /// Description of the mount
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Type of the tokens it issues: service, batch, default-service or default-batch
    #[arg(long, value_name = "TYPE")]
    token_type: Option<String>,
    /// Failed logins after which a user is locked out
    #[arg(long, value_name = "COUNT")]
    user_lockout_threshold: Option<u64>,
    /// How long a user is locked out
    #[arg(long, value_name = "DURATION", value_parser = parse_non_negative_duration)]
    user_lockout_duration: Option<DurationSeconds>,
    /// Time after which failed logins are no longer counted
    #[arg(long, value_name = "DURATION", value_parser = parse_non_negative_duration)]
    user_lockout_counter_reset_duration: Option<DurationSeconds>,
    /// Disable user lockout
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    user_lockout_disable: Option<bool>,
    #[command(flatten)]
    flags: TuneFlags,
    #[arg(value_name = "PATH", help = "The mount path, relative to auth/")]
    arguments: Vec<String>,
}

impl AuthTune {
    pub(super) async fn run(self, context: &mut CommandContext) -> CliResult {
        let more = MountConfigInput {
            user_lockout_config: self.user_lockout_config(),
            description: self.description,
            token_type: self.token_type,
            ..MountConfigInput::default()
        };
        self.flags.tune(context, MountTableKind::Auth, &self.arguments, more).await
    }

    /// The lockout settings, if any flag sets one.
    fn user_lockout_config(&self) -> Option<UserLockoutConfigInput> {
        let text = |given: Option<DurationSeconds>| {
            given.and_then(DurationSeconds::non_negative).map(|seconds| format!("{seconds}s"))
        };
        let lockout = UserLockoutConfigInput {
            lockout_threshold: self.user_lockout_threshold.map(|count| count.to_string()),
            lockout_duration: text(self.user_lockout_duration),
            lockout_counter_reset_duration: text(self.user_lockout_counter_reset_duration),
            lockout_disable: self.user_lockout_disable,
        };
        (lockout != UserLockoutConfigInput::default()).then_some(lockout)
    }
}
