//! The auth method linked in and behind the plug-in protocol.
#![expect(clippy::unwrap_used, reason = "a test may be blunt")]

mod crashes;
mod logins;
mod roles;
mod scale;
mod secret_ids;
mod tidying;

use strongroom_auth_approle::blueprint;
use strongroom_sdk::contract;
use strongroom_sdk::testing::{ErrorKind, TestError, TestHost, TestResponse, json};

const REFUSED: &str = "invalid role or secret ID";

/// Writes a role, and returns its role id.
async fn write_role(host: &TestHost, name: &str, fields: serde_json::Value) -> String {
    host.write(&format!("role/{name}"), fields).await.unwrap();
    host.read(&format!("role/{name}/role-id")).await.unwrap().text("role_id")
}

/// A secret id and its accessor.
struct Issued {
    secret_id: String,
    accessor: String,
}

async fn issue(host: &TestHost, role: &str, fields: serde_json::Value) -> Issued {
    let got = host.write(&format!("role/{role}/secret-id"), fields).await.unwrap();
    Issued { secret_id: got.text("secret_id"), accessor: got.text("secret_id_accessor") }
}

async fn log_in(
    host: &TestHost,
    role_id: &str,
    secret_id: &str,
) -> Result<TestResponse, TestError> {
    host.log_in("login", json!({ "role_id": role_id, "secret_id": secret_id })).await
}

/// Asserts that a login is refused with the one text.
async fn assert_refused(host: &TestHost, role_id: &str, secret_id: &str) {
    let error = log_in(host, role_id, secret_id).await.unwrap_err();
    assert_eq!((error.kind, error.message.as_str()), (ErrorKind::Invalid, REFUSED));
}

/// Looks a secret id up; `None` if it is unknown.
async fn look_up(host: &TestHost, role: &str, secret_id: &str) -> Option<TestResponse> {
    let path = format!("role/{role}/secret-id/lookup");
    let got = host.write(&path, json!({ "secret_id": secret_id })).await.unwrap();
    (!got.data.is_empty()).then_some(got)
}

#[tokio::test]
async fn contract_of_the_sdk() {
    let samples = [("role/web", r#"{"token_policies":"dev","secret_id_num_uses":3}"#)];
    contract::check(blueprint(), &samples).await;
}
