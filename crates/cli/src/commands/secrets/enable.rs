//! `secrets enable`

use clap::Args;
use strongroom_client::sys::mounts::{MountRequest, MountSettings};

use super::super::mount_path;
use super::{list_flag, options};
use crate::context::Context;
use crate::failure::{Failure, Outcome, expect_count};
use crate::flags::{Http, Seconds, duration, pair};

/// Mount a secrets engine
#[derive(Args)]
#[command(after_help = "\
Examples:
  strongroom secrets enable -path=kv -version=1 kv
  strongroom secrets enable -path=custom -plugin-name=custom-plugin plugin")]
pub(crate) struct Enable {
    /// For people
    #[arg(long, value_name = "TEXT", default_value = "")]
    description: String,
    /// Where to mount it; the engine's type by default
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
    /// How long its leases last by default
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    default_lease_ttl: Option<Seconds>,
    /// How long its leases last at most
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    max_lease_ttl: Option<Seconds>,
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
    /// Cache nothing of it
    #[arg(long)]
    force_no_cache: bool,
    /// A plug-in of the catalog, for the type "plugin"
    #[arg(long, value_name = "NAME", default_value = "")]
    plugin_name: String,
    /// The plug-in's version; by default the newest, and later newer ones on reload
    #[arg(long, value_name = "VERSION")]
    plugin_version: Option<String>,
    /// Setting of the engine's own; repeatable
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    options: Vec<(String, String)>,
    /// Keep it on this cluster
    #[arg(long)]
    local: bool,
    /// Have the seal wrap its most secret values once more
    #[arg(long)]
    seal_wrap: bool,
    /// Let it use an outside source of chance
    #[arg(long)]
    external_entropy_access: bool,
    /// The engine's version, where it has several
    #[arg(long, value_name = "VERSION")]
    version: Option<u32>,
    #[command(flatten)]
    http: Http,
    #[arg(value_name = "TYPE", help = "The engine, or \"plugin\"")]
    arguments: Vec<String>,
}

impl Enable {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        expect_count(&self.arguments, 1, 1)?;
        let mut engine = self.arguments.concat().trim().to_owned();
        if engine == "plugin" {
            engine.clone_from(&self.plugin_name);
        }
        let path = self.path.filter(|path| !path.is_empty());
        let path = mount_path(path.as_deref().unwrap_or(&engine));
        let version = self.plugin_version.clone().map(|version| format!(" version {version}"));
        let client = context.client(&self.http)?;
        let request = MountRequest {
            engine: engine.clone(),
            description: self.description,
            config: MountSettings {
                default_lease_ttl: self.default_lease_ttl.and_then(Seconds::to_api),
                max_lease_ttl: self.max_lease_ttl.and_then(Seconds::to_api),
                force_no_cache: self.force_no_cache.then_some(true),
                audit_non_hmac_request_keys: list_flag(self.audit_non_hmac_request_keys),
                audit_non_hmac_response_keys: list_flag(self.audit_non_hmac_response_keys),
                listing_visibility: self.listing_visibility,
                passthrough_request_headers: list_flag(self.passthrough_request_headers),
                allowed_response_headers: list_flag(self.allowed_response_headers),
                plugin_version: self.plugin_version,
                ..MountSettings::default()
            },
            options: options(self.options, self.version),
            local: self.local,
            seal_wrap: self.seal_wrap,
            external_entropy_access: self.external_entropy_access,
        };
        client.mount(&path, &request).await.map_err(Failure::call("Error enabling"))?;
        let version = version.unwrap_or_default();
        let text = format!("Success! Enabled the {engine} secrets engine{version} at: {path}");
        context.printer.line(&text);
        Ok(())
    }
}
