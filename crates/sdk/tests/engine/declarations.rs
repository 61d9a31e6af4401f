//! Invalid declarations: the engine can't be opened, so its author notices before any operator
//! does.

use strongroom_sdk::testing::{Harness, Transport};
use strongroom_sdk::{
    Blueprint, ByName, Context, Credential, CredentialName, Document, Error, Identifier, Input,
    IssueRequest, IssuedCredential, Lifetime, NotRenewable, Receipt, Resource, Response,
    ResponseData, RevokeContext, RevokeOutcome, Secret, UndoByName, UndoOutcome,
};

/// Access to the outside system.
#[derive(Document)]
#[document(path = "config")]
struct Config {}

/// The permissions of a key.
#[derive(Document)]
#[document(path = "roles/{name}")]
struct Role {}

/// Another document type at the path of a role.
#[derive(Document)]
#[document(path = "roles/{role}")]
struct OtherRole {}

#[derive(ResponseData)]
struct KeyResponse {
    key: Secret<String>,
}

#[derive(Receipt)]
struct KeyReceipt {
    name: Identifier,
}

/// A credential with valid declarations.
struct DeclaredKey;

/// A credential whose path doesn't capture the role's name.
struct RolelessKey;

macro_rules! credential {
    ($name:ident, $config:ty, $path:literal) => {
        credential!($name, $config, Role, $path);
    };
    ($name:ident, $config:ty, $role:ty, $path:literal) => {
        impl Credential for $name {
            const KIND: &'static str = "key";
            const PATH: &'static str = $path;
            const HELP: &'static str = "A key.";
            type Config = $config;
            type Role = $role;
            type Input = ();
            type Response = KeyResponse;
            type Receipt = KeyReceipt;
            type Renewal = NotRenewable;
            type Undo = ByName;

            fn lifetime(_: &$role) -> Lifetime {
                Lifetime::default()
            }

            async fn issue(
                &self,
                order: &IssueRequest<'_, Self>,
            ) -> Result<IssuedCredential<Self>, Error> {
                let name = Identifier::parse(&order.name.fit(64));
                let name = name.ok_or_else(|| Error::internal("the name is none"))?;
                Ok(IssuedCredential::new(
                    KeyResponse { key: Secret::from_text("k") },
                    KeyReceipt { name },
                ))
            }

            async fn revoke(
                &self,
                _: &RevokeContext<'_, Self>,
                _: &KeyReceipt,
            ) -> Result<RevokeOutcome, Error> {
                Ok(RevokeOutcome::Now)
            }
        }

        impl UndoByName for $name {
            async fn undo(
                &self,
                _: &RevokeContext<'_, Self>,
                _: &CredentialName,
            ) -> Result<UndoOutcome, Error> {
                Ok(UndoOutcome::NotFound)
            }
        }
    };
}
credential!(DeclaredKey, Config, "creds/{name}");
credential!(RolelessKey, Config, "creds");

/// A credential whose configuration is a collection.
struct KeyOfManyConfigs;
credential!(KeyOfManyConfigs, OtherRole, "creds/{name}");

fn keys_blueprint() -> Blueprint {
    Blueprint::new("keys", "1.0.0").help("Keys.")
}

/// The error of opening an engine.
pub(crate) async fn open_error(engine: Blueprint) -> String {
    let opened = futures_util::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(
        Harness::run_one(engine, Transport::Linked, |_| async {}),
    ));
    match opened.await {
        Ok(()) => String::new(),
        Err(panic) => panic.downcast_ref::<String>().cloned().unwrap_or_default(),
    }
}

#[tokio::test]
async fn documents_that_a_credential_needs_must_be_declared() {
    let without_role = keys_blueprint().document::<Config>().credential(DeclaredKey);
    let refused = open_error(without_role).await;
    assert!(refused.contains("\"roles/{name}\", which \"creds/{name}\" needs"), "{refused}");
    let without_config = keys_blueprint().document::<Role>().credential(DeclaredKey);
    let refused = open_error(without_config).await;
    assert!(refused.contains("\"config\", which \"creds/{name}\" needs"), "{refused}");
    let another =
        keys_blueprint().document::<Config>().document::<OtherRole>().credential(DeclaredKey);
    let refused = open_error(another).await;
    assert!(refused.contains("is not declared"), "{refused}");
    let whole = keys_blueprint().document::<Config>().document::<Role>().credential(DeclaredKey);
    assert_eq!(open_error(whole).await, "");
    // An engine may also write a role with an action of its own.
    async fn exists(_: Context, _: String) -> Result<bool, Error> {
        Ok(false)
    }
    async fn write(_: Context, (): ()) -> Result<Response, Error> {
        Ok(Response::no_content())
    }
    let roles = Resource::new(exists).write(write);
    let by_hand = keys_blueprint().document::<Config>().resource("roles/{x}", "A role.", roles);
    let refused = open_error(by_hand.clone().credential(DeclaredKey)).await;
    assert!(refused.contains("internal_document for one that a resource writes"), "{refused}");
    let by_hand = by_hand.internal_document::<Role>();
    assert_eq!(open_error(by_hand.credential(DeclaredKey)).await, "");
}

#[tokio::test]
async fn a_credential_must_find_its_role_and_its_configuration() {
    let refused = open_error(
        keys_blueprint().document::<Config>().document::<Role>().credential(RolelessKey),
    )
    .await;
    assert!(refused.contains("doesn't name which of \"roles/{name}\""), "{refused}");
    let refused =
        open_error(keys_blueprint().document::<OtherRole>().credential(KeyOfManyConfigs)).await;
    assert!(refused.contains("the configuration of \"creds/{name}\" is a collection"), "{refused}");
}

/// A default outside the range of its field, which isn't detected at compile time.
#[derive(Document)]
#[document(path = "config")]
struct PortConfig {
    /// A port.
    #[field(default = "70000")]
    port: u16,
}

#[derive(Input)]
struct AddressInput {
    /// An address.
    #[field(default = "no address")]
    at: strongroom_sdk::BaseUrl,
}

#[tokio::test]
async fn a_default_that_its_field_cannot_read_is_refused() {
    let refused = open_error(keys_blueprint().document::<PortConfig>()).await;
    assert!(refused.contains("a default at \"config\" can't be read"), "{refused}");
    assert!(refused.contains("\"port\""), "{refused}");
    async fn read_address(_: Context, far: AddressInput) -> Result<Response, Error> {
        let _ = far.at.as_str();
        Ok(Response::no_content())
    }
    let refused = open_error(keys_blueprint().read("far", "Far.", read_address)).await;
    assert!(refused.contains("a default at \"far\" can't be read"), "{refused}");
    let refused = open_error(keys_blueprint().resource("far/{x}", "Far.", {
        async fn exists(_: Context, _: String) -> Result<bool, Error> {
            Ok(false)
        }
        Resource::new(exists).read(read_address)
    }))
    .await;
    assert!(refused.contains("a default at \"far/{x}\" can't be read"), "{refused}");
}

/// A document that no client could create, because the engine's field has no value at first.
#[derive(Document)]
#[document(path = "config")]
struct ValuelessConfig {
    /// The account that the engine created.
    #[field(internal)]
    account: Identifier,
}

#[tokio::test]
async fn an_internal_field_without_a_first_value_is_refused() {
    let refused = open_error(keys_blueprint().document::<ValuelessConfig>()).await;
    assert!(refused.contains("missing required field \"account\""), "{refused}");
}

#[tokio::test]
async fn paths_that_nothing_can_match_are_refused() {
    async fn no_content(_: Context, (): ()) -> Result<Response, Error> {
        Ok(Response::no_content())
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
        let refused = open_error(keys_blueprint().read(path, "Nothing.", no_content)).await;
        assert!(refused.contains(fault), "{path:?}: {refused}");
    }
}

/// A role whose name may be an e-mail address, in any case.
#[derive(Document)]
#[document(path = "people/{name@}", folds_case)]
struct Person {}

/// A set, whose name has several segments.
#[derive(Document)]
#[document(path = "sets/{set..}")]
struct NamedSet {}

/// A member of a set, stored where a set could be.
#[derive(Document)]
#[document(path = "sets/all/{member}")]
struct SetMember {}

/// A credential of a person.
struct PersonKey;
credential!(PersonKey, Config, Person, "creds/{who@}");

async fn no_content(_: Context, (): ()) -> Result<Response, Error> {
    Ok(Response::no_content())
}

#[tokio::test]
async fn paths_of_one_collection_take_the_same_names() {
    let person = || keys_blueprint().document::<Person>();
    for (path, wanted) in [
        ("people/{who}/password", "{who@}"),
        ("people/{name..}", "{name@}"),
        ("rotate/{name}", "{name@}"),
        ("rotate/{name..}/now", "{name@}"),
    ] {
        let refused = open_error(person().write(path, "Does.", no_content)).await;
        assert!(refused.contains("takes other names than"), "{path}: {refused}");
        assert!(refused.contains(&format!("declare it as {wanted}")), "{path}: {refused}");
    }
    for path in ["people/{who@}/password", "rotate/{name@}", "rotate/{other}", "other/{name@}/x"] {
        assert_eq!(open_error(person().write(path, "Does.", no_content)).await, "", "{path}");
    }
    // A name of two collections may have the form of either.
    let two = person().document::<Role>();
    assert_eq!(open_error(two.write("rotate/{name}", "Does.", no_content)).await, "");
    let login = keys_blueprint().document::<Config>().document::<Role>();
    let refused = open_error(login.credential(KeyOfOtherNames)).await;
    assert!(refused.contains("of \"creds/{name@}\" takes other names than \"roles/{name}\""));
}

/// A credential whose path takes other names than its role.
struct KeyOfOtherNames;
credential!(KeyOfOtherNames, Config, "creds/{name@}");

#[tokio::test]
async fn documents_of_two_types_never_have_one_key() {
    let overlapping = keys_blueprint().document::<SetMember>().document::<NamedSet>();
    let refused = open_error(overlapping).await;
    assert!(refused.contains("could be stored as those at"), "{refused}");
}

#[tokio::test]
async fn it_is_said_of_every_capture_whether_its_case_matters() {
    let person = || keys_blueprint().document::<Person>();
    let mixed = person().write("move/{name@}/{place}", "Moves.", no_content);
    let refused = open_error(mixed.clone()).await;
    assert!(refused.contains("nothing says whether it folds {place}"), "{refused}");
    assert_eq!(open_error(mixed.folds_case()).await, "");
    // If another collection has the capture too, the case matters unless the path says otherwise.
    let two = person().document::<Role>().write("rotate/{name@}", "Does.", no_content);
    let folded = |patterns: &[&str]| {
        let patterns = patterns.iter().map(|it| (*it).to_owned()).collect();
        strongroom_sdk::engine::FoldedPaths::Declared(patterns)
    };
    Harness::run(two, |host| async move {
        assert_eq!(host.description().folded_paths, folded(&["people/+"]));
    })
    .await;
    Harness::run(person().document::<Config>().credential(PersonKey), |host| async move {
        assert_eq!(host.description().folded_paths, folded(&["people/+", "creds/+"]));
    })
    .await;
}
