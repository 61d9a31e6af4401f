//! `auth help`

use clap::Args;
use strongroom_client::sys::mounts::MountTableKind;

use super::super::login::methods::{LOGIN_METHODS, LoginMethod};
use super::super::paths::mount_path;
use crate::context::CommandContext;
use crate::error::{CliError, CliResult, check_argument_count};
use crate::flags::HttpFlags;

/// Show how to log in with an auth method
#[derive(Args)]
#[command(after_help = "Examples:\n  strongroom auth help userpass\n  strongroom auth help staff/")]
pub(crate) struct AuthHelp {
    #[command(flatten)]
    http: HttpFlags,
    #[arg(value_name = "TYPE | PATH", help = "The type or the mount path of an auth method")]
    arguments: Vec<String>,
}

impl AuthHelp {
    pub(super) async fn run(self, context: &mut CommandContext) -> CliResult {
        check_argument_count(&self.arguments, 1, 1)?;
        let given = self.arguments.concat();
        if let Some(method) = LoginMethod::by_name(&given) {
            context.printer.line(method.help_text().trim_end());
            return Ok(());
        }
        let path = mount_path(&given);
        let client = context.client(&self.http)?;
        let mounted = client.list_mounts(MountTableKind::Auth).await;
        let mounted = mounted.map_err(CliError::from_api("Error listing auth methods"))?;
        let Some(mount) = mounted.get(&path) else {
            let text = format!("no auth method is mounted at {path}");
            return Err(CliError::local(text));
        };
        let Some(method) = LoginMethod::by_name(&mount.engine) else {
            let known = LOGIN_METHODS.map(|method| method.name).join(", ");
            return Err(CliError::remote(format!(
                "login can't use the auth method {:?}; it can use {known}",
                mount.engine
            )));
        };
        context.printer.line(method.help_text().trim_end());
        Ok(())
    }
}
