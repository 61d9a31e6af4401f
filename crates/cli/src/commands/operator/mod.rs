//! `operator`

mod init;
mod key_status;
mod seal;
mod step_down;
mod unseal;

use clap::Subcommand;
use strongroom_client::Client;
use strongroom_client::sys::seal::{LeaderStatus, SealStatus};

use super::group::run_given_command;
use crate::error::{CliError, CliResult};
use crate::output::seal_status::ServerStatus;

/// Initialise, unseal and seal the server
#[derive(Subcommand)]
#[command(defer = true)]
pub(crate) enum OperatorCommand {
    Init(Box<init::OperatorInit>),
    KeyStatus(Box<key_status::OperatorKeyStatus>),
    Seal(Box<seal::OperatorSeal>),
    StepDown(Box<step_down::OperatorStepDown>),
    Unseal(Box<unseal::OperatorUnseal>),
}

run_given_command!(OperatorCommand: Init, KeyStatus, Seal, StepDown, Unseal);

/// The seal status and the HA status. A sealed node of a cluster doesn't know the active node.
pub(super) async fn status_with_leader(
    client: &Client,
    seal: SealStatus,
) -> CliResult<ServerStatus> {
    let leader = match client.leader().await {
        Err(error) if error.status() == Some(503) => {
            LeaderStatus { ha_enabled: true, ..LeaderStatus::default() }
        }
        other => other.map_err(CliError::from_api("Error checking leader status"))?,
    };
    Ok(ServerStatus::new(seal, leader))
}
