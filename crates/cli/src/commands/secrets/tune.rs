//! `secrets tune`

use clap::Args;
use strongroom_client::sys::mounts::MountSettings;

use super::super::mount_path;
use super::{list_flag, options};
use crate::context::Context;
use crate::failure::{Failure, Outcome, expect_count};
use crate::flags::{Http, Seconds, duration, pair};

/// Change a mount's settings
#[derive(Args)]
#[command(after_help = "\
What isn't named stays. A duration of \"system\" goes back to the server's own.

Example:
  strongroom secrets tune -default-lease-ttl=1h custom/")]
pub(crate) struct Tune {
    /// How long its leases last by default
    #[arg(long, value_name = "DURATION", value_parser = duration, allow_hyphen_values = true)]
    default_lease_ttl: Option<Seconds>,
    /// How long its leases last at most
    #[arg(long, value_name = "DURATION", value_parser = duration, allow_hyphen_values = true)]
    max_lease_ttl: Option<Seconds>,
    /// For people
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Request field that the audit log shows as it is; repeatable
    #[arg(long, value_name = "FIELD")]
    audit_non_hmac_request_keys: Vec<String>,
    /// Answer field that the audit log shows as it is; repeatable
    #[arg(long, value_name = "FIELD")]
    audit_non_hmac_response_keys: Vec<String>,
    /// Who sees it in the list that user interfaces show: hidden or unauth
    #[arg(long, value_name = "VISIBILITY")]
    listing_visibility: Option<String>,
    /// Header that is passed on to the engine; repeatable
    #[arg(long, value_name = "HEADER")]
    passthrough_request_headers: Vec<String>,
    /// Header that the engine may set; repeatable
    #[arg(long, value_name = "HEADER")]
    allowed_response_headers: Vec<String>,
    /// Setting of the engine's own; repeatable
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    options: Vec<(String, String)>,
    /// The engine's version, where it has several
    #[arg(long, value_name = "VERSION")]
    version: Option<u32>,
    /// The plug-in's version, from the next reload on
    #[arg(long, value_name = "VERSION")]
    plugin_version: Option<String>,
    #[command(flatten)]
    http: Http,
    #[arg(value_name = "PATH", help = "Where it is mounted")]
    arguments: Vec<String>,
}

impl Tune {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        expect_count(&self.arguments, 1, 1)?;
        let path = mount_path(&self.arguments.concat());
        let client = context.client(&self.http)?;
        let options = options(self.options, self.version);
        let settings = MountSettings {
            default_lease_ttl: self.default_lease_ttl.and_then(Seconds::to_api),
            max_lease_ttl: self.max_lease_ttl.and_then(Seconds::to_api),
            description: self.description,
            options: (!options.is_empty()).then_some(options),
            audit_non_hmac_request_keys: list_flag(self.audit_non_hmac_request_keys),
            audit_non_hmac_response_keys: list_flag(self.audit_non_hmac_response_keys),
            listing_visibility: self.listing_visibility,
            passthrough_request_headers: list_flag(self.passthrough_request_headers),
            allowed_response_headers: list_flag(self.allowed_response_headers),
            plugin_version: self.plugin_version,
            ..MountSettings::default()
        };
        let doing = format!("Error tuning secrets engine {path}");
        let answer = client.tune_mount(&path, &settings).await.map_err(Failure::call(&doing))?;
        if let Some(answer) = answer {
            context.printer.warnings(&answer);
        }
        context.printer.line(&format!("Success! Tuned the secrets engine at: {path}"));
        Ok(())
    }
}
