//! Documents that a client's write replaces: `#[document(…, replace)]`.

use serde_json::json;
use strongroom_sdk::document_hooks::{DocumentWrite, WriteHook};
use strongroom_sdk::testing::{Harness, TestHost};
use strongroom_sdk::{
    Blueprint, CommaList, Context, Document, DurationSecs, Error, FieldGroup, Response, Secret,
};

/// A connection, which each write replaces.
#[derive(Document)]
#[document(path = "connections/{name}", replace, WriteHook)]
struct Connection {
    /// The address of the system.
    #[field(required)]
    url: String,
    /// The password of the account; never shown.
    #[field(required, keep, legacy = "pass")]
    password: Secret<String>,
    /// A second factor, which a write without it removes.
    otp_key: Option<Secret<String>>,
    /// Roles that may use the connection.
    #[field(legacy = "roles", echo)]
    allowed_roles: CommaList,
    /// Time limit of a call.
    #[field(default = "10s")]
    timeout: DurationSecs,
    /// How often the engine connected.
    #[field(internal)]
    connects: u64,
    #[field(embed)]
    limits: Limits,
}

/// Limits of a connection.
#[derive(FieldGroup)]
struct Limits {
    /// The maximum number of calls at the same time.
    #[field(keep, default = "4")]
    max_calls: u64,
    /// The maximum number of accounts.
    #[field(default = "100")]
    max_accounts: u64,
}

impl WriteHook for Connection {
    type Input = ();

    async fn before_write(
        &mut self,
        write: &mut DocumentWrite<'_, Self>,
        (): (),
    ) -> Result<(), Error> {
        let before = write.stored().map(|stored| stored.url.clone());
        if before.is_some_and(|before| before != self.url) {
            write.warn("the address is another one");
        }
        Ok(())
    }
}

async fn connect(context: Context, (): ()) -> Result<Response, Error> {
    let edit = |connection: Option<Connection>| {
        let mut connection = connection.ok_or_else(|| Error::user("no such connection"))?;
        connection.connects += 1;
        Ok(connection)
    };
    context.documents().change(&["a"], edit).await?;
    Ok(Response::no_content())
}

fn blueprint() -> Blueprint {
    Blueprint::new("connected", "1.0.0").document::<Connection>().write(
        "connect",
        "Connects to a.",
        connect,
    )
}

async fn shown(host: &TestHost) -> serde_json::Value {
    serde_json::from_str(&host.read("connections/a").await.unwrap().data_json()).unwrap()
}

fn stored(host: &TestHost) -> serde_json::Value {
    let entry = host.stored_entry("connections/a").unwrap();
    serde_json::from_slice(&entry.value).unwrap()
}

#[tokio::test]
async fn a_write_resets_the_fields_that_it_does_not_contain() {
    Harness::run(blueprint(), |host| async move {
        let whole = json!({
            "url": "u", "password": "p", "otp_key": "o", "roles": "x,y", "timeout": 60,
            "max_calls": 7, "max_accounts": 8,
        });
        host.write("connections/a", whole).await.unwrap();
        host.write("connect", "{}").await.unwrap();
        let before = json!({
            "url": "u", "allowed_roles": ["x", "y"], "roles": ["x", "y"], "timeout": 60,
            "connects": 1, "max_calls": 7, "max_accounts": 8,
        });
        assert_eq!(shown(&host).await, before);

        let got = host.write("connections/a", json!({ "url": "v", "timeout": null })).await;
        assert_eq!(got.unwrap().warnings, ["the address is another one"]);
        let after = json!({
            "url": "v", "allowed_roles": [], "timeout": 10, "connects": 1, "max_calls": 7,
            "max_accounts": 100,
        });
        assert_eq!(shown(&host).await, after);
        let kept = stored(&host);
        assert_eq!(kept["password"], "p");
        assert_eq!(kept.get("otp_key"), None);
    })
    .await;
}

#[tokio::test]
async fn a_kept_field_is_replaced_when_it_is_sent_and_required_at_the_first_write() {
    Harness::run(blueprint(), |host| async move {
        let refused = host.write("connections/a", json!({ "url": "u" })).await.unwrap_err();
        assert!(refused.message.contains("\"password\""), "{}", refused.message);
        host.write("connections/a", json!({ "url": "u", "pass": "p" })).await.unwrap();
        let refused = host.write("connections/a", json!({ "password": "q" })).await.unwrap_err();
        assert!(refused.message.contains("\"url\""), "{}", refused.message);
        assert_eq!(stored(&host)["password"], "p");
        host.write("connections/a", json!({ "url": "u", "pass": "q" })).await.unwrap();
        assert_eq!(stored(&host)["password"], "q");
        let sent = json!({ "url": "u", "connects": 9 });
        let got = host.write("connections/a", sent).await.unwrap();
        assert_eq!(got.warnings, ["Endpoint ignored these unrecognized parameters: [connects]"]);
        assert_eq!(shown(&host).await["connects"], 0);
    })
    .await;
}

#[tokio::test]
async fn a_kept_field_that_an_earlier_version_stored_under_a_legacy_name_is_kept() {
    Harness::run(blueprint(), |host| async move {
        host.write_entry("connections/a", json!({ "url": "u", "pass": "p", "gone": 1 })).await;
        host.write("connections/a", json!({ "url": "v" })).await.unwrap();
        let stored = stored(&host);
        assert_eq!((&stored["password"], stored.get("gone")), (&json!("p"), None));
    })
    .await;
}

#[tokio::test]
async fn help_says_what_a_write_replaces_and_what_it_keeps() {
    Harness::run(blueprint(), |host| async move {
        let help = host.help("connections/a").await.unwrap();
        assert!(help.contains("A write replaces the whole document"), "{help}");
        let kept =
            "The password of the account; never shown.\n        A write that doesn't contain";
        assert!(help.contains(kept), "{help}");
        assert_eq!(help.matches("keeps the stored value").count(), 3, "{help}");
    })
    .await;
}
