//! vaultrs, a Rust client that decodes strictly: a field that is missing or of another type is an
//! error there.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};
use strongroom_testkit::ServerFolder;
use strongroom_testkit::features::FeatureList;
use strongroom_testkit::programs::print_to_stderr;
use strongroom_testkit::wait::wait_until;
use vaultrs::api::ResponseWrapper;
use vaultrs::api::token::requests::CreateTokenRequest;
use vaultrs::client::{Client, VaultClient, VaultClientSettingsBuilder};
use vaultrs::error::ClientError;
use vaultrs::{cubbyhole, kv1, kv2, sys, token};

const TIMEOUT: Duration = Duration::from_secs(20);
const READER_POLICY: &str = "path \"rust/*\" { capabilities = [\"read\"] }\n";

#[tokio::test]
async fn vaultrs_drives_the_server() {
    let site = ServerFolder::new("");
    let server = site.start_sealed().await;
    let address = server.api_with_token("").address().to_owned();
    let root = initialise_and_unseal(&address).await;
    check_mounts(&root).await;
    check_kv_v1(&root).await;
    check_policies(&root).await;
    check_tokens(&address, &root).await;
    let features = FeatureList::load();
    for (feature, what) in [
        ("auth-mounts", "auth methods"),
        ("cubbyhole", "the cubbyhole"),
        ("kv2", "KV version 2"),
        ("remount", "a mount moves"),
        ("token-roles", "roles for tokens"),
        ("wrapping", "wrapping"),
    ] {
        if !features.is_built(feature) {
            print_to_stderr(&format!("awaits {feature}: {what}"));
            continue;
        }
        match feature {
            "auth-mounts" => check_auth_methods(&root).await,
            "cubbyhole" => check_cubbyhole(&root).await,
            "kv2" => check_kv_v2(&root).await,
            "remount" => check_remount(&root).await,
            "token-roles" => check_token_roles(&root).await,
            _ => check_response_wrapping(&root).await,
        }
    }
    sys::seal(&root).await.unwrap();
    assert!(matches!(root.status().await.unwrap(), sys::ServerStatus::SEALED));
    assert_eq!(server.stop().await, Some(0));
}

fn new_client(address: &str, token: &str) -> VaultClient {
    let mut settings = VaultClientSettingsBuilder::default();
    let settings = settings.address(address).token(token).build().unwrap();
    let mut client = VaultClient::new(settings).unwrap();
    // A server of this machine is asked directly, whatever the environment says of proxies.
    client.http.http = reqwest::Client::builder().no_proxy().build().unwrap();
    client
}

fn error_status<T: std::fmt::Debug>(answer: Result<T, ClientError>) -> u16 {
    match answer {
        Err(ClientError::APIError { code, .. }) => code,
        other => panic!("want an error of the server, got {other:?}"),
    }
}

async fn initialise_and_unseal(address: &str) -> VaultClient {
    let new = new_client(address, "");
    assert!(matches!(new.status().await.unwrap(), sys::ServerStatus::UNINITIALIZED));
    let made = sys::start_initialization(&new, 3, 2, None).await.unwrap();
    assert!(matches!(new.status().await.unwrap(), sys::ServerStatus::SEALED));
    let first = sys::unseal(&new, Some(made.keys[0].clone()), None, None).await.unwrap();
    assert_eq!((first.sealed, first.progress), (true, 1));
    let second = sys::unseal(&new, Some(made.keys_base64[2].clone()), None, None).await.unwrap();
    assert!(!second.sealed && second.cluster_id.is_some());
    let root = new_client(address, &made.root_token);
    wait_until("active", TIMEOUT, || async {
        matches!(root.status().await, Ok(sys::ServerStatus::OK)).then_some(())
    })
    .await;
    let health = sys::health(&root).await.unwrap();
    assert!(health.initialized && !health.sealed && !health.performance_standby);
    root
}

async fn check_mounts(root: &VaultClient) {
    let mut options = sys_options("1");
    sys::mount::enable(root, "rust", "kv", Some(&mut options)).await.unwrap();
    let listed = sys::mount::list(root).await.unwrap();
    assert_eq!(listed["rust/"].mount_type, "kv");
    assert_eq!(listed["rust/"].options.as_ref().unwrap()["version"], "1");
    assert_eq!(listed["sys/"].mount_type, "system");
    let one = sys::mount::get_configuration_of_a_secret_engine(root, "rust").await.unwrap();
    assert_eq!(one.uuid, listed["rust/"].uuid);
    assert_eq!(error_status(sys::mount::enable(root, "rust", "kv", None).await), 400);
    assert_eq!(sys::auth::list(root).await.unwrap()["token/"].mount_type, "token");
    let mut options = sys_options("1");
    sys::mount::enable(root, "rust-gone", "kv", Some(&mut options)).await.unwrap();
    sys::mount::disable(root, "rust-gone").await.unwrap();
    assert!(!sys::mount::list(root).await.unwrap().contains_key("rust-gone/"));
}

fn sys_options(version: &str) -> vaultrs::api::sys::requests::EnableEngineRequestBuilder {
    let mut request = vaultrs::api::sys::requests::EnableEngineRequest::builder();
    request.options(HashMap::from([("version".to_owned(), version.to_owned())]));
    request
}

async fn check_kv_v1(root: &VaultClient) {
    let value =
        HashMap::from([("text", json!("ü <&>")), ("number", json!(17)), ("none", json!(null))]);
    kv1::set(root, "rust", "folder/a", &value).await.unwrap();
    let read: HashMap<String, Value> = kv1::get(root, "rust", "folder/a").await.unwrap();
    assert_eq!((&read["text"], &read["number"]), (&value["text"], &value["number"]));
    let raw = kv1::get_raw(root, "rust", "folder/a").await.unwrap();
    assert_eq!((raw.lease_duration, raw.renewable), (2_764_800, false));
    assert_eq!(kv1::list(root, "rust", "folder").await.unwrap().data.keys, ["a"]);
    kv1::delete(root, "rust", "folder/a").await.unwrap();
    assert_eq!(error_status(kv1::get_raw(root, "rust", "folder/a").await), 404);
}

async fn check_policies(root: &VaultClient) {
    sys::policy::set(root, "rust-reader", READER_POLICY).await.unwrap();
    let read = sys::policy::read(root, "rust-reader").await.unwrap();
    assert_eq!((&*read.name, &*read.rules), ("rust-reader", READER_POLICY));
    let listed = sys::policy::list(root).await.unwrap().policies;
    assert!(listed.contains(&"rust-reader".to_owned()), "{listed:?}");
    sys::policy::set(root, "rust-gone", READER_POLICY).await.unwrap();
    sys::policy::delete(root, "rust-gone").await.unwrap();
    assert_eq!(error_status(sys::policy::read(root, "rust-gone").await), 404);
}

async fn check_tokens(address: &str, root: &VaultClient) {
    let mut asked = CreateTokenRequest::builder();
    asked.policies(vec!["rust-reader".to_owned()]).ttl("1h");
    let made = token::new(root, Some(&mut asked)).await.unwrap();
    assert_eq!(made.policies, ["default", "rust-reader"]);
    assert_eq!((made.lease_duration, made.renewable), (3600, true));
    let found = token::lookup(root, &made.client_token).await.unwrap();
    assert_eq!((&*found.path, found.orphan), ("auth/token/create", false));
    assert_eq!(token::lookup_accessor(root, &made.accessor).await.unwrap().id, "");
    let own = new_client(address, &made.client_token);
    assert_eq!(own.lookup().await.unwrap().accessor, made.accessor);
    assert_eq!(error_status(kv1::list(&own, "rust", "").await), 403);
    let renewed = token::renew(root, &made.client_token, Some("2h")).await.unwrap();
    assert_eq!(renewed.lease_duration, 7200);
    let renewed = token::renew_accessor(root, &made.accessor, Some("20m")).await.unwrap();
    assert_eq!(renewed.lease_duration, 1200);
    assert_eq!(own.renew(Some("10m")).await.unwrap().lease_duration, 600);
    assert!(token::new_orphan(root, None).await.unwrap().orphan);
    own.revoke().await.unwrap();
    assert_eq!(error_status(own.lookup().await), 403);
    token::revoke(root, "no-such-token").await.unwrap();
}

async fn check_auth_methods(root: &VaultClient) {
    sys::auth::enable(root, "rust-people", "userpass", None).await.unwrap();
    let listed = sys::auth::list(root).await.unwrap();
    assert_eq!(listed["rust-people/"].config.token_type, "default-service");
    sys::auth::disable(root, "rust-people").await.unwrap();
}

async fn check_cubbyhole(root: &VaultClient) {
    cubbyhole::set(root, "cubbyhole", "a", &HashMap::from([("v", "1")])).await.unwrap();
    let read: HashMap<String, String> = cubbyhole::get(root, "cubbyhole", "a").await.unwrap();
    assert_eq!(read["v"], "1");
    assert_eq!(cubbyhole::list(root, "cubbyhole", "").await.unwrap().data.keys, ["a"]);
    cubbyhole::delete(root, "cubbyhole", "a").await.unwrap();
}

async fn check_kv_v2(root: &VaultClient) {
    let mut options = sys_options("2");
    sys::mount::enable(root, "rust2", "kv", Some(&mut options)).await.unwrap();
    // A new engine may need a moment.
    wait_until("the engine is ready", TIMEOUT, || async {
        kv2::config::read(root, "rust2").await.ok()
    })
    .await;
    let value = json!({ "v": "1" });
    assert_eq!(kv2::set(root, "rust2", "a", &value).await.unwrap().version, 1);
    let options = vaultrs::api::kv2::requests::SetSecretRequestOptions { cas: 0 };
    assert_eq!(error_status(kv2::set_with_options(root, "rust2", "a", &value, options).await), 400);
    let options = vaultrs::api::kv2::requests::SetSecretRequestOptions { cas: 1 };
    kv2::set_with_options(root, "rust2", "a", &json!({ "v": "2" }), options).await.unwrap();
    assert_eq!(kv2::read::<Value>(root, "rust2", "a").await.unwrap(), json!({ "v": "2" }));
    assert_eq!(kv2::read_version::<Value>(root, "rust2", "a", 1).await.unwrap(), value);
    kv2::delete_latest(root, "rust2", "a").await.unwrap();
    kv2::undelete_versions(root, "rust2", "a", vec![2]).await.unwrap();
    kv2::destroy_versions(root, "rust2", "a", vec![1]).await.unwrap();
    let told = kv2::read_metadata(root, "rust2", "a").await.unwrap();
    assert_eq!((told.current_version, told.versions["1"].destroyed), (2, true));
    assert_eq!(kv2::list(root, "rust2", "").await.unwrap(), ["a"]);
    kv2::delete_metadata(root, "rust2", "a").await.unwrap();
    assert_eq!(error_status(kv2::list(root, "rust2", "").await), 404);
}

async fn check_remount(root: &VaultClient) {
    let mut options = sys_options("1");
    sys::mount::enable(root, "rust-from", "kv", Some(&mut options)).await.unwrap();
    let moving = sys::remount::remount(root, "rust-from", "rust-to").await.unwrap();
    wait_until("moved", TIMEOUT, || async {
        let told = sys::remount::remount_status(root, &moving.migration_id).await.unwrap();
        (told.migration_info.status == "success").then_some(())
    })
    .await;
    sys::mount::disable(root, "rust-to").await.unwrap();
}

async fn check_token_roles(root: &VaultClient) {
    let mut asked = vaultrs::api::token::requests::SetTokenRoleRequest::builder();
    asked.allowed_policies(vec!["default".to_owned()]).orphan(true);
    token::role::set(root, "rust", Some(&mut asked)).await.unwrap();
    let read = token::role::read(root, "rust").await.unwrap();
    assert_eq!((read.allowed_policies, read.orphan), (vec!["default".to_owned()], true));
    assert!(token::role::list(root).await.unwrap().keys.contains(&"rust".to_owned()));
    assert!(token::new_role(root, "rust", None).await.unwrap().orphan);
    token::role::delete(root, "rust").await.unwrap();
}

async fn check_response_wrapping(root: &VaultClient) {
    let asked = vaultrs::api::sys::requests::ReadPolicyRequest::builder()
        .name("rust-reader")
        .build()
        .unwrap();
    let wrapped = asked.wrap(root).await.unwrap();
    let told = wrapped.lookup(root).await.unwrap();
    assert_eq!((&*told.creation_path, told.creation_ttl), ("sys/policy/rust-reader", 600));
    assert_eq!(wrapped.unwrap(root).await.unwrap().rules, READER_POLICY);
    assert!(matches!(wrapped.lookup(root).await, Err(ClientError::WrapInvalidError)));
}
