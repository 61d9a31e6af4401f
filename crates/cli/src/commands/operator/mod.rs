//! `operator`

mod init;
mod key_status;
mod seal;
mod step_down;
mod unseal;

use clap::Subcommand;
use strongroom_client::Client;
use strongroom_client::sys::seal::{Leader, SealStatus};

use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::output::seal_status::Status;

/// Initialise, unseal and seal the server
#[derive(Subcommand)]
#[command(defer = true)]
pub(crate) enum Operator {
    Init(Box<init::Init>),
    KeyStatus(Box<key_status::KeyStatus>),
    Seal(Box<seal::Seal>),
    StepDown(Box<step_down::StepDown>),
    Unseal(Box<unseal::Unseal>),
}

impl Operator {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        match self {
            Self::Init(command) => command.run(context).await,
            Self::KeyStatus(command) => command.run(context).await,
            Self::Seal(command) => command.run(context).await,
            Self::StepDown(command) => command.run(context).await,
            Self::Unseal(command) => command.run(context).await,
        }
    }
}

/// The seal's status together with who leads. A sealed node of several can't say who leads.
pub(super) async fn whole_status(client: &Client, seal: SealStatus) -> Outcome<Status> {
    let leader = match client.leader().await {
        Err(error) if error.status() == Some(503) => {
            Leader { ha_enabled: true, ..Leader::default() }
        }
        other => other.map_err(Failure::call("Error checking leader status"))?,
    };
    Ok(Status::new(seal, leader))
}
