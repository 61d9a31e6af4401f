//! `plugin docs`
//!
//! - [`page`]: the Markdown page, from the OpenAPI document of a mount
//! - [`temporary_server`]: a server in this process, which a program is mounted in

mod page;
mod temporary_server;

use std::path::Path;

use clap::Args;
use serde_json::Value;
use strongroom_client::sys::help::PathHelpResponse;

use self::page::{DescribedPlugin, PluginPlace};
use super::super::paths::{clean_path, expand_home};
use crate::context::CommandContext;
use crate::error::{CliError, CliResult, check_argument_count};
use crate::flags::HttpFlags;

/// Write the guide and the API reference of a plug-in, as Markdown
#[derive(Args)]
#[command(after_help = "\
Describes what the plug-in itself declares: paths, operations, and fields with their types and defaults. That works for
plug-ins of every SDK. A program is started in a temporary server in memory. A name that is both a file and a mount is
the file, unless it ends in a slash. Auth methods are mounted below auth/.

Examples:
  strongroom plugin docs target/release/acme-tokens > docs/acme-tokens.md
  strongroom plugin docs custom/
  strongroom plugin docs auth/staff/")]
pub(crate) struct PluginDocs {
    #[command(flatten)]
    http: HttpFlags,
    #[arg(value_name = "PROGRAM|MOUNT", help = "A plug-in's file, or the path of a mount")]
    arguments: Vec<String>,
}

impl PluginDocs {
    pub(super) async fn run(self, context: &mut CommandContext) -> CliResult {
        check_argument_count(&self.arguments, 1, 1)?;
        let given = self.arguments.concat();
        let file = expand_home(&given, &context.environment);
        let page = match file.is_file() {
            true => describe_program(&file).await?,
            false => {
                let mount = clean_path(&given);
                let mount = mount.trim_matches('/');
                let client = context.client(&self.http)?;
                let help = client.path_help(&format!("{mount}/")).await;
                let help = help.map_err(CliError::from_api("Error retrieving help"))?;
                page_from_help(mount, PluginPlace::Mount(mount), &help)?
            }
        };
        context.printer.line(page.trim_end());
        Ok(())
    }
}

/// Starts the program in a temporary server and describes it.
async fn describe_program(file: &Path) -> CliResult<String> {
    let described = temporary_server::describe_plugin(file).await.map_err(|reason| {
        CliError::local(format!("{} can't be described: {reason}", file.display()))
    })?;
    let is_auth = described.is_auth_method;
    page_from_help(&described.name, PluginPlace::Program { is_auth }, &described.help)
}

fn page_from_help(
    name: &str,
    place: PluginPlace<'_>,
    help: &PathHelpResponse,
) -> CliResult<String> {
    let document = help.openapi.as_ref().map_or("null", |document| document.get());
    let openapi: Value = serde_json::from_str(document).unwrap_or(Value::Null);
    if openapi.get("paths").and_then(Value::as_object).is_none_or(serde_json::Map::is_empty) {
        return Err(CliError::remote(format!(
            "{name} describes none of its paths: it has no OpenAPI document"
        )));
    }
    Ok(page::render(&DescribedPlugin { name, place, help: &help.help, openapi: &openapi }))
}
