//! `kv rollback`

use clap::Args;

use super::target::{MountFlag, Target};
use super::{object, version, version_body};
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::flags::{Formatted, Http};

/// Write an older version of a key again, as its newest
#[derive(Args)]
#[command(after_help = "Example:\n  strongroom kv rollback -mount=secret -version=2 my-app")]
pub(crate) struct Rollback {
    /// The version to write again
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    version: u64,
    #[command(flatten)]
    mount: MountFlag,
    #[command(flatten)]
    http: Http,
    #[command(flatten)]
    output: Formatted,
    #[arg(value_name = "KEY", help = "The key")]
    arguments: Vec<String>,
}

impl Rollback {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        context.set_format_but_raw(&self.output)?;
        let [key] = self.arguments.as_slice() else {
            let got = self.arguments.len();
            let few = if got == 0 { "Not enough" } else { "Too many" };
            return Err(Failure::usage(format!("{few} arguments (expected 1, got {got})")));
        };
        if self.version == 0 {
            return Err(Failure::usage("-version is missing: name the version to write again"));
        }
        let client = context.client(&self.http)?;
        let target = Target::find(&client, &self.mount, key).await?;
        let no_versions = "this mount is version 1 of KV, which keeps no older versions";
        let path = target.with_versions(Failure::remote(no_versions))?.path("data");
        let nothing = || Failure::nothing_at(&path);

        // What is written must replace what is the newest version now, and nothing newer.
        let doing = format!("Error reading {path}");
        let newest = client.read(&path, &[]).await.map_err(Failure::call(&doing))?;
        let newest = version(&newest.ok_or_else(nothing)?).ok_or_else(|| {
            Failure::remote(format!("the version of {path} can't be told from the answer"))
        })?;

        let query = [("version".to_owned(), self.version.to_string())];
        let older = client.read(&path, &query).await.map_err(Failure::call(&doing))?;
        let data = object(&older.ok_or_else(nothing)?, "data").ok_or_else(|| {
            Failure::remote(format!(
                "version {} of {path} has been deleted or destroyed",
                self.version
            ))
        })?;
        let body = version_body(&data, Some(newest));
        super::write(&client, &mut context.printer, &path, &body).await
    }
}
