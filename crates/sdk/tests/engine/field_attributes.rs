//! What `#[field(...)]` does for the documents and inputs of an engine.

use serde_json::json;
use strongroom_sdk::testing::{Harness, TestHost};
use strongroom_sdk::{
    Blueprint, CommaList, Context, Document, DurationSecs, Error, Input, Response, ResponseData,
};

/// A role whose fields had other names in earlier versions.
#[derive(Document)]
#[document(path = "roles/{name}")]
struct RenamedRole {
    /// Lifetime of a token.
    #[field(legacy = "ttl", legacy = "lease", echo)]
    token_ttl: DurationSecs,
    /// Names of permissions.
    #[field(legacy = "perms", required)]
    permissions: CommaList,
}

#[derive(Input)]
struct RenamedInput {
    /// Which.
    #[field(legacy = "url_name", required)]
    name: String,
    /// How many.
    #[field(legacy = "number", default = "3")]
    count: u64,
}

#[derive(ResponseData)]
struct RenamedResponse {
    name: String,
    count: u64,
}

async fn repeat_input(_: Context, input: RenamedInput) -> Result<Response, Error> {
    Ok(Response::data(&RenamedResponse { name: input.name, count: input.count }))
}

async fn double_ttl(context: Context, (): ()) -> Result<Response, Error> {
    let edit = |role: Option<RenamedRole>| {
        let mut role = role.ok_or_else(|| Error::user("no such role"))?;
        role.token_ttl.0 = strongroom_sdk::Ttl::from_secs(role.token_ttl.0.as_secs() * 2);
        Ok(role)
    };
    context.documents().change(&["a"], edit).await?;
    Ok(Response::no_content())
}

fn renamed_blueprint() -> Blueprint {
    Blueprint::new("renamed", "1.0.0")
        .document::<RenamedRole>()
        .write("repeat", "Repeats its input.", repeat_input)
        .write("double", "Doubles the lifetime of the role a.", double_ttl)
}

/// The role `a` as a read shows it, without the permissions.
async fn shown_role(host: &TestHost) -> serde_json::Value {
    let mut shown = serde_json::from_str(&host.read("roles/a").await.unwrap().data_json()).unwrap();
    let serde_json::Value::Object(fields) = &mut shown else { panic!("no object") };
    fields.remove("permissions");
    shown
}

#[tokio::test]
async fn a_document_accepts_legacy_names_and_the_current_name_wins() {
    Harness::run(renamed_blueprint(), |host| async move {
        let both = json!({ "perms": "x", "token_ttl": 60, "ttl": 70, "lease": 80 });
        host.write("roles/b", both).await.unwrap();
        let shown = host.read("roles/b").await.unwrap();
        assert_eq!(shown.field_json("token_ttl"), "60");
        assert_eq!(shown.field_json("permissions"), r#"["x"]"#);
        assert!(!shown.data_json().contains("perms\""), "{}", shown.data_json());

        host.write("roles/c", json!({ "permissions": "x", "ttl": 70, "lease": 80 })).await.unwrap();
        assert_eq!(host.read("roles/c").await.unwrap().field_json("token_ttl"), "70");

        let missing = host.write("roles/d", json!({ "ttl": 1 })).await.unwrap_err();
        assert!(missing.message.contains("\"permissions\""), "{}", missing.message);
        let wrong = json!({ "permissions": "x", "lease": "hunter2" });
        let wrong = host.write("roles/d", wrong).await.unwrap_err();
        assert!(wrong.message.contains("\"lease\""), "{}", wrong.message);
        let wrong = host.write("roles/c", json!({ "lease": "hunter2" })).await.unwrap_err();
        assert!(wrong.message.contains("\"lease\""), "{}", wrong.message);
    })
    .await;
}

#[tokio::test]
async fn a_legacy_name_is_shown_if_the_last_write_of_the_field_had_it() {
    Harness::run(renamed_blueprint(), |host| async move {
        host.write("roles/a", json!({ "permissions": "x", "ttl": 60 })).await.unwrap();
        assert_eq!(shown_role(&host).await, json!({ "token_ttl": 60, "ttl": 60 }));
        // Other writes, and changes by the engine, leave it as it is.
        host.write("roles/a", json!({ "permissions": "y", "ttl": null })).await.unwrap();
        assert_eq!(shown_role(&host).await, json!({ "token_ttl": 60, "ttl": 60 }));
        host.write("double", "{}").await.unwrap();
        assert_eq!(shown_role(&host).await, json!({ "token_ttl": 120, "ttl": 120 }));
        host.write("roles/a", json!({ "lease": 30 })).await.unwrap();
        assert_eq!(shown_role(&host).await, json!({ "token_ttl": 30, "lease": 30 }));
        host.write("roles/a", json!({ "token_ttl": 70 })).await.unwrap();
        assert_eq!(shown_role(&host).await, json!({ "token_ttl": 70 }));
        // As in Vault, a legacy name that is sent beside the current one is shown, with its value.
        host.write("roles/a", json!({ "token_ttl": 80, "ttl": 90 })).await.unwrap();
        assert_eq!(shown_role(&host).await, json!({ "token_ttl": 80, "ttl": 80 }));
    })
    .await;
}

#[tokio::test]
async fn a_document_that_an_earlier_version_stored_is_read() {
    Harness::run(renamed_blueprint(), |host| async move {
        host.write_entry("roles/a", json!({ "lease": 60, "perms": ["x"] })).await;
        assert_eq!(shown_role(&host).await, json!({ "token_ttl": 60, "lease": 60 }));
        assert_eq!(host.read("roles/a").await.unwrap().field_json("permissions"), r#"["x"]"#);
        host.write("roles/a", json!({ "token_ttl": 70 })).await.unwrap();
        let stored = host.stored_entry("roles/a").unwrap().value;
        assert_eq!(stored.as_ref(), br#"{"token_ttl":70,"permissions":["x"]}"#);
    })
    .await;
}

#[tokio::test]
async fn an_input_accepts_legacy_names_without_a_warning() {
    Harness::run(renamed_blueprint(), |host| async move {
        let got = host.write("repeat", json!({ "url_name": "a", "number": 7 })).await.unwrap();
        assert_eq!(got.data_json(), r#"{"count":7,"name":"a"}"#);
        assert!(got.warnings.is_empty());
        let got = host.write("repeat", json!({ "url_name": "a", "name": "b" })).await.unwrap();
        assert_eq!(got.data_json(), r#"{"count":3,"name":"b"}"#);
        let missing = host.write("repeat", "{}").await.unwrap_err();
        assert!(missing.message.contains("\"name\""), "{}", missing.message);
    })
    .await;
}

#[tokio::test]
async fn help_marks_legacy_names_as_deprecated() {
    Harness::run(renamed_blueprint(), |host| async move {
        let help = host.help("roles/a").await.unwrap();
        assert!(
            help.contains(
                "ttl (duration (sec))\n        Deprecated: an older name of `token_ttl`."
            )
        );
    })
    .await;
}

/// An account whose password the engine rotates.
#[derive(Document)]
#[document(path = "accounts/{name}")]
struct RotatedAccount {
    /// Time between two rotations.
    #[field(default = "1d")]
    period: DurationSecs,
    /// When the engine rotated last, in seconds since 1970.
    #[field(internal)]
    last_rotation: u64,
    /// How often the engine rotated.
    #[field(internal, default = "1")]
    rotations: u64,
    /// The host that rotated last. An operator has no use for it.
    #[field(internal, hidden)]
    rotated_by: Option<String>,
    /// Commands that log in to the account.
    #[field(hidden)]
    commands: CommaList,
}

async fn rotate_account(context: Context, (): ()) -> Result<Response, Error> {
    let edit = |account: Option<RotatedAccount>| {
        let mut account = account.ok_or_else(|| Error::user("no such account"))?;
        account.last_rotation = 1_000;
        account.rotations += 1;
        account.rotated_by = Some("host-1".to_owned());
        Ok(account)
    };
    context.documents().change(&["a"], edit).await?;
    Ok(Response::no_content())
}

#[tokio::test]
async fn only_the_engine_sets_an_internal_field() {
    let engine = Blueprint::new("rotated", "1.0.0").document::<RotatedAccount>().write(
        "rotate",
        "Rotates the account a.",
        rotate_account,
    );
    Harness::run(engine, |host| async move {
        let sent = json!({ "period": 60, "last_rotation": 7, "rotations": 9, "rotated_by": "x" });
        let got = host.write("accounts/a", sent.clone()).await.unwrap();
        let ignored = "Endpoint ignored these unrecognized parameters: \
                       [last_rotation rotated_by rotations]";
        assert_eq!(got.warnings, [ignored]);
        let shown = host.read("accounts/a").await.unwrap().data_json();
        assert_eq!(shown, r#"{"last_rotation":0,"period":60,"rotations":1}"#);
        host.write("rotate", "{}").await.unwrap();
        assert_eq!(host.write("accounts/a", sent).await.unwrap().warnings, [ignored]);
        let shown = host.read("accounts/a").await.unwrap().data_json();
        assert_eq!(shown, r#"{"last_rotation":1000,"period":60,"rotations":2}"#);
        let help = host.help("accounts/a").await.unwrap();
        assert!(help.contains("period") && !help.contains("last_rotation"), "{help}");
    })
    .await;
}

#[tokio::test]
async fn a_hidden_field_is_stored_and_not_shown() {
    let engine = Blueprint::new("rotated", "1.0.0").document::<RotatedAccount>();
    Harness::run(engine, |host| async move {
        host.write("accounts/a", json!({ "commands": "login" })).await.unwrap();
        assert!(!host.read("accounts/a").await.unwrap().data_json().contains("login"));
        let stored = host.stored_entry("accounts/a").unwrap().value;
        assert!(String::from_utf8_lossy(&stored).contains(r#""commands":["login"]"#));
    })
    .await;
}
