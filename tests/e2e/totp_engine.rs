//! The engine for one-time passwords, built in and under a real Vault or OpenBao server.

use serde_json::json;
use strongroom_testkit::{ApiClient, ServerFolder};

use crate::peers::{PeerServer, Plugin};

/// A key is generated at `ours/`, imported elsewhere by its URL, and a code of the one is valid for
/// the other, once. Returns the texts that must not be in a log.
async fn validate_codes(api: &ApiClient) -> Vec<String> {
    let body = json!({ "generate": true, "issuer": "Example", "account_name": "bob@example.com" });
    let made = api.write("ours/keys/bob", body).await.assert_ok();
    assert!(made.text_at("data/barcode").starts_with("iVBOR"), "a PNG image");
    let url = made.text_at("data/url");
    api.write("ours/keys/app", json!({ "url": url })).await.assert_ok();
    let read = api.read("ours/keys/app").await.assert_ok();
    assert_eq!(
        read.body["data"],
        json!({
            "account_name": "bob@example.com", "algorithm": "SHA1", "digits": 6,
            "issuer": "Example", "period": 30,
        })
    );
    let code = api.read("ours/code/app").await.assert_ok().text_at("data/code");
    let valid = api.write("ours/code/bob", json!({ "code": code })).await.assert_ok();
    assert_eq!(valid.body["data"]["valid"], true);
    let again = api.write("ours/code/bob", json!({ "code": code })).await;
    let used = "code already used; wait until the next time period";
    assert_eq!((again.status, again.text_at("errors/0")), (400, used.into()));
    let secret = url.rsplit_once("secret=").unwrap().1.to_owned();
    vec![secret, url]
}

#[tokio::test]
async fn codes_are_valid_once_under_our_server() {
    let mut site = ServerFolder::new("");
    let (server, api) = site.start_unsealed().await;
    api.write("sys/mounts/ours", json!({ "type": "totp" })).await.assert_ok();
    let secrets = validate_codes(&api).await;
    assert_eq!(server.stop().await, Some(0));
    let log = site.read_log();
    assert!(secrets.iter().all(|secret| !log.contains(secret)), "{log}");
}

#[tokio::test]
async fn codes_are_valid_once_under_a_real_peer() {
    let plugin = Plugin {
        kind: "secret",
        name: "our-totp",
        binary: "strongroom-engine-totp",
        version: "v1.0.0",
        path: "ours",
    };
    let test = "codes_are_valid_once_under_a_real_peer";
    let Some(peer) = PeerServer::start(test, plugin).await else { return };
    let secrets = validate_codes(&peer.api).await;
    peer.reload().await;
    peer.api.read("ours/keys/bob").await.assert_ok();
    peer.unmount().await;
    let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
    peer.remove(&secrets).await;
}
