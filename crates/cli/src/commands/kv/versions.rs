//! `kv undelete` and `kv destroy`: what is done to versions by their numbers.

use clap::Args;
use strongroom_types::Fields;

use super::target::{MountFlag, Target};
use crate::context::Context;
use crate::failure::{Failure, Outcome, expect_count};
use crate::flags::{Formatted, Http};

/// Bring deleted versions of a key back
#[derive(Args)]
#[command(after_help = "Example:\n  strongroom kv undelete -mount=secret -versions=3 my-app")]
pub(crate) struct Undelete {
    #[command(flatten)]
    versions: Versions,
}

/// Destroy versions of a key, for good
#[derive(Args)]
#[command(after_help = "Example:\n  strongroom kv destroy -mount=secret -versions=3 my-app")]
pub(crate) struct Destroy {
    #[command(flatten)]
    versions: Versions,
}

impl Undelete {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        self.versions.run(context, "undelete").await
    }
}

impl Destroy {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        self.versions.run(context, "destroy").await
    }
}

#[derive(Args)]
struct Versions {
    /// The versions; repeatable, or several with commas
    #[arg(long, value_name = "NUMBERS")]
    versions: Vec<String>,
    #[command(flatten)]
    mount: MountFlag,
    #[command(flatten)]
    http: Http,
    #[command(flatten)]
    output: Formatted,
    #[arg(value_name = "KEY", help = "The key")]
    arguments: Vec<String>,
}

impl Versions {
    async fn run(self, context: &mut Context, verb: &str) -> Outcome {
        context.set_format_but_raw(&self.output)?;
        expect_count(&self.arguments, 1, 1)?;
        let versions = numbers(&self.versions);
        if versions.is_empty() {
            return Err(Failure::usage(format!(
                "-versions is missing: name the versions to {verb}"
            )));
        }
        let client = context.client(&self.http)?;
        let target = Target::find(&client, &self.mount, &self.arguments.concat()).await?;
        let no_versions = "this mount is version 1 of KV, which keeps no older versions";
        let path = target.with_versions(Failure::local(no_versions))?.path(verb);
        let mut body = Fields::new();
        body.set("versions", &versions);
        super::write(&client, &mut context.printer, &path, &body).await
    }
}

/// Numbers of versions, as they were typed.
pub(super) fn numbers(given: &[String]) -> Vec<&str> {
    let all = given.iter().flat_map(|numbers| numbers.split(','));
    all.map(str::trim).filter(|number| !number.is_empty()).collect()
}
