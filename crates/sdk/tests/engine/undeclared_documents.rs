//! Documents that the blueprint doesn't declare, and documents that an action would create without
//! an existence check.

use std::sync::{Arc, Mutex};

use serde_json::json;
use strongroom_sdk::document_hooks::{DocumentWrite, WriteHook};
use strongroom_sdk::testing::{ErrorKind, Harness, Transport};
use strongroom_sdk::{
    Blueprint, Context, Document, Error, FreeForm, Input, Resource, Response, Secret, contract,
};

/// A user.
#[derive(Document)]
#[document(path = "users/{name}")]
struct User {
    /// How often the user was touched.
    touches: u64,
}

/// What the engine knows of itself.
#[derive(Document)]
#[document(path = "state/{part}", seal_wrap, local)]
struct EngineState {
    text: Option<Secret<String>>,
}

/// Which user.
#[derive(Input)]
struct UserInput {
    /// Name of the user; taken from the path.
    name: Option<String>,
}

impl UserInput {
    fn name(&self) -> &str {
        self.name.as_deref().unwrap_or("x")
    }
}

async fn put_user(context: Context, input: UserInput) -> Result<Response, Error> {
    context.documents().put(&[input.name()], &User { touches: 7 }).await?;
    Ok(Response::no_content())
}

async fn touch_user(context: Context, input: UserInput) -> Result<Response, Error> {
    let touch = |user: Option<User>| Ok(User { touches: user.map_or(0, |user| user.touches) + 1 });
    context.documents().change(&[input.name()], touch).await?;
    Ok(Response::no_content())
}

async fn keep_state(context: Context, (): ()) -> Result<Response, Error> {
    let text = Some(Secret::from_text("s"));
    context.documents().put(&["a"], &EngineState { text }).await?;
    Ok(Response::no_content())
}

async fn user_exists(context: Context, name: String) -> Result<bool, Error> {
    Ok(context.documents().get::<User>(&[&name]).await?.is_some())
}

fn new_blueprint() -> Blueprint {
    Blueprint::new("users", "1.0.0").help("Users.")
}

const UNCHECKED: &str = "there is no such document at \"users/{name}\", and this action can't \
                         create one: declare a Blueprint::resource, whose existence check tells \
                         policies that a write creates something";

#[tokio::test]
async fn an_action_without_an_existence_check_changes_documents_and_creates_none() {
    let engine = new_blueprint()
        .write("users/{name}/touch", "Touches.", touch_user)
        .write("users/{name}/reset", "Resets.", put_user)
        .read("users/{name}/seen", "Touches, too.", touch_user)
        .list("all/{name}", "Lists, and touches.", |context, _| {
            touch_user(context, UserInput { name: None })
        })
        .document::<User>();
    Harness::run(engine, |host| async move {
        for path in ["users/a/touch", "users/a/reset"] {
            let refused = host.write(path, "{}").await.unwrap_err();
            assert_eq!((refused.kind, refused.message.as_str()), (ErrorKind::Internal, UNCHECKED));
        }
        assert_eq!(host.read("users/a/seen").await.unwrap_err().message, UNCHECKED);
        assert_eq!(host.list("all").await.unwrap_err().message, UNCHECKED);
        assert!(host.stored_keys().is_empty());

        host.write("users/a", "{}").await.unwrap();
        host.write("users/a/touch", "{}").await.unwrap();
        assert_eq!(host.read("users/a").await.unwrap().field_json("touches"), "1");
        host.write("users/a/reset", "{}").await.unwrap();
        assert_eq!(host.read("users/a").await.unwrap().field_json("touches"), "7");
    })
    .await;
}

#[tokio::test]
async fn a_task_that_such_an_action_spawns_creates_no_document() {
    for way in [Transport::Linked, Transport::Wire, Transport::Foreign] {
        let outcome = Arc::new(Mutex::new(None));
        let told = outcome.clone();
        let spawn_put = move |context: Context, input: UserInput| {
            let (task, told) = (context.clone(), told.clone());
            async move {
                context.spawn("put", async move {
                    let done = put_user(task, input).await.map(drop);
                    *told.lock().unwrap() = Some(done.map_err(|error| error.to_string()));
                    Ok(())
                })?;
                Ok(Response::no_content())
            }
        };
        let engine = new_blueprint().document::<User>().write("later", "Resets later.", spawn_put);
        Harness::run_one(engine, way, |host| async move {
            host.write("later", "{}").await.unwrap();
            let is_done = || async { outcome.lock().unwrap().is_some() };
            host.wait_until("the task has ended", is_done).await;
            assert_eq!(outcome.lock().unwrap().take(), Some(Err(UNCHECKED.to_owned())));
            assert!(host.stored_keys().is_empty());
        })
        .await;
    }
}

#[tokio::test]
async fn resources_and_background_work_create_documents() {
    let added = Resource::new(user_exists).write(put_user).read(touch_user);
    let engine = new_blueprint()
        .resource("added/{name}", "Adds a user.", added)
        .document::<User>()
        .periodic("put", std::time::Duration::from_secs(3600), async |context: Context| {
            context.documents().put(&["b"], &User { touches: 1 }).await
        });
    Harness::run(engine, |host| async move {
        assert_eq!(host.read("added/a").await.unwrap_err().message, UNCHECKED);
        host.write("added/a", "{}").await.unwrap();
        host.run_periodic().await.unwrap();
        host.wait_until("it is written", || async { host.read("users/b").await.is_ok() }).await;
        assert_eq!(host.stored_keys(), ["users/a", "users/b"]);
    })
    .await;
}

/// A team, whose hook adds its leader.
#[derive(Document)]
#[document(path = "teams/{name}", WriteHook)]
struct Team {
    /// Name of the leader.
    #[field(required)]
    leader: String,
}

impl WriteHook for Team {
    type Input = ();

    async fn before_write(
        &mut self,
        write: &mut DocumentWrite<'_, Self>,
        (): (),
    ) -> Result<(), Error> {
        write.context().documents().put(&[&self.leader], &User { touches: 0 }).await
    }
}

#[tokio::test]
async fn hooks_create_documents() {
    let engine = new_blueprint().document::<Team>().document::<User>();
    Harness::run(engine, |host| async move {
        host.write("teams/a", json!({ "leader": "c" })).await.unwrap();
        host.read("users/c").await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn an_internal_document_has_no_path_and_is_created_anywhere() {
    let engine = new_blueprint()
        .internal_document::<EngineState>()
        .document::<User>()
        .write("keep", "Keeps.", keep_state);
    Harness::run(engine, |host| async move {
        host.write("keep", "{}").await.unwrap();
        assert_eq!(host.stored_keys(), ["state/a"]);
        assert!(host.stored_entry("state/a").unwrap().seal_wrap);
        let special = host.description().special_paths;
        assert_eq!(special.seal_wrap_storage, ["state/"]);
        assert_eq!(special.local_storage, ["state/"]);
        host.read("state/a").await.unwrap_err();
        host.list("state").await.unwrap_err();
        host.write("state/a", "{}").await.unwrap_err();
        assert!(!host.help("").await.unwrap().contains("state/"));
    })
    .await;
}

#[tokio::test]
async fn what_a_resource_stores_is_not_created_by_an_action() {
    let users = Resource::new(user_exists).write(put_user);
    let engine = new_blueprint()
        .internal_document::<User>()
        .write("users/{name}/touch", "Touches.", touch_user)
        .resource("users/{name}", "A user.", users);
    Harness::run(engine, |host| async move {
        assert_eq!(host.write("users/a/touch", "{}").await.unwrap_err().message, UNCHECKED);
        host.write("users/a", "{}").await.unwrap();
        host.write("users/a/touch", "{}").await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_document_that_is_not_declared_is_an_internal_error_that_names_the_declaration() {
    let engine = new_blueprint()
        .write("touch", "Touches.", touch_user)
        .write("reset", "Resets.", put_user)
        .read("scan", "Reads all.", async |context: Context, (): ()| {
            context.documents().scan::<User>(&[])?;
            Ok(Response::no_content())
        })
        .read("page", "Lists.", async |context: Context, (): ()| {
            context.documents().list::<User>(&[], None, 0).await?;
            Ok(Response::no_content())
        })
        .read("get", "Reads.", async |context: Context, (): ()| {
            context.named::<User>("a").await?;
            Ok(Response::no_content())
        });
    Harness::run(engine, |host| async move {
        let wanted = "the document at \"users/{name}\" is used and not declared: add \
                      .document::<User>() to the blueprint, or .internal_document::<User>() if \
                      clients have no path to it";
        for path in ["touch", "reset"] {
            assert_eq!(host.write(path, "{}").await.unwrap_err().message, wanted, "{path}");
        }
        for path in ["scan", "page", "get"] {
            let refused = host.read(path).await.unwrap_err();
            assert_eq!((refused.kind, &*refused.message), (ErrorKind::Internal, wanted), "{path}");
        }
    })
    .await;
}

/// The error of opening an engine.
async fn open_error(engine: Blueprint) -> String {
    let run = Harness::run_one(engine, Transport::Linked, |_| async {});
    let opened = futures_util::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(run)).await;
    opened.err().and_then(|panic| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}

/// State under a key that no client can name.
#[derive(Document)]
#[document(path = "state/{part}", internal_key)]
struct HiddenState {
    text: String,
}

#[tokio::test]
async fn an_internal_document_that_clients_could_reach_is_refused_when_the_engine_is_opened() {
    let open = |engine: Blueprint| open_error(engine.free_form("{path..}", "A.", FreeForm::new()));
    let refused = open(new_blueprint().internal_document::<EngineState>()).await;
    let wanted = "clients could reach the internal document at \"state/{part}\" through \
                  \"{path..}\": declare it with `internal_key`";
    assert!(refused.contains(wanted), "{refused}");
    assert_eq!(open(new_blueprint().internal_document::<HiddenState>()).await, "");
    let twice = new_blueprint().internal_document::<User>().internal_document::<User>();
    assert!(open_error(twice).await.contains("declared twice"));
    let twice = new_blueprint().internal_document::<User>().document::<User>();
    assert!(open_error(twice).await.contains("clients could reach"));
}

#[tokio::test]
#[should_panic(expected = "is used and not declared: add .document::<User>()")]
async fn the_contract_suite_finds_a_document_that_is_not_declared() {
    contract::check(new_blueprint().write("touch", "Touches.", touch_user), &[]).await;
}

#[tokio::test]
#[should_panic(expected = "this action can't create one: declare a Blueprint::resource")]
async fn the_contract_suite_finds_an_action_that_creates_a_document() {
    let engine = new_blueprint().document::<User>().write("reset", "Resets.", put_user);
    contract::check(engine, &[("users/a", "{}")]).await;
}
