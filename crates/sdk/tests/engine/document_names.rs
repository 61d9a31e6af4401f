//! Names of documents: with `@`, with slashes, and in any case.

use serde_json::json;
use strongroom_sdk::document_hooks::{DeleteHook, DocumentDelete, DocumentWrite, WriteHook};
use strongroom_sdk::engine::{Existence, FoldedPaths, Operation};
use strongroom_sdk::testing::{ErrorKind, Harness, TestHost};
use strongroom_sdk::{
    Blueprint, CommaList, Context, Document, Error, Identity, Input, Login, LoginError, LoginGrant,
    LoginRenewal, LoginRequest, Response, ResponseData, TokenFields, TokenTerms, contract,
};

/// A user, whose name may be an e-mail address in any case.
#[derive(Document)]
#[document(path = "users/{username@}", folds_case)]
struct User {
    /// Groups of the user.
    groups: CommaList,
    #[field(embed)]
    token: TokenFields,
}

/// Which user.
#[derive(Input)]
struct UserInput {
    /// Name of the user; taken from the path.
    username: String,
}

#[derive(ResponseData)]
struct NameResponse {
    name: String,
}

async fn show_name(context: Context, input: UserInput) -> Result<Response, Error> {
    context.named::<User>(&input.username.to_uppercase()).await?;
    Ok(Response::data(&NameResponse { name: input.username }))
}

struct TrustingLogin;

impl Login for TrustingLogin {
    const PATH: &'static str = "login/{username@}";
    const HELP: &'static str = "Logs anybody in.";
    const REFUSED: &'static str = "no";
    type Input = UserInput;

    fn alias(&self, input: &UserInput) -> Option<String> {
        Some(input.username.clone())
    }

    async fn authenticate(
        &self,
        request: &LoginRequest<'_>,
        input: UserInput,
    ) -> Result<LoginGrant, LoginError> {
        // As if the name came from a field of the body, in any case.
        let name = input.username.to_uppercase();
        let decoy = User { groups: CommaList::default(), token: TokenFields::default() };
        let user = request.verify_account(&name, decoy, async |_| Ok(true)).await?;
        Ok(LoginGrant::new(Identity::new(user.name()), &user.token))
    }

    async fn renew(&self, renewal: &LoginRenewal<'_>) -> Result<TokenTerms, Error> {
        Ok(TokenTerms::from(&renewal.account::<User>().await?.token))
    }
}

fn user_blueprint() -> Blueprint {
    Blueprint::auth_method("folding", "1.0.0")
        .document::<User>()
        .read("users/{username@}/name", "Shows the name.", show_name)
        .read("shown/{username@}", "Shows the name, too.", show_name)
        .login(TrustingLogin)
}

#[tokio::test]
async fn one_declaration_folds_storage_lists_paths_below_actions_and_logins() {
    Harness::run(user_blueprint(), |host| async move {
        let folded = ["users/+", "users/+/name", "shown/+", "login/+"];
        let folded = FoldedPaths::Declared(folded.map(str::to_owned).to_vec());
        assert_eq!(host.description().folded_paths, folded);

        host.write("users/Bob@Example.com", json!({ "groups": "a" })).await.unwrap();
        assert_eq!(host.exists("users/BOB@example.com").await, Ok(Existence::Exists));
        host.write("users/BOB@example.com", json!({ "token_ttl": 60 })).await.unwrap();
        assert_eq!(host.list("users").await.unwrap(), ["bob@example.com"]);
        assert_eq!(host.stored_keys(), ["users/bob@example.com"]);
        for path in ["users/bOb@example.com/name", "shown/Bob@example.Com"] {
            assert_eq!(host.read(path).await.unwrap().text("name"), "bob@example.com", "{path}");
        }
        let login = host.log_in("login/boB@example.com", "{}").await.unwrap().login.unwrap();
        assert_eq!(login.alias.unwrap().name, "bob@example.com");
        host.delete("users/BoB@example.com").await.unwrap();
        assert!(host.stored_keys().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_name_that_the_path_does_not_take_is_refused() {
    Harness::run(user_blueprint(), |host| async move {
        for name in ["@a", "a@", "..", "a b", "a%40b", "a/b", "a/", "a\0b", "ü"] {
            let path = format!("users/{name}");
            assert!(host.write(&path, "{}").await.is_err(), "{path}");
            assert!(host.read(&path).await.is_err(), "{path}");
        }
        assert!(host.stored_keys().is_empty());
    })
    .await;
}

/// A set of accounts, whose names have folders.
#[derive(Document)]
#[document(path = "library/{name..}", WriteHook, DeleteHook)]
struct AccountSet {
    /// Accounts of the set.
    accounts: CommaList,
    /// The name that the hook saw.
    #[field(internal)]
    seen: String,
}

impl WriteHook for AccountSet {
    type Input = ();

    async fn before_write(
        &mut self,
        write: &mut DocumentWrite<'_, Self>,
        (): (),
    ) -> Result<(), Error> {
        write.name().clone_into(&mut self.seen);
        Ok(())
    }
}

impl DeleteHook for AccountSet {
    async fn before_delete(&self, delete: &mut DocumentDelete<'_>) -> Result<(), Error> {
        if delete.name() == "team/kept" { Err(Error::user("it is kept")) } else { Ok(()) }
    }
}

/// Which set.
#[derive(Input)]
struct SetInput {
    /// Name of the set; taken from the path.
    name: String,
}

async fn check_out(context: Context, input: SetInput) -> Result<Response, Error> {
    let set = context.named::<AccountSet>(&input.name).await?;
    Ok(Response::data(&NameResponse { name: set.accounts.0.first().cloned().unwrap_or_default() }))
}

fn library_blueprint() -> Blueprint {
    Blueprint::new("library", "1.0.0")
        .write("library/{name..}/check-out", "Checks an account out.", check_out)
        .document::<AccountSet>()
}

async fn set_at(host: &TestHost, name: &str) {
    host.write(&format!("library/{name}"), json!({ "accounts": name })).await.unwrap();
}

#[tokio::test]
async fn documents_with_slashes_in_their_names_have_folders() {
    Harness::run(library_blueprint(), |host| async move {
        for name in ["a", "team/b", "team/sub/c d", "team", "ü/x"] {
            set_at(&host, name).await;
            let read = host.read(&format!("library/{name}")).await.unwrap();
            assert_eq!(read.text("seen"), name);
        }
        assert_eq!(host.list("library/").await.unwrap(), ["a", "team", "team/", "ü/"]);
        assert_eq!(host.list("library/team/").await.unwrap(), ["b", "sub/"]);
        assert_eq!(host.list("library/team/sub").await.unwrap(), ["c d"]);
        let page = json!({ "after": "b", "limit": 1 });
        let page = host.send(Operation::List, "library/team/", page).await.unwrap();
        assert_eq!(page.field_json("keys"), r#"["sub/"]"#);
        let got = host.write("library/team/b/check-out", "{}").await.unwrap();
        assert_eq!(got.text("name"), "team/b");
        set_at(&host, "team/kept").await;
        host.delete("library/team/kept").await.unwrap_err();
        host.delete("library/team/b").await.unwrap();
        assert_eq!(host.read("library/team/b").await.unwrap_err().kind, ErrorKind::NotFound);
    })
    .await;
}

#[tokio::test]
async fn names_that_could_leave_the_folder_are_refused() {
    Harness::run(library_blueprint(), |host| async move {
        for name in [
            "..",
            "../x",
            "a/../b",
            "./a",
            "a//b",
            "a/",
            "a%2fb",
            "%2E%2e/x",
            "a\u{1}",
            "a\u{202e}b",
        ] {
            let path = format!("library/{name}");
            assert_eq!(
                host.write(&path, "{}").await.unwrap_err().kind,
                ErrorKind::Invalid,
                "{path}"
            );
            assert_eq!(host.read(&path).await.unwrap_err().kind, ErrorKind::NotFound, "{path}");
            assert_eq!(host.exists(&path).await, Ok(Existence::Absent), "{path}");
            let _ = host.list(&path).await;
        }
        assert!(host.stored_keys().is_empty());
    })
    .await;
}

/// A member of an organisation.
#[derive(Document)]
#[document(path = "orgs/{org}/members/{member}")]
struct Member {
    /// What the member does.
    title: String,
}

#[tokio::test]
async fn a_collection_within_a_collection_is_listed() {
    let engine = Blueprint::new("orgs", "1.0.0").document::<Member>();
    Harness::run(engine, |host| async move {
        host.write("orgs/a/members/x", "{}").await.unwrap();
        host.write("orgs/b/members/y", "{}").await.unwrap();
        assert_eq!(host.list("orgs/a/members").await.unwrap(), ["x"]);
        assert!(host.list("orgs/").await.is_err());
        assert!(host.list("orgs/a/members/x/").await.is_err());
    })
    .await;
}

/// A name from a field of the body.
#[derive(Input)]
struct NamedInput {
    /// The name.
    set: String,
}

async fn add_member(context: Context, input: NamedInput) -> Result<Response, Error> {
    let title = String::new();
    context.documents().put(&["a", &input.set], &Member { title }).await?;
    Ok(Response::no_content())
}

async fn find_member(context: Context, input: NamedInput) -> Result<Response, Error> {
    let found = context.documents().get::<Member>(&["a", &input.set]).await?;
    Ok(Response::data(&NameResponse { name: found.is_some().to_string() }))
}

#[tokio::test]
async fn a_name_from_a_field_cannot_reach_another_folder() {
    let adding = strongroom_sdk::Resource::new(async |_, _| Ok(false)).write(add_member);
    let engine = Blueprint::new("orgs", "1.0.0")
        .document::<Member>()
        .resource("add", "Adds a member.", adding)
        .write("find", "Finds a member.", find_member);
    Harness::run(engine, |host| async move {
        host.write("add", json!({ "set": "x" })).await.unwrap();
        assert_eq!(host.write("find", json!({ "set": "x" })).await.unwrap().text("name"), "true");
        for name in ["../../b/members/x", "x/y", "", ".."] {
            let refused = host.write("add", json!({ "set": name })).await.unwrap_err();
            assert_eq!(refused.kind, ErrorKind::Invalid, "{name}: {}", refused.message);
            let found = host.write("find", json!({ "set": name })).await.unwrap();
            assert_eq!(found.text("name"), "false", "{name}");
        }
        assert_eq!(host.stored_keys(), ["orgs/a/members/x"]);
    })
    .await;
}

#[tokio::test]
async fn engines_with_such_names_keep_to_the_contract() {
    let users = user_blueprint().help("Users.");
    contract::check(users, &[("users/bob@example.com", r#"{"groups":"a"}"#)]).await;
    let library = library_blueprint().help("Sets of accounts.");
    contract::check(library, &[("library/team/b", r#"{"accounts":"a"}"#)]).await;
}
