//! `kv undelete` and `kv destroy`: operations on versions by their numbers.

use clap::Args;
use strongroom_types::Fields;

use super::outcome::print_written;
use super::target::{KvTarget, MountFlag};
use crate::context::CommandContext;
use crate::error::{CliError, CliResult, check_argument_count};
use crate::flags::{FormatFlag, HttpFlags};

/// Restore deleted versions of a key
#[derive(Args)]
#[command(after_help = "Example:\n  strongroom kv undelete -mount=secret -versions=3 my-app")]
pub(crate) struct KvUndelete {
    #[command(flatten)]
    versions: KvVersionFlags,
}

/// Destroy versions of a key permanently
#[derive(Args)]
#[command(after_help = "Example:\n  strongroom kv destroy -mount=secret -versions=3 my-app")]
pub(crate) struct KvDestroy {
    #[command(flatten)]
    versions: KvVersionFlags,
}

impl KvUndelete {
    pub(super) async fn run(self, context: &mut CommandContext) -> CliResult {
        self.versions.run(context, "undelete").await
    }
}

impl KvDestroy {
    pub(super) async fn run(self, context: &mut CommandContext) -> CliResult {
        self.versions.run(context, "destroy").await
    }
}

#[derive(Args)]
struct KvVersionFlags {
    /// The versions; repeatable, or several with commas
    #[arg(long, value_name = "NUMBERS")]
    versions: Vec<String>,
    #[command(flatten)]
    mount: MountFlag,
    #[command(flatten)]
    http: HttpFlags,
    #[command(flatten)]
    output: FormatFlag,
    #[arg(value_name = "KEY", help = "The key")]
    arguments: Vec<String>,
}

impl KvVersionFlags {
    async fn run(self, context: &mut CommandContext, verb: &str) -> CliResult {
        context.set_format_except_raw(&self.output)?;
        check_argument_count(&self.arguments, 1, 1)?;
        let versions = parse_version_numbers(&self.versions);
        if versions.is_empty() {
            return Err(CliError::usage(format!(
                "-versions is missing: name the versions to {verb}"
            )));
        }
        let client = context.client(&self.http)?;
        let target = KvTarget::resolve(&client, &self.mount, &self.arguments.concat()).await?;
        let no_versions = "this mount is version 1 of KV, which keeps no older versions";
        let path = target.require_versioned(CliError::local(no_versions))?.api_path(verb);
        let mut body = Fields::new();
        body.set("versions", &versions);
        print_written(&mut context.printer, &path, client.write(&path, &body).await)
    }
}

/// The version numbers, as they were typed.
pub(super) fn parse_version_numbers(given: &[String]) -> Vec<&str> {
    let all = given.iter().flat_map(|numbers| numbers.split(','));
    all.map(str::trim).filter(|number| !number.is_empty()).collect()
}
