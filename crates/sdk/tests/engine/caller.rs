//! What an engine learns of the caller, the headers and the mount's options, and the errors that
//! refuse a caller, on each transport.

use strongroom_sdk::engine::{EntityAlias, EntityGroup, EntityInfo, Existence, Operation};
use strongroom_sdk::testing::{Harness, TestCaller, Transport, json};
use strongroom_sdk::{
    Blueprint, ByName, Context, Credential, CredentialName, Error, Identifier, Input, IssueRequest,
    IssuedCredential, Json, Lifetime, NotRenewable, Receipt, Resource, Response, ResponseData,
    RevokeContext, RevokeOutcome, UndoByName, UndoOutcome,
};

const ALL_TRANSPORTS: [Transport; 3] = [Transport::Linked, Transport::Wire, Transport::Foreign];

/// Everything that a context says about its request.
#[derive(ResponseData)]
struct ContextResponse {
    caller: String,
    headers: String,
    options: String,
}

impl ContextResponse {
    fn of(context: &Context) -> Self {
        let caller = context.caller().map(|caller| {
            format!(
                "{:?} {:?} {} {:?} {}",
                caller.entity_id(),
                caller.accessor(),
                caller.display_name(),
                caller.remote_address().map(|address| address.to_string()),
                caller.is_unauthenticated()
            )
        });
        let headers = format!(
            "{:?} {:?} {:?}",
            context.header("x-source"),
            context.header_values("X-Source"),
            context.header("X-Absent")
        );
        let options: Vec<_> = context.mount_options().collect();
        let options = format!("{:?} {options:?}", context.mount_option("region"));
        Self { caller: caller.unwrap_or_default(), headers, options }
    }
}

/// The name of an object.
#[derive(Input)]
struct NameInput {
    /// Its name; taken from the path.
    name: String,
}

#[derive(Receipt)]
struct KeyReceipt {
    name: Identifier,
}

struct KeyCredential;

impl Credential for KeyCredential {
    const KIND: &'static str = "key";
    const PATH: &'static str = "creds";
    const HELP: &'static str = "A key.";
    type Config = ();
    type Role = ();
    type Input = ();
    type Response = ContextResponse;
    type Receipt = KeyReceipt;
    type Renewal = NotRenewable;
    type Undo = ByName;

    fn lifetime((): &()) -> Lifetime {
        Lifetime::default()
    }

    async fn issue(&self, order: &IssueRequest<'_, Self>) -> Result<IssuedCredential<Self>, Error> {
        let name = Identifier::parse("key").ok_or_else(|| Error::internal("no name"))?;
        let response = ContextResponse::of(order.context);
        Ok(IssuedCredential::new(response, KeyReceipt { name }))
    }

    async fn revoke(
        &self,
        to: &RevokeContext<'_, Self>,
        _: &KeyReceipt,
    ) -> Result<RevokeOutcome, Error> {
        match to.context.caller() {
            None if to.context.header("x-source").is_none() => Ok(RevokeOutcome::Now),
            _ => Err(Error::internal("a revocation has no caller")),
        }
    }
}

impl UndoByName for KeyCredential {
    async fn undo(
        &self,
        _: &RevokeContext<'_, Self>,
        _: &CredentialName,
    ) -> Result<UndoOutcome, Error> {
        Ok(UndoOutcome::NotFound)
    }
}

async fn show_context(context: Context, (): ()) -> Result<Response, Error> {
    Ok(Response::data(&ContextResponse::of(&context)))
}

async fn show_context_of(context: Context, input: NameInput) -> Result<Response, Error> {
    assert!(!input.name.is_empty());
    Ok(Response::data(&ContextResponse::of(&context)))
}

/// An object exists for an entity only.
async fn exists(context: Context, _: String) -> Result<bool, Error> {
    Ok(context.caller().is_some_and(|caller| caller.entity_id().is_some()))
}

fn context_blueprint() -> Blueprint {
    Blueprint::new("contexts", "1.0.0")
        .help("Shows contexts.")
        .read("action", "Shows the context.", show_context)
        .resource(
            "things/{name}",
            "Shows the context.",
            Resource::new(exists).read(show_context_of).write(show_context_of),
        )
        .credential(KeyCredential)
}

#[tokio::test]
async fn actions_resources_and_credentials_see_caller_headers_and_options() {
    for way in ALL_TRANSPORTS {
        Harness::run_one(context_blueprint(), way, |host| async move {
            let plain = host.read("action").await.unwrap();
            let nobody = r#"None Some("accessor-of-test") token-test None false"#;
            assert_eq!(plain.text("caller"), nobody);
            assert_eq!(plain.text("headers"), "None [] None");
            assert_eq!(plain.text("options"), "None []", "keys of the host are no options");
            host.set_option("region", "eu");
            host.reopen().await;
            let caller = TestCaller::default()
                .with_entity("entity-1")
                .with_accessor("accessor-1")
                .with_display_name("ldap-bob")
                .with_address("192.0.2.7".parse().unwrap())
                .with_header("X-Source", "ci")
                .with_header("x-source", "cd");
            host.set_caller(caller);
            for path in ["action", "things/a", "creds"] {
                let got = host.read(path).await.unwrap();
                let bob = r#"Some("entity-1") Some("accessor-1") ldap-bob Some("192.0.2.7") false"#;
                assert_eq!(got.text("caller"), bob, "{path}");
                assert_eq!(got.text("headers"), r#"Some("ci") ["ci", "cd"] None"#, "{path}");
                assert_eq!(got.text("options"), r#"Some("eu") [("region", "eu")]"#, "{path}");
            }
            assert_eq!(host.exists("things/a").await.unwrap(), Existence::Exists);
            host.set_caller(TestCaller::unauthenticated());
            assert_eq!(host.exists("things/a").await.unwrap(), Existence::Absent);
            let got = host.read("action").await.unwrap();
            assert_eq!(got.text("caller"), "None None  None true");
            let lease = host.leases().pop().unwrap();
            host.revoke(&lease.id).await.unwrap();
        })
        .await;
    }
}

#[tokio::test]
async fn nothing_that_is_printed_contains_a_header() {
    async fn print(context: Context, (): ()) -> Result<Response, Error> {
        let printed = format!("{context:?} {:?}", context.caller());
        assert!(printed.contains("authorization") && !printed.contains("hunter2"), "{printed}");
        Ok(Response::no_content())
    }
    let engine = Blueprint::new("prints", "1.0.0").help("Prints.").read("print", "Prints.", print);
    Harness::run(engine, |host| async move {
        let caller = TestCaller::default().with_header("Authorization", "hunter2");
        assert!(!format!("{caller:?}").contains("hunter2"));
        host.set_caller(caller);
        host.read("print").await.unwrap();
    })
    .await;
}

/// The status is the engine's choice and reaches the host with the message.
#[tokio::test]
async fn refusals_have_their_own_status() {
    async fn deny(_: Context, (): ()) -> Result<Response, Error> {
        Err(Error::denied("the account was checked out by another entity"))
    }
    async fn conflict(_: Context, (): ()) -> Result<Response, Error> {
        Err(Error::conflict("the account is checked out"))
    }
    let engine = Blueprint::new("refuses", "1.0.0")
        .help("Refuses.")
        .read("denied", "Denies.", deny)
        .write("conflict", "Conflicts.", conflict);
    for way in ALL_TRANSPORTS {
        Harness::run_one(engine.clone(), way, |host| async move {
            let error = host.read("denied").await.unwrap_err();
            assert_eq!(error.status, Some(403));
            assert_eq!(error.message, "the account was checked out by another entity");
            let error = host.send(Operation::Update, "conflict", json!({})).await.unwrap_err();
            assert_eq!(
                (error.status, error.message.as_str()),
                (Some(409), "the account is checked out")
            );
        })
        .await;
    }
}

/// What the host says about the caller's entity.
#[derive(ResponseData)]
struct EntityResponse {
    entity: String,
    groups: String,
}

async fn show_entity(context: Context, (): ()) -> Result<Response, Error> {
    let caller = context.caller().and_then(|caller| caller.entity_id()).unwrap_or_default();
    let entity = context.system().entity(caller).await?;
    let groups = context.system().entity_groups(caller).await?;
    let (entity, groups) = (format!("{entity:?}"), format!("{groups:?}"));
    Ok(Response::data(&EntityResponse { entity, groups }))
}

#[tokio::test]
async fn the_entity_of_a_caller_and_its_groups_can_be_queried() {
    let engine = Blueprint::new("entities", "1.0.0").help("Entities.").read(
        "who",
        "Shows the entity.",
        show_entity,
    );
    let metadata = |value: &str| [("team".to_owned(), value.to_owned())].into();
    let alias = EntityAlias {
        name: "bob".to_owned(),
        mount_accessor: "auth_ldap_1".to_owned(),
        mount_type: "ldap".to_owned(),
        metadata: metadata("a"),
        custom_metadata: metadata("b"),
    };
    let entity = EntityInfo {
        id: "entity-1".to_owned(),
        name: "Bob".to_owned(),
        metadata: metadata("c"),
        aliases: vec![alias],
        is_disabled: true,
    };
    let groups = vec![EntityGroup {
        id: "group-1".to_owned(),
        name: "ops".to_owned(),
        metadata: metadata("d"),
    }];
    for way in ALL_TRANSPORTS {
        let (entity, groups) = (entity.clone(), groups.clone());
        Harness::run_one(engine.clone(), way, |host| async move {
            host.set_caller(TestCaller::default().with_entity("entity-1"));
            let unknown = host.read("who").await.unwrap();
            assert_eq!(
                (unknown.text("entity"), unknown.text("groups")),
                ("None".into(), "[]".into())
            );
            host.add_entity(entity.clone(), groups.clone());
            let known = host.read("who").await.unwrap();
            assert_eq!(known.text("entity"), format!("{:?}", Some(entity)));
            assert_eq!(known.text("groups"), format!("{groups:?}"));
        })
        .await;
    }
}

/// The mount decides which of them clients receive.
#[tokio::test]
async fn response_headers_reach_the_host() {
    async fn respond(context: Context, (): ()) -> Result<Response, Error> {
        let response = Response::data(&ContextResponse::of(&context));
        Ok(response.header("X-Trace", "one").header("X-Trace", "two").warn("slow"))
    }
    let engine =
        Blueprint::new("headers", "1.0.0").help("Headers.").read("get", "Responds.", respond);
    for way in ALL_TRANSPORTS {
        Harness::run_one(engine.clone(), way, |host| async move {
            let got = host.read("get").await.unwrap();
            let expected = [("X-Trace".to_owned(), vec!["one".to_owned(), "two".to_owned()])];
            assert_eq!(got.headers, expected.into());
            assert_eq!(got.warnings, ["slow"]);
        })
        .await;
    }
}

#[tokio::test]
async fn the_certificates_of_a_client_reach_the_engine_in_their_order() {
    async fn shown(context: Context, (): ()) -> Result<Response, Error> {
        let shown = context.caller().and_then(|caller| caller.certificates());
        let chain = shown.map(|shown| shown.chain.iter().map(|der| der.to_vec()).collect());
        Ok(Response::data(&Chain { chain: Json(chain.unwrap_or_default()) }))
    }
    #[derive(ResponseData)]
    struct Chain {
        chain: Json<Vec<Vec<u8>>>,
    }

    let blueprint = Blueprint::new("shown", "1.0.0").read("chain", "The chain.", shown);
    for transport in ALL_TRANSPORTS {
        Harness::run_one(blueprint.clone(), transport, |host| async move {
            assert_eq!(host.read("chain").await.unwrap().data_json(), r#"{"chain":[]}"#);
            let chain = [vec![1, 2], vec![3]];
            host.set_caller(TestCaller::default().with_certificates(chain));
            let read = host.read("chain").await.unwrap().data_json();
            assert_eq!(read, r#"{"chain":[[1,2],[3]]}"#);
        })
        .await;
    }
}
