//! The `api-token` engine at `custom/`, as a plug-in process.

use serde_json::json;
use strongroom_testkit::programs::program;
use strongroom_testkit::{Api, Outside, Site};

pub(crate) const ENGINE: &str = "strongroom-engine-api-token";

/// Registers the engine, enables it and configures a role `dev`.
pub(crate) async fn enable(site: &Site, api: &Api, outside: &Outside, timeout: &str) {
    register(site, api, ENGINE).await;
    api.write("sys/mounts/custom", json!({ "type": "api-token" })).await.ok();
    configure(api, outside, timeout).await;
}

/// Registers one of the engine's binaries under the version it reports.
pub(crate) async fn register(site: &Site, api: &Api, binary: &str) {
    let sha256 = site.install(&program(binary));
    let body = json!({ "sha256": sha256, "command": binary });
    api.write("sys/plugins/catalog/secret/api-token", body).await.ok();
}

pub(crate) async fn configure(api: &Api, outside: &Outside, timeout: &str) {
    let config = json!({
        "api_endpoint": outside.url(),
        "api_key": outside.key(),
        "request_timeout": timeout,
    });
    api.write("custom/config", config).await.ok();
    let role = json!({ "permissions": ["read"], "ttl": "1h", "max_ttl": "24h" });
    api.write("custom/roles/dev", role).await.ok();
}

/// The leases of credentials of the role.
pub(crate) async fn leases(api: &Api) -> Vec<String> {
    api.list("sys/leases/lookup/custom/creds/dev").await.keys()
}
