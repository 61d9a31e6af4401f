//! `plugin`

mod deregister;
mod info;
mod list;
mod register;
mod reload;

use clap::Subcommand;

use crate::context::CommandContext;
use crate::error::{CliError, CliResult};

/// Manage the plug-in catalog
#[derive(Subcommand)]
#[command(defer = true)]
pub(crate) enum PluginCommand {
    Deregister(Box<deregister::PluginDeregister>),
    Info(Box<info::PluginInfo>),
    List(Box<list::PluginList>),
    Register(Box<register::PluginRegister>),
    Reload(Box<reload::PluginReload>),
}

impl PluginCommand {
    pub(super) async fn run(self, context: &mut CommandContext) -> CliResult {
        match self {
            Self::Deregister(command) => command.run(context).await,
            Self::Info(command) => command.run(context).await,
            Self::List(command) => command.run(context).await,
            Self::Register(command) => command.run(context).await,
            Self::Reload(command) => command.run(context).await,
        }
    }
}

/// Parses the type and name of a plug-in; the type is optional, as in old versions of Vault.
fn type_and_name(arguments: &[String]) -> CliResult<(String, String)> {
    let (kind, name) = match arguments {
        [name] => ("unknown", name),
        [kind, name] => (kind.as_str(), name),
        [] => return Err(CliError::usage("Not enough arguments (expected 1 or 2, got 0)")),
        more => {
            let got = more.len();
            return Err(CliError::usage(format!(
                "Too many arguments (expected 1 or 2, got {got})"
            )));
        }
    };
    Ok((checked_type(kind)?, name.clone()))
}

fn checked_type(kind: &str) -> CliResult<String> {
    match kind {
        kind @ ("unknown" | "auth" | "database" | "secret") => Ok(kind.to_owned()),
        other => Err(CliError::remote(format!(
            "a plug-in is of type auth, database or secret, not {other:?}"
        ))),
    }
}
