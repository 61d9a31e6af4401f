//! Declarations that can't work: the engine isn't opened, so its author sees it before any operator.

use strongroom_sdk::testing::{Harness, Way};
use strongroom_sdk::{
    Answer, Blueprint, Context, Credential, CredentialName, Document, Error, Identifier, Input,
    Issued, Lifetime, NotRenewable, Order, Outside, Receipt, Reply, Resource, Revoked, Secret,
    Undone,
};

/// How to get in.
#[derive(Document)]
#[document(path = "config")]
struct Config {}

/// What a key may do.
#[derive(Document)]
#[document(path = "roles/{name}")]
struct Role {}

/// Something else at the path of a role.
#[derive(Document)]
#[document(path = "roles/{role}")]
struct Other {}

#[derive(Answer)]
struct KeyAnswer {
    key: Secret<String>,
}

#[derive(Receipt)]
struct KeyReceipt {
    name: Identifier,
}

/// A key.
struct Key;

/// A key whose path names no role.
struct Nameless;

macro_rules! credential {
    ($name:ident, $config:ty, $path:literal) => {
        impl Credential for $name {
            const KIND: &'static str = "key";
            const PATH: &'static str = $path;
            const HELP: &'static str = "A key.";
            type Config = $config;
            type Role = Role;
            type Answer = KeyAnswer;
            type Receipt = KeyReceipt;
            type Renewal = NotRenewable;

            fn lifetime(_: &Role) -> Lifetime {
                Lifetime::default()
            }

            async fn issue(&self, order: &Order<'_, Self>) -> Result<Issued<Self>, Error> {
                let name = Identifier::parse(&order.name.fit(64));
                let name = name.ok_or_else(|| Error::internal("the name is none"))?;
                Ok(Issued::new(KeyAnswer { key: Secret::from_text("k") }, KeyReceipt { name }))
            }

            async fn revoke(
                &self,
                _: &Outside<'_, Self>,
                _: &KeyReceipt,
            ) -> Result<Revoked, Error> {
                Ok(Revoked::Now)
            }

            async fn undo(
                &self,
                _: &Outside<'_, Self>,
                _: &CredentialName,
            ) -> Result<Undone, Error> {
                Ok(Undone::NothingFound)
            }
        }
    };
}
credential!(Key, Config, "creds/{name}");
credential!(Nameless, Config, "creds");

/// A key whose configuration is one of many.
struct Lost;
credential!(Lost, Other, "creds/{name}");

fn new() -> Blueprint {
    Blueprint::new("keys", "1.0.0").help("Keys.")
}

/// Why an engine isn't opened.
async fn why_not(engine: Blueprint) -> String {
    let opened = futures_util::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(
        Harness::run_one(engine, Way::Linked, |_| async {}),
    ));
    match opened.await {
        Ok(()) => String::new(),
        Err(panic) => panic.downcast_ref::<String>().cloned().unwrap_or_default(),
    }
}

#[tokio::test]
async fn documents_that_a_credential_needs_must_be_declared() {
    let without_role = new().document::<Config>().credential(Key);
    let refused = why_not(without_role).await;
    assert!(refused.contains("\"roles/{name}\", which \"creds/{name}\" needs"), "{refused}");
    let without_config = new().document::<Role>().credential(Key);
    let refused = why_not(without_config).await;
    assert!(refused.contains("\"config\", which \"creds/{name}\" needs"), "{refused}");
    let another = new().document::<Config>().document::<Other>().credential(Key);
    let refused = why_not(another).await;
    assert!(refused.contains("is not declared"), "{refused}");
    let whole = new().document::<Config>().document::<Role>().credential(Key);
    assert_eq!(why_not(whole).await, "");
    // An engine may also write a role by an action of its own.
    async fn exists(_: Context, _: String) -> Result<bool, Error> {
        Ok(false)
    }
    async fn write(_: Context, (): ()) -> Result<Reply, Error> {
        Ok(Reply::no_content())
    }
    let roles = Resource::new(exists).write(write);
    let by_hand = new().document::<Config>().resource("roles/{x}", "A role.", roles);
    assert_eq!(why_not(by_hand.credential(Key)).await, "");
}

#[tokio::test]
async fn a_credential_must_find_its_role_and_its_configuration() {
    let refused = why_not(new().document::<Config>().document::<Role>().credential(Nameless)).await;
    assert!(refused.contains("doesn't name which of \"roles/{name}\""), "{refused}");
    let refused = why_not(new().document::<Other>().credential(Lost)).await;
    assert!(refused.contains("the configuration of \"creds/{name}\" is a collection"), "{refused}");
}

/// A default too large for its field is no constant's business: the field reads it.
#[derive(Document)]
#[document(path = "config")]
struct Large {
    /// A port.
    #[field(default = "70000")]
    port: u16,
}

#[derive(Input)]
struct Far {
    /// Where.
    #[field(default = "no address")]
    at: strongroom_sdk::BaseUrl,
}

#[tokio::test]
async fn a_default_that_its_field_cannot_read_is_refused() {
    let refused = why_not(new().document::<Large>()).await;
    assert!(refused.contains("a default at \"config\" can't be read"), "{refused}");
    assert!(refused.contains("\"port\""), "{refused}");
    async fn far(_: Context, far: Far) -> Result<Reply, Error> {
        let _ = far.at.as_str();
        Ok(Reply::no_content())
    }
    let refused = why_not(new().read("far", "Far.", far)).await;
    assert!(refused.contains("a default at \"far\" can't be read"), "{refused}");
    let refused = why_not(new().resource("far/{x}", "Far.", {
        async fn exists(_: Context, _: String) -> Result<bool, Error> {
            Ok(false)
        }
        Resource::new(exists).read(far)
    }))
    .await;
    assert!(refused.contains("a default at \"far/{x}\" can't be read"), "{refused}");
}

#[tokio::test]
async fn paths_that_nothing_can_match_are_refused() {
    async fn nothing(_: Context, (): ()) -> Result<Reply, Error> {
        Ok(Reply::no_content())
    }
    for (path, fault) in [
        ("", "a segment is empty"),
        ("/a", "a segment is empty"),
        ("a/", "a segment is empty"),
        ("a//b", "a segment is empty"),
        ("a{b}", "a capture is a whole segment"),
        ("a/{b", "a capture is a whole segment"),
        ("a/{}", "a capture has no name"),
        ("{..}", "a capture has no name"),
        ("{a}/b/{a}", "two captures have one name"),
        ("{a..}/{b}", "behind a capture of many segments"),
    ] {
        let refused = why_not(new().read(path, "Nothing.", nothing)).await;
        assert!(refused.contains(fault), "{path:?}: {refused}");
    }
}
