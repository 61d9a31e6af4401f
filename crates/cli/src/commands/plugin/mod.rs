//! `plugin`

mod deregister;
mod docs;
mod info;
mod list;
mod new;
mod register;
mod reload;

use clap::Subcommand;

use super::group::run_given_command;
use crate::error::{CliError, CliResult};

/// Manage the plug-in catalog
#[derive(Subcommand)]
#[command(defer = true)]
pub(crate) enum PluginCommand {
    Deregister(Box<deregister::PluginDeregister>),
    Docs(Box<docs::PluginDocs>),
    Info(Box<info::PluginInfo>),
    List(Box<list::PluginList>),
    New(Box<new::PluginNew>),
    Register(Box<register::PluginRegister>),
    Reload(Box<reload::PluginReload>),
}

run_given_command!(PluginCommand: Deregister, Docs, Info, List, New, Register, Reload);

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
