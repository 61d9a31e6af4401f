//! Durable actions: whatever fails, and whenever the process dies, the engine ends up with the
//! password that the outside system has.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use strongroom_sdk::durable_action::{ActionCall, ActionPreparation, DurableAction};
use strongroom_sdk::testing::{Harness, TestHost, Transport, json};
use strongroom_sdk::{
    Blueprint, Context, Document, Error, FieldGroup, Input, Response, ResponseData, Secret,
};

/// An outside system with one password per account.
#[derive(Clone)]
struct Directory(Arc<Mutex<DirectoryState>>);

struct DirectoryState {
    password: String,
    calls: u32,
    behavior: Behavior,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Behavior {
    Normal,
    /// Changes the password, and doesn't respond.
    LosesResponse,
    /// Doesn't receive the call.
    LosesRequest,
    /// Rejects the call.
    Refuses,
    /// Changes the password, and never responds.
    Hangs,
}

const FIRST: &str = "first-password";

impl Directory {
    fn new() -> Self {
        let state =
            DirectoryState { password: FIRST.to_owned(), calls: 0, behavior: Behavior::Normal };
        Self(Arc::new(Mutex::new(state)))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, DirectoryState> {
        self.0.lock().unwrap()
    }

    fn set_behavior(&self, behavior: Behavior) {
        self.lock().behavior = behavior;
    }

    fn password(&self) -> String {
        self.lock().password.clone()
    }

    fn blueprint(&self) -> Blueprint {
        Blueprint::new("directory", "1.0.0")
            .help("A directory.")
            .document::<Config>()
            .document::<Account>()
            .durable_action(RotateRoot(self.clone()))
            .durable_action(RotateAccount(self.clone()))
            .read("config/fingerprint", "Shows the length of the password.", fingerprint)
    }

    /// Sets a password, as someone who knows the present one.
    fn set_password(&self, present: &Secret<String>, new: &Secret<String>) -> Outcome {
        let mut state = self.lock();
        state.calls += 1;
        let fits = state.password == *present.expose_secret();
        match state.behavior {
            Behavior::LosesRequest => return Outcome::NoResponse,
            Behavior::Refuses => return Outcome::Refused,
            _ if !fits => return Outcome::Refused,
            _ => {}
        }
        state.password.clone_from(new.expose_secret());
        match state.behavior {
            Behavior::LosesResponse => Outcome::NoResponse,
            Behavior::Hangs => Outcome::Hangs,
            _ => Outcome::Done,
        }
    }
}

enum Outcome {
    Done,
    Refused,
    NoResponse,
    Hangs,
}

impl Outcome {
    async fn into_result(self) -> Result<(), Error> {
        match self {
            Self::Done => Ok(()),
            Self::Refused => Err(Error::answered("directory", "PUT /password", 403)),
            Self::NoResponse => {
                Err(Error::unanswered("directory", "PUT /password", "connection lost"))
            }
            Self::Hangs => std::future::pending().await,
        }
    }
}

/// The engine's own account.
#[derive(Document)]
#[document(path = "config", seal_wrap)]
struct Config {
    /// The password.
    #[field(required)]
    password: Secret<String>,
    /// A note.
    note: String,
    /// Name of the account.
    #[field(default = "admin")]
    account: String,
}

/// Another account.
#[derive(Document)]
#[document(path = "accounts/{name}")]
struct Account {
    /// The password.
    #[field(required)]
    password: Secret<String>,
}

/// The password to be set.
#[derive(FieldGroup)]
struct NewPassword {
    /// The password.
    #[field(required)]
    password: Secret<String>,
}

/// How long the password is to be.
#[derive(Input)]
struct RotationInput {
    /// Length in characters.
    #[field(default = "20")]
    length: u32,
}

struct RotateRoot(Directory);

impl DurableAction for RotateRoot {
    const PATH: &'static str = "config/rotate-root";
    const HELP: &'static str = "Rotates the password.";
    type Target = Config;
    type Input = RotationInput;
    type Plan = NewPassword;
    type Outcome = ();

    fn account(config: &Config) -> String {
        config.account.clone()
    }

    async fn prepare(&self, action: &ActionPreparation<'_, Self>) -> Result<NewPassword, Error> {
        if action.input.length < 8 {
            return Err(Error::user("length must be at least 8"));
        }
        let length = usize::try_from(action.input.length).unwrap_or(usize::MAX);
        Ok(NewPassword { password: Secret::new(action.context.entropy().base62(length)) })
    }

    async fn call(&self, action: &ActionCall<'_, Self>) -> Result<(), Error> {
        let new = &action.plan.password;
        if action.is_repeated && self.0.password() == *new.expose_secret() {
            return Ok(());
        }
        self.0.set_password(&action.target.password, new).into_result().await
    }

    fn settle(&self, plan: &NewPassword, (): &(), config: Config) -> Config {
        Config { password: Secret::from_text(plan.password.expose_secret()), ..config }
    }

    fn is_settled(&self, plan: &NewPassword, config: &Config) -> bool {
        config.password.ct_eq(plan.password.expose_secret().as_bytes())
    }
}

/// Rotates the password of one of many accounts.
struct RotateAccount(Directory);

impl DurableAction for RotateAccount {
    const PATH: &'static str = "accounts/{name}/rotate";
    const HELP: &'static str = "Rotates the password of an account.";
    type Target = Account;
    type Input = ();
    type Plan = NewPassword;
    type Outcome = Secret<String>;

    fn account(_: &Account) -> String {
        "by the name of the document".to_owned()
    }

    async fn prepare(&self, action: &ActionPreparation<'_, Self>) -> Result<NewPassword, Error> {
        Ok(NewPassword { password: Secret::new(format!("{}-rotated", action.name)) })
    }

    /// Returns the password that was set.
    async fn call(&self, action: &ActionCall<'_, Self>) -> Result<Secret<String>, Error> {
        let (present, new) = (&action.target.password, &action.plan.password);
        match self.0.set_password(present, new) {
            Outcome::Refused if action.is_repeated => {}
            outcome => outcome.into_result().await?,
        }
        Ok(Secret::from_text(new.expose_secret()))
    }

    fn settle(&self, _: &NewPassword, outcome: &Secret<String>, _: Account) -> Account {
        Account { password: Secret::from_text(outcome.expose_secret()) }
    }

    fn is_settled(&self, plan: &NewPassword, account: &Account) -> bool {
        account.password.ct_eq(plan.password.expose_secret().as_bytes())
    }

    fn respond(&self, plan: &NewPassword, _: &Account) -> Response {
        Response::data(&PasswordLength { length: plan.password.expose_secret().len() as u64 })
    }
}

#[derive(ResponseData)]
struct PasswordLength {
    length: u64,
}

async fn fingerprint(context: Context, (): ()) -> Result<Response, Error> {
    let config = context.config::<Config>().await?;
    let length = config.password.expose_secret().len() as u64;
    Ok(Response::data(&PasswordLength { length }))
}

async fn run(body: impl AsyncFn(TestHost, Directory)) {
    for transport in [Transport::Linked, Transport::Wire, Transport::Foreign] {
        let directory = Directory::new();
        Harness::run_one(directory.blueprint(), transport, |host| body(host, directory)).await;
    }
}

/// Whether the engine knows the password of the directory.
fn knows_password(host: &TestHost, directory: &Directory) -> bool {
    let stored = host.stored_entry("config").unwrap();
    let text = String::from_utf8_lossy(&stored.value).into_owned();
    text.contains(&format!("\"{}\"", directory.password()))
}

fn plan_count(host: &TestHost) -> usize {
    host.stored_keys().iter().filter(|key| key.contains("plan/")).count()
}

async fn configure(host: &TestHost) {
    host.write("config", json!({ "password": FIRST, "note": "n" })).await.unwrap();
}

const PATH: &str = "config/rotate-root";

#[tokio::test]
async fn the_outside_system_and_then_the_document_are_changed() {
    run(async |host, directory| {
        let unconfigured = host.write(PATH, json!({})).await.unwrap_err();
        assert!(unconfigured.message.starts_with("configure the engine first"));
        configure(&host).await;
        host.write(PATH, json!({ "length": 24 })).await.unwrap();
        assert_eq!(directory.password().len(), 24);
        assert!(knows_password(&host, &directory));
        assert_eq!(host.read("config").await.unwrap().text("note"), "n");
        assert_eq!(host.read("config/fingerprint").await.unwrap().field_json("length"), "24");
        assert!(host.stored_entry("config").unwrap().seal_wrap);
        assert_eq!(plan_count(&host), 0);
        let short = host.write(PATH, json!({ "length": 3 })).await.unwrap_err();
        assert_eq!(short.message, "length must be at least 8");
        assert_eq!(directory.lock().calls, 1);
    })
    .await;
}

#[tokio::test]
async fn a_certain_refusal_changes_nothing() {
    run(async |host, directory| {
        configure(&host).await;
        directory.set_behavior(Behavior::Refuses);
        let refused = host.write(PATH, json!({})).await.unwrap_err();
        assert!(refused.message.contains("answered 403"), "{}", refused.message);
        assert_eq!((plan_count(&host), directory.password().as_str()), (0, FIRST));
        assert!(knows_password(&host, &directory));
    })
    .await;
}

#[tokio::test]
async fn an_action_without_a_response_is_completed_later() {
    run(async |host, directory| {
        for behavior in [Behavior::LosesResponse, Behavior::LosesRequest] {
            directory.lock().password = FIRST.to_owned();
            configure(&host).await;
            directory.set_behavior(behavior);
            assert!(host.write(PATH, json!({})).await.is_err());
            assert_eq!(plan_count(&host), 1);
            let again = host.write(PATH, json!({})).await.unwrap_err();
            assert_eq!(again.message, "the action is in progress; try again");
            directory.set_behavior(Behavior::Normal);
            host.settle_intents().await;
            assert!(knows_password(&host, &directory));
            assert_ne!(directory.password(), FIRST);
        }
    })
    .await;
}

#[tokio::test]
async fn a_request_completes_the_action_that_was_interrupted() {
    run(async |host, directory| {
        configure(&host).await;
        directory.set_behavior(Behavior::LosesResponse);
        assert!(host.write(PATH, json!({})).await.is_err());
        directory.set_behavior(Behavior::Normal);
        host.advance(Duration::from_secs(20)).await;
        host.write(PATH, json!({})).await.unwrap();
        assert!(knows_password(&host, &directory));
        assert_eq!((plan_count(&host), directory.lock().calls), (0, 2), "and carries out its own");
    })
    .await;
}

#[tokio::test]
async fn an_action_never_reaches_another_account_than_it_was_planned_for() {
    run(async |host, directory| {
        configure(&host).await;
        directory.set_behavior(Behavior::LosesRequest);
        assert!(host.write(PATH, json!({})).await.is_err());
        host.write("config", json!({ "account": "other" })).await.unwrap();
        directory.set_behavior(Behavior::Normal);
        let calls = directory.lock().calls;
        host.settle_intents().await;
        assert_eq!((plan_count(&host), directory.lock().calls), (0, calls));
        assert!(knows_password(&host, &directory), "the document has the password that it had");
        // Changed while the call is under way.
        directory.set_behavior(Behavior::Hangs);
        let rotation = host.write(PATH, json!({}));
        let meanwhile = async {
            host.wait_until("the call began", || async { directory.lock().calls > calls }).await;
            host.write("config", json!({ "account": "third" })).await.unwrap();
            host.advance_during_calls(Duration::from_secs(10));
        };
        let (rotated, ()) = tokio::join!(rotation, meanwhile);
        assert!(rotated.is_err());
        let calls = directory.lock().calls;
        host.advance(Duration::from_secs(20)).await;
        let abandoned = host.write(PATH, json!({})).await.unwrap_err();
        assert!(
            abandoned.message.contains("an earlier run was abandoned"),
            "{}",
            abandoned.message
        );
        assert_eq!((plan_count(&host), directory.lock().calls), (0, calls));
    })
    .await;
}

#[tokio::test]
async fn a_hanging_call_is_aborted_and_completed_later() {
    run(async |host, directory| {
        configure(&host).await;
        directory.set_behavior(Behavior::Hangs);
        let rotation = host.write(PATH, json!({}));
        let time = async {
            host.wait_until("the call began", || async { directory.lock().calls == 1 }).await;
            host.advance_during_calls(Duration::from_secs(10));
        };
        let (rotated, ()) = tokio::join!(rotation, time);
        let error = rotated.unwrap_err();
        assert!(error.message.contains("timed out: 10 s are allowed for"), "{}", error.message);
        directory.set_behavior(Behavior::Normal);
        host.settle_intents().await;
        assert!(knows_password(&host, &directory));
    })
    .await;
}

#[tokio::test]
async fn a_crash_at_any_write_loses_no_password() {
    run(async |host, directory| {
        for writes in 0.. {
            directory.lock().password = FIRST.to_owned();
            configure(&host).await;
            host.fail_writes_after(writes);
            let rotated = host.write(PATH, json!({})).await;
            host.repair_storage();
            let failed = host.failed_writes() > 0 && rotated.is_err();
            host.crash().await;
            host.reopen().await;
            host.settle_intents().await;
            assert!(knows_password(&host, &directory), "after {writes} writes");
            if !failed {
                assert!(writes >= 2, "the plan and the result are written");
                break;
            }
        }
    })
    .await;
}

/// As on a host that writes one entry after the other and dies before the last one.
#[tokio::test]
async fn a_plan_that_is_left_after_its_document_was_stored_needs_no_call() {
    run(async |host, directory| {
        configure(&host).await;
        directory.set_behavior(Behavior::LosesResponse);
        assert!(host.write(PATH, json!({})).await.is_err());
        directory.set_behavior(Behavior::Normal);
        let settled = json!({ "password": directory.password(), "note": "n" });
        host.write("config", settled).await.unwrap();
        let calls = directory.lock().calls;
        directory.set_behavior(Behavior::Refuses);
        host.settle_intents().await;
        assert_eq!((plan_count(&host), directory.lock().calls), (0, calls));
        assert!(knows_password(&host, &directory));
    })
    .await;
}

#[tokio::test]
async fn the_plan_is_stored_under_the_seal_and_announced() {
    run(async |host, directory| {
        configure(&host).await;
        directory.set_behavior(Behavior::LosesRequest);
        assert!(host.write(PATH, json!({})).await.is_err());
        let keys = host.stored_keys();
        let key = keys.iter().find(|key| key.contains("plan/")).unwrap();
        assert!(host.stored_entry(key).unwrap().seal_wrap);
        let announced = host.description().special_paths.seal_wrap_storage;
        assert!(announced.iter().any(|folder| key.starts_with(folder)), "{announced:?}");
    })
    .await;
}

#[tokio::test]
async fn actions_on_several_documents_are_completed_apart() {
    run(async |host, directory| {
        for name in ["ann", "bob"] {
            let path = format!("accounts/{name}");
            host.write(&path, json!({ "password": FIRST })).await.unwrap();
        }
        directory.set_behavior(Behavior::LosesResponse);
        for name in ["ann", "bob"] {
            directory.lock().password = FIRST.to_owned();
            assert!(host.write(&format!("accounts/{name}/rotate"), json!({})).await.is_err());
        }
        assert_eq!(plan_count(&host), 2);
        host.delete("accounts/bob").await.unwrap();
        directory.set_behavior(Behavior::Normal);
        host.settle_intents().await;
        let stored = host.stored_entry("accounts/ann").unwrap();
        assert!(String::from_utf8_lossy(&stored.value).contains("ann-rotated"));
        assert!(host.stored_entry("accounts/bob").is_none(), "a deleted account stays deleted");
        directory.lock().password = "ann-rotated".to_owned();
        let response = host.write("accounts/ann/rotate", json!({})).await.unwrap();
        assert_eq!(response.field_json("length"), "11");
    })
    .await;
}
