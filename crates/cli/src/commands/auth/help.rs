//! `auth help`

use clap::Args;
use strongroom_client::sys::mounts::Table;

use super::super::login::methods::{METHODS, Method};
use super::super::mount_path;
use crate::context::Context;
use crate::failure::{Failure, Outcome, expect_count};
use crate::flags::Http;

/// Say how to log in with an auth method
#[derive(Args)]
#[command(after_help = "Examples:\n  strongroom auth help userpass\n  strongroom auth help staff/")]
pub(crate) struct Help {
    #[command(flatten)]
    http: Http,
    #[arg(value_name = "TYPE | PATH", help = "A type, or where a method is mounted")]
    arguments: Vec<String>,
}

impl Help {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        expect_count(&self.arguments, 1, 1)?;
        let given = self.arguments.concat();
        if let Some(method) = Method::named(&given) {
            context.printer.line(method.help().trim_end());
            return Ok(());
        }
        let path = mount_path(&given);
        let client = context.client(&self.http)?;
        let mounted = client.mounts(Table::Auth).await;
        let mounted = mounted.map_err(Failure::call("Error listing auth methods"))?;
        let Some(mount) = mounted.get(&path) else {
            let text = format!("no auth method is mounted at {path}");
            return Err(Failure::local(text));
        };
        let Some(method) = Method::named(&mount.engine) else {
            let known = METHODS.map(|method| method.name).join(", ");
            return Err(Failure::remote(format!(
                "login can't use the auth method {:?}; it can use {known}",
                mount.engine
            )));
        };
        context.printer.line(method.help().trim_end());
        Ok(())
    }
}
