//! The `api-token` engine at `custom/`, as a plug-in process.

use serde_json::json;
use strongroom_testkit::programs::program_path;
use strongroom_testkit::{ApiClient, ExternalTokenService, ServerFolder};

pub(crate) const ENGINE: &str = "strongroom-engine-api-token";

/// Registers the engine, enables it and configures a role `dev`.
pub(crate) async fn enable_engine(
    site: &ServerFolder,
    api: &ApiClient,
    outside: &ExternalTokenService,
    timeout: &str,
) {
    register_engine(site, api, ENGINE).await;
    api.write("sys/mounts/custom", json!({ "type": "api-token" })).await.assert_ok();
    configure_engine(api, outside, timeout).await;
}

/// Registers one of the engine's binaries under the version it reports.
pub(crate) async fn register_engine(site: &ServerFolder, api: &ApiClient, binary: &str) {
    let sha256 = site.install_plugin(&program_path(binary));
    let body = json!({ "sha256": sha256, "command": binary });
    api.write("sys/plugins/catalog/secret/api-token", body).await.assert_ok();
}

pub(crate) async fn configure_engine(
    api: &ApiClient,
    outside: &ExternalTokenService,
    timeout: &str,
) {
    let config = json!({
        "api_endpoint": outside.url(),
        "api_key": outside.api_key(),
        "request_timeout": timeout,
    });
    api.write("custom/config", config).await.assert_ok();
    let role = json!({ "permissions": ["read"], "ttl": "1h", "max_ttl": "24h" });
    api.write("custom/roles/dev", role).await.assert_ok();
}

/// The leases of credentials of the role.
pub(crate) async fn list_leases(api: &ApiClient) -> Vec<String> {
    api.list("sys/leases/lookup/custom/creds/dev").await.list_keys()
}
