//! Credentials that take several calls to the outside system, each of which has its own time limit.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use strongroom_sdk::testing::{Harness, TestHost, Transport, json};
use strongroom_sdk::{
    Blueprint, ByName, Context, Credential, CredentialName, Document, Error, Identifier,
    IssueRequest, IssuedCredential, Lifetime, NotRenewable, Receipt, ResponseData, RevokeContext,
    RevokeOutcome, Secret, UndoByName, UndoOutcome,
};

/// Access to the outside system.
#[derive(Document)]
#[document(path = "config")]
struct Config {
    /// How many seconds a call takes outside.
    secs: u64,
}

#[derive(ResponseData)]
struct UserResponse {
    password: Secret<String>,
}

#[derive(Receipt)]
struct UserReceipt {
    name: Identifier,
}

/// The calls that were started, for issuing and for undoing.
#[derive(Clone, Default)]
struct UserCredential {
    issuing: Arc<AtomicUsize>,
    undoing: Arc<AtomicUsize>,
}

const CALLS: u32 = 5;

async fn call_outside(context: &Context, config: &Config, begun: &AtomicUsize) {
    let until = context.now().plus(Duration::from_secs(config.secs));
    begun.fetch_add(1, Ordering::SeqCst);
    context.clock().sleep_until(until).await;
}

impl Credential for UserCredential {
    const KIND: &'static str = "user";
    const PATH: &'static str = "creds";
    const HELP: &'static str = "A user.";
    const CALLS: u32 = CALLS;
    type Config = Config;
    type Role = ();
    type Input = ();
    type Response = UserResponse;
    type Receipt = UserReceipt;
    type Renewal = NotRenewable;
    type Undo = ByName;

    fn lifetime((): &()) -> Lifetime {
        Lifetime::default()
    }

    async fn issue(&self, order: &IssueRequest<'_, Self>) -> Result<IssuedCredential<Self>, Error> {
        for _ in 0..CALLS {
            call_outside(order.context, order.config, &self.issuing).await;
        }
        let name = Identifier::parse(&order.name.fit(64));
        let name = name.ok_or_else(|| Error::internal("the name is none"))?;
        Ok(IssuedCredential::new(
            UserResponse { password: Secret::from_text("p") },
            UserReceipt { name },
        ))
    }

    async fn revoke(
        &self,
        _: &RevokeContext<'_, Self>,
        _: &UserReceipt,
    ) -> Result<RevokeOutcome, Error> {
        Ok(RevokeOutcome::Now)
    }
}

impl UndoByName for UserCredential {
    async fn undo(
        &self,
        to: &RevokeContext<'_, Self>,
        _: &CredentialName,
    ) -> Result<UndoOutcome, Error> {
        // It searches for the user and for everything that belongs to it.
        for _ in 0..2 * CALLS {
            call_outside(to.context, to.config, &self.undoing).await;
        }
        Ok(UndoOutcome::Removed)
    }
}

async fn run_on_all_transports(body: impl AsyncFn(TestHost, UserCredential)) {
    for way in [Transport::Linked, Transport::Wire, Transport::Foreign] {
        let user = UserCredential::default();
        let blueprint = Blueprint::new("users", "1.0.0")
            .help("Users.")
            .document::<Config>()
            .credential(user.clone());
        Harness::run_one(blueprint, way, |host| body(host, user)).await;
    }
}

/// Lets the calls in progress finish one after the other, each after `secs` seconds.
async fn complete_calls(host: &TestHost, begun: &AtomicUsize, calls: usize, secs: u64) {
    for number in 1..=calls {
        host.wait_until("the call is under way", || async {
            begun.load(Ordering::SeqCst) == number
        })
        .await;
        host.advance_during_calls(Duration::from_secs(secs));
    }
}

#[tokio::test]
async fn each_outside_call_gets_the_full_timeout() {
    run_on_all_transports(async |host, user| {
        host.write("config", json!({ "secs": 4 })).await.unwrap();
        let calls = usize::try_from(CALLS).unwrap();
        let (got, ()) =
            tokio::join!(host.read("creds"), complete_calls(&host, &user.issuing, calls, 4));
        assert_eq!(got.unwrap().text("password"), "p");
        assert_eq!((host.leases().len(), host.open_intents().len()), (1, 0));
    })
    .await;
}

#[tokio::test]
async fn a_clock_set_back_does_not_extend_the_timeout() {
    run_on_all_transports(async |host, user| {
        host.write("config", json!({ "secs": 3600 })).await.unwrap();
        let (day, given_up) = (Duration::from_secs(86_400), AtomicUsize::new(0));
        let asked = async {
            let got = host.read("creds").await;
            given_up.store(1, Ordering::SeqCst);
            got
        };
        let time = async {
            let begun = || async { user.issuing.load(Ordering::SeqCst) == 1 };
            host.wait_until("the call is under way", begun).await;
            host.clock().set_time(host.now().minus(day));
            host.advance_during_calls(Duration::from_secs(50));
            let done = || async { given_up.load(Ordering::SeqCst) == 1 };
            host.wait_until("it is given up before the day has come again", done).await;
        };
        let (got, ()) = tokio::join!(asked, time);
        assert!(got.unwrap_err().message.contains("timed out"));
    })
    .await;
}

#[tokio::test]
async fn a_timed_out_issue_is_undone_after_its_last_call() {
    run_on_all_transports(async |host, user| {
        host.write("config", json!({ "secs": 3600 })).await.unwrap();
        let (got, ()) =
            tokio::join!(host.read("creds"), complete_calls(&host, &user.issuing, 1, 50));
        let error = got.unwrap_err();
        assert_eq!(
            error.message,
            "users: issue user got no answer: timed out: 5 calls of 10 s each are allowed for"
        );
        assert_eq!(host.open_intents().len(), 1);
        host.write("config", json!({ "secs": 9 })).await.unwrap();
        host.advance_during_calls(Duration::from_secs(9));
        host.run_periodic().await.unwrap();
        for _ in 0..20 {
            host.read("config").await.unwrap();
        }
        assert_eq!(user.undoing.load(Ordering::SeqCst), 0, "the last call may be under way");
        host.advance_during_calls(Duration::from_secs(1));
        // Undoing has its time limit as well.
        let calls = usize::try_from(2 * CALLS).unwrap();
        complete_calls(&host, &user.undoing, calls, 9).await;
        let noted = || async {
            let entry = host.open_intents().first().and_then(|key| host.stored_entry(key));
            entry.is_some_and(|e| String::from_utf8_lossy(&e.value).contains("\"looks\":1"))
        };
        host.wait_until("it is noted that the user was undone", noted).await;
    })
    .await;
}
